#include "pages.h"

#include "columns.h"

#include "base/units.h"

#include <math.h>
#include <string.h>

const char *const report_subjects[SUBJECTS] = {
    [SUBJECT_MODEL] = "Model", [SUBJECT_MEASURED] = "Measured on", [SUBJECT_MACHINE] = "Machine"};

/* The row of the stored weights, or null. */
static const struct report_scheme *stored_of(const struct report *r)
{
    for (size_t i = 0; i < r->scheme_count; i++)
        if (r->schemes[i].name && strcmp(r->schemes[i].name, "stored") == 0)
            return &r->schemes[i];
    return NULL;
}

/* A figure over that of the stored weights; NaN: unknown. */
static double ratio(const struct report_scheme *s, const struct report_scheme *stored, enum report_figure f)
{
    bool known = stored && stored != s && s->figure[f].valid && stored->figure[f].valid && stored->figure[f].value > 0;
    return known ? s->figure[f].value / stored->figure[f].value : NAN;
}

static void say_ratio(struct report_tile *t, const char *format, double share)
{
    if (isfinite(share))
        snprintf(t->remark, TILE_TEXT, format, share);
}

static struct report_tile *add(struct report_tile *tiles, size_t *n, const char *label)
{
    tiles[*n] = (struct report_tile){.label = label};
    return &tiles[(*n)++];
}

static void add_size(struct report_tile *tiles, size_t *n, const struct report_scheme *s,
                     const struct report_scheme *stored, enum report_figure f, const char *label)
{
    char bytes[16];
    if (!s->figure[f].valid)
        return;
    struct report_tile *t = add(tiles, n, label);
    snprintf(t->value, TILE_TEXT, "%s", format_bytes(bytes, s->figure[f].value));
    say_ratio(t, "%.0f %% of stored", 100 * ratio(s, stored, f));
}

static void add_speed(struct report_tile *tiles, size_t *n, const struct report_scheme *s,
                      const struct report_scheme *stored, enum report_figure f, const char *label)
{
    char rate[CELL_TEXT];
    if (!s->figure[f].valid)
        return;
    struct report_tile *t = add(tiles, n, label);
    snprintf(t->value, TILE_TEXT, "%.40s", report_rate(rate, s->figure[f].value));
    say_ratio(t, "%.2f times stored", ratio(s, stored, f));
}

static void add_quality(struct report_tile *tiles, size_t *n, const struct report_scheme *s)
{
    const struct metric *kl = &s->figure[FIGURE_KL], *error = &s->figure[FIGURE_KL_ERROR],
                        *top1 = &s->figure[FIGURE_TOP1], *ppl = &s->figure[FIGURE_PERPLEXITY],
                        *reference = &s->figure[FIGURE_PERPLEXITY_REFERENCE];
    char text[CELL_TEXT];
    if (s->stale)
        return;
    if (kl->valid) {
        struct report_tile *t = add(tiles, n, "KL");
        snprintf(t->value, TILE_TEXT, "%.40s", report_kl(text, kl->value, error->valid ? error->value : NAN));
        snprintf(t->remark, TILE_TEXT, "nats");
    }
    if (top1->valid) {
        struct report_tile *t = add(tiles, n, "same next token");
        snprintf(t->value, TILE_TEXT, "%.1f %%", 100 * top1->value);
        snprintf(t->remark, TILE_TEXT, "top-1 agreement");
    }
    if (ppl->valid && reference->valid && ppl->value < 1e12) {
        struct report_tile *t = add(tiles, n, "perplexity");
        snprintf(t->value, TILE_TEXT, "%.3f", ppl->value);
        say_ratio(t, "%+.2f %% of the reference's", 100 * (ppl->value / reference->value - 1));
    }
}

size_t report_tiles(const struct report *r, const struct report_scheme *s, struct report_tile out[TILES])
{
    const struct report_scheme *stored = stored_of(r);
    bool file = s->figure[FIGURE_FILE].valid;
    size_t n = 0;
    add_size(out, &n, s, stored, file ? FIGURE_FILE : FIGURE_SIZE, file ? "file" : "memory");
    add_speed(out, &n, s, stored, FIGURE_DECODE, "decode, tokens/s");
    add_speed(out, &n, s, stored, FIGURE_PREFILL, "prefill, tokens/s");
    add_quality(out, &n, s);
    return n;
}
