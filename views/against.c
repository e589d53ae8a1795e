/* The Against screen: two files side by side, and which of them is better. */
#include "against.h"

#include "batch.h"
#include "flow.h"
#include "scales.h"

#include <math.h>
#include <string.h>

enum { C_LABEL, C_FILE, C_SIZE, C_BITS, C_PPL, C_KL, C_TOP1, C_DECODE, C_PREFILL, COUNT };

enum { SPREAD = 20, RATE = 7 /* columns of a rate with its spread, and without */ };

static const struct column table[COUNT] = {
    [C_LABEL] = {"", 3},
    [C_FILE] = {"FILE", 13, .stretch = true},
    [C_SIZE] = {"SIZE", 7, .drop = 3, .right = true},
    [C_BITS] = {"BITS", 6, .drop = 2, .right = true},
    [C_PPL] = {"PPL", 10, .drop = 5, .right = true},
    [C_KL] = {"KL OF REF", 15, .right = true},
    [C_TOP1] = {"TOP-1", 7, .drop = 4, .right = true},
    [C_DECODE] = {"DECODE/s", SPREAD, .right = true},
    [C_PREFILL] = {"PREFILL/s", SPREAD + 1, .drop = 1, .right = true},
};

/* ---- the two files --------------------------------------------------------------------------- */

static void rate_cell(const double rates[AGAINST_ROUNDS], size_t rounds, int width, char out[TABLE_CELL])
{
    struct stats s = against_rate(rates, rounds);
    char median[16], low[16], high[16];
    if (rounds == 0)
        snprintf(out, TABLE_CELL, "-");
    else if (width < SPREAD)
        snprintf(out, TABLE_CELL, "%s", format_short(median, s.median));
    else
        snprintf(out, TABLE_CELL, "%s (%s-%s)", format_short(median, s.median), format_short(low, s.min),
                 format_short(high, s.max));
}

static void kl_cell(const struct quality_result *r, char out[TABLE_CELL])
{
    char kl[32];
    if (r->scored == 0)
        snprintf(out, TABLE_CELL, "-");
    else if (!isfinite(r->kl))
        snprintf(out, TABLE_CELL, "n/a");
    else if (!quality_is_complete(r))
        snprintf(out, TABLE_CELL, "%.4f..", r->kl);
    else
        snprintf(out, TABLE_CELL, "%s", format_kl(kl, r->kl, r->kl_stderr, widgets_unicode()));
}

/* Perplexity is known from whichever evaluation ran the file. */
static void perplexity_cell(const struct against_figures *g, int which, char out[TABLE_CELL])
{
    const struct quality_result *own = &g->from_reference[which], *pair = &g->from_a;
    bool here = own->scored > 0;
    double perplexity = here ? own->perplexity : which == 0 ? pair->perplexity_reference : pair->perplexity;
    const struct quality_result *r = here ? own : pair;
    if (r->scored == 0)
        snprintf(out, TABLE_CELL, "-");
    else
        snprintf(out, TABLE_CELL, !isfinite(perplexity) ? "n/a" : perplexity < 100 ? "%.3f%s" : "%.1f%s", perplexity,
                 quality_is_complete(r) ? "" : "..");
}

static void draw_file(const struct tui *t, int which, const int *widths, int row, int cols)
{
    const struct against_frame *f = t->frame->against;
    const struct against_figures *g = &f->figures;
    const struct model *m = which == 0 ? t->session->model : t->session->other_model;
    const struct weights *set = which == 0 ? t->session->stored : t->session->other;
    const struct quality_result *r = &g->from_reference[which];
    char c[COUNT][TABLE_CELL] = {0}, bytes[16], name[64];
    name_file(m->path, name, sizeof name);
    snprintf(c[C_LABEL], TABLE_CELL, " %c", "ab"[which]);
    format_cut(c[C_FILE], TABLE_CELL, name, widths[C_FILE] > 3 ? (size_t)widths[C_FILE] - 1 : 3);
    snprintf(c[C_SIZE], TABLE_CELL, "%s", format_bytes(bytes, (double)weights_size(set)));
    snprintf(c[C_BITS], TABLE_CELL, "%.2f", weights_totals(m, set, 0).bits_per_weight_all);
    perplexity_cell(g, which, c[C_PPL]);
    kl_cell(r, c[C_KL]);
    if (r->scored > 0 && isfinite(r->top1))
        snprintf(c[C_TOP1], TABLE_CELL, "%.1f%%", 100 * r->top1);
    rate_cell(g->speed.decode[which], g->speed.rounds, widths[C_DECODE], c[C_DECODE]);
    rate_cell(g->speed.prefill[which], g->speed.rounds, widths[C_PREFILL], c[C_PREFILL]);
    table_draw(table, COUNT, widths, row, cols, STYLE_PLAIN, c);
    if (r->scored > 0)
        table_draw_cell(table, widths, C_KL, row, scale_style(&scale_kl, r->kl, STYLE_PLAIN), c[C_KL]);
}

static int draw_files(const struct tui *t, struct rect area, bool titles)
{
    struct column columns[COUNT];
    int widths[COUNT], line = area.row;
    memcpy(columns, table, sizeof table);
    if (!t->frame->against->figures.has_reference)
        columns[C_KL].width = columns[C_TOP1].width = 0;
    if (area.cols < 60)
        columns[C_DECODE].width = RATE;
    table_fit(columns, COUNT, area.cols, widths);
    if (titles)
        table_draw_titles(columns, COUNT, widths, line++, area.cols);
    draw_file(t, 0, widths, line++, area.cols);
    draw_file(t, 1, widths, line++, area.cols);
    return line - area.row;
}

/* ---- what differs ---------------------------------------------------------------------------- */

static void put_ratio(struct flow *flow, const char *what, const double x[AGAINST_ROUNDS],
                      const double base[AGAINST_ROUNDS], size_t rounds)
{
    if (rounds == 0)
        return;
    struct ratio r = ratio_of(x, base, rounds);
    flow_put(flow, STYLE_PLAIN, "%s %.2fx (%.2f-%.2f)", what, r.median, r.low, r.high);
}

static void put_facts(struct flow *flow, const struct against_frame *f)
{
    const struct against_facts *facts = f->facts;
    char bytes[16];
    flow_put(flow, STYLE_PLAIN, "%zu of %zu layers have another type", facts->types, f->count);
    if (f->figures.layers == f->count)
        flow_put(flow, STYLE_PLAIN, "%zu have equal weights", f->figures.equal);
    if (f->figures.layers == f->count && f->figures.linear.e2 > 0)
        flow_put(flow, STYLE_PLAIN, "SQNR %.1f dB linear", 10 * log10(f->figures.linear.w2 / f->figures.linear.e2));
    flow_put(flow, STYLE_PLAIN, "%zu metadata, %zu tokenizer differences (D)", facts->metadata.count,
             facts->tokenizer.count);
    flow_put(flow, STYLE_DIM, "both %s, read only", format_bytes(bytes, (double)(facts->bytes[0] + facts->bytes[1])));
}

/* Returns the lines that it takes. */
static int draw_pair(const struct tui *t, struct rect area)
{
    const struct against_frame *f = t->frame->against;
    const struct against_figures *g = &f->figures;
    struct flow flow = flow_begin(area);
    char kl[TABLE_CELL], name[TEXT_NAME + 2];
    kl_cell(&g->from_a, kl);
    flow_put(&flow, STYLE_STRONG, "b from a: KL %s", kl);
    if (g->from_a.scored > 0 && isfinite(g->from_a.top1))
        flow_put(&flow, STYLE_STRONG, "top-1 %.1f%%", 100 * g->from_a.top1);
    put_ratio(&flow, "decode", g->speed.decode[1], g->speed.decode[0], g->speed.rounds);
    put_ratio(&flow, "prefill", g->speed.prefill[1], g->speed.prefill[0], g->speed.rounds);
    if (f->facts)
        put_facts(&flow, f);
    if (g->from_a.basis.tokens > 0)
        flow_put(&flow, STYLE_DIM, "on %s, %zu tokens", format_cut(name, sizeof name, f->text, 20), g->from_a.basis.tokens);
    return flow.lines;
}

/* A list of keys and values under a heading; the next free line of the list. */
static size_t list_differences(const struct value_differences *list, const char *reason, const char *what, struct rect area,
                               size_t top, size_t at)
{
    char line[64 + DIFFERENCE_VALUE];
    int key = area.cols / 3, half = (area.cols - key) / 2;
    snprintf(line, sizeof line, "%s: %s", what, *reason ? reason : list->count ? "" : "no difference");
    for (size_t i = 0; i <= list->count; i++, at++) {
        int row = area.row + (int)(at - top);
        if (at < top || (int)(at - top) >= area.rows)
            continue;
        if (i == 0) {
            draw_text(row, 0, area.cols, STYLE_STRONG, false, line);
            continue;
        }
        const struct value_difference *d = &list->of[i - 1];
        draw_format(row, 0, key - 1, STYLE_PLAIN, false, "  %s", d->what);
        for (int v = 0; v < 2; v++)
            draw_text(row, key + v * half, half - 1, *d->value[v] ? STYLE_PLAIN : STYLE_DIM, false,
                      *d->value[v] ? d->value[v] : "(not there)");
    }
    return at;
}

static void draw_differences(struct tui *t, struct rect area)
{
    const struct against_facts *f = t->frame->against->facts;
    if (!f) {
        draw_text(area.row, 0, area.cols, STYLE_DIM, false, "not compared yet");
        return;
    }
    size_t lines = f->metadata.count + f->tokenizer.count + 2, last = lines > (size_t)area.rows ? lines - (size_t)area.rows : 0;
    if (t->against_difference > last)
        t->against_difference = last;
    t->against_page = (size_t)area.rows;
    size_t at = list_differences(&f->metadata, f->metadata_reason, "metadata: a, b", area, t->against_difference, 0);
    list_differences(&f->tokenizer, f->tokenizer_reason, "tokenizer: a, b", area, t->against_difference, at);
}

/* ---- the screen ------------------------------------------------------------------------------ */

/* The plus-minus of figures as the terminal can show it. */
static void show_signs(char *text)
{
    for (char *sign = strstr(text, "+-"); sign && widgets_unicode(); sign = strstr(sign + 2, "+-"))
        memcpy(sign, "\u00b1", 2);
}

/* In at most so many rows; returns those that it takes. */
static int draw_verdict(const struct tui *t, struct rect area)
{
    const struct against_frame *f = t->frame->against;
    char text[AGAINST_VERDICT];
    size_t next;
    int lines = 0;
    against_verdict(&f->figures, f->facts, text);
    show_signs(text);
    for (size_t at = 0; text[at] && lines < area.rows; at += next, lines++) {
        int n = (int)wrapped_line(text + at, area.cols, &next);
        draw_format(area.row + lines, area.col, area.cols, STYLE_STRONG, false, "%.*s", n, text + at);
    }
    return lines;
}

/* Rows of the verdict at most; of the figures of both. On a small screen layers come once the cursor moves. */
static int verdict_rows(const struct rect *area)
{
    return area->rows >= 5 ? 3 : area->rows;
}

static bool shows_files(const struct tui *t, const struct rect *area)
{
    return area->rows >= 9 || (area->rows >= 5 && t->against_row == 0 && !t->against_lists);
}

static void draw_foot(const struct tui *t, int row, int cols)
{
    const char *measure = t->frame->against->running ? "stop" : "compare again";
    if (t->against_lists)
        draw_format(row, 0, cols, STYLE_DIM, false, "arrows scroll  D layers  v %s", measure);
    else
        draw_format(row, 0, cols, STYLE_DIM, false, "Enter layer  < > %s  D differences  v %s", against_layers_order(t),
                    measure);
}

void against_draw(struct tui *t, struct rect area)
{
    if (area.rows < 1)
        return;
    if (!t->frame->against) {
        draw_text(area.row, 0, area.cols, STYLE_DIM, false, "the two files are compared as soon as the first tokens are decoded");
        return;
    }
    struct rect at = area;
    at.rows = verdict_rows(&area);
    at.row += draw_verdict(t, at);
    if (shows_files(t, &area))
        at.row += draw_files(t, at, area.rows >= 9);
    at.rows = area.rows >= 16 ? 3 : area.rows >= 12 ? 2 : 0;
    if (at.rows > 0)
        at.row += draw_pair(t, at);
    bool foot = area.rows >= 14;
    at.rows = area.row + area.rows - at.row - foot;
    if (at.rows > 0)
        (t->against_lists ? draw_differences : against_layers_draw)(t, at);
    if (foot)
        draw_foot(t, area.row + area.rows - 1, area.cols);
}

void against_click(struct tui *t, int row)
{
    if (!t->against_lists && row >= t->against_line && row < t->against_end)
        t->against_row = t->against_top + (size_t)(row - t->against_line);
}

static void go_to_layer(struct tui *t)
{
    int tensor = against_layer_at_cursor(t);
    if (tensor < 0)
        return;
    t->view = VIEW_LAYERS;
    t->one_layer = false;
    layers_finder.filter(t, "");
    layers_go_to(t, tensor);
}

static void move_by(struct tui *t, long by)
{
    size_t *at = t->against_lists ? &t->against_difference : &t->against_row;
    long to = (long)*at + by;
    *at = to < 0 ? 0 : (size_t)to;
}

bool against_act(struct tui *t, enum action a)
{
    static const struct {
        enum action action;
        long lines, pages;
    } moves[] = {{ACTION_UP, -1, 0}, {ACTION_DOWN, 1, 0}, {ACTION_PAGE_UP, 0, -1}, {ACTION_PAGE_DOWN, 0, 1},
                 {ACTION_HOME, -1000000, 0}, {ACTION_END, 1000000, 0}};
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++)
        if (a == moves[i].action)
            return move_by(t, moves[i].lines + moves[i].pages * (long)t->against_page), true;
    if (a == ACTION_AGAINST_OPEN)
        go_to_layer(t);
    else if (a == ACTION_AGAINST_NEXT || a == ACTION_AGAINST_PREVIOUS)
        against_layers_sort(t, a == ACTION_AGAINST_NEXT ? 1 : -1);
    else if (a == ACTION_AGAINST_DIFFERENCES)
        t->against_lists = !t->against_lists;
    else if (a == ACTION_AGAINST_MEASURE)
        tui_send(t, &(struct command){.kind = COMMAND_AGAINST});
    else
        return false;
    return true;
}
