/* widgets.h - what every screen is drawn with. All clip to what they are given and to the screen. */
#ifndef QTOP_WIDGETS_H
#define QTOP_WIDGETS_H

#include "lab/frame.h"
#include "layout.h"
#include "palette.h"

#include <curses.h>

enum style {
    STYLE_PLAIN,
    STYLE_DIM,
    STYLE_STRONG,
    STYLE_TITLE,    /* the program's bar at the top, table headings, the footer's labels */
    STYLE_SELECTED, /* the row under the cursor */
    STYLE_GOOD,
    STYLE_WARN,
    STYLE_BAR,
    STYLE_SECOND,   /* the second of two series */
    STYLE_LEVEL,    /* the first of LEVELS, from good to bad (scales.h) */
    STYLE_COUNT = STYLE_LEVEL + LEVELS
};

/* Chooses glyphs and attributes once, after curses has started. */
void widgets_begin(bool ascii, bool color);

/* Whether the terminal shows more than ASCII. */
bool widgets_unicode(void);

void style_on(enum style style);
void style_off(void);

/* Terminal columns of a UTF-8 text. */
int text_width(const char *text);

/* Draws UTF-8 text in at most `cols` columns, padding the rest with blanks when pad is set. Control
 * characters and invalid bytes are shown escaped. Returns the columns drawn. */
int draw_text(int row, int col, int cols, enum style style, bool pad, const char *text);
int draw_format(int row, int col, int cols, enum style style, bool pad, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* Blank cells. */
void draw_blank(int row, int col, int cols, enum style style);

/* [|||||     ] of cols columns, share 0..1. */
void draw_bar(int row, int col, int cols, double share);

/* The newest `cols` values as block characters, scaled between 0 and the largest. */
void draw_sparkline(int row, int col, int cols, const float *values, size_t n);

/* A histogram with its title on the first row and its range on the last. second, where not null, is
 * drawn as a line of marks over the bars of the first. */
void draw_histogram(struct rect area, const char *title, const struct histogram *first,
                    const struct histogram *second, bool log_scale);

/* The bytes of the line that begins at text and is at most cols (from 1) wide, broken at words; *next is where the
 * following one begins, never 0. */
size_t wrapped_line(const char *text, int cols, size_t *next);

/* Wraps UTF-8 text at words into the rectangle and shows its last lines. The character that begins at
 * byte `mark` (SIZE_MAX: none) and all after it are drawn in the second style. */
void draw_wrapped(struct rect area, const char *text, size_t mark, enum style before,
                  enum style after);

/* A value with three significant digits and a unit prefix in at most 6 columns. */
const char *format_short(char out[16], double value);

/* A share of a roof in per cent, with a question mark where the roof may be too low: it was measured while the machine
 * was busy, or the share is more than all of it. */
const char *format_share(char out[16], double share, bool doubtful);

/* A text of at most `cols` bytes, whole characters: a longer one ends in "..". */
const char *format_cut(char *out, size_t size, const char *text, size_t cols);

/* Text of a metric by a printf format for its value, or "n/a". */
const char *format_metric(char *out, size_t size, const char *format, struct metric metric,
                          double factor);

/* A column of a table. The columns with drop 1 leave a screen that is too narrow first, then those with
 * 2...; those with 0 stay. The one column with stretch takes the room that is left. */
struct column {
    const char *title;
    int width, drop;
    bool right, stretch;
};

enum { TABLE_COLUMNS = 16, TABLE_CELL = 64 };

/* The width of each column on a screen of cols columns, 0 for those that are dropped. */
void table_fit(const struct column *columns, int n, int cols, int *widths);

/* Draws one line of cells from column `first` on; the line's background is the style's. */
void table_draw(const struct column *columns, int n, const int *widths, int row, int cols,
                enum style style, char cells[][TABLE_CELL]);

/* One cell of such a line in a style of its own, over what is there. */
void table_draw_cell(const struct column *columns, const int *widths, int k, int row, enum style style, const char *text);

/* The same of the columns' titles. */
void table_draw_titles(const struct column *columns, int n, const int *widths, int row, int cols);

enum { INPUT_TEXT = 512 };

/* A one-line editor. */
struct line_input {
    char text[INPUT_TEXT];
    size_t length;
    size_t cursor;  /* byte before which a character goes */
    bool suggested; /* typing replaces the text; moving in it, or deleting from it, keeps it */
};

void input_set(struct line_input *input, const char *text);     /* the cursor at its end */
void input_suggest(struct line_input *input, const char *text); /* the same, as a suggestion */

/* Applies a character (code point) or curses key code; returns false when it means nothing here. */
bool input_key(struct line_input *input, unsigned key, bool is_code);

/* Draws label and text with a cursor mark: a suggestion from its begin, else what is around the cursor. */
void draw_input(int row, int col, int cols, const char *label, const struct line_input *input);

#endif
