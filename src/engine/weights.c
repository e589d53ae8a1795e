#include "weights.h"

#include "model/on_demand.h"

#include <math.h>
#include <stdlib.h>

double weight_error_sqnr_db(const struct weight_error *e)
{
    return e->exact || e->sum_e2 == 0 ? INFINITY : 10 * log10(e->sum_w2 / e->sum_e2);
}

struct qtensor *qtensor_ref(struct qtensor *q)
{
    atomic_fetch_add(&q->refs, 1);
    return q;
}

void qtensor_unref(struct qtensor *q)
{
    if (!q || atomic_fetch_sub(&q->refs, 1) > 1)
        return;
    qmatrix_free(&q->matrix);
    free(q->error.row_sqnr_db);
    free(q->targets.values);
    free((void *)(uintptr_t)q->scheme);
    free(q);
}

size_t qtensor_bytes(const struct qtensor *q)
{
    size_t rows = q->targets.values ? q->targets.first + q->targets.count : 0;
    return q->matrix.bytes + rows * q->matrix.cols * sizeof *q->targets.values;
}

const float *qtensor_targets(const struct qtensor *q, size_t r)
{
    const struct targets *t = &q->targets;
    if (t->values && r < t->first)
        return t->values + r * q->matrix.cols;
    if (t->values && r >= t->around && r < t->around + t->count)
        return t->values + (t->first + r - t->around) * q->matrix.cols;
    return NULL;
}

bool qtensor_on_demand(const struct model *m, const struct qtensor *q)
{
    return q->matrix.codes == m->tensors[q->tensor].stored.codes && model_on_demand(m, q->tensor);
}

static struct weights *new_set(size_t count)
{
    struct weights *set = calloc(1, sizeof *set + count * sizeof *set->layer);
    if (set) {
        atomic_init(&set->refs, 1);
        set->count = count;
    }
    return set;
}

struct weights *weights_stored(const struct model *model)
{
    struct weights *set = new_set(model->tensor_count);
    for (size_t i = 0; set && i < set->count; i++) {
        struct qtensor *q = calloc(1, sizeof *q);
        if (!q) {
            weights_unref(set);
            return NULL;
        }
        atomic_init(&q->refs, 1);
        q->tensor = (int)i;
        q->matrix = model->tensors[i].stored;
        q->matrix.owned = NULL; /* the model's */
        q->error.exact = true;
        set->layer[i] = q;
    }
    return set;
}

struct weights *weights_replace(const struct weights *old, struct qtensor *q)
{
    struct weights *set = new_set(old->count);
    for (size_t i = 0; set && i < set->count; i++)
        set->layer[i] = qtensor_ref((int)i == q->tensor ? q : old->layer[i]);
    if (set)
        set->kv = old->kv;
    return set;
}

struct weights *weights_with_kv(const struct weights *old, enum dtype kv)
{
    struct weights *set = new_set(old->count);
    for (size_t i = 0; set && i < set->count; i++)
        set->layer[i] = qtensor_ref(old->layer[i]);
    if (set)
        set->kv = kv;
    return set;
}

struct weights *weights_take_kv(struct weights *set, enum dtype kv)
{
    if (!set || set->kv == kv)
        return set;
    struct weights *next = weights_with_kv(set, kv);
    weights_unref(set);
    return next;
}

bool weights_same_layers(const struct weights *a, const struct weights *b)
{
    bool same = true;
    for (size_t i = 0; i < a->count && same; i++)
        same = a->layer[i] == b->layer[i];
    return same;
}

struct weights *weights_ref(struct weights *set)
{
    atomic_fetch_add(&set->refs, 1);
    return set;
}

void weights_unref(struct weights *set)
{
    if (!set || atomic_fetch_sub(&set->refs, 1) > 1)
        return;
    for (size_t i = 0; i < set->count; i++)
        qtensor_unref(set->layer[i]);
    free(set);
}

/* ---- totals ---------------------------------------------------------------------------------- */

struct kv_shape kv_shape_of(const struct model *m, enum dtype kv, size_t capacity)
{
    return (struct kv_shape){.dtype = kv, .layers = m->hyper.layers, .capacity = capacity, .each = m->kv_layers};
}

/* Bytes of the cache that a decode step at a position reads. */
static size_t kv_step_bytes(const struct model *m, enum dtype kv, size_t position)
{
    size_t bytes = 0;
    for (size_t layer = 0; layer < m->hyper.layers; layer++) {
        size_t window = m->layers[layer].window, from = m->layers[layer].kv_from;
        struct kv_shape one = {.dtype = kv, .layers = 1, .capacity = 1, .each = &m->kv_layers[from]};
        bytes += kv_position_bytes(&one) * (window && window < position ? window : position);
    }
    return bytes;
}

size_t kv_bytes_per_position(const struct model *m, enum dtype kv)
{
    struct kv_shape shape = kv_shape_of(m, kv, 1);
    return kv_position_bytes(&shape);
}

struct weights_counted weights_counted(const struct weights *set, size_t (*of)(const struct weight_error *))
{
    struct weights_counted c = {0};
    for (size_t i = 0; i < set->count; i++) {
        size_t n = of(&set->layer[i]->error);
        if (n > of(&set->layer[c.most]->error))
            c.most = i;
        c.count += n;
        c.layers += n > 0;
        c.weights += n > 0 ? set->layer[i]->matrix.rows * set->layer[i]->matrix.cols : 0;
    }
    return c;
}

/* Of a tensor's bytes, those that one decode step reads. */
static size_t step_bytes(const struct model *m, int tensor, size_t bytes)
{
    const struct tensor *t = &m->tensors[tensor];
    bool lookup_only = roles[t->role].lookup && !tensor_multiplies(m, tensor);
    if (lookup_only)
        return bytes / t->stored.rows;
    return t->expert < 0 ? bytes : (size_t)((double)bytes * tensor_share(m, tensor));
}

struct totals {
    size_t size, step, weights, linear_bytes, linear_weights;
};

static void add_tensor(struct totals *sum, const struct model *m, int tensor, size_t bytes)
{
    const struct tensor *t = &m->tensors[tensor];
    sum->size += bytes;
    sum->step += step_bytes(m, tensor, bytes);
    sum->weights += t->stored.rows * t->stored.cols;
    if (roles[t->role].linear && roles[t->role].in_block) {
        sum->linear_bytes += bytes;
        sum->linear_weights += t->stored.rows * t->stored.cols;
    }
}

static struct weights_totals finish(const struct totals *sum, const struct model *m, enum dtype kv,
                                   size_t position)
{
    return (struct weights_totals){
        .size = sum->size,
        .bytes_per_token = sum->step + kv_step_bytes(m, kv, position),
        .bits_per_weight = 8.0 * (double)sum->linear_bytes / (double)sum->linear_weights,
        .bits_per_weight_all = 8.0 * (double)sum->size / (double)sum->weights,
    };
}

struct weights_totals weights_totals(const struct model *m, const struct weights *set, size_t position)
{
    struct totals sum = {0};
    for (size_t i = 0; i < set->count; i++)
        add_tensor(&sum, m, (int)i, set->layer[i]->matrix.bytes);
    return finish(&sum, m, set->kv, position);
}

size_t weights_size(const struct weights *set)
{
    size_t size = 0;
    for (size_t i = 0; i < set->count; i++)
        size += set->layer[i]->matrix.bytes;
    return size;
}

size_t weights_bytes_per_token(const struct model *m, const struct weights *set, size_t position)
{
    return weights_totals(m, set, position).bytes_per_token;
}

double weights_bits_per_weight(const struct model *m, const struct weights *set)
{
    return weights_totals(m, set, 0).bits_per_weight;
}

struct weights_totals totals_of_bytes(const struct model *m, const size_t *bytes, enum dtype kv, size_t position)
{
    struct totals sum = {0};
    for (size_t i = 0; i < m->tensor_count; i++)
        add_tensor(&sum, m, (int)i, bytes[i]);
    return finish(&sum, m, kv, position);
}
