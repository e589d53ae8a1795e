#include "widgets.h"

#include "base/escape.h"

#include <langinfo.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

static bool unicode, colors;

/* Colour is never the only carrier of meaning; the pairs are told apart by colour-blind people too. */
enum { PAIR_TITLE = 1, PAIR_GOOD, PAIR_WARN, PAIR_BAR, PAIR_SECOND, PAIR_LEVEL /* the first of LEVELS */ };

static const struct {
    attr_t plain, colored; /* attributes without and with colours */
    short pair;
} styles[STYLE_LEVEL] = {
    [STYLE_PLAIN] = {A_NORMAL, A_NORMAL, 0},
    [STYLE_DIM] = {A_DIM, A_DIM, 0},
    [STYLE_STRONG] = {A_BOLD, A_BOLD, 0},
    [STYLE_TITLE] = {A_REVERSE, A_BOLD, PAIR_TITLE},
    [STYLE_SELECTED] = {A_REVERSE, A_REVERSE, 0},
    [STYLE_GOOD] = {A_BOLD, A_BOLD, PAIR_GOOD},
    [STYLE_WARN] = {A_BOLD | A_UNDERLINE, A_BOLD, PAIR_WARN},
    [STYLE_BAR] = {A_NORMAL, A_NORMAL, PAIR_BAR},
    [STYLE_SECOND] = {A_BOLD, A_BOLD, PAIR_SECOND},
};

static void begin_levels(int ground)
{
    int middle = ground < 0 ? -1 : COLOR_WHITE;
    for (int i = 0; i < LEVELS; i++)
#ifdef NCURSES_EXT_COLORS
        init_extended_pair(PAIR_LEVEL + i, palette_color(i, COLORS, middle), ground);
#else
        init_pair((short)(PAIR_LEVEL + i), (short)palette_color(i, COLORS < 256 ? COLORS : 256, middle), (short)ground);
#endif
}

void widgets_begin(bool ascii, bool color)
{
    unicode = !ascii && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    colors = color && has_colors() && start_color() == OK;
    if (!colors)
        return;
    short ground = use_default_colors() == OK ? -1 : COLOR_BLACK;
    init_pair(PAIR_TITLE, COLOR_WHITE, COLOR_BLUE);
    init_pair(PAIR_GOOD, COLOR_CYAN, ground);
    init_pair(PAIR_WARN, COLOR_YELLOW, ground);
    init_pair(PAIR_BAR, COLOR_BLUE, ground);
    init_pair(PAIR_SECOND, COLOR_YELLOW, ground);
    begin_levels(ground);
}

bool widgets_unicode(void)
{
    return unicode;
}

/* Without colours bad levels stand out as warnings do. */
static void level_on(int level)
{
    attr_t attributes = level < BAD_LEVEL ? A_NORMAL : colors ? A_BOLD : A_BOLD | A_UNDERLINE;
    attr_set(attributes, colors ? (short)(PAIR_LEVEL + level) : 0, NULL);
}

void style_on(enum style s)
{
    if (s >= STYLE_LEVEL)
        level_on((int)s - STYLE_LEVEL);
    else
        attr_set(colors ? styles[s].colored : styles[s].plain, colors ? styles[s].pair : 0, NULL);
}

void style_off(void)
{
    attr_set(A_NORMAL, 0, NULL);
}

/* ---- text ------------------------------------------------------------------------------------ */

/* One character as it may be shown: itself, or an escape. Returns the bytes consumed. */
static size_t visible_piece(const char *text, size_t n, char out[16], int *width)
{
    uint32_t c = 0;
    bool cut;
    size_t length = utf8_read(text, n, &c, &cut);
    int wide = length ? wcwidth((wchar_t)c) : -1;
    if (length == 0)
        length = 1;
    escape_text(out, 16, text, length);
    if (wide < 0 || (!unicode && c >= 0x80)) {
        if (c >= 0x80 && wide >= 0)
            strcpy(out, "?");
        wide = (int)strlen(out);
        for (int i = 0; i < wide; i++)
            if ((unsigned char)out[i] >= 0x80) { /* a character that this locale cannot show */
                strcpy(out, "?");
                wide = 1;
            }
    }
    *width = wide;
    return length;
}

int text_width(const char *text)
{
    int columns = 0;
    for (size_t i = 0, n = strlen(text); i < n;) {
        char piece[16];
        int width;
        i += visible_piece(text + i, n - i, piece, &width);
        columns += width;
    }
    return columns;
}

static bool on_screen(int row, int col)
{
    return row >= 0 && row < LINES && col >= 0 && col < COLS;
}

int draw_text(int row, int col, int cols, enum style style, bool pad, const char *text)
{
    int used = 0;
    if (!on_screen(row, col))
        return 0;
    cols = cols > COLS - col ? COLS - col : cols;
    style_on(style);
    move(row, col);
    for (size_t i = 0, n = strlen(text); i < n;) {
        char piece[16];
        int width;
        size_t length = visible_piece(text + i, n - i, piece, &width);
        if (used + width > cols)
            break;
        addstr(piece);
        used += width;
        i += length;
    }
    for (int i = used; pad && i < cols; i++)
        addch(' ');
    style_off();
    return used;
}

int draw_format(int row, int col, int cols, enum style style, bool pad, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return draw_text(row, col, cols, style, pad, text);
}

void draw_blank(int row, int col, int cols, enum style style)
{
    draw_text(row, col, cols, style, true, "");
}

/* ---- bars and curves ------------------------------------------------------------------------- */

void draw_bar(int row, int col, int cols, double share)
{
    if (cols < 3)
        return;
    int inside = cols - 2, full = share > 0 ? (int)lround(fmin(share, 1) * inside) : 0;
    draw_text(row, col, 1, STYLE_STRONG, false, "[");
    for (int i = 0; i < inside; i++)
        draw_text(row, col + 1 + i, 1, STYLE_BAR, false, i < full ? "|" : " ");
    draw_text(row, col + cols - 1, 1, STYLE_STRONG, false, "]");
}

/* Eighths of a cell, from empty to full. */
static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
static const char *const marks[] = {" ", ".", ".", ":", ":", "+", "+", "#", "#"};

static const char *eighth(int eighths)
{
    eighths = eighths < 0 ? 0 : eighths > 8 ? 8 : eighths;
    return (unicode ? blocks : marks)[eighths];
}

void draw_sparkline(int row, int col, int cols, const float *values, size_t n)
{
    float max = 0;
    size_t first = n > (size_t)(cols > 0 ? cols : 0) ? n - (size_t)cols : 0;
    for (size_t i = first; i < n; i++)
        max = values[i] > max ? values[i] : max;
    for (size_t i = first; i < n && max > 0; i++)
        draw_text(row, col + (int)(i - first), 1, STYLE_BAR, false,
                  eighth((int)lroundf(values[i] / max * 8)));
}

/* Counts of a histogram gathered into `cols` columns, on the scale that is asked for. A bin that two
 * columns share is divided between them, so that no comb appears. */
static void gather(const struct histogram *h, int cols, bool log_scale, double *out)
{
    double width = (double)HISTOGRAM_BINS / cols;
    for (int i = 0; i < cols; i++) {
        double from = i * width, to = from + width, sum = 0;
        for (int k = (int)from; k < HISTOGRAM_BINS && k < to; k++)
            sum += (double)h->count[k] * (fmin(to, k + 1) - fmax(from, k));
        out[i] = log_scale ? log1p(sum) : sum;
    }
}

static void draw_columns(struct rect area, const double *values, double max)
{
    for (int c = 0; c < area.cols; c++) {
        int eighths = max > 0 ? (int)ceil(values[c] / max * area.rows * 8) : 0;
        for (int r = area.rows - 1; r >= 0 && eighths > 0; r--, eighths -= 8)
            draw_text(area.row + r, area.col + c, 1, STYLE_BAR, false, eighth(eighths));
    }
}

static void draw_marks(struct rect area, const double *values, double max)
{
    for (int c = 0; c < area.cols; c++) {
        if (!(values[c] > 0) || max <= 0)
            continue;
        int r = area.rows - (int)ceil(values[c] / max * area.rows);
        draw_text(area.row + (r < 0 ? 0 : r), area.col + c, 1, STYLE_SECOND, false,
                  unicode ? "•" : "o");
    }
}

void draw_histogram(struct rect area, const char *title, const struct histogram *first,
                    const struct histogram *second, bool log_scale)
{
    double one[HISTOGRAM_BINS], two[HISTOGRAM_BINS], max = 0;
    char low[16], high[16];
    if (area.rows < 3 || area.cols < 12)
        return;
    draw_text(area.row, area.col, area.cols, STYLE_STRONG, false, title);
    if (!first || first->total == 0) {
        draw_text(area.row + 1, area.col, area.cols, STYLE_DIM, false, "no values");
        return;
    }
    int cols = area.cols < HISTOGRAM_BINS ? area.cols : HISTOGRAM_BINS;
    struct rect plot = {area.row + 1, area.col, area.rows - 2, cols};
    gather(first, cols, log_scale, one);
    if (second)
        gather(second, cols, log_scale, two);
    for (int i = 0; i < cols; i++) {
        max = fmax(max, one[i]);
        max = second ? fmax(max, two[i]) : max;
    }
    draw_columns(plot, one, max);
    if (second)
        draw_marks(plot, two, max);
    int end = area.row + area.rows - 1;
    draw_text(end, area.col, cols / 2, STYLE_DIM, false, format_short(low, first->low));
    format_short(high, first->high);
    draw_text(end, area.col + cols - text_width(high), cols / 2, STYLE_DIM, false, high);
    if (cols > 36)
        draw_format(end, area.col + cols / 2 - 6, 14, STYLE_DIM, false, "n %llu%s",
                    (unsigned long long)first->total, log_scale ? " log" : "");
}

/* ---- wrapped text ---------------------------------------------------------------------------- */

size_t wrapped_line(const char *text, int cols, size_t *next)
{
    size_t n = strlen(text), i = 0, word = 0;
    int used = 0;
    while (i < n && text[i] != '\n') {
        char piece[16];
        int width;
        size_t length = visible_piece(text + i, n - i, piece, &width);
        if (used + width > cols) {
            size_t end = word > 0 ? word : i;
            *next = text[end] == ' ' ? end + 1 : end;
            return end > 0 ? end : (*next = length);
        }
        if (text[i] == ' ')
            word = i;
        used += width;
        i += length;
    }
    *next = i < n ? i + 1 : i;
    return i;
}

static void draw_line(int row, struct rect area, const char *text, size_t n, size_t at, size_t mark,
                      enum style before, enum style after)
{
    char line[2048];
    size_t split = mark <= at ? 0 : mark - at < n ? mark - at : n;
    int col = area.col;
    n = n < sizeof line - 1 ? n : sizeof line - 1;
    split = split < n ? split : n;
    memcpy(line, text, split);
    line[split] = 0;
    col += draw_text(row, col, area.cols, before, false, line);
    memcpy(line, text + split, n - split);
    line[n - split] = 0;
    if (n > split)
        draw_text(row, col, area.cols - (col - area.col), after, false, line);
}

void draw_wrapped(struct rect area, const char *text, size_t mark, enum style before,
                  enum style after)
{
    size_t next = 0;
    int lines = 0;
    if (area.cols < 2 || area.rows < 1)
        return;
    for (size_t at = 0; text[at]; at += next, lines++)
        wrapped_line(text + at, area.cols, &next);
    int skip = lines > area.rows ? lines - area.rows : 0, line = 0;
    for (size_t at = 0; text[at]; at += next, line++) {
        size_t n = wrapped_line(text + at, area.cols, &next);
        if (line >= skip)
            draw_line(area.row + line - skip, area, text + at, n, at, mark, before, after);
    }
}

/* ---- numbers --------------------------------------------------------------------------------- */

const char *format_short(char out[16], double v)
{
    static const char *const units[] = {"", "k", "M", "G", "T", "P"};
    double size = fabs(v);
    int unit = 0;
    if (size != 0 && (size < 0.01 || size >= 1e18)) {
        snprintf(out, 16, "%.2g", v);
        return out;
    }
    for (; size >= 999.5 && unit < 5; unit++)
        size /= 1000;
    int digits = size < 9.995 ? 2 : size < 99.95 ? 1 : 0;
    snprintf(out, 16, "%s%.*f%s", v < 0 ? "-" : "", unit || v != floor(v) ? digits : 0, size,
             units[unit]);
    return out;
}

const char *format_share(char out[16], double share, bool doubtful)
{
    double percent = round(100 * share);
    snprintf(out, 16, "%.0f%%%s", fmin(percent, 99999), doubtful || percent > 100 ? "?" : "");
    return out;
}

const char *format_cut(char *out, size_t size, const char *text, size_t cols)
{
    size_t n = strlen(text), end = n > cols ? cols - 2 : n;
    while (end > 0 && end < n && ((unsigned char)text[end] & 0xc0) == 0x80)
        end--;
    snprintf(out, size, "%.*s%s", (int)end, text, end < n ? ".." : "");
    return out;
}

const char *format_metric(char *out, size_t size, const char *format, struct metric m,
                          double factor)
{
    if (!m.valid)
        snprintf(out, size, "n/a");
    else
        snprintf(out, size, format, m.value * factor);
    return out;
}

/* ---- tables ---------------------------------------------------------------------------------- */

void table_fit(const struct column *c, int n, int cols, int *widths)
{
    int width = 0;
    for (int i = 0; i < n; i++)
        width += widths[i] = c[i].width;
    for (int drop = 1; width > cols && drop <= n; drop++)
        for (int i = 0; i < n && width > cols; i++)
            if (c[i].drop == drop) {
                width -= widths[i];
                widths[i] = 0;
            }
    for (int i = 0; i < n && width < cols; i++)
        if (c[i].stretch && widths[i]) {
            widths[i] += cols - width < 16 ? cols - width : 16;
            break;
        }
}

void table_draw(const struct column *c, int n, const int *widths, int row, int cols,
                enum style style, char cells[][TABLE_CELL])
{
    int col = 0;
    draw_blank(row, 0, cols, style);
    for (int i = 0; i < n; col += widths[i++]) {
        int text = text_width(cells[i]), width = widths[i];
        int indent = c[i].right && text < width ? width - text : 0;
        int gap = !c[i].right && i + 1 < n; /* between a cell and the next */
        if (width > 0)
            draw_text(row, col + indent, width - indent - gap, style, false, cells[i]);
    }
}

void table_draw_cell(const struct column *c, const int *widths, int k, int row, enum style style, const char *text)
{
    int col = 0, used = text_width(text);
    for (int i = 0; i < k; i++)
        col += widths[i];
    int indent = c[k].right && used < widths[k] ? widths[k] - used : 0;
    if (widths[k] > 0)
        draw_text(row, col + indent, widths[k] - indent, style, false, text);
}

void table_draw_titles(const struct column *c, int n, const int *widths, int row, int cols)
{
    char titles[TABLE_COLUMNS][TABLE_CELL];
    for (int i = 0; i < n; i++)
        snprintf(titles[i], TABLE_CELL, "%s", c[i].title);
    table_draw(c, n, widths, row, cols, STYLE_TITLE, titles);
}

/* ---- line input ------------------------------------------------------------------------------ */

void input_set(struct line_input *in, const char *text)
{
    in->cursor = in->length = strnlen(text, sizeof in->text - 1);
    memcpy(in->text, text, in->length);
    in->text[in->length] = 0;
    in->suggested = false;
}

void input_suggest(struct line_input *in, const char *text)
{
    input_set(in, text);
    in->suggested = in->length > 0;
}

/* Where the character before the cursor begins, and where the one at it ends. */
static size_t before(const struct line_input *in)
{
    size_t at = in->cursor;
    while (at > 0 && ((unsigned char)in->text[--at] & 0xc0) == 0x80)
        continue;
    return at;
}

static size_t behind(const struct line_input *in)
{
    size_t at = in->cursor;
    while (at < in->length && ((unsigned char)in->text[++at] & 0xc0) == 0x80)
        continue;
    return at;
}

static void input_add(struct line_input *in, wchar_t c)
{
    char bytes[MB_LEN_MAX + 1];
    mbstate_t state = {0};
    size_t n = wcrtomb(bytes, c, &state);
    if (in->suggested)
        input_set(in, "");
    if (n == (size_t)-1 || in->length + n >= sizeof in->text)
        return;
    memmove(in->text + in->cursor + n, in->text + in->cursor, in->length - in->cursor + 1);
    memcpy(in->text + in->cursor, bytes, n);
    in->length += n;
    in->cursor += n;
}

/* Takes away what is between two bytes, where the cursor then is. */
static void input_cut(struct line_input *in, size_t from, size_t to)
{
    memmove(in->text + from, in->text + to, in->length - to + 1);
    in->length -= to - from;
    in->cursor = from;
}

enum { CTRL_A = 1, CTRL_E = 5, CTRL_H = 8, CTRL_U = 21, DELETE = 127 };

static bool input_edit(struct line_input *in, unsigned key, bool is_code)
{
    if (key == (is_code ? KEY_BACKSPACE : CTRL_H) || (!is_code && key == DELETE))
        input_cut(in, before(in), in->cursor);
    else if (is_code && key == KEY_DC)
        input_cut(in, in->cursor, behind(in));
    else if (is_code && key == KEY_LEFT)
        in->cursor = before(in);
    else if (is_code && key == KEY_RIGHT)
        in->cursor = behind(in);
    else if (key == (is_code ? KEY_HOME : CTRL_A))
        in->cursor = 0;
    else if (key == (is_code ? KEY_END : CTRL_E))
        in->cursor = in->length;
    else if (!is_code && key == CTRL_U)
        input_set(in, "");
    else
        return false;
    in->suggested = false;
    return true;
}

bool input_key(struct line_input *in, unsigned key, bool is_code)
{
    if (input_edit(in, key, is_code))
        return true;
    if (is_code || key < 32)
        return false;
    input_add(in, (wchar_t)key);
    return true;
}

/* The byte from which a text is drawn, so that its cursor is among so many columns. */
static size_t first_drawn(const struct line_input *in, int room)
{
    struct line_input left = *in;
    size_t from = 0;
    left.text[in->cursor] = 0;
    while (!in->suggested && from < in->cursor && text_width(left.text + from) > room)
        do
            from++;
        while (((unsigned char)left.text[from] & 0xc0) == 0x80);
    return from;
}

void draw_input(int row, int col, int cols, const char *label, const struct line_input *in)
{
    enum style style = in->suggested ? STYLE_DIM : STYLE_PLAIN;
    int used = draw_text(row, col, cols, STYLE_STRONG, false, label), room = cols - used;
    struct line_input part = *in;
    size_t from = first_drawn(in, room - 1), end = behind(in);
    part.text[in->cursor] = 0;
    used += draw_text(row, col + used, room, style, false, part.text + from);
    memcpy(part.text, in->text, sizeof part.text);
    part.text[end] = 0;
    used += draw_text(row, col + used, cols - used, STYLE_SELECTED, false,
                      end > in->cursor ? part.text + in->cursor : " ");
    draw_text(row, col + used, cols - used, style, true, in->text + end);
}
