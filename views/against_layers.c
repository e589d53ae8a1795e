/* The layers of two files side by side. */
#include "against.h"

#include "batch.h"
#include "scales.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { C_LAYER, C_SHAPE, C_A, C_B, C_BYTES_A, C_BYTES_B, C_SQNR, C_MAX, COUNT };

static const struct column table[COUNT] = {
    [C_LAYER] = {"LAYER", 19, .stretch = true},
    [C_SHAPE] = {"SHAPE", 12, .drop = 2},
    [C_A] = {"A", 9},
    [C_B] = {"B", 9},
    [C_BYTES_A] = {"BYTES A", 9, .drop = 3, .right = true},
    [C_BYTES_B] = {"BYTES B", 9, .drop = 3, .right = true},
    [C_SQNR] = {"SQNR", 7, .right = true},
    [C_MAX] = {"MAX DIFF", 10, .drop = 1, .right = true},
};

/* ---- order ----------------------------------------------------------------------------------- */

struct place {
    double key; /* ascending */
    int tensor;
};

/* Where b lies farthest from a first; what is not compared yet, or equal, last. */
static double by_difference(const struct against_layer *l, int tensor)
{
    (void)tensor;
    return l->sqnr_db.valid ? l->sqnr_db.value : INFINITY;
}

static double by_model(const struct against_layer *l, int tensor)
{
    (void)l;
    return tensor;
}

static double by_bytes(const struct against_layer *l, int tensor)
{
    (void)tensor;
    return -fabs((double)l->bytes[1] - (double)l->bytes[0]);
}

static const struct {
    const char *words;
    double (*key)(const struct against_layer *layer, int tensor);
} orders[] = {{"by difference", by_difference}, {"in the model's order", by_model}, {"by change in size", by_bytes}};
enum { ORDERS = sizeof orders / sizeof *orders };

void against_layers_sort(struct tui *t, int by)
{
    t->against_order = (unsigned)((int)t->against_order + by + ORDERS) % ORDERS;
}

const char *against_layers_order(const struct tui *t)
{
    return orders[t->against_order].words;
}

static int by_key(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    int order = (x->key > y->key) - (x->key < y->key);
    return order ? order : x->tensor - y->tensor;
}

/* The caller frees; null when memory is short. */
static struct place *sorted(const struct tui *t, const struct against_frame *f)
{
    struct place *p = calloc(f->count + 1, sizeof *p);
    for (size_t i = 0; p && i < f->count; i++)
        p[i] = (struct place){orders[t->against_order].key(&f->of[i], (int)i), (int)i};
    if (p)
        qsort(p, f->count, sizeof *p, by_key);
    return p;
}

int against_layer_at_cursor(const struct tui *t)
{
    const struct against_frame *f = t->frame->against;
    struct place *p = f ? sorted(t, f) : NULL;
    int tensor = p && t->against_row < f->count ? p[t->against_row].tensor : -1;
    free(p);
    return tensor;
}

/* ---- searching ------------------------------------------------------------------------------- */

static void search(struct tui *t, const char *text, bool next)
{
    const struct against_frame *f = t->frame->against;
    struct place *p = f ? sorted(t, f) : NULL;
    bool found = false;
    if (text)
        snprintf(t->search, sizeof t->search, "%.60s", text);
    for (size_t i = 0; p && *t->search && !found && i < f->count; i++) {
        size_t at = (t->against_row + i + next) % f->count;
        found = strcasestr(t->session->model->tensors[p[at].tensor].name, t->search);
        t->against_row = found ? at : t->against_row;
    }
    if (*t->search && !found)
        tui_note(t, "no layer's name contains '%s'", t->search);
    free(p);
}

static void keep(struct tui *t)
{
    t->against_kept = t->against_row;
}

static void go_back(struct tui *t)
{
    t->against_row = t->against_kept;
}

const struct finder against_finder = {
    .search = search, .keep = keep, .back = go_back, .whole = "all layers of both files are shown"};

/* ---- drawing --------------------------------------------------------------------------------- */

static void draw_row(const struct tui *t, const struct against_layer *l, int tensor, const int *widths, int row, int cols,
                     bool selected)
{
    const struct tensor *x = &t->session->model->tensors[tensor];
    char c[COUNT][TABLE_CELL] = {0}, bytes[16];
    bool differs = l->type[0] != l->type[1];
    snprintf(c[C_LAYER], TABLE_CELL, "%s%s", differs ? "*" : " ", x->name);
    snprintf(c[C_SHAPE], TABLE_CELL, "%zux%zu", x->stored.rows, x->stored.cols);
    snprintf(c[C_A], TABLE_CELL, "%s", dtypes[l->type[0]].name);
    snprintf(c[C_B], TABLE_CELL, "%s", dtypes[l->type[1]].name);
    snprintf(c[C_BYTES_A], TABLE_CELL, "%s", format_bytes(bytes, (double)l->bytes[0]));
    snprintf(c[C_BYTES_B], TABLE_CELL, "%s", format_bytes(bytes, (double)l->bytes[1]));
    if (!l->sqnr_db.valid)
        snprintf(c[C_SQNR], TABLE_CELL, "-");
    else if (isinf(l->sqnr_db.value))
        snprintf(c[C_SQNR], TABLE_CELL, "equal");
    else
        snprintf(c[C_SQNR], TABLE_CELL, "%.1f", l->sqnr_db.value);
    if (l->sqnr_db.valid)
        snprintf(c[C_MAX], TABLE_CELL, "%.3g", (double)l->max_abs);
    enum style style = selected ? STYLE_SELECTED : differs ? STYLE_STRONG : STYLE_PLAIN;
    table_draw(table, COUNT, widths, row, cols, style, c);
    if (!selected && l->sqnr_db.valid)
        table_draw_cell(table, widths, C_SQNR, row, scale_style(&scale_sqnr, l->sqnr_db.value, style), c[C_SQNR]);
}

void against_layers_draw(struct tui *t, struct rect area)
{
    const struct against_frame *f = t->frame->against;
    int widths[COUNT], line = area.row, end = area.row + area.rows;
    struct place *p = sorted(t, f);
    table_fit(table, COUNT, area.cols, widths);
    if (area.rows >= 4)
        table_draw_titles(table, COUNT, widths, line++, area.cols);
    size_t room = end > line ? (size_t)(end - line) : 1;
    if (t->against_row >= f->count)
        t->against_row = f->count > 0 ? f->count - 1 : 0;
    if (t->against_row < t->against_top)
        t->against_top = t->against_row;
    if (t->against_row >= t->against_top + room)
        t->against_top = t->against_row - room + 1;
    t->against_page = room;
    t->against_line = line;
    for (size_t i = t->against_top; p && i < f->count && line < end; i++, line++)
        draw_row(t, &f->of[p[i].tensor], p[i].tensor, widths, line, area.cols, i == t->against_row);
    t->against_end = line;
    free(p);
}
