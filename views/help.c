/* The help screen, from the key table. */
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

/* A title a group, its keys, a blank line. Returns the line after all. */
static int put_groups(struct rect area, int line)
{
    for (int g = 0; g < KEY_GROUPS; g++, line++) {
        put(area, line++, 0, area.cols, STYLE_STRONG, key_groups[g].title);
        for (size_t i = 0; i < key_count; i++)
            if ((int)key_table[i].group == g)
                line = put_key(area, line, &key_table[i]);
    }
    return line;
}

void help_draw(struct tui *t, struct rect area)
{
    int last = put_groups((struct rect){area.row, area.col, 0, area.cols}, 0) - area.rows;
    t->help_top = t->help_top > last ? last : t->help_top;
    t->help_top = t->help_top < 0 ? 0 : t->help_top;
    put_groups(area, -t->help_top);
}
