/* What keys do: the actions of the key table. */
#include "tui.h"

#include <stdlib.h>
#include <string.h>

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
    {ACTION_COMPARE_METHODS, COMMAND_COMPARE_METHODS}, {ACTION_CHAT, COMMAND_CHAT},
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
        if (views[v].action == a && view_is_there(t, (enum view_id)v))
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
    *t->help_search = 0;
}

/* The screen that is so many behind the open one, past those that are not there. */
static void step_view(struct tui *t, int by)
{
    int v = (int)t->view;
    do
        v = (v + by + VIEW_COUNT) % VIEW_COUNT;
    while (!view_is_there(t, (enum view_id)v));
    open_view(t, (enum view_id)v);
}

static void next_view(struct tui *t)
{
    step_view(t, 1);
}

static void previous_view(struct tui *t)
{
    step_view(t, -1);
}

static void ask_search(struct tui *t)
{
    find_begin(t);
    ask_begin(t, ASK_SEARCH, "");
}

static void search_next(struct tui *t)
{
    views[t->view].finder->search(t, NULL, true);
}

static void ask_filter(struct tui *t)
{
    find_begin(t);
    ask_begin(t, ASK_FILTER, find_filtered(t));
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

static void tune(struct tui *t)
{
    ask_tune(t, "");
}

/* Opens the screen, and begins where nothing is measured; on the screen it begins again, or stops. */
static void advise(struct tui *t)
{
    bool here = t->view == VIEW_ADVISE, begun = t->frame->advise || t->frame->advising;
    if (!here)
        open_view(t, VIEW_ADVISE);
    if (here || !begun)
        tui_send(t, &(struct command){.kind = COMMAND_ADVISE});
}

static void ask_study(struct tui *t)
{
    ask_begin(t, ASK_STUDY, "default");
}

static void write_recipe(struct tui *t)
{
    ask_begin(t, ASK_WRITE, "recipe.txt");
}

static void save_session(struct tui *t)
{
    char name[SUGGESTION];
    ask_begin(t, ASK_SAVE, *t->saved_as ? t->saved_as : suggest_file(t, NULL, ".qtop", name));
}

/* The scheme of the linear matrices inside blocks, or "mixed". */
static const char *scheme_of_blocks(const struct tui *t, char out[SCHEME_TEXT])
{
    const struct model *m = t->session->model;
    const struct scheme *common = NULL;
    strcpy(out, "mixed");
    for (size_t i = 0; i < m->tensor_count; i++) {
        const struct scheme *own = &t->frame->layers[i].wanted;
        if (m->tensors[i].block < 0 || !role_takes_schemes(m->tensors[i].role))
            continue;
        if (common && !scheme_equal(common, own))
            return out;
        common = own;
    }
    return common ? scheme_print(common, out), out : out;
}

static void export_set(struct tui *t)
{
    char scheme[SCHEME_TEXT];
    ask_export(t, scheme_of_blocks(t, scheme));
}

static void ask_report(struct tui *t)
{
    char name[SUGGESTION];
    ask_begin(t, ASK_REPORT, suggest_file(t, "report", ".html", name));
}

static void cancel(struct tui *t)
{
    if (open_cancel(t))
        return;
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
    t->settings.sort_reversed = t->sort_reversed;
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
    {ACTION_DEFINE, definition_open},
    {ACTION_VIEW_NEXT, next_view},
    {ACTION_VIEW_PREVIOUS, previous_view},
    {ACTION_SEARCH, ask_search},
    {ACTION_SEARCH_NEXT, search_next},
    {ACTION_FILTER, ask_filter},
    {ACTION_PROMPT, ask_prompt},
    {ACTION_SAMPLING, ask_sampling},
    {ACTION_TUNE, tune},
    {ACTION_COLUMNS, columns_open},
    {ACTION_READ, reading_begin},
    {ACTION_OPEN, open_ask},
    {ACTION_STUDY, ask_study},
    {ACTION_SETTINGS, keep_settings},
    {ACTION_EXPORT, export_set},
    {ACTION_ADVISE, advise},
    {ACTION_WRITE, write_recipe},
    {ACTION_SAVE, save_session},
    {ACTION_REPORT, ask_report},
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
    bool tags = a == ACTION_TAG || a == ACTION_UNTAG, steps = a == ACTION_UNDO || a == ACTION_REDO;
    if (steps && (t->view == VIEW_ADVISE || t->view == VIEW_JOBS)) /* what Enter did there */
        return NULL;
    if (!key_edits(a) || views[t->view].edited == EDITS_ROWS)
        return NULL;
    if (views[t->view].edited == EDITS_NONE)
        return "this screen shows no layer to change: 1 shows all, 2 the selected one";
    return tags ? "tags are not seen here: 1 shows them" : NULL;
}

/* What is said of a key that did nothing. */
static const char *nothing_done(enum action a)
{
    return a == ACTION_VIEW_AGAINST ? "there is no other file: --against FILE names one"
                                    : "that key does nothing on this screen: ? lists the keys";
}

void tui_act(struct tui *t, enum action a)
{
    const char *why = unseen(t, a);
    if (t->readonly && key_changes(a))
        tui_note(t, "--readonly: nothing is changed, kept or written");
    else if (why)
        tui_note(t, "%s", why);
    else if (!views[t->view].act(t, a) && !act_by_table(t, a) && !act_on_program(t, a)) /* the screen comes first */
        tui_note(t, "%s", nothing_done(a));
}
