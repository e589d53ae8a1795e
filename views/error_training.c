/* The Error screen's curve of quantization-aware training. */
#include "canvas.h"
#include "error.h"

#include <math.h>

enum { CURVE_LINES = 7, MIN_LINES = 14 /* of the area where the curve comes before histograms */ };

static bool is_trained(const struct frame *f, int tensor)
{
    const struct scheme *wanted = &f->layers[tensor].wanted;
    struct scheme now = qtensor_scheme(f->set->layer[tensor]);
    return scheme_trains(wanted) || scheme_trains(&now);
}

static void span(double value, double *min, double *max)
{
    if (!(value > 0))
        return;
    *min = fmin(*min, value);
    *max = fmax(*max, value);
}

/* The loss as a line, the KL divergence on held-out text as marks joined by a line, on one logarithmic scale whose
 * ends the last line names. */
static void draw_curve(const struct training_frame *l, struct rect area)
{
    struct canvas c;
    struct rect plot = {area.row, area.col, area.rows - 1, area.cols};
    double min = INFINITY, max = 0;
    const struct training_point *loss = NULL, *kl = NULL;
    for (size_t i = 0; i < l->count; i++) {
        span(l->of[i].loss, &min, &max);
        span(l->of[i].kl, &min, &max);
    }
    if (!(min <= max) || !canvas_begin(&c, plot, (struct axis){0, (double)l->figures.steps, false},
                                          (struct axis){min / 1.1, max * 1.1, true}))
        return;
    draw_format(area.row + plot.rows, area.col, area.cols, STYLE_DIM, false,
                "o: KL on held-out text; line: loss; by step, %.2g to %.2g, log scale", min, max);
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

static int draw_figures(const struct frame *frame, struct rect area)
{
    const struct training_frame *l = frame->training;
    char name[TEXT_NAME + 2];
    const struct training_figures *f = &l->figures;
    int col = draw_format(area.row, area.col, area.cols, STYLE_STRONG, false, "training%s  ",
                          l->running ? " (t stops)" : " done");
    col += draw_format(area.row, area.col + col, area.cols - col, STYLE_PLAIN, false, "%zu/%zu", f->step,
                       f->steps);
    if (!isnan(f->kl_best))
        col += draw_format(area.row, area.col + col, area.cols - col, STYLE_GOOD, false,
                           "  KL %.2g (first %.2g, best %.2g) on %s, %zu tokens held out", f->kl_last, f->kl_first,
                           f->kl_best, format_cut(name, sizeof name, frame->training_text, 16), f->held_out);
    if (f->step > 0)
        draw_format(area.row, area.col + col, area.cols - col, STYLE_DIM, false, "  loss %.2g  rate %.1e", f->loss,
                    f->rate);
    return 1;
}

int error_draw_training(const struct frame *f, int tensor, struct rect area)
{
    const struct training_frame *l = f->training;
    if (!l || area.rows < 1 || !is_trained(f, tensor))
        return 0;
    int used = draw_figures(f, area), left = area.rows - used, lines = left < CURVE_LINES ? left : CURVE_LINES;
    if (l->count < 2 || lines < 4 || (!l->running && area.rows < MIN_LINES))
        return used;
    draw_curve(l, (struct rect){area.row + used, area.col, lines, area.cols});
    return used + lines;
}
