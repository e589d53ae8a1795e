/* Stopping a job that a key began: the question that comes before. */
#include "tui.h"

#include <stdio.h>

static const struct {
    enum command_kind kind;
    const char *text, *brief; /* brief: where the other one does not fit */
} questions[] = {
    {COMMAND_TUNE, "stop the search (y/n)? of its work only the best choice so far stays ", "stop the search (y/n)? "},
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

void stop_answer(struct tui *t, unsigned key, bool is_code)
{
    if (!is_code && (key == 'y' || key == 'Y'))
        tui_send(t, &(struct command){.kind = t->stopping, .text = ""});
    t->asking = ASK_NOTHING;
}
