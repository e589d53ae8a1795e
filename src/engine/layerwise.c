#include "layerwise.h"

#include "base/clock.h"
#include "forward.h"
#include "pin.h"
#include "sys/memory.h"

#include <stdlib.h>
#include <string.h>

struct layerwise_pass {
    const struct model *model;
    struct context *context;
    struct pin pin;        /* of the stored weights of one block */
    int pinned_block;      /* -1 before the first */
    const int32_t *tokens; /* count */
    size_t count, window;
    size_t stride;         /* floats, of the widest input */
    float *x;              /* hidden states (count, dim) */
    float *input;          /* inputs of the input group (count, stride) */
    size_t input_group;    /* reached or on the way to */
    size_t done;           /* tokens that are there */
};

/* ---- input groups ---------------------------------------------------------------------------- */

static const enum role input_group_roles[INPUT_GROUP_KINDS][4] = {
    [INPUT_GROUP_QKV] = {ROLE_ATTN_QKV, ROLE_ATTN_Q, ROLE_ATTN_K, ROLE_ATTN_V},
    [INPUT_GROUP_ATTN_OUT] = {ROLE_ATTN_OUT, ROLE_COUNT},
    [INPUT_GROUP_FFN] = {ROLE_FFN_GATE_UP, ROLE_FFN_GATE, ROLE_FFN_UP, ROLE_COUNT},
    [INPUT_GROUP_FFN_DOWN] = {ROLE_FFN_DOWN, ROLE_COUNT},
};

size_t layerwise_groups(const struct model *m)
{
    return INPUT_GROUP_KINDS * m->hyper.layers + 1;
}

size_t layerwise_group_tensors(const struct model *m, size_t input_group, int tensors[INPUT_GROUP_TENSORS])
{
    size_t n = 0;
    if (input_group == INPUT_GROUP_KINDS * m->hyper.layers) {
        tensors[0] = model_find(m, ROLE_OUTPUT, -1);
        return 1;
    }
    const enum role *role = input_group_roles[input_group % INPUT_GROUP_KINDS];
    for (size_t i = 0; i < 4 && role[i] != ROLE_COUNT; i++) {
        int tensor = model_find(m, role[i], (int)(input_group / INPUT_GROUP_KINDS));
        if (tensor >= 0)
            tensors[n++] = tensor;
    }
    return n;
}

int layerwise_group_of(const struct model *m, int tensor)
{
    int tensors[INPUT_GROUP_TENSORS];
    for (size_t input_group = 0; input_group < layerwise_groups(m); input_group++)
        for (size_t n = layerwise_group_tensors(m, input_group, tensors); n > 0; n--)
            if (tensors[n - 1] == tensor)
                return (int)input_group;
    return -1;
}

/* ---- from input group to input group --------------------------------------------------------- */

static void take(float *out, size_t width, const float *rows, size_t stride, size_t n)
{
    for (size_t t = 0; t < n; t++)
        memcpy(out + t * width, rows + t * stride, width * sizeof *out);
}

static void keep(float *rows, size_t stride, const float *from, size_t width, size_t n)
{
    for (size_t t = 0; t < n; t++)
        memcpy(rows + t * stride, from + t * width, width * sizeof *rows);
}

/* The hidden states before a block: the embeddings, or with what the block before adds. */
static void enter_block(struct layerwise_pass *w, const struct weights *set, int block, size_t first, size_t n)
{
    struct context *c = w->context;
    size_t hidden = w->model->hyper.hidden;
    if (block == 0) {
        forward_embed(c, set, w->tokens + first, n);
        return;
    }
    take(c->gate, hidden, w->input + first * w->stride, w->stride, n);
    forward_ffn_down(c, set, block - 1, n);
}

/* Tokens first .. first + n - 1 from the input of the input group before to that of w->input_group. */
static void advance(struct layerwise_pass *w, const struct weights *set, size_t first, size_t n)
{
    struct context *c = w->context;
    const struct hyper *h = &w->model->hyper;
    int block = (int)(w->input_group / INPUT_GROUP_KINDS);
    bool last = w->input_group == INPUT_GROUP_KINDS * h->layers;
    size_t heads = h->heads * h->head_size;
    float *input = w->input + first * w->stride, *x = w->x + first * h->dim;
    take(c->x, h->dim, x, h->dim, n);
    switch (w->input_group % INPUT_GROUP_KINDS) {
    case INPUT_GROUP_QKV:
        enter_block(w, set, block, first, n);
        if (last)
            forward_output_input(c, set, 0, n);
        else
            forward_heads_input(c, set, block, n);
        keep(input, w->stride, c->normed, h->dim, n);
        break;
    case INPUT_GROUP_ATTN_OUT:
        take(c->normed, h->dim, input, w->stride, n);
        forward_heads(c, set, block, n);
        keep(input, w->stride, c->attended, heads, n);
        break;
    case INPUT_GROUP_FFN:
        take(c->attended, heads, input, w->stride, n);
        forward_attn_out(c, set, block, n);
        forward_ffn_input(c, set, block, n);
        keep(input, w->stride, c->normed, h->dim, n);
        break;
    default:
        take(c->normed, h->dim, input, w->stride, n);
        forward_ffn(c, set, block, n);
        keep(input, w->stride, c->gate, h->hidden, n);
    }
    keep(x, h->dim, c->x, h->dim, n);
}

/* The stored weights of a block, and no others. */
static bool pin_block(struct layerwise_pass *w, const struct weights *set, struct error *error)
{
    const struct model *m = w->model;
    int block = (int)(w->input_group / INPUT_GROUP_KINDS);
    if (w->pinned_block != block)
        pin_trim(&w->pin, NULL);
    for (int t = 0; t < (int)m->tensor_count; t++) {
        int of = m->tensors[t].block;
        bool wanted = of < 0 || of == block || of == block - 1;
        if (wanted && pin_missing(&w->pin, set, t) && !pin_add(&w->pin, t, w->context->pool, error))
            return false;
    }
    w->pinned_block = block;
    return true;
}

bool layerwise_step(struct layerwise_pass *w, const struct weights *set, double seconds, bool *arrived,
                    struct error *error)
{
    double begin = clock_seconds();
    if (w->done == w->count) {
        w->input_group++;
        w->done = 0;
    }
    if (!pin_block(w, set, error))
        return false;
    do {
        size_t at = w->done % w->window, n = w->window - at;
        n = n < w->context->chunk ? n : w->context->chunk;
        n = n < w->count - w->done ? n : w->count - w->done;
        w->context->length = at;
        advance(w, set, w->done, n);
        w->done += n;
    } while (w->done < w->count && clock_seconds() - begin < seconds);
    *arrived = w->done == w->count;
    return true;
}

/* ---- the pass itself ------------------------------------------------------------------------- */

static size_t widest(const struct hyper *h)
{
    size_t heads = h->heads * h->head_size, wide = h->hidden > h->dim ? h->hidden : h->dim;
    return heads > wide ? heads : wide;
}

struct layerwise_pass *layerwise_open(const struct model *m, struct pool *pool, const int32_t *tokens, size_t count,
                                      size_t window, struct error *error)
{
    struct layerwise_pass *w = calloc(1, sizeof *w);
    size_t floats, bytes;
    if (!w) {
        error_set(error, "not enough memory for calibration");
        return NULL;
    }
    *w = (struct layerwise_pass){.model = m, .pinned_block = -1, .tokens = tokens, .count = count, .window = window};
    w->stride = widest(&m->hyper);
    bool ok = !__builtin_mul_overflow(count, m->hyper.dim + w->stride, &floats) &&
              !__builtin_mul_overflow(floats, sizeof(float), &bytes);
    ok = ok ? memory_check("the activations of calibration", bytes, error)
            : error_set(error, "%zu tokens are too many to calibrate with", count);
    if (ok) {
        w->x = malloc(count * m->hyper.dim * sizeof(float));
        w->input = malloc(count * w->stride * sizeof(float));
        ok = w->x && w->input ? true : error_set(error, "not enough memory for calibration");
    }
    if (ok && pin_open(&w->pin, m, error) && (w->context = context_open(m, pool, window, error)))
        return w;
    layerwise_close(w);
    return NULL;
}

void layerwise_close(struct layerwise_pass *w)
{
    if (!w)
        return;
    pin_close(&w->pin);
    context_close(w->context);
    free(w->x);
    free(w->input);
    free(w);
}

size_t layerwise_group(const struct layerwise_pass *w)
{
    return w->input_group;
}

double layerwise_fraction(const struct layerwise_pass *w)
{
    return (double)w->done / (double)w->count;
}

const float *layerwise_input(const struct layerwise_pass *w)
{
    return w->input;
}

size_t layerwise_stride(const struct layerwise_pass *w)
{
    return w->stride;
}
