/* Screen 1: what every layer is stored as, what it costs and what it did. */
#include "tui.h"

#include "batch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int block_count(const struct tui *t)
{
    return (int)t->session->model->hyper.layers;
}

static const struct tensor *tensor_of(const struct tui *t, int tensor)
{
    return &t->session->model->tensors[tensor];
}

static bool is_block_linear(const struct tui *t, int tensor, int block)
{
    const struct tensor *x = tensor_of(t, tensor);
    return x->block == block && roles[x->role].linear;
}

bool layers_begin(struct tui *t, struct error *error)
{
    size_t tensors = t->session->model->tensor_count, blocks = (size_t)block_count(t);
    t->rows = calloc(tensors + 1 + blocks, sizeof *t->rows);
    t->tagged = calloc(tensors + 1, sizeof *t->tagged);
    t->folded = calloc(blocks, sizeof *t->folded);
    for (size_t b = 1; t->folded && b < blocks; b++)
        t->folded[b] = true;
    return (t->rows && t->tagged && t->folded) || error_set(error, "not enough memory");
}

void layers_end(struct tui *t)
{
    free(t->rows);
    free(t->tagged);
    free(t->folded);
}

static bool is_kv(const struct tui *t, int tensor)
{
    return tensor == kv_index(t->session->model);
}

size_t layers_kv_bytes(const struct tui *t, enum dtype kv)
{
    return t->frame->capacity * kv_bytes_per_position(t->session->model, kv);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static double kv_key(const struct tui *t)
{
    const struct metric *seconds = &t->frame->layers[kv_index(t->session->model)].seconds;
    switch (t->sort) {
    case SORT_SIZE:
        return -(double)layers_kv_bytes(t, t->frame->set->kv);
    case SORT_TIME:
        return seconds->valid ? -seconds->value : 0;
    case SORT_SQNR:
        return INFINITY;
    default:
        return kv_index(t->session->model);
    }
}

static double row_key(const struct tui *t, const struct row *r)
{
    if (r->tensor == kv_index(t->session->model))
        return kv_key(t);
    const struct packed *p = t->frame->set->layer[r->tensor];
    switch (t->sort) {
    case SORT_SIZE:
        return -(double)p->matrix.bytes;
    case SORT_TIME:
        return t->frame->layers[r->tensor].seconds.valid ? -t->frame->layers[r->tensor].seconds.value
                                                         : 0;
    case SORT_SQNR:
        return weight_error_sqnr_db(&p->error);
    default:
        return r->tensor;
    }
}

static int by_key(const void *a, const void *b, void *arg)
{
    const struct tui *t = arg;
    const struct row *x = a, *y = b;
    if (t->sort == SORT_NAME && !is_kv(t, x->tensor) && !is_kv(t, y->tensor)) {
        const struct tensor *p = tensor_of(t, x->tensor), *q = tensor_of(t, y->tensor);
        int order = strcmp(roles[p->role].name, roles[q->role].name);
        if (order)
            return order;
    }
    double i = row_key(t, x), k = row_key(t, y);
    return i != k ? (i > k) - (i < k) : x->tensor - y->tensor;
}

static bool shown(const struct tui *t, int tensor)
{
    return !*t->filter || strstr(layer_name(t->session->model, tensor), t->filter);
}

static void add_row(struct tui *t, int tensor, int block)
{
    t->rows[t->row_count++] = (struct row){tensor, block};
}

/* The model's order with foldable blocks; a filter or a sort column makes it one flat list. */
void layers_update(struct tui *t)
{
    struct row here = t->row_count > 0 ? t->rows[t->cursor] : (struct row){0, -1};
    bool flat = *t->filter || t->sort != SORT_NONE;
    int last = -1;
    t->row_count = 0;
    for (int i = 0; i < (int)t->session->model->tensor_count; i++) {
        int block = tensor_of(t, i)->block;
        if (!flat && block >= 0 && block != last)
            add_row(t, -1, block);
        last = block;
        if (shown(t, i) && (flat || block < 0 || !t->folded[block]))
            add_row(t, i, block);
    }
    if (shown(t, kv_index(t->session->model)))
        add_row(t, kv_index(t->session->model), -1);
    if (t->sort != SORT_NONE)
        qsort_r(t->rows, t->row_count, sizeof *t->rows, by_key, t);
    /* The cursor stays on its row, or on the block that hid it. */
    size_t found = t->cursor < t->row_count ? t->cursor : t->row_count ? t->row_count - 1 : 0;
    for (size_t i = 0; i < t->row_count; i++)
        if (t->rows[i].block == here.block &&
            (t->rows[i].tensor == here.tensor || (t->rows[i].tensor < 0 && t->folded[here.block])))
            found = i;
    t->cursor = found;
}

int layers_current_tensor(const struct tui *t)
{
    if (t->row_count == 0)
        return -1;
    struct row r = t->rows[t->cursor];
    for (int i = 0; r.tensor < 0 && i < (int)t->session->model->tensor_count; i++)
        if (is_block_linear(t, i, r.block))
            return i;
    return r.tensor;
}

size_t layers_chosen(const struct tui *t, int *tensors)
{
    size_t n = 0;
    int tensors_only = (int)t->session->model->tensor_count, count = tensors_only + 1;
    for (int i = 0; i < count; i++)
        if (t->tagged[i])
            tensors[n++] = i;
    if (n > 0 || t->row_count == 0)
        return n;
    struct row r = t->rows[t->cursor];
    for (int i = 0; i < count; i++)
        if (r.tensor == i ||
            (r.tensor < 0 && i < tensors_only && is_block_linear(t, i, r.block)))
            tensors[n++] = i;
    return n;
}

/* ---- drawing --------------------------------------------------------------------------------- */

enum column_id { C_LAYER, C_SHAPE, C_WEIGHT, C_ACT, C_GROUP, C_SYM, C_METHOD, C_SIZE, C_TIME, C_RATE,
              C_ROOF, C_SQNR, COLUMNS_COUNT };

static const struct column columns_table[COLUMNS_COUNT] = {
    [C_LAYER] = {"LAYER", 18, .stretch = true},
    [C_SHAPE] = {"SHAPE", 12, .drop = 3},
    [C_WEIGHT] = {"WEIGHT", 8},
    [C_ACT] = {"ACT", 10, .drop = 5},
    [C_GROUP] = {"GROUP", 8, .drop = 7},
    [C_SYM] = {"SYM", 5, .drop = 6},
    [C_METHOD] = {"METHOD", 7, .drop = 1},
    [C_SIZE] = {"SIZE", 7, .drop = 9, .right = true},
    [C_TIME] = {"us/TOK", 8, .drop = 8, .right = true},
    [C_RATE] = {"GB/s", 7, .drop = 4, .right = true},
    [C_ROOF] = {"ROOF%", 6, .drop = 2, .right = true},
    [C_SQNR] = {"SQNR", 7, .right = true},
};

static const enum column_id sort_columns[SORT_COLUMNS] = {
    [SORT_NONE] = COLUMNS_COUNT, [SORT_NAME] = C_LAYER, [SORT_SIZE] = C_SIZE,
    [SORT_TIME] = C_TIME,        [SORT_SQNR] = C_SQNR,
};

enum { CELL = TABLE_CELL };

struct cells {
    char text[COLUMNS_COUNT][TABLE_CELL];
};

/* Figures that a tensor and a block share: sums over tensors. */
struct sums {
    size_t bytes;
    double seconds, w2, e2;
    bool timed, exact;
    bool own; /* stored weights that are the reference themselves */
    size_t count;
};

static void add_to_sums(const struct tui *t, int tensor, struct sums *s)
{
    const struct packed *p = t->frame->set->layer[tensor];
    s->bytes += p->matrix.bytes;
    s->timed |= t->frame->layers[tensor].seconds.valid;
    s->seconds += t->frame->layers[tensor].seconds.value;
    s->exact = p->error.exact && (s->count == 0 || s->exact);
    s->own = p->matrix.scheme.stored && !t->frame->model->reference && (s->count == 0 || s->own);
    s->w2 += p->error.sum_w2;
    s->e2 += p->error.sum_e2;
    s->count++;
}

static void figure_cells(const struct tui *t, const struct sums *s, struct cells *c)
{
    const struct frame *f = t->frame;
    char bytes[16];
    snprintf(c->text[C_SIZE], CELL, "%s", format_bytes(bytes, (double)s->bytes));
    if (s->timed) {
        double rate = (double)s->bytes / s->seconds;
        snprintf(c->text[C_TIME], CELL, s->seconds < 1e-4 ? "%.2f" : "%.0f", s->seconds * 1e6);
        snprintf(c->text[C_RATE], CELL, "%.1f", rate / 1e9);
        if (f->in_cache)
            snprintf(c->text[C_ROOF], CELL, "cache");
        else if (f->peak_read.valid)
            snprintf(c->text[C_ROOF], CELL, "%.0f%%", 100 * rate / f->peak_read.value);
    } else {
        snprintf(c->text[C_TIME], CELL, "-");
        snprintf(c->text[C_RATE], CELL, "-");
        snprintf(c->text[C_ROOF], CELL, "-");
    }
    if (s->own)
        snprintf(c->text[C_SQNR], CELL, "-");
    else if (s->exact || s->e2 == 0)
        snprintf(c->text[C_SQNR], CELL, "exact");
    else
        snprintf(c->text[C_SQNR], CELL, "%.1f", 10 * log10(s->w2 / s->e2));
}

static void scheme_cells(const struct scheme *s, const struct tensor *x, bool multiplies,
                         struct cells *c)
{
    char text[SCHEME_TEXT];
    bool integers = dtypes[s->weight].kind == DTYPE_KIND_INTEGER;
    snprintf(c->text[C_SHAPE], CELL, "%zux%zu", x->stored.rows, x->stored.cols);
    snprintf(c->text[C_WEIGHT], CELL, "%s%s", dtypes[s->weight].name, s->stored ? "*" : "");
    snprintf(c->text[C_ACT], CELL, "%s", multiplies ? scheme_print_act(s, text) : "-");
    snprintf(c->text[C_GROUP], CELL, "%s", scheme_print_granularity(s, text));
    snprintf(c->text[C_SYM], CELL, "%s", !integers ? "-" : s->asym ? "asym" : "sym");
    if (s->stored)
        snprintf(c->text[C_METHOD], CELL, "-");
    else
        methods_print_names(&s->methods, c->text[C_METHOD], CELL);
}

static void tensor_cells(const struct tui *t, int tensor, struct cells *c)
{
    const struct tensor *x = tensor_of(t, tensor);
    const struct scheme *s = &t->frame->set->layer[tensor]->matrix.scheme;
    bool flat = *t->filter || t->sort != SORT_NONE;
    struct sums sums = {0};
    bool multiplies = tensor_multiplies(t->session->model, tensor);
    const char *name = x->block >= 0 && !flat ? roles[x->role].name : x->name;
    snprintf(c->text[C_LAYER], CELL, "%s%s%s", t->tagged[tensor] ? "*" : " ",
             x->block >= 0 && !flat ? "  " : "", name);
    scheme_cells(s, x, multiplies, c);
    add_to_sums(t, tensor, &sums);
    figure_cells(t, &sums, c);
}

/* The cache: its shape is positions x values of one; its size that of all positions, and what attention
 * read a second are the positions up to the newest. */
static void kv_cells(const struct tui *t, struct cells *c)
{
    const struct frame *f = t->frame;
    const struct hyper *h = &t->session->model->hyper;
    int kv = kv_index(t->session->model);
    const struct metric *seconds = &f->layers[kv].seconds;
    struct sums sums = {.bytes = f->position * kv_bytes_per_position(f->model, f->set->kv),
                        .seconds = seconds->value, .timed = seconds->valid, .own = true};
    struct scheme s = scheme_default(f->set->kv);
    char bytes[16];
    for (int k = C_ACT; k <= C_METHOD; k++)
        snprintf(c->text[k], CELL, "-");
    snprintf(c->text[C_LAYER], CELL, "%s%s", t->tagged[kv] ? "*" : " ", KV_NAME);
    snprintf(c->text[C_SHAPE], CELL, "%zux%zu", f->capacity,
             2 * h->layers * h->kv_heads * h->head_size);
    snprintf(c->text[C_WEIGHT], CELL, "%s", dtypes[s.weight].name);
    if (dtypes[s.weight].kind != DTYPE_KIND_FLOAT)
        snprintf(c->text[C_GROUP], CELL, "head");
    if (dtypes[s.weight].kind == DTYPE_KIND_INTEGER)
        snprintf(c->text[C_SYM], CELL, "sym");
    figure_cells(t, &sums, c);
    snprintf(c->text[C_SIZE], CELL, "%s",
             format_bytes(bytes, (double)layers_kv_bytes(t, f->set->kv)));
}

/* A block row sums up its linear layers; a field on which they differ says "mixed". */
static void block_cells(const struct tui *t, int block, struct cells *c)
{
    struct sums sums = {0};
    for (int i = 0; i < (int)t->session->model->tensor_count; i++) {
        struct cells one;
        if (!is_block_linear(t, i, block))
            continue;
        scheme_cells(&t->frame->set->layer[i]->matrix.scheme, tensor_of(t, i), true, &one);
        for (int k = C_WEIGHT; k <= C_METHOD; k++)
            if (sums.count == 0)
                memcpy(c->text[k], one.text[k], sizeof one.text[k]);
            else if (strcmp(c->text[k], one.text[k]) != 0)
                strcpy(c->text[k], "mixed");
        add_to_sums(t, i, &sums);
    }
    snprintf(c->text[C_LAYER], CELL, " %s blk.%d", t->folded[block] ? "+" : "-", block);
    snprintf(c->text[C_SHAPE], CELL, "%zu layers", sums.count);
    figure_cells(t, &sums, c);
}

/* While a layer is on its way its figures make room for the progress. */
static void draw_progress(const struct tui *t, const struct row *r, int row, int col, int cols)
{
    const struct layer_frame *l = r->tensor >= 0 ? &t->frame->layers[r->tensor] : NULL;
    char scheme[SCHEME_TEXT];
    if (!l || !l->pending || cols < 12)
        return;
    scheme_print(&l->wanted, scheme);
    int bar = cols > 44 ? 12 : 0, at = col;
    if (bar && l->progress >= 0)
        draw_bar(row, at, bar, l->progress);
    at += bar ? bar + 1 : 0;
    if (l->progress >= 0)
        draw_format(row, at, cols - (at - col), STYLE_WARN, true, "to %s %.0f %%", scheme,
                    100 * (double)l->progress);
    else
        draw_format(row, at, cols - (at - col), STYLE_DIM, true, "to %s, waits", scheme);
}

static void draw_cells(const struct tui *t, const struct row *r, const int *widths,
                       struct cells *c, int row, bool selected, int cols)
{
    enum style style = selected ? STYLE_SELECTED : r->tensor < 0 ? STYLE_STRONG : STYLE_PLAIN;
    int figures = 0; /* where they begin */
    table_draw(columns_table, COLUMNS_COUNT, widths, row, cols, style, c->text);
    for (int k = 0; k < C_SIZE; k++)
        figures += widths[k];
    draw_progress(t, r, row, figures, cols - figures);
}

static void draw_heading(const struct tui *t, int row, int cols, const int *widths)
{
    struct cells titles;
    for (int k = 0; k < COLUMNS_COUNT; k++)
        snprintf(titles.text[k], CELL, "%s%s%s", k == C_LAYER ? " " : "", columns_table[k].title,
                 sort_columns[t->sort] == (enum column_id)k ? "<" : "");
    table_draw(columns_table, COLUMNS_COUNT, widths, row, cols, STYLE_TITLE, titles.text);
}

void layers_draw(struct tui *t, struct rect area)
{
    int line = area.row, widths[COLUMNS_COUNT];
    table_fit(columns_table, COLUMNS_COUNT, area.cols, widths);
    if (area.rows > 3)
        draw_heading(t, line++, area.cols, widths);
    int rows = area.row + area.rows - line;
    t->table_row = line;
    t->page = rows > 0 ? (size_t)rows : 1;
    if (t->cursor < t->top)
        t->top = t->cursor;
    if (t->cursor >= t->top + t->page)
        t->top = t->cursor - t->page + 1;
    if (t->top + t->page > t->row_count)
        t->top = t->row_count > t->page ? t->row_count - t->page : 0;
    for (size_t i = t->top; i < t->row_count && i < t->top + t->page; i++) {
        struct cells cells = {0};
        if (t->rows[i].tensor < 0)
            block_cells(t, t->rows[i].block, &cells);
        else if (is_kv(t, t->rows[i].tensor))
            kv_cells(t, &cells);
        else
            tensor_cells(t, t->rows[i].tensor, &cells);
        draw_cells(t, &t->rows[i], widths, &cells, line++, i == t->cursor, area.cols);
    }
    if (t->row_count == 0)
        draw_format(line, 0, area.cols, STYLE_DIM, false, "no layer's name contains '%s' (Esc)",
                    t->filter);
}

/* ---- keys and mouse ---------------------------------------------------------------------------- */

static void move_to(struct tui *t, long row)
{
    long last = (long)t->row_count - 1;
    t->cursor = row < 0 || last < 0 ? 0 : (size_t)(row > last ? last : row);
    tui_select(t);
}

void layers_scroll(struct tui *t, int lines)
{
    move_to(t, (long)t->cursor + lines);
}

void layers_click(struct tui *t, int row)
{
    long at = (long)t->top + row - t->table_row;
    if (row < t->table_row || at >= (long)t->row_count)
        return;
    struct row *r = &t->rows[at];
    if ((size_t)at == t->cursor && r->tensor < 0)
        t->folded[r->block] = !t->folded[r->block];
    move_to(t, at);
    layers_update(t);
}

void layers_search(struct tui *t, const char *text, bool next)
{
    size_t n = schemes_count(t->session->model);
    int from = layers_current_tensor(t);
    if (text != t->search)
        snprintf(t->search, sizeof t->search, "%.60s", text);
    for (size_t i = 0; *text && i < n; i++) {
        int tensor = (int)(((size_t)(from < 0 ? 0 : from) + i + next) % n);
        if (!strstr(layer_name(t->session->model, tensor), text) || !shown(t, tensor))
            continue;
        if (!is_kv(t, tensor) && tensor_of(t, tensor)->block >= 0)
            t->folded[tensor_of(t, tensor)->block] = false;
        layers_update(t);
        for (size_t r = 0; r < t->row_count; r++)
            if (t->rows[r].tensor == tensor)
                move_to(t, (long)r);
        return;
    }
    if (*text)
        tui_note(t, "no layer's name contains '%s'", text);
}

bool layers_filter(struct tui *t, const char *text)
{
    snprintf(t->filter, sizeof t->filter, "%.60s", text);
    layers_update(t);
    tui_select(t);
    return t->row_count > 0;
}

static void toggle_tag(struct tui *t)
{
    int tensors[ROLE_COUNT]; /* a block has a tensor a role at most */
    struct row r = t->rows[t->cursor];
    size_t n = 0;
    for (int i = 0; i < (int)t->session->model->tensor_count && n < ROLE_COUNT; i++)
        if (r.tensor == i || (r.tensor < 0 && is_block_linear(t, i, r.block)))
            tensors[n++] = i;
    if (is_kv(t, r.tensor))
        tensors[n++] = r.tensor;
    bool tag = n > 0 && !t->tagged[tensors[0]];
    for (size_t i = 0; i < n; i++)
        t->tagged[tensors[i]] = tag;
    move_to(t, (long)t->cursor + 1);
}

static void untag_all(struct tui *t)
{
    memset(t->tagged, 0, schemes_count(t->session->model) * sizeof *t->tagged);
}

static void fold(struct tui *t, bool folded)
{
    int block = t->rows[t->cursor].block;
    if (block >= 0)
        t->folded[block] = folded;
    layers_update(t);
    tui_select(t);
}

static void fold_all(struct tui *t)
{
    bool any_open = false;
    for (int b = 0; b < block_count(t); b++)
        any_open |= !t->folded[b];
    for (int b = 0; b < block_count(t); b++)
        t->folded[b] = any_open;
    layers_update(t);
    tui_select(t);
}

/* The current row's scheme for the same role in every block; a block's row does it role by role. */
static void same_everywhere(struct tui *t)
{
    const struct model *m = t->session->model;
    struct row r = t->rows[t->cursor];
    int tensors[ROLE_COUNT];
    size_t n = 0;
    for (int i = 0; i < (int)m->tensor_count && n < ROLE_COUNT; i++)
        if (m->tensors[i].block >= 0 &&
            (r.tensor == i || (r.tensor < 0 && is_block_linear(t, i, r.block))))
            tensors[n++] = i;
    if (n > 0)
        tui_send(t, &(struct command){.kind = COMMAND_SAME, .tensors = tensors, .tensor_count = n});
    else
        tui_note(t, "there is only one of this layer");
}

static void sort_by(struct tui *t, int direction)
{
    static const char *const names[SORT_COLUMNS] = {"the model's order", "kind of layer", "size",
                                                    "time", "SQNR"};
    int next = ((int)t->sort + direction + SORT_COLUMNS) % SORT_COLUMNS;
    t->sort = (enum sort_column)next;
    layers_update(t);
    tui_note(t, "sorted by %s", names[next]);
}

bool layers_act(struct tui *t, enum action a)
{
    if (t->row_count == 0)
        return false;
    long at = (long)t->cursor, page = (long)t->page;
    switch (a) {
    case ACTION_UP:
        return move_to(t, at - 1), true;
    case ACTION_DOWN:
        return move_to(t, at + 1), true;
    case ACTION_PAGE_UP:
        return move_to(t, at - page), true;
    case ACTION_PAGE_DOWN:
        return move_to(t, at + page), true;
    case ACTION_HOME:
        return move_to(t, 0), true;
    case ACTION_END:
        return move_to(t, (long)t->row_count - 1), true;
    case ACTION_TAG:
        return toggle_tag(t), true;
    case ACTION_UNTAG:
        return untag_all(t), true;
    case ACTION_FOLD:
    case ACTION_UNFOLD:
        return fold(t, a == ACTION_FOLD), true;
    case ACTION_FOLD_ALL:
        return fold_all(t), true;
    case ACTION_SAME:
        return same_everywhere(t), true;
    case ACTION_SORT_NEXT:
    case ACTION_SORT_PREVIOUS:
        return sort_by(t, a == ACTION_SORT_NEXT ? 1 : -1), true;
    case ACTION_EDIT:
        return editor_open(t), true;
    default:
        return false;
    }
}
