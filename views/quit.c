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
    size_t n = f->session_named ? 0 : unwritten_snapshots(f);
    snprintf(kept, sizeof kept, "%zu unwritten snapshot%s", n, n == 1 ? "" : "s");
    *out = 0;
    add_loss(out, size, f->exporting, "export");
    add_loss(out, size, f->tuning, "search");
    add_loss(out, size, f->training && f->training->running, "training");
    add_loss(out, size, f->evaluation_seconds > LONG_WORK, "evaluation");
    add_loss(out, size, f->calibration_seconds > LONG_WORK, "quantization");
    add_loss(out, size, f->advising, "advice");
    add_loss(out, size, f->sensitivity_seconds > LONG_WORK, "sensitivity");
    add_loss(out, size, n > 0, kept);
}

/* Nothing holds it up any more. */
static void leave(struct tui *t)
{
    t->leaving = t->leaving && !t->open_path;
    t->asking = ASK_NOTHING;
    if (t->open_path)
        open_start(t);
    else
        t->quit = true;
}

void quit_decide(struct tui *t)
{
    char lost[128];
    bool knows = t->frame->commands_applied == t->commands_sent; /* what was just asked for is in the frame */
    if (!t->leaving || t->asking == ASK_QUIT || !knows)
        return;
    losses(t->frame, lost, sizeof lost);
    const char *what = t->open_path || t->next ? "open it" : "quit";
    snprintf(t->question, sizeof t->question, "%s (y/n)? this would be lost: %s ", what, lost);
    if (text_width(t->question) > COLS)
        snprintf(t->question, sizeof t->question, "lose %s (y/n)? ", lost);
    t->help = t->defining = false;
    reading_end(t);
    if (*lost)
        ask_begin(t, ASK_QUIT, "");
    else
        leave(t);
}

void leave_begin(struct tui *t)
{
    t->leaving = true;
    quit_decide(t);
}

void quit_begin(struct tui *t, bool interrupted)
{
    if (t->open_path || t->next) { /* a person was asked about that */
        open_drop(t);
        t->leaving = false;
        t->asking = ASK_NOTHING;
    }
    t->interrupted = interrupted;
    t->quit = t->leaving; /* a second time */
    t->leaving = true;
    quit_decide(t);
}

void quit_answer(struct tui *t, unsigned key, bool is_code)
{
    if (!is_code && (key == 'y' || key == 'Y')) {
        leave(t);
    } else {
        open_drop(t);
        t->leaving = false;
        t->asking = ASK_NOTHING;
    }
}
