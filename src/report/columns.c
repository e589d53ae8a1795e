#include "columns.h"

#include "base/units.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- figures ----------------------------------------------------------------------------------- */

const char *report_kl(char out[CELL_TEXT], double kl, double error)
{
    if (isfinite(error))
        format_kl(out, kl, error, true);
    else
        snprintf(out, CELL_TEXT, kl == 0 ? "0" : kl < 0.001 ? "%.1e" : "%.4f", kl);
    return out;
}

const char *report_rate(char out[CELL_TEXT], double rate)
{
    snprintf(out, CELL_TEXT, rate < 10 ? "%.2f" : rate < 1000 ? "%.1f" : "%.0f", rate);
    return out;
}

static const char *why(const struct metric *m)
{
    return m->reason ? m->reason : "not measured";
}

static struct report_cell absent(const struct metric *m)
{
    return (struct report_cell){NULL, why(m)};
}

static double value_of(const struct metric *m)
{
    return m->valid ? m->value : NAN;
}

/* ---- cells ------------------------------------------------------------------------------------- */

const char *report_mark(const struct report *r, size_t row, char out[CELL_TEXT])
{
    const struct report_scheme *s = &r->schemes[row];
    if (s->mark)
        return s->mark;
    snprintf(out, CELL_TEXT, "%zu", row + 1);
    return out;
}

static struct report_cell mark_cell(const struct report *r, size_t row, char room[CELL_TEXT])
{
    return (struct report_cell){report_mark(r, row, room), NULL};
}

static struct report_cell name_cell(const struct report *r, size_t row, char room[CELL_TEXT])
{
    (void)room;
    return (struct report_cell){r->schemes[row].name ? r->schemes[row].name : "", NULL};
}

static struct report_cell bytes_cell(const struct metric *m, char room[CELL_TEXT])
{
    if (!m->valid)
        return absent(m);
    format_bytes(room, m->value);
    return (struct report_cell){room, NULL};
}

static struct report_cell size_cell(const struct report *r, size_t row, char room[CELL_TEXT])
{
    return bytes_cell(&r->schemes[row].figure[FIGURE_SIZE], room);
}

static struct report_cell file_cell(const struct report *r, size_t row, char room[CELL_TEXT])
{
    return bytes_cell(&r->schemes[row].figure[FIGURE_FILE], room);
}

static struct report_cell bits_cell(const struct report *r, size_t row, char room[CELL_TEXT])
{
    const struct metric *m = &r->schemes[row].figure[FIGURE_BITS];
    if (!m->valid)
        return absent(m);
    snprintf(room, CELL_TEXT, "%.2f", m->value);
    return (struct report_cell){room, NULL};
}

/* What was measured; else what is computed, marked. */
static struct report_cell decode_cell(const struct report *r, size_t row, char room[CELL_TEXT])
{
    const struct report_scheme *s = &r->schemes[row];
    const struct metric *measured = &s->figure[FIGURE_DECODE], *predicted = &s->figure[FIGURE_PREDICTED];
    char rate[CELL_TEXT];
    if (measured->valid)
        snprintf(room, CELL_TEXT, "%.40s%s", report_rate(rate, measured->value), s->disturbed ? "?" : "");
    else if (predicted->valid)
        snprintf(room, CELL_TEXT, "~%.40s", report_rate(rate, predicted->value));
    else
        return absent(measured);
    return (struct report_cell){room, NULL};
}

static struct report_cell prefill_cell(const struct report *r, size_t row, char room[CELL_TEXT])
{
    const struct metric *m = &r->schemes[row].figure[FIGURE_PREFILL];
    return m->valid ? (struct report_cell){report_rate(room, m->value), NULL} : absent(m);
}

/* Why a figure of quality is not shown; null where it is. */
static const char *unknown_quality(const struct report_scheme *s, const struct metric *m)
{
    return !m->valid ? why(m) : s->stale;
}

static struct report_cell quality_cell(const struct report_scheme *s, char room[CELL_TEXT])
{
    if (s->partial)
        strncat(room, "..", CELL_TEXT - strlen(room) - 1);
    return (struct report_cell){room, NULL};
}

static struct report_cell kl_cell(const struct report *r, size_t row, char room[CELL_TEXT])
{
    const struct report_scheme *s = &r->schemes[row];
    const struct metric *m = &s->figure[FIGURE_KL];
    if (unknown_quality(s, m))
        return (struct report_cell){NULL, unknown_quality(s, m)};
    report_kl(room, m->value, value_of(&s->figure[FIGURE_KL_ERROR]));
    return quality_cell(s, room);
}

static struct report_cell top1_cell(const struct report *r, size_t row, char room[CELL_TEXT])
{
    const struct report_scheme *s = &r->schemes[row];
    const struct metric *m = &s->figure[FIGURE_TOP1], *e = &s->figure[FIGURE_TOP1_ERROR];
    if (unknown_quality(s, m))
        return (struct report_cell){NULL, unknown_quality(s, m)};
    int n = snprintf(room, CELL_TEXT, "%.1f", 100 * m->value);
    if (e->valid && e->value > 0)
        snprintf(room + n, CELL_TEXT - (size_t)n, "±%.1f", 100 * e->value);
    return quality_cell(s, room);
}

static struct report_cell perplexity_cell(const struct report *r, size_t row, char room[CELL_TEXT])
{
    const struct report_scheme *s = &r->schemes[row];
    const struct metric *m = &s->figure[FIGURE_PERPLEXITY], *reference = &s->figure[FIGURE_PERPLEXITY_REFERENCE];
    if (unknown_quality(s, m))
        return (struct report_cell){NULL, unknown_quality(s, m)};
    int n = snprintf(room, CELL_TEXT, "%.3f", m->value);
    if (reference->valid && n < 32)
        snprintf(room + n, CELL_TEXT - (size_t)n, " (%+.2f %%)", 100 * (m->value / reference->value - 1));
    return quality_cell(s, room);
}

static struct report_cell text_cell(const char *text)
{
    return text ? (struct report_cell){text, NULL} : (struct report_cell){NULL, "not known"};
}

static struct report_cell exports_cell(const struct report *r, size_t row, char room[CELL_TEXT])
{
    (void)room;
    return text_cell(r->schemes[row].exports);
}

static struct report_cell verdict_cell(const struct report *r, size_t row, char room[CELL_TEXT])
{
    (void)room;
    return text_cell(r->schemes[row].verdict);
}

const struct report_column report_columns[] = {
    {"#", "", true, true, mark_cell},
    {"scheme", "", false, true, name_cell},
    {"memory", "", true, true, size_cell},
    {"file", "", true, false, file_cell},
    {"bits", "per weight", true, true, bits_cell},
    {"decode", "tokens/s", true, true, decode_cell},
    {"prefill", "tokens/s", true, true, prefill_cell},
    {"KL", "nats", true, true, kl_cell},
    {"top-1", "%", true, true, top1_cell},
    {"perplexity", "(change)", true, true, perplexity_cell},
    {"exports", "", false, false, exports_cell},
    {"verdict", "", false, false, verdict_cell},
};
const size_t report_column_count = sizeof report_columns / sizeof *report_columns;

bool report_column_shown(const struct report *r, const struct report_column *column)
{
    char room[CELL_TEXT];
    bool any = column->always;
    for (size_t i = 0; i < r->scheme_count && !any; i++)
        any = column->cell(r, i, room).text != NULL;
    return any;
}

/* ---- notes ------------------------------------------------------------------------------------- */

size_t notes_number(struct report_notes *n, const char *reason)
{
    size_t i = 0;
    while (i < n->count && strcmp(n->of[i], reason) != 0)
        i++;
    if (i == n->count && n->count < MAX_NOTES)
        n->of[n->count++] = reason;
    return i < MAX_NOTES ? i + 1 : MAX_NOTES;
}
