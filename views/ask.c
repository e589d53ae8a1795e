/* The line of input at the bottom of the screen. */
#include "tui.h"

static const struct {
    const char *text, *brief; /* brief: where the other one would take half of the line */
} labels[] = {
    [ASK_SEARCH] = {"search: ", "/"},
    [ASK_FILTER] = {"filter: ", "\\"},
    [ASK_PROMPT] = {"prompt: ", ">"},
    [ASK_SAMPLING] = {"temperature and seed: ", "T, seed: "},
    [ASK_WRITE] = {"write recipe to: ", "recipe: "},
    [ASK_SCHEME] = {"scheme: ", ":"},
    [ASK_SAVE] = {"save session as: ", "session: "},
    [ASK_NAME] = {"name: ", ":"},
    [ASK_NOTE] = {"note: ", ":"},
    [ASK_REPORT] = {"write report to: ", "report: "},
    [ASK_COLUMNS] = {"columns: Space shows or hides, Enter closes ", "columns: Space, Enter or Esc "},
    [ASK_EXPORT] = {"export to: ", "file: "},
    [ASK_HELP] = {"keys with: ", "/"},
    [ASK_COMMAND] = {":", ":"},
    [ASK_STUDY] = {"text to measure on (file, self or default): ", "text: "},
    [ASK_OPEN] = {"open: ", ":"},
    [ASK_LIMITS] = {"limits (memory, file, rate, kl): ", "limits: "},
    [ASK_TUNE] = {"budget (size, bits, kl or rate): ", "budget: "},
};

void ask_begin(struct tui *t, enum asking what, const char *text)
{
    t->asking = what;
    t->overwriting = false;
    input_suggest(&t->input, text);
}

static const char *label_of(const struct tui *t)
{
    if (t->asking == ASK_QUIT || t->asking == ASK_STOP)
        return t->question;
    const char *text = labels[t->asking].text;
    return text_width(text) <= COLS / 2 ? text : labels[t->asking].brief;
}

void ask_draw(struct tui *t, const struct layout *l)
{
    int row = l->footer >= 0 ? l->footer : LINES - 1;
    draw_input(row, 0, COLS, label_of(t), &t->input);
}
