/* A report of what is shown: made of the frame there is, on a thread of its own, and written. */
#include "tui.h"

#include "background.h"
#include "report/write.h"
#include "report_frame.h"

#include <stdlib.h>

struct reporting {
    struct background *thread;
    struct frame *frame; /* what is reported */
    const struct session *session;
    const char *model_name;
    enum advise_goal goal;
    char path[INPUT_TEXT];
    bool ok;
    struct error error;
};

static void work(void *arg)
{
    struct reporting *w = arg;
    struct report *r = report_of_frame(w->frame, w->session, w->model_name, w->goal);
    w->ok = r ? report_write(r, w->path, &w->error) : error_set(&w->error, "not enough memory for the report");
    report_free(r);
}

bool reporting_begin(struct tui *t, const char *path)
{
    struct error error = {"not enough memory"};
    if (t->reporting) {
        tui_note(t, "another report is still being written");
        return false;
    }
    struct reporting *w = calloc(1, sizeof *w);
    if (w) {
        *w = (struct reporting){.frame = frame_ref(t->frame), .session = t->session, .model_name = t->model_name,
                                .goal = t->goal};
        snprintf(w->path, sizeof w->path, "%s", path);
        w->thread = background_start(work, w, &error);
    }
    t->reporting = w;
    if (w && w->thread)
        return true;
    reporting_end(t);
    tui_note(t, "%s", error.text);
    return false;
}

/* What could not be written can be corrected, unless another line has been opened meanwhile. */
void reporting_follow(struct tui *t)
{
    struct reporting *w = t->reporting;
    if (!w || !background_is_done(w->thread))
        return;
    if (!w->ok && t->asking == ASK_NOTHING && !t->help) {
        ask_begin(t, ASK_REPORT, "");
        input_set(&t->input, w->path);
    }
    if (w->ok)
        tui_note(t, "report written to %s", w->path);
    else
        tui_note(t, "%s", w->error.text);
    reporting_end(t);
}

void reporting_end(struct tui *t)
{
    struct reporting *w = t->reporting;
    if (!w)
        return;
    background_end(w->thread);
    frame_unref(w->frame);
    free(w);
    t->reporting = NULL;
}
