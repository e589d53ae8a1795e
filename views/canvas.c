#include "canvas.h"

#include <math.h>
#include <stdlib.h>

enum { DOT_COLS = 2, DOT_ROWS = 4 };

struct canvas_cell {
    unsigned char dots; /* bits of the braille pattern, U+2800 + dots */
    unsigned char style;
};

static struct axis widened(struct axis a)
{
    bool usable = isfinite(a.low) && isfinite(a.high) && a.low <= a.high && (!a.log || a.low > 0);
    if (!usable)
        a.low = a.log ? 0.1 : 0, a.high = 1;
    if (a.low == a.high) {
        a.high = a.log ? a.low * 2 : a.low + 1;
        a.low = a.log ? a.low / 2 : a.low - 1;
    }
    return a;
}

bool canvas_begin(struct canvas *c, struct rect area, struct axis x, struct axis y)
{
    *c = (struct canvas){area, widened(x), widened(y), NULL};
    if (area.rows < 1 || area.cols < 1)
        return false;
    c->cells = calloc((size_t)area.rows * (size_t)area.cols, sizeof *c->cells);
    return c->cells != NULL;
}

void canvas_end(struct canvas *c)
{
    free(c->cells);
    c->cells = NULL;
}

/* 0..1 within the axis. */
static double place(const struct axis *a, double v)
{
    if (a->log)
        return v > 0 ? log(v / a->low) / log(a->high / a->low) : -INFINITY;
    return (v - a->low) / (a->high - a->low);
}

static int clamp(double v, int max)
{
    return !(v > 0) ? 0 : v > max ? max : (int)v;
}

int canvas_col(const struct canvas *c, double x)
{
    return c->area.col + clamp(floor(place(&c->x, x) * c->area.cols), c->area.cols - 1);
}

int canvas_row(const struct canvas *c, double y)
{
    return c->area.row + clamp(floor((1 - place(&c->y, y)) * c->area.rows), c->area.rows - 1);
}

/* Bits of U+2800's dots by column and row (Unicode, Braille Patterns). */
static const unsigned char bits[DOT_ROWS][DOT_COLS] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};

/* A dot at 0..1, 0..1. */
static void put(struct canvas *c, double x, double y, enum style style)
{
    int across = c->area.cols * DOT_COLS, down = c->area.rows * DOT_ROWS;
    if (!(x >= 0 && x <= 1 && y >= 0 && y <= 1))
        return;
    int col = clamp(floor(x * across), across - 1), row = clamp(floor((1 - y) * down), down - 1);
    struct canvas_cell *cell = &c->cells[row / DOT_ROWS * c->area.cols + col / DOT_COLS];
    cell->dots |= bits[row % DOT_ROWS][col % DOT_COLS];
    cell->style = (unsigned char)style;
}

void canvas_dot(struct canvas *c, double x, double y, enum style style)
{
    put(c, place(&c->x, x), place(&c->y, y), style);
}

void canvas_line(struct canvas *c, double x0, double y0, double x1, double y1, enum style style)
{
    double a = place(&c->x, x0), b = place(&c->y, y0), e = place(&c->x, x1), f = place(&c->y, y1);
    if (!isfinite(a) || !isfinite(b) || !isfinite(e) || !isfinite(f))
        return;
    double steps = fmax(fabs(e - a) * c->area.cols * DOT_COLS, fabs(f - b) * c->area.rows * DOT_ROWS);
    int n = clamp(ceil(steps), 1 << 14);
    for (int i = 0; i <= n; i++)
        put(c, a + (e - a) * i / (n > 0 ? n : 1), b + (f - b) * i / (n > 0 ? n : 1), style);
}

void canvas_text(const struct canvas *c, double x, double y, enum style style, const char *text)
{
    int col = canvas_col(c, x);
    draw_text(canvas_row(c, y), col, c->area.col + c->area.cols - col, style, false, text);
}

/* What ASCII has for the dots of a cell: by the rows that they are in. */
static const char *in_ascii(unsigned char dots)
{
    bool high = dots & 0x1b, low = dots & 0xe4;
    return high && low ? ":" : high ? "'" : ".";
}

void canvas_draw(const struct canvas *c)
{
    for (int i = 0; i < c->area.rows * c->area.cols; i++) {
        const struct canvas_cell *cell = &c->cells[i];
        unsigned code = 0x2800u + cell->dots;
        char braille[4] = {(char)(0xe0 | code >> 12), (char)(0x80 | (code >> 6 & 0x3f)),
                           (char)(0x80 | (code & 0x3f)), 0};
        if (cell->dots)
            draw_text(c->area.row + i / c->area.cols, c->area.col + i % c->area.cols, 1,
                      (enum style)cell->style, false, widgets_unicode() ? braille : in_ascii(cell->dots));
    }
}
