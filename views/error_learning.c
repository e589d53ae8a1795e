/* The Error screen's curve of quantization-aware training. */
#include "canvas.h"
#include "error.h"

#include <math.h>

enum { CURVE_LINES = 7, LEAST_LINES = 14 /* of the area where the curve comes before histograms */ };

static bool learns(const struct frame *f, int tensor)
{
    const struct scheme *wanted = &f->layers[tensor].wanted;
    struct scheme now = qtensor_scheme(f->set->layer[tensor]);
    return scheme_trains(wanted) || scheme_trains(&now);
}

static void span(double value, double *least, double *most)
{
    if (!(value > 0))
        return;
    *least = fmin(*least, value);
    *most = fmax(*most, value);
}

/* The loss as a line, the KL divergence of the text kept aside as marks joined by another, on one logarithmic
 * scale, of which the last line tells. */
static void draw_curve(const struct training_frame *l, struct rect area)
{
    struct canvas c;
    struct rect plot = {area.row, area.col, area.rows - 1, area.cols};
    double least = INFINITY, most = 0;
    const struct training_point *loss = NULL, *kl = NULL;
    for (size_t i = 0; i < l->count; i++) {
        span(l->of[i].loss, &least, &most);
        span(l->of[i].kl, &least, &most);
    }
    if (!(least <= most) || !canvas_begin(&c, plot, (struct axis){0, (double)l->figures.steps, false},
                                          (struct axis){least / 1.1, most * 1.1, true}))
        return;
    draw_format(area.row + plot.rows, area.col, area.cols, STYLE_DIM, false,
                "o: KL of the text kept aside; line: loss; by step, %.2g to %.2g, logarithmic", least, most);
    for (size_t i = 0; i < l->count; i++) {
        const struct training_point *p = &l->of[i];
        if (p->loss > 0 && loss)
            canvas_line(&c, (double)loss->step, loss->loss, (double)p->step, p->loss, STYLE_DIM);
        if (p->kl > 0 && kl)
            canvas_line(&c, (double)kl->step, kl->kl, (double)p->step, p->kl, STYLE_SECOND);
        loss = p->loss > 0 ? p : loss;
        kl = p->kl > 0 ? p : kl;
    }
    canvas_draw(&c);
    for (size_t i = 0; i < l->count; i++)
        if (l->of[i].kl > 0)
            canvas_text(&c, (double)l->of[i].step, l->of[i].kl, STYLE_GOOD, "o");
    canvas_end(&c);
}

static int draw_figures(const struct training_frame *l, struct rect area)
{
    const struct training_figures *f = &l->figures;
    int col = draw_format(area.row, area.col, area.cols, STYLE_STRONG, false, "learning%s  ",
                          l->running ? " (t stops)" : ", over");
    col += draw_format(area.row, area.col + col, area.cols - col, STYLE_PLAIN, false, "%zu/%zu", f->step,
                       f->steps);
    if (!isnan(f->kl_best))
        col += draw_format(area.row, area.col + col, area.cols - col, STYLE_GOOD, false,
                           "  KL %.2g (first %.2g, best %.2g)", f->kl_last, f->kl_first, f->kl_best);
    if (f->step > 0)
        draw_format(area.row, area.col + col, area.cols - col, STYLE_DIM, false, "  loss %.2g  rate %.1e", f->loss,
                    f->rate);
    return 1;
}

int error_draw_learning(const struct frame *f, int tensor, struct rect area)
{
    const struct training_frame *l = f->training;
    if (!l || area.rows < 1 || !learns(f, tensor))
        return 0;
    int used = draw_figures(l, area), left = area.rows - used, lines = left < CURVE_LINES ? left : CURVE_LINES;
    if (l->count < 2 || lines < 4 || (!l->running && area.rows < LEAST_LINES))
        return used;
    draw_curve(l, (struct rect){area.row + used, area.col, lines, area.cols});
    return used + lines;
}
