/* The help screen, from the key table. */
#include "tui.h"

/* Lines: a title a group, its keys, a blank line. */
static int help_lines(void)
{
    return (int)key_count + 2 * KEY_GROUPS;
}

void help_draw(struct tui *t, struct rect area)
{
    int last = help_lines() - area.rows;
    t->help_top = t->help_top > last ? last : t->help_top;
    t->help_top = t->help_top < 0 ? 0 : t->help_top;
    int line = -t->help_top;
    for (int g = 0; g < KEY_GROUPS; g++) {
        if (line >= 0 && line < area.rows)
            draw_text(area.row + line, 0, area.cols, STYLE_STRONG, false, key_groups[g].title);
        line++;
        for (size_t i = 0; i < key_count; i++) {
            if ((int)key_table[i].group != g)
                continue;
            if (line >= 0 && line < area.rows) {
                draw_text(area.row + line, 2, 12, STYLE_GOOD, false, key_table[i].shown);
                draw_text(area.row + line, 15, area.cols - 15, STYLE_PLAIN, false, key_table[i].help);
            }
            line++;
        }
        line++;
    }
}
