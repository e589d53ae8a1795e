/* The scheme editor: a list of schemes and mixes, what they take, and which exports hold them. */
#include "tui.h"

#include "quant/recipe.h"

#include <stdlib.h>

void editor_open(struct tui *t)
{
    char text[SCHEME_TEXT];
    int *tensors = calloc(schemes_count(t->session->model), sizeof *tensors);
    size_t n = tensors ? rows_chosen(t, tensors) : 0;
    if (n > 0) {
        struct scheme now = t->frame->layers[tensors[0]].wanted;
        editor_list(t, tensors, n);
        t->choice = 0;
        for (size_t i = t->choice_count; i-- > 0;) {
            const struct choice *c = &t->choices[i];
            if (!c->heading && !c->choice.mix && scheme_equal(&c->choice.scheme, &now))
                t->choice = i;
        }
        ask_begin(t, ASK_SCHEME, scheme_print(&now, text));
    }
    free(tensors);
}

int editor_steps(const struct tui *t, unsigned key)
{
    int page = t->choice_page > 1 ? t->choice_page - 1 : 1;
    return key == KEY_UP ? -1 : key == KEY_DOWN ? 1 : key == KEY_PPAGE ? -page : key == KEY_NPAGE ? page : 0;
}

/* The next choice in a direction; where it is, if there is none. */
static size_t next_choice(const struct tui *t, size_t from, int direction)
{
    size_t at = from;
    do {
        if ((direction < 0 && at == 0) || (direction > 0 && at + 1 >= t->choice_count))
            return from;
        at += direction > 0 ? 1 : (size_t)-1;
    } while (t->choices[at].heading);
    return at;
}

void editor_move(struct tui *t, int steps)
{
    size_t at = t->choice;
    char text[SCHEME_TEXT];
    for (int i = 0; i < abs(steps); i++)
        at = next_choice(t, at, steps);
    if (at == t->choice)
        return;
    t->choice = at;
    input_suggest(&t->input, scheme_choice_print(&t->choices[at].choice, text));
}

/* Right of a choice; the least important leaves a narrow screen first. */
static const struct column columns[] = {
    {"SCHEME", 14, 0, false, true},
    {"BYTES", 8, 3, true, false},
    {"BITS", 6, 2, true, false},
    {" EXPORTS", 23, 1, false, false},
};
enum { COLUMNS = sizeof columns / sizeof *columns, WIDEST = 60 };

/* The choice itself takes the room that is left. */
static void fit_columns(int cols, int widths[COLUMNS])
{
    int others = 0;
    table_fit(columns, COLUMNS, cols, widths);
    for (int i = 1; i < COLUMNS; i++)
        others += widths[i];
    widths[0] = cols - others < WIDEST ? cols - others : WIDEST;
}

static void draw_choice(const struct choice *c, const int *widths, int row, int cols, enum style style)
{
    char cells[COLUMNS][TABLE_CELL];
    char text[TABLE_CELL - 2];
    snprintf(cells[0], TABLE_CELL, "  %s", format_cut(text, sizeof text, c->text, (size_t)(widths[0] > 6 ? widths[0] - 3 : 3)));
    snprintf(cells[1], TABLE_CELL, "%s", c->cost);
    snprintf(cells[2], TABLE_CELL, "%s", c->bits);
    snprintf(cells[3], TABLE_CELL, " %.60s", c->exports);
    table_draw(columns, COLUMNS, widths, row, cols, style, cells);
}

static void draw_titles(const int *widths, int row, int cols)
{
    char cells[COLUMNS][TABLE_CELL];
    for (int i = 0; i < COLUMNS; i++)
        snprintf(cells[i], TABLE_CELL, "%s", columns[i].title);
    if (widths[0] >= 30)
        snprintf(cells[0], TABLE_CELL, "SCHEME (arrows, or type one)");
    table_draw(columns, COLUMNS, widths, row, cols, STYLE_TITLE, cells);
}

void editor_draw(struct tui *t, struct rect area)
{
    int rows = area.rows - 1, top = 0, widths[COLUMNS];
    fit_columns(area.cols, widths);
    draw_titles(widths, area.row, area.cols);
    t->choice_page = rows;
    if ((int)t->choice >= rows)
        top = (int)t->choice - rows + 1;
    for (int i = 0; i < rows && top + i < (int)t->choice_count; i++) {
        const struct choice *c = &t->choices[top + i];
        if (c->heading)
            draw_text(area.row + 1 + i, 1, area.cols - 2, STYLE_STRONG, false, c->text);
        else
            draw_choice(c, widths, area.row + 1 + i, area.cols, top + i == (int)t->choice ? STYLE_SELECTED : STYLE_PLAIN);
    }
}
