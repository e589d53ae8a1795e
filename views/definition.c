/* What a column or a number means: a panel over the screen's own rows. */
#include "tui.h"

#include "figures.h"

#include <stdlib.h>
#include <string.h>

/* The figures of the open screen; the caller frees them. */
static const struct figure **list(const struct tui *t, size_t *n)
{
    const struct figure **out = calloc(figure_count, sizeof *out);
    *n = out ? figures_of(t->view, out) : 0;
    return out;
}

/* Begins with the column that sorts. */
void definition_open(struct tui *t)
{
    size_t n;
    const struct figure **of = list(t, &n);
    t->defining = true;
    t->figure = 0;
    t->figure_top = 0;
    for (size_t i = n; t->view == VIEW_LAYERS && i-- > 0;)
        if (figure_is_of(of[i], layers_sort_title(t)))
            t->figure = i;
    free(of);
}

static void step(struct tui *t, int direction)
{
    size_t n;
    free(list(t, &n));
    t->figure_top = 0;
    if (n > 0)
        t->figure = (t->figure + (direction > 0 ? 1 : n - 1)) % n;
}

void definition_key(struct tui *t, enum action a, unsigned key, bool is_code)
{
    if (is_code && (key == KEY_LEFT || key == KEY_RIGHT))
        step(t, key == KEY_RIGHT ? 1 : -1);
    else if (a == ACTION_UP || a == ACTION_DOWN)
        step(t, a == ACTION_DOWN ? 1 : -1);
    else if (a == ACTION_PAGE_DOWN || (!is_code && key == ' '))
        t->figure_top++;
    else if (a == ACTION_PAGE_UP)
        t->figure_top--;
    else
        t->defining = false;
}

/* The lines of a text; those from `top` on are drawn where there is room. */
static int put_lines(struct rect area, const char *text, int top)
{
    char part[512];
    size_t next;
    int line = 0;
    for (size_t at = 0; text[at]; at += next, line++) {
        size_t n = wrapped_line(text + at, area.cols, &next);
        snprintf(part, sizeof part, "%.*s", (int)(n < sizeof part ? n : sizeof part - 1), text + at);
        if (line >= top && line - top < area.rows)
            draw_text(area.row + line - top, area.col, area.cols, STYLE_PLAIN, true, part);
    }
    return line;
}

void definition_draw(struct tui *t, struct rect area)
{
    size_t n;
    const struct figure **of = list(t, &n);
    const struct figure *f = n > 0 ? of[t->figure % n] : NULL;
    free(of);
    if (!f || area.rows < 2 || area.cols < 4)
        return;
    struct rect text = {area.row + 1, 1, 0, area.cols - 2};
    int lines = put_lines(text, f->text, 0), room = area.rows - 1, last = lines > room ? lines - room : 0;
    t->figure_top = t->figure_top > last ? last : t->figure_top < 0 ? 0 : t->figure_top;
    text.rows = lines < room ? lines : room;
    for (int i = 0; i < text.rows; i++)
        draw_blank(text.row + i, 0, area.cols, STYLE_PLAIN);
    draw_format(area.row, 0, area.cols, STYLE_TITLE, true, " %s  (%zu of %zu: arrows%s)", f->name, t->figure % n + 1, n,
                last > 0 ? ", PgDn" : "");
    put_lines(text, f->text, t->figure_top);
}
