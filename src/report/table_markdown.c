#include "tables.h"

#include "columns.h"
#include "map.h"
#include "markup.h"

#include "base/units.h"

#include <math.h>
#include <string.h>

/* ---- schemes ----------------------------------------------------------------------------------- */

static void put_titles(FILE *out, const struct report *r)
{
    for (size_t c = 0; c < report_column_count; c++) {
        const struct report_column *column = &report_columns[c];
        if (!report_column_shown(r, column))
            continue;
        fputs("| ", out);
        put_markdown(out, column->title);
        if (*column->unit)
            fprintf(out, ", %s", column->unit);
        fputc(' ', out);
    }
    fputs("|\n", out);
    for (size_t c = 0; c < report_column_count; c++)
        if (report_column_shown(r, &report_columns[c]))
            fputs(report_columns[c].number ? "|---:" : "|---", out);
    fputs("|\n", out);
}

static void put_tags(FILE *out, const struct report *r, size_t row)
{
    const struct report_scheme *s = &r->schemes[row];
    fprintf(out, "%s%s%s", s->recommended ? " (take)" : "", report_on_front(r, s) ? " (front)" : "",
            s->partial ? " (partial)" : "");
}

static void put_cell(FILE *out, const struct report *r, size_t row, const struct report_column *column,
                     struct report_notes *notes)
{
    char room[CELL_TEXT];
    struct report_cell cell = column->cell(r, row, room);
    fputs("| ", out);
    if (cell.text)
        put_markdown(out, cell.text);
    else
        fprintf(out, "n/a (%zu)", notes_number(notes, cell.reason));
    if (strcmp(column->title, "scheme") == 0)
        put_tags(out, r, row);
    fputc(' ', out);
}

void markdown_schemes(FILE *out, const struct report *r)
{
    struct report_notes notes = {0};
    put_titles(out, r);
    for (size_t i = 0; i < r->scheme_count; i++) {
        for (size_t c = 0; c < report_column_count; c++)
            if (report_column_shown(r, &report_columns[c]))
                put_cell(out, r, i, &report_columns[c], &notes);
        fputs("|\n", out);
    }
    fputs("\n", out);
    put_markdown(out, SCHEMES_MARKS);
    fputs("\n", out);
    for (size_t i = 0; i < notes.count; i++) {
        fprintf(out, "%s(%zu) n/a: ", i == 0 ? "\n" : "  \n", i + 1);
        put_markdown(out, notes.of[i]);
    }
    if (notes.count > 0)
        fputs("\n", out);
}

/* ---- what HTML shows as plots ------------------------------------------------------------------ */

void markdown_front(FILE *out, const struct report *r)
{
    char bytes[16], kl[CELL_TEXT], mark[CELL_TEXT];
    fputs("| # | on the front | file, else memory | KL, nats |\n|---:|---|---:|---:|\n", out);
    for (size_t i = 0; i < r->scheme_count; i++) {
        const struct report_scheme *s = &r->schemes[i];
        const struct metric *error = &s->figure[FIGURE_KL_ERROR];
        if (!report_on_front(r, s))
            continue;
        fputs("| ", out);
        put_markdown(out, report_mark(r, i, mark));
        fputs(" | ", out);
        put_markdown(out, s->name);
        fprintf(out, " | %s | %s |\n", format_bytes(bytes, report_size(s)),
                report_kl(kl, s->figure[FIGURE_KL].value, error->valid ? error->value : NAN));
    }
}

/* Layers that are in no block. */
static void put_outside(FILE *out, const struct report *r)
{
    char kl[CELL_TEXT];
    for (size_t i = 0; i < r->layer_count; i++) {
        const struct report_layer *l = &r->layers[i];
        if (l->block >= 0 || !l->kl.valid)
            continue;
        fputs("\nOutside the blocks: ", out);
        put_markdown(out, l->name);
        fprintf(out, " %s nats\n", report_kl(kl, l->kl.value, l->kl_error));
    }
}

void markdown_map(FILE *out, const struct report *r)
{
    struct map m = map_of(r);
    char kl[CELL_TEXT];
    fputs("| block ", out);
    for (size_t k = 0; k < m.kinds; k++) {
        fputs("| ", out);
        put_markdown(out, m.kind[k]);
        fputc(' ', out);
    }
    fputs("|\n|---:", out);
    for (size_t k = 0; k < m.kinds; k++)
        fputs("|---:", out);
    fputs("|\n", out);
    for (size_t b = 0; m.cell && b < m.blocks; b++) {
        fprintf(out, "| %zu ", b);
        for (size_t k = 0; k < m.kinds; k++) {
            const struct map_cell *c = map_at(&m, k, b);
            if (c->known)
                fprintf(out, "| %s%s ", report_kl(kl, c->kl, NAN), c->partial ? ".." : "");
            else
                fputs(c->there ? "| n/a " : "| ", out);
        }
        fputs("|\n", out);
    }
    map_free(&m);
    put_outside(out, r);
}

void markdown_roofline(FILE *out, const struct report *r)
{
    static const char *const kinds[POINT_KINDS] = {"decode", "prefill", "layer"};
    char rate[CELL_TEXT];
    fputs("| roof | a second |\n|---|---:|\n", out);
    if (r->read.valid)
        fprintf(out, "| memory reads | %s GB |\n", report_rate(rate, r->read.value / 1e9));
    for (size_t i = 0; i < r->roof_count; i++) {
        fputs("| ", out);
        put_markdown(out, r->roofs[i].name);
        fprintf(out, " multiply-adds | %s G |\n", report_rate(rate, r->roofs[i].rate / 1e9));
    }
    if (r->point_count > 0)
        fputs("\n| point | of | multiply-adds a byte | G multiply-adds/s |\n|---|---|---:|---:|\n", out);
    for (size_t i = 0; i < r->point_count; i++) {
        const struct report_point *p = &r->points[i];
        fputs("| ", out);
        put_markdown(out, p->name);
        fprintf(out, " | %s | %.3g | %s |\n", kinds[p->kind], p->intensity, report_rate(rate, p->rate / 1e9));
    }
}

/* So many bins of a histogram together make a column. */
enum { COARSE = 8, TOGETHER = HISTOGRAM_BINS / COARSE };

static bool same_range(const struct report *r)
{
    bool same = true;
    for (size_t i = 1; i < r->histogram_count; i++)
        same &= r->histograms[i].errors.low == r->histograms[0].errors.low &&
                r->histograms[i].errors.high == r->histograms[0].errors.high;
    return same;
}

static void put_range(FILE *out, const struct histogram *h, size_t i)
{
    double width = (h->high - h->low) / COARSE;
    fprintf(out, "| %.2g to %.2g ", h->low + width * (double)i, h->low + width * (double)(i + 1));
}

static void put_shares(FILE *out, const struct histogram *h)
{
    for (size_t i = 0; i < COARSE; i++) {
        uint64_t n = 0;
        for (size_t k = 0; k < TOGETHER; k++)
            n += h->count[i * TOGETHER + k];
        fprintf(out, "| %.2f %% ", h->total > 0 ? 100 * (double)n / (double)h->total : 0);
    }
    fputs("|\n", out);
}

void markdown_errors(FILE *out, const struct report *r)
{
    bool same = same_range(r);
    fputs("| layers | SQNR, dB | largest error ", out);
    for (size_t i = 0; i < COARSE; i++)
        if (same)
            put_range(out, &r->histograms[0].errors, i);
        else
            fprintf(out, "| eighth %zu ", i + 1);
    fputs("|\n|---|---:|---:", out);
    for (size_t i = 0; i < COARSE; i++)
        fputs("|---:", out);
    fputs("|\n", out);
    for (size_t i = 0; i < r->histogram_count; i++) {
        const struct report_histogram *h = &r->histograms[i];
        fputs("| ", out);
        put_markdown(out, h->name);
        if (!h->sqnr_db.valid)
            fputs(" | n/a ", out);
        else
            fprintf(out, isinf(h->sqnr_db.value) ? " | exact " : " | %.1f ", h->sqnr_db.value);
        fprintf(out, isfinite(h->largest) ? "| %.3g " : "| n/a ", h->largest);
        put_shares(out, &h->errors);
    }
}

void markdown_depth(FILE *out, const struct report *r)
{
    fputs("| behind | relative error |\n|---|---:|\n", out);
    for (size_t i = 0; i < r->depth_count; i++) {
        fputs("| ", out);
        put_markdown(out, r->depth[i].name);
        fprintf(out, " | %.3g |\n", r->depth[i].error);
    }
}
