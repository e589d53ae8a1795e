/* Screen 3, Roofline: where the scheme, its layers and the snapshots lie under the roofs of this machine. */
#include "tui.h"

#include "batch.h"
#include "canvas.h"

#include "kernels/dispatch.h"
#include "measure/roofline.h"
#include "sys/topology.h"

#include <math.h>
#include <string.h>

enum { MAX_POINTS = 3 + BATCHES + 2 * SNAPSHOTS };

struct point {
    char mark[4], name[24];
    struct work work;
    double tokens;  /* of the work */
    enum peak peak; /* that bounds it */
    enum style style;
};

struct points {
    size_t count;
    struct point of[MAX_POINTS];
};

/* ---- gathering ------------------------------------------------------------------------------- */

static struct point *add(struct points *p, const char *mark, struct work work, double tokens, enum peak peak,
                         enum style style)
{
    struct point *x = &p->of[p->count++];
    *x = (struct point){.work = work, .tokens = tokens, .peak = peak, .style = style};
    snprintf(x->mark, sizeof x->mark, "%s", mark);
    return x;
}

/* The work of so many tokens at a rate. */
static struct work timed(struct work w, double tokens, double rate)
{
    w.seconds = tokens / rate;
    return w;
}

static void add_set(const struct frame *f, struct points *p)
{
    const char *decode = widgets_unicode() ? "●" : "@", *prefill = widgets_unicode() ? "▲" : "^";
    char mark[4];
    if (f->speed.decode.valid)
        snprintf(add(p, decode, timed(work_of_step(f->model, f->set, 1, f->position), 1, f->speed.decode.value), 1,
                     f->speed.peak, STYLE_GOOD)->name, 24, "decode");
    for (size_t i = 0; i < BATCHES; i++) {
        size_t n = (size_t)2 << i;
        if (!f->speed.batch[i].valid || n > f->speed.batch_wanted)
            continue;
        snprintf(mark, sizeof mark, "%zu", n);
        snprintf(add(p, mark, timed(work_of_step(f->model, f->set, n, 2), (double)n, f->speed.batch[i].value),
                     (double)n, f->speed.peak, STYLE_GOOD)->name, 24, "batch of %zu", n);
    }
    if (f->speed.prefill.valid && f->speed.prefill_tokens > 0) {
        double n = (double)f->speed.prefill_tokens;
        struct work w = work_of_prompt(f->model, f->set, f->speed.prefill_tokens);
        snprintf(add(p, prefill, timed(w, n, f->speed.prefill.value), n, f->speed.peak, STYLE_GOOD)->name, 24,
                 "prefill of %zu", f->speed.prefill_tokens);
    }
}

static void add_layer(const struct tui *t, struct points *p)
{
    const struct frame *f = t->frame;
    int tensor = rows_current_tensor(t);
    if (tensor < 0 || tensor == kv_index(f->model) || !f->layers[tensor].seconds.valid)
        return;
    const struct qtensor *w = f->set->layer[tensor];
    struct point *x = add(p, widgets_unicode() ? "○" : "o", work_of_tensor(f->model, w, f->layers[tensor].seconds.value), 1,
                          roofline_peak(isa_current(), &w->matrix.format), STYLE_STRONG);
    snprintf(x->name, sizeof x->name, "%s", layer_name(f->model, tensor));
}

/* A snapshot's multiply-adds are those of the set in use: the same model. */
static void add_snapshots(const struct frame *f, struct points *p)
{
    for (size_t i = 0; i < f->snapshot_count; i++) {
        const struct snapshot *s = &f->snapshots[i];
        char mark[4] = {s->label, 0}, small[4] = {(char)(s->label - 'A' + 'a'), 0};
        if (s->decode.valid) {
            struct work w = work_of_step(f->model, f->set, 1, s->position);
            w.bytes = (double)(s->bytes_per_token + s->position * s->kv_bytes);
            snprintf(add(p, mark, timed(w, 1, s->decode.value), 1, s->peak, STYLE_SECOND)->name, 24,
                     "snapshot %c decode", s->label);
        }
        if (s->prefill.valid && s->prefill_tokens > 0) {
            double n = (double)s->prefill_tokens;
            struct work w = work_of_prompt(f->model, f->set, s->prefill_tokens);
            w.bytes = (double)(s->bytes_per_token + s->prefill_tokens * s->kv_bytes);
            snprintf(add(p, small, timed(w, n, s->prefill.value), n, s->peak, STYLE_SECOND)->name, 24,
                     "snapshot %c prefill", s->label);
        }
    }
}

static struct points gather(const struct tui *t)
{
    struct points p = {0};
    add_set(t->frame, &p);
    add_layer(t, &p);
    add_snapshots(t->frame, &p);
    return p;
}

/* ---- the roofs ------------------------------------------------------------------------------- */

/* Multiply-adds a second of an instruction in the set in use, the best that was seen: whatever else ran meanwhile
 * can only have slowed it. 0 unknown. */
static double peak_rate(const struct frame *f, enum peak peak)
{
    for (size_t i = 0; f->roofs && peak < PEAK_COUNT && i < f->roofs->roofs.set_count; i++) {
        const struct peak_roof *set = &f->roofs->roofs.sets[i];
        if (set->isa == isa_current() && set->of[peak].samples > 0)
            return set->of[peak].rate.max;
    }
    return 0;
}

static double highest_peak(const struct frame *f)
{
    double max = 0;
    for (enum peak k = PEAK_FP32; k < PEAK_COUNT; k++)
        max = fmax(max, peak_rate(f, k));
    return max;
}

static double read_rate(const struct frame *f)
{
    return f->speed.peak_read.valid ? f->speed.peak_read.value : 0;
}

static bool in_cache(const struct work *w)
{
    return w->bytes < (double)topology()->last_level_cache;
}

/* The share of the roof that bounds a point. Below half of it something other than the roofs limits it. */
static void say_bound(const struct frame *f, const struct point *p, char *out, size_t size)
{
    struct verdict v = roofline_judge(&p->work, in_cache(&p->work) ? 0 : read_rate(f), peak_rate(f, p->peak));
    const char *peak = p->peak < PEAK_COUNT ? peaks[p->peak].name : "";
    char share[16];
    format_share(share, v.share, f->speed.roofs_disturbed);
    if (v.bound == BOUND_UNKNOWN && in_cache(&p->work))
        snprintf(out, size, "no roof: in cache");
    else if (v.bound == BOUND_UNKNOWN)
        snprintf(out, size, "n/a: no roofs");
    else if (v.bound == BOUND_MEMORY)
        snprintf(out, size, "%s of the memory roof%s", share, v.share < 0.5 ? ", limited elsewhere" : "");
    else
        snprintf(out, size, "%s of the %s peak%s", share, peak,
                 in_cache(&p->work) ? ", from cache" : v.share < 0.5 ? ", limited elsewhere" : "");
}

/* ---- the plot -------------------------------------------------------------------------------- */

static void widen(struct axis *a, double v)
{
    if (!(v > 0) || !isfinite(v))
        return;
    a->low = fmin(a->low, v);
    a->high = fmax(a->high, v);
}

/* Room for every point and roof, and for where they meet, with a margin. */
static void choose_axes(const struct frame *f, const struct points *p, struct axis *x, struct axis *y)
{
    *x = *y = (struct axis){INFINITY, 0, true};
    for (size_t i = 0; i < p->count; i++) {
        widen(x, work_intensity(&p->of[i].work));
        widen(y, work_rate(&p->of[i].work));
    }
    for (enum peak k = PEAK_FP32; k < PEAK_COUNT; k++) {
        widen(y, peak_rate(f, k));
        if (read_rate(f) > 0)
            widen(x, peak_rate(f, k) / read_rate(f));
    }
    x->low /= 2;
    x->high *= 2;
    y->low /= 2;
    y->high *= 2;
}

static void draw_slope(const struct frame *f, struct canvas *c)
{
    double read = read_rate(f), max = highest_peak(f);
    if (read <= 0)
        return;
    double end = max > 0 ? max / read : c->x.high;
    canvas_line(c, c->x.low, read * c->x.low, end, read * end, STYLE_BAR);
}

static void draw_peaks(const struct frame *f, struct canvas *c)
{
    double read = read_rate(f);
    for (enum peak k = PEAK_FP32; k < PEAK_COUNT; k++) {
        double peak = peak_rate(f, k), from = read > 0 ? peak / read : c->x.low;
        if (peak > 0)
            canvas_line(c, from, peak, c->x.high, peak, STYLE_BAR);
    }
}

/* Names at the right ends of the flat roofs; those that share a line of the screen share the text, too. */
static void label_peaks(const struct frame *f, const struct canvas *c)
{
    char text[PEAK_COUNT][64] = {{0}};
    int row[PEAK_COUNT];
    for (int k = 0; k < PEAK_COUNT; k++) {
        double peak = peak_rate(f, (enum peak)k);
        char one[32], value[16];
        int at = k;
        row[k] = peak > 0 ? canvas_row(c, peak) : -1;
        if (peak <= 0)
            continue;
        for (int other = 0; other < k; other++)
            at = row[other] == row[k] && *text[other] ? other : at;
        snprintf(one, sizeof one, "%s%s %s", *text[at] ? ", " : "", peaks[k].name,
                 format_short(value, peak / 1e9));
        strncat(text[at], one, sizeof text[at] - strlen(text[at]) - 1);
    }
    for (int k = 0; k < PEAK_COUNT; k++)
        if (*text[k])
            draw_text(row[k], c->area.col + c->area.cols - text_width(text[k]), text_width(text[k]), STYLE_STRONG,
                      false, text[k]);
}

static void draw_layers(const struct tui *t, struct canvas *c)
{
    const struct frame *f = t->frame;
    for (int i = 0; i < (int)f->model->tensor_count; i++) {
        struct work w = work_of_tensor(f->model, f->set->layer[i], f->layers[i].seconds.value);
        if (f->layers[i].seconds.valid)
            canvas_dot(c, work_intensity(&w), work_rate(&w), STYLE_DIM);
    }
}

/* The next of 1, 2, 5, 10, 20 ... from a value on. */
static double next_tick(double v)
{
    double ten = pow(10, floor(log10(v)));
    return v <= ten ? ten : v <= 2 * ten ? 2 * ten : v <= 5 * ten ? 5 * ten : 10 * ten;
}

static void label_axes(const struct canvas *c, struct rect area)
{
    char text[24], value[16];
    int last = area.row + area.rows;
    for (double v = next_tick(c->y.low); v <= c->y.high; v = next_tick(v * 1.01)) {
        int row = canvas_row(c, v);
        if (row > area.row && last - row >= 2)
            draw_format(last = row, area.col, 7, STYLE_DIM, false, "%6s", format_short(value, v / 1e9));
    }
    int bottom = area.row + area.rows - 1, end = area.col + area.cols - 17;
    last = -100;
    for (double v = next_tick(c->x.low); v <= c->x.high; v = next_tick(v * 1.01)) {
        int col = canvas_col(c, v);
        snprintf(text, sizeof text, "%s", format_short(value, v));
        if (col > last + 2 && col + text_width(text) < end)
            last = col + draw_text(bottom, col, 8, STYLE_DIM, false, text);
    }
    draw_text(bottom, area.col + area.cols - 15, 15, STYLE_DIM, false, "multiply-adds/B");
    draw_text(area.row, area.col, 7, STYLE_DIM, false, "GMAC/s");
}

/* Beside the middle of what is seen of the slope, where points are rare. Without a peak it leaves at the top. */
static void label_slope(const struct frame *f, const struct canvas *c)
{
    char text[40], value[16];
    double read = read_rate(f), max = highest_peak(f);
    if (read <= 0)
        return;
    double from = fmax(c->x.low, c->y.low / read);
    double to = fmin(c->x.high, (max > 0 ? fmin(max, c->y.high) : c->y.high) / read);
    double middle = sqrt(from * to);
    snprintf(text, sizeof text, "reads %s%s GB/s", format_short(value, read / 1e9),
             f->speed.roofs_disturbed ? "?" : "");
    draw_text(canvas_row(c, read * middle), canvas_col(c, middle) + 3, text_width(text), STYLE_STRONG, false, text);
}

/* The roof of whose runs the best is furthest from the worst; its name, and the unit of its rate. */
static const struct roof *widest_roof(const struct roofs *r, const char **name, const char **unit)
{
    const struct roof *widest = &r->reads[r->read_count - 1].roof;
    *name = "the read bandwidth";
    *unit = "GB/s";
    for (size_t i = 0; i < r->set_count * PEAK_COUNT; i++) {
        const struct roof *one = &r->sets[i / PEAK_COUNT].of[i % PEAK_COUNT];
        if (one->samples == 0 || one->rate.max * widest->rate.min <= widest->rate.max * one->rate.min)
            continue;
        widest = one;
        *name = peaks[i % PEAK_COUNT].name;
        *unit = "GMAC/s";
    }
    return widest;
}

/* Above the plot: why there are no roofs, or that they may be too low. */
static void draw_remark(const struct frame *f, struct rect area)
{
    const struct roofs *r = f->roofs ? &f->roofs->roofs : NULL;
    const char *name, *unit;
    int col = area.col + 8, cols = area.cols - 8;
    if (!r) {
        draw_format(area.row, col, cols, STYLE_WARN, false, "roofs n/a: %s",
                    f->roofs_reason ? f->roofs_reason : "not measured yet");
    } else if (r->exceeded) {
        draw_text(area.row, col, cols, STYLE_WARN, false,
                  "decoding is faster than the roofs allow: they are too low (R measures again)");
    } else if (roofs_were_disturbed(r)) {
        const struct roof *w = widest_roof(r, &name, &unit);
        draw_format(area.row, col, cols, STYLE_WARN, false,
                    "measured on a busy machine (R: again): runs of %s differ, %.0f to %.0f %s", name,
                    w->rate.min / 1e9, w->rate.max / 1e9, unit);
    } else {
        draw_text(area.row, col, cols, STYLE_DIM, false, "b: a larger batch, which reads the weights once");
    }
}

static void draw_plot(const struct tui *t, const struct points *p, struct rect area)
{
    const struct frame *f = t->frame;
    struct canvas c;
    struct axis x, y;
    struct rect inside = {area.row, area.col + 7, area.rows - 1, area.cols - 7};
    choose_axes(f, p, &x, &y);
    if (!canvas_begin(&c, inside, x, y))
        return;
    draw_slope(f, &c);
    draw_peaks(f, &c);
    draw_layers(t, &c);
    canvas_draw(&c);
    label_axes(&c, area);
    label_peaks(f, &c);
    label_slope(f, &c);
    for (size_t i = p->count; i-- > 0;) /* the set's own over the snapshots' */
        canvas_text(&c, work_intensity(&p->of[i].work), work_rate(&p->of[i].work), p->of[i].style, p->of[i].mark);
    canvas_end(&c);
    draw_remark(f, area);
}

/* ---- the table ------------------------------------------------------------------------------- */

enum { C_MARK, C_NAME, C_RATE, C_TOKENS, C_INTENSITY, C_BOUND, COLUMNS };

static const struct column table[COLUMNS] = {
    [C_MARK] = {"", 3},
    [C_NAME] = {"POINT", 20},
    [C_TOKENS] = {"tok/s", 8, .drop = 2, .right = true},
    [C_RATE] = {"GMAC/s", 8, .drop = 3, .right = true},
    [C_INTENSITY] = {"MAC/B", 7, .drop = 1, .right = true},
    [C_BOUND] = {" REACHES", 18, .stretch = true},
};

static void draw_point(const struct frame *f, const struct point *p, const int *widths, int row, int cols)
{
    char c[COLUMNS][TABLE_CELL] = {{0}}, value[16], bound[TABLE_CELL - 1];
    snprintf(c[C_MARK], TABLE_CELL, "%s", p->mark);
    snprintf(c[C_NAME], TABLE_CELL, "%s", p->name);
    snprintf(c[C_RATE], TABLE_CELL, "%s", format_short(value, work_rate(&p->work) / 1e9));
    snprintf(c[C_TOKENS], TABLE_CELL, "%s", format_short(value, p->tokens / p->work.seconds));
    snprintf(c[C_INTENSITY], TABLE_CELL, "%s", format_short(value, work_intensity(&p->work)));
    say_bound(f, p, bound, sizeof bound);
    snprintf(c[C_BOUND], TABLE_CELL, " %s", bound);
    table_draw(table, COLUMNS, widths, row, cols, p->style == STYLE_STRONG ? STYLE_STRONG : STYLE_PLAIN, c);
}

static void draw_table(const struct frame *f, const struct points *p, struct rect area)
{
    int widths[COLUMNS], line = area.row;
    table_fit(table, COLUMNS, area.cols, widths);
    widths[C_BOUND] = area.cols;
    for (int i = 0; i < C_BOUND; i++)
        widths[C_BOUND] -= widths[i];
    if (area.rows > 2)
        table_draw_titles(table, COLUMNS, widths, line++, area.cols);
    int end = area.row + area.rows;
    for (size_t i = 0; i < p->count && line < end; i++)
        if (line + 1 == end && i + 1 < p->count)
            draw_format(line++, area.col, area.cols, STYLE_DIM, false, "and %zu more", p->count - i);
        else
            draw_point(f, &p->of[i], widths, line++, area.cols);
}

void roofline_draw(struct tui *t, struct rect area)
{
    const struct frame *f = t->frame;
    struct points p = gather(t);
    int lines = (int)p.count + 1, max = area.rows >= 12 ? area.rows / 2 : area.rows;
    if (area.rows < 1)
        return;
    if (p.count == 0 || (!f->roofs && area.rows < 2)) {
        draw_text(area.row, area.col, area.cols, STYLE_DIM, false, "measuring the first points...");
        return;
    }
    int below = lines < max ? lines : max;
    struct rect plot = {area.row, area.col, area.rows - below, area.cols};
    if (plot.rows >= 6)
        draw_plot(t, &p, plot);
    else
        plot.rows = 0;
    draw_table(f, &p, (struct rect){area.row + plot.rows, area.col, area.rows - plot.rows, area.cols});
}

bool roofline_act(struct tui *t, enum action a)
{
    if (a != ACTION_BATCH_MORE && a != ACTION_BATCH_LESS)
        return layers_act(t, a);
    tui_send(t, &(struct command){.kind = COMMAND_BATCH, .direction = a == ACTION_BATCH_MORE ? 1 : -1});
    return true;
}
