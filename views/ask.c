/* The line of input at the bottom of the screen. */
#include "tui.h"

static const char *const labels[] = {
    [ASK_SEARCH] = "search: ",
    [ASK_FILTER] = "filter: ",
    [ASK_PROMPT] = "prompt: ",
    [ASK_SAMPLING] = "temperature and seed: ",
    [ASK_WRITE] = "write recipe to: ",
    [ASK_SCHEME] = "scheme: ",
    [ASK_COLUMNS] = "columns: ",
    [ASK_EXPORT] = "export to: ",
    [ASK_TUNE] = "budget (size, bits, kl or rate): ",
};

void ask_begin(struct tui *t, enum asking what, const char *text)
{
    t->asking = what;
    t->preset = what == ASK_SCHEME;
    t->overwriting = false;
    input_set(&t->input, text);
}

void ask_draw(struct tui *t, const struct layout *l)
{
    int row = l->footer >= 0 ? l->footer : LINES - 1;
    draw_input(row, 0, COLS, t->asking == ASK_QUIT ? t->question : labels[t->asking], &t->input);
}
