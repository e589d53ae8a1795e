/* Screen 5, Compare: the snapshots side by side. */
#include "tui.h"

#include "batch.h"
#include "canvas.h"
#include "scales.h"

#include "measure/speed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A summary is at most SCHEME_TEXT long; a cell holds what a column can show. */
enum { C_LABEL, C_SCHEME, C_SIZE, C_BITS, C_DECODE, C_RATIO, C_RATE, C_SQNR, C_KL, C_PPL, C_TOP1, C_PREFILL, COUNT };

static const struct column table[COUNT] = {
    [C_LABEL] = {"", 3},
    [C_SCHEME] = {"SCHEME", 14, .stretch = true},
    [C_SIZE] = {"SIZE", 8, .drop = 7, .right = true},
    [C_BITS] = {"BITS", 7, .drop = 6, .right = true},
    [C_DECODE] = {"DECODE/s", 9, .right = true},
    [C_RATIO] = {"VS BASE", 19, .drop = 5, .right = true},
    [C_RATE] = {"GB/s", 7, .drop = 1, .right = true},
    [C_SQNR] = {"SQNR", 7, .drop = 2, .right = true},
    [C_KL] = {"KL", 10, .right = true},
    [C_PPL] = {"PPL", 11, .drop = 8, .right = true},
    [C_TOP1] = {"TOP-1", 8, .drop = 4, .right = true},
    [C_PREFILL] = {"PREFILL", 9, .drop = 3, .right = true},
};

static const struct snapshot *base_of(const struct tui *t)
{
    for (size_t i = 0; i < t->frame->snapshot_count; i++)
        if (t->frame->snapshots[i].label == t->base)
            return &t->frame->snapshots[i];
    return &t->frame->snapshots[0];
}

/* ---- the table ------------------------------------------------------------------------------- */

/* Why the quality of a row is not comparable with the base's; null where it is, or there is none. */
static const char *incomparable(const struct tui *t, const struct snapshot *s)
{
    return frame_incomparable(t->frame, (size_t)(base_of(t) - t->frame->snapshots), s);
}

static void quality_cells(const struct tui *t, const struct snapshot *s, char c[COUNT][TABLE_CELL])
{
    static const int columns[] = {C_KL, C_PPL, C_TOP1};
    const struct quality_frame *q = &s->quality;
    bool known = q->valid && isfinite(q->result.kl) && isfinite(q->result.perplexity) && !incomparable(t, s);
    for (size_t i = 0; i < sizeof columns / sizeof *columns && !known; i++)
        snprintf(c[columns[i]], TABLE_CELL, "n/a");
    if (!known)
        return;
    const char *partial = q->running ? ".." : "";
    snprintf(c[C_KL], TABLE_CELL, q->result.kl > 0 && q->result.kl < 1e-3 ? "%.1e%s" : "%.4f%s", q->result.kl,
             partial);
    snprintf(c[C_PPL], TABLE_CELL, "%.3f%s", q->result.perplexity, partial);
    snprintf(c[C_TOP1], TABLE_CELL, "%.1f%%%s", 100 * q->result.top1, partial);
}

/* Of rounds, with its interval, where both were timed in the same ones. What was seen while each was in use was seen at
 * different times, and is no ratio. */
static void ratio_cell(const struct snapshot *s, const struct snapshot *base, char out[TABLE_CELL])
{
    size_t rounds = s->timed.rounds < base->timed.rounds ? s->timed.rounds : base->timed.rounds;
    if (s == base) {
        snprintf(out, TABLE_CELL, "base");
    } else if (rounds >= LEAST_ROUNDS) {
        struct ratio r = ratio_of(s->timed.rate, base->timed.rate, rounds);
        snprintf(out, TABLE_CELL, "%.2fx (%.2f-%.2f)", r.median, r.low, r.high);
    } else {
        snprintf(out, TABLE_CELL, "n/a (press v)");
    }
}

/* Prompts of other lengths than the base's are marked with theirs. */
static void prefill_cell(const struct snapshot *s, const struct snapshot *base, char out[TABLE_CELL])
{
    format_metric(out, TABLE_CELL, "%.0f", s->prefill, 1);
    if (s->prefill.valid && base->prefill.valid && s->prefill_tokens != base->prefill_tokens)
        snprintf(out, TABLE_CELL, "%.0f@%zu", s->prefill.value, s->prefill_tokens);
}

static void sqnr_cell(const struct snapshot *s, char out[TABLE_CELL])
{
    if (!s->sqnr_db.valid)
        snprintf(out, TABLE_CELL, "n/a");
    else
        snprintf(out, TABLE_CELL, isinf(s->sqnr_db.value) ? "exact" : "%.1f", s->sqnr_db.value);
}

static void draw_row(const struct tui *t, const struct snapshot *s, const int *widths, int row,
                     int cols, bool selected)
{
    char c[COUNT][TABLE_CELL] = {0}, bytes[16];
    bool here = t->frame->current_snapshot == (int)(s - t->frame->snapshots);
    snprintf(c[C_LABEL], TABLE_CELL, "%c%c", here ? '>' : ' ', s->label);
    snprintf(c[C_SCHEME], TABLE_CELL, *s->name ? "%.31s: %.30s" : "%s%.60s", s->name, s->summary);
    snprintf(c[C_SIZE], TABLE_CELL, "%s", format_bytes(bytes, (double)s->size));
    snprintf(c[C_BITS], TABLE_CELL, "%.2f", s->bits_per_weight);
    format_metric(c[C_DECODE], TABLE_CELL, "%.0f", snapshot_decode(s), 1);
    prefill_cell(s, base_of(t), c[C_PREFILL]);
    format_metric(c[C_RATE], TABLE_CELL, "%.1f", snapshot_decode(s), (double)s->bytes_per_token / 1e9);
    ratio_cell(s, base_of(t), c[C_RATIO]);
    sqnr_cell(s, c[C_SQNR]);
    quality_cells(t, s, c);
    table_draw(table, COUNT, widths, row, cols, selected ? STYLE_SELECTED : STYLE_PLAIN, c);
    if (selected)
        return;
    double kl = s->quality.valid && !incomparable(t, s) ? s->quality.result.kl : NAN;
    double sqnr = s->sqnr_db.valid ? s->sqnr_db.value : NAN;
    table_draw_cell(table, widths, C_SQNR, row, scale_style(&scale_sqnr, sqnr, STYLE_PLAIN), c[C_SQNR]);
    table_draw_cell(table, widths, C_KL, row, scale_style(&scale_kl, kl, STYLE_PLAIN), c[C_KL]);
}

/* What the figures of quality are of, and why a row has none. */
static void draw_basis(const struct tui *t, int row, int cols)
{
    const struct quality_result *r = frame_basis(t->frame, (size_t)(base_of(t) - t->frame->snapshots));
    char line[256], name[TEXT_NAME + 2];
    if (!r)
        return;
    const struct quality_basis *b = &r->basis;
    int n = snprintf(line, sizeof line, "quality on %s, %zu tokens (%s, windows of %zu)",
                     format_cut(name, sizeof name, b->text, 24), b->tokens, protocol_name(b->protocol), b->window);
    for (size_t i = 0; i < t->frame->snapshot_count && n < (int)sizeof line; i++) {
        const struct snapshot *s = &t->frame->snapshots[i];
        const char *why = incomparable(t, s);
        if (why)
            n += snprintf(line + n, sizeof line - (size_t)n, "; %c n/a: %s", s->label, why);
        else if (s->quality.running)
            n += snprintf(line + n, sizeof line - (size_t)n, "; %c.. so far", s->label);
    }
    draw_text(row, 0, cols, STYLE_DIM, false, line);
}

/* ---- the scatter: size or speed against KL ------------------------------------------------------ */

struct point {
    double x, kl;
    char label[SNAPSHOTS + 1]; /* of all snapshots that stand there */
};

static double x_of(const struct tui *t, const struct snapshot *s)
{
    struct metric rate = snapshot_decode(s);
    return t->by_speed ? (rate.valid ? rate.value : NAN) : (double)s->size;
}

/* Snapshots at the same place share a point. */
static void add_point(struct point *points, size_t *n, double x, double kl, char label)
{
    size_t i = 0;
    while (i < *n && !(points[i].x == x && points[i].kl == kl))
        i++;
    if (i == *n)
        points[(*n)++] = (struct point){.x = x, .kl = kl};
    points[i].label[strlen(points[i].label)] = label;
}

/* Those whose figures are known; a KL of 0 stands on the lower edge. */
static size_t find_points(const struct tui *t, struct point points[SNAPSHOTS])
{
    size_t n = 0;
    for (size_t i = 0; i < t->frame->snapshot_count; i++) {
        const struct snapshot *s = &t->frame->snapshots[i];
        double x = x_of(t, s);
        if (s->quality.valid && !s->quality.running && isfinite(s->quality.result.kl) && !incomparable(t, s) && x > 0)
            add_point(points, &n, x, s->quality.result.kl, s->label);
    }
    return n;
}

static int by_x(const void *a, const void *b)
{
    const struct point *p = a, *q = b;
    return (p->x > q->x) - (p->x < q->x);
}

/* The Pareto front, from the best x on. */
static void draw_front(struct canvas *c, struct point *points, size_t n, bool more_is_better)
{
    double best = INFINITY, x = NAN, y = NAN;
    qsort(points, n, sizeof *points, by_x);
    for (size_t k = 0; k < n; k++) {
        const struct point *s = &points[more_is_better ? n - 1 - k : k];
        double kl = fmax(s->kl, c->y.low);
        if (s->kl >= best)
            continue;
        best = s->kl;
        if (!isnan(x)) {
            canvas_line(c, x, y, s->x, y, STYLE_BAR);
            canvas_line(c, s->x, y, s->x, kl, STYLE_BAR);
        }
        x = s->x;
        y = kl;
    }
}

static void draw_scatter(const struct tui *t, struct rect area)
{
    struct point points[SNAPSHOTS];
    size_t n = find_points(t, points);
    struct axis x = {INFINITY, 0, true}, y = {INFINITY, 0, true};
    struct canvas c;
    char low[16], high[16];
    bool zero = false; /* stands on the lower edge, which is then 0 */
    for (size_t i = 0; i < n; i++) {
        zero |= points[i].kl == 0;
        x.low = fmin(x.low, points[i].x / 1.1);
        x.high = fmax(x.high, points[i].x * 1.1);
        y.low = points[i].kl > 0 ? fmin(y.low, points[i].kl / 2) : y.low;
        y.high = fmax(y.high, points[i].kl * 2);
    }
    if (area.rows < 6)
        return;
    if (n < 2 || !(y.high > 0)) {
        draw_format(area.row, area.col, area.cols, STYLE_DIM, false,
                    "KL against %s: fewer than two points so far (> changes the x axis)",
                    t->by_speed ? "decode tokens/s" : "size");
        return;
    }
    if (!canvas_begin(&c, (struct rect){area.row + 1, area.col + 9, area.rows - 2, area.cols - 9}, x, y))
        return;
    draw_format(area.row, area.col, area.cols, STYLE_STRONG, false,
                "KL against %s, with the Pareto front (> changes the x axis)",
                t->by_speed ? "decode tokens/s" : "size");
    draw_front(&c, points, n, t->by_speed);
    canvas_draw(&c);
    for (size_t i = 0; i < n; i++)
        canvas_text(&c, points[i].x, fmax(points[i].kl, c.y.low), STYLE_GOOD, points[i].label);
    draw_format(area.row + 1, area.col, 9, STYLE_DIM, false, "%.1e", c.y.high);
    draw_format(area.row + area.rows - 2, area.col, 9, STYLE_DIM, false, zero ? "0" : "%.1e", c.y.low);
    draw_text(area.row + area.rows - 1, area.col + 9, 10, STYLE_DIM, false, format_short(low, c.x.low));
    format_short(high, c.x.high);
    draw_text(area.row + area.rows - 1, area.col + area.cols - text_width(high), 10, STYLE_DIM, false, high);
    canvas_end(&c);
}

/* ---- which layers differ --------------------------------------------------------------------- */

static void draw_differences(const struct tui *t, const struct snapshot *s, struct rect area)
{
    const struct snapshot *base = base_of(t);
    const struct model *m = t->frame->model;
    char here[SCHEME_TEXT], there[SCHEME_TEXT];
    int line = 1, half = (area.cols - 22) / 2;
    size_t more = 0;
    if (area.rows < 2)
        return;
    draw_format(area.row, area.col, area.cols, STYLE_STRONG, false, "%c against %c: layers that differ", s->label,
                base->label);
    for (int i = 0; i < (int)schemes_count(m); i++) {
        const struct scheme *a = &s->schemes->of[i], *b = &base->schemes->of[i];
        if (scheme_equal(a, b))
            continue;
        if (line + 1 >= area.rows) {
            more++;
            continue;
        }
        draw_text(area.row + line, area.col, 21, STYLE_PLAIN, false, layer_name(m, i));
        draw_text(area.row + line, area.col + 22, half - 1, STYLE_GOOD, false, scheme_print(a, here));
        draw_text(area.row + line++, area.col + 22 + half, half, STYLE_PLAIN, false, scheme_print(b, there));
    }
    if (line == 1)
        draw_text(area.row + 1, area.col, area.cols, STYLE_DIM, false, "none");
    if (more > 0)
        draw_format(area.row + line, area.col, area.cols, STYLE_DIM, false, "and %zu more", more);
}

/* ---- the screen ------------------------------------------------------------------------------ */

void compare_draw(struct tui *t, struct rect area)
{
    const struct frame *f = t->frame;
    if (area.rows < 1)
        return;
    if (f->snapshot_count == 0) {
        draw_text(area.row, area.col, area.cols, STYLE_DIM, false,
                  "no snapshots yet: s keeps one; change a layer, then s again");
        return;
    }
    int line = area.row, widths[COUNT];
    table_fit(table, COUNT, area.cols, widths);
    if (area.rows > 2)
        table_draw_titles(table, COUNT, widths, line++, area.cols);
    if (t->snapshot >= f->snapshot_count)
        t->snapshot = f->snapshot_count - 1;
    size_t room = (size_t)(area.row + area.rows - line);
    if (area.rows > 16 && f->snapshot_count > room / 2)
        room /= 2; /* the rest is for what stands below */
    size_t top = t->snapshot >= room ? t->snapshot - room + 1 : 0;
    t->snapshot_row = line;
    t->snapshot_top = top;
    for (size_t i = top; i < f->snapshot_count && i < top + room; i++)
        draw_row(t, &f->snapshots[i], widths, line++, area.cols, i == t->snapshot);
    t->snapshots_end = line;
    if (line + 1 < area.row + area.rows)
        draw_basis(t, line, area.cols);
    if (*f->snapshots[t->snapshot].note && ++line + 1 < area.row + area.rows)
        draw_format(line, 0, area.cols, STYLE_STRONG, false, "%c: %s", f->snapshots[t->snapshot].label,
                    f->snapshots[t->snapshot].note);
    struct rect below = {line + 1, area.col, area.row + area.rows - line - 1, area.cols};
    if (t->differences)
        draw_differences(t, &f->snapshots[t->snapshot], below);
    else
        draw_scatter(t, below);
}

void compare_click(struct tui *t, int row)
{
    if (row >= t->snapshot_row && row < t->snapshots_end)
        t->snapshot = t->snapshot_top + (size_t)(row - t->snapshot_row);
}

static void edit_snapshot(struct tui *t, enum action a)
{
    if (t->snapshot >= t->frame->snapshot_count) {
        tui_note(t, "no snapshots yet: s keeps one");
        return;
    }
    const struct snapshot *s = &t->frame->snapshots[t->snapshot];
    t->edited = s->label;
    if (a == ACTION_DELETE_SNAPSHOT)
        stop_begin_snapshot(t, s);
    else if (a == ACTION_NAME_SNAPSHOT)
        ask_begin(t, ASK_NAME, s->name);
    else
        ask_begin(t, ASK_NOTE, s->note);
}

bool compare_act(struct tui *t, enum action a)
{
    size_t n = t->frame->snapshot_count;
    switch (a) {
    case ACTION_UP:
        t->snapshot -= t->snapshot > 0;
        return true;
    case ACTION_DOWN:
        t->snapshot += t->snapshot + 1 < n;
        return true;
    case ACTION_HOME:
        t->snapshot = 0;
        return true;
    case ACTION_END:
        t->snapshot = n > 0 ? n - 1 : 0;
        return true;
    case ACTION_RESTORE:
        tui_send(t, &(struct command){.kind = COMMAND_RESTORE, .index = (int)t->snapshot});
        return true;
    case ACTION_BASE:
        t->base = n > 0 ? t->frame->snapshots[t->snapshot].label : 0;
        return true;
    case ACTION_NAME_SNAPSHOT:
    case ACTION_ANNOTATE_SNAPSHOT:
    case ACTION_DELETE_SNAPSHOT:
        edit_snapshot(t, a);
        return true;
    case ACTION_DIFFERENCES:
        t->differences = !t->differences;
        return true;
    case ACTION_PLOT:
        t->by_speed = !t->by_speed;
        return true;
    default:
        return false;
    }
}
