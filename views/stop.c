/* Stopping a job that a key began: the question that comes before. */
#include "tui.h"

#include <stdio.h>

static const struct {
    enum command_kind kind;
    const char *text, *brief; /* brief: where the other one does not fit */
} questions[] = {
    {COMMAND_TUNE, "stop the search (y/n)? the best choice so far is taken, what was measured stays ", "stop the search (y/n)? "},
    {COMMAND_EXPORT, "stop the export (y/n)? no file stays ", "stop the export (y/n)? "},
};

void stop_begin(struct tui *t, enum command_kind kind)
{
    size_t i = 0;
    while (questions[i].kind != kind)
        i++;
    t->stopping = kind;
    snprintf(t->question, sizeof t->question, "%s",
             text_width(questions[i].text) <= COLS ? questions[i].text : questions[i].brief);
    ask_begin(t, ASK_STOP, "");
}

/* What took no time yet is stopped at once. */
void stop_begin_job(struct tui *t, const struct job_frame *job)
{
    static const double SHORT = 5; /* seconds */
    t->stopped = job->row;
    t->stopping = COMMAND_STOP_JOB;
    if (job->state == JOB_RUNNING && job->seconds > SHORT) {
        snprintf(t->question, sizeof t->question, "stop %.100s (y/n)? ", job->kind);
        ask_begin(t, ASK_STOP, "");
    } else {
        tui_send(t, &(struct command){.kind = COMMAND_STOP_JOB, .index = job->row});
    }
}

void stop_begin_snapshot(struct tui *t, const struct snapshot *s)
{
    t->stopped = s->label;
    t->stopping = COMMAND_DELETE_SNAPSHOT;
    snprintf(t->question, sizeof t->question, "delete snapshot %c (y/n)? ", s->label);
    ask_begin(t, ASK_STOP, "");
}

void stop_answer(struct tui *t, unsigned key, bool is_code)
{
    if (!is_code && (key == 'y' || key == 'Y'))
        tui_send(t, &(struct command){.kind = t->stopping, .text = "", .index = t->stopped});
    t->asking = ASK_NOTHING;
}

/* Asks for a text, or whether to stop the job that an earlier one started. */
static void ask_or_stop(struct tui *t, bool running, enum command_kind kind, enum asking what, const char *text)
{
    if (running)
        stop_begin(t, kind);
    else
        ask_begin(t, what, text);
}

void ask_tune(struct tui *t, const char *budget)
{
    ask_or_stop(t, t->frame->tuning, COMMAND_TUNE, ASK_TUNE, *budget ? budget : *t->budget ? t->budget : "kl 0.01");
}

void ask_limits(struct tui *t)
{
    char limits[LIMITS_TEXT];
    ask_begin(t, ASK_LIMITS, advise_limits_print(&t->frame->advise_limits, limits));
}

void ask_export(struct tui *t, const char *scheme)
{
    char name[SUGGESTION];
    ask_or_stop(t, t->frame->exporting, COMMAND_EXPORT, ASK_EXPORT, suggest_file(t, scheme, ".gguf", name));
}
