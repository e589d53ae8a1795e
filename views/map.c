/* Screen 9, Map: kinds of layers by blocks, each cell a level of what quantization does to them. */
#include "tui.h"

#include "batch.h"
#include "scales.h"

#include <math.h>
#include <stdlib.h>

enum { LABEL = 15 };

/* ---- what a cell stands for -------------------------------------------------------------------- */

/* The tensors of a kind in a block: one, or its experts. */
struct place {
    enum role role;
    int block;
};

static double kl_of(const struct tui *t, int tensor)
{
    const struct metric *kl = &t->frame->layers[tensor].sensitivity;
    return kl->valid ? kl->value : NAN;
}

static double sqnr_of(const struct tui *t, int tensor)
{
    const struct qtensor *q = t->frame->set->layer[tensor];
    return q->matrix.format.stored ? NAN : weight_error_sqnr_db(&q->error);
}

static double output_of(const struct tui *t, int tensor)
{
    const struct metric *db = &t->frame->layers[tensor].output_sqnr_db;
    return db->valid ? db->value : NAN;
}

static double size_of(const struct tui *t, int tensor)
{
    return (double)rows_size(t, tensor);
}

static double add(double a, double b)
{
    return a + b;
}

/* What the map shows. Levels go from the least to the most of it, or from the most to the least. */
static const struct quantity {
    const char *name, *unit;
    double (*of)(const struct tui *tui, int tensor); /* NaN: not known */
    double (*join)(double a, double b);              /* of several experts */
    bool log, less_is_more;
    const struct scale *scale; /* of the colours, as on other screens; null: as the digits */
    const char *unknown;
    bool watches;                /* the lab is to compare the output of every layer */
} quantities[] = {
    {"KL of each layer alone", "nats", kl_of, add, true, false, &scale_kl, "not measured: E measures it", false},
    {"SQNR of weights", "dB", sqnr_of, fmin, false, true, &scale_sqnr, "as stored", false},
    {"SQNR of outputs, live", "dB", output_of, fmin, false, true, &scale_sqnr, "no token compared yet",
     true},
    {"size", "bytes", size_of, add, true, false, NULL, "", false},
};
enum { QUANTITIES = sizeof quantities / sizeof *quantities };

/* The kinds of layers that schemes are for, in the model's order. Returns how many. */
static int kinds_of(const struct model *m, enum role out[ROLE_COUNT])
{
    role_set seen = 0;
    int n = 0;
    for (size_t i = 0; i < m->tensor_count; i++) {
        enum role role = m->tensors[i].role;
        if (m->tensors[i].block < 0 || !role_takes_schemes(role) || seen & ROLE_BIT(role))
            continue;
        seen |= ROLE_BIT(role);
        out[n++] = role;
    }
    return n;
}

/* ---- levels -------------------------------------------------------------------------------------- */

struct range {
    double low, high; /* of the values that are known and finite; low > high: there are none */
};

static void widen(struct range *r, const struct quantity *q, double v)
{
    if (!isfinite(v) || (q->log && !(v > 0)))
        return;
    r->low = fmin(r->low, v);
    r->high = fmax(r->high, v);
}

/* The digits are a scale of this model's own: from its least to its most. */
static struct scale digits_of(const struct quantity *q, const struct range *r)
{
    return (struct scale){q->less_is_more ? r->high : r->low, q->less_is_more ? r->low : r->high, q->log};
}

/* 0 .. 9; -1: not known. What is exact, or nothing, has the lowest; so has everything where all is the same. */
static int level_of(const struct quantity *q, const struct range *r, double v)
{
    struct scale digits = digits_of(q, r);
    bool one = !isfinite(v) || (q->log && !(v > 0)) || !(r->high > r->low);
    return isnan(v) ? -1 : one ? 0 : scale_level(&digits, v);
}

static enum style style_of(const struct quantity *q, const struct range *r, double v)
{
    int level = level_of(q, r, v);
    if (q->scale)
        return scale_style(q->scale, v, STYLE_DIM);
    return level < 0 ? STYLE_DIM : (enum style)(STYLE_LEVEL + level);
}

/* ---- drawing --------------------------------------------------------------------------------------- */

/* Where the cursor of Layers stands, if that is on the map; block -1: it is not. */
static struct place here(const struct tui *t)
{
    int tensor = rows_current_tensor(t);
    const struct model *m = t->session->model;
    if (tensor < 0 || tensor >= (int)m->tensor_count || m->tensors[tensor].block < 0 ||
        !role_takes_schemes(m->tensors[tensor].role))
        return (struct place){ROLE_NONE, -1};
    return (struct place){m->tensors[tensor].role, m->tensors[tensor].block};
}

struct cell {
    double value; /* NaN: nothing is known */
    int first;    /* the first of its tensors; -1: there are none */
};

struct grid {
    enum role kinds[ROLE_COUNT];
    int rows, blocks;   /* of the model */
    int first;          /* block shown at the left */
    int shown, width;   /* blocks that fit, and columns of each */
    struct cell *cells; /* rows x blocks; null when memory is short */
};

static int row_of(const struct grid *g, enum role kind)
{
    int k = 0;
    while (k < g->rows && g->kinds[k] != kind)
        k++;
    return k;
}

static struct cell *cell_at(const struct grid *g, int row, int block)
{
    return &g->cells[row * g->blocks + block];
}

/* Goes through the tensors once: a mixture has many thousands. */
static void fill(struct grid *g, const struct tui *t, const struct quantity *q)
{
    const struct model *m = t->session->model;
    for (int i = 0; i < g->rows * g->blocks; i++)
        g->cells[i] = (struct cell){NAN, -1};
    for (int i = 0; i < (int)m->tensor_count; i++) {
        int row = row_of(g, m->tensors[i].role);
        if (m->tensors[i].block < 0 || row == g->rows)
            continue;
        struct cell *c = cell_at(g, row, m->tensors[i].block);
        double v = q->of(t, i);
        c->first = c->first < 0 ? i : c->first;
        c->value = isnan(c->value) ? v : isnan(v) ? c->value : q->join(c->value, v);
    }
}

/* Free g->cells. */
static struct grid grid_of(const struct tui *t, const struct quantity *q, int cols)
{
    struct grid g = {.blocks = (int)t->session->model->hyper.layers};
    int at = here(t).block, room = cols > LABEL ? cols - LABEL : 1;
    g.rows = kinds_of(t->session->model, g.kinds);
    g.width = 2 * g.blocks <= room ? 2 : 1;
    g.shown = room / g.width < g.blocks ? room / g.width : g.blocks;
    g.first = at >= g.shown ? at - g.shown + 1 : 0;
    g.cells = calloc((size_t)g.rows * (size_t)g.blocks + 1, sizeof *g.cells);
    if (g.cells)
        fill(&g, t, q);
    return g;
}

static struct range range_of(const struct quantity *q, const struct grid *g)
{
    struct range r = {INFINITY, -INFINITY};
    for (int i = 0; i < g->rows * g->blocks; i++)
        widen(&r, q, g->cells[i].value);
    return r;
}

static void draw_row(const struct tui *t, const struct quantity *q, const struct grid *g, const struct range *r, int k,
                     int row)
{
    struct place at = here(t);
    draw_format(row, 0, LABEL - 1, at.role == g->kinds[k] ? STYLE_STRONG : STYLE_PLAIN, false, " %s",
                roles[g->kinds[k]].name);
    for (int b = g->first; b < g->first + g->shown && b < g->blocks; b++) {
        const struct cell *c = cell_at(g, k, b);
        int level = level_of(q, r, c->value);
        bool selected = at.block == b && at.role == g->kinds[k];
        char text[2] = {c->first < 0 ? ' ' : level < 0 ? '.' : (char)('0' + level), 0};
        draw_text(row, LABEL + (b - g->first) * g->width, 1, selected ? STYLE_SELECTED : style_of(q, r, c->value), false,
                  text);
    }
}

/* Every fifth block's number. */
static void draw_blocks(const struct grid *g, int row, int cols)
{
    draw_text(row, 0, cols, STYLE_TITLE, true, " blk");
    for (int b = g->first; b < g->first + g->shown; b++)
        if (b % 5 == 0)
            draw_format(row, LABEL + (b - g->first) * g->width, cols, STYLE_TITLE, false, "%d", b);
}

static const char *value_text(const struct quantity *q, double v, char out[32])
{
    char bytes[16];
    if (isnan(v))
        snprintf(out, 32, "%s", q->unknown);
    else if (isinf(v))
        snprintf(out, 32, "exact");
    else if (q->of == size_of)
        snprintf(out, 32, "%s", format_bytes(bytes, v));
    else
        snprintf(out, 32, "%.3g %s", v, q->unit);
    return out;
}

static void draw_legend(const struct tui *t, const struct quantity *q, const struct grid *g, const struct range *r,
                        int row, int cols)
{
    char low[32], high[32], own[32];
    struct place at = here(t);
    if (at.block >= 0) {
        const struct cell *c = cell_at(g, row_of(g, at.role), at.block);
        draw_format(row, 0, cols, STYLE_STRONG, false, "%s: %s", layer_name(t->session->model, c->first),
                    value_text(q, c->value, own));
    }
    if (r->high > r->low)
        draw_format(row + 1, 0, cols, STYLE_DIM, false, "%s: 9 is %s, 0 %s%s%s", q->name,
                    value_text(q, q->less_is_more ? r->low : r->high, high),
                    value_text(q, q->less_is_more ? r->high : r->low, low), *q->unknown ? "; . " : "", q->unknown);
    else
        draw_format(row + 1, 0, cols, STYLE_DIM, false, "%s%s%s", q->name, *q->unknown ? ": . " : "", q->unknown);
}

void map_draw(struct tui *t, struct rect area)
{
    const struct quantity *q = &quantities[t->map_shows % QUANTITIES];
    struct grid g = grid_of(t, q, area.cols);
    int line = area.row, end = area.row + area.rows, below = area.rows > 5 ? 2 : 0;
    if (!g.cells)
        return;
    struct range r = range_of(q, &g);
    if (area.rows > 2)
        draw_blocks(&g, line++, area.cols);
    int room = end - below - line, at = row_of(&g, here(t).role), top = at < g.rows && at >= room ? at - room + 1 : 0;
    for (int k = top; k < g.rows && line < end - below; k++)
        draw_row(t, q, &g, &r, k, line++);
    if (below > 0)
        draw_legend(t, q, &g, &r, end - below, area.cols);
    free(g.cells);
}

void map_follow(struct tui *t)
{
    bool watches = t->view == VIEW_MAP && quantities[t->map_shows % QUANTITIES].watches;
    if (watches == t->watches_outputs)
        return;
    t->watches_outputs = watches;
    tui_send(t, &(struct command){.kind = COMMAND_WATCH_OUTPUTS, .index = watches});
}

/* ---- keys -------------------------------------------------------------------------------------------- */

/* To the next place in a direction that is there; from outside the map to its first. */
static void step(struct tui *t, int rows, int blocks)
{
    struct grid g = grid_of(t, &quantities[0], COLS);
    struct place at = here(t);
    int k = row_of(&g, at.role), b = at.block;
    if (b < 0)
        k = b = rows = blocks = 0;
    do {
        k += rows;
        b += blocks;
    } while (g.cells && k >= 0 && k < g.rows && b >= 0 && b < g.blocks && cell_at(&g, k, b)->first < 0 &&
             (rows || blocks));
    if (g.cells && k >= 0 && k < g.rows && b >= 0 && b < g.blocks && cell_at(&g, k, b)->first >= 0)
        layers_go_to(t, cell_at(&g, k, b)->first);
    free(g.cells);
}

bool map_act(struct tui *t, enum action a)
{
    static const struct {
        enum action action;
        int rows, blocks;
    } steps[] = {{ACTION_UP, -1, 0}, {ACTION_DOWN, 1, 0}, {ACTION_MAP_LEFT, 0, -1}, {ACTION_MAP_RIGHT, 0, 1}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (a == steps[i].action)
            return step(t, steps[i].rows, steps[i].blocks), true;
    if (a == ACTION_MAP_SHOWS)
        t->map_shows = (t->map_shows + 1) % QUANTITIES;
    else if (a == ACTION_MAP_OPEN)
        t->view = VIEW_LAYERS;
    else
        return false;
    return true;
}
