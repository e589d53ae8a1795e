/* canvas.h - a plot of dots, 2 x 4 a cell in braille and one a cell in ASCII, with logarithmic or linear axes. */
#ifndef QTOP_CANVAS_H
#define QTOP_CANVAS_H

#include "widgets.h"

struct axis {
    double low, high; /* above 0 where the axis is logarithmic */
    bool log;
};

struct canvas {
    struct rect area;
    struct axis x, y;
    struct canvas_cell *cells; /* area.rows x area.cols */
};

/* An empty plot; false, and nothing to end, where there is no room or no memory. Axes whose ends are equal or
 * not finite are widened. */
bool canvas_begin(struct canvas *canvas, struct rect area, struct axis x, struct axis y);

/* A straight line on the plot's own scales, clipped to it; a text whose first character is at a point, cut
 * where the plot ends. Texts stand over dots, later ones over earlier ones. */
void canvas_line(struct canvas *canvas, double x0, double y0, double x1, double y1, enum style style);
void canvas_dot(struct canvas *canvas, double x, double y, enum style style);
void canvas_text(const struct canvas *canvas, double x, double y, enum style style, const char *text);

/* The screen's row and column of a point, clamped to the plot. */
int canvas_row(const struct canvas *canvas, double y);
int canvas_col(const struct canvas *canvas, double x);

/* Draws the dots. */
void canvas_draw(const struct canvas *canvas);
void canvas_end(struct canvas *canvas);

#endif
