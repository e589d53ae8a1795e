/* Mixtures of experts: which experts a token uses and by what shares, against a computation of its own in double, and
 * their products, against rows times columns. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/experts.h"
#include "model/on_demand.h"
#include "model/synthetic.h"
#include "modelfile.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXPERTS = 16, TOKENS = 7, USED_MAX = 8 };

/* ---- routers --------------------------------------------------------------------------------- */

/* What is computed here of one token. */
struct expected {
    size_t chosen[USED_MAX];
    double share[USED_MAX];
};

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* The probability of x among those of n numbers that take part. */
static double probability(const float *logits, const bool *takes_part, size_t x)
{
    double sum = 0;
    for (size_t e = 0; e < EXPERTS; e++)
        sum += takes_part[e] ? exp((double)logits[e] - (double)logits[x]) : 0;
    return 1 / sum;
}

static double score(const struct mixture *m, const float *logits, size_t e)
{
    bool all[EXPERTS];
    memset(all, true, sizeof all);
    if (m->router == ROUTER_SOFTMAX)
        return probability(logits, all, e);
    return m->router == ROUTER_SIGMOID ? sigmoid((double)logits[e]) : (double)logits[e];
}

/* Order by what is compared, the larger first, of equal ones the first. */
struct place {
    double value;
    size_t expert;
};

static int by_value(const void *a, const void *b)
{
    const struct place *p = a, *q = b;
    if (p->value > q->value || p->value < q->value)
        return p->value > q->value ? -1 : 1;
    return (p->expert > q->expert) - (p->expert < q->expert);
}

/* The places of n values in order. */
static void sort_values(const double *values, size_t n, struct place *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (struct place){values[i], i};
    qsort(out, n, sizeof *out, by_value);
}

/* Takes the experts of groups that are not the best ones out. */
static void leave_best_groups(const struct mixture *m, double value[EXPERTS])
{
    double best[EXPERTS];
    struct place order[EXPERTS];
    size_t size = EXPERTS / m->groups;
    for (size_t g = 0; g < m->groups; g++) {
        sort_values(value + g * size, size, order);
        best[g] = order[0].value + (m->router == ROUTER_SIGMOID ? order[1].value : 0);
    }
    sort_values(best, m->groups, order);
    for (size_t i = m->groups_used; i < m->groups; i++)
        for (size_t k = 0; k < size; k++)
            value[order[i].expert * size + k] = -INFINITY;
}

/* The share of a chosen expert where it depends on the others. */
static double raw_share(const struct mixture *m, const float *logits, const struct place *order, size_t i)
{
    bool part[EXPERTS] = {false};
    size_t own = order[i].expert;
    double largest = (double)logits[own];
    if (m->router == ROUTER_SIGMOID_CHOSEN)
        return sigmoid(largest);
    if (m->router == ROUTER_SOFTMAX_CHOSEN)
        for (size_t k = 0; k < m->used; k++)
            part[order[k].expert] = true;
    else if (m->router == ROUTER_SPARSEMIXER)
        for (size_t k = i; k < EXPERTS; k++) {
            double x = (double)logits[order[k].expert], size = fabs(x) <= largest ? largest : fabs(x);
            part[order[k].expert] = !((largest - x) / size > (double)m->margin);
        }
    else
        return score(m, logits, own);
    return probability(logits, part, own);
}

static void expect(const struct mixture *m, const float *logits, const float *bias, struct expected *out)
{
    double value[EXPERTS], sum = 0, scale = m->share_scale > 0 ? (double)m->share_scale : 1;
    struct place order[EXPERTS];
    for (size_t e = 0; e < EXPERTS; e++)
        value[e] = score(m, logits, e) + (bias ? (double)bias[e] : 0);
    if (m->groups)
        leave_best_groups(m, value);
    sort_values(value, EXPERTS, order);
    for (size_t i = 0; i < m->used; i++) {
        out->chosen[i] = order[i].expert;
        out->share[i] = raw_share(m, logits, order, i);
        sum += out->share[i];
    }
    if (m->normalized)
        scale /= sum > (double)m->sum_floor ? sum : (double)m->sum_floor;
    for (size_t i = 0; i < m->used; i++)
        out->share[i] *= scale;
}

/* What a router needs: a context, and a model whose only tensors are a layer's experts. */
struct routing {
    struct context context;
    struct model model;
    struct tensor tensors[EXPERTS];
    struct layer layer;
    uint64_t uses[EXPERTS];
    float chosen[TOKENS * USED_MAX], share[TOKENS * USED_MAX];
};

static void route(struct routing *r, const struct mixture *m, const float *bias, float *logits, size_t n)
{
    *r = (struct routing){.layer = {.mixture = *m}, .model = {.tensors = r->tensors, .tensor_count = EXPERTS},
                         .context = {.ops = operators_current(), .model = &r->model, .expert_uses = r->uses}};
    r->context.reg[REG_CHOSEN] = r->chosen;
    r->context.reg[REG_SHARE] = r->share;
    experts_route(&r->context, &r->layer, bias, logits, n);
}

static void check_router(const struct mixture *m, bool biased, uint64_t seed)
{
    float logits[TOKENS * EXPERTS], given[TOKENS * EXPERTS], bias[EXPERTS];
    struct routing r;
    for (size_t i = 0; i < TOKENS * EXPERTS; i++)
        given[i] = logits[i] = (float)random_normal(&seed) * 2;
    for (size_t e = 0; e < EXPERTS; e++)
        bias[e] = (float)random_normal(&seed) / 4;
    route(&r, m, biased ? bias : NULL, given, TOKENS);
    assert_int_equal(r.context.routed, TOKENS);
    for (size_t t = 0; t < TOKENS; t++) {
        struct expected want;
        expect(m, logits + t * EXPERTS, biased ? bias : NULL, &want);
        for (size_t i = 0; i < m->used; i++) {
            assert_int_equal((size_t)r.chosen[t * m->used + i], want.chosen[i]);
            double difference = fabs((double)r.share[t * m->used + i] - want.share[i]);
            if (!(difference <= 1e-5 * (1 + want.share[i])))
                fail_msg("router %d: share %zu of token %zu differs by %g", (int)m->router, i, t, difference);
            r.uses[want.chosen[i]]--;
        }
    }
    for (size_t e = 0; e < EXPERTS; e++)
        assert_int_equal(r.uses[e], 0);
}

static void test_routers(void **state)
{
    static const struct mixture kinds[] = {
        {.router = ROUTER_SOFTMAX},
        {.router = ROUTER_SOFTMAX, .normalized = true, .share_scale = 2.5f},
        {.router = ROUTER_SOFTMAX, .normalized = true, .sum_floor = 0.9f},
        {.router = ROUTER_SOFTMAX, .groups = 4, .groups_used = 2},
        {.router = ROUTER_SOFTMAX_CHOSEN},
        {.router = ROUTER_SIGMOID},
        {.router = ROUTER_SIGMOID, .normalized = true, .share_scale = 1.7f},
        {.router = ROUTER_SIGMOID, .groups = 8, .groups_used = 2},
        {.router = ROUTER_SIGMOID_CHOSEN},
        {.router = ROUTER_SPARSEMIXER, .margin = 0.5f},
        {.router = ROUTER_SPARSEMIXER, .margin = 0.02f},
    };
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (uint64_t seed = 1; seed <= 20; seed++) {
            struct mixture m = kinds[i];
            m.experts = EXPERTS;
            m.used = m.router == ROUTER_SPARSEMIXER ? 2 : 1 + seed % 4;
            bool may = m.router == ROUTER_SOFTMAX || m.router == ROUTER_SIGMOID;
            check_router(&m, may && seed % 2, seed * 100 + i);
        }
}

/* ---- unusual logits -------------------------------------------------------------------------- */

static void route_once(const struct mixture *m, const float *logits, size_t chosen[USED_MAX], float share[USED_MAX])
{
    float given[EXPERTS];
    struct routing r;
    memcpy(given, logits, sizeof given);
    route(&r, m, NULL, given, 1);
    for (size_t i = 0; i < m->used; i++) {
        chosen[i] = (size_t)r.chosen[i];
        share[i] = r.share[i];
    }
}

/* Of equal experts the first ones are used. */
static void test_ties(void **state)
{
    static const float logits[EXPERTS] = {[2] = 1, [5] = 1, [9] = 1};
    static const enum router routers[] = {ROUTER_SOFTMAX, ROUTER_SOFTMAX_CHOSEN, ROUTER_SIGMOID, ROUTER_SIGMOID_CHOSEN};
    size_t chosen[USED_MAX];
    float share[USED_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof routers / sizeof *routers; i++) {
        struct mixture m = {.experts = EXPERTS, .used = 4, .router = routers[i]};
        route_once(&m, logits, chosen, share);
        static const size_t want[] = {2, 5, 9, 0};
        assert_memory_equal(chosen, want, sizeof want);
    }
}

/* A logit that is no number loses, wherever it stands; experts are distinct and exist even where none is a number. */
static void test_nan(void **state)
{
    size_t chosen[USED_MAX];
    float share[USED_MAX], logits[EXPERTS] = {NAN, 3, NAN, 5};
    struct mixture m = {.experts = EXPERTS, .used = 3, .router = ROUTER_SIGMOID};
    (void)state;
    route_once(&m, logits, chosen, share);
    assert_int_equal(chosen[0], 3);
    assert_int_equal(chosen[1], 1);
    assert_int_equal(chosen[2], 4);
    assert_true(share[0] > 0.99f && share[2] <= 0.5f);
    for (size_t e = 0; e < EXPERTS; e++)
        logits[e] = NAN;
    for (size_t groups = 0; groups <= 4; groups += 4) {
        m.groups = groups;
        m.groups_used = groups / 2;
        route_once(&m, logits, chosen, share);
        assert_true(chosen[0] != chosen[1] && chosen[1] != chosen[2] && chosen[0] != chosen[2]);
        assert_true(chosen[0] < EXPERTS && chosen[1] < EXPERTS && chosen[2] < EXPERTS);
    }
}

/* Logits whose sigmoids are all 1 in fp32 are still told from each other where the logits choose. */
static void test_saturated(void **state)
{
    static const float logits[EXPERTS] = {[4] = 30, [7] = 40};
    struct mixture m = {.experts = EXPERTS, .used = 1, .router = ROUTER_SIGMOID_CHOSEN};
    size_t chosen[USED_MAX];
    float share[USED_MAX];
    (void)state;
    route_once(&m, logits, chosen, share);
    assert_int_equal(chosen[0], 7);
    assert_true(share[0] >= 1 && share[0] <= 1);
}

/* ---- products -------------------------------------------------------------------------------- */

/* A model of a folder of tests/data/families, with a context. */
struct work {
    struct model *model;
    struct pool *pool;
    struct weights *weights;
    struct context *context;
    uint64_t seed;
};

static struct work open_work(const char *name)
{
    struct error error = {""};
    struct work w = {.seed = 11};
    char *path = path_in(SRCDIR "/tests/data/families", name);
    w.model = model_open(path, &error);
    if (!w.model)
        fail_msg("%s", error.text);
    w.pool = pool_create(2, &error);
    w.weights = weights_stored(w.model);
    w.context = context_open(w.model, w.pool, TOKENS, &error);
    assert_non_null(w.context);
    w.context->ops = operators_current();
    free(path);
    return w;
}

static void close_work(struct work *w)
{
    context_close(w->context);
    weights_unref(w->weights);
    pool_destroy(w->pool);
    model_close(w->model);
}

static void fill(struct work *w, enum reg reg, size_t n)
{
    size_t width = layer_width(w->model, &w->model->layers[0], reg);
    for (size_t i = 0; i < n * width; i++)
        w->context->reg[reg][i] = (float)random_normal(&w->seed);
}

/* Row r of a tensor times x, and the bias, if there is one. */
static double product(const struct work *w, int tensor, int bias, size_t r, const float *x)
{
    const struct qmatrix *m = &w->weights->layer[tensor]->matrix;
    float *row = make((m->cols + m->rows) * sizeof *row);
    double sum = 0;
    qmatrix_decode_row(m, r, row);
    for (size_t k = 0; k < m->cols; k++)
        sum += (double)row[k] * (double)x[k];
    if (bias >= 0) {
        qmatrix_decode_row(&w->weights->layer[bias]->matrix, 0, row);
        sum += (double)row[r];
    }
    free(row);
    return sum;
}

/* One step on n tokens: each output is a row of the chosen expert times that expert's input. */
static void check_products(struct work *w, const struct step *s, size_t n)
{
    const struct layer *l = &w->model->layers[0];
    enum role bias = role_bias(s->role);
    const struct qmatrix *first = &w->weights->layer[l->tensor[s->role]]->matrix;
    size_t used = l->mixture.used;
    bool own = s->in != REG_NORMED;
    experts_multiply(w->context, w->weights, l, s, n);
    for (size_t i = 0; i < n * used; i++) {
        size_t e = (size_t)w->context->reg[REG_CHOSEN][i];
        const float *x = w->context->reg[s->in] + (own ? i : i / used) * first->cols;
        double factor = l->mixture.shares_scale_input && !own ? (double)w->context->reg[REG_SHARE][i] : 1;
        for (size_t r = 0; r < first->rows; r++) {
            double want = factor * product(w, l->tensor[s->role] + (int)e,
                                           l->tensor[bias] < 0 ? -1 : l->tensor[bias] + (int)e, r, x);
            double found = (double)w->context->reg[s->out][i * first->rows + r];
            if (!(fabs(found - want) <= 1e-4 * (1 + fabs(want))))
                fail_msg("%s, %zu tokens: %g; expected %g", roles[s->role].name, n, found, want);
        }
    }
}

/* Expert 1 is used by no token, expert 0 by all. */
static void choose(struct work *w, size_t n)
{
    const struct mixture *m = &w->model->layers[0].mixture;
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < m->used; i++) {
            size_t other = 2 + (t + i) % (m->experts - 2);
            w->context->reg[REG_CHOSEN][t * m->used + i] = i == t % m->used ? 0 : (float)other;
            w->context->reg[REG_SHARE][t * m->used + i] = 0.25f + (float)random_uniform(&w->seed);
        }
}

static void check_combine(struct work *w, size_t n)
{
    const struct mixture *m = &w->model->layers[0].mixture;
    size_t dim = w->model->hyper.dim;
    float *out = make(n * dim * sizeof *out);
    fill(w, REG_EXPERT_OUT, n);
    experts_combine(w->context, m, w->context->reg[REG_EXPERT_OUT], n, out);
    for (size_t t = 0; t < n; t++)
        for (size_t k = 0; k < dim; k++) {
            double want = 0;
            for (size_t i = 0; i < m->used; i++)
                want += (double)w->context->reg[REG_EXPERT_OUT][(t * m->used + i) * dim + k] *
                        (m->shares_scale_input ? 1 : (double)w->context->reg[REG_SHARE][t * m->used + i]);
            if (!(fabs((double)out[t * dim + k] - want) <= 1e-5 * (1 + fabs(want))))
                fail_msg("the sum of token %zu is %g; expected %g", t, (double)out[t * dim + k], want);
        }
    free(out);
}

static void check_layer(struct work *w)
{
    const struct layer *l = &w->model->layers[0];
    size_t steps = 0;
    for (size_t n = 1; n <= TOKENS; n += TOKENS - 1)
        for (const struct step *s = l->steps; s->op != STEP_END; s++) {
            if (s->op != STEP_EXPERTS)
                continue;
            choose(w, n);
            fill(w, s->in, n);
            check_products(w, s, n);
            check_combine(w, n);
            steps++;
        }
    assert_int_equal(steps, 6);
}

/* Without biases, with them, and with shares that multiply what experts read. */
static void test_products(void **state)
{
    static const char *const names[] = {"mixtral", "gpt_oss"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct work w = open_work(names[i]);
        check_layer(&w);
        w.model->layers[0].mixture.shares_scale_input = i == 0;
        check_layer(&w);
        close_work(&w);
    }
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { MANY = 130 }; /* tokens: of some experts more than a thread takes at a time */

/* Enough experts that threads take some of their own. */
static const struct shape divisible = {
    "divisible", "a mixture for tests", 0,
    "{\"model_type\": \"qwen3_moe\", \"hidden_size\": 64, \"intermediate_size\": 64, \"num_hidden_layers\": 1,"
    "\"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"head_dim\": 32, \"vocab_size\": 64,"
    "\"max_position_embeddings\": 256, \"num_experts\": 32, \"num_experts_per_tok\": 3, \"moe_intermediate_size\": 32}"};

static void see_nothing(void *arg, const struct qtensor *w, const float *x, const float *y, size_t tokens)
{
    (void)arg, (void)w, (void)x, (void)y, (void)tokens;
}

/* The products of one step of MANY tokens by so many threads, which all take part in each where `in_turn`; the caller
 * frees. */
static float *products_by(struct model *m, const struct weights *weights, const struct step *s, int threads, bool in_turn)
{
    struct error error = {""};
    struct work w = {.model = m, .pool = pool_create(threads, &error), .seed = 5};
    w.context = context_open(m, w.pool, 256, &error);
    assert_non_null(w.context);
    w.context->ops = operators_current();
    if (in_turn)
        w.context->hook = (struct hook){HOOK_ALL, see_nothing, NULL};
    choose(&w, MANY);
    fill(&w, s->in, MANY);
    experts_multiply(w.context, weights, &m->layers[0], s, MANY);
    size_t floats = MANY * layer_width(m, &m->layers[0], s->out);
    float *out = make(floats * sizeof *out);
    memcpy(out, w.context->reg[s->out], floats * sizeof *out);
    context_close(w.context);
    pool_destroy(w.pool);
    return out;
}

/* However the work is divided, the products are the same. */
static void test_threads(void **state)
{
    struct error error = {""};
    struct model *m = synthetic_open(&divisible, &error);
    if (!m)
        fail_msg("%s", error.text);
    struct pool *pool = pool_create(1, &error);
    for (int t = 0; t < (int)m->tensor_count; t++)
        assert_true(model_acquire(m, t, pool, &error));
    struct weights *weights = weights_stored(m);
    int steps = 0;
    (void)state;
    for (const struct step *s = m->layers[0].steps; s->op != STEP_END; s++) {
        if (s->op != STEP_EXPERTS)
            continue;
        float *want = products_by(m, weights, s, 1, true);
        assert_true(want[0] != 0); /* the weights are there */
        for (int threads = 1; threads <= 8; threads++) {
            float *found = products_by(m, weights, s, threads, false);
            assert_memory_equal(found, want, MANY * layer_width(m, &m->layers[0], s->out) * sizeof *found);
            free(found);
        }
        free(want);
        steps++;
    }
    assert_int_equal(steps, 3);
    weights_unref(weights);
    for (int t = 0; t < (int)m->tensor_count; t++)
        model_release(m, t);
    pool_destroy(pool);
    model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routers), cmocka_unit_test(test_ties),     cmocka_unit_test(test_nan),
        cmocka_unit_test(test_saturated), cmocka_unit_test(test_products),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests_name("experts", tests, NULL, NULL);
}
