/* Searching and filtering as one types, and the line that says which filter is on. */
#include "tui.h"

static const struct finder *finder_of(const struct tui *t)
{
    return views[t->view].finder;
}

const char *find_filtered(const struct tui *t)
{
    return finder_of(t)->filtered ? finder_of(t)->filtered(t) : "";
}

void find_filter(struct tui *t, const char *text)
{
    if (finder_of(t)->filter)
        finder_of(t)->filter(t, text);
    else
        tui_note(t, "%s: / searches", finder_of(t)->whole);
}

void find_begin(struct tui *t)
{
    if (finder_of(t)->keep)
        finder_of(t)->keep(t);
}

void find_back(struct tui *t)
{
    bool finds = t->asking == ASK_SEARCH || t->asking == ASK_FILTER;
    if (finds && finder_of(t)->back)
        finder_of(t)->back(t);
}

/* From where it began, so that a letter less goes back. */
void find_typed(struct tui *t)
{
    const struct finder *f = finder_of(t);
    if (!f->back)
        return;
    find_back(t);
    if (t->asking == ASK_FILTER)
        find_filter(t, t->input.text);
    else if (t->asking == ASK_SEARCH && *t->input.text)
        f->search(t, t->input.text, false);
}

bool find_is_on(const struct tui *t)
{
    return *find_filtered(t) != 0;
}

void find_draw(const struct tui *t, int row, int cols)
{
    const struct finder *f = finder_of(t);
    char line[160], hits[64] = "";
    size_t all;
    const char *what;
    if (f->hits) {
        size_t shown = f->hits(t, &all, &what);
        snprintf(hits, sizeof hits, "  %zu of %zu %s", shown, all, what);
    }
    snprintf(line, sizeof line, "filter: %.60s%s, Esc clears", f->filtered(t), hits);
    if (text_width(line) > cols)
        snprintf(line, sizeof line, "filter: %.60s%s", f->filtered(t), hits);
    draw_text(row, 0, cols, STYLE_GOOD, true, line);
}
