/* The sensitivity of layers, kinds by blocks. */
#include "columns.h"
#include "map.h"
#include "markup.h"
#include "plot.h"
#include "plots.h"

#include <math.h>

enum { TOP = 22, ROW = 24, LEGEND = 62, ROOM = 1100 };

struct layout {
    double left, cell; /* pixels of names; of a cell's width */
};

static struct layout lay_out(const struct map *m)
{
    struct layout l = {40, 0};
    for (size_t k = 0; k < m->kinds; k++)
        l.left = fmax(l.left, plot_text_width(m->kind[k]) + 14);
    l.left = fmin(l.left, 260);
    l.cell = fmin(fmax((ROOM - l.left) / (double)m->blocks, 15), 44);
    return l;
}

/* What a cell stands for, as its title. */
static void put_title(FILE *out, const struct map *m, size_t k, size_t b)
{
    const struct map_cell *c = map_at(m, k, b);
    char kl[CELL_TEXT];
    fprintf(out, "<title>blk.%zu.", b);
    put_html(out, m->kind[k]);
    if (c->known)
        fprintf(out, ": KL %s nats%s</title>", report_kl(kl, c->kl, c->error), c->partial ? ", of a part so far" : "");
    else
        fputs(": not measured</title>", out);
}

static void draw_cell(struct plot *p, const struct layout *l, const struct map *m, size_t k, size_t b)
{
    const struct map_cell *c = map_at(m, k, b);
    double x = l->left + (double)b * l->cell, y = TOP + (double)k * ROW;
    int level = map_level(m, c->kl);
    char text[4] = {(char)('0' + level), c->partial ? '~' : 0, 0}, fill[4] = {'l', text[0], 0};
    if (!c->there)
        return;
    fputs("<g>", p->out);
    put_title(p->out, m, k, b);
    fprintf(p->out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\"/>",
            c->known ? fill : "blank", x, y, l->cell - 1.5, ROW - 2);
    plot_text(p, x + (l->cell - 1.5) / 2, y + 15, "middle",
              !c->known   ? "tick"
              : level > 6 ? "digit light"
                          : "digit",
              c->known ? text : "-");
    fputs("</g>\n", p->out);
}

/* As many block numbers as do not touch. */
static void draw_blocks(struct plot *p, const struct layout *l, const struct map *m)
{
    size_t apart = l->cell >= 22 ? 1 : l->cell >= 16 ? 2 : 5;
    char text[TICK_TEXT];
    for (size_t b = 0; b < m->blocks; b += apart) {
        snprintf(text, sizeof text, "%zu", b);
        plot_text(p, l->left + ((double)b + 0.5) * l->cell, TOP - 7, "middle", "tick", text);
    }
    plot_text(p, l->left - 8, TOP - 7, "end", "tick", "block");
}

/* A sample of each level with where it begins. */
static void draw_legend(struct plot *p, const struct map *m, double y)
{
    char text[TICK_TEXT];
    for (int i = 0; i < MAP_LEVELS && m->high > m->low; i++) {
        double x = 40 + 70.0 * i;
        char digit[2] = {(char)('0' + i), 0};
        fprintf(p->out, "<rect class=\"l%d\" x=\"%.1f\" y=\"%.1f\" width=\"66\" height=\"18\"/>\n", i, x, y);
        plot_text(p, x + 33, y + 13, "middle", i > 6 ? "digit light" : "digit", digit);
        snprintf(text, sizeof text, "%.2g", map_level_begin(m, i));
        plot_text(p, x, y + 32, "start", "tick", text);
    }
    plot_text(p, 40 + 70.0 * MAP_LEVELS + 6, y + 32, "start", "tick", "nats and more");
}

/* Layers that are in no block. */
static void put_outside(FILE *out, const struct report *r)
{
    char kl[CELL_TEXT];
    bool any = false;
    for (size_t i = 0; i < r->layer_count; i++) {
        const struct report_layer *l = &r->layers[i];
        if (l->block >= 0 || !l->kl.valid)
            continue;
        fputs(any ? ", " : "<p class=\"key\">Outside the blocks: ", out);
        put_html(out, l->name);
        fprintf(out, " %s nats", report_kl(kl, l->kl.value, l->kl_error));
        any = true;
    }
    if (any)
        fputs("</p>\n", out);
}

void plot_map(FILE *out, const struct report *r)
{
    struct map m = map_of(r);
    struct plot p;
    if (!m.cell || m.kinds == 0) {
        map_free(&m);
        return;
    }
    struct layout l = lay_out(&m);
    double bottom = TOP + (double)m.kinds * ROW;
    int width = (int)fmax(l.left + l.cell * (double)m.blocks, 840);
    plot_open(
        &p, out, width, (int)bottom + LEGEND, "Sensitivity of each layer",
        "Rows are kinds of layers, columns are blocks. Digits from 0 to 9 are levels of the KL divergence with that "
        "layer alone quantized.");
    draw_blocks(&p, &l, &m);
    for (size_t k = 0; k < m.kinds; k++) {
        plot_text(&p, l.left - 8, TOP + (double)k * ROW + 15, "end", "label", m.kind[k]);
        for (size_t b = 0; b < m.blocks; b++)
            draw_cell(&p, &l, &m, k, b);
    }
    draw_legend(&p, &m, bottom + 16);
    plot_close(&p);
    map_free(&m);
    put_outside(out, r);
}
