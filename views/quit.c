/* Leaving the program: what would be lost by it, and the question that comes before. */
#include "tui.h"

#include <stdio.h>
#include <string.h>

static size_t unwritten_snapshots(const struct frame *f)
{
    size_t n = 0;
    for (size_t i = 0; i < f->snapshot_count; i++)
        n += !f->snapshots[i].written;
    return n;
}

static void add_loss(char *out, size_t size, bool lost, const char *what)
{
    size_t n = strlen(out);
    if (lost)
        snprintf(out + n, size - n, "%s%s", n > 0 ? ", " : "", what);
}

static const double LONG_WORK = 10; /* seconds: what took less is soon made again */

/* What would be lost, in words; "" where nothing would. */
static void losses(const struct frame *f, char *out, size_t size)
{
    char kept[48];
    size_t n = unwritten_snapshots(f);
    snprintf(kept, sizeof kept, "%zu unwritten snapshot%s", n, n == 1 ? "" : "s");
    *out = 0;
    add_loss(out, size, f->exporting, "export");
    add_loss(out, size, f->tuning, "search");
    add_loss(out, size, f->training && f->training->running, "training");
    add_loss(out, size, f->evaluation_seconds > LONG_WORK, "evaluation");
    add_loss(out, size, f->sensitivity_seconds > LONG_WORK, "sensitivity");
    add_loss(out, size, n > 0, kept);
}

void quit_decide(struct tui *t)
{
    char lost[128];
    bool knows = t->frame->commands_applied == t->commands_sent; /* what was just asked for is in the frame */
    if (!t->leaving || t->asking == ASK_QUIT || !knows)
        return;
    losses(t->frame, lost, sizeof lost);
    snprintf(t->question, sizeof t->question, "quit (y/n)? this would be lost: %s ", lost);
    if (text_width(t->question) > COLS)
        snprintf(t->question, sizeof t->question, "lose %s (y/n)? ", lost);
    t->help = false;
    if (*lost)
        ask_begin(t, ASK_QUIT, "");
    else
        t->quit = true;
}

void quit_begin(struct tui *t, bool interrupted)
{
    t->interrupted = interrupted;
    t->quit = t->leaving; /* a second time */
    t->leaving = true;
    quit_decide(t);
}

void quit_answer(struct tui *t, unsigned key, bool is_code)
{
    if (!is_code && (key == 'y' || key == 'Y')) {
        t->quit = true;
    } else {
        t->leaving = false;
        t->asking = ASK_NOTHING;
    }
}
