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

static bool is_kv(const struct tui *t, int tensor)
{
    return tensor == kv_index(t->session->model);
}

int rows_range(const struct tui *t, const struct row *r, int *begin)
{
    const struct model *m = t->session->model;
    *begin = r->tensor;
    if (r->tensor >= 0)
        return r->tensor + 1;
    const struct layer *l = &m->layers[r->block];
    if (r->role != ROLE_NONE) {
        *begin = l->tensor[r->role];
        return *begin + (int)l->mixture.experts;
    }
    *begin = model_first_of_block(m, r->block);
    return model_first_of_block(m, r->block + 1);
}

bool rows_covers(const struct tui *t, const struct row *r, int tensor)
{
    if (r->tensor >= 0 || r->role != ROLE_NONE)
        return true;
    return role_takes_schemes(tensor_of(t, tensor)->role);
}

bool rows_is_folded(const struct tui *t, const struct row *r)
{
    return r->role == ROLE_NONE ? t->folded[r->block] : !(t->unfolded[r->block] & ROLE_BIT(r->role));
}

void rows_fold(struct tui *t, const struct row *r, bool folded)
{
    bool expert = r->tensor >= 0 && !is_kv(t, r->tensor) && tensor_of(t, r->tensor)->expert >= 0;
    enum role role = expert ? tensor_of(t, r->tensor)->role : r->tensor < 0 ? r->role : ROLE_NONE;
    if (r->block < 0)
        return;
    bool there_already = role != ROLE_NONE && folded && !(t->unfolded[r->block] & ROLE_BIT(role));
    if (role == ROLE_NONE || there_already)
        t->folded[r->block] = folded;
    else if (folded)
        t->unfolded[r->block] &= ~ROLE_BIT(role);
    else
        t->unfolded[r->block] |= ROLE_BIT(role);
}

bool rows_begin(struct tui *t, struct error *error)
{
    size_t tensors = t->session->model->tensor_count, blocks = (size_t)block_count(t);
    t->rows = calloc(tensors + 1 + blocks * (1 + ROLE_COUNT), sizeof *t->rows);
    t->tagged = calloc(tensors + 1, sizeof *t->tagged);
    t->folded = calloc(blocks, sizeof *t->folded);
    t->unfolded = calloc(blocks, sizeof *t->unfolded);
    t->rows_kept.folded = calloc(blocks, sizeof *t->folded);
    t->rows_kept.unfolded = calloc(blocks, sizeof *t->unfolded);
    bool kept = t->rows_kept.folded && t->rows_kept.unfolded;
    for (size_t b = 1; t->folded && b < blocks; b++)
        t->folded[b] = true;
    return (t->rows && t->tagged && t->folded && t->unfolded && kept) || error_set(error, "not enough memory");
}

void rows_end(struct tui *t)
{
    free(t->rows);
    free(t->tagged);
    free(t->folded);
    free(t->unfolded);
    free(t->rows_kept.folded);
    free(t->rows_kept.unfolded);
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

bool rows_ascend(const struct tui *t)
{
    bool at_first = t->sort == SORT_NAME || t->sort == SORT_SQNR; /* what matters most comes first */
    return at_first != t->sort_reversed;
}

static int by_key(const void *a, const void *b, void *arg)
{
    const struct tui *t = arg;
    int sign = t->sort_reversed ? -1 : 1;
    const struct row *x = a, *y = b;
    if (t->sort == SORT_NAME && !is_kv(t, x->tensor) && !is_kv(t, y->tensor)) {
        const struct tensor *p = tensor_of(t, x->tensor), *q = tensor_of(t, y->tensor);
        int order = strcmp(roles[p->role].name, roles[q->role].name);
        if (order)
            return sign * order;
    }
    double i = row_key(t, x), k = row_key(t, y);
    return i != k ? sign * ((i > k) - (i < k)) : x->tensor - y->tensor;
}

bool rows_shows(const struct tui *t, int tensor)
{
    return !*t->filter || strcasestr(layer_name(t->session->model, tensor), t->filter);
}

static void add_row(struct tui *t, int tensor, int block, enum role role)
{
    t->rows[t->row_count++] = (struct row){tensor, block, role};
}

/* Rows for a tensor in the model's order: before the first one of a block or of experts the row of all. */
static void add_in_order(struct tui *t, int tensor)
{
    const struct tensor *x = tensor_of(t, tensor);
    bool first = tensor == 0 || tensor_of(t, tensor - 1)->block != x->block;
    if (x->block >= 0 && first)
        add_row(t, -1, x->block, ROLE_NONE);
    if (x->block >= 0 && t->folded[x->block])
        return;
    if (x->expert == 0)
        add_row(t, -1, x->block, x->role);
    if (x->expert < 0 || t->unfolded[x->block] & ROLE_BIT(x->role))
        add_row(t, tensor, x->block, ROLE_NONE);
}

/* Whether a row hid another one when it was folded. */
static bool hides(const struct tui *t, const struct row *r, const struct row *other)
{
    if (r->tensor >= 0 || r->block != other->block || !rows_is_folded(t, r))
        return false;
    enum role role = other->tensor < 0 || is_kv(t, other->tensor) ? other->role : tensor_of(t, other->tensor)->role;
    return r->role == ROLE_NONE || r->role == role;
}

/* The model's order with foldable blocks and experts; a filter or a sort column makes it one flat list. */
void rows_update(struct tui *t)
{
    struct row here = t->row_count > 0 ? t->rows[t->cursor] : (struct row){0, -1, ROLE_NONE};
    bool flat = *t->filter || t->sort != SORT_NONE;
    t->row_count = 0;
    for (int i = 0; i < (int)t->session->model->tensor_count; i++)
        if (!flat)
            add_in_order(t, i);
        else if (rows_shows(t, i))
            add_row(t, i, tensor_of(t, i)->block, ROLE_NONE);
    if (rows_shows(t, kv_index(t->session->model)))
        add_row(t, kv_index(t->session->model), -1, ROLE_NONE);
    if (t->sort != SORT_NONE)
        qsort_r(t->rows, t->row_count, sizeof *t->rows, by_key, t);
    /* The cursor stays on its row, or on the one that hid it. */
    size_t found = t->cursor < t->row_count ? t->cursor : t->row_count ? t->row_count - 1 : 0;
    for (size_t i = 0; i < t->row_count; i++) {
        const struct row *r = &t->rows[i];
        if ((r->block == here.block && r->tensor == here.tensor && r->role == here.role) || hides(t, r, &here))
            found = i;
    }
    t->cursor = found;
}

void rows_keep(struct tui *t)
{
    struct rows_kept *k = &t->rows_kept;
    k->cursor = t->cursor;
    k->top = t->top;
    strcpy(k->filter, t->filter);
    strcpy(k->search, t->search);
    memcpy(k->folded, t->folded, (size_t)block_count(t) * sizeof *t->folded);
    memcpy(k->unfolded, t->unfolded, (size_t)block_count(t) * sizeof *t->unfolded);
}

void rows_back(struct tui *t)
{
    const struct rows_kept *k = &t->rows_kept;
    strcpy(t->filter, k->filter);
    strcpy(t->search, k->search);
    memcpy(t->folded, k->folded, (size_t)block_count(t) * sizeof *t->folded);
    memcpy(t->unfolded, k->unfolded, (size_t)block_count(t) * sizeof *t->unfolded);
    rows_update(t);
    t->cursor = k->cursor < t->row_count ? k->cursor : t->row_count ? t->row_count - 1 : 0;
    t->top = k->top;
}

int rows_current_tensor(const struct tui *t)
{
    int tensor;
    if (t->row_count == 0)
        return -1;
    const struct row *r = &t->rows[t->cursor];
    for (int end = rows_range(t, r, &tensor); tensor < end; tensor++)
        if (rows_covers(t, r, tensor))
            return tensor;
    return -1;
}

size_t rows_chosen(const struct tui *t, int *tensors)
{
    size_t n = 0;
    int tensor, count = (int)t->session->model->tensor_count + 1;
    if (t->one_layer) {
        tensors[0] = rows_current_tensor(t);
        return tensors[0] >= 0;
    }
    for (int i = 0; i < count; i++)
        if (t->tagged[i])
            tensors[n++] = i;
    if (n > 0 || t->row_count == 0)
        return n;
    const struct row *r = &t->rows[t->cursor];
    for (int end = rows_range(t, r, &tensor); tensor < end; tensor++)
        if (rows_covers(t, r, tensor))
            tensors[n++] = tensor;
    return n;
}
