/* The Error screen's curve of where divergence begins. */
#include "canvas.h"
#include "error.h"

#include <math.h>
#include <string.h>

/* The hidden state's relative error after the embedding and every half block, on a logarithmic scale: the
 * first layers are often orders of magnitude better than the last. */
static void draw_curve(const struct depth_profile *p, struct rect area)
{
    struct canvas c;
    double min = INFINITY, max = 0;
    for (size_t i = 0; i < p->count; i++) {
        min = p->error[i] > 0 ? fmin(min, p->error[i]) : min;
        max = fmax(max, p->error[i]);
    }
    min = fmax(min, max * 1e-4);
    if (!canvas_begin(&c, area, (struct axis){0, (double)(p->count - 1), false},
                      (struct axis){min / 1.5, max * 1.5, true}))
        return;
    for (size_t i = 0; i + 1 < p->count; i++)
        canvas_line(&c, (double)i, fmax(p->error[i], min / 1.5), (double)(i + 1),
                    fmax(p->error[i + 1], min / 1.5), STYLE_BAR);
    canvas_draw(&c);
    canvas_end(&c);
}

void error_draw_depth(const struct frame *f, struct rect area)
{
    const struct depth_profile *p = f->depth;
    char name[DEPTH_NAME], last[16];
    if (area.rows < 3 || area.cols < 12)
        return;
    draw_text(area.row, area.col, area.cols, STYLE_STRONG, false, "hidden-state error by depth");
    if (!p) {
        draw_text(area.row + 1, area.col, area.cols, STYLE_DIM, false, "n/a: measured after an evaluation");
        return;
    }
    if (depth_steepest(p) == 0 && p->error[0] == 0) {
        draw_text(area.row + 1, area.col, area.cols, STYLE_DIM, false, "no difference anywhere");
        return;
    }
    draw_curve(p, (struct rect){area.row + 1, area.col, area.rows - 2, area.cols});
    depth_name(p, depth_steepest(p), name);
    snprintf(last, sizeof last, "%.2g", p->error[p->count - 1]);
    draw_format(area.row + area.rows - 1, area.col, area.cols - (int)strlen(last) - 1, STYLE_DIM, false,
                "steepest at %s", name);
    draw_text(area.row + area.rows - 1, area.col + area.cols - (int)strlen(last), 16, STYLE_DIM, false, last);
}
