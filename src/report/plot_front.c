/* KL divergence against size. */
#include "columns.h"
#include "markup.h"
#include "plot.h"
#include "plots.h"

#include "base/units.h"

#include <math.h>
#include <stdlib.h>

enum { WIDTH = 960, HEIGHT = 420 };

/* A KL of 0 has no place on a logarithmic axis: it stands on the lower edge. */
static double place_of(const struct report_scheme *s, const struct plot *p)
{
    double kl = s->figure[FIGURE_KL].value;
    return kl > 0 ? plot_y(p, kl) : p->area.bottom;
}

static void choose_axes(const struct report *r, struct plot_axis *x, struct plot_axis *y)
{
    *x = (struct plot_axis){INFINITY,          -INFINITY, true, "size of the file, in memory where there is none",
                            plot_format_bytes, false};
    *y = (struct plot_axis){INFINITY,          -INFINITY, true, "KL divergence from the reference, nats",
                            plot_format_plain, false};
    for (size_t i = 0; i < r->scheme_count; i++) {
        if (!report_on_plot(&r->schemes[i]))
            continue;
        plot_widen(x, report_size(&r->schemes[i]));
        plot_widen(y, r->schemes[i].figure[FIGURE_KL].value);
        y->zero |= r->schemes[i].figure[FIGURE_KL].value == 0;
    }
    for (size_t i = 0; i < r->curve_count; i++) {
        plot_widen(x, r->curve[i].size);
        plot_widen(y, r->curve[i].kl);
    }
    if (!(y->low > 0 && isfinite(y->low))) /* all are 0 */
        y->low = y->high = 1e-3;
    x->low /= 1.12;
    x->high *= 1.12;
    y->low /= 2.5;
    y->high *= 1.6;
}

/* Indices of the rows on the front, by size. Returns how many; the caller frees. */
static size_t *front_of(const struct report *r, size_t *count)
{
    size_t *rows = calloc(r->scheme_count + 1, sizeof *rows);
    *count = 0;
    for (size_t i = 0; rows && i < r->scheme_count; i++) {
        if (!report_on_front(r, &r->schemes[i]))
            continue;
        size_t at = (*count)++;
        for (; at > 0 && report_size(&r->schemes[rows[at - 1]]) > report_size(&r->schemes[i]); at--)
            rows[at] = rows[at - 1];
        rows[at] = i;
    }
    return rows;
}

static void draw_front(struct plot *p, const struct report *r)
{
    size_t count, *rows = front_of(r, &count);
    double before_x = 0, before_y = 0;
    if (count > 0)
        fputs("<path class=\"front\" d=\"", p->out);
    for (size_t i = 0; i < count; i++) {
        double x = plot_x(p, report_size(&r->schemes[rows[i]])), y = place_of(&r->schemes[rows[i]], p);
        fprintf(p->out, i == 0 ? "M%.1f %.1f" : "H%.1fV%.1f", x, y);
        if (i > 0) {
            plot_take_line(p, before_x, before_y, x, before_y);
            plot_take_line(p, x, before_y, x, y);
        }
        before_x = x;
        before_y = y;
    }
    if (count > 0)
        fputs("\"/>\n", p->out);
    free(rows);
}

/* Of a search: what it predicts for every size. */
static void draw_curve(struct plot *p, const struct report *r)
{
    if (r->curve_count < 2)
        return;
    fputs("<path class=\"curve\" d=\"", p->out);
    for (size_t i = 0; i < r->curve_count; i++)
        fprintf(p->out, "%s%.1f %.1f", i == 0 ? "M" : "L", plot_x(p, r->curve[i].size), plot_y(p, r->curve[i].kl));
    fputs("\"/>\n", p->out);
}

/* One standard error to both sides. */
static void draw_interval(struct plot *p, const struct report_scheme *s, double x)
{
    const struct metric *kl = &s->figure[FIGURE_KL], *error = &s->figure[FIGURE_KL_ERROR];
    if (error->valid && error->value > 0 && kl->value > 0)
        fprintf(p->out, "<path class=\"whisker\" d=\"M%.1f %.1fV%.1f\"/>\n", x, plot_y(p, kl->value + error->value),
                plot_y(p, fmax(kl->value - error->value, p->y.low)));
}

static void draw_point(struct plot *p, const struct report *r, const struct report_scheme *s)
{
    double x = plot_x(p, report_size(s)), y = place_of(s, p);
    char bytes[16], kl[CELL_TEXT];
    const struct metric *error = &s->figure[FIGURE_KL_ERROR];
    draw_interval(p, s, x);
    fputs("<g><title>", p->out);
    put_html(p->out, s->name);
    fprintf(p->out, ": %s, KL %s</title>", format_bytes(bytes, report_size(s)),
            report_kl(kl, s->figure[FIGURE_KL].value, error->valid ? error->value : NAN));
    if (s->recommended)
        fprintf(p->out, "<circle class=\"halo\" cx=\"%.1f\" cy=\"%.1f\" r=\"9\"/>", x, y);
    fprintf(p->out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\"/></g>\n",
            report_on_front(r, s) ? "on" : "off", x, y);
    plot_take(p, (struct plot_box){x - 6, y - 6, x + 6, y + 6});
}

/* The recommended one first, then those on the front: room goes to these. */
static void draw_labels(struct plot *p, const struct report *r)
{
    for (int turn = 0; turn < 3; turn++)
        for (size_t i = 0; i < r->scheme_count; i++) {
            const struct report_scheme *s = &r->schemes[i];
            int its = s->recommended ? 0 : report_on_front(r, s) ? 1 : 2;
            if (its == turn && report_on_plot(s))
                plot_label(p, plot_x(p, report_size(s)), place_of(s, p), turn == 0 ? "name take" : "name", s->name);
        }
}

void plot_front(FILE *out, const struct report *r)
{
    static struct plot_box const area = {66, 30, WIDTH - 20, HEIGHT - 46};
    struct plot p;
    struct plot_axis x, y;
    choose_axes(r, &x, &y);
    plot_open(&p, out, WIDTH, HEIGHT, "KL divergence against size",
              "Every measured scheme as a point; a line joins those on the Pareto front. The table of schemes has the "
              "figures.");
    plot_axes(&p, area, x, y);
    draw_curve(&p, r);
    draw_front(&p, r);
    for (size_t i = 0; i < r->scheme_count; i++)
        if (report_on_plot(&r->schemes[i]))
            draw_point(&p, r, &r->schemes[i]);
    draw_labels(&p, r);
    plot_close(&p);
    fprintf(
        out,
        "<p class=\"key\"><span class=\"dot on\"></span> on the Pareto front <span class=\"dot off\"></span> another "
        "is no larger and closer <span class=\"dot halo\"></span> recommended%s. Vertical lines: one standard "
        "error.</p>\n",
        r->curve_count > 1 ? "; dashed: what the search predicts" : "");
}
