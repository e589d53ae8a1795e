/* qtop: the terminal program. A loop that waits for keys and frames, and draws. */
#include "tui.h"

#include "batch.h"

#include "base/clock.h"
#include "base/escape.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double READING_SPEED = 16;  /* tokens per second */
static const double EAGER_SECONDS = 0.01; /* after a key */
static const double IDLE_SECONDS = 0.5;   /* without a new frame, so that messages go away */

const struct view views[VIEW_COUNT] = {
    [VIEW_LAYERS] = {ACTION_VIEW_LAYERS, "1", "Layers", layers_draw, layers_act, &layers_finder},
    [VIEW_ERROR] = {ACTION_VIEW_ERROR, "2", "Error", error_draw, error_act, &layers_finder},
    [VIEW_ROOFLINE] = {ACTION_VIEW_ROOFLINE, "3", "Roofline", roofline_draw, roofline_act, &layers_finder},
    [VIEW_COUNTERS] = {ACTION_VIEW_COUNTERS, "4", "Counters", counters_draw, counters_act, &counters_finder},
    [VIEW_COMPARE] = {ACTION_VIEW_COMPARE, "5", "Compare", compare_draw, compare_act, &layers_finder},
    [VIEW_TEXT] = {ACTION_VIEW_TEXT, "6", "Text", generation_draw, generation_act, &layers_finder},
    [VIEW_MACHINE] = {ACTION_VIEW_MACHINE, "7", "Machine", machine_draw, machine_act, &layers_finder},
};

/* ---- what screens share ---------------------------------------------------------------------- */

void tui_note(struct tui *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(t->note, sizeof t->note, format, args);
    va_end(args);
}

void tui_send(struct tui *t, const struct command *command)
{
    if (!lab_send(t->lab, command))
        tui_note(t, "not enough memory");
}

void tui_send_changed(struct tui *t, struct command command)
{
    int *tensors = calloc(schemes_count(t->session->model), sizeof *tensors);
    command.tensors = tensors;
    command.tensor_count = tensors ? layers_chosen(t, tensors) : 0;
    if (command.tensor_count > 0)
        tui_send(t, &command);
    free(tensors);
}

void tui_select(struct tui *t)
{
    int tensor = layers_current_tensor(t);
    if (tensor < 0 || tensor == kv_index(t->session->model))
        return;
    const struct qmatrix *m = &t->session->model->tensors[tensor].stored;
    t->weight_row = t->weight_row < m->rows ? t->weight_row : m->rows - 1;
    t->weight_col = t->weight_col < m->cols ? t->weight_col : m->cols - 1;
    tui_send(t, &(struct command){.kind = COMMAND_SELECT, .tensors = &tensor, .tensor_count = 1,
                                  .row = t->weight_row, .col = t->weight_col});
}

static void open_view(struct tui *t, enum view_id view)
{
    t->view = view;
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
        tui_note(t, "kept in %s", path);
    else
        tui_note(t, "%s", error.text);
    free(path);
}

/* What the file of settings says; where it is broken, that is said and all is as usual. */
static void use_settings(struct tui *t)
{
    struct error error;
    if (!settings_load(&t->settings, &error))
        tui_note(t, "%s", error.text);
    t->log_scale = t->settings.log_scale;
    layers_sort_by_title(t, t->settings.sort);
    if (*t->settings.columns && !layers_choose_columns(t, t->settings.columns, &error))
        tui_note(t, "settings: %s", error.text);
}

static void act(struct tui *t, enum action a)
{
    char text[SETTINGS_COLUMNS];
    if (t->readonly && key_changes(a)) {
        tui_note(t, "--readonly: nothing is changed, kept or written");
        return;
    }
    if (views[t->view].act(t, a) || act_by_table(t, a)) /* what a screen means by a key comes first */
        return;
    switch (a) {
    case ACTION_QUIT:
        t->quit = true;
        break;
    case ACTION_HELP:
        t->help = true;
        t->help_top = 0;
        break;
    case ACTION_VIEW_NEXT:
    case ACTION_VIEW_PREVIOUS:
        open_view(t, (enum view_id)(((int)t->view + (a == ACTION_VIEW_NEXT ? 1 : VIEW_COUNT - 1)) %
                                    VIEW_COUNT));
        break;
    case ACTION_SEARCH:
        ask_begin(t, ASK_SEARCH, "");
        break;
    case ACTION_SEARCH_NEXT:
        views[t->view].finder->search(t, NULL, true);
        break;
    case ACTION_FILTER:
        ask_begin(t, ASK_FILTER, views[t->view].finder->filtered(t));
        break;
    case ACTION_PROMPT:
        ask_begin(t, ASK_PROMPT, "");
        break;
    case ACTION_SAMPLING:
        snprintf(text, sizeof text, "%g %llu", t->frame->text ? (double)t->frame->text->temperature : 1,
                 t->frame->text ? (unsigned long long)t->frame->text->seed : 1);
        ask_begin(t, ASK_SAMPLING, text);
        break;
    case ACTION_TUNE:
        if (t->frame->tuning)
            tui_send(t, &(struct command){.kind = COMMAND_TUNE, .text = ""});
        else
            ask_begin(t, ASK_TUNE, "kl 0.01");
        break;
    case ACTION_COLUMNS:
        layers_columns(t, text, sizeof text);
        ask_begin(t, ASK_COLUMNS, text);
        break;
    case ACTION_SETTINGS:
        keep_settings(t);
        break;
    case ACTION_EXPORT:
        if (t->frame->exporting)
            tui_send(t, &(struct command){.kind = COMMAND_EXPORT, .text = ""});
        else
            ask_begin(t, ASK_EXPORT, "model.gguf");
        break;
    case ACTION_WRITE:
        ask_begin(t, ASK_WRITE, "recipe.txt");
        break;
    case ACTION_CANCEL:
        cancel(t);
        break;
    case ACTION_REDRAW:
        t->redraw = true;
        break;
    default:
        tui_note(t, "that key means nothing on this screen: ? lists the keys");
        break;
    }
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
    } else if (t->view == VIEW_LAYERS) {
        layers_click(t, e.y);
    } else if (t->view == VIEW_COUNTERS) {
        counters_click(t, e.y);
    } else if (t->view == VIEW_COMPARE) {
        compare_click(t, e.y);
    }
}

static void handle_key(struct tui *t, wint_t key, bool is_code)
{
    if (is_code && key == KEY_RESIZE) {
        t->redraw = true;
    } else if (is_code && key == KEY_MOUSE) {
        mouse(t);
    } else if (t->asking != ASK_NOTHING) {
        ask_key(t, (unsigned)key, is_code);
    } else {
        enum action a = key_action(t->view, (int)key, is_code);
        *t->note = 0;
        if (t->help)
            help_key(t, a);
        else if (a != ACTION_NONE)
            act(t, a);
        else if (!is_code && key >= 32 && key < 127)
            tui_note(t, "the key %c means nothing here: ? lists the keys", (int)key);
    }
}

/* Everything that has been typed. Returns whether there was anything. */
static bool handle_keys(struct tui *t)
{
    bool any = false;
    wint_t key;
    for (int kind; !t->quit && (kind = get_wch(&key)) != ERR; any = true)
        handle_key(t, key, kind == KEY_CODE_YES);
    return any;
}

/* ---- drawing --------------------------------------------------------------------------------- */

static void draw(struct tui *t)
{
    struct layout l = layout_screen(LINES, COLS);
    if (t->redraw)
        clearok(curscr, TRUE);
    t->redraw = false;
    erase();
    layers_update(t);
    if (t->help) {
        draw_text(0, 0, COLS, STYLE_TITLE, true, "qtop keys (arrows scroll, any other key closes)");
        help_draw(t, (struct rect){1, 0, LINES - 1, COLS});
    } else {
        header_draw(t, &l);
        if (t->asking == ASK_SCHEME)
            editor_draw(t, l.body);
        else
            views[t->view].draw(t, l.body);
        footer_draw(t, &l);
        if (t->asking != ASK_NOTHING)
            ask_draw(t, &l);
    }
    refresh();
}

static void draw_anew(struct tui *t)
{
    t->redraw = true;
    draw(t);
}

static void take_frame(struct tui *t)
{
    struct frame *f = lab_frame(t->lab);
    if (!f)
        return;
    frame_unref(t->frame);
    t->frame = f;
}

enum event { EVENT_NONE, EVENT_FRAME, EVENT_GONE };

/* Waits for a key or, where frames are wanted, for one. */
static enum event wait_for_event(struct tui *t, double seconds, bool frames)
{
    struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {lab_wake_descriptor(t->lab), POLLIN, 0}};
    int n = poll(fds, frames ? 2 : 1, (int)(seconds * 1000) + 1);
    if (n < 0)
        return errno == EINTR ? EVENT_NONE : EVENT_GONE;
    if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
        return EVENT_GONE;
    return frames && (fds[1].revents & POLLIN) ? EVENT_FRAME : EVENT_NONE;
}

/* Before the first frame keys have nothing to act on: they wait in the terminal. */
static void wait_for_frame(struct tui *t)
{
    struct pollfd wake = {lab_wake_descriptor(t->lab), POLLIN, 0};
    for (take_frame(t); !t->frame; take_frame(t)) {
        poll(&wake, 1, (int)(IDLE_SECONDS * 1000));
        terminal_suspend();
    }
}

/* Keys are drawn at once, and so are the frames that show their effect; otherwise frames are drawn at
 * a steady, slow rate. */
static int loop(struct tui *t)
{
    double drawn = 0, eager_until = 0;
    while (!t->quit) {
        if (terminal_suspend())
            draw_anew(t);
        double now = clock_seconds();
        double due = drawn + (now < eager_until ? EAGER_SECONDS : t->settings.refresh);
        enum event event = wait_for_event(t, now < due ? due - now : IDLE_SECONDS, now >= due);
        if (event == EVENT_GONE)
            return EXIT_FAILED;
        bool keys = handle_keys(t);
        if (keys)
            eager_until = clock_seconds() + 0.3;
        if (!keys && event != EVENT_FRAME && now < due)
            continue;
        take_frame(t);
        draw(t);
        drawn = clock_seconds();
    }
    return EXIT_DONE;
}

/* ---- starting -------------------------------------------------------------------------------- */

static struct lab *start_lab(const struct options *o, struct batch *b, char **text,
                             struct error *error)
{
    struct lab_options lo = {.schemes = b->schemes,
                             .protocol = protocol_by_name(o->protocol),
                             .window = (size_t)o->window,
                             .prompt = o->prompt,
                             .seed = (uint64_t)o->seed,
                             .temperature = (float)o->temperature,
                             .top_p = (float)o->top_p,
                             .tokens_per_second = READING_SPEED};
    if (o->window && (size_t)o->window > b->session.context)
        return error_set(error, "--window %ld: the context holds %zu", o->window, b->session.context),
               NULL;
    if (o->text && !(*text = read_study_text(o->text, &lo.text_size, error)))
        return NULL;
    lo.text = *text;
    return lab_start(&b->session, &lo, error);
}

static int run_session(const struct options *o, struct tui *t, struct error *error)
{
    use_settings(t);
    bool color = t->settings.color && !o->no_color && !getenv("NO_COLOR");
    int status = EXIT_FAILED;
    bool ok = layers_begin(t, error) && terminal_begin(o->ascii || t->settings.ascii, color,
                                                       t->settings.mouse && !o->no_mouse, error);
    if (ok) {
        wait_for_frame(t);
        layers_update(t);
        tui_select(t);
        status = loop(t);
        terminal_end();
        error_set(error, "the terminal is gone");
    }
    frame_unref(t->frame);
    layers_end(t);
    return status;
}

/* The last part of a path that has one: `folder` of path/folder/, too. */
static void name_file(const char *path, char name[128])
{
    size_t end = strlen(path), begin;
    while (end > 1 && path[end - 1] == '/')
        end--;
    for (begin = end; begin > 0 && path[begin - 1] != '/';)
        begin--;
    escape_text(name, 128, path + begin, end - begin);
}

/* What the title calls the model: its file's name, or its shape. */
static void name_model(const struct session *s, const struct options *o, char name[128])
{
    if (s->model->path)
        name_file(s->model->path, name);
    else
        snprintf(name, 128, "%.80s, random weights", o->synthetic);
}

int run_tui(const struct options *o)
{
    struct batch batch;
    struct error error;
    int status;
    char *text = NULL;
    if (!batch_open(&batch, o, &status, &error))
        return complain(&error, status);
    struct tui *t = calloc(1, sizeof *t);
    char name[128], reference[128] = "";
    name_model(&batch.session, o, name);
    if (o->reference)
        name_file(o->reference, reference);
    status = EXIT_FAILED;
    if (t) {
        t->session = &batch.session;
        t->readonly = o->readonly;
        t->model_name = name;
        t->reference_name = reference;
        if (batch_measure(&batch, &error) && (t->lab = start_lab(o, &batch, &text, &error)))
            status = run_session(o, t, &error);
        lab_stop(t->lab);
        free(t->machine);
    } else {
        error_set(&error, "not enough memory");
    }
    free(t);
    free(text);
    batch_close(&batch);
    return status == EXIT_DONE ? EXIT_DONE : complain(&error, status);
}
