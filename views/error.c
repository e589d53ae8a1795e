/* Screen 2, Error: what quantization did to the selected layer. */
#include "error.h"

#include <math.h>

/* ---- figures --------------------------------------------------------------------------------- */

static void draw_figures(const struct tui *t, const struct qtensor *p, struct rect area)
{
    const struct frame *f = t->frame;
    const struct tensor *x = &f->model->tensors[p->tensor];
    char scheme[SCHEME_TEXT], weight[32], output[48], shape[32];
    double db = weight_error_sqnr_db(&p->error);
    snprintf(weight, sizeof weight, isinf(db) ? "exact" : "%.2f dB", db);
    const struct output_frame *o = error_output(f, p);
    const struct detail *d = error_detail(f, p);
    if (!o || !o->sqnr_db.valid)
        snprintf(output, sizeof output, "n/a");
    else
        snprintf(output, sizeof output, isinf(o->sqnr_db.value) ? "exact" : "%.2f dB", o->sqnr_db.value);
    snprintf(shape, sizeof shape, "%zux%zu", x->stored.rows, x->stored.cols);
    int col = draw_format(area.row, area.col, area.cols, STYLE_STRONG, false, "%s %s  %s  ", x->name,
                          shape, qtensor_print_scheme(p, scheme));
    draw_format(area.row, area.col + col, area.cols - col, STYLE_GOOD, false,
                "SQNR weights %s, output %s", weight, output);
    if (area.rows < 2)
        return;
    if (p->error.exact) {
        draw_text(area.row + 1, area.col, area.cols, STYLE_DIM, false,
                  f->model->reference ? "lossless: identical to the reference's weights"
                                      : "lossless: identical to the stored weights (d: a smaller datatype)");
        return;
    }
    col = draw_format(area.row + 1, area.col, area.cols, STYLE_PLAIN, false,
                      "max |e| %.4g at row %zu, column %zu", (double)p->error.max_abs,
                      p->error.max_row, p->error.max_col);
    if (d)
        draw_format(area.row + 1, area.col + col, area.cols - col, STYLE_PLAIN, false,
                    "  MSE %.3g  cosine %.6f  clipped %.3g %%", d->mse, d->cosine,
                    100 * d->clipped);
}

/* ---- the number line ------------------------------------------------------------------------- */

/* The arithmetic of quantization on this weight, with its numbers. */
static void draw_arithmetic(const struct qtensor *p, const struct weight_view *v, struct rect area)
{
    const struct qformat *s = &p->matrix.format;
    const struct dtype_info *type = &dtypes[s->weight];
    char text[256];
    if (!v->coded)
        snprintf(text, sizeof text, "columns %zu..%zu are one block of %s  ->  w' = %.7g   e = %.3g",
                 v->group_begin, v->group_end - 1, type->name, v->decoded, v->decoded - v->w);
    else if (v->outlier)
        snprintf(text, sizeof text, "a column of outlier activations, kept in fp16  ->  w' = %.7g   e = %.3g",
                 v->decoded, v->decoded - v->w);
    else if (v->input_scale != 1)
        snprintf(text, sizeof text, "w x %.4g / %.6f -> code %ld  ->  (%ld - %ld) x %.6f / %.4g = %.5f  e %+.3g",
                 v->input_scale, v->scale, v->code, v->code, v->zero, v->scale, v->input_scale, v->decoded,
                 v->decoded - v->w);
    else if (type->kind != DTYPE_KIND_INTEGER)
        snprintf(text, sizeof text, type->kind == DTYPE_KIND_FLOAT
                                        ? "code 0x%lx  ->  w' = %.7g   e = %.3g"
                                        : "w / scale = code 0x%lx  ->  w' = %.7g   e = %.3g   scale %.6g",
                 v->code, v->decoded, v->decoded - v->w, v->scale);
    else if (s->asym)
        snprintf(text, sizeof text, "round(%.5f / %.6f) + %ld = %ld  ->  (%ld - %ld) x %.6f = %.5f  e %+.3g",
                 v->w, v->scale, v->zero, v->code, v->code, v->zero, v->scale, v->decoded,
                 v->decoded - v->w);
    else
        snprintf(text, sizeof text, "round(%.5f / %.6f) = %ld  ->  %ld x %.6f = %.5f  e %+.3g = %+.2f steps",
                 v->w, v->scale, v->code, v->code, v->scale, v->decoded, v->decoded - v->w,
                 (v->decoded - v->w) / v->scale);
    draw_text(area.row, area.col, area.cols, STYLE_PLAIN, false, text);
}

static double value_of_code(const struct weight_view *v, long code)
{
    return (double)(code - v->zero) * v->scale / v->input_scale;
}

static int column_of(double value, double low, double high, int cols)
{
    double at = (value - low) / (high - low) * (cols - 1);
    return at < 0 ? 0 : at > cols - 1 ? cols - 1 : (int)lround(at);
}

/* Codes as ticks, higher where more weights of the group sit on them; below, w and w'. */
static void draw_axis(const struct weight_view *v, struct rect area)
{
    double low = v->group_min, high = v->group_max;
    bool codes = v->highest > v->lowest;
    if (codes) {
        low = fmin(low, value_of_code(v, v->lowest));
        high = fmax(high, value_of_code(v, v->highest));
    }
    if (!(high > low) || area.cols < 20)
        return;
    uint32_t max = 1;
    for (int i = 0; i < CODE_LABELS; i++)
        max = v->counts[i] > max ? v->counts[i] : max;
    for (int c = 0; c < area.cols; c++)
        draw_text(area.row, area.col + c, 1, STYLE_DIM, false, "-");
    for (long code = v->lowest; codes && code <= v->highest; code++) {
        int at = column_of(value_of_code(v, code), low, high, area.cols);
        uint32_t n = v->counts[code - v->lowest];
        const char *tick = n == 0 ? "'" : n * 3 < max ? "." : n * 3 < max * 2 ? "+" : "#";
        draw_text(area.row, area.col + at, 1, n ? STYLE_BAR : STYLE_DIM, false, tick);
    }
    int w = column_of(v->w, low, high, area.cols), q = column_of(v->decoded, low, high, area.cols);
    if (area.rows > 1) {
        draw_text(area.row + 1, area.col + w, 1, STYLE_GOOD, false, "w");
        draw_text(area.row + 1, area.col + (q == w && q + 1 < area.cols ? q + 1 : q), 2, STYLE_SECOND,
                  false, "w'");
    }
    if (area.rows > 2) {
        draw_format(area.row + 2, area.col, area.cols / 3, STYLE_DIM, false, "%.4g", low);
        char end[24];
        snprintf(end, sizeof end, "%.4g", high);
        draw_text(area.row + 2, area.col + area.cols - text_width(end), 24, STYLE_DIM, false, end);
        draw_format(area.row + 2, area.col + area.cols / 3, area.cols / 3, STYLE_DIM, false,
                    codes      ? "codes %ld..%ld"
                    : v->coded ? "range of the row"
                               : "range of the block",
                    v->lowest, v->highest);
    }
}

static void draw_number_line(const struct tui *t, const struct qtensor *p, struct rect area)
{
    const struct weight_view *v = error_weight(t->frame, p);
    if (!v || area.rows < 2)
        return;
    char scale[64] = "", zero[32] = "", input[40] = "";
    if (p->matrix.format.asym)
        snprintf(zero, sizeof zero, "  zero point %ld", v->zero);
    if (v->coded && p->matrix.scale_type != SCALE_NONE)
        snprintf(scale, sizeof scale, "  scale %.6g%s", v->scale, zero);
    if (v->coded && v->input_scale != 1)
        snprintf(input, sizeof input, "  input scale %.4g", v->input_scale);
    draw_format(area.row, area.col, area.cols, STYLE_STRONG, false,
                "weight [%zu, %zu] = %.7g   %s %zu..%zu%s%s", v->row, v->col, v->w,
                v->coded ? "group" : "block", v->group_begin, v->group_end - 1, scale, input);
    draw_arithmetic(p, v, (struct rect){area.row + 1, area.col, 1, area.cols});
    draw_axis(v, (struct rect){area.row + 2, area.col, area.rows - 2, area.cols});
}

/* ---- histograms ------------------------------------------------------------------------------ */

/* SQNR of the rows (output channels), as a histogram. */
static struct histogram row_histogram(const struct qtensor *p)
{
    double low = INFINITY, high = -INFINITY;
    for (size_t r = 0; r < p->matrix.rows; r++) {
        double db = p->error.row_sqnr_db[r];
        if (isfinite(db)) {
            low = fmin(low, db);
            high = fmax(high, db);
        }
    }
    struct histogram h = histogram_over(low <= high ? low : 0, low <= high ? high : 1);
    for (size_t r = 0; r < p->matrix.rows; r++)
        if (isfinite(p->error.row_sqnr_db[r]))
            histogram_add(&h, p->error.row_sqnr_db[r]);
    return h;
}

static void swap_cells(struct rect *cell, int a, int b, int c, int d)
{
    struct rect first = cell[a], second = cell[c];
    cell[a] = cell[b];
    cell[b] = first;
    cell[c] = cell[d];
    cell[d] = second;
}

/* A histogram's cell when there is none, and why. */
static void draw_absent(struct rect cell, const char *title, const char *reason)
{
    if (cell.rows < 2)
        return;
    draw_text(cell.row, cell.col, cell.cols, STYLE_STRONG, false, title);
    draw_text(cell.row + 1, cell.col, cell.cols, STYLE_DIM, false, reason);
}

static void draw_output_errors(const struct frame *f, const struct qtensor *p, struct rect cell, bool log)
{
    char title[64];
    const struct output_frame *o = error_output(f, p);
    snprintf(title, sizeof title, "output error, %zu tokens", o ? o->tokens : 0);
    if (!tensor_multiplies(f->model, p->tensor))
        draw_absent(cell, "output error", "n/a: not a matrix product");
    else
        draw_histogram(cell, title, o && o->tokens ? &o->errors : NULL, NULL, log);
}

static void draw_scales(const struct detail *d, struct rect cell, bool log)
{
    char title[64];
    snprintf(title, sizeof title, "%zu scale%s, mean %.4g", d->scale_count, d->scale_count == 1 ? "" : "s",
             d->scale_mean);
    if (d->scale_count > 0)
        draw_histogram(cell, title, &d->scales, NULL, log);
    else
        draw_absent(cell, "scales", "n/a: a float has none");
}

static void draw_histograms(const struct tui *t, const struct qtensor *p, struct rect area)
{
    /* In the order in which they get room. */
    enum { WEIGHTS, ERRORS, OUTPUTS, CHANNELS, SCALES, DEPTH, STEPS, X_RANGES, W_RANGES, CELLS };
    const struct frame *f = t->frame;
    const struct detail *d = error_detail(f, p);
    struct rect cell[CELLS];
    bool log = t->log_scale;
    if (!d) {
        draw_text(area.row, area.col, area.cols, STYLE_DIM, false, "computing histograms...");
        return;
    }
    bool quantized = !p->error.exact;
    if (!quantized) {
        layout_grid(area, 2, 2, 26, 4, cell);
        draw_histogram(cell[0], "weights", &d->before, NULL, log);
        error_draw_depth(f, cell[1]);
        return;
    }
    layout_grid(area, CELLS, 3, 26, 4, cell);
    draw_histogram(cell[WEIGHTS], "weights: bars w, marks w'", &d->before, &d->after, log);
    error_draw_depth(f, cell[DEPTH]);
    /* With an input scale, ranges get room before channels and scales. */
    bool scaled = p->matrix.input_transform && p->matrix.input_transform->scale;
    if (scaled)
        swap_cells(cell, CHANNELS, X_RANGES, SCALES, W_RANGES);
    error_draw_ranges(f, p, cell[X_RANGES], cell[W_RANGES]);
    draw_histogram(cell[ERRORS], "error w'-w", &d->error, NULL, log);
    draw_output_errors(f, p, cell[OUTPUTS], log);
    if (d->error_steps.total > 0)
        draw_histogram(cell[STEPS], "error in steps of the scale", &d->error_steps, NULL, log);
    else
        draw_absent(cell[STEPS], "error in steps of the scale", "n/a: a float has no steps");
    struct histogram rows = row_histogram(p);
    draw_histogram(cell[CHANNELS], "SQNR of channels, dB", &rows, NULL, log);
    draw_scales(d, cell[SCALES], log);
}

static void leave_out(struct rect *area, int lines)
{
    area->row += lines;
    area->rows -= lines;
}

void error_draw(struct tui *t, struct rect area)
{
    int tensor = rows_current_tensor(t);
    if (tensor < 0 || area.rows < 1)
        return;
    if (tensor == kv_index(t->session->model)) {
        draw_text(area.row, area.col, area.cols, STYLE_DIM, false,
                  "the KV cache holds no weights: KL and perplexity above show the cost of its datatype");
        return;
    }
    const struct qtensor *p = t->frame->set->layer[tensor];
    int head = area.rows >= 4 ? 2 : 1, line = area.rows >= 10 ? 5 : area.rows - head;
    draw_figures(t, p, (struct rect){area.row, area.col, head, area.cols});
    struct rect middle = {area.row + head, area.col, area.rows - head - line, area.cols};
    leave_out(&middle, error_draw_training(t->frame, tensor, middle));
    leave_out(&middle, middle.rows >= 12 ? error_draw_salient(t->frame, p, middle) : 0);
    leave_out(&middle, error_draw_comparison(t->frame, p, middle));
    if (middle.rows >= 3)
        draw_histograms(t, p, middle);
    draw_number_line(t, p, (struct rect){area.row + area.rows - line, area.col, line, area.cols});
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void step_weight(struct tui *t, const struct qmatrix *m, int direction)
{
    size_t at = t->weight_row * m->cols + t->weight_col, n = m->rows * m->cols;
    at = direction > 0 ? (at + 1) % n : (at + n - 1) % n;
    t->weight_row = at / m->cols;
    t->weight_col = at % m->cols;
    tui_select(t);
}

bool error_act(struct tui *t, enum action a)
{
    int tensor = rows_current_tensor(t);
    if (tensor < 0 || tensor == kv_index(t->session->model))
        return layers_act(t, a);
    const struct qtensor *p = t->frame->set->layer[tensor];
    switch (a) {
    case ACTION_LEFT:
    case ACTION_RIGHT:
        step_weight(t, &p->matrix, a == ACTION_RIGHT ? 1 : -1);
        return true;
    case ACTION_WORST:
        t->weight_row = p->error.max_row;
        t->weight_col = p->error.max_col;
        tui_select(t);
        return true;
    case ACTION_LOG_SCALE:
        t->log_scale = !t->log_scale;
        return true;
    default:
        return layers_act(t, a);
    }
}
