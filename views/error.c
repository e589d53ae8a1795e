/* Screen 2, Error: what quantization did to the selected layer. */
#include "error.h"
#include "flow.h"

#include <math.h>

/* ---- figures --------------------------------------------------------------------------------- */

/* "18.90 dB", "exact" or "n/a". */
static const char *format_db(char out[24], bool valid, double db)
{
    snprintf(out, 24, !valid ? "n/a" : isinf(db) ? "exact" : "%.2f dB", db);
    return out;
}

/* Lines used. */
static int draw_figures(const struct tui *t, const struct qtensor *p, struct rect area)
{
    const struct frame *f = t->frame;
    const struct tensor *x = &f->model->tensors[p->tensor];
    const struct output_frame *o = frame_output(f, p);
    const struct detail *d = frame_detail(f, p);
    char scheme[SCHEME_TEXT], weight[24], output[24];
    struct flow line = flow_begin(area);
    flow_put(&line, STYLE_STRONG, "%s %zux%zu  %s", x->name, x->stored.rows, x->stored.cols,
             qtensor_print_scheme(p, scheme));
    if (*f->model->reference_reason) {
        flow_put(&line, STYLE_DIM, "SQNR n/a");
        line.used = area.cols;
        flow_put(&line, STYLE_WARN, "errors of layers n/a: %s", f->model->reference_reason);
        return line.lines;
    }
    flow_put(&line, STYLE_GOOD, area.cols < 60 ? "SQNR weights %s, output %s" : "SQNR weights %s, live output %s",
             format_db(weight, true, weight_error_sqnr_db(&p->error)),
             format_db(output, o && o->sqnr_db.valid, o ? o->sqnr_db.value : 0));
    line.used = area.cols; /* the rest stands below */
    if (p->error.exact) {
        flow_put(&line, STYLE_DIM, f->model->reference
                                       ? "lossless: identical to the reference's weights"
                                       : "lossless: identical to the stored weights (d: a smaller datatype)");
        return line.lines;
    }
    flow_put(&line, STYLE_PLAIN, "max |e| %.4g at row %zu, column %zu", (double)p->error.max_abs, p->error.max_row,
             p->error.max_col);
    if (d) {
        flow_put(&line, STYLE_PLAIN, "MSE %.3g", d->mse);
        flow_put(&line, STYLE_PLAIN, "cosine %.6f", d->cosine);
        flow_put(&line, STYLE_PLAIN, "clipped %.3g %%", 100 * d->clipped);
    }
    if (p->error.overflowed > 0)
        flow_put(&line, STYLE_WARN, "%zu overflow %s", p->error.overflowed, dtypes[p->matrix.format.weight].name);
    return line.lines;
}

/* ---- the number line ------------------------------------------------------------------------- */

/* What the code was chosen for, where that is not the weight itself, or why it is not known. */
static void put_target(struct flow *line, const struct qtensor *p, const struct weight_view *v)
{
    struct scheme s = qtensor_scheme(p);
    const char *what = scheme_method(&s, PHASE_TRAINING) ? "trained" : "compensated";
    bool other = (float)v->target != (float)v->w * (float)v->input_scale; /* w is another model's */
    if (isnan(v->target))
        flow_put(line, STYLE_DIM, "%s w n/a: kept of rows 0..%zu, %zu..%zu", what, v->targets_first - 1,
                 v->targets_around, v->targets_end - 1);
    else if (v->target_differs)
        flow_put(line, STYLE_PLAIN, "%s w = %.7g", what, v->target);
    else if (v->input_scale != 1)
        flow_put(line, STYLE_PLAIN, "%s x %.4g = %.7g", other ? "stored w" : "w", v->input_scale, v->target);
    else if (other)
        flow_put(line, STYLE_PLAIN, "stored w = %.7g", v->target);
}

/* Rounding, with its numbers: an integer that the grid lacks becomes its end. */
static void put_rounding(struct flow *line, const struct qmatrix *m, const struct weight_view *v)
{
    bool integer = dtypes[m->format.weight].kind == DTYPE_KIND_INTEGER;
    long code = integer && isfinite(v->target) ? lround(rint(v->target / v->scale)) + v->zero : v->code;
    char zero[32] = "";
    if (m->format.asym)
        snprintf(zero, sizeof zero, " + %ld", v->zero);
    if (isnan(v->target))
        flow_put(line, STYLE_PLAIN, integer ? "code %ld" : "code 0x%lx", v->code);
    else if (!integer && m->scale_type == SCALE_NONE)
        flow_put(line, STYLE_PLAIN, "code 0x%lx", v->code);
    else if (!integer)
        flow_put(line, STYLE_PLAIN, "%.5g / %.6g = code 0x%lx", v->target, v->scale, v->code);
    else if (code < v->lowest || code > v->highest)
        flow_put(line, STYLE_PLAIN, "round(%.5g / %.6g)%s = %ld, clipped to %ld", v->target, v->scale, zero, code, v->code);
    else
        flow_put(line, STYLE_PLAIN, "round(%.5g / %.6g)%s = %ld", v->target, v->scale, zero, v->code);
}

/* What the code stands for. */
static void put_value(struct flow *line, const struct qmatrix *m, const struct weight_view *v)
{
    char input[32] = "", code[64];
    if (v->input_scale != 1)
        snprintf(input, sizeof input, " / %.4g", v->input_scale);
    snprintf(code, sizeof code, m->format.asym ? "(%ld - %ld)" : "%ld", v->code, v->zero);
    if (dtypes[m->format.weight].kind == DTYPE_KIND_INTEGER)
        flow_put(line, STYLE_PLAIN, "-> %s x %.6g%s = %.5g", code, v->scale, input, v->decoded);
    else
        flow_put(line, STYLE_PLAIN, "-> w' = %.7g", v->decoded);
}

/* The arithmetic of quantization on this weight, with its numbers. */
static void put_arithmetic(struct flow *line, const struct qtensor *p, const struct weight_view *v)
{
    const struct qmatrix *m = &p->matrix;
    double e = v->decoded - v->w;
    if (!v->coded) {
        flow_put(line, STYLE_PLAIN, "columns %zu..%zu are one block of %s", v->group_begin, v->group_end - 1,
                 dtypes[m->format.weight].name);
        flow_put(line, STYLE_PLAIN, "-> w' = %.7g", v->decoded);
    } else if (v->outlier) {
        flow_put(line, STYLE_PLAIN, "a column of outlier activations, kept in fp16");
        flow_put(line, STYLE_PLAIN, "-> w' = %.7g", v->decoded);
    } else {
        put_target(line, p, v);
        put_rounding(line, m, v);
        put_value(line, m, v);
    }
    if (v->coded && !v->outlier && dtypes[m->format.weight].kind == DTYPE_KIND_INTEGER)
        flow_put(line, STYLE_PLAIN, "e %+.3g = %+.2f steps", e, e * v->input_scale / v->scale);
    else
        flow_put(line, STYLE_PLAIN, "e %+.3g", e);
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
    if (!(high > low) || area.cols < 20 || area.rows < 1)
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
        if (v->target_differs && !isnan(v->target))
            draw_text(area.row + 1, area.col + column_of(v->target / v->input_scale, low, high, area.cols), 1, STYLE_WARN,
                      false, "t");
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

/* The axis has what the numbers leave, at least a line. */
static void draw_number_line(const struct tui *t, const struct qtensor *p, struct rect area)
{
    const struct weight_view *v = &t->frame->weight;
    if (!v->valid || v->tensor != p->tensor || area.rows < 2)
        return;
    struct flow line = flow_begin((struct rect){area.row, area.col, area.rows > 3 ? area.rows - 2 : 2, area.cols});
    flow_put(&line, STYLE_STRONG, "weight [%zu, %zu] = %.7g", v->row, v->col, v->w);
    flow_put(&line, STYLE_STRONG, "%s %zu..%zu", v->coded ? "group" : "block", v->group_begin, v->group_end - 1);
    if (v->coded && p->matrix.scale_type != SCALE_NONE)
        flow_put(&line, STYLE_STRONG, "scale %.6g", v->scale);
    if (p->matrix.format.asym)
        flow_put(&line, STYLE_STRONG, "zero point %ld", v->zero);
    if (v->coded && v->input_scale != 1)
        flow_put(&line, STYLE_STRONG, "input scale %.4g", v->input_scale);
    line.used = area.cols; /* the arithmetic begins a line */
    put_arithmetic(&line, p, v);
    draw_axis(v, (struct rect){area.row + line.lines, area.col, area.rows - line.lines, area.cols});
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
    const struct output_frame *o = frame_output(f, p);
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
    const struct detail *d = frame_detail(f, p);
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
        size_t overflowed = t->frame->quality.result.kv_overflowed;
        draw_text(area.row, area.col, area.cols, STYLE_DIM, false,
                  "the KV cache holds no weights: KL and perplexity above show the cost of its datatype");
        if (t->frame->quality.valid && overflowed > 0 && area.rows > 1)
            draw_format(area.row + 1, area.col, area.cols, STYLE_WARN, false,
                        "%zu keys and values overflowed it in the evaluation", overflowed);
        return;
    }
    const struct qtensor *p = t->frame->set->layer[tensor];
    int head = area.rows >= 14 ? 4 : area.rows >= 12 ? 3 : area.rows >= 4 ? 2 : 1;
    head = draw_figures(t, p, (struct rect){area.row, area.col, head, area.cols});
    int line = area.rows >= 14 && area.cols < 100 ? 6 : area.rows >= 10 ? 5 : area.rows - head;
    struct rect middle = {area.row + head, area.col, area.rows - head - line, area.cols};
    leave_out(&middle, error_draw_training(t->frame, tensor, middle));
    leave_out(&middle, middle.rows >= 12 ? error_draw_salient(t->frame, p, middle) : 0);
    leave_out(&middle, error_draw_comparison(t->frame, p, middle));
    if (middle.rows >= 3 && !*t->frame->model->reference_reason)
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
