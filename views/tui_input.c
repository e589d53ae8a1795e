/* Keys and the mouse: what of all that is open they go to. */
#include "tui.h"

enum { INTERRUPT = 'c' & 0x1f }; /* Ctrl-C, on every screen and in every line of input */

/* ---- the help ---------------------------------------------------------------------------------- */

static void help_key(struct tui *t, enum action a)
{
    int page = LINES > 2 ? LINES - 2 : 1;
    switch (a) {
    case ACTION_UP:
        t->help_top--;
        break;
    case ACTION_DOWN:
        t->help_top++;
        break;
    case ACTION_PAGE_UP:
        t->help_top -= page;
        break;
    case ACTION_PAGE_DOWN:
    case ACTION_TAG:
        t->help_top += page;
        break;
    case ACTION_SEARCH:
        t->help_top = 0;
        *t->help_search = 0;
        ask_begin(t, ASK_HELP, "");
        break;
    default:
        t->help = a == ACTION_CANCEL && *t->help_search;
        *t->help_search = 0;
    }
}

/* A notch of the wheel. */
static void turn_wheel(struct tui *t, enum action direction)
{
    for (int i = 0; i < 3; i++)
        views[t->view].act(t, direction);
}

static void act(struct tui *t, enum action a)
{
    if (a == ACTION_COMMAND)
        command_open(t);
    else
        tui_act(t, a);
}

static void mouse(struct tui *t)
{
    MEVENT e;
    if (getmouse(&e) != OK || t->asking != ASK_NOTHING || t->help || t->reading)
        return;
    t->defining = false;
    *t->note = 0;
    enum action footer = footer_action(t, e.y, e.x);
    if (e.bstate & (BUTTON4_PRESSED | BUTTON5_PRESSED))
        turn_wheel(t, e.bstate & BUTTON4_PRESSED ? ACTION_UP : ACTION_DOWN);
    else if (footer != ACTION_NONE)
        act(t, footer);
    else if (e.y == t->tab_row) {
        for (int v = 0; v < VIEW_COUNT; v++)
            if (e.x >= t->tab_col[v] && e.x < t->tab_col[v + 1])
                tui_act(t, views[v].action);
    } else if (views[t->view].click) {
        t->mouse_col = e.x;
        views[t->view].click(t, e.y);
    }
}

void tui_key(struct tui *t, wint_t key, bool is_code)
{
    if (is_code && key == KEY_RESIZE) {
        t->redraw = true;
        t->tab_row = t->footer_row = -1; /* until they are drawn where they now are */
    } else if (is_code && key == KEY_MOUSE) {
        mouse(t);
    } else if (!is_code && key == INTERRUPT) {
        quit_begin(t, true);
    } else if (t->asking == ASK_QUIT && key_action(t->view, (int)key, is_code) != ACTION_QUIT) {
        quit_answer(t, (unsigned)key, is_code);
    } else if (t->asking == ASK_STOP) {
        stop_answer(t, (unsigned)key, is_code);
    } else if (t->asking == ASK_COMMAND) {
        command_key(t, (unsigned)key, is_code);
    } else if (t->asking == ASK_COLUMNS) {
        columns_key(t, (unsigned)key, is_code);
    } else if (t->asking != ASK_NOTHING && t->asking != ASK_QUIT) {
        answers_key(t, (unsigned)key, is_code);
    } else {
        enum action a = key_action(t->view, (int)key, is_code);
        *t->note = 0;
        if (t->help)
            help_key(t, a);
        else if (t->reading && reading_key(t, a))
            return;
        else if (t->defining)
            definition_key(t, a, (unsigned)key, is_code);
        else if (a != ACTION_NONE)
            act(t, a);
        else if (!is_code && key >= 32 && key < 127)
            tui_note(t, "the key %c does nothing here: ? lists the keys", (int)key);
    }
}
