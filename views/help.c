/* The help screen, from the key table: the open screen's keys, then all; a text that is looked for leaves the keys that
 * have it. */
#include "tui.h"

#include <string.h>

enum { KEYS_COL = 2, KEYS_COLS = 12, HELP_COL = 15 };

static void put(struct rect area, int line, int col, int cols, enum style style, const char *text)
{
    if (line >= 0 && line < area.rows)
        draw_text(area.row + line, col, cols, style, false, text);
}

/* A key from a line on: what it does takes as many as it needs. Returns the line after it. */
static int put_key(struct rect area, int line, const struct key_binding *key)
{
    char help[HELP_TEXT], part[HELP_TEXT];
    int cols = area.cols - HELP_COL > 1 ? area.cols - HELP_COL : 1;
    size_t next;
    key_help(key, help);
    put(area, line, KEYS_COL, KEYS_COLS, STYLE_GOOD, key->shown);
    for (size_t at = 0; help[at]; at += next) {
        size_t n = wrapped_line(help + at, cols, &next);
        memcpy(part, help + at, n);
        part[n] = 0;
        put(area, line++, HELP_COL, area.cols - HELP_COL, STYLE_PLAIN, part);
    }
    return line;
}

static bool is_found(const struct tui *t, const struct key_binding *key)
{
    char help[HELP_TEXT], name[KEY_NAME];
    return !*t->help_search || strcasestr(key->shown, t->help_search) ||
           strcasestr(key_help(key, help), t->help_search) || strcasestr(key_word(key, name), t->help_search);
}

/* Which keys stand under a title: those of a group, or those of the open screen. */
enum { OF_SCREEN = KEY_GROUPS };

static bool belongs(const struct tui *t, const struct key_binding *key, int to)
{
    return to == OF_SCREEN ? key_home(key) == t->view : (int)key->group == to;
}

/* A title, its keys, a blank line; nothing where there is no key. Returns the line after all. */
static int put_section(const struct tui *t, struct rect area, int line, const char *title, int of)
{
    bool any = false;
    for (size_t i = 0; i < key_count; i++) {
        if (!belongs(t, &key_table[i], of) || !is_found(t, &key_table[i]))
            continue;
        if (!any)
            put(area, line++, 0, area.cols, STYLE_STRONG, title);
        any = true;
        line = put_key(area, line, &key_table[i]);
    }
    return line + any;
}

static int put_all(const struct tui *t, struct rect area, int line)
{
    char title[64];
    snprintf(title, sizeof title, "On this screen, %s", views[t->view].name);
    int begin = line;
    line = put_section(t, area, line, title, OF_SCREEN);
    for (int g = 0; g < KEY_GROUPS; g++)
        line = put_section(t, area, line, key_groups[g].title, g);
    if (line == begin)
        put(area, line++, 0, area.cols, STYLE_DIM, "no key does that: Esc shows all");
    return line;
}

void help_draw(struct tui *t, struct rect area)
{
    if (*t->help_search)
        draw_format(0, 0, COLS, STYLE_TITLE, true, "qtop keys with '%s' (Esc shows all)", t->help_search);
    else
        draw_text(0, 0, COLS, STYLE_TITLE, true, "qtop keys (arrows scroll, / finds, any other key closes)");
    int last = put_all(t, (struct rect){area.row, area.col, 0, area.cols}, 0) - area.rows;
    t->help_top = t->help_top > last ? last : t->help_top;
    t->help_top = t->help_top < 0 ? 0 : t->help_top;
    put_all(t, area, -t->help_top);
}
