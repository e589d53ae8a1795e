/* Screen 8, Advise: the schemes worth considering, from large to small, as they are measured. */
#include "tui.h"

#include "batch.h"
#include "scales.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { C_MARK, C_SCHEME, C_BITS, C_FILE, C_MEMORY, C_DECODE, C_PREFILL, C_KL, C_TOP1, COUNT };

static const struct column table[COUNT] = {
    [C_MARK] = {"", 2},
    [C_SCHEME] = {"SCHEME", 12, .stretch = true},
    [C_BITS] = {"BITS", 6, .drop = 2, .right = true},
    [C_FILE] = {"FILE", 7, .drop = 5, .right = true},
    [C_MEMORY] = {"MEMORY", 7, .drop = 1, .right = true},
    [C_DECODE] = {"DECODE/s", 9, .right = true},
    [C_PREFILL] = {"PREFILL", 8, .drop = 3, .right = true},
    [C_KL] = {"KL", 14, .right = true},
    [C_TOP1] = {"TOP-1", 7, .drop = 4, .right = true},
};

/* ---- the order of rows ------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const struct advise_row *const *x = a, *const *y = b;
    size_t p = advise_bytes(*x), q = advise_bytes(*y);
    return p != q ? (p < q) - (p > q) : (*x > *y) - (*x < *y);
}

enum { ROWS_MOST = 64 };

/* Rows from large to small; their sizes are known before they are measured, so that none moves. */
static size_t sorted_rows(const struct advise_frame *f, const struct advise_row *out[ROWS_MOST])
{
    size_t n = f ? (f->count < ROWS_MOST ? f->count : ROWS_MOST) : 0;
    for (size_t i = 0; i < n; i++)
        out[i] = &f->of[i];
    qsort(out, n, sizeof *out, by_size);
    return n;
}

static const struct advise_row *row_under_cursor(const struct tui *t)
{
    const struct advise_row *rows[ROWS_MOST];
    size_t n = sorted_rows(t->frame->advise, rows);
    return t->advised < n ? rows[t->advised] : NULL;
}

static const struct advise_row *taken_row(const struct tui *t)
{
    const struct advise_frame *f = t->frame->advise;
    return f && f->pick[t->goal] < f->count ? &f->of[f->pick[t->goal]] : NULL;
}

/* ---- the table --------------------------------------------------------------------------------- */

static void speed_cells(const struct advise_row *r, char c[COUNT][TABLE_CELL])
{
    if (advise_is_timed(r)) {
        snprintf(c[C_DECODE], TABLE_CELL, r->decode.median < 10 ? "%.2f%s" : "%.0f%s", r->decode.median,
                 advise_disturbed(r) ? "?" : "");
        snprintf(c[C_PREFILL], TABLE_CELL, "%.0f", r->prefill.median);
    } else if (isfinite(r->predicted)) {
        snprintf(c[C_DECODE], TABLE_CELL, r->predicted < 10 ? "~%.2f" : "~%.0f", r->predicted);
    } else {
        snprintf(c[C_DECODE], TABLE_CELL, "n/a");
    }
}

/* What a row waits for stands where its figures will be. */
static void quality_cells(const struct advise_row *r, bool advising, char c[COUNT][TABLE_CELL])
{
    static const char *const states[] = {[ADVISE_WAITING] = "waiting", [ADVISE_MAKING] = "quantizing",
                                         [ADVISE_TIMING] = "timing", [ADVISE_LEFT_OUT] = "left out"};
    bool some = (r->state == ADVISE_EVALUATING && r->quality.scored > 0) || r->state == ADVISE_MEASURED;
    if (!some) {
        bool stopped = r->state == ADVISE_WAITING && !advising;
        snprintf(c[C_KL], TABLE_CELL, "%s",
                 stopped ? "not measured" : r->state == ADVISE_EVALUATING ? "evaluating" : states[r->state]);
        return;
    }
    const char *partial = r->state == ADVISE_EVALUATING ? ".." : "";
    if (!isfinite(r->quality.kl)) {
        snprintf(c[C_KL], TABLE_CELL, "n/a");
        return;
    }
    if (*partial)
        snprintf(c[C_KL], TABLE_CELL, "%.4f..", r->quality.kl);
    else
        format_kl(c[C_KL], r->quality.kl, r->quality.kl_stderr, widgets_unicode());
    snprintf(c[C_TOP1], TABLE_CELL, "%.1f%%%s", 100 * r->quality.top1, partial);
}

static void draw_row(const struct tui *t, const struct advise_row *r, const int *widths, int row, int cols,
                     bool selected)
{
    char c[COUNT][TABLE_CELL] = {0}, bytes[16];
    bool taken = r == taken_row(t);
    enum style style = selected ? STYLE_SELECTED : taken ? STYLE_GOOD : r->front ? STYLE_STRONG : STYLE_PLAIN;
    snprintf(c[C_MARK], TABLE_CELL, "%c", taken ? '>' : r->front ? '*' : ' ');
    snprintf(c[C_SCHEME], TABLE_CELL, "%.60s", r->scheme);
    snprintf(c[C_BITS], TABLE_CELL, "%.2f", r->bits_per_weight_all);
    snprintf(c[C_FILE], TABLE_CELL, "%s", r->file ? format_bytes(bytes, (double)r->file) : "none");
    snprintf(c[C_MEMORY], TABLE_CELL, "%s", format_bytes(bytes, (double)r->memory));
    speed_cells(r, c);
    quality_cells(r, t->frame->advising, c);
    table_draw(table, COUNT, widths, row, cols, style, c);
    if (!selected && r->state == ADVISE_MEASURED)
        table_draw_cell(table, widths, C_KL, row, scale_style(&scale_kl, r->quality.kl, style), c[C_KL]);
}

/* ---- below the table ----------------------------------------------------------------------------- */

static int draw_choice(const struct tui *t, int row, int cols)
{
    const struct advise_row *r = taken_row(t);
    char limits[LIMITS_TEXT], asked[LIMITS_TEXT + 40];
    advise_limits_print(&t->frame->advise_limits, limits);
    snprintf(asked, sizeof asked, "(f: %s%s%s)", advise_goal_name(t->goal), *limits ? "; l: " : "", limits);
    if (r && advise_goal_met(t->goal, r))
        draw_format(row, 0, cols, STYLE_GOOD, false, "> %s: %s%s %s", r->scheme, advise_goal_words(t->goal),
                    advise_goal_sure(t->goal, r) ? "" : ", within its error", asked);
    else if (r)
        draw_format(row, 0, cols, STYLE_WARN, false, "none %s; closest: %s %s", advise_goal_keeps(t->goal), r->scheme,
                    asked);
    else
        draw_format(row, 0, cols, STYLE_DIM, false, "none%s %s %s", t->frame->advising ? " yet" : "",
                    advise_goal_keeps(t->goal), asked);
    return row + 1;
}

struct words {
    char text[1024];
    size_t used;
};

static void __attribute__((format(printf, 2, 3))) add(struct words *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(w->text + w->used, sizeof w->text - w->used, format, args);
    va_end(args);
    w->used = n > 0 && w->used + (size_t)n < sizeof w->text ? w->used + (size_t)n : sizeof w->text - 1;
}

/* Every figure of the row under the cursor. */
static void describe(const struct tui *t, const struct advise_row *r, struct words *w)
{
    const char *sign = widgets_unicode() ? "\u00b1" : "+-";
    char text[32];
    add(w, "%s: ", r->scheme);
    if (*r->verdict)
        add(w, "%s; ", r->verdict);
    if (r->state == ADVISE_MEASURED && isfinite(r->quality.kl))
        add(w, "KL %s, top-1 %.1f%s%.1f %%; ", format_kl(text, r->quality.kl, r->quality.kl_stderr, widgets_unicode()),
            100 * r->quality.top1, sign, 100 * quality_top1_stderr(&r->quality));
    if (advise_is_timed(r))
        add(w, "decode %.1f (%.1f to %.1f) tokens/s, ", r->decode.median, r->decode.min, r->decode.max);
    if (isfinite(r->predicted))
        add(w, "%.1f by the read bandwidth; ", r->predicted);
    add(w, "memory %s with a KV cache of %zu positions; ", format_bytes(text, (double)r->memory), t->session->context);
    add(w, "exports: %s", r->exports);
}

/* What is measured, and, where some rows are not there, which are. */
static void draw_text_of_figures(const struct tui *t, int row, int cols)
{
    const struct advise_frame *f = t->frame->advise;
    char name[TEXT_NAME + 2], of[24] = "", rows[64] = "";
    size_t first = t->advise_top + 1, last = t->advise_top + (size_t)(t->advise_end - t->advise_row);
    size_t measured = 0;
    for (size_t i = 0; i < f->count; i++)
        measured += f->of[i].state >= ADVISE_MEASURED;
    if (last < f->count || first > 1)
        snprintf(rows, sizeof rows, "rows %zu to %zu of %zu; ", first, last, f->count);
    if (t->frame->advising)
        snprintf(of, sizeof of, " of %zu", f->count);
    if (f->tokens > 0)
        draw_format(row, 0, cols, STYLE_DIM, false, "%s%zu%s measured on %s, %zu tokens; > take * front ~ at most ? busy",
                    rows, measured, of, format_cut(name, sizeof name, f->text, 16), f->tokens);
}

static void draw_below(const struct tui *t, struct rect area)
{
    const struct advise_row *r = row_under_cursor(t);
    struct words words = {0};
    int line = area.row, end = area.row + area.rows;
    if (line < end)
        line = draw_choice(t, line, area.cols);
    if (r && line < end - 1) {
        struct rect at = {line, 0, end - 1 - line, area.cols};
        describe(t, r, &words);
        draw_wrapped(at, words.text, SIZE_MAX, STYLE_PLAIN, STYLE_PLAIN);
    }
    if (line < end)
        draw_text_of_figures(t, end - 1, area.cols);
}

/* ---- the screen ---------------------------------------------------------------------------------- */

static const char *const introduction =
    "A measures the schemes worth considering on this machine: size, speed, KL and top-1, and says which to take. The "
    "text goes on meanwhile.";

void advise_draw(struct tui *t, struct rect area)
{
    const struct advise_row *rows[ROWS_MOST];
    size_t n = sorted_rows(t->frame->advise, rows);
    int widths[COUNT], line = area.row, below = area.rows > 12 ? 6 : area.rows > 6 ? 2 : area.rows > 3;
    if (area.rows < 1)
        return;
    if (n == 0) {
        draw_wrapped(area, t->frame->advising ? "the first texts are being prepared" : introduction, SIZE_MAX, STYLE_DIM,
                     STYLE_DIM);
        return;
    }
    table_fit(table, COUNT, area.cols, widths);
    if (area.rows > 2)
        table_draw_titles(table, COUNT, widths, line++, area.cols);
    for (size_t i = 0; i < n && !t->advise_moved; i++) /* until it is moved, the cursor is where to take */
        if (rows[i] == taken_row(t))
            t->advised = i;
    if (t->advised >= n)
        t->advised = n - 1;
    size_t room = (size_t)(area.row + area.rows - below - line);
    size_t top = t->advised >= room ? t->advised - room + 1 : 0;
    t->advise_row = line;
    t->advise_top = top;
    for (size_t i = top; i < n && i < top + room; i++)
        draw_row(t, rows[i], widths, line++, area.cols, i == t->advised);
    t->advise_end = line;
    draw_below(t, (struct rect){line, area.col, area.row + area.rows - line, area.cols});
}

void advise_click(struct tui *t, int row)
{
    t->advise_moved = true;
    if (row >= t->advise_row && row < t->advise_end)
        t->advised = t->advise_top + (size_t)(row - t->advise_row);
}

static bool apply(struct tui *t)
{
    const struct advise_row *r = row_under_cursor(t);
    if (r)
        tui_send(t, &(struct command){.kind = COMMAND_MIX, .text = r->scheme, .index = 1});
    return r != NULL;
}

/* Within the size of the row under the cursor. */
static void refine(struct tui *t)
{
    const struct advise_row *r = row_under_cursor(t);
    char budget[64] = "";
    if (r && !t->frame->tuning)
        snprintf(budget, sizeof budget, "size %.4gM%s", (double)advise_bytes(r) / 1e6, r->file ? " for gguf" : " for memory");
    ask_tune(t, budget);
}

static void move_cursor(struct tui *t, long by)
{
    size_t n = t->frame->advise ? t->frame->advise->count : 0;
    long to = (long)t->advised + by;
    t->advise_moved = true;
    t->advised = to < 0 || n == 0 ? 0 : to >= (long)n ? n - 1 : (size_t)to;
}

bool advise_act(struct tui *t, enum action a)
{
    switch (a) {
    case ACTION_UP:
        move_cursor(t, -1);
        return true;
    case ACTION_DOWN:
        move_cursor(t, 1);
        return true;
    case ACTION_PAGE_UP:
    case ACTION_HOME:
        move_cursor(t, -ROWS_MOST);
        return true;
    case ACTION_PAGE_DOWN:
    case ACTION_END:
        move_cursor(t, ROWS_MOST);
        return true;
    case ACTION_ADVISED_APPLY:
        if (!apply(t))
            tui_note(t, "no scheme to apply yet: A measures those worth considering");
        return true;
    case ACTION_ADVISED_EXPORT:
        if (apply(t))
            ask_export(t, row_under_cursor(t)->scheme);
        return true;
    case ACTION_ADVISED_REFINE:
        refine(t);
        return true;
    case ACTION_LIMITS:
        ask_limits(t);
        return true;
    case ACTION_GOAL:
        t->advise_moved = false;
        t->goal = (t->goal + 1) % GOALS;
        return true;
    default:
        return false;
    }
}
