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

bool layers_is_linear(const struct tui *t, int tensor, int block)
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
    case SORT_ALONE:
        return INFINITY;
    default:
        return kv_index(t->session->model);
    }
}

static double row_key(const struct tui *t, const struct row *r)
{
    if (r->tensor == kv_index(t->session->model))
        return kv_key(t);
    const struct qtensor *p = t->frame->set->layer[r->tensor];
    switch (t->sort) {
    case SORT_SIZE:
        return -(double)p->matrix.bytes;
    case SORT_TIME:
        return t->frame->layers[r->tensor].seconds.valid ? -t->frame->layers[r->tensor].seconds.value
                                                         : 0;
    case SORT_SQNR:
        return weight_error_sqnr_db(&p->error);
    case SORT_ALONE:
        return t->frame->layers[r->tensor].sensitivity.valid ? -t->frame->layers[r->tensor].sensitivity.value : 0;
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
    return !*t->filter || strcasestr(layer_name(t->session->model, tensor), t->filter);
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
        if (layers_is_linear(t, i, r.block))
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
            (r.tensor < 0 && i < tensors_only && layers_is_linear(t, i, r.block)))
            tensors[n++] = i;
    return n;
}

/* ---- keys and mouse ---------------------------------------------------------------------------- */

static void move_to(struct tui *t, long row)
{
    long last = (long)t->row_count - 1;
    t->cursor = row < 0 || last < 0 ? 0 : (size_t)(row > last ? last : row);
    tui_select(t);
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

static void search(struct tui *t, const char *text, bool next)
{
    size_t n = schemes_count(t->session->model);
    int from = layers_current_tensor(t);
    if (text)
        snprintf(t->search, sizeof t->search, "%.60s", text);
    for (size_t i = 0; *t->search && i < n; i++) {
        int tensor = (int)(((size_t)(from < 0 ? 0 : from) + i + next) % n);
        if (!strcasestr(layer_name(t->session->model, tensor), t->search) || !shown(t, tensor))
            continue;
        if (!is_kv(t, tensor) && tensor_of(t, tensor)->block >= 0)
            t->folded[tensor_of(t, tensor)->block] = false;
        layers_update(t);
        for (size_t r = 0; r < t->row_count; r++)
            if (t->rows[r].tensor == tensor)
                move_to(t, (long)r);
        return;
    }
    if (*t->search)
        tui_note(t, "no layer's name contains '%s'", t->search);
}

static void apply_filter(struct tui *t, const char *text)
{
    snprintf(t->filter, sizeof t->filter, "%.60s", text);
    layers_update(t);
    tui_select(t);
}

static const char *filtered(const struct tui *t)
{
    return t->filter;
}

const struct finder layers_finder = {search, apply_filter, filtered};

static void toggle_tag(struct tui *t)
{
    int tensors[ROLE_COUNT]; /* a block has a tensor a role at most */
    struct row r = t->rows[t->cursor];
    size_t n = 0;
    for (int i = 0; i < (int)t->session->model->tensor_count && n < ROLE_COUNT; i++)
        if (r.tensor == i || (r.tensor < 0 && layers_is_linear(t, i, r.block)))
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
            (r.tensor == i || (r.tensor < 0 && layers_is_linear(t, i, r.block))))
            tensors[n++] = i;
    if (n > 0)
        tui_send(t, &(struct command){.kind = COMMAND_SAME, .tensors = tensors, .tensor_count = n});
    else
        tui_note(t, "there is only one of this layer");
}

static void sort_by(struct tui *t, int direction)
{
    static const char *const names[SORT_COLUMNS] = {"the model's order", "kind of layer", "size",
                                                    "time", "SQNR", "cost alone"};
    int next = ((int)t->sort + direction + SORT_COLUMNS) % SORT_COLUMNS;
    t->rows[t->cursor].tensor = layers_current_tensor(t); /* a sorted list has no row for a block */
    t->sort = (enum sort_column)next;
    layers_update(t);
    tui_note(t, "sorted by %s", names[next]);
}

bool layers_act(struct tui *t, enum action a)
{
    if (t->row_count == 0 && (key_moves(a) || a == ACTION_TAG || a == ACTION_SAME || a == ACTION_EDIT)) {
        tui_note(t, "no layer's name contains '%s': Esc drops the filter", t->filter);
        return true;
    }
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
