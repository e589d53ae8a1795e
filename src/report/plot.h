/* plot.h - plots in SVG: an area with axes, ticks, and labels that keep clear of each other. Written into the middle of
 * an HTML page, whose style sheet (style.c) has the colours. */
#ifndef QTOP_PLOT_H
#define QTOP_PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { TICK_TEXT = 32 };

struct plot_axis {
    double low, high; /* low < high; of a logarithmic one both > 0 */
    bool log;
    const char *label;                                 /* with its unit */
    void (*format)(char out[TICK_TEXT], double value); /* "": no tick */
    bool zero;                                         /* the low end of a vertical one stands for 0 */
};

struct plot_box {
    double left, top, right, bottom;
};

enum { PLOT_BOXES = 512 };

struct plot {
    FILE *out;
    struct plot_box area;
    struct plot_axis x, y;
    size_t taken_count;
    struct plot_box taken[PLOT_BOXES]; /* by labels and points */
};

/* Begins an image of that size in pixels; the title and the description are for who does not see it. */
void plot_open(struct plot *plot, FILE *out, int width, int height, const char *title, const char *description);
void plot_close(struct plot *plot);

/* Draws the axes of an area: grid, ticks with values, labels. */
void plot_axes(struct plot *plot, struct plot_box area, struct plot_axis x, struct plot_axis y);

/* Where a value stands, in pixels: within the area. */
double plot_x(const struct plot *plot, double value);
double plot_y(const struct plot *plot, double value);

/* Widens an axis so that a value is on it; what is not finite, or not above 0 on a logarithmic one, changes nothing.
 * Begin with low = INFINITY, high = -INFINITY. */
void plot_widen(struct plot_axis *axis, double value);

/* Keeps labels off a place. */
void plot_take(struct plot *plot, struct plot_box box);

/* Keeps labels off a straight line between two places. */
void plot_take_line(struct plot *plot, double x1, double y1, double x2, double y2);

/* A text in a class of the style sheet, `anchor` "start", "middle" or "end"; escaped. */
void plot_text(struct plot *plot, double x, double y, const char *anchor, const char *class, const char *text);

/* Writes a label of the class beside a point, at the first place around it that is free; with a line to it where that
 * is not the nearest. False, and nothing is written, where none is. */
bool plot_label(struct plot *plot, double x, double y, const char *class, const char *text);

/* The pixels that a text takes at the size of labels, at most. */
double plot_text_width(const char *text);

/* Formats of ticks: as %g has them; bytes; giga. */
void plot_format_plain(char out[TICK_TEXT], double value);
void plot_format_bytes(char out[TICK_TEXT], double value);
void plot_format_giga(char out[TICK_TEXT], double value);

#endif
