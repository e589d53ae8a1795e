/* Screen 2: what quantization did to the selected layer. */
#include "canvas.h"
#include "tui.h"

#include <math.h>
#include <string.h>

/* ---- figures --------------------------------------------------------------------------------- */

static void draw_figures(const struct tui *t, const struct packed *p, struct rect area)
{
    const struct frame *f = t->frame;
    const struct tensor *x = &f->model->tensors[p->tensor];
    char scheme[SCHEME_TEXT], weight[32], output[48], shape[32];
    double db = weight_error_sqnr_db(&p->error);
    snprintf(weight, sizeof weight, isinf(db) ? "exact" : "%.2f dB", db);
    if (!f->output.sqnr_db.valid)
        snprintf(output, sizeof output, "n/a");
    else
        snprintf(output, sizeof output, isinf(f->output.sqnr_db.value) ? "exact" : "%.2f dB",
                 f->output.sqnr_db.value);
    snprintf(shape, sizeof shape, "%zux%zu", x->stored.rows, x->stored.cols);
    int col = draw_format(area.row, area.col, area.cols, STYLE_STRONG, false, "%s %s  %s  ", x->name,
                          shape, scheme_print(&p->matrix.scheme, scheme));
    draw_format(area.row, area.col + col, area.cols - col, STYLE_GOOD, false,
                "SQNR weights %s, output %s", weight, output);
    if (area.rows < 2)
        return;
    if (p->error.exact) {
        draw_text(area.row + 1, area.col, area.cols, STYLE_DIM, false,
                  f->model->reference ? "every weight is exactly the reference's"
                                      : "every weight is exactly the stored one: press d for a smaller "
                                        "datatype");
        return;
    }
    col = draw_format(area.row + 1, area.col, area.cols, STYLE_PLAIN, false,
                      "max |e| %.4g at row %zu, column %zu", (double)p->error.max_abs,
                      p->error.max_row, p->error.max_col);
    if (f->detail)
        draw_format(area.row + 1, area.col + col, area.cols - col, STYLE_PLAIN, false,
                    "  MSE %.3g  cosine %.6f  clipped %.3g %%", f->detail->mse, f->detail->cosine,
                    100 * f->detail->clipped);
}

/* ---- the number line ------------------------------------------------------------------------- */

/* The written-out arithmetic of quantization on this weight. */
static void draw_arithmetic(const struct packed *p, const struct weight_view *v, struct rect area)
{
    const struct scheme *s = &p->matrix.scheme;
    const struct dtype_info *type = &dtypes[s->weight];
    char text[256];
    if (!v->coded)
        snprintf(text, sizeof text, "columns %zu..%zu are one block of %s  ->  w' = %.7g   e = %.3g",
                 v->group_begin, v->group_end - 1, type->name, v->decoded, v->decoded - v->w);
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
    return (double)(code - v->zero) * v->scale;
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
    uint32_t most = 1;
    for (int i = 0; i < CODE_LABELS; i++)
        most = v->counts[i] > most ? v->counts[i] : most;
    for (int c = 0; c < area.cols; c++)
        draw_text(area.row, area.col + c, 1, STYLE_DIM, false, "-");
    for (long code = v->lowest; codes && code <= v->highest; code++) {
        int at = column_of(value_of_code(v, code), low, high, area.cols);
        uint32_t n = v->counts[code - v->lowest];
        const char *tick = n == 0 ? "'" : n * 3 < most ? "." : n * 3 < most * 2 ? "+" : "#";
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

static void draw_number_line(const struct tui *t, const struct packed *p, struct rect area)
{
    const struct weight_view *v = &t->frame->weight;
    if (!v->valid || v->tensor != p->tensor || area.rows < 2)
        return;
    char scale[64] = "", zero[32] = "";
    if (p->matrix.scheme.asym)
        snprintf(zero, sizeof zero, "  zero point %ld", v->zero);
    if (v->coded)
        snprintf(scale, sizeof scale, "  scale %.6g%s", v->scale, zero);
    draw_format(area.row, area.col, area.cols, STYLE_STRONG, false,
                "weight [%zu, %zu] = %.7g   %s %zu..%zu%s", v->row, v->col, v->w,
                v->coded ? "group" : "block", v->group_begin, v->group_end - 1, scale);
    draw_arithmetic(p, v, (struct rect){area.row + 1, area.col, 1, area.cols});
    draw_axis(v, (struct rect){area.row + 2, area.col, area.rows - 2, area.cols});
}

/* ---- histograms ------------------------------------------------------------------------------ */

/* SQNR of the rows (output channels), as a histogram. */
static struct histogram row_histogram(const struct packed *p)
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

/* ---- where divergence begins ----------------------------------------------------------------- */

/* The hidden state's relative error after the embedding and every half block, on a logarithmic scale: the
 * first layers are often orders of magnitude better than the last. */
static void draw_curve(const struct depth_profile *p, struct rect area)
{
    struct canvas c;
    double least = INFINITY, most = 0;
    for (size_t i = 0; i < p->count; i++) {
        least = p->error[i] > 0 ? fmin(least, p->error[i]) : least;
        most = fmax(most, p->error[i]);
    }
    least = fmax(least, most * 1e-4);
    if (!canvas_begin(&c, area, (struct axis){0, (double)(p->count - 1), false},
                      (struct axis){least / 1.5, most * 1.5, true}))
        return;
    for (size_t i = 0; i + 1 < p->count; i++)
        canvas_line(&c, (double)i, fmax(p->error[i], least / 1.5), (double)(i + 1),
                    fmax(p->error[i + 1], least / 1.5), STYLE_BAR);
    canvas_draw(&c);
    canvas_end(&c);
}

static void draw_depth(const struct frame *f, struct rect area)
{
    const struct depth_profile *p = f->depth;
    char name[DEPTH_NAME], last[16];
    if (area.rows < 3 || area.cols < 12)
        return;
    draw_text(area.row, area.col, area.cols, STYLE_STRONG, false, "hidden state's error by depth");
    if (!p) {
        draw_text(area.row + 1, area.col, area.cols, STYLE_DIM, false, "n/a: it follows an evaluation");
        return;
    }
    if (depth_steepest(p) == 0 && p->error[0] == 0) {
        draw_text(area.row + 1, area.col, area.cols, STYLE_DIM, false, "no difference anywhere");
        return;
    }
    draw_curve(p, (struct rect){area.row + 1, area.col, area.rows - 2, area.cols});
    depth_name(depth_steepest(p), name);
    snprintf(last, sizeof last, "%.2g", p->error[p->count - 1]);
    draw_format(area.row + area.rows - 1, area.col, area.cols - (int)strlen(last) - 1, STYLE_DIM, false,
                "most at %s", name);
    draw_text(area.row + area.rows - 1, area.col + area.cols - (int)strlen(last), 16, STYLE_DIM, false, last);
}

static void draw_histograms(const struct tui *t, const struct packed *p, struct rect area)
{
    enum { WEIGHTS, ERRORS, OUTPUTS, CHANNELS, SCALES, DEPTH, STEPS, CELLS }; /* what fits, in this order */
    const struct frame *f = t->frame;
    const struct detail *d = f->detail;
    struct rect cell[CELLS];
    char title[64];
    bool log = t->log_scale;
    if (!d) {
        draw_text(area.row, area.col, area.cols, STYLE_DIM, false, "counting...");
        return;
    }
    bool quantized = !p->error.exact;
    if (!quantized) {
        layout_grid(area, 2, 2, 26, 4, cell);
        draw_histogram(cell[0], "weights", &d->before, NULL, log);
        draw_depth(f, cell[1]);
        return;
    }
    layout_grid(area, CELLS, 3, 26, 4, cell);
    draw_histogram(cell[WEIGHTS], "weights: bars w, marks w'", &d->before, &d->after, log);
    draw_depth(f, cell[DEPTH]);
    draw_histogram(cell[ERRORS], "error w'-w", &d->error, NULL, log);
    snprintf(title, sizeof title, "output error, %zu tokens", f->output.tokens);
    draw_histogram(cell[OUTPUTS], title, f->output.tokens ? &f->output.errors : NULL, NULL, log);
    if (d->error_steps.total > 0)
        draw_histogram(cell[STEPS], "error in steps of the scale", &d->error_steps, NULL, log);
    else
        draw_text(cell[STEPS].row, cell[STEPS].col, cell[STEPS].rows ? cell[STEPS].cols : 0, STYLE_DIM,
                  false, "no uniform steps in a float");
    struct histogram rows = row_histogram(p);
    draw_histogram(cell[CHANNELS], "SQNR of channels, dB", &rows, NULL, log);
    snprintf(title, sizeof title, "%zu scale%s, mean %.4g", d->scale_count,
             d->scale_count == 1 ? "" : "s", d->scale_mean);
    draw_histogram(cell[SCALES], title, d->scale_count ? &d->scales : NULL, NULL, log);
}

void error_draw(struct tui *t, struct rect area)
{
    int tensor = layers_current_tensor(t);
    if (tensor < 0 || area.rows < 1)
        return;
    if (tensor == kv_index(t->session->model)) {
        draw_text(area.row, area.col, area.cols, STYLE_DIM, false,
                  "the KV cache holds no weights: what its datatype costs is KL and perplexity above");
        return;
    }
    const struct packed *p = t->frame->set->layer[tensor];
    int head = area.rows >= 4 ? 2 : 1, line = area.rows >= 10 ? 5 : area.rows - head;
    draw_figures(t, p, (struct rect){area.row, area.col, head, area.cols});
    struct rect middle = {area.row + head, area.col, area.rows - head - line, area.cols};
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
    int tensor = layers_current_tensor(t);
    if (tensor < 0 || tensor == kv_index(t->session->model))
        return layers_act(t, a);
    const struct packed *p = t->frame->set->layer[tensor];
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
