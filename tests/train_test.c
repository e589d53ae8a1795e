/* Training's forward and backward passes: every operator's gradient and those of whole models of every
 * architecture, against central finite differences and against PyTorch (gradient_vectors.py); the optimizer;
 * rounding and the straight-through estimator behind it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../kernels/dispatch.h"
#include "../src/engine/context.h"
#include "../src/train/adamw.h"
#include "../src/train/fake.h"
#include "../src/train/gradients.h"
#include "../src/train/network.h"
#include "modelfile.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WINDOWS = 2, LENGTH = 32, TOKENS = WINDOWS * LENGTH };

static struct pool *pool;

/* ---- a whole model --------------------------------------------------------------------------- */

struct trial {
    struct model *model;
    struct network net;
    float **weights, **gradients;
    float *cosines, *sines, *teacher, *capped;
    int32_t tokens[TOKENS];
    struct loss loss;
};

static void read_tokens(const char *name, int32_t ids[TOKENS])
{
    char path[500];
    size_t n;
    snprintf(path, sizeof path, SRCDIR "/tests/data/arch/%s/tokens.txt", name);
    char *text = read_whole(path, &n), *at = text;
    assert_non_null(text);
    for (size_t i = 0; i < TOKENS; i++)
        ids[i] = (int32_t)strtol(at, &at, 10);
    free(text);
}

/* The model of a folder, every weight of which has a gradient; of every teacher's logit nothing is known. */
static void open_trial(struct trial *t, const char *name, struct pool *threads)
{
    struct error error = {""};
    char path[500];
    uint64_t seed = 7;
    snprintf(path, sizeof path, SRCDIR "/tests/data/arch/%s/%s.gguf", name, name);
    if (access(path, R_OK) != 0)
        snprintf(path, sizeof path, SRCDIR "/tests/data/arch/%s", name);
    t->model = model_open(path, &error);
    if (!t->model)
        fail_msg("%s", error.text);
    const struct model *m = t->model;
    size_t half = hyper_turned(&m->hyper) / 2, vocab = m->hyper.vocab;
    t->cosines = make(LENGTH * half * sizeof(float));
    t->sines = make(LENGTH * half * sizeof(float));
    rotations_make(m, LENGTH, t->cosines, t->sines);
    if (!network_open(&t->net, m, threads, WINDOWS, LENGTH, t->cosines, t->sines, &error))
        fail_msg("%s", error.text);
    t->weights = calloc(m->tensor_count, sizeof *t->weights);
    t->gradients = calloc(m->tensor_count, sizeof *t->gradients);
    for (size_t i = 0; i < m->tensor_count; i++) {
        const struct qmatrix *s = &m->tensors[i].stored;
        t->weights[i] = make(s->rows * s->cols * sizeof(float));
        t->gradients[i] = calloc(s->rows * s->cols, sizeof(float));
        for (size_t r = 0; r < s->rows; r++)
            isa_current()->decode_row(s, r, t->weights[i] + r * s->cols);
        t->net.tensors[i] = (struct network_tensor){t->weights[i], t->gradients[i], NULL};
    }
    read_tokens(name, t->tokens);
    t->teacher = make(TOKENS * vocab * sizeof(float));
    for (size_t i = 0; i < TOKENS * vocab; i++)
        t->teacher[i] = (float)random_normal(&seed);
    t->capped = m->hyper.logit_cap > 0 ? make(TOKENS * vocab * sizeof(float)) : NULL;
    t->loss = (struct loss){0.5, 1.0 / (TOKENS - WINDOWS)};
}

static void close_trial(struct trial *t)
{
    for (size_t i = 0; i < t->model->tensor_count; i++) {
        free(t->weights[i]);
        free(t->gradients[i]);
    }
    free(t->weights);
    free(t->gradients);
    free(t->cosines);
    free(t->sines);
    free(t->teacher);
    free(t->capped);
    network_close(&t->net);
    model_close(t->model);
}

/* The mean loss; with `back`, gradients are added. */
static double pass(struct trial *t, bool back)
{
    struct network *net = &t->net;
    size_t layers = t->model->hyper.layers, vocab = t->model->hyper.vocab;
    float *scratch = make(2 * vocab * sizeof(float));
    double sum = 0;
    network_embed(net, t->tokens);
    for (size_t b = 0; b < layers; b++)
        network_block(net, b);
    network_head(net);
    if (t->capped)
        memcpy(t->capped, net->logits, TOKENS * vocab * sizeof(float));
    for (size_t i = 0; i < TOKENS; i++) {
        float *logits = net->logits + i * vocab;
        if (i % LENGTH == LENGTH - 1)
            memset(logits, 0, vocab * sizeof *logits);
        else
            sum += t->loss.factor * loss_gradient(&t->loss, t->teacher + i * vocab, logits, t->tokens[i + 1],
                                                  vocab, back ? logits : NULL, scratch);
    }
    free(scratch);
    if (!back)
        return sum;
    network_head_back(net, t->capped);
    for (size_t b = layers; b-- > 0;)
        network_block_back(net, b);
    network_embed_back(net);
    return sum;
}

static size_t count_of(const struct trial *t, size_t tensor)
{
    return t->model->tensors[tensor].stored.rows * t->model->tensors[tensor].stored.cols;
}

static const char *const names[] = {"llama", "llama3", "llama-linear", "mistral", "qwen2", "qwen3",
                                    "phi3", "phi3-long", "gemma", "gemma2", "gpt2"};
enum { NAMES = sizeof names / sizeof *names };

/* The logits are the engine's. */
static void test_forward(void **state)
{
    (void)state;
    for (size_t i = 0; i < NAMES; i++) {
        struct trial t;
        struct error error = {""};
        open_trial(&t, names[i], pool);
        pass(&t, false);
        size_t vocab = t.model->hyper.vocab;
        struct weights *w = weights_stored(t.model);
        struct context *c = context_open(t.model, pool, LENGTH, &error);
        float *logits = make(LENGTH * vocab * sizeof(float));
        context_run(c, w, t.tokens, LENGTH, LOGITS_ALL, logits);
        double worst = 0, most = 0;
        for (size_t k = 0; k < (LENGTH - 1) * vocab; k++) {
            double off = fabs((double)logits[k] - (double)t.net.logits[k]);
            worst = off <= worst ? worst : off;
            most = fmax(most, fabs((double)logits[k]));
        }
        if (!(worst <= 1e-5 * most))
            fail_msg("%s: logits differ by %g of %g", names[i], worst, most);
        free(logits);
        context_close(c);
        weights_unref(w);
        close_trial(&t);
    }
}

/* Each tensor moved along its gradient and, in a random direction, across it: the loss moves as the gradient says. */
static void check_direction(struct trial *t, size_t tensor, const float *direction, double step, const char *what)
{
    size_t n = count_of(t, tensor);
    float *w = t->weights[tensor], *kept = make(n * sizeof *kept);
    double expected = 0, moved = 0;
    memcpy(kept, w, n * sizeof *kept);
    float *up = make(n * sizeof *up);
    for (size_t i = 0; i < n; i++)
        up[i] = w[i] = kept[i] + (float)step * direction[i];
    double more = pass(t, false);
    for (size_t i = 0; i < n; i++)
        w[i] = kept[i] - (float)step * direction[i];
    double less = pass(t, false);
    for (size_t i = 0; i < n; i++) { /* by what the weights really moved */
        expected += (double)t->gradients[tensor][i] * ((double)up[i] - (double)w[i]);
        moved += ((double)up[i] - (double)w[i]) * ((double)up[i] - (double)w[i]);
    }
    memcpy(w, kept, n * sizeof *kept);
    double found = more - less, size = 0;
    for (size_t i = 0; i < n; i++)
        size += (double)t->gradients[tensor][i] * (double)t->gradients[tensor][i];
    double scale = sqrt(size * moved);
    if (!(fabs(found - expected) <= 1e-3 * scale + 2e-7))
        fail_msg("%s %s: the loss moves by %.7g, the gradient says %.7g (scale %.3g)", what,
                 t->model->tensors[tensor].name, found, expected, scale);
    free(up);
    free(kept);
}

static void test_finite_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < NAMES; i++) {
        struct trial t;
        uint64_t seed = 3;
        open_trial(&t, names[i], pool);
        pass(&t, true);
        for (size_t k = 0; k < t.model->tensor_count; k++) {
            size_t n = count_of(&t, k);
            float *direction = make(n * sizeof *direction);
            double norm = sqrt(squares_sum(t.gradients[k], n)), weights = sqrt(squares_sum(t.weights[k], n));
            assert_true(norm > 0 || t.model->tensors[k].role == ROLE_ATTN_K_BIAS);
            if (norm > 1e-6) { /* keys' biases have none */
                for (size_t j = 0; j < n; j++)
                    direction[j] = (float)(t.gradients[k][j] / norm);
                check_direction(&t, k, direction, fmin(4e-3 / norm, 0.02 * weights + 1e-3), names[i]);
                for (size_t j = 0; j < n; j++)
                    direction[j] = (float)(random_normal(&seed) / sqrt((double)n) + t.gradients[k][j] / norm);
                check_direction(&t, k, direction, fmin(4e-3 / norm, 0.02 * weights + 1e-3), names[i]);
            }
            free(direction);
        }
        close_trial(&t);
    }
}

/* The same bits with any number of threads, and on every instruction set. */
static void test_threads(void **state)
{
    struct error error = {""};
    struct pool *three = pool_create(3, &error);
    (void)state;
    struct trial a, b;
    open_trial(&a, "qwen3", pool);
    open_trial(&b, "qwen3", three);
    assert_true(pass(&a, true) == pass(&b, true));
    for (size_t k = 0; k < a.model->tensor_count; k++)
        assert_memory_equal(a.gradients[k], b.gradients[k], count_of(&a, k) * sizeof(float));
    close_trial(&a);
    close_trial(&b);
    pool_destroy(three);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_finite_differences),
        cmocka_unit_test(test_threads),
    };
    struct error error = {""};
    if (!(pool = pool_create(2, &error)))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pool_destroy(pool);
    return failed;
}
