/* Another model from inside: asked for, with the files that were opened last; opened on a thread of its own. */
#include "tui.h"

#include "background.h"
#include "opened.h"
#include "recent.h"

#include <stdlib.h>
#include <string.h>

struct opening {
    const struct options *options;
    struct background *thread;
    char name[64];            /* of the file, as a line shows it */
    char *path;               /* until the thread has it */
    struct opened *opened;    /* when it is done; null with the error */
    struct error error;
    bool abandoned;           /* nobody waits for it any more */
    size_t losses;            /* unwritten snapshots that a person has agreed to lose */
};

static void work(void *arg)
{
    struct opening *w = arg;
    int status;
    w->opened = opened_begin(w->options, w->path, &status, &w->error);
    w->path = NULL;
}

/* ---- the list -------------------------------------------------------------------------------- */

static void forget_list(struct tui *t)
{
    if (t->recent)
        recent_free(t->recent);
    free(t->recent);
    t->recent = NULL;
}

void open_ask(struct tui *t)
{
    struct error error;
    if (t->opening && !t->opening->abandoned) {
        tui_note(t, "%s is still being opened: Esc gives that up", t->opening->name);
        return;
    }
    forget_list(t);
    t->recent = calloc(1, sizeof *t->recent);
    t->recent_at = -1;
    ask_begin(t, ASK_OPEN, "");
    if (t->recent && !recent_load(t->recent, &error))
        tui_note(t, "%s", error.text);
}

void open_move(struct tui *t, int by)
{
    int count = t->recent ? (int)t->recent->count : 0, at = t->recent_at + by;
    if (count == 0)
        return;
    t->recent_at = at < 0 ? 0 : at >= count ? count - 1 : at;
    input_suggest(&t->input, t->recent->path[t->recent_at]);
}

void open_draw(struct tui *t, struct rect area)
{
    int count = t->recent ? (int)t->recent->count : 0, line = area.row, room = area.rows - 1;
    if (area.rows < 1)
        return;
    draw_text(line++, 0, area.cols, STYLE_TITLE, true,
              count ? " files opened last (Up, Down choose; Enter opens; Esc closes)" : " no file was opened before");
    int top = t->recent_at >= room ? t->recent_at - room + 1 : 0;
    for (int i = top; i < count && i < top + room; i++) {
        const char *path = t->recent->path[i];
        int wide = text_width(path), from = wide > area.cols - 2 ? (int)strlen(path) - (area.cols - 4) : 0;
        while (from > 0 && ((unsigned char)path[from] & 0xc0) == 0x80)
            from++;
        draw_format(line++, 0, area.cols, i == t->recent_at ? STYLE_SELECTED : STYLE_PLAIN, true, " %s%s",
                    from > 0 ? ".." : "", path + from);
    }
}

/* ---- opening --------------------------------------------------------------------------------- */

/* ~/ is a person's own folder. */
static char *whole_path(const char *text)
{
    const char *home = getenv("HOME");
    char *path;
    if (strncmp(text, "~/", 2) == 0 && home)
        return asprintf(&path, "%s%s", home, text + 1) < 0 ? NULL : path;
    return strdup(text);
}

bool open_begin(struct tui *t, const char *text)
{
    free(t->open_path);
    t->open_path = whole_path(text);
    if (!t->open_path) {
        tui_note(t, "not enough memory");
        return false;
    }
    t->asking = ASK_NOTHING; /* a question may follow */
    return true;
}

void open_start(struct tui *t)
{
    struct error error = {"not enough memory"};
    struct opening *w = calloc(1, sizeof *w);
    if (w) {
        w->options = t->options;
        w->path = t->open_path;
        t->open_path = NULL;
        w->losses = t->frame->snapshot_count;
        name_file(w->path, w->name, sizeof w->name);
        w->thread = background_start(work, w, &error);
    }
    if (w && w->thread) {
        t->opening = w;
        return;
    }
    if (w)
        free(w->path);
    free(w);
    tui_note(t, "%s", error.text);
}

static void close_opening(struct tui *t)
{
    struct opening *w = t->opening;
    background_end(w->thread);
    opened_end(w->opened, NULL);
    free(w->path);
    free(w);
    t->opening = NULL;
}

bool open_cancel(struct tui *t)
{
    if (!t->opening || t->opening->abandoned)
        return false;
    t->opening->abandoned = true;
    tui_note(t, "%s is not opened", t->opening->name);
    return true;
}

void open_drop(struct tui *t)
{
    free(t->open_path);
    t->open_path = NULL;
    opened_end(t->next, NULL);
    t->next = NULL;
}

bool open_follow(struct tui *t)
{
    struct opening *w = t->opening;
    if (!w || !background_is_done(w->thread) || t->asking != ASK_NOTHING)
        return false;
    bool more = t->frame->snapshot_count > w->losses; /* than a person was asked about */
    if (!w->abandoned && !w->opened)
        tui_note(t, "%s", w->error.text);
    if (!w->abandoned && w->opened) {
        t->next = w->opened;
        w->opened = NULL;
    }
    close_opening(t);
    t->quit = t->next && !more;
    return t->next && more;
}

void open_words(const struct tui *t, char *out, size_t size)
{
    *out = 0;
    if (t->opening && !t->opening->abandoned)
        snprintf(out, size, "opening %s: %.0f s (Esc gives it up)", t->opening->name,
                 background_seconds(t->opening->thread));
}

/* What cannot be kept is no reason not to go on. */
void open_remember(struct tui *t)
{
    struct error error;
    const char *path = t->session->model->path;
    bool named = t->options->model != NULL;
    if (named && path && !t->readonly)
        recent_add(path, &error);
}

void open_end(struct tui *t)
{
    forget_list(t);
    free(t->open_path);
    if (t->opening)
        close_opening(t);
}
