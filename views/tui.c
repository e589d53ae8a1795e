/* qtop: the terminal program. A loop that waits for keys and frames, and draws. */
#include "tui.h"

#include "batch.h"

#include "base/clock.h"
#include "base/escape.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double READING_SPEED = 16;  /* tokens per second */
static const double EAGER_SECONDS = 0.01; /* after a key */
static const double IDLE_SECONDS = 0.5;   /* without a new frame, so that messages go away */

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

/* Keys are drawn at once, and so are the frames that show their effect; otherwise frames are drawn at
 * a steady, slow rate. */
static int loop(struct tui *t)
{
    double drawn = 0, eager_until = 0;
    while (!t->quit) {
        if (terminal_suspend())
            redraw_all(t);
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
        quit_decide(t);
        answers_follow(t);
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
    struct text_choice c;
    if (!text_choose(&c, &b->session, o->text, USE_QUALITY, error))
        return NULL;
    struct tokens ids = {0};
    bool ok = true;
    if (c.path && b->session.tokenizer)
        ok = (lo.text = *text = read_study_text(c.path, &lo.text_size, error));
    else if (c.path)
        ok = text_choice_read(&b->session, &c, &ids, error);
    lo.text_ids = ids.count > 0 ? &ids : NULL;
    lo.text_name = c.name;
    lo.text_tokens = c.is_default ? DEFAULT_TOKENS : 0;
    struct lab *lab = ok ? lab_start(&b->session, &lo, error) : NULL;
    text_choice_free(&c);
    free(ids.ids);
    return lab;
}

/* Applies the file of settings; of a broken one only a note is shown. */
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

static int run_session(const struct options *o, struct tui *t, struct error *error)
{
    use_settings(t);
    bool color = t->settings.color && !o->no_color && !getenv("NO_COLOR");
    int status = EXIT_FAILED;
    const struct importance *weighs = t->session->importance;
    if (weighs)
        tui_note(t, "imatrix %s: data of %zu of %zu layers inside blocks", weighs->file, weighs->known, weighs->linear);
    bool ok = rows_begin(t, error) && terminal_begin(o->ascii || t->settings.ascii, color,
                                                       t->settings.mouse && !o->no_mouse, error);
    if (ok) {
        wait_for_frame(t);
        rows_update(t);
        tui_select(t);
        status = loop(t);
        terminal_end();
        error_set(error, "the terminal is gone");
    }
    frame_unref(t->frame);
    rows_end(t);
    return status;
}

/* What the title calls the model: its file's name, or its shape. */
static void name_model(const struct session *s, const struct options *o, char name[128])
{
    if (s->model->path)
        name_file(s->model->path, name, 128);
    else
        snprintf(name, 128, "%.80s, random weights", o->synthetic);
}

int run_tui(const struct options *o)
{
    struct batch batch;
    struct error error;
    int status;
    bool interrupted = false;
    char *text = NULL;
    if (!batch_open(&batch, o, &status, &error))
        return complain(&error, status);
    struct tui *t = calloc(1, sizeof *t);
    char name[128], reference[128] = "";
    name_model(&batch.session, o, name);
    if (o->reference)
        name_file(o->reference, reference, sizeof reference);
    status = EXIT_FAILED;
    if (t) {
        t->session = &batch.session;
        t->readonly = o->readonly;
        t->model_name = name;
        t->reference_name = reference;
        if (batch_calibration(&batch, &error) && batch_measure(&batch, &error) && (t->lab = start_lab(o, &batch, &text, &error)))
            status = run_session(o, t, &error);
        lab_stop(t->lab);
        interrupted = t->interrupted;
        free(t->machine);
    } else {
        error_set(&error, "not enough memory");
    }
    free(t);
    free(text);
    batch_close(&batch);
    if (interrupted && status == EXIT_DONE)
        raise(SIGINT);
    return status == EXIT_DONE ? EXIT_DONE : complain(&error, status);
}
