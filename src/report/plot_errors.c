/* Histograms of the errors of weights. */
#include "columns.h"
#include "markup.h"
#include "plot.h"
#include "plots.h"

#include <math.h>

enum { WIDTH = 268, HEIGHT = 168 };

static double largest_share(const struct histogram *h)
{
    uint64_t most = 0;
    for (size_t i = 0; i < HISTOGRAM_BINS; i++)
        most = h->count[i] > most ? h->count[i] : most;
    return h->total > 0 ? (double)most / (double)h->total : 0;
}

static void format_percent(char out[TICK_TEXT], double v)
{
    snprintf(out, TICK_TEXT, "%.3g %%", 100 * v);
}

static void draw_bars(struct plot *p, const struct histogram *h)
{
    double width = (p->area.right - p->area.left) / HISTOGRAM_BINS;
    fprintf(p->out, "<path class=\"bars\" d=\"M%.1f %.1f", p->area.left, p->area.bottom);
    for (size_t i = 0; i < HISTOGRAM_BINS; i++)
        fprintf(p->out, "V%.1fH%.1f", plot_y(p, (double)h->count[i] / (double)h->total),
                p->area.left + width * (double)(i + 1));
    fprintf(p->out, "V%.1fZ\"/>\n", p->area.bottom);
}

static void draw_words(FILE *out, const struct report_histogram *h)
{
    fputs("<figcaption><b>", out);
    put_html(out, h->name);
    fputs("</b> ", out);
    if (!h->sqnr_db.valid)
        fputs("SQNR n/a", out);
    else if (isinf(h->sqnr_db.value))
        fputs("exact", out);
    else
        fprintf(out, "SQNR %.1f dB", h->sqnr_db.value);
    if (isfinite(h->largest))
        fprintf(out, ", largest error %.3g", h->largest);
    fputs("</figcaption>\n", out);
}

static void draw_one(FILE *out, const struct report *r, const struct report_histogram *h)
{
    static struct plot_box const area = {44, 12, WIDTH - 8, HEIGHT - 40};
    struct plot p;
    struct plot_axis x = {h->errors.low, h->errors.high, false, r->error_unit, plot_format_plain, false};
    struct plot_axis y = {0, largest_share(&h->errors) * 1.05, false, "", format_percent, false};
    fputs("<figure class=\"small\">\n", out);
    draw_words(out, h);
    plot_open(&p, out, WIDTH, HEIGHT, h->name, "Histogram of the errors of weights; the share of weights in each bin.");
    plot_axes(&p, area, x, y);
    draw_bars(&p, &h->errors);
    plot_close(&p);
    fputs("</figure>\n", out);
}

void plot_errors(FILE *out, const struct report *r)
{
    fputs("<div class=\"many\">\n", out);
    for (size_t i = 0; i < r->histogram_count; i++)
        if (r->histograms[i].errors.total > 0)
            draw_one(out, r, &r->histograms[i]);
    fputs("</div>\n", out);
}
