/* layout.h - where things are on a screen: a pure function of its size. */
#ifndef QTOP_LAYOUT_H
#define QTOP_LAYOUT_H

struct rect {
    int row, col, rows, cols;
};

/* Rows are -1 where a line has no room. Everything lies inside the screen and nothing overlaps. */
struct layout {
    int title, decode, memory, size, tabs, text, status, footer;
    struct rect body; /* at least one row where the screen has one */
};

struct layout layout_screen(int rows, int cols);

/* Splits a rectangle into a grid of `count` cells, at most `max_across` across, each at least
 * min_cols wide and min_rows high; cells that do not fit have no rows. Row-major. */
void layout_grid(struct rect area, int count, int max_across, int min_cols, int min_rows,
                 struct rect *cells);

#endif
