/* The hidden state's error by depth. */
#include "markup.h"
#include "plot.h"
#include "plots.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 960, HEIGHT = 290 };

/* The axis of depth has words of its own: the blocks. */
static void format_nothing(char out[TICK_TEXT], double v)
{
    (void)v;
    *out = 0;
}

static struct plot_axis error_axis(const struct report *r)
{
    struct plot_axis y = {INFINITY, -INFINITY, true, "relative error of the hidden state", plot_format_plain, false};
    for (size_t i = 0; i < r->depth_count; i++)
        plot_widen(&y, r->depth[i].error);
    if (!(y.high > y.low) || y.high / y.low < 30) {
        y.log = false;
        y.low = 0;
        y.high = y.high > 0 && isfinite(y.high) ? 1.1 * y.high : 1;
        return y;
    }
    y.low = fmax(y.low, y.high * 1e-4) / 1.5;
    y.high *= 1.5;
    return y;
}

/* Where a block begins: "blk.12 attention" after one of another block. Below 0: it is no block's. */
static long block_of(const char *name)
{
    return strncmp(name, "blk.", 4) == 0 ? strtol(name + 4, NULL, 10) : -1;
}

static void label_blocks(struct plot *p, const struct report *r)
{
    double end = -1e9;
    char text[TICK_TEXT];
    for (size_t i = 0; i < r->depth_count; i++) {
        long block = block_of(r->depth[i].name);
        double x = plot_x(p, (double)i);
        if (block >= 0 && i > 0 && block == block_of(r->depth[i - 1].name))
            continue;
        if (block >= 0)
            snprintf(text, sizeof text, "%ld", block);
        else
            snprintf(text, sizeof text, "%.20s", r->depth[i].name);
        double half = plot_text_width(text) / 2;
        if (x - half < end + 8)
            continue;
        x = fmax(x, p->area.left + half - 4);
        end = x + half;
        plot_text(p, x, p->area.bottom + 16, "middle", "tick", text);
    }
}

/* The point that raised the error most over the one before. */
static size_t steepest(const struct report *r)
{
    size_t at = 0;
    for (size_t i = 1; i < r->depth_count; i++)
        if (at == 0 || r->depth[i].error - r->depth[i - 1].error > r->depth[at].error - r->depth[at - 1].error)
            at = i;
    return at;
}

static void draw_points(struct plot *p, const struct report *r)
{
    fputs("<path class=\"line\" d=\"", p->out);
    for (size_t i = 0; i < r->depth_count; i++)
        fprintf(p->out, "%s%.1f %.1f", i == 0 ? "M" : "L", plot_x(p, (double)i), plot_y(p, r->depth[i].error));
    fputs("\"/>\n", p->out);
    for (size_t i = 1; i < r->depth_count; i++)
        plot_take_line(p, plot_x(p, (double)i - 1), plot_y(p, r->depth[i - 1].error), plot_x(p, (double)i),
                       plot_y(p, r->depth[i].error));
    for (size_t i = 0; i < r->depth_count; i++) {
        fputs("<g><title>", p->out);
        put_html(p->out, r->depth[i].name);
        fprintf(p->out, ": %.3g</title><circle class=\"on\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/></g>\n", r->depth[i].error,
                plot_x(p, (double)i), plot_y(p, r->depth[i].error));
    }
}

void plot_depth(FILE *out, const struct report *r)
{
    static struct plot_box const area = {66, 30, WIDTH - 20, HEIGHT - 46};
    struct plot p;
    struct plot_axis x = {0,
                          (double)(r->depth_count > 1 ? r->depth_count - 1 : 1),
                          false,
                          "part of the model, in the order of the forward pass",
                          format_nothing,
                          false};
    char text[96];
    plot_open(
        &p, out, WIDTH, HEIGHT, "Divergence by depth",
        "How far the hidden state is from the reference's behind every part of the model, in the order in which a "
        "token passes them.");
    plot_axes(&p, area, x, error_axis(r));
    label_blocks(&p, r);
    draw_points(&p, r);
    size_t at = steepest(r);
    if (at > 0 && r->depth[at].error > r->depth[at - 1].error) {
        double px = plot_x(&p, (double)at), py = plot_y(&p, r->depth[at].error);
        snprintf(text, sizeof text, "steepest rise: %.60s", r->depth[at].name);
        fprintf(out, "<circle class=\"halo\" cx=\"%.1f\" cy=\"%.1f\" r=\"7\"/>\n", px, py);
        plot_take(&p, (struct plot_box){px - 8, py - 8, px + 8, py + 8});
        plot_label(&p, px, py, "name take", text);
    }
    plot_close(&p);
}
