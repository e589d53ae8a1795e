/* qtop: the terminal program. A loop that waits for keys and frames, and draws. */
#include "tui.h"

#include "batch.h"
#include "opened.h"

#include "base/clock.h"
#include "base/escape.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double EAGER_SECONDS = 0.01; /* after a key */
static const double IDLE_SECONDS = 0.5;   /* without a new frame, so that messages go away */
static const double ASLEEP_SECONDS = 30;  /* where none comes, and no message is shown */

/* ---- drawing --------------------------------------------------------------------------------- */

static void draw(struct tui *t)
{
    struct layout l = layout_screen(LINES, COLS);
    if (t->redraw)
        clearok(curscr, TRUE);
    t->redraw = false;
    erase();
    rows_update(t);
    if (t->help) {
        bool line = t->asking == ASK_HELP;
        help_draw(t, (struct rect){1, 0, LINES - 1 - line, COLS});
        if (line)
            ask_draw(t, &(struct layout){.footer = LINES - 1});
    } else if (t->reading) {
        reading_draw(t, LINES, COLS);
    } else {
        header_draw(t, &l);
        if (find_is_on(t) && l.body.rows > 1)
            find_draw(t, l.body.row + --l.body.rows, l.body.cols);
        if (t->asking == ASK_SCHEME)
            editor_draw(t, l.body);
        else if (t->asking == ASK_COLUMNS)
            columns_draw(t, l.body);
        else if (t->asking == ASK_OPEN)
            open_draw(t, l.body);
        else
            views[t->view].draw(t, l.body);
        if (t->defining)
            definition_draw(t, l.body);
        if (t->asking == ASK_COMMAND)
            command_draw(t, l.body);
        footer_draw(t, &l);
        if (t->asking != ASK_NOTHING)
            ask_draw(t, &l);
    }
    refresh();
}

static void redraw_all(struct tui *t)
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

/* Everything that has been typed. Returns whether there was anything. */
static bool handle_keys(struct tui *t)
{
    bool any = false;
    wint_t key;
    for (int kind; !t->quit && (kind = get_wch(&key)) != ERR; any = true)
        tui_key(t, key, kind == KEY_CODE_YES);
    return any;
}

/* ---- sleeping -------------------------------------------------------------------------------- */

static void send_sleep(struct tui *t, bool sleep)
{
    t->dozing = sleep;
    tui_send(t, &(struct command){.kind = COMMAND_SLEEP, .index = sleep});
}

/* Nobody has pressed a key for so long, and nothing runs that a person waits for. */
static void doze(struct tui *t, double now)
{
    const struct frame *f = t->frame;
    bool busy = f->activity.name || f->pending > 0 || t->opening || t->exchange || t->reporting || t->asking != ASK_NOTHING;
    if (t->options->idle > 0 && !t->dozing && !busy && now - t->key_at >= t->options->idle)
        send_sleep(t, true);
}

static void wake(struct tui *t, double now)
{
    t->key_at = now;
    if (t->dozing)
        send_sleep(t, false);
}

/* Seconds until the screen may have something else to show by itself. */
static double patience(const struct tui *t, double now)
{
    bool still = t->frame->sleeps && !t->opening && !t->exchange && !t->reporting && now > t->status_until;
    return still ? ASLEEP_SECONDS : IDLE_SECONDS;
}

/* Keys are drawn at once, and so are the frames that show their effect; otherwise frames are drawn at
 * a steady, slow rate. */
static int loop(struct tui *t)
{
    double drawn = 0, eager_until = 0;
    t->key_at = clock_seconds();
    while (!t->quit) {
        if (terminal_suspend())
            redraw_all(t);
        double now = clock_seconds();
        double due = drawn + (now < eager_until ? EAGER_SECONDS : t->settings.refresh);
        enum event event = wait_for_event(t, now < due ? due - now : patience(t, now), now >= due);
        if (event == EVENT_GONE)
            return EXIT_FAILED;
        bool keys = handle_keys(t);
        if (keys) {
            eager_until = clock_seconds() + 0.3;
            wake(t, clock_seconds());
        }
        if (!keys && event != EVENT_FRAME && now < due)
            continue;
        take_frame(t);
        quit_decide(t);
        answers_follow(t);
        exchange_follow(t);
        reporting_follow(t);
        map_follow(t);
        if (open_follow(t))
            leave_begin(t);
        doze(t, now);
        draw(t);
        drawn = clock_seconds();
    }
    return EXIT_DONE;
}

/* ---- starting -------------------------------------------------------------------------------- */

/* Applies the file of settings; of a broken one only a note is shown. */
static void use_settings(struct tui *t)
{
    struct error error;
    if (!settings_load(&t->settings, &error))
        tui_note(t, "%s", error.text);
    t->log_scale = t->settings.log_scale;
    layers_sort_by_title(t, t->settings.sort);
    t->sort_reversed = t->settings.sort_reversed && t->sort != SORT_NONE;
    if (*t->settings.columns && !layers_choose_columns(t, t->settings.columns, &error))
        tui_note(t, "settings: %s", error.text);
}

/* The terminal is set up for the first model, and stays as it is for the next ones. */
static bool begin_screen(const struct options *o, struct tui *t, struct error *error)
{
    bool color = t->settings.color && !o->no_color && !getenv("NO_COLOR");
    return rows_begin(t, error) && (terminal_is_begun() || terminal_begin(o->ascii || t->settings.ascii, color,
                                                                        t->settings.mouse && !o->no_mouse, error));
}

static int run_session(const struct options *o, struct tui *t, struct error *error)
{
    use_settings(t);
    int status = EXIT_FAILED;
    const struct importance *weighs = t->session->importance;
    if (weighs)
        tui_note(t, "imatrix %s: data of %zu of %zu layers inside blocks", weighs->file, weighs->known, weighs->linear);
    if (begin_screen(o, t, error)) {
        open_remember(t);
        wait_for_frame(t);
        rows_update(t);
        tui_select(t);
        status = loop(t);
        error_set(error, "the terminal is gone");
    }
    reading_end(t);
    exchange_end(t);
    reporting_end(t);
    open_end(t);
    frame_unref(t->frame);
    rows_end(t);
    return status;
}

/* One model, until another is opened from inside (*next) or the program is left. */
static int run_opened(struct opened *w, struct opened **next, bool *interrupted, struct error *error)
{
    struct tui *t = calloc(1, sizeof *t);
    *next = NULL;
    if (!t) {
        error_set(error, "not enough memory");
        return EXIT_FAILED;
    }
    t->lab = w->lab;
    t->session = &w->batch.session;
    t->options = &w->options;
    t->readonly = w->options.readonly;
    t->view = t->session->other_model ? VIEW_AGAINST : VIEW_LAYERS;
    t->model_name = w->name;
    t->reference_name = w->reference;
    snprintf(t->saved_as, sizeof t->saved_as, "%s", w->session_path);
    int status = run_session(&w->options, t, error);
    *interrupted = t->interrupted;
    *next = t->next;
    free(t->machine);
    free(t);
    return status;
}

int run_tui(const struct options *o)
{
    struct error error;
    int status;
    bool interrupted = false;
    struct opened *next = NULL, *now = opened_begin(o, NULL, &status, &error);
    if (!now)
        return complain(&error, status);
    for (; now; now = next) {
        status = run_opened(now, &next, &interrupted, &error);
        if (!next)
            terminal_end();
        if (!opened_end(now, &error))
            status = EXIT_FAILED;
    }
    if (interrupted && status == EXIT_DONE)
        raise(SIGINT);
    return status == EXIT_DONE ? EXIT_DONE : complain(&error, status);
}
