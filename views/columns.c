/* The columns of Layers as a list, in which Space shows or hides one. */
#include "tui.h"

#include "figures.h"

#include <ctype.h>
#include <string.h>

static int count(void)
{
    int n = 0;
    while (layers_column_title(n))
        n++;
    return n;
}

void columns_open(struct tui *t)
{
    t->column = 0;
    t->hidden_kept = t->hidden;
    ask_begin(t, ASK_COLUMNS, "");
}

static void close_list(struct tui *t, bool keep)
{
    t->asking = ASK_NOTHING;
    if (keep)
        tui_note(t, "S saves the columns as settings");
    else
        t->hidden = t->hidden_kept;
}

static void move_to(struct tui *t, int column)
{
    t->column = column < 0 ? 0 : column >= count() ? count() - 1 : column;
}

/* The next one that begins with a letter. */
static void find_letter(struct tui *t, unsigned letter)
{
    for (int i = 1; i <= count(); i++) {
        int k = (t->column + i) % count();
        if (letter < 128 && tolower((unsigned char)*layers_column_title(k)) == tolower((int)letter)) {
            t->column = k;
            return;
        }
    }
}

void columns_key(struct tui *t, unsigned key, bool is_code)
{
    int page = t->choice_page > 1 ? t->choice_page - 1 : 1;
    *t->note = 0;
    if (is_code ? key == KEY_ENTER : key == '\n' || key == '\r')
        close_list(t, true);
    else if (!is_code && key == 27)
        close_list(t, false);
    else if (!is_code && key == ' ' && !layers_column_toggle(t, t->column))
        tui_note(t, "the names of layers are always shown");
    else if (is_code && (key == KEY_UP || key == KEY_DOWN))
        move_to(t, t->column + (key == KEY_UP ? -1 : 1));
    else if (is_code && (key == KEY_PPAGE || key == KEY_NPAGE))
        move_to(t, t->column + (key == KEY_PPAGE ? -page : page));
    else if (is_code && (key == KEY_HOME || key == KEY_END))
        move_to(t, key == KEY_HOME ? 0 : count());
    else if (!is_code && key != ' ')
        find_letter(t, key);
}

/* What a column shows. */
static const char *text_of(const char *title)
{
    for (size_t i = 0; i < figure_count; i++)
        if (figure_is_of(&figures[i], title))
            return figures[i].text;
    return "";
}

void columns_draw(struct tui *t, struct rect area)
{
    enum { TEXT_COL = 14 };
    int rows = area.rows - 1, top = t->column >= rows ? t->column - rows + 1 : 0;
    if (rows < 1)
        return;
    t->choice_page = rows;
    draw_text(area.row, 0, area.cols, STYLE_TITLE, true, " COLUMNS, as far as they have room");
    for (int k = top; k < top + rows && layers_column_title(k); k++) {
        int row = area.row + 1 + k - top, cols = area.cols - TEXT_COL;
        enum style style = k == t->column ? STYLE_SELECTED : STYLE_PLAIN;
        char text[256];
        draw_blank(row, 0, area.cols, style);
        draw_format(row, 1, TEXT_COL - 2, style, false, "[%c] %s", layers_column_shown(t, k) ? 'x' : ' ',
                    layers_column_title(k));
        if (cols > 2)
            draw_text(row, TEXT_COL, cols, style, false,
                      format_cut(text, sizeof text, text_of(layers_column_title(k)), cols < 250 ? (size_t)cols : 250));
    }
}
