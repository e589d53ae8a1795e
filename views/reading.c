/* The text that quality is measured on, over any screen: what has been measured so far is marked. */
#include "tui.h"

#include <stdlib.h>
#include <string.h>

/* The text as it is shown, made anew for another text or another width. */
struct reading {
    uint64_t serial;  /* of the text; */
    bool made;        /* once it is that text */
    char *text;       /* all tokens shown, NUL-terminated */
    size_t *end;      /* of each token in it, a byte (tokens) */
    size_t tokens;
    size_t *line;     /* where each line begins (lines) */
    size_t lines;
    int cols;
};

void reading_end(struct tui *t)
{
    struct reading *r = t->reading;
    if (!r)
        return;
    free(r->text);
    free(r->end);
    free(r->line);
    free(r);
    t->reading = NULL;
}

/* ---- making the text ------------------------------------------------------------------------- */

/* A token's bytes; its id where there is no tokenizer, or it is a control token. */
static size_t piece_of(const struct tui *t, int32_t before, int32_t id, char out[128])
{
    char byte;
    size_t n = 0;
    const char *piece = t->session->tokenizer ? tokenizer_piece(t->session->tokenizer, before, id, &n, &byte) : NULL;
    if (n == 0)
        return (size_t)snprintf(out, 128, t->session->tokenizer ? "<%d>" : "%d ", id);
    n = n < 127 ? n : 127;
    for (size_t i = 0; i < n; i++)
        out[i] = piece[i] ? piece[i] : ' ';
    return n;
}

static bool make_text(const struct tui *t, const struct study_frame *f, struct reading *r)
{
    size_t used = 0, room = 8 * f->count + 256;
    free(r->text);
    free(r->end);
    r->text = malloc(room);
    r->end = malloc((f->count + 1) * sizeof *r->end);
    for (size_t i = 0; r->text && r->end && i < f->count; i++) {
        if (used + 256 > room) {
            char *more = realloc(r->text, room *= 2);
            if (!more)
                free(r->text);
            r->text = more;
            if (!more)
                break;
        }
        used += piece_of(t, i > 0 ? f->ids[i - 1] : TOKEN_FIRST, f->ids[i], r->text + used);
        r->end[i] = used;
    }
    r->tokens = f->count;
    r->cols = 0;
    r->serial = f->serial;
    r->made = r->text && r->end;
    if (r->made)
        r->text[used] = 0;
    return r->made;
}

static bool make_lines(struct reading *r, int cols)
{
    size_t next, room = 256;
    free(r->line);
    r->line = malloc(room * sizeof *r->line);
    r->lines = 0;
    for (size_t at = 0; r->line && r->text[at]; at += next) {
        if (r->lines == room) {
            size_t *more = realloc(r->line, (room *= 2) * sizeof *more);
            if (!more)
                free(r->line);
            r->line = more;
            if (!more)
                break;
        }
        r->line[r->lines++] = at;
        wrapped_line(r->text + at, cols, &next);
    }
    r->cols = r->line ? cols : 0;
    return r->line != NULL;
}

/* False: memory is short. */
static bool follow(struct tui *t, const struct study_frame *f, int cols)
{
    struct reading *r = t->reading;
    bool same = r->made && r->serial == f->serial;
    return (same || make_text(t, f, r)) && (r->cols == cols || make_lines(r, cols));
}

/* ---- drawing --------------------------------------------------------------------------------- */

/* Tokens of this text that have been measured: an evaluation of another text has measured none. */
static size_t measured(const struct frame *f)
{
    const struct quality_frame *q = &f->quality;
    return q->valid && q->text_serial == f->study->serial ? q->result.ran : 0;
}

static void draw_head(const struct frame *f, int cols)
{
    const struct study_frame *s = f->study;
    size_t done = measured(f);
    char shown[64] = "";
    if (s->count < s->tokens)
        snprintf(shown, sizeof shown, ", the first %zu are shown", s->count);
    draw_format(0, 0, cols, STYLE_TITLE, true, "text %s: %zu of %zu tokens measured (%.0f %%)%s%s", s->name, done, s->tokens,
                100 * (double)done / (double)(s->tokens ? s->tokens : 1), f->quality.stale && done ? " before the change" : "",
                shown);
}

/* A bar stands beside lines that are measured; the rest of the text is dim. */
static void draw_lines(const struct tui *t, size_t done, struct rect area)
{
    const struct reading *r = t->reading;
    size_t mark = done == 0 ? 0 : r->end[(done < r->tokens ? done : r->tokens) - 1], next;
    for (int i = 0; i < area.rows && t->reading_top + (size_t)i < r->lines; i++) {
        size_t at = r->line[t->reading_top + (size_t)i], n = wrapped_line(r->text + at, r->cols, &next);
        struct rect line = {area.row + i, area.col + 2, 1, area.cols - 2};
        char text[2048];
        n = n < sizeof text - 1 ? n : sizeof text - 1;
        memcpy(text, r->text + at, n);
        text[n] = 0;
        draw_text(line.row, area.col, 1, STYLE_BAR, false, at < mark ? "|" : " ");
        draw_wrapped(line, text, mark > at ? mark - at : 0, STYLE_PLAIN, STYLE_DIM);
    }
}

void reading_draw(struct tui *t, int rows, int cols)
{
    const struct frame *f = t->frame;
    if (!f->study) {
        draw_text(0, 0, cols, STYLE_TITLE, true, "the text that quality is measured on is not there yet (y closes)");
        return;
    }
    draw_head(f, cols);
    bool foot = rows > 4;
    struct rect area = {1, 0, rows - 1 - foot, cols};
    if (area.rows < 1 || cols < 4 || f->study->count == 0)
        return;
    if (!follow(t, f->study, cols - 2)) {
        draw_text(1, 0, cols, STYLE_WARN, false, "not enough memory to show the text");
        return;
    }
    size_t lines = t->reading->lines, last = lines > (size_t)area.rows ? lines - (size_t)area.rows : 0;
    t->reading_top = t->reading_top < last ? t->reading_top : last;
    t->reading_page = area.rows;
    draw_lines(t, measured(f), area);
    if (foot)
        draw_text(rows - 1, 0, cols, STYLE_DIM, true, "| measured  arrows, PgUp, PgDn, Home, End scroll  Y another text  y closes");
}

/* ---- keys ------------------------------------------------------------------------------------ */

void reading_begin(struct tui *t)
{
    t->reading = calloc(1, sizeof *t->reading);
    t->reading_top = 0;
    if (!t->reading)
        tui_note(t, "not enough memory to show the text");
}

bool reading_key(struct tui *t, enum action a)
{
    static const struct {
        enum action action;
        long lines, pages;
    } moves[] = {{ACTION_UP, -1, 0}, {ACTION_DOWN, 1, 0}, {ACTION_PAGE_UP, 0, -1}, {ACTION_PAGE_DOWN, 0, 1},
                 {ACTION_TAG, 0, 1}, {ACTION_HOME, -(1L << 30), 0}, {ACTION_END, 1L << 30, 0}};
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) {
        if (a != moves[i].action)
            continue;
        long to = (long)t->reading_top + moves[i].lines + moves[i].pages * t->reading_page;
        t->reading_top = to < 0 ? 0 : (size_t)to;
        return true;
    }
    reading_end(t);
    return a != ACTION_STUDY && a != ACTION_QUIT && a != ACTION_HELP; /* those do what they do anywhere */
}
