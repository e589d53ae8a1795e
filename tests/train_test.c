/* Training's forward and backward passes: every operator's gradient and those of whole models of every
 * architecture, against central finite differences and against PyTorch (gradient_vectors.py); the optimizer;
 * rounding and the straight-through estimator behind it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/dispatch.h"
#include "engine/activate.h"
#include "engine/context.h"
#include "train/adamw.h"
#include "train/fake.h"
#include "train/gradients.h"
#include "train/network.h"
#include "gradient_vectors.h"
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
    struct rope_tables rope[ROTARY_TABLES];
    float *teacher, *capped;
    int32_t tokens[TOKENS];
    struct loss loss;
};

/* Those of a folder, again and again. */
static void read_tokens(const char *folder, int32_t ids[TOKENS])
{
    size_t size, n = 0;
    char *path = path_in(folder, "tokens.txt"), *text = read_whole(path, &size), *end;
    assert_non_null(text);
    for (char *at = text; n < TOKENS; at = end) {
        ids[n] = (int32_t)strtol(at, &end, 10);
        if (end == at)
            break;
        n++;
    }
    for (size_t i = n; i < TOKENS; i++)
        ids[i] = ids[i % n];
    free(text);
    free(path);
}

/* The model of a folder, every weight of which has a gradient; from its GGUF file where that is there and `gguf`. */
static void open_trial_of(struct trial *t, const char *name, bool gguf, struct pool *threads)
{
    struct error error = {""};
    char folder[400], path[500];
    snprintf(folder, sizeof folder, SRCDIR "/tests/data/arch/%s", name);
    if (access(folder, R_OK) != 0)
        snprintf(folder, sizeof folder, SRCDIR "/tests/data/families/%s", name);
    snprintf(path, sizeof path, "%s/%s.gguf", folder, name);
    if (!gguf || access(path, R_OK) != 0)
        snprintf(path, sizeof path, "%s", folder);
    t->model = model_open(path, &error);
    if (!t->model)
        fail_msg("%s", error.text);
    const struct model *m = t->model;
    size_t vocab = m->hyper.vocab;
    assert_true(rope_tables_open(t->rope, m, LENGTH));
    if (!network_open(&t->net, m, threads, WINDOWS, LENGTH, t->rope, &error))
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
    read_tokens(folder, t->tokens);
    t->teacher = make(TOKENS * vocab * sizeof(float));
    for (size_t i = 0; i < TOKENS * vocab; i++)
        t->teacher[i] = (float)(2 * cos(0.37 * (double)i));
    t->capped = m->hyper.logit_cap > 0 ? make(TOKENS * vocab * sizeof(float)) : NULL;
    t->loss = (struct loss){0.5, 1.0 / (TOKENS - WINDOWS)};
}

static void open_trial(struct trial *t, const char *name, struct pool *threads)
{
    open_trial_of(t, name, true, threads);
}

static void close_trial(struct trial *t)
{
    for (size_t i = 0; i < t->model->tensor_count; i++) {
        free(t->weights[i]);
        free(t->gradients[i]);
    }
    free(t->weights);
    free(t->gradients);
    rope_tables_close(t->rope);
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
                                    "phi3", "phi3-long", "gemma", "gemma2", "gpt2", "arcee", "glm4", "granite",
                                    "helium", "llama_mlpbias", "llama_yarn", "ministral3", "nemotron", "smollm3"};
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
            worst = off <= worst || isnan(worst) ? worst : off;
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
                check_direction(&t, k, direction, fmin(2e-3 / norm, 0.02 * weights + 1e-3), names[i]);
                for (size_t j = 0; j < n; j++)
                    direction[j] = (float)(random_normal(&seed) / sqrt((double)n) + t.gradients[k][j] / norm);
                check_direction(&t, k, direction, fmin(2e-3 / norm, 0.02 * weights + 1e-3), names[i]);
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

/* Of a tensor's gradient the norm and three products, against PyTorch's in float64. */
static void test_torch(void **state)
{
    enum { LINES = sizeof torch_gradients / sizeof *torch_gradients };
    struct trial t;
    (void)state;
    for (size_t i = 0; i < LINES;) {
        const char *name = torch_gradients[i].model;
        size_t seen = 0;
        open_trial_of(&t, name, false, pool);
        double loss = pass(&t, true);
        assert_string_equal(torch_gradients[i].tensor, "loss");
        if (!(fabs(loss - torch_gradients[i].norm) <= 1e-5 * loss))
            fail_msg("%s: a loss of %.9g; PyTorch's is %.9g", name, loss, torch_gradients[i].norm);
        for (i++; i < LINES && strcmp(torch_gradients[i].model, name) == 0; i++, seen++) {
            int tensor = model_find_name(t.model, torch_gradients[i].tensor);
            if (tensor < 0)
                fail_msg("%s: no %s", name, torch_gradients[i].tensor);
            size_t n = count_of(&t, (size_t)tensor);
            const float *g = t.gradients[tensor];
            double norm = sqrt(squares_sum(g, n)), bound = 1e-4 * torch_gradients[i].norm + 1e-7;
            if (!(fabs(norm - torch_gradients[i].norm) <= bound))
                fail_msg("%s %s: norm %.9g, PyTorch's %.9g", name, torch_gradients[i].tensor, norm,
                         torch_gradients[i].norm);
            for (size_t k = 0; k < 3; k++) {
                double product = 0;
                for (size_t j = 0; j < n; j++)
                    product += (double)g[j] * cos(0.7 * (double)(k + 1) * (double)j + (double)k);
                if (!(fabs(product - torch_gradients[i].products[k]) <= bound))
                    fail_msg("%s %s: product %zu is %.9g, PyTorch's %.9g", name, torch_gradients[i].tensor, k,
                             product, torch_gradients[i].products[k]);
            }
        }
        assert_true(seen >= t.model->tensor_count);
        close_trial(&t);
    }
}

/* ---- operators ------------------------------------------------------------------------------- */

enum { ELEMENTS = 37 };

/* An operator of one vector: y = f(x); d, the gradient by y, becomes that by x. */
struct operator_case {
    const char *name;
    void (*forward)(const float *x, float *y);
    void (*backward)(const float *x, const float *y, float *d);
};

static float norm_weight[ELEMENTS], norm_bias[ELEMENTS], turn_cosines[ELEMENTS], turn_sines[ELEMENTS];

static void copy(const float *x, float *y)
{
    memcpy(y, x, ELEMENTS * sizeof *y);
}

static void rms(const float *x, float *y)
{
    operators_current()->rmsnorm(y, x, norm_weight, ELEMENTS, 1e-5f);
}

static void rms_back(const float *x, const float *y, float *d)
{
    float dx[ELEMENTS] = {0};
    (void)y;
    rmsnorm_gradient(x, norm_weight, d, ELEMENTS, 1e-5f, dx, NULL);
    copy(dx, d);
}

static void layer(const float *x, float *y)
{
    operators_current()->layernorm(y, x, norm_weight, norm_bias, ELEMENTS, 1e-5f);
}

static void layer_back(const float *x, const float *y, float *d)
{
    float dx[ELEMENTS] = {0};
    (void)y;
    layernorm_gradient(x, norm_weight, d, ELEMENTS, 1e-5f, dx, NULL, NULL);
    copy(dx, d);
}

static void soft(const float *x, float *y)
{
    copy(x, y);
    operators_current()->softmax(y, ELEMENTS);
}

static void soft_back(const float *x, const float *y, float *d)
{
    (void)x;
    softmax_gradient(y, d, ELEMENTS);
}

static void turn(const float *x, float *y)
{
    copy(x, y);
    operators_current()->rope(y, turn_cosines, turn_sines, ELEMENTS - 1);
}

static void turn_back(const float *x, const float *y, float *d)
{
    (void)x, (void)y;
    rope_gradient(d, turn_cosines, turn_sines, ELEMENTS - 1);
}

static void turn_halves(const float *x, float *y)
{
    copy(x, y);
    operators_current()->rope_halves(y, turn_cosines, turn_sines, ELEMENTS - 1);
}

static void turn_halves_back(const float *x, const float *y, float *d)
{
    (void)x, (void)y;
    rope_halves_gradient(d, turn_cosines, turn_sines, ELEMENTS - 1);
}

/* The gate is x, up the bias; and the other way round. */
static void gate(const float *x, float *y)
{
    copy(x, y);
    operators_current()->swiglu(y, norm_bias, ELEMENTS);
}

static void gate_back(const float *x, const float *y, float *d)
{
    float dup[ELEMENTS], dy[ELEMENTS];
    (void)y;
    copy(d, dy);
    swiglu_gradient(x, norm_bias, dy, ELEMENTS, d, dup);
}

static void up(const float *x, float *y)
{
    copy(norm_bias, y);
    operators_current()->swiglu(y, x, ELEMENTS);
}

static void up_back(const float *x, const float *y, float *d)
{
    float dgate[ELEMENTS], dy[ELEMENTS];
    (void)y;
    copy(d, dy);
    swiglu_gradient(norm_bias, x, dy, ELEMENTS, dgate, d);
}

static void gelu(const float *x, float *y)
{
    copy(x, y);
    operators_current()->gelu(y, ELEMENTS);
}

static void gelu_back(const float *x, const float *y, float *d)
{
    (void)y;
    gelu_gradient(x, d, ELEMENTS);
}

static void silu(const float *x, float *y)
{
    copy(x, y);
    activate(ACTIVATION_SILU, y, ELEMENTS);
}

static void silu_back(const float *x, const float *y, float *d)
{
    (void)y;
    silu_gradient(x, d, ELEMENTS);
}

static void relu_squared(const float *x, float *y)
{
    copy(x, y);
    activate(ACTIVATION_RELU_SQUARED, y, ELEMENTS);
}

static void relu_squared_back(const float *x, const float *y, float *d)
{
    (void)y;
    relu_squared_gradient(x, d, ELEMENTS);
}

static void gelu_tanh(const float *x, float *y)
{
    copy(x, y);
    operators_current()->gelu_tanh(y, ELEMENTS);
}

static void gelu_tanh_back(const float *x, const float *y, float *d)
{
    (void)y;
    gelu_tanh_gradient(x, d, ELEMENTS);
}

static void cap(const float *x, float *y)
{
    copy(x, y);
    operators_current()->soft_cap(y, ELEMENTS, 1.5f);
}

static void cap_back(const float *x, const float *y, float *d)
{
    (void)x;
    soft_cap_gradient(y, d, ELEMENTS, 1.5f);
}

static void test_operators(void **state)
{
    static const struct operator_case cases[] = {
        {"rmsnorm", rms, rms_back},       {"layernorm", layer, layer_back},
        {"softmax", soft, soft_back},     {"rope", turn, turn_back},
        {"rope_halves", turn_halves, turn_halves_back},
        {"swiglu by the gate", gate, gate_back}, {"swiglu by up", up, up_back},
        {"gelu", gelu, gelu_back},        {"gelu_tanh", gelu_tanh, gelu_tanh_back},
        {"silu", silu, silu_back},        {"relu_squared", relu_squared, relu_squared_back},
        {"soft_cap", cap, cap_back},
    };
    uint64_t seed = 21;
    (void)state;
    for (size_t i = 0; i < ELEMENTS; i++) {
        double angle = random_uniform(&seed) * 6;
        norm_weight[i] = (float)(1 + 0.3 * random_normal(&seed));
        norm_bias[i] = (float)random_normal(&seed);
        turn_cosines[i] = (float)cos(angle);
        turn_sines[i] = (float)sin(angle);
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float x[ELEMENTS], moved[ELEMENTS], y[ELEMENTS], less[ELEMENTS], dy[ELEMENTS], d[ELEMENTS];
        double worst = 0, most = 0;
        for (size_t k = 0; k < ELEMENTS; k++) {
            x[k] = (float)random_normal(&seed);
            dy[k] = (float)random_normal(&seed);
        }
        cases[i].forward(x, y);
        copy(dy, d);
        cases[i].backward(x, y, d);
        for (size_t k = 0; k < ELEMENTS; k++) {
            const float step = 1.0f / 128;
            double slope = 0;
            copy(x, moved);
            moved[k] = x[k] + step;
            double apart = (double)moved[k];
            cases[i].forward(moved, y);
            moved[k] = x[k] - step;
            apart -= (double)moved[k];
            cases[i].forward(moved, less);
            for (size_t j = 0; j < ELEMENTS; j++)
                slope += (double)dy[j] * ((double)y[j] - (double)less[j]) / apart;
            double off = fabs(slope - (double)d[k]);
            worst = off <= worst || isnan(worst) ? worst : off;
            most = fmax(most, fabs(slope));
        }
        if (!(worst <= 1e-3 * most))
            fail_msg("%s: a gradient is off by %.3g of %.3g", cases[i].name, worst, most);
    }
}

/* Products of any shape, edges of tiles included. */
static void test_products(void **state)
{
    static const size_t shapes[][3] = {{1, 1, 1}, {16, 16, 16}, {5, 17, 33}, {40, 3, 70}, {70, 130, 300}};
    struct error error = {""};
    struct dense d = {.pool = pool};
    uint64_t seed = 31;
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        size_t n = shapes[s][0], rows = shapes[s][1], cols = shapes[s][2];
        float *x = make(n * cols * 4), *w = make(rows * cols * 4), *y = make(n * rows * 4);
        float *dx = calloc(n * cols, 4), *dw = calloc(rows * cols, 4);
        for (size_t i = 0; i < n * cols; i++)
            x[i] = (float)random_normal(&seed);
        for (size_t i = 0; i < rows * cols; i++)
            w[i] = (float)random_normal(&seed);
        assert_true(dense_reserve(&d, n, rows, cols, &error));
        dense_forward(&d, x, w, n, rows, cols, y);
        dense_input_gradient(&d, y, w, n, rows, cols, dx);
        dense_weight_gradient(&d, y, x, n, rows, cols, dw);
        dense_weight_gradient(&d, y, x, n, rows, cols, dw); /* is added */
        for (size_t t = 0; t < n; t++)
            for (size_t r = 0; r < rows; r++) {
                double sum = 0;
                for (size_t c = 0; c < cols; c++)
                    sum += (double)x[t * cols + c] * (double)w[r * cols + c];
                assert_true(fabs(sum - (double)y[t * rows + r]) <= 1e-5 * (double)cols);
            }
        for (size_t c = 0; c < cols; c++) {
            double by_x = 0, by_w = 0;
            for (size_t r = 0; r < rows; r++)
                by_x += (double)y[(n - 1) * rows + r] * (double)w[r * cols + c];
            for (size_t t = 0; t < n; t++)
                by_w += 2 * (double)y[t * rows + rows - 1] * (double)x[t * cols + c];
            assert_true(fabs(by_x - (double)dx[(n - 1) * cols + c]) <= 1e-4 * (double)(rows + cols));
            assert_true(fabs(by_w - (double)dw[(rows - 1) * cols + c]) <= 1e-4 * (double)(n + cols));
        }
        free(x);
        free(w);
        free(y);
        free(dx);
        free(dw);
    }
    dense_close(&d);
}

/* ---- the optimizer --------------------------------------------------------------------------- */

static void test_adamw(void **state)
{
    enum { N = 16 };
    float w[N], g[N], m[N] = {0}, v[N] = {0};
    struct adamw a = adamw_defaults();
    (void)state;
    a.decay = 0.1;
    for (size_t i = 0; i < N; i++)
        w[i] = (float)cos((double)i);
    for (size_t step = 1; step <= 10; step++) {
        for (size_t i = 0; i < N; i++)
            g[i] = (float)(2 * cos(0.3 * (double)i * (double)step));
        adamw_update(&a, w, g, 0.5, m, v, N, 0.01, step);
    }
    for (size_t i = 0; i < N; i++)
        if (!(fabs((double)w[i] - torch_adamw[i]) <= 1e-5))
            fail_msg("weight %zu is %.8g, PyTorch's %.8g", i, (double)w[i], torch_adamw[i]);
}

static void test_schedule(void **state)
{
    (void)state;
    assert_true(fabs(cosine_rate(1, 0, 100, 10) - 0.1) < 1e-12);
    assert_true(cosine_rate(1, 9, 100, 10) == 1 && cosine_rate(1, 10, 100, 10) == 1);
    assert_true(fabs(cosine_rate(2, 55, 100, 10) - 2 * (0.01 + 0.99 / 2)) < 1e-12);
    assert_true(fabs(cosine_rate(1, 100, 100, 10) - 0.01) < 1e-12);
    assert_true(cosine_rate(1, 0, 1, 0) == 1); /* neither warmup nor an end */
    for (size_t i = 10; i < 100; i++)
        assert_true(cosine_rate(1, i + 1, 100, 10) < cosine_rate(1, i, 100, 10));
    assert_true(clip_factor(4, 1) == 0.25 && clip_factor(0.5, 1) == 1 && clip_factor(0, 1) == 1);
    float x[19];
    for (size_t i = 0; i < 19; i++)
        x[i] = (float)i;
    assert_true(squares_sum(x, 19) == 2109);
}

/* ---- rounding and the gradient behind it ----------------------------------------------------- */

static void fill(float *x, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)random_normal(&seed);
}

/* Rounded weights are what a packed matrix on the same grids stands for, bit for bit. */
static void test_fake_forward(void **state)
{
    static const char *const schemes[] = {"int4:channel", "int4:g16", "int4:g32:asym", "int8:tensor", "int8:asym",
                                          "fp8", "fp8e5m2:g16", "int4:tensor:asym"};
    enum { ROWS = 20, COLS = 72 };
    float w[ROWS * COLS], out[ROWS * COLS], back[COLS];
    struct error error = {""};
    (void)state;
    fill(w, ROWS * COLS, 5);
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct scheme s;
        struct fake f;
        struct qmatrix m;
        assert_true(scheme_parse(schemes[i], &s, &error));
        assert_true(fake_open(&f, &s.format, w, ROWS, COLS, &error) && qmatrix_init(&m, &s.format, ROWS, COLS, &error));
        f.log_scales[0] += 0.1f;
        fake_forward(&f, w, out, pool);
        for (size_t r = 0; r < ROWS; r++) {
            for (size_t g = 0; g < m.groups; g++)
                quantize_set_params(&m, r, g, fake_params(&f, f.grids == 1 ? 0 : r * m.groups + g));
            quantize_row_with_params(&m, r, w + r * COLS);
            qmatrix_decode_row(&m, r, back);
            assert_memory_equal(back, out + r * COLS, sizeof back);
        }
        qmatrix_free(&m);
        fake_close(&f);
    }
}

/* Gradients pass through inside the grid and stop beyond its ends; that by the scale is LSQ's. */
static void test_fake_backward(void **state)
{
    enum { COLS = 16 };
    float w[COLS], out[COLS], d[COLS], given[COLS];
    struct error error = {""};
    struct scheme s;
    struct fake f;
    double expected = 0;
    (void)state;
    fill(w, COLS, 9);
    fill(given, COLS, 10);
    assert_true(scheme_parse("int4:channel", &s, &error) && fake_open(&f, &s.format, w, 1, COLS, &error));
    f.log_scales[0] = logf(0.15f);
    w[3] = 7.4f * 0.15f; /* rounds to the last code, and lies beyond it */
    w[4] = -5;
    w[5] = 6.4f * 0.15f;
    fake_forward(&f, w, out, pool);
    memcpy(d, given, sizeof d);
    fake_backward(&f, w, out, d, pool);
    for (size_t i = 0; i < COLS; i++) {
        double steps = (double)w[i] / 0.15;
        bool inside = fabs(steps) <= 7;
        assert_true(d[i] == (inside ? given[i] : 0));
        double code = fmin(fmax(rint(steps), -7), 7);
        expected += (double)given[i] * 0.15 * (inside ? code - steps : code);
    }
    assert_true(d[3] == 0 && d[4] == 0 && d[5] == given[5]);
    assert_true(fabs((double)f.row_gradients[0] - expected) <= 1e-5);
    fake_close(&f);
}

/* What a layer multiplies is what its kernel's codes stand for. */
static void test_round_activations(void **state)
{
    static const char *const schemes[] = {"int8/int8", "int8/int8.asym", "fp8/fp8", "int4/int8:g32", "int8/bf16",
                                          "int4/fp16"};
    enum { N = 40, COLS = 96, ROWS = 16 };
    float x[N * COLS], out[N * COLS], w[ROWS * COLS], y[N * ROWS];
    struct error error = {""};
    size_t bytes = padded_bytes(activations_scratch(COLS, N));
    uint8_t *scratch = aligned_alloc(64, 2 * bytes);
    (void)state;
    fill(x, N * COLS, 12);
    fill(w, ROWS * COLS, 13);
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct scheme s;
        struct qmatrix m;
        struct activations a;
        assert_true(scheme_parse(schemes[i], &s, &error) && qmatrix_init(&m, &s.format, ROWS, COLS, &error));
        for (size_t r = 0; r < ROWS; r++)
            quantize_row(&m, r, w + r * COLS);
        round_activations(&m, x, N, out, pool, scratch, bytes);
        activations_prepare(isa_current(), &m, x, N, scratch, &a);
        isa_current()->matmul(&m, &a, 0, 1, y);
        for (size_t r = 0; r < ROWS; r++) {
            float back[COLS];
            qmatrix_decode_row(&m, r, back);
            for (size_t t = 0; t < N; t++) {
                double sum = 0, size = 0;
                for (size_t c = 0; c < COLS; c++) {
                    sum += (double)back[c] * (double)out[t * COLS + c];
                    size += fabs((double)back[c] * (double)out[t * COLS + c]);
                }
                if (!(fabs(sum - (double)y[t * ROWS + r]) <= 1e-5 * size))
                    fail_msg("%s: token %zu, row %zu: %g, the kernel's %g", schemes[i], t, r, sum,
                             (double)y[t * ROWS + r]);
            }
        }
        qmatrix_free(&m);
    }
    free(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_finite_differences),
        cmocka_unit_test(test_torch),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_operators),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_adamw),
        cmocka_unit_test(test_schedule),
        cmocka_unit_test(test_fake_forward),
        cmocka_unit_test(test_fake_backward),
        cmocka_unit_test(test_round_activations),
    };
    struct error error = {""};
    if (!(pool = pool_create(2, &error)))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pool_destroy(pool);
    return failed;
}
