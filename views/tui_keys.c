/* What keys and the mouse do. */
#include "tui.h"

#include <stdlib.h>
#include <string.h>

enum { INTERRUPT = 'c' & 0x1f }; /* Ctrl-C, on every screen and in every line of input */

static void open_view(struct tui *t, enum view_id view)
{
    t->view = view;
    t->one_layer = views[view].edited == EDITS_SHOWN;
    tui_send(t, &(struct command){.kind = COMMAND_WATCH_TEXT, .index = view == VIEW_TEXT});
    if (view == VIEW_COUNTERS)
        tui_send(t, &(struct command){.kind = COMMAND_LIST_EVENTS});
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* Keys that send a command to the lab as they are. */
static const struct {
    enum action action;
    enum command_kind kind;
} plain_commands[] = {
    {ACTION_UNDO, COMMAND_UNDO},         {ACTION_REDO, COMMAND_REDO},
    {ACTION_SNAPSHOT, COMMAND_SNAPSHOT}, {ACTION_SWAP, COMMAND_SWAP},
    {ACTION_EVALUATE, COMMAND_EVALUATE}, {ACTION_PAUSE, COMMAND_PAUSE},
    {ACTION_RESTART, COMMAND_RESTART},   {ACTION_SENSITIVITY, COMMAND_SENSITIVITY},
    {ACTION_TIME_SNAPSHOTS, COMMAND_TIME_SNAPSHOTS}, {ACTION_ROOFS, COMMAND_ROOFS},
    {ACTION_STOP_TRAINING, COMMAND_STOP_TRAINING},
    {ACTION_COMPARE_METHODS, COMMAND_COMPARE_METHODS},
};

/* Keys that cycle a field of the chosen layers. */
static const struct {
    enum action action;
    enum change change;
    int direction;
} cycles[] = {
    {ACTION_WEIGHT_NEXT, CHANGE_WEIGHT, 1},     {ACTION_WEIGHT_PREVIOUS, CHANGE_WEIGHT, -1},
    {ACTION_ACT_NEXT, CHANGE_ACT, 1},           {ACTION_ACT_PREVIOUS, CHANGE_ACT, -1},
    {ACTION_GROUP_NEXT, CHANGE_GRANULARITY, 1}, {ACTION_GROUP_PREVIOUS, CHANGE_GRANULARITY, -1},
    {ACTION_ZERO_POINT, CHANGE_SYMMETRY, 1},
    {ACTION_NEXT_METHOD, CHANGE_METHOD, 1},     {ACTION_PREVIOUS_METHOD, CHANGE_METHOD, -1},
};

static bool act_by_table(struct tui *t, enum action a)
{
    for (size_t i = 0; i < sizeof plain_commands / sizeof *plain_commands; i++)
        if (plain_commands[i].action == a) {
            tui_send(t, &(struct command){.kind = plain_commands[i].kind});
            return true;
        }
    for (size_t i = 0; i < sizeof cycles / sizeof *cycles; i++)
        if (cycles[i].action == a) {
            tui_send_changed(t, (struct command){.kind = COMMAND_CYCLE,
                                                 .change = cycles[i].change,
                                                 .direction = cycles[i].direction});
            return true;
        }
    for (int v = 0; v < VIEW_COUNT; v++)
        if (views[v].action == a)
            return open_view(t, (enum view_id)v), true;
    return false;
}

/* ---- keys that mean the same on every screen --------------------------------------------------- */

static void quit(struct tui *t)
{
    quit_begin(t, false);
}

static void open_help(struct tui *t)
{
    t->help = true;
    t->help_top = 0;
}

static void next_view(struct tui *t)
{
    open_view(t, (enum view_id)(((int)t->view + 1) % VIEW_COUNT));
}

static void previous_view(struct tui *t)
{
    open_view(t, (enum view_id)(((int)t->view + VIEW_COUNT - 1) % VIEW_COUNT));
}

static void ask_search(struct tui *t)
{
    ask_begin(t, ASK_SEARCH, "");
}

static void search_next(struct tui *t)
{
    views[t->view].finder->search(t, NULL, true);
}

static void ask_filter(struct tui *t)
{
    ask_begin(t, ASK_FILTER, views[t->view].finder->filtered(t));
}

static void ask_prompt(struct tui *t)
{
    ask_begin(t, ASK_PROMPT, "");
}

static void ask_sampling(struct tui *t)
{
    char text[64];
    snprintf(text, sizeof text, "%g %llu", t->frame->text ? (double)t->frame->text->temperature : 1,
             t->frame->text ? (unsigned long long)t->frame->text->seed : 1);
    ask_begin(t, ASK_SAMPLING, text);
}

/* Asks for a text, or whether to stop the job that an earlier one started. */
static void ask_or_stop(struct tui *t, bool running, enum command_kind kind, enum asking what, const char *text)
{
    if (running)
        stop_begin(t, kind);
    else
        ask_begin(t, what, text);
}

static void tune(struct tui *t)
{
    ask_or_stop(t, t->frame->tuning, COMMAND_TUNE, ASK_TUNE, *t->budget ? t->budget : "kl 0.01");
}

static void export_model(struct tui *t)
{
    ask_or_stop(t, t->frame->exporting, COMMAND_EXPORT, ASK_EXPORT, "model.gguf");
}

static void write_recipe(struct tui *t)
{
    ask_begin(t, ASK_WRITE, "recipe.txt");
}

static void ask_columns(struct tui *t)
{
    char text[SETTINGS_COLUMNS];
    layers_columns(t, text, sizeof text);
    ask_begin(t, ASK_COLUMNS, text);
}

static void cancel(struct tui *t)
{
    memset(t->tagged, 0, schemes_count(t->session->model) * sizeof *t->tagged);
    *t->search = *t->event_search = 0;
    layers_finder.filter(t, "");
    counters_finder.filter(t, "");
}

static void keep_settings(struct tui *t)
{
    struct error error;
    char *path;
    t->settings.log_scale = t->log_scale;
    layers_columns(t, t->settings.columns, sizeof t->settings.columns);
    snprintf(t->settings.sort, sizeof t->settings.sort, "%s", layers_sort_title(t));
    if (settings_save(&t->settings, &path, &error))
        tui_note(t, "settings saved in %s", path);
    else
        tui_note(t, "%s", error.text);
    free(path);
}

static void redraw(struct tui *t)
{
    t->redraw = true;
}

static const struct {
    enum action action;
    void (*run)(struct tui *tui);
} program_keys[] = {
    {ACTION_QUIT, quit},
    {ACTION_HELP, open_help},
    {ACTION_VIEW_NEXT, next_view},
    {ACTION_VIEW_PREVIOUS, previous_view},
    {ACTION_SEARCH, ask_search},
    {ACTION_SEARCH_NEXT, search_next},
    {ACTION_FILTER, ask_filter},
    {ACTION_PROMPT, ask_prompt},
    {ACTION_SAMPLING, ask_sampling},
    {ACTION_TUNE, tune},
    {ACTION_COLUMNS, ask_columns},
    {ACTION_SETTINGS, keep_settings},
    {ACTION_EXPORT, export_model},
    {ACTION_WRITE, write_recipe},
    {ACTION_CANCEL, cancel},
    {ACTION_REDRAW, redraw},
};

static bool act_on_program(struct tui *t, enum action a)
{
    for (size_t i = 0; i < sizeof program_keys / sizeof *program_keys; i++)
        if (program_keys[i].action == a)
            return program_keys[i].run(t), true;
    return false;
}

/* ---- dispatch -------------------------------------------------------------------------------- */

/* Nothing is changed unseen. Null where a key may do its work on this screen, else why not. */
static const char *unseen(const struct tui *t, enum action a)
{
    bool tags = a == ACTION_TAG || a == ACTION_UNTAG;
    if (!key_edits(a) || views[t->view].edited == EDITS_ROWS)
        return NULL;
    if (views[t->view].edited == EDITS_NONE)
        return "this screen shows no layer to change: 1 shows all, 2 the selected one";
    return tags ? "tags are not seen here: 1 shows them" : NULL;
}

static void act(struct tui *t, enum action a)
{
    const char *why = unseen(t, a);
    if (t->readonly && key_changes(a))
        tui_note(t, "--readonly: nothing is changed, kept or written");
    else if (why)
        tui_note(t, "%s", why);
    else if (!views[t->view].act(t, a) && !act_by_table(t, a) && !act_on_program(t, a)) /* the screen comes first */
        tui_note(t, "that key does nothing on this screen: ? lists the keys");
}

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
    default:
        t->help = false;
    }
}

/* A notch of the wheel. */
static void turn_wheel(struct tui *t, enum action direction)
{
    for (int i = 0; i < 3; i++)
        views[t->view].act(t, direction);
}

static void mouse(struct tui *t)
{
    MEVENT e;
    if (getmouse(&e) != OK || t->asking != ASK_NOTHING || t->help)
        return;
    if (e.bstate & (BUTTON4_PRESSED | BUTTON5_PRESSED))
        turn_wheel(t, e.bstate & BUTTON4_PRESSED ? ACTION_UP : ACTION_DOWN);
    else if (e.y == t->tab_row) {
        for (int v = 0; v < VIEW_COUNT; v++)
            if (e.x >= t->tab_col[v] && e.x < t->tab_col[v + 1])
                open_view(t, (enum view_id)v);
    } else if (views[t->view].click) {
        views[t->view].click(t, e.y);
    }
}

void tui_key(struct tui *t, wint_t key, bool is_code)
{
    if (is_code && key == KEY_RESIZE) {
        t->redraw = true;
    } else if (is_code && key == KEY_MOUSE) {
        mouse(t);
    } else if (!is_code && key == INTERRUPT) {
        quit_begin(t, true);
    } else if (t->asking == ASK_QUIT && key_action(t->view, (int)key, is_code) != ACTION_QUIT) {
        quit_answer(t, (unsigned)key, is_code);
    } else if (t->asking == ASK_STOP) {
        stop_answer(t, (unsigned)key, is_code);
    } else if (t->asking != ASK_NOTHING && t->asking != ASK_QUIT) {
        answers_key(t, (unsigned)key, is_code);
    } else {
        enum action a = key_action(t->view, (int)key, is_code);
        *t->note = 0;
        if (t->help)
            help_key(t, a);
        else if (a != ACTION_NONE)
            act(t, a);
        else if (!is_code && key >= 32 && key < 127)
            tui_note(t, "the key %c does nothing here: ? lists the keys", (int)key);
    }
}
