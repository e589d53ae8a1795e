#include "experts.h"

#include "multiply.h"
#include "product.h"

#include <math.h>
#include <string.h>

/* Multiply-adds of outputs that one thread does in a nanosecond: what decides whether their sum is worth the pool. */
static const double COMBINATION_RATE = 4;

/* Tokens of an expert that one thread multiplies at a time. */
enum { EXPERT_TOKENS = 48 };

/* ---- which experts --------------------------------------------------------------------------- */

/* What experts are chosen by. */
struct choice {
    const float *scores, *bias; /* bias null: none */
    size_t experts, in_group;   /* in_group: experts of a group */
    const bool *excluded;       /* of each group; null: none is */
};

static float choice_of(const struct choice *c, size_t expert)
{
    return c->scores[expert] + (c->bias ? c->bias[expert] : 0);
}

/* Whether a is chosen before b: NaN loses. */
static bool beats(float a, float b)
{
    return a > b || (isnan(b) && !isnan(a));
}

/* The best expert that is not among the first n of `chosen`; of equal ones the first. */
static size_t best_expert(const struct choice *c, const float *chosen, size_t n)
{
    size_t best = c->experts;
    for (size_t e = 0; e < c->experts; e++) {
        bool taken = c->excluded && c->excluded[e / c->in_group];
        for (size_t i = 0; i < n; i++)
            taken |= (size_t)chosen[i] == e;
        if (!taken && (best == c->experts || beats(choice_of(c, e), choice_of(c, best))))
            best = e;
    }
    return best;
}

/* What a group is chosen by: of sigmoids the sum of its two best (DeepSeek-V3, 2024, section 2.1.2), else its best. */
static float group_score(const struct choice *c, size_t group, bool two)
{
    float best = -INFINITY, second = -INFINITY;
    for (size_t e = group * c->in_group; e < (group + 1) * c->in_group; e++) {
        float score = choice_of(c, e);
        if (score > best) {
            second = best;
            best = score;
        } else if (score > second) {
            second = score;
        }
    }
    return two && c->in_group > 1 ? best + second : best;
}

/* Leaves the best groups. */
static void exclude_groups(const struct choice *c, const struct mixture *m, bool excluded[])
{
    float score[MAX_EXPERTS];
    for (size_t g = 0; g < m->groups; g++) {
        score[g] = group_score(c, g, m->router == ROUTER_SIGMOID);
        excluded[g] = true;
    }
    for (size_t i = 0; i < m->groups_used; i++) {
        size_t best = m->groups;
        for (size_t g = 0; g < m->groups; g++)
            if (excluded[g] && (best == m->groups || beats(score[g], score[best])))
                best = g;
        excluded[best] = false;
    }
}

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

/* The scores of one token from its logits, in place. */
static void score_experts(const struct operators *ops, const struct mixture *m, float *logits)
{
    if (m->router == ROUTER_SOFTMAX)
        ops->softmax(logits, m->experts);
    for (size_t e = 0; m->router == ROUTER_SIGMOID && e < m->experts; e++)
        logits[e] = sigmoid(logits[e]);
}

/* The share of expert `at` of those chosen by SparseMixer (Liu et al. 2023): its probability among those not chosen
 * before it whose logits are nearly as large. */
static float nearby_probability(const struct mixture *m, const float *logits, const float *chosen, size_t at)
{
    float sum = 0, largest = logits[(size_t)chosen[at]];
    for (size_t e = 0; e < m->experts; e++) {
        bool before = false;
        for (size_t i = 0; i < at; i++)
            before |= (size_t)chosen[i] == e;
        if (!before && !((largest - logits[e]) / fmaxf(fabsf(logits[e]), largest) > m->margin))
            sum += expf(logits[e] - largest);
    }
    return 1 / sum;
}

static void finish_shares(const struct operators *ops, const struct mixture *m, float *share)
{
    float sum = 0, factor = m->share_scale > 0 ? m->share_scale : 1;
    if (m->router == ROUTER_SOFTMAX_CHOSEN)
        ops->softmax(share, m->used);
    for (size_t i = 0; i < m->used; i++) {
        share[i] = m->router == ROUTER_SIGMOID_CHOSEN ? sigmoid(share[i]) : share[i];
        sum += share[i];
    }
    if (m->normalized && sum > 0)
        factor /= fmaxf(sum, m->sum_floor);
    for (size_t i = 0; i < m->used; i++)
        share[i] *= factor;
}

static void route_token(const struct context *c, const struct mixture *m, const float *bias, float *logits,
                        float *chosen, float *share)
{
    bool excluded[MAX_EXPERTS];
    struct choice choice = {logits, bias, m->experts, m->groups ? m->experts / m->groups : m->experts, NULL};
    score_experts(c->ops, m, logits);
    if (m->groups) {
        exclude_groups(&choice, m, excluded);
        choice.excluded = excluded;
    }
    for (size_t i = 0; i < m->used; i++) {
        size_t best = best_expert(&choice, chosen, i);
        chosen[i] = (float)best;
        share[i] = m->router == ROUTER_SPARSEMIXER ? nearby_probability(m, logits, chosen, i) : logits[best];
    }
    finish_shares(c->ops, m, share);
}

static void count_uses(struct context *c, const struct layer *l, size_t n)
{
    size_t first = (size_t)l->tensor[ROLE_DOWN_EXPERTS], block = (size_t)c->model->tensors[first].block;
    for (size_t i = 0; i < n * l->mixture.used; i++)
        c->expert_uses[first + (size_t)c->reg[REG_CHOSEN][i]]++;
    for (size_t b = 0; b < block; b++)
        if (c->model->layers[b].mixture.experts > 0)
            return;
    c->routed += n;
}

void experts_route(struct context *c, const struct layer *l, const float *bias, float *logits, size_t n)
{
    const struct mixture *m = &l->mixture;
    for (size_t t = 0; t < n; t++)
        route_token(c, m, bias, logits + t * m->experts, c->reg[REG_CHOSEN] + t * m->used,
                    c->reg[REG_SHARE] + t * m->used);
    count_uses(c, l, n);
}

/* ---- their products -------------------------------------------------------------------------- */

struct expert_run {
    struct context *c;
    const struct weights *w;
    const struct mixture *m;
    int first, first_bias;   /* tensors of expert 0; first_bias -1: none */
    const float *in;
    size_t in_stride;        /* floats from a token's row to the next */
    size_t in_expert;        /* from one of its experts' to the next; 0: one row for all */
    float *out;              /* tokens x experts used x rows */
    size_t rows, cols;
    uint32_t *ends;          /* where the pairs of each end in c->order */
};

/* Experts that each thread has at least where it takes some of its own. */
enum { EXPERTS_PER_THREAD = 4 };

/* For the tokens of one expert: their rows and its outputs (tokens, the widest of both), its bias, and scratch of
 * products_run. */
struct expert_scratch {
    float *in, *out, *bias;
    void *activations;
};

/* The widest row that an expert takes or gives; 0: there are none. */
static size_t widest_row(const struct model *m)
{
    size_t widest = 0;
    for (size_t b = 0; b < m->hyper.layers; b++) {
        size_t hidden = m->layers[b].mixture.hidden, row = hidden > m->hyper.dim ? hidden : m->hyper.dim;
        if (m->layers[b].mixture.experts > 0 && row > widest)
            widest = row;
    }
    return (widest + 15) / 16 * 16; /* so that every row begins on a cache line */
}

static size_t scratch_floats(const struct model *m, size_t tokens)
{
    size_t row = widest_row(m);
    return row ? (2 * tokens + 1) * row + (products_scratch(row, tokens) / sizeof(float) + 15) / 16 * 16 : 0;
}

static struct expert_scratch scratch_of(const struct model *m, float *memory, size_t tokens)
{
    size_t row = widest_row(m);
    return (struct expert_scratch){memory, memory + tokens * row, memory + 2 * tokens * row,
                                   memory + (2 * tokens + 1) * row};
}

size_t experts_floats(const struct model *m, int threads, size_t tokens)
{
    size_t together = scratch_floats(m, tokens), apart = (size_t)threads * scratch_floats(m, EXPERT_TOKENS);
    return together > apart ? together : apart;
}

static const struct qtensor *bias_of(const struct expert_run *r, size_t expert)
{
    return r->first_bias < 0 ? NULL : r->w->layer[r->first_bias + (int)expert];
}

/* Where shares multiply what experts read: as these products have no bias, they multiply the products. */
static void scale_input(const struct expert_run *r, size_t n)
{
    for (size_t i = 0; i < n * r->m->used; i++)
        for (size_t k = 0; k < r->rows; k++)
            r->out[i * r->rows + k] *= r->c->reg[REG_SHARE][i];
}

/* One token whose experts have one input: as many at once as there is room for. */
static void multiply_one(const struct expert_run *r)
{
    const struct qtensor *tensor[MAX_TOGETHER];
    float *y[MAX_TOGETHER];
    for (size_t i = 0, n; i < r->m->used; i += n) {
        n = r->m->used - i < MAX_TOGETHER ? r->m->used - i : MAX_TOGETHER;
        for (size_t k = 0; k < n; k++) {
            tensor[k] = r->w->layer[r->first + (int)r->c->reg[REG_CHOSEN][i + k]];
            y[k] = r->out + (i + k) * r->rows;
        }
        context_multiply_together(r->c, tensor, n, r->in, 1, y);
        for (size_t k = 0; k < n; k++)
            context_add_bias(r->c, bias_of(r, (size_t)r->c->reg[REG_CHOSEN][i + k]), r->c->norm, y[k], 1);
    }
}

/* Sorts the pairs of token and expert by expert: c->order. */
static void sort_pairs(struct expert_run *r, size_t n)
{
    uint32_t *ends = r->ends;
    const float *chosen = r->c->reg[REG_CHOSEN];
    uint32_t sum = 0;
    memset(ends, 0, r->m->experts * sizeof *ends);
    for (size_t i = 0; i < n * r->m->used; i++)
        ends[(size_t)chosen[i]]++;
    for (size_t e = 0; e < r->m->experts; e++) {
        uint32_t count = ends[e];
        ends[e] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n * r->m->used; i++)
        r->c->order[ends[(size_t)chosen[i]]++] = (uint32_t)i;
}

/* Gathers the rows that some pairs of one expert read, and scatters those that they write. */
static void gather_rows(const struct expert_run *r, const uint32_t *pair, size_t pairs, float *rows)
{
    for (size_t i = 0; i < pairs; i++)
        memcpy(rows + i * r->cols,
               r->in + pair[i] / r->m->used * r->in_stride + pair[i] % r->m->used * r->in_expert,
               r->cols * sizeof(float));
}

static void scatter_rows(const struct expert_run *r, const uint32_t *pair, size_t pairs, const float *rows)
{
    for (size_t i = 0; i < pairs; i++)
        memcpy(r->out + pair[i] * r->rows, rows + i * r->rows, r->rows * sizeof(float));
}

/* The product of one expert with the rows of its pairs from `at` on: by all threads, as others see it, or by the thread
 * whose scratch it is. */
static void multiply_expert(const struct expert_run *r, size_t expert, size_t at, size_t pairs,
                            const struct expert_scratch *s, bool by_all)
{
    struct context *c = r->c;
    const struct qtensor *w = r->w->layer[r->first + (int)expert];
    float *out = s->out;
    gather_rows(r, c->order + at, pairs, s->in);
    if (by_all)
        context_multiply(c, w, s->in, pairs, out);
    else
        products_run(c->pool, s->activations, (const struct qmatrix *[]){&w->matrix}, 1, s->in, pairs, &out);
    context_add_bias(c, bias_of(r, expert), s->bias, out, pairs);
    scatter_rows(r, c->order + at, pairs, out);
}

/* One expert after the other. */
static void multiply_in_turn(const struct expert_run *r)
{
    const struct context *c = r->c;
    struct expert_scratch s = scratch_of(c->model, c->experts, c->chunk);
    for (size_t e = 0, at = 0; e < r->m->experts; at = r->ends[e++])
        if (r->ends[e] > at)
            multiply_expert(r, e, at, r->ends[e] - at, &s, true);
}

/* Products of pairs begin .. end - 1 by one thread: of each expert EXPERT_TOKENS at a time, all of those that begin
 * there. */
static void multiply_pairs(void *arg, size_t begin, size_t end, int thread)
{
    const struct expert_run *r = arg;
    const struct context *c = r->c;
    size_t floats = scratch_floats(c->model, EXPERT_TOKENS);
    struct expert_scratch s = scratch_of(c->model, c->experts + (size_t)thread * floats, EXPERT_TOKENS);
    for (size_t e = 0, first = 0; e < r->m->experts && first < end; first = r->ends[e++])
        for (size_t at = first, pairs; at < r->ends[e]; at += pairs) {
            pairs = r->ends[e] - at < EXPERT_TOKENS ? r->ends[e] - at : EXPERT_TOKENS;
            if (at >= begin && at < end)
                multiply_expert(r, e, at, pairs, &s, false);
        }
}

/* Whether threads that take experts of their own all have work: without a meeting between two experts. */
static bool is_divisible(const struct expert_run *r)
{
    const struct context *c = r->c;
    size_t there = 0;
    for (size_t e = 0; e < r->m->experts; e++)
        there += r->ends[e] > (e > 0 ? r->ends[e - 1] : 0);
    bool seen = c->tensor_seconds || c->hook.tensor != HOOK_NONE;
    return !seen && there >= EXPERTS_PER_THREAD * (size_t)pool_threads(c->pool);
}

static void multiply_sorted(struct expert_run *r, size_t n)
{
    uint32_t ends[MAX_EXPERTS];
    r->ends = ends;
    sort_pairs(r, n);
    if (is_divisible(r))
        pool_run(r->c->pool, n * r->m->used, multiply_pairs, r);
    else
        multiply_in_turn(r);
}

void experts_multiply(struct context *c, const struct weights *w, const struct layer *l, const struct step *s, size_t n)
{
    enum role bias = role_bias(s->role);
    const struct qmatrix *matrix = &w->layer[l->tensor[s->role]]->matrix;
    bool own = reg_is_per_expert(s->in);
    struct expert_run r = {c, w, &l->mixture, l->tensor[s->role], bias == ROLE_NONE ? -1 : l->tensor[bias],
                           c->reg[s->in], own ? l->mixture.used * matrix->cols : matrix->cols, own ? matrix->cols : 0,
                           c->reg[s->out], matrix->rows, matrix->cols, NULL};
    if (n == 1 && !own)
        multiply_one(&r);
    else
        multiply_sorted(&r, n);
    if (l->mixture.shares_scale_input && !own)
        scale_input(&r, n);
}

/* ---- what they give -------------------------------------------------------------------------- */

struct combination {
    const struct context *c;
    const struct mixture *m;
    const float *x;
    float *out;
};

static void combine_tokens(void *arg, size_t begin, size_t end, int thread)
{
    const struct combination *k = arg;
    const struct mixture *m = k->m;
    size_t dim = k->c->model->hyper.dim;
    (void)thread;
    memset(k->out + begin * dim, 0, (end - begin) * dim * sizeof *k->out);
    for (size_t i = begin * m->used; i < end * m->used; i++) {
        const float *from = k->x + i * dim;
        float share = m->shares_scale_input ? 1 : k->c->reg[REG_SHARE][i], *to = k->out + i / m->used * dim;
        for (size_t j = 0; j < dim; j++)
            to[j] += share * from[j];
    }
}

void experts_combine(struct context *c, const struct mixture *m, const float *x, size_t n, float *out)
{
    struct combination k = {c, m, x, out};
    if (pool_worthwhile(c->pool, (double)(n * m->used * c->model->hyper.dim) / COMBINATION_RATE))
        pool_run(c->pool, n, combine_tokens, &k);
    else
        combine_tokens(&k, 0, n, 0);
}
