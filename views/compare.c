/* Screen 5: the snapshots side by side. */
#include "tui.h"

#include "batch.h"

#include <string.h>

/* A summary is at most SCHEME_TEXT long; a cell holds what a column can show. */
enum { C_LABEL, C_SCHEME, C_SIZE, C_BITS, C_DECODE, C_RATIO, C_KL, C_PPL, C_TOP1, C_PREFILL, COUNT };

static const struct column table[COUNT] = {
    [C_LABEL] = {"", 3},
    [C_SCHEME] = {"SCHEME", 14, .stretch = true},
    [C_SIZE] = {"SIZE", 8, .drop = 5, .right = true},
    [C_BITS] = {"BITS", 7, .drop = 4, .right = true},
    [C_DECODE] = {"DECODE/s", 9, .right = true},
    [C_RATIO] = {"VS A", 7, .drop = 3, .right = true},
    [C_KL] = {"KL", 9, .right = true},
    [C_PPL] = {"PPL", 9, .drop = 6, .right = true},
    [C_TOP1] = {"TOP-1", 7, .drop = 2, .right = true},
    [C_PREFILL] = {"PREFILL", 9, .drop = 1, .right = true},
};

static void quality_cells(const struct quality_frame *q, char c[COUNT][TABLE_CELL])
{
    static const int columns[] = {C_KL, C_PPL, C_TOP1};
    for (size_t i = 0; i < sizeof columns / sizeof *columns && !q->valid; i++)
        snprintf(c[columns[i]], TABLE_CELL, "n/a");
    if (!q->valid)
        return;
    snprintf(c[C_KL], TABLE_CELL, "%.4f%s", q->result.kl, q->running ? ".." : "");
    snprintf(c[C_PPL], TABLE_CELL, "%.3f", q->result.perplexity);
    snprintf(c[C_TOP1], TABLE_CELL, "%.1f%%", 100 * q->result.top1);
}

static void draw_row(const struct tui *t, const struct snapshot *s, const int *widths, int row,
                     int cols, bool selected)
{
    char c[COUNT][TABLE_CELL] = {0}, bytes[16];
    const struct snapshot *base = &t->frame->snapshots[0];
    bool here = t->frame->current_snapshot == (int)(s - t->frame->snapshots);
    snprintf(c[C_LABEL], TABLE_CELL, "%c%c", here ? '>' : ' ', s->label);
    snprintf(c[C_SCHEME], TABLE_CELL, "%.60s", s->summary);
    snprintf(c[C_SIZE], TABLE_CELL, "%s", format_bytes(bytes, (double)s->size));
    snprintf(c[C_BITS], TABLE_CELL, "%.2f", s->bits_per_weight);
    format_metric(c[C_DECODE], TABLE_CELL, "%.0f", s->decode, 1);
    format_metric(c[C_PREFILL], TABLE_CELL, "%.0f", s->prefill, 1);
    if (s != base && s->decode.valid && base->decode.valid)
        snprintf(c[C_RATIO], TABLE_CELL, "%.2fx", s->decode.value / base->decode.value);
    quality_cells(&s->quality, c);
    table_draw(table, COUNT, widths, row, cols, selected ? STYLE_SELECTED : STYLE_PLAIN, c);
}

static void draw_heading(const int *widths, int row, int cols)
{
    char titles[COUNT][TABLE_CELL];
    for (int i = 0; i < COUNT; i++)
        snprintf(titles[i], TABLE_CELL, "%s", table[i].title);
    table_draw(table, COUNT, widths, row, cols, STYLE_TITLE, titles);
}

void compare_draw(struct tui *t, struct rect area)
{
    const struct frame *f = t->frame;
    if (area.rows < 1)
        return;
    if (f->snapshot_count == 0) {
        draw_text(area.row, 0, area.cols, STYLE_DIM, false,
                  "no snapshots yet: press s to keep the schemes in use, change something, press s "
                  "again");
        return;
    }
    int line = area.row, widths[COUNT];
    table_fit(table, COUNT, area.cols, widths);
    if (area.rows > 2)
        draw_heading(widths, line++, area.cols);
    if (t->snapshot >= f->snapshot_count)
        t->snapshot = f->snapshot_count - 1;
    size_t room = (size_t)(area.row + area.rows - line);
    size_t top = t->snapshot >= room ? t->snapshot - room + 1 : 0;
    for (size_t i = top; i < f->snapshot_count && i < top + room; i++)
        draw_row(t, &f->snapshots[i], widths, line++, area.cols, i == t->snapshot);
    if (line + 1 < area.row + area.rows)
        draw_text(line + 1, 0, area.cols, STYLE_DIM, false,
                  "Enter goes back to one, x swaps the last two; figures are measured while one is "
                  "in use");
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
    case ACTION_EDIT:
        tui_send(t, &(struct command){.kind = COMMAND_RESTORE, .index = (int)t->snapshot});
        return true;
    default:
        return false;
    }
}
