/* The roofs of the machine, and what was measured under them. */
#include "columns.h"
#include "markup.h"
#include "plot.h"
#include "plots.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 960, HEIGHT = 420 };

static const struct {
    const char *class, *words;
} kinds[POINT_KINDS] = {[POINT_DECODE] = {"decode", "decode"},
                        [POINT_PREFILL] = {"prefill", "prefill"},
                        [POINT_LAYER] = {"layer", "a layer"}};

static double highest(const struct report *r)
{
    double max = 0;
    for (size_t i = 0; i < r->roof_count; i++)
        max = fmax(max, r->roofs[i].rate);
    return max;
}

static void choose_axes(const struct report *r, struct plot_axis *x, struct plot_axis *y)
{
    *x = (struct plot_axis){INFINITY, -INFINITY, true, "multiply-adds for each byte read", plot_format_plain, false};
    *y = (struct plot_axis){INFINITY, -INFINITY, true, "billions of multiply-adds a second", plot_format_giga, false};
    for (size_t i = 0; i < r->point_count; i++) {
        plot_widen(x, r->points[i].intensity);
        plot_widen(y, r->points[i].rate);
    }
    for (size_t i = 0; i < r->roof_count; i++) {
        plot_widen(y, r->roofs[i].rate);
        if (r->read.valid && r->read.value > 0)
            plot_widen(x, r->roofs[i].rate / r->read.value);
    }
    x->low /= 2;
    x->high *= 2.5;
    y->low /= 2;
    y->high *= 2;
}

static void draw_line(struct plot *p, double x1, double y1, double x2, double y2)
{
    fprintf(p->out, "<path class=\"roof\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n", plot_x(p, x1), plot_y(p, y1), plot_x(p, x2),
            plot_y(p, y2));
    plot_take_line(p, plot_x(p, x1), plot_y(p, y1), plot_x(p, x2), plot_y(p, y2));
}

/* From where the slope enters the area to the highest flat roof. */
static void draw_slope(struct plot *p, const struct report *r)
{
    double read = r->read.value, max = highest(r) > 0 ? highest(r) : p->y.high;
    double from = fmax(p->x.low, p->y.low / read), to = fmin(p->x.high, max / read);
    char text[64], rate[CELL_TEXT];
    if (!r->read.valid || !(to > from))
        return;
    draw_line(p, from, from * read, to, to * read);
    snprintf(text, sizeof text, "memory reads %.20s GB/s", report_rate(rate, read / 1e9));
    plot_label(p, plot_x(p, sqrt(from * to)), plot_y(p, read * sqrt(from * to)), "roofname", text);
}

static void draw_flat(struct plot *p, const struct report *r, const struct report_roof *roof)
{
    double from = r->read.valid && r->read.value > 0 ? fmax(p->x.low, roof->rate / r->read.value) : p->x.low;
    char text[96], rate[CELL_TEXT];
    draw_line(p, from, roof->rate, p->x.high, roof->rate);
    snprintf(text, sizeof text, "%.40s %.20s G/s", roof->name, report_rate(rate, roof->rate / 1e9));
    plot_label(p, p->area.right - plot_text_width(text) - 12, plot_y(p, roof->rate), "roofname", text);
}

static void draw_mark(struct plot *p, const struct report_point *q, double x, double y)
{
    if (q->kind == POINT_PREFILL)
        fprintf(p->out, "<path class=\"prefill\" d=\"M%.1f %.1fl5.5 9.5h-11z\"/>", x, y - 6);
    else
        fprintf(p->out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"/>", kinds[q->kind].class, x, y,
                q->kind == POINT_LAYER ? "2" : "4.5");
}

static void draw_point(struct plot *p, const struct report_point *q)
{
    double x = plot_x(p, q->intensity), y = plot_y(p, q->rate);
    char rate[CELL_TEXT];
    fputs("<g><title>", p->out);
    put_html(p->out, q->name);
    fprintf(p->out, ", %s: %s billion multiply-adds a second at %.3g a byte</title>", kinds[q->kind].words,
            report_rate(rate, q->rate / 1e9), q->intensity);
    draw_mark(p, q, x, y);
    fputs("</g>\n", p->out);
    if (q->kind != POINT_LAYER)
        plot_take(p, (struct plot_box){x - 6, y - 6, x + 6, y + 6});
}

void plot_roofline(FILE *out, const struct report *r)
{
    static struct plot_box const area = {66, 30, WIDTH - 20, HEIGHT - 46};
    bool seen[POINT_KINDS] = {false};
    struct plot p;
    struct plot_axis x, y;
    choose_axes(r, &x, &y);
    plot_open(&p, out, WIDTH, HEIGHT, "Roofline",
              "The slope is the read bandwidth of memory, flat lines are the arithmetic peaks; points are what was "
              "measured. Both axes are logarithmic.");
    plot_axes(&p, area, x, y);
    for (size_t i = 0; i < r->roof_count; i++)
        draw_flat(&p, r, &r->roofs[i]);
    for (size_t i = 0; i < r->point_count; i++) {
        draw_point(&p, &r->points[i]);
        seen[r->points[i].kind] = true;
    }
    draw_slope(&p, r);
    for (size_t i = 0; i < r->point_count; i++)
        if (r->points[i].kind != POINT_LAYER)
            plot_label(&p, plot_x(&p, r->points[i].intensity), plot_y(&p, r->points[i].rate), "name",
                       r->points[i].name);
    plot_close(&p);
    fputs("<p class=\"key\">", out);
    for (int k = 0; k < POINT_KINDS; k++)
        if (seen[k])
            fprintf(out, "<span class=\"dot %s\"></span> %s ", kinds[k].class, kinds[k].words);
    fputs("</p>\n", out);
}
