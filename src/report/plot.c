#include "plot.h"

#include "markup.h"

#include <math.h>
#include <string.h>

static const double TEXT_HEIGHT = 14.5, CHARACTER = 6.7; /* pixels of a label */

/* ---- the image --------------------------------------------------------------------------------- */

void plot_open(struct plot *p, FILE *out, int width, int height, const char *title, const char *description)
{
    p->out = out;
    p->taken_count = 0;
    fprintf(out, "<svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\">\n<title>", width, height, width,
            height);
    put_html(out, title);
    fputs("</title>\n<desc>", out);
    put_html(out, description);
    fputs("</desc>\n", out);
}

void plot_close(struct plot *p)
{
    fputs("</svg>\n", p->out);
}

void plot_text(struct plot *p, double x, double y, const char *anchor, const char *class, const char *text)
{
    fprintf(p->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">", x, y, anchor, class);
    put_html(p->out, text);
    fputs("</text>\n", p->out);
}

/* Characters, not bytes. */
double plot_text_width(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return CHARACTER * (double)n;
}

/* ---- scales ------------------------------------------------------------------------------------ */

static double share_of(const struct plot_axis *a, double v)
{
    double share = a->log ? log(fmax(v, a->low) / a->low) / log(a->high / a->low) : (v - a->low) / (a->high - a->low);
    return isfinite(share) ? fmin(fmax(share, 0), 1) : 0;
}

double plot_x(const struct plot *p, double v)
{
    return p->area.left + share_of(&p->x, v) * (p->area.right - p->area.left);
}

double plot_y(const struct plot *p, double v)
{
    return p->area.bottom - share_of(&p->y, v) * (p->area.bottom - p->area.top);
}

void plot_widen(struct plot_axis *a, double v)
{
    if (!isfinite(v) || (a->log && !(v > 0)))
        return;
    a->low = fmin(a->low, v);
    a->high = fmax(a->high, v);
}

/* ---- ticks ------------------------------------------------------------------------------------- */

void plot_format_plain(char out[TICK_TEXT], double v)
{
    snprintf(out, TICK_TEXT, "%.4g", v);
}

void plot_format_bytes(char out[TICK_TEXT], double v)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    size_t unit = 0;
    for (; v >= 999.5 && unit < 5; unit++)
        v /= 1000;
    snprintf(out, TICK_TEXT, "%.3g %s", v, units[unit]);
}

void plot_format_giga(char out[TICK_TEXT], double v)
{
    snprintf(out, TICK_TEXT, "%.4g", v / 1e9);
}

/* 1, 2 or 5 times a power of ten: a step that makes about so many. */
static double round_step(double range, double count)
{
    double step = range / count, ten = pow(10, floor(log10(step)));
    return step <= ten ? ten : step <= 2 * ten ? 2 * ten : step <= 5 * ten ? 5 * ten : 10 * ten;
}

enum { MAX_TICKS = 64 };

static size_t linear_ticks(const struct plot_axis *a, double count, double out[MAX_TICKS])
{
    double step = round_step(a->high - a->low, count);
    size_t n = 0;
    for (double i = ceil(a->low / step - 1e-9); i * step <= a->high * (1 + 1e-9) + step * 1e-6 && n < MAX_TICKS; i++)
        out[n++] = i * step == 0 ? 0 : i * step;
    return n;
}

/* Powers of ten, of less than three decades 2 and 5 times these, too. Of a part of a decade as on a linear axis. */
static size_t log_ticks(const struct plot_axis *a, double out[MAX_TICKS])
{
    static const double steps[] = {1, 2, 5};
    double decades = log10(a->high / a->low);
    size_t n = 0, each = decades < 3 ? 3 : 1;
    if (decades < 0.7)
        return linear_ticks(a, 5, out);
    double apart = fmax(1, ceil(decades / 8));
    for (double e = floor(log10(a->low)); e <= log10(a->high) && n + 3 < MAX_TICKS; e += apart)
        for (size_t i = 0; i < each; i++) {
            double v = steps[i] * pow(10, e);
            if (v >= a->low * (1 - 1e-9) && v <= a->high * (1 + 1e-9))
                out[n++] = v;
        }
    return n;
}

static size_t ticks_of(const struct plot_axis *a, double out[MAX_TICKS])
{
    return a->log ? log_ticks(a, out) : linear_ticks(a, 6, out);
}

static void draw_x_ticks(struct plot *p)
{
    double ticks[MAX_TICKS], end = -1e9;
    size_t n = ticks_of(&p->x, ticks);
    char text[TICK_TEXT];
    for (size_t i = 0; i < n; i++) {
        double x = plot_x(p, ticks[i]);
        p->x.format(text, ticks[i]);
        if (!*text)
            continue;
        fprintf(p->out, "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", x, p->area.top, x,
                p->area.bottom);
        double half = plot_text_width(text) / 2;
        if (x - half < end + 8)
            continue;
        end = x + half;
        plot_text(p, x, p->area.bottom + 16, "middle", "tick", text);
    }
}

static void draw_y_ticks(struct plot *p)
{
    double ticks[MAX_TICKS], last = p->y.zero ? p->area.bottom : 1e9;
    size_t n = ticks_of(&p->y, ticks);
    char text[TICK_TEXT];
    if (p->y.zero)
        plot_text(p, p->area.left - 6, p->area.bottom + 4, "end", "tick", "0");
    for (size_t i = 0; i < n; i++) {
        double y = plot_y(p, ticks[i]);
        fprintf(p->out, "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", p->area.left, y,
                p->area.right, y);
        if (last - y < TEXT_HEIGHT + 2)
            continue;
        last = y;
        p->y.format(text, ticks[i]);
        plot_text(p, p->area.left - 6, y + 4, "end", "tick", text);
    }
}

void plot_axes(struct plot *p, struct plot_box area, struct plot_axis x, struct plot_axis y)
{
    p->area = area;
    p->x = x;
    p->y = y;
    draw_x_ticks(p);
    draw_y_ticks(p);
    fprintf(p->out, "<path class=\"axis\" d=\"M%.1f %.1fV%.1fH%.1f\"/>\n", area.left, area.top, area.bottom,
            area.right);
    plot_text(p, (area.left + area.right) / 2, area.bottom + 36, "middle", "label", x.label);
    plot_text(p, 4, area.top - 10, "start", "label", y.label);
}

/* ---- labels ------------------------------------------------------------------------------------ */

void plot_take(struct plot *p, struct plot_box box)
{
    if (p->taken_count < PLOT_BOXES)
        p->taken[p->taken_count++] = box;
}

void plot_take_line(struct plot *p, double x1, double y1, double x2, double y2)
{
    bool straight = x1 == x2 || y1 == y2;
    int pieces = straight ? 1 : 24;
    for (int i = 0; i < pieces; i++) {
        double a = (double)i / pieces, b = (double)(i + 1) / pieces;
        double left = x1 + (x2 - x1) * a, right = x1 + (x2 - x1) * b, from = y1 + (y2 - y1) * a,
               to = y1 + (y2 - y1) * b;
        plot_take(
            p, (struct plot_box){fmin(left, right) - 1, fmin(from, to) - 1, fmax(left, right) + 1, fmax(from, to) + 1});
    }
}

static bool is_free(const struct plot *p, const struct plot_box *b)
{
    if (b->left < p->area.left + 2 || b->right > p->area.right + 2 || b->top < p->area.top - 4 ||
        b->bottom > p->area.bottom - 1)
        return false;
    for (size_t i = 0; i < p->taken_count; i++) {
        const struct plot_box *t = &p->taken[i];
        if (b->left < t->right && t->left < b->right && b->top < t->bottom && t->top < b->bottom)
            return false;
    }
    return true;
}

/* The box of a text that lies off a point in a direction (x, y of -1, 0, 1). */
static struct plot_box box_beside(double x, double y, double width, int right, int down, double distance)
{
    double middle = x + right * (distance + width / 2), line = y + down * (distance + TEXT_HEIGHT / 2);
    return (struct plot_box){middle - width / 2, line - TEXT_HEIGHT / 2, middle + width / 2, line + TEXT_HEIGHT / 2};
}

bool plot_label(struct plot *p, double x, double y, const char *class, const char *text)
{
    static const struct {
        int right, down;
    } directions[] = {{1, 0}, {1, -1}, {1, 1}, {-1, 0}, {0, -1}, {0, 1}, {-1, -1}, {-1, 1}};
    static const double distances[] = {7, 14, 24, 36, 50, 66, 84};
    double width = plot_text_width(text) * (strstr(class, "take") ? 1.15 : 1.02); /* bold */
    for (size_t d = 0; d < sizeof distances / sizeof *distances; d++)
        for (size_t i = 0; i < sizeof directions / sizeof *directions; i++) {
            struct plot_box b = box_beside(x, y, width, directions[i].right, directions[i].down, distances[d]);
            if (!is_free(p, &b))
                continue;
            if (d > 0)
                fprintf(p->out, "<line class=\"leader\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", x, y,
                        fmin(fmax(x, b.left), b.right), fmin(fmax(y, b.top), b.bottom));
            plot_text(p, (b.left + b.right) / 2, b.bottom - 3, "middle", class, text);
            plot_take(p, b);
            return true;
        }
    return false;
}
