/* The forward pass: see context.h. */
#include "forward.h"

#include "kernels/dispatch.h"
#include "base/clock.h"
#include "product.h"

#include <string.h>

/* Multiply-adds that one thread does in a nanosecond: what decides whether attention is worth the
 * pool. */
static const double ATTENTION_RATE = 5;

/* ---- the position of a token ----------------------------------------------------------------- */

static struct kv_cache *cache_of(struct context *c, size_t token)
{
    return c->batched && token > 0 ? &c->others[token - 1] : &c->cache;
}

static size_t position_of(const struct context *c, size_t token)
{
    return c->batched ? c->length : c->length + token;
}

/* Tokens whose queries share a pass over one cache. */
static size_t attention_tokens(const struct context *c)
{
    return c->batched ? 1 : ATTENTION_TOKENS;
}

/* ---- the forward pass ------------------------------------------------------------------------ */

/* The tensor with a role in a block (-1: outside), or null. */
static const struct qtensor *find(const struct context *c, const struct weights *w, enum role role,
                                 int block)
{
    int tensor = model_find(c->model, role, block);
    return tensor < 0 ? NULL : w->layer[tensor];
}

/* The bias of a tensor, whose role follows, or null. */
static const struct qtensor *bias_of(const struct context *c, const struct weights *w, enum role role,
                                    int block)
{
    enum role next = role + 1;
    return next < ROLE_COUNT && roles[next].bias_of == role ? find(c, w, next, block) : NULL;
}

/* y = W x for n tokens, on the quantized codes. */
static void multiply(struct context *c, const struct qtensor *w, const float *x, size_t n, float *y)
{
    double begin = c->tensor_seconds ? clock_seconds() : 0;
    products_run(c->pool, c->activations, (const struct qmatrix *[]){&w->matrix}, 1, x, n, &y);
    if (c->tensor_seconds)
        c->tensor_seconds[w->tensor] += clock_seconds() - begin;
    if (c->hook.tensor == w->tensor || c->hook.tensor == HOOK_ALL)
        c->hook.see(c->hook.arg, w, x, y, n);
}

/* x += a row of biases, for n tokens; nothing where the model has none. */
static void add_bias(struct context *c, const struct qtensor *bias, float *x, size_t n)
{
    size_t rows = bias ? bias->matrix.cols : 0;
    if (!bias)
        return;
    isa_current()->decode_row(&bias->matrix, 0, c->norm);
    for (size_t t = 0; t < n; t++)
        c->ops->add(x + t * rows, c->norm, rows);
}

/* One product with its bias. */
static void multiply_role(struct context *c, const struct weights *w, enum role role, int block,
                          const float *x, size_t n, float *y)
{
    multiply(c, find(c, w, role, block), x, n, y);
    add_bias(c, bias_of(c, w, role, block), y, n);
}

/* The same for some tensors of a block, which together are one task where they are alike and nobody looks
 * at each. */
static void multiply_block(struct context *c, const struct weights *w, int block,
                           const enum role *role, size_t count, const float *x, size_t n,
                           float *const y[])
{
    const struct qtensor *tensor[MAX_TOGETHER];
    const struct qmatrix *m[MAX_TOGETHER];
    bool together = !c->tensor_seconds && c->hook.tensor == HOOK_NONE;
    for (size_t i = 0; i < count; i++) {
        tensor[i] = find(c, w, role[i], block);
        m[i] = &tensor[i]->matrix;
        together &= product_alike(m[0], m[i]);
    }
    if (together)
        products_run(c->pool, c->activations, m, count, x, n, y);
    for (size_t i = 0; i < count; i++) {
        if (!together)
            multiply(c, tensor[i], x, n, y[i]);
        add_bias(c, bias_of(c, w, role[i], block), y[i], n);
    }
}

/* out = norm of `count` vectors of n elements. */
static void normalize(struct context *c, const struct weights *w, enum role role, int block,
                      const float *x, size_t count, size_t n, float *out)
{
    const struct hyper *h = &c->model->hyper;
    const struct qtensor *bias = bias_of(c, w, role, block);
    isa_current()->decode_row(&find(c, w, role, block)->matrix, 0, c->norm);
    if (bias)
        isa_current()->decode_row(&bias->matrix, 0, c->norm + n);
    else if (h->norm == NORM_LAYER)
        memset(c->norm + n, 0, n * sizeof *c->norm);
    for (size_t i = 0; i < count; i++)
        if (h->norm == NORM_LAYER)
            c->ops->layernorm(out + i * n, x + i * n, c->norm, c->norm + n, n, h->norm_eps);
        else
            c->ops->rmsnorm(out + i * n, x + i * n, c->norm, n, h->norm_eps);
}

static bool has(const struct context *c, enum role role)
{
    return c->model->has & ROLE_BIT(role);
}

/* x += what attention or the feed-forward layers projected, normalized where the model does that. */
static void add_projected(struct context *c, const struct weights *w, enum role post_norm, int block,
                          size_t n)
{
    size_t dim = c->model->hyper.dim;
    if (has(c, post_norm))
        normalize(c, w, post_norm, block, c->projected, n, dim, c->projected);
    c->ops->add(c->x, c->projected, n * dim);
}

/* Splits n rows of fused outputs: columns first .. first + width - 1 of `all`. */
static void split_fused(const struct context *c, size_t all, size_t first, size_t width, size_t n,
                        float *out)
{
    for (size_t t = 0; t < n; t++)
        memcpy(out + t * width, c->fused + t * all + first, width * sizeof *out);
}

struct attend {
    struct context *c;
    size_t layer, n;
};

/* Items are (token group, head of the cache) pairs: each reads one stream of keys and one of values,
 * once for all query heads that share them. */
static void attend_heads(void *arg, size_t begin, size_t end, int thread)
{
    const struct attend *a = arg;
    struct context *c = a->c;
    const struct hyper *h = &c->model->hyper;
    size_t shared = h->heads / h->kv_heads, group = attention_tokens(c);
    for (size_t i = begin; i < end; i++) {
        size_t token = i / h->kv_heads * group, head = i % h->kv_heads;
        size_t left = a->n - token, offset = (token * h->heads + head * shared) * h->head_size;
        struct attention one = {.kv = kv_head(cache_of(c, token), a->layer, head),
                                .q = c->q + offset,
                                .out = c->attended + offset,
                                .tokens = left < group ? left : group,
                                .heads = shared,
                                .stride = h->heads * h->head_size,
                                .window = hyper_window(h, a->layer),
                                .scale = hyper_attention_scale(h, a->layer),
                                .cap = h->attention_cap,
                                .length = position_of(c, token) + 1,
                                .scratch = c->attention + (size_t)thread * c->attention_floats};
        c->ops->attention(&one);
    }
}

static void apply_rope(const struct context *c, float *x, size_t heads, size_t position)
{
    const struct hyper *h = &c->model->hyper;
    size_t n = rotary_dims(h);
    const float *cosines = c->cosines + position * (n / 2), *sines = c->sines + position * (n / 2);
    for (size_t i = 0; i < heads && h->rope != ROPE_NONE; i++)
        (h->rope == ROPE_HALVES ? c->ops->rope_halves : c->ops->rope)(x + i * h->head_size, cosines,
                                                                      sines, n);
}

/* Applies rotary embeddings to queries and new keys, and puts keys and values into the cache. */
static void append_positions(struct context *c, size_t layer, float *k, const float *v, size_t n)
{
    const struct hyper *h = &c->model->hyper;
    size_t kv = h->kv_heads * h->head_size, q = h->heads * h->head_size;
    for (size_t t = 0; t < n; t++) {
        size_t at = position_of(c, t);
        apply_rope(c, k + t * kv, h->kv_heads, at);
        apply_rope(c, c->q + t * q, h->heads, at);
        kv_put(cache_of(c, t), layer, at, k + t * kv, v + t * kv);
    }
}

static void run_attention(struct context *c, size_t layer, size_t n)
{
    const struct hyper *h = &c->model->hyper;
    double begin = c->tensor_seconds ? clock_seconds() : 0;
    struct attend a = {c, layer, n};
    size_t group = attention_tokens(c), items = (n + group - 1) / group * h->kv_heads;
    double work = (double)(n * h->heads * h->head_size * 2 * (c->length + n));
    if (pool_worthwhile(c->pool, work / ATTENTION_RATE))
        pool_run(c->pool, items, attend_heads, &a);
    else
        attend_heads(&a, 0, items, 0);
    if (c->tensor_seconds)
        c->tensor_seconds[kv_index(c->model)] += clock_seconds() - begin;
}

/* Queries, keys and values of the normalized input. */
static void project_heads(struct context *c, const struct weights *w, int block, size_t n, float *k,
                          float *v)
{
    static const enum role separate[] = {ROLE_ATTN_Q, ROLE_ATTN_K, ROLE_ATTN_V};
    const struct hyper *h = &c->model->hyper;
    size_t q = h->heads * h->head_size, kv = h->kv_heads * h->head_size, all = q + 2 * kv;
    if (has(c, ROLE_ATTN_QKV)) {
        multiply_role(c, w, ROLE_ATTN_QKV, block, c->normed, n, c->fused);
        split_fused(c, all, 0, q, n, c->q);
        split_fused(c, all, q, kv, n, k);
        split_fused(c, all, q + kv, kv, n, v);
    } else {
        multiply_block(c, w, block, separate, 3, c->normed, n, (float *[]){c->q, k, v});
    }
    if (has(c, ROLE_ATTN_Q_NORM))
        normalize(c, w, ROLE_ATTN_Q_NORM, block, c->q, n * h->heads, h->head_size, c->q);
    if (has(c, ROLE_ATTN_K_NORM))
        normalize(c, w, ROLE_ATTN_K_NORM, block, k, n * h->kv_heads, h->head_size, k);
}

void forward_heads_input(struct context *c, const struct weights *w, int block, size_t n)
{
    normalize(c, w, ROLE_ATTN_NORM, block, c->x, n, c->model->hyper.dim, c->normed);
}

void forward_heads(struct context *c, const struct weights *w, int block, size_t n)
{
    /* Keys and values pass through scratch that is free until they are in the cache. */
    float *k = c->gate, *v = c->up;
    project_heads(c, w, block, n, k, v);
    append_positions(c, (size_t)block, k, v, n);
    run_attention(c, (size_t)block, n);
}

void forward_attn_out(struct context *c, const struct weights *w, int block, size_t n)
{
    multiply_role(c, w, ROLE_ATTN_OUT, block, c->attended, n, c->projected);
    add_projected(c, w, ROLE_ATTN_POST_NORM, block, n);
}

/* c->gate becomes what goes into the last matrix. */
static void activate(struct context *c, size_t n)
{
    const struct hyper *h = &c->model->hyper;
    bool gated = has(c, ROLE_FFN_GATE) || has(c, ROLE_FFN_GATE_UP);
    size_t count = n * h->hidden;
    if (gated && h->activation == ACTIVATION_SILU) {
        c->ops->swiglu(c->gate, c->up, count);
        return;
    }
    (h->activation == ACTIVATION_GELU ? c->ops->gelu : c->ops->gelu_tanh)(c->gate, count);
    if (gated)
        c->ops->multiply(c->gate, c->up, count);
}

void forward_ffn_input(struct context *c, const struct weights *w, int block, size_t n)
{
    normalize(c, w, ROLE_FFN_NORM, block, c->x, n, c->model->hyper.dim, c->normed);
}

void forward_ffn(struct context *c, const struct weights *w, int block, size_t n)
{
    static const enum role gated[] = {ROLE_FFN_GATE, ROLE_FFN_UP};
    const struct hyper *h = &c->model->hyper;
    if (has(c, ROLE_FFN_GATE_UP)) {
        multiply(c, find(c, w, ROLE_FFN_GATE_UP, block), c->normed, n, c->fused);
        split_fused(c, 2 * h->hidden, 0, h->hidden, n, c->gate);
        split_fused(c, 2 * h->hidden, h->hidden, h->hidden, n, c->up);
    } else if (has(c, ROLE_FFN_GATE)) {
        multiply_block(c, w, block, gated, 2, c->normed, n, (float *[]){c->gate, c->up});
    } else {
        multiply_role(c, w, ROLE_FFN_UP, block, c->normed, n, c->gate);
    }
    activate(c, n);
}

void forward_ffn_down(struct context *c, const struct weights *w, int block, size_t n)
{
    multiply_role(c, w, ROLE_FFN_DOWN, block, c->gate, n, c->projected);
    add_projected(c, w, ROLE_FFN_POST_NORM, block, n);
}

static void scale(float *x, size_t n, float factor)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= factor;
}

void forward_embed(struct context *c, const struct weights *w, const int32_t *tokens, size_t n)
{
    const struct hyper *h = &c->model->hyper;
    c->ops = operators_current();
    const struct qtensor *positions = find(c, w, ROLE_POSITIONS, -1);
    for (size_t t = 0; t < n; t++) {
        float *x = c->x + t * h->dim;
        isa_current()->decode_row(&w->layer[0]->matrix, (size_t)tokens[t], x);
        if (h->embedding_scale > 0)
            scale(x, h->dim, h->embedding_scale);
        if (positions) {
            isa_current()->decode_row(&positions->matrix, position_of(c, t), c->norm);
            c->ops->add(x, c->norm, h->dim);
        }
    }
}

void forward_output_input(struct context *c, const struct weights *w, size_t skip, size_t n)
{
    size_t dim = c->model->hyper.dim;
    normalize(c, w, ROLE_OUTPUT_NORM, -1, c->x + skip * dim, n, dim, c->normed);
}

void forward_half(struct context *c, const struct weights *w, size_t half, size_t n)
{
    int block = (int)(half / 2);
    if (half % 2 == 0) {
        forward_heads_input(c, w, block, n);
        forward_heads(c, w, block, n);
        forward_attn_out(c, w, block, n);
    } else {
        forward_ffn_input(c, w, block, n);
        forward_ffn(c, w, block, n);
        forward_ffn_down(c, w, block, n);
    }
}

void forward_finish(struct context *c, const struct weights *w, size_t n, enum logits which, float *logits)
{
    const struct hyper *h = &c->model->hyper;
    c->length += c->batched ? 1 : n;
    if (which == LOGITS_NONE)
        return;
    size_t skip = which == LOGITS_LAST ? n - 1 : 0, count = n - skip;
    forward_output_input(c, w, skip, count);
    multiply(c, find(c, w, ROLE_OUTPUT, -1), c->normed, count, logits);
    if (h->logit_cap > 0)
        c->ops->soft_cap(logits, count * h->vocab, h->logit_cap);
}

void context_run(struct context *c, const struct weights *w, const int32_t *tokens, size_t n,
                 enum logits which, float *logits)
{
    forward_embed(c, w, tokens, n);
    for (size_t half = 0; half < 2 * c->model->hyper.layers; half++)
        forward_half(c, w, half, n);
    forward_finish(c, w, n, which, logits);
}

void context_step(struct context *c, const struct weights *w, const int32_t *tokens, float *logits)
{
    c->batched = c->sequences > 1;
    context_run(c, w, tokens, c->sequences, LOGITS_ALL, logits);
    c->batched = false;
}

void context_prefill(struct context *c, const struct weights *w, const int32_t *tokens, size_t n,
                     float *logits)
{
    for (size_t done = 0; done < n; done += CONTEXT_CHUNK) {
        size_t part = n - done < CONTEXT_CHUNK ? n - done : CONTEXT_CHUNK;
        bool last = done + part == n;
        context_run(c, w, tokens + done, part, last && logits ? LOGITS_LAST : LOGITS_NONE, logits);
    }
}
