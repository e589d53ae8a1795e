/* Screen 5: the snapshots side by side. */
#include "tui.h"

#include "batch.h"

#include <string.h>

static void draw_row(const struct tui *t, const struct snapshot *s, int row, int cols, bool selected)
{
    char size[16], decode[16], prefill[16], kl[24] = "n/a", perplexity[16] = "n/a", top1[16] = "n/a";
    const struct quality_frame *q = &s->quality;
    const struct snapshot *base = &t->frame->snapshots[0];
    if (q->valid) {
        snprintf(kl, sizeof kl, "%.4f%s", q->result.kl, q->running ? "..." : "");
        snprintf(perplexity, sizeof perplexity, "%.3f", q->result.perplexity);
        snprintf(top1, sizeof top1, "%.1f%%", 100 * q->result.top1);
    }
    char change[24] = "";
    if (s != base && s->decode.valid && base->decode.valid)
        snprintf(change, sizeof change, "%.2fx", s->decode.value / base->decode.value);
    format_metric(decode, sizeof decode, "%.0f", s->decode, 1);
    format_metric(prefill, sizeof prefill, "%.0f", s->prefill, 1);
    bool here = t->frame->current_snapshot == (int)(s - t->frame->snapshots);
    draw_format(row, 0, cols, selected ? STYLE_SELECTED : STYLE_PLAIN, true,
                "%c%c %-20.20s %7s %6.2f %8s %6s %8s %9s %8s %7s", here ? '>' : ' ', s->label,
                s->summary, format_bytes(size, (double)s->size), s->bits_per_weight, decode, change,
                kl, perplexity, top1, prefill);
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
    int line = area.row;
    if (area.rows > 2)
        draw_format(line++, 0, area.cols, STYLE_TITLE, true,
                    "   %-20s %7s %6s %8s %6s %8s %9s %8s %7s", "SCHEME", "SIZE", "BITS", "DECODE/s",
                    "VS A", "KL", "PPL", "TOP-1", "PREFILL");
    if (t->snapshot >= f->snapshot_count)
        t->snapshot = f->snapshot_count - 1;
    size_t room = (size_t)(area.row + area.rows - line);
    size_t top = t->snapshot >= room ? t->snapshot - room + 1 : 0;
    for (size_t i = top; i < f->snapshot_count && i < top + room; i++)
        draw_row(t, &f->snapshots[i], line++, area.cols, i == t->snapshot);
    if (line + 1 < area.row + area.rows)
        draw_text(line + 1, 0, area.cols, STYLE_DIM, false,
                  "Enter goes back to a snapshot, x swaps the last two. Figures are measured while a "
                  "snapshot is in use.");
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
