/* The rows of the Layers table: the layers in order, by block, filtered or sorted, and which of them are chosen. */
#include "tui.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int block_count(const struct tui *t)
{
    return (int)t->session->model->hyper.layers;
}

static const struct tensor *tensor_of(const struct tui *t, int tensor)
{
    return &t->session->model->tensors[tensor];
}

bool rows_is_linear(const struct tui *t, int tensor, int block)
{
    const struct tensor *x = tensor_of(t, tensor);
    return x->block == block && roles[x->role].linear;
}

bool rows_begin(struct tui *t, struct error *error)
{
    size_t tensors = t->session->model->tensor_count, blocks = (size_t)block_count(t);
    t->rows = calloc(tensors + 1 + blocks, sizeof *t->rows);
    t->tagged = calloc(tensors + 1, sizeof *t->tagged);
    t->folded = calloc(blocks, sizeof *t->folded);
    for (size_t b = 1; t->folded && b < blocks; b++)
        t->folded[b] = true;
    return (t->rows && t->tagged && t->folded) || error_set(error, "not enough memory");
}

void rows_end(struct tui *t)
{
    free(t->rows);
    free(t->tagged);
    free(t->folded);
}

static bool is_kv(const struct tui *t, int tensor)
{
    return tensor == kv_index(t->session->model);
}

size_t rows_kv_bytes(const struct tui *t, enum dtype kv)
{
    return t->frame->capacity * kv_bytes_per_position(t->session->model, kv);
}

size_t rows_size(const struct tui *t, int tensor)
{
    const struct file_sizes *file = frame_file(t->frame);
    return file ? file->tensor[tensor] : t->frame->set->layer[tensor]->matrix.bytes;
}

/* ---- order ----------------------------------------------------------------------------------- */

static double kv_key(const struct tui *t)
{
    const struct metric *seconds = &t->frame->layers[kv_index(t->session->model)].seconds;
    switch (t->sort) {
    case SORT_SIZE:
        return -(double)rows_kv_bytes(t, t->frame->set->kv);
    case SORT_TIME:
        return seconds->valid ? -seconds->value : 0;
    case SORT_SQNR:
    case SORT_SENSITIVITY:
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
        return -(double)rows_size(t, r->tensor);
    case SORT_TIME:
        return t->frame->layers[r->tensor].seconds.valid ? -t->frame->layers[r->tensor].seconds.value
                                                         : 0;
    case SORT_SQNR:
        return weight_error_sqnr_db(&p->error);
    case SORT_SENSITIVITY:
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

bool rows_shows(const struct tui *t, int tensor)
{
    return !*t->filter || strcasestr(layer_name(t->session->model, tensor), t->filter);
}

static void add_row(struct tui *t, int tensor, int block)
{
    t->rows[t->row_count++] = (struct row){tensor, block};
}

/* The model's order with foldable blocks; a filter or a sort column makes it one flat list. */
void rows_update(struct tui *t)
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
        if (rows_shows(t, i) && (flat || block < 0 || !t->folded[block]))
            add_row(t, i, block);
    }
    if (rows_shows(t, kv_index(t->session->model)))
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

int rows_current_tensor(const struct tui *t)
{
    if (t->row_count == 0)
        return -1;
    struct row r = t->rows[t->cursor];
    for (int i = 0; r.tensor < 0 && i < (int)t->session->model->tensor_count; i++)
        if (rows_is_linear(t, i, r.block))
            return i;
    return r.tensor;
}

size_t rows_chosen(const struct tui *t, int *tensors)
{
    size_t n = 0;
    int tensors_only = (int)t->session->model->tensor_count, count = tensors_only + 1;
    if (t->one_layer) {
        tensors[0] = rows_current_tensor(t);
        return tensors[0] >= 0;
    }
    for (int i = 0; i < count; i++)
        if (t->tagged[i])
            tensors[n++] = i;
    if (n > 0 || t->row_count == 0)
        return n;
    struct row r = t->rows[t->cursor];
    for (int i = 0; i < count; i++)
        if (r.tensor == i ||
            (r.tensor < 0 && i < tensors_only && rows_is_linear(t, i, r.block)))
            tensors[n++] = i;
    return n;
}

