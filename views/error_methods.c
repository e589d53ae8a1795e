/* The Error screen's view of methods: column ranges, salient columns and the methods' errors on this layer. */
#include "canvas.h"
#include "error.h"

#include <math.h>
#include <stdlib.h>

/* ---- columns --------------------------------------------------------------------------------- */

static int descending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* Ranges in descending order, on a logarithmic scale. */
static void draw_sorted(struct canvas *c, float *values, size_t n, enum style style)
{
    qsort(values, n, sizeof *values, descending);
    for (size_t i = 0; i + 1 < n; i++)
        canvas_line(c, (double)i, fmax((double)values[i], c->y.low), (double)(i + 1),
                    fmax((double)values[i + 1], c->y.low), style);
}

static void span(const float *values, size_t n, double *min, double *max)
{
    for (size_t i = 0; i < n; i++)
        if (values[i] > 0 && isfinite(values[i])) {
            *min = fmin(*min, (double)values[i]);
            *max = fmax(*max, (double)values[i]);
        }
}

/* Two sets of ranges of n columns: before the input scale and, where there is one, after. */
static void draw_ranges(struct rect area, const char *title, float *before, float *after, size_t n)
{
    struct canvas c;
    double min = INFINITY, max = 0;
    char low[16], high[16];
    if (area.rows < 3 || area.cols < 12)
        return;
    draw_text(area.row, area.col, area.cols, STYLE_STRONG, false, title);
    span(before, n, &min, &max);
    if (after)
        span(after, n, &min, &max);
    struct rect plot = {area.row + 1, area.col, area.rows - 2, area.cols};
    if (!(max > 0) || !canvas_begin(&c, plot, (struct axis){0, (double)n - 1, false},
                                     (struct axis){fmax(min, max * 1e-4), max * 1.2, true}))
        return;
    draw_sorted(&c, before, n, STYLE_BAR);
    if (after)
        draw_sorted(&c, after, n, STYLE_SECOND);
    canvas_draw(&c);
    canvas_end(&c);
    draw_format(area.row + area.rows - 1, area.col, area.cols, STYLE_DIM, false, "%s to %s, largest first%s",
                format_short(low, min), format_short(high, max), after ? "; bold: scaled" : "");
}

/* max |x| and max |w| of the columns, and what the input scale makes of them: x / s and w s. */
void error_draw_ranges(const struct frame *f, const struct qtensor *p, struct rect x, struct rect w)
{
    const struct columns *c = frame_columns(f, p);
    const struct detail *d = frame_detail(f, p);
    const struct qmatrix *m = &p->matrix;
    bool scaled = m->input_transform && m->input_transform->scale;
    size_t n = m->cols;
    float *before = calloc(2 * n, sizeof *before), *after = before ? before + n : NULL;
    for (size_t i = 0; before && c && i < n; i++) {
        before[i] = c->of[i].largest;
        after[i] = before[i] / qmatrix_input_scale(m, i);
    }
    if (before && c)
        draw_ranges(x, "max |x| of columns", before, scaled ? after : NULL, n);
    for (size_t i = 0; before && d && i < n; i++) {
        before[i] = d->column_largest[i];
        after[i] = before[i] * qmatrix_input_scale(m, i);
    }
    if (before && d)
        draw_ranges(w, "max |w| of columns", before, scaled ? after : NULL, n);
    free(before);
}

/* Columns whose weights matter most, by mean |x|. Returns the lines used. */
int error_draw_salient(const struct frame *f, const struct qtensor *p, struct rect area)
{
    enum { SALIENT = 4 };
    size_t column[SALIENT], n;
    const struct columns *c = frame_columns(f, p);
    if (!c || c->tokens == 0 || area.rows < 1)
        return 0;
    n = columns_salient(c, SALIENT, column);
    int col = draw_text(area.row, area.col, area.cols, STYLE_PLAIN, false, "salient columns (mean |x|):");
    for (size_t i = 0; i < n; i++) {
        double mean = c->of[column[i]].sum / (double)c->tokens;
        float scale = qmatrix_input_scale(&p->matrix, column[i]);
        col += draw_format(area.row, area.col + col, area.cols - col, STYLE_PLAIN, false, "  %zu %.3g", column[i],
                           mean);
        if (p->matrix.input_transform && p->matrix.input_transform->scale)
            col += draw_format(area.row, area.col + col, area.cols - col, STYLE_DIM, false, " (scale %.3g)",
                               (double)scale);
    }
    return 1;
}

/* ---- methods side by side -------------------------------------------------------------------- */

enum { M_METHOD, M_WEIGHTS, M_OUTPUT, M_DETAILS, M_COLUMNS };

static const struct column method_columns[M_COLUMNS] = {
    [M_METHOD] = {"METHOD", 22},
    [M_WEIGHTS] = {"WEIGHTS dB", 12, .right = true},
    [M_OUTPUT] = {"OUTPUT dB", 12, .right = true},
    [M_DETAILS] = {"  DETAILS", 34, .drop = 1},
};

static void draw_method(const struct compared *c, bool here, const int *widths, int row, int cols, double best)
{
    char cells[M_COLUMNS][TABLE_CELL] = {{0}}, name[TABLE_CELL - 2], details[TABLE_CELL - 2];
    methods_print(&c->scheme.methods, name, sizeof name);
    snprintf(cells[M_METHOD], TABLE_CELL, "%c%s", here ? '>' : ' ', name);
    if (c->done) {
        snprintf(cells[M_WEIGHTS], TABLE_CELL, isinf(c->weights_db) ? "exact" : "%.2f", c->weights_db);
        snprintf(cells[M_OUTPUT], TABLE_CELL, isinf(c->output_db) ? "exact" : "%.2f%s", c->output_db,
                 c->output_db >= best ? " best" : "");
        methods_describe(&c->scheme.methods, &c->calibration, details, sizeof details);
        snprintf(cells[M_DETAILS], TABLE_CELL, "  %s", details);
    } else {
        snprintf(cells[M_OUTPUT], TABLE_CELL, "...");
    }
    table_draw(method_columns, M_COLUMNS, widths, row, cols, c->done ? STYLE_PLAIN : STYLE_DIM, cells);
}

/* What their outputs were compared on (the figures above are of the text being generated), and what is not so any
 * more: the layer's scheme, or other layers, on whose outputs this one's depend. Returns the lines used. */
static int draw_compared(const struct comparison_frame *f, const struct qtensor *p, bool stale, struct rect area)
{
    char scheme[SCHEME_TEXT], name[TEXT_NAME + 2], changed[SCHEME_TEXT + 64] = "";
    struct scheme plain = f->of[0].scheme, now = qtensor_scheme(p);
    plain.methods = now.methods = (struct methods){0};
    if (f->count > 0 && !scheme_equal(&plain, &now))
        snprintf(changed, sizeof changed, " for %s, no longer this layer's scheme", scheme_print(&plain, scheme));
    else if (stale)
        snprintf(changed, sizeof changed, " before other layers changed (C compares again)");
    draw_format(area.row, area.col, area.cols, *changed ? STYLE_STRONG : STYLE_PLAIN, false,
                "methods on %zu tokens of %s%s:", f->tokens, format_cut(name, sizeof name, f->text, 24), changed);
    return 1;
}

/* Shown only for the layer that was compared. Returns the lines used. */
int error_draw_comparison(const struct frame *frame, const struct qtensor *p, struct rect area)
{
    const struct comparison_frame *f = frame->comparison;
    int widths[M_COLUMNS], line = 0;
    double best = -INFINITY;
    if (!f || f->tensor != p->tensor || area.rows < 3)
        return 0;
    table_fit(method_columns, M_COLUMNS, area.cols, widths);
    line += draw_compared(f, p, frame->comparison_stale, area);
    table_draw_titles(method_columns, M_COLUMNS, widths, area.row + line++, area.cols);
    for (size_t i = 0; i < f->count; i++)
        best = f->of[i].done ? fmax(best, f->of[i].output_db) : best;
    for (size_t i = 0; i < f->count && line < area.rows; i++)
        draw_method(&f->of[i], qtensor_has_scheme(p, &f->of[i].scheme), widths, area.row + line++,
                    area.cols, best);
    return line;
}
