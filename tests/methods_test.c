/* Methods that calibrate: the walk, GPTQ against float64, input scales, outlier columns, static ranges, and
 * what must not go wrong. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/dispatch.h"
#include "engine/product.h"
#include "engine/layerwise.h"
#include "model/outliers.h"
#include "kernels/encode.h"
#include "quant/calibration.h"
#include "kernels/clip.h"
#include "quant/llmint8.h"
#include "quant/quantization.h"
#include "quant/recipe.h"
#include "quant/requant.h"
#include "quant/scaling.h"
#include "quant/static_range.h"
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum { THREADS = 2 };
static struct pool *pool;

static int open_pool(void **state)
{
    (void)state;
    pool = pool_create(THREADS, NULL);
    return pool ? 0 : 1;
}

static int close_pool(void **state)
{
    (void)state;
    pool_destroy(pool);
    return 0;
}

static struct scheme parsed(const char *text)
{
    struct scheme s;
    struct error error = {""};
    if (!scheme_parse(text, &s, &error))
        fail_msg("%s", error.text);
    return s;
}

/* ---- a tiny model ---------------------------------------------------------------------------- */

enum { TEXT = 300, WINDOW = 64 };

struct fixture {
    char *path;
    struct model *model;
    struct weights *stored;
    int32_t tokens[TEXT];
    struct calibration_text text;
};

static const struct tiny untied = {32, 48, 3, 4, 2, 300, 512, false};
static const struct tiny wide = {320, 640, 1, 4, 4, 40, 64, true};

static struct fixture open_fixture(const struct tiny *shape)
{
    struct fixture f = {.path = write_llama2c(shape, 42)};
    struct error error = {""};
    uint64_t seed = 5;
    f.model = model_open(f.path, &error);
    if (!f.model)
        fail_msg("%s", error.text);
    f.stored = weights_stored(f.model);
    assert_non_null(f.stored);
    for (size_t i = 0; i < TEXT; i++)
        f.tokens[i] = (int32_t)random_below(&seed, (size_t)shape->vocab);
    assert_true(calibration_text_make(&f.text, f.tokens, TEXT, 1, WINDOW, &error));
    return f;
}

static void close_fixture(struct fixture *f)
{
    free(f->text.tokens);
    weights_unref(f->stored);
    model_close(f->model);
    unlink(f->path);
    free(f->path);
}

/* The set with the scheme on every linear matrix in blocks; the job is kept for its notes where q is not
 * null. */
static struct weights *quantized_on(const struct fixture *f, const char *scheme, bool on_stored,
                                    struct quantization **kept)
{
    struct scheme schemes[64];
    struct error error = {""};
    for (size_t t = 0; t < f->model->tensor_count; t++)
        schemes[t] = scheme_stored(&f->model->tensors[t].stored);
    schemes_set_linear(f->model, parsed(scheme), schemes);
    struct quantization_plan plan = {.model = f->model, .pool = pool, .from = f->stored, .stored = f->stored,
                                     .schemes = schemes, .text = &f->text, .on_stored = on_stored};
    struct quantization *q = quantization_open(&plan, &error);
    double fraction = -1;
    bool done = false;
    while (q && !done) {
        if (!quantization_step(q, 0.001, &done, &error))
            fail_msg("%s: %s", scheme, error.text);
        assert_true(quantization_fraction(q) >= 0 && quantization_fraction(q) <= 1);
        assert_true(quantization_fraction(q) >= fraction - 1e-9);
        fraction = quantization_fraction(q);
        assert_non_null(quantization_work(q));
    }
    if (!q)
        fail_msg("%s: %s", scheme, error.text);
    struct weights *set = quantization_take(q);
    if (kept)
        *kept = q;
    else
        quantization_close(q);
    return set;
}

static struct weights *quantized(const struct fixture *f, const char *scheme, struct quantization **kept)
{
    return quantized_on(f, scheme, false, kept);
}

/* Logits after each token of the text's first window. */
static float *logits_of(const struct fixture *f, const struct weights *set)
{
    size_t vocab = f->model->hyper.vocab;
    struct context *c = context_open(f->model, pool, WINDOW, NULL);
    float *logits = make(WINDOW * vocab * sizeof *logits);
    assert_non_null(c);
    context_run(c, set, f->text.tokens, WINDOW, LOGITS_ALL, logits);
    context_close(c);
    return logits;
}

/* Root of sum (a - b)^2 / sum b^2. */
static double relative_distance(const float *a, const float *b, size_t n)
{
    double e2 = 0, b2 = 0;
    for (size_t i = 0; i < n; i++) {
        e2 += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        b2 += (double)b[i] * (double)b[i];
    }
    return sqrt(e2 / b2);
}

static double set_distance(const struct fixture *f, struct weights *set)
{
    float *a = logits_of(f, set), *b = logits_of(f, f->stored);
    double distance = relative_distance(a, b, WINDOW * f->model->hyper.vocab);
    free(a);
    free(b);
    return distance;
}

static double logits_distance(const struct fixture *f, const char *scheme)
{
    struct weights *set = quantized(f, scheme, NULL);
    double distance = set_distance(f, set);
    weights_unref(set);
    return distance;
}

/* ---- the walk -------------------------------------------------------------------------------- */

struct seen {
    float *inputs[64]; /* of every tensor, all tokens */
    size_t tokens[64];
};

static void see(void *arg, const struct qtensor *w, const float *x, const float *y, size_t tokens)
{
    struct seen *s = arg;
    size_t n = tokens * w->matrix.cols, had = s->tokens[w->tensor] * w->matrix.cols;
    (void)y;
    s->inputs[w->tensor] = realloc(s->inputs[w->tensor], (had + n) * sizeof(float));
    assert_non_null(s->inputs[w->tensor]);
    memcpy(s->inputs[w->tensor] + had, x, n * sizeof(float));
    s->tokens[w->tensor] += tokens;
}

/* Every site sees what its layers see when the text runs window by window; the head there sees the last of a
 * chunk's tokens only. */
static void check_walk(const struct tiny *shape, size_t window)
{
    struct fixture f = open_fixture(shape);
    struct seen seen = {0};
    struct context *c = context_open(f.model, pool, window, NULL);
    c->hook = (struct hook){HOOK_ALL, see, &seen};
    for (size_t at = 0; at < f.text.count; at += window) {
        size_t n = f.text.count - at < window ? f.text.count - at : window;
        c->length = 0;
        context_prefill(c, f.stored, f.text.tokens + at, n, NULL);
    }
    struct layerwise_pass *w = layerwise_open(f.model, pool, f.text.tokens, f.text.count, window, NULL);
    assert_non_null(w);
    size_t tensors = 0;
    for (size_t input_group = 0; input_group < f.model->input_group_count; input_group++) {
        int at_site[INPUT_GROUP_TENSORS];
        for (bool arrived = false; !arrived;)
            assert_true(layerwise_step(w, f.stored, 0, &arrived, NULL));
        assert_int_equal(layerwise_group(w), input_group);
        struct layerwise_input in = layerwise_input(w);
        for (size_t n = input_group_tensors(f.model, input_group, at_site); n > 0; n--) {
            int t = at_site[n - 1];
            size_t cols = f.model->tensors[t].stored.cols;
            assert_int_equal(input_group_of(f.model, t), input_group);
            assert_int_equal(seen.tokens[t], input_group + 1 < f.model->input_group_count ? f.text.count : 0);
            for (size_t k = 0; k < seen.tokens[t]; k++)
                assert_memory_equal(in.rows + k * in.stride, seen.inputs[t] + k * cols,
                                    cols * sizeof(float));
            tensors++;
            free(seen.inputs[t]);
        }
    }
    assert_int_equal(tensors, 7 * f.model->hyper.layers + 1);
    assert_int_equal(input_group_of(f.model, model_find(f.model, ROLE_ATTN_NORM, 0)), -1);
    layerwise_close(w);
    context_close(c);
    close_fixture(&f);
}

static void test_walk(void **state)
{
    (void)state;
    check_walk(&untied, WINDOW);
    check_walk(&wide, WINDOW);
    check_walk(&untied, CONTEXT_CHUNK + 30); /* in more than one chunk */
}

/* ---- GPTQ against float64 -------------------------------------------------------------------- */

/* float32 in [-0.5, 0.5), as gptq_vectors.py makes it. */
static float *uniform(uint64_t seed, size_t n)
{
    float *x = make(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((double)(random_bits(&seed) >> 40) / 16777216 - 0.5);
    return x;
}

struct fixed_layer {
    float *w, *x;
    size_t rows, cols, tokens;
};

static struct fixed_layer made_layer(size_t rows, size_t cols, size_t tokens)
{
    struct fixed_layer l = {uniform(1, rows * cols), uniform(2, tokens * cols), rows, cols, tokens};
    for (size_t t = 0; t < tokens; t++)
        for (size_t c = 1; c < cols; c++)
            l.x[t * cols + c] = l.x[t * cols + c] * 0.5f + l.x[t * cols + c - 1];
    for (size_t i = 0; i < tokens * cols; i++)
        l.x[i] *= i % cols % 8 == 0 ? 4 : 1;
    return l;
}

/* A matrix of the built-in model, and rows of its embedding. */
static struct fixed_layer real_layer(const char *name, size_t tokens)
{
    struct error error = {""};
    char full[64];
    struct model *m = model_open(SRCDIR "/data/stories.bin", &error);
    if (!m)
        fail_msg("%s", error.text);
    snprintf(full, sizeof full, "blk.0.%s", name);
    const struct qmatrix *w = &m->tensors[model_find_name(m, full)].stored;
    struct fixed_layer l = {make(w->rows * w->cols * sizeof(float)), make(tokens * w->cols * sizeof(float)),
                      w->rows, w->cols, tokens};
    for (size_t r = 0; r < w->rows; r++)
        qmatrix_decode_row(w, r, l.w + r * l.cols);
    for (size_t t = 0; t < tokens; t++)
        qmatrix_decode_row(&m->tensors[0].stored, t, l.x + t * l.cols);
    model_close(m);
    return l;
}

static void free_layer(struct fixed_layer *l)
{
    free(l->w);
    free(l->x);
}

/* sum of ((w' - w) x)^2 over rows and tokens; of row r alone where it is a row's. */
static double output_error(const struct fixed_layer *l, const struct qmatrix *m, size_t r, size_t end)
{
    float *row = make(l->cols * sizeof *row);
    double sum = 0;
    for (; r < end; r++) {
        qmatrix_decode_row(m, r, row);
        for (size_t t = 0; t < l->tokens; t++) {
            double e = 0;
            for (size_t c = 0; c < l->cols; c++)
                e += ((double)row[c] - (double)l->w[r * l->cols + c]) * (double)l->x[t * l->cols + c];
            sum += e * e;
        }
    }
    free(row);
    return sum;
}

/* One layer on its own, with a factor of its inputs where the scheme is a GPTQ. */
static struct qtensor *pack_layer(const struct fixed_layer *l, const struct scheme *s, const float *scale)
{
    struct model m = matrix_model(l->w, l->rows, l->cols);
    struct error error = {""};
    struct hessian h;
    struct factor f = {0};
    struct calibrated c = {.input_scale = scale};
    struct requant job;
    const struct method *gptq = scheme_method(s, PHASE_CODES);
    if (gptq) {
        struct hessian_use use = gptq->hessian(methods_values_of(&s->methods, gptq));
        struct column_order order = {use.by_activation, code_columns(s->format.weight)};
        assert_true(hessian_open(&h, l->cols, &error));
        for (size_t t = 0; t < l->tokens; t += HESSIAN_CHUNK)
            hessian_add(&h, pool, l->x + t * l->cols, l->cols,
                        l->tokens - t < HESSIAN_CHUNK ? l->tokens - t : HESSIAN_CHUNK);
        assert_true(factor_open(&f, &h, scale, use.damp, order, &error));
        while (!factor_step(&f, pool))
            continue;
        assert_false(f.l.failed);
        hessian_free(&h);
        c.factor = &f;
    }
    if (!requant_begin_calibrated(&job, &m, 0, s, &c, pool, &error))
        fail_msg("%s", error.text);
    while (!requant_step(&job, pool, 0))
        continue;
    struct qtensor *p = requant_take(&job);
    requant_end(&job);
    factor_free(&f);
    free_matrix_model(&m);
    return p;
}

static struct qtensor *pack_nearest(const struct fixed_layer *l, struct scheme s)
{
    s.methods = (struct methods){0};
    return pack_layer(l, &s, NULL);
}

static uint64_t scales_digest(const struct qmatrix *m)
{
    uint64_t digest = FNV_START;
    for (size_t r = 0; r < m->rows; r++)
        for (size_t g = 0; g < m->groups; g++) {
            float scale = qmatrix_scale(m, r, g);
            digest = fnv1a(digest, &scale, sizeof scale);
        }
    return digest;
}

static const struct {
    const char *scheme, *source;
    size_t rows, cols, tokens;
    double error, nearest;
    uint64_t scales;
} vectors[] = {
#include "gptq_vectors.h"
};

static void test_gptq_against_float64(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct fixed_layer l = strcmp(vectors[i].source, "made") == 0
                             ? made_layer(vectors[i].rows, vectors[i].cols, vectors[i].tokens)
                             : real_layer(vectors[i].source, vectors[i].tokens);
        struct scheme s = parsed(vectors[i].scheme);
        struct qtensor *p = pack_layer(&l, &s, NULL), *nearest = pack_nearest(&l, s);
        double error = output_error(&l, &p->matrix, 0, l.rows);
        double rtn = output_error(&l, &nearest->matrix, 0, l.rows);
        fprintf(stderr, "%s, %s: output error %.6g, float64 %.6g; rounded %.6g\n", vectors[i].scheme,
                vectors[i].source, error, vectors[i].error, rtn);
        assert_int_equal(l.rows, vectors[i].rows);
        assert_true(fabs(error - vectors[i].error) <= 1e-3 * vectors[i].error);
        assert_true(fabs(rtn - vectors[i].nearest) <= 1e-5 * vectors[i].nearest);
        assert_int_equal(scales_digest(&p->matrix), vectors[i].scales);
        qtensor_unref(p);
        qtensor_unref(nearest);
        free_layer(&l);
    }
}

enum { SMALL_COLS = 16 };

/* Solves a x = b, n x n, in place (Gaussian elimination; a is positive definite). */
static void solve(double a[SMALL_COLS][SMALL_COLS], double *b, size_t n)
{
    for (size_t k = 0; k < n; k++)
        for (size_t i = k + 1; i < n; i++) {
            double f = a[i][k] / a[k][k];
            for (size_t j = k; j < n; j++)
                a[i][j] -= f * a[k][j];
            b[i] -= f * b[k];
        }
    for (size_t i = n; i-- > 0; b[i] /= a[i][i])
        for (size_t j = i + 1; j < n; j++)
            b[i] -= a[i][j] * b[j];
}

/* Where column i of a row wants to be, once the columns before it are rounded: what makes the output error of the
 * columns from i on, all of them free, the least: d = -H_FF^-1 H_FB e (Frantar et al. 2022, equation 2). */
static double best_place(double h[SMALL_COLS][SMALL_COLS], const float *w, const float *rounded, size_t i)
{
    double a[SMALL_COLS][SMALL_COLS], b[SMALL_COLS];
    size_t n = SMALL_COLS - i;
    for (size_t r = 0; r < n; r++) {
        b[r] = 0;
        for (size_t c = 0; c < n; c++)
            a[r][c] = h[i + r][i + c];
        for (size_t j = 0; j < i; j++)
            b[r] -= h[i + r][j] * ((double)rounded[j] - (double)w[j]);
    }
    solve(a, b, n);
    return (double)w[i] + b[0];
}

/* The compensated weights that are kept are those of the definition. */
static void test_gptq_targets(void **state)
{
    (void)state;
    enum { ROWS = 40, TOKENS = 200 };
    struct fixed_layer l = made_layer(ROWS, SMALL_COLS, TOKENS);
    struct scheme s = parsed("int4:channel:gptq(actorder=0)");
    struct qtensor *p = pack_layer(&l, &s, NULL);
    double h[SMALL_COLS][SMALL_COLS] = {{0}}, diagonal = 0;
    size_t checked = 0;
    for (size_t t = 0; t < TOKENS; t++)
        for (size_t i = 0; i < SMALL_COLS; i++)
            for (size_t j = 0; j < SMALL_COLS; j++)
                h[i][j] += (double)l.x[t * SMALL_COLS + i] * (double)l.x[t * SMALL_COLS + j];
    for (size_t i = 0; i < SMALL_COLS; i++)
        diagonal += h[i][i] / SMALL_COLS;
    for (size_t i = 0; i < SMALL_COLS; i++)
        h[i][i] += 0.01 * diagonal;
    for (size_t r = 0; r < ROWS; r++) {
        float rounded[SMALL_COLS];
        const float *w = l.w + r * SMALL_COLS, *targets = qtensor_targets(p, r);
        qmatrix_decode_row(&p->matrix, r, rounded);
        double tolerance = 1e-3 * (double)qmatrix_scale(&p->matrix, r, 0);
        bool compensated = memcmp(w, targets, sizeof rounded) != 0; /* else it is no better than rounded */
        for (size_t i = 0; compensated && i < SMALL_COLS; i++) {
            double best = best_place(h, w, rounded, i);
            if (!(fabs((double)targets[i] - best) <= tolerance))
                fail_msg("[%zu, %zu]: %.7g is kept; expected %.7g", r, i, (double)targets[i], best);
        }
        checked += compensated;
    }
    assert_true(checked > ROWS / 2);
    qtensor_unref(p);
    free_layer(&l);
}

/* Row by row, whatever the weights and inputs. */
static void test_gptq_is_never_worse_than_rounding(void **state)
{
    (void)state;
    static const char *const schemes[] = {"int4:channel:gptq", "int4:g32:asym:gptq(actorder=0)",
                                          "int8:tensor:gptq", "int4:tensor:asym:gptq",
                                          "int8:g64:gptq(damp=1)", "int4:channel:clip+gptq",
                                          "q4_0:gptq", "q5_1:gptq", "iq4_nl:gptq", "mxfp4:gptq", "q4_k:gptq",
                                          "q3_k:gptq", "iq3_s:gptq", "iq3_xxs:gptq", "iq2_s:gptq", "iq2_xxs:gptq",
                                          "iq1_s:gptq", "iq1_m:gptq", "nvfp4:gptq", "nf4:gptq"};
    enum { SCHEMES = sizeof schemes / sizeof *schemes };
    uint64_t seed = 9;
    for (size_t n = 0; n < 5 * SCHEMES; n++) {
        struct scheme s = parsed(schemes[n % SCHEMES]), nearest_on_same = s;
        size_t block = dtypes[s.format.weight].block;
        size_t rows = 1 + random_below(&seed, 40), cols = 1 + random_below(&seed, 200);
        cols = block > 2 ? (cols + block - 1) / block * block : cols;
        struct fixed_layer l = made_layer(rows, cols, 1 + random_below(&seed, 300));
        for (size_t i = 0; i < l.tokens * cols && n % 3 == 1; i++) /* nothing alike, some dead */
            l.x[i] = i % cols % 5 ? (float)random_normal(&seed) : 0;
        methods_remove(&nearest_on_same.methods, scheme_method(&s, PHASE_CODES));
        struct qtensor *p = pack_layer(&l, &s, NULL), *rtn = pack_layer(&l, &nearest_on_same, NULL);
        for (size_t r = 0; r < rows; r++) {
            double error = output_error(&l, &p->matrix, r, r + 1);
            double rounded = output_error(&l, &rtn->matrix, r, r + 1);
            assert_true(error <= rounded * 1.0001 + 1e-9);
        }
        qtensor_unref(p);
        qtensor_unref(rtn);
        free_layer(&l);
    }
}

/* The weights of a column that no activation reaches become 0, as in the paper's code. */
static struct input_stats stats_of(const float *x, size_t cols, size_t n)
{
    struct input_stats s;
    struct error error = {""};
    if (!input_stats_make(&s, pool, x, cols, cols, n, &error))
        fail_msg("%s", error.text);
    return s;
}

/* Codes of several columns at once make up for errors, too. */
static void test_gptq_of_codes_chosen_together(void **state)
{
    (void)state;
    static const char *const types[] = {"iq3_s", "iq3_xxs", "iq2_s", "iq2_xs", "iq2_xxs", "iq1_s", "iq1_m"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char text[32];
        snprintf(text, sizeof text, "%s:gptq", types[i]);
        struct scheme s = parsed(text), plain = parsed(types[i]);
        struct fixed_layer l = made_layer(32, 512, 1000);
        struct qtensor *p = pack_layer(&l, &s, NULL), *rtn = pack_layer(&l, &plain, NULL);
        double ratio = output_error(&l, &p->matrix, 0, 32) / output_error(&l, &rtn->matrix, 0, 32);
        fprintf(stderr, "%s: %.3f of the output error of rounding\n", text, ratio);
        assert_true(ratio <= 0.8);
        qtensor_unref(p);
        qtensor_unref(rtn);
        free_layer(&l);
    }
}

/* Scales are searched by what each column weighs in the output error, which the input scale divides. */
static void test_gptq_weighs_columns(void **state)
{
    (void)state;
    enum { COLS = 70, TOKENS = 100 };
    struct fixed_layer l = made_layer(20, COLS, TOKENS);
    struct scheme s = parsed("q4_0:gptq"), both = parsed("q4_0:imatrix+gptq");
    const struct method *gptq = scheme_method(&s, PHASE_CODES);
    struct factor f = {.cols = COLS};
    struct error error = {""};
    float scale[COLS];
    for (size_t c = 0; c < COLS; c++)
        scale[c] = 1 + (float)(c % 3);
    struct input_stats stats = stats_of(l.x, COLS, TOKENS);
    struct calibration_inputs in = {.cols = COLS, .stats = &stats, .input_scale = scale, .factor = &f};
    struct calibrated out = {0};
    assert_true(gptq->prepare(&in, methods_values_of(&s.methods, gptq), &out, &error));
    for (size_t c = 0; c < COLS; c++) {
        double mean = 0;
        for (size_t t = 0; t < TOKENS; t++)
            mean += pow((double)l.x[t * COLS + c] / (double)scale[c], 2) / TOKENS;
        assert_true(fabs((double)out.importance[c] - mean) <= 1e-5 * mean);
    }
    float given = out.importance[0] = 7;
    assert_true(gptq->prepare(&in, methods_values_of(&both.methods, gptq), &out, &error));
    assert_true(out.importance[0] == given); /* what another method said */
    free(out.importance);
    input_stats_free(&stats);
    free_layer(&l);
}

static void test_gptq_of_a_dead_column(void **state)
{
    (void)state;
    struct fixed_layer l = made_layer(64, 60, 200);
    for (size_t t = 0; t < l.tokens; t++)
        l.x[t * 60 + 7] = 0;
    struct scheme s = parsed("int4:channel:gptq");
    struct qtensor *p = pack_layer(&l, &s, NULL);
    for (size_t r = 0; r < 64; r++) {
        float w;
        qmatrix_decode(&p->matrix, r, 7, 1, &w);
        assert_true(w == 0);
    }
    qtensor_unref(p);
    free_layer(&l);
}

/* With an input scale the same function is minimized on another grid. */
static void test_gptq_with_input_scale(void **state)
{
    (void)state;
    uint64_t seed = 10;
    struct fixed_layer l = made_layer(32, 96, 200);
    float *scale = make(96 * sizeof *scale);
    for (size_t c = 0; c < 96; c++)
        scale[c] = (float)exp(0.5 * random_normal(&seed));
    struct scheme gptq = parsed("int4:channel:gptq"), plain = parsed("int4:channel");
    struct qtensor *p = pack_layer(&l, &gptq, scale), *rtn = pack_layer(&l, &plain, scale);
    assert_true(output_error(&l, &p->matrix, 0, 32) < 0.2 * output_error(&l, &rtn->matrix, 0, 32));
    qtensor_unref(p);
    qtensor_unref(rtn);
    free(scale);
    free_layer(&l);
}

static void test_clip(void **state)
{
    (void)state;
    uint64_t seed = 11;
    for (size_t n = 0; n < 20; n++) {
        struct fixed_layer l = made_layer(20, 1 + random_below(&seed, 200), 3);
        for (size_t i = 0; i < l.rows * l.cols; i++) /* heavy tails */
            l.w[i] = (float)(random_normal(&seed) * exp(random_normal(&seed)));
        static const char *const schemes[] = {"int4:channel:clip", "int4:g32:asym:clip", "int8:clip"};
        struct scheme s = parsed(schemes[n % 3]);
        struct qtensor *p = pack_layer(&l, &s, NULL), *rtn = pack_nearest(&l, s);
        assert_true(p->error.sum_e2 <= rtn->error.sum_e2);
        if (n % 3 == 0 && l.cols > 30)
            assert_true(p->error.sum_e2 < rtn->error.sum_e2);
        qtensor_unref(p);
        qtensor_unref(rtn);
        free_layer(&l);
    }
}

/* Of all 21 ranges the scale of a whole tensor is the best one's. */
static void test_clip_of_a_tensor(void **state)
{
    (void)state;
    static const char *const schemes[] = {"int4:tensor:clip", "int4:tensor:asym:clip", "int8:tensor:clip(least=0.2)"};
    uint64_t seed = 12;
    for (size_t n = 0; n < 12; n++) {
        struct fixed_layer l = made_layer(1 + random_below(&seed, 40), 1 + random_below(&seed, 100), 3);
        for (size_t i = 0; i < l.rows * l.cols; i++)
            l.w[i] = (float)(random_normal(&seed) * exp(random_normal(&seed)));
        struct scheme s = parsed(schemes[n % 3]), plain = s;
        double least = methods_range_min(&s.methods), best = INFINITY;
        plain.methods = (struct methods){0};
        struct qtensor *p = pack_layer(&l, &s, NULL), *rtn = pack_nearest(&l, plain);
        struct value_range whole = {0, 0};
        value_range_add(&whole, l.w, l.rows * l.cols);
        for (size_t trial = 0; trial < CLIP_TRIALS; trial++) {
            struct quant_params params = quantize_params(&rtn->matrix, clip_range(whole, trial, least));
            best = fmin(best, clip_error(&rtn->matrix, params, l.w, l.rows * l.cols, NULL));
        }
        assert_true(p->error.sum_e2 <= rtn->error.sum_e2);
        if (!(fabs(p->error.sum_e2 - best) <= 1e-9 * best))
            fail_msg("%s of %zu x %zu: error %g, the least is %g", schemes[n % 3], l.rows, l.cols,
                     p->error.sum_e2, best);
        qtensor_unref(p);
        qtensor_unref(rtn);
        free_layer(&l);
    }
}

/* ---- input scales and outlier columns -------------------------------------------------------- */

/* What methods do is done in fp32, too, where it changes nothing. */
static void test_input_scales_change_nothing_in_fp32(void **state)
{
    (void)state;
    static const char *const schemes[] = {"fp32:awq(alpha=0.5)", "fp32:awq(alpha=1)", "fp32:smoothquant",
                                          "fp32:smoothquant(alpha=1)", "fp32:awq"};
    struct fixture f = open_fixture(&untied);
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        double distance = logits_distance(&f, schemes[i]);
        fprintf(stderr, "%s: relative distance of logits %.2g\n", schemes[i], distance);
        assert_true(distance > 0 || i == 4);
        assert_true(distance <= 1e-4);
    }
    close_fixture(&f);
}

/* A product in slices is that at once, to the bit, and no slice is longer than it says. */
static void test_sliced_product(void **state)
{
    (void)state;
    enum { ROWS = 300, COLS = 2048, TOKENS = 200 };
    static const char *const schemes[] = {"stored", "fp32", "int4:g64:asym", "int8/int8", "int8:tensor"};
    struct fixed_layer l = made_layer(ROWS, COLS, TOKENS);
    struct model stored = matrix_model(l.w, ROWS, COLS);
    float *y = make(ROWS * TOKENS * sizeof *y), *expected = make(ROWS * TOKENS * sizeof *y);
    void *scratch = aligned_alloc(64, padded_bytes(products_scratch(COLS, TOKENS)));
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct qtensor *p = i == 0 ? NULL : pack_nearest(&l, parsed(schemes[i]));
        const struct qmatrix *m = p ? &p->matrix : &stored.tensors[0].stored;
        products_run(pool, scratch, &m, 1, l.x, TOKENS, &expected);
        for (size_t stride = 1; stride <= 3; stride += 2) {
            struct sliced_product product;
            size_t slices = 1;
            sliced_product_begin(&product, m, stride, l.x, TOKENS, scratch, y);
            for (; !sliced_product_step(&product, pool); slices++)
                assert_true(product.macs > 0 && product.macs <= SLICE_MACS * THREADS);
            assert_true(slices >= (stride == 1 ? 3 : 2));
            for (size_t k = 0; k < ROWS * TOKENS; k++)
                if (k % ROWS / PANEL_ROWS % stride == 0)
                    assert_true(y[k] == expected[k]);
        }
        qtensor_unref(p);
    }
    free(scratch);
    free(y);
    free(expected);
    free_matrix_model(&stored);
    free_layer(&l);
}

/* Trials look at some rows of a large matrix, and compare them with what the same rows give: fp32, which rounds
 * nothing, loses nothing whatever the shape, and int4 as much as all rows do. */
static void test_trials_of_some_rows(void **state)
{
    (void)state;
    static const size_t rows[] = {1, 16, 500, 1023, 1024, 1025, 1100, 1655, 4999};
    enum { COLS = 48, TOKENS = 40 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixed_layer l = made_layer(rows[i], COLS, TOKENS);
        struct model m = matrix_model(l.w, l.rows, l.cols);
        struct input_stats stats = stats_of(l.x, COLS, TOKENS);
        double loss[2];
        for (size_t k = 0; k < 2; k++) {
            struct scheme scheme = parsed(k ? "int4:g16:awq" : "fp32:awq");
            struct scaling s;
            struct error error;
            bool done = false;
            assert_true(scaling_open(&s, &m, pool, &(int){0}, 1, &stats, &scheme, &error));
            while (!done)
                assert_true(scaling_step(&s, &done, &error) && s.work <= SLICE_MACS * THREADS);
            loss[k] = s.best_loss;
            scaling_close(&s);
        }
        if (!(loss[0] <= 1e-10) || !(loss[1] > 1e-5 && loss[1] < 0.05))
            fail_msg("%zu rows: loss of fp32 %g, of int4 %g", rows[i], loss[0], loss[1]);
        input_stats_free(&stats);
        free_matrix_model(&m);
        free_layer(&l);
    }
}

/* AWQ brings a clip search along, but for clip=0 and where there is nothing to clip. */
static void test_awq_clips(void **state)
{
    (void)state;
    static const char *const same[][2] = {{"int4:g32:awq", "int4:g32:awq+clip"},
                                          {"int4:g32:awq+gptq", "int4:g32:awq+clip+gptq"},
                                          {"fp8:awq", "fp8:awq(clip=0)"}};
    struct fixture f = open_fixture(&untied);
    for (size_t i = 0; i < sizeof same / sizeof *same; i += test_stride()) {
        struct weights *a = quantized(&f, same[i][0], NULL), *b = quantized(&f, same[i][1], NULL);
        for (size_t t = 0; t < a->count; t++)
            assert_true(a->layer[t]->error.sum_e2 == b->layer[t]->error.sum_e2);
        weights_unref(a);
        weights_unref(b);
    }
    struct weights *clipped = quantized(&f, "int4:g32:awq", NULL), *whole = quantized(&f, "int4:g32:awq(clip=0)", NULL);
    int up = model_find(f.model, ROLE_FFN_UP, 0);
    assert_true(clipped->layer[up]->error.sum_e2 != whole->layer[up]->error.sum_e2);
    weights_unref(clipped);
    weights_unref(whole);
    close_fixture(&f);
}

/* Siblings behind a norm get one scale, others their own. */
static void test_joint_search(void **state)
{
    (void)state;
    struct fixture f = open_fixture(&wide);
    struct quantization *q;
    struct weights *set = quantized(&f, "int4:g32:awq", &q);
    const struct model *m = f.model;
    int a = model_find(m, ROLE_ATTN_Q, 0), b = model_find(m, ROLE_ATTN_V, 0);
    int gate = model_find(m, ROLE_FFN_GATE, 0), out = model_find(m, ROLE_ATTN_OUT, 0);
    const struct input_transform *p = set->layer[a]->matrix.input_transform, *s = set->layer[b]->matrix.input_transform;
    assert_memory_equal(p->scale, s->scale, m->hyper.dim * sizeof(float));
    assert_memory_not_equal(p->scale, set->layer[gate]->matrix.input_transform->scale, m->hyper.dim * sizeof(float));
    assert_true(product_alike(&set->layer[a]->matrix, &set->layer[b]->matrix));
    assert_false(product_alike(&set->layer[a]->matrix, &set->layer[gate]->matrix));
    const struct calibration_info *found = &set->layer[a]->calibration, *other = &set->layer[out]->calibration;
    assert_true(found->alpha == set->layer[b]->calibration.alpha);
    assert_true(other->alpha >= 0 && other->alpha <= 1);
    assert_null(quantization_note(q, 0));
    quantization_close(q);
    weights_unref(set);
    close_fixture(&f);
}

/* Matrices of one format share a product, however their codes were chosen; not where their activations differ. */
static void test_products_together(void **state)
{
    (void)state;
    struct fixture f = open_fixture(&untied);
    const struct {
        const char *one, *other;
        bool alike;
    } pairs[] = {
        {"int4:g32", "int4:g32:clip", true},
        {"int4:g32:clip(least=0.3)", "int4:g32:gptq", true},
        {"int4:g32", "int4:g32:asym", false},
        {"int4:g32", "int4:g32:awq", false},
        {"w8a8", "int8/int8.static", false},
        {"w8a8", "w8a8:llmint8(threshold=2.5)", false},
    };
    int up = model_find(f.model, ROLE_FFN_UP, 0);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct weights *a = quantized(&f, pairs[i].one, NULL), *b = quantized(&f, pairs[i].other, NULL);
        if (product_alike(&a->layer[up]->matrix, &b->layer[up]->matrix) != pairs[i].alike)
            fail_msg("%s and %s", pairs[i].one, pairs[i].other);
        weights_unref(a);
        weights_unref(b);
    }
    close_fixture(&f);
}

/* Some matrices with input scales and outliers are one task, and each alone gives the same. */
static void test_llmint8_at_its_ends(void **state)
{
    (void)state;
    const struct tiny *const shapes[] = {&untied, &wide};
    for (size_t i = 0; i < 2; i++) {
        struct fixture f = open_fixture(shapes[i]);
        static const char *const pairs[][2] = {{"w8a8:llmint8(threshold=0)", "fp16"},
                                               {"w8a8:llmint8(threshold=inf)", "w8a8"},
                                               {"int8/int8.asym:asym:llmint8(threshold=inf)",
                                                "int8/int8.asym:asym"}};
        for (size_t k = 0; k < 3; k++) {
            struct weights *a = quantized(&f, pairs[k][0], NULL), *b = quantized(&f, pairs[k][1], NULL);
            float *x = logits_of(&f, a), *y = logits_of(&f, b);
            for (size_t n = 0; n < WINDOW * f.model->hyper.vocab; n++)
                if (!(x[n] == y[n]))
                    fail_msg("%s: %a; %s: %a", pairs[k][0], (double)x[n], pairs[k][1], (double)y[n]);
            weights_unref(a);
            weights_unref(b);
            free(x);
            free(y);
        }
        close_fixture(&f);
    }
}

/* The matrix stands for its weights: int8 in some columns, fp16 in others; its size is as defined. */
static void test_llmint8_between(void **state)
{
    (void)state;
    struct fixture f = open_fixture(&untied);
    struct weights *set = quantized(&f, "w8a8:llmint8(threshold=2.5)", NULL);
    size_t mixed = 0;
    for (size_t t = 0; t < f.model->tensor_count; t++) {
        const struct qmatrix *m = &set->layer[t]->matrix, *stored = &f.model->tensors[t].stored;
        size_t outliers = m->input_transform ? m->input_transform->outliers : 0, plain;
        if (m->format.stored)
            continue;
        struct scheme made = qtensor_scheme(set->layer[t]);
        assert_true(scheme_bytes(&made, m->rows, m->cols, &plain));
        assert_int_equal(m->bytes, plain + outliers * (4 + 2 * m->rows));
        mixed += outliers > 0 && outliers < m->cols;
        for (size_t i = 0; i < outliers; i++) {
            float back, w;
            qmatrix_decode(m, 1, m->input_transform->columns[i], 1, &back);
            qmatrix_decode(stored, 1, m->input_transform->columns[i], 1, &w);
            assert_true(back == fp16_decode(fp16_encode(w)));
        }
    }
    assert_true(mixed > 3);
    weights_unref(set);
    double plain = logits_distance(&f, "w8a8"), split = logits_distance(&f, "w8a8:llmint8(threshold=1.5)");
    fprintf(stderr, "w8a8: %.3g, with outlier columns %.3g\n", plain, split);
    assert_true(split < plain);
    close_fixture(&f);
}

/* ---- outliers -------------------------------------------------------------------------------- */

static void test_injected_outliers(void **state)
{
    (void)state;
    static const struct outliers cases[] = {{1, 10}, {2, 100}, {32, 3}, {5, 10000}};
    struct fixture f = open_fixture(&untied);
    float *before = logits_of(&f, f.stored);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture g = open_fixture(&untied);
        struct error error = {""};
        assert_true(outliers_inject(g.model, &cases[i], &error));
        weights_unref(g.stored);
        g.stored = weights_stored(g.model);
        float *after = logits_of(&g, g.stored);
        double distance = relative_distance(after, before, WINDOW * f.model->hyper.vocab);
        fprintf(stderr, "%zu channels x %g: %.2g\n", cases[i].channels, (double)cases[i].factor, distance);
        assert_true(distance <= 1e-4);
        int norm = model_find(g.model, ROLE_ATTN_NORM, 1);
        float was[32], is[32];
        qmatrix_decode_row(&f.model->tensors[norm].stored, 0, was);
        qmatrix_decode_row(&g.model->tensors[norm].stored, 0, is);
        size_t larger = 0;
        for (size_t c = 0; c < 32; c++)
            larger += is[c] != was[c];
        assert_int_equal(larger, cases[i].channels);
        free(after);
        close_fixture(&g);
    }
    struct outliers many = {33, 2};
    struct error error = {""};
    assert_false(outliers_inject(f.model, &many, &error));
    assert_non_null(strstr(error.text, "32 wide"));
    free(before);
    close_fixture(&f);
}

static void test_outliers_in_writing(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "2", ":", "2:", ":5", "0:5", "-1:5", "2:1", "2:0.5", "2:nan",
                                      "2:inf", "2:-3", "2:10001", "2:5x", "x:5", "2 :5", "99999999:5"};
    struct outliers o;
    struct error error;
    assert_true(outliers_parse("2:100", &o, &error));
    assert_true(o.channels == 2 && o.factor == 100);
    assert_true(outliers_parse("16:1.5", &o, &error));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(outliers_parse(bad[i], &o, &error));
        assert_non_null(strstr(error.text, "K:FACTOR"));
    }
    for (size_t k = 1; k <= 32; k++) {
        o.channels = k;
        for (size_t i = 0; i < k; i++) {
            assert_true(outliers_channel(&o, 32, i) < 32);
            assert_true(i == 0 || outliers_channel(&o, 32, i) > outliers_channel(&o, 32, i - 1));
        }
    }
}

/* ---- static ranges --------------------------------------------------------------------------- */

static struct act_params chosen(const char *scheme, const struct input_stats *s, const float *scale)
{
    struct scheme parsed_scheme = parsed(scheme);
    struct static_range r;
    assert_true(static_range_open(&r, &parsed_scheme, s, scale, NULL));
    while (!static_range_step(&r, pool))
        assert_true(r.looked_at > 0 && r.looked_at <= STATIC_RANGE_WORK);
    struct act_params g = static_range_result(&r);
    static_range_close(&r);
    assert_true(g.scale > 0 && g.scale <= FLT_MAX && g.zero >= -128 && g.zero <= 127);
    return g;
}

static void test_static_ranges(void **state)
{
    (void)state;
    enum { COLS = 40, N = 200 };
    uint64_t seed = 12;
    float x[N * COLS], scale[COLS];
    for (size_t i = 0; i < N * COLS; i++)
        x[i] = (float)random_normal(&seed);
    for (size_t c = 0; c < COLS; c++)
        scale[c] = 2;
    x[5] = 50; /* one outlier */
    struct input_stats s = stats_of(x, COLS, N);
    double whole = (double)chosen("int8/int8.static", &s, NULL).scale;
    assert_true(fabs(whole * 127 - 50) < 1e-4);
    assert_true(fabs((double)chosen("int8/int8.static", &s, scale).scale * 127 - 25) < 1e-4);
    assert_true(fabs((double)chosen("fp8/fp8.static", &s, NULL).scale * 448 - 50) < 1e-4);
    double cut = (double)chosen("int8/int8.static.percentile", &s, NULL).scale * 127;
    assert_true(cut > 2.8 && cut < 3.8); /* the normal distribution's 99.9 % is 3.29 */
    double mse = (double)chosen("int8/int8.static.mse", &s, NULL).scale;
    double kl = (double)chosen("int8/int8.static.kl", &s, NULL).scale;
    assert_true(mse <= whole && kl < 0.5 * whole);
    struct act_params asym = chosen("int8/int8.static.asym", &s, NULL);
    assert_true(asym.zero < -90); /* nearly all of the range is above 0 */
    assert_true(chosen("int8/int8.static.percentile.asym", &s, NULL).zero > -30);
    input_stats_free(&s);

    memset(x, 0, sizeof x); /* nothing at all */
    s = stats_of(x, COLS, N);
    static const char *const schemes[] = {"int8/int8.static", "int8/int8.static.kl.asym",
                                          "int8/int8.static.mse", "fp8/fp8.static.percentile"};
    for (size_t i = 0; i < 4; i++)
        assert_true(chosen(schemes[i], &s, NULL).scale == 1);
    input_stats_free(&s);
}

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The squared error of int8 codes with a scale and a zero point. */
static double int8_error(const float *x, size_t n, float scale, int zero, int lowest)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double q = fmin(fmax(rint((double)x[i] / (double)scale) + zero, lowest), 127);
        double e = (q - zero) * (double)scale - (double)x[i];
        sum += e * e;
    }
    return sum;
}

/* Ranges chosen some values at a time are those of all values at once, to the bit. */
static void test_static_ranges_in_parts(void **state)
{
    (void)state;
    enum { COLS = 1500, N = CALIBRATION_SAMPLES, ALL = COLS * N, SKIP = ALL / 1000 };
    _Static_assert((int)ALL > (int)STATIC_RANGE_WORK, "more than a step looks at");
    uint64_t seed = 31;
    float *x = make(ALL * sizeof *x), *sorted = make(ALL * sizeof *x);
    double best = INFINITY, asym_best = INFINITY;
    float scale = 0, asym_scale = 0;
    for (size_t i = 0; i < ALL; i++)
        sorted[i] = x[i] = (float)(random_normal(&seed) * exp(random_normal(&seed)));
    struct input_stats s = stats_of(x, COLS, N);
    qsort(sorted, ALL, sizeof *sorted, ascending);
    double low = (double)sorted[0], high = (double)sorted[ALL - 1], largest = fmax(-low, high);
    struct act_params cut = chosen("int8/int8.static.percentile.asym", &s, NULL);
    assert_true(cut.scale == (float)(((double)sorted[ALL - 1 - SKIP / 2] - (double)sorted[SKIP / 2]) / 255));
    for (int share = 1; share <= STATIC_RANGE_SHARES; share++) {
        double part = (double)share / STATIC_RANGE_SHARES;
        float try = (float)(fmax(-(low * part), high * part) / 127);
        float asym_try = (float)((high * part - low * part) / 255);
        int zero = -128 + (int)rint(-(low * part) / ((high * part - low * part) / 255));
        double error = int8_error(x, ALL, try, 0, -127), asym_error = int8_error(x, ALL, asym_try, zero, -128);
        scale = error < best ? try : scale;
        asym_scale = asym_error < asym_best ? asym_try : asym_scale;
        best = fmin(best, error);
        asym_best = fmin(asym_best, asym_error);
    }
    assert_true(largest > 0 && chosen("int8/int8.static.mse", &s, NULL).scale == scale);
    assert_true(chosen("int8/int8.static.mse.asym", &s, NULL).scale == asym_scale);
    for (size_t i = 0; i < ALL; i++)
        sorted[i] = fabsf(x[i]);
    qsort(sorted, ALL, sizeof *sorted, ascending);
    assert_true(chosen("int8/int8.static.percentile", &s, NULL).scale ==
                (float)((double)sorted[ALL - 1 - SKIP] / 127));
    input_stats_free(&s);
    free(x);
    free(sorted);
}

static void test_static_scales_are_used(void **state)
{
    (void)state;
    struct fixture f = open_fixture(&untied);
    static const char *const schemes[] = {"int8/int8.static", "int8/int8.static.mse.asym",
                                          "fp8/fp8.static:tensor", "int4/int8.static.kl:g16:asym:smoothquant"};
    for (size_t i = 0; i < 4; i++) {
        struct weights *set = quantized(&f, schemes[i], NULL);
        int t = model_find(f.model, ROLE_FFN_DOWN, 1);
        assert_true(set->layer[t]->matrix.input_transform->act_scale > 0);
        double distance = set_distance(&f, set);
        weights_unref(set);
        fprintf(stderr, "%s: %.3g\n", schemes[i], distance);
        assert_true(distance < 0.6);
    }
    close_fixture(&f);
}

/* ---- what must not go wrong ------------------------------------------------------------------ */

static void test_statistics(void **state)
{
    (void)state;
    float x[] = {1, -2, 0, 3, 4, 0, NAN, 1, 1, -5, INFINITY, 0, -1, 0.5f, 0};
    struct input_stats s = stats_of(x, 3, 5);
    assert_int_equal(s.tokens, 3);
    assert_int_equal(s.nonfinite_tokens, 2);
    assert_int_equal(s.samples, 3);
    assert_true(s.min[0] == -1 && s.max[0] == 3 && s.min[1] == -2 && s.max[1] == 4);
    assert_true(input_largest(&s, 2) == 0 && input_mean(&s, 2) == 0);
    assert_true(fabs(input_mean(&s, 0) - 5.0 / 3) < 1e-12);
    assert_true(fabs(s.sum_squares[1] - 20.25) < 1e-12);
    assert_memory_equal(s.sample + 6, x + 12, 3 * sizeof *x);
    uint32_t columns[3];
    assert_int_equal(outlier_columns(&s, 4, columns), 1);
    assert_int_equal(columns[0], 1);
    assert_int_equal(outlier_columns(&s, 0, columns), 3);
    assert_int_equal(outlier_columns(&s, INFINITY, columns), 0);
    input_stats_free(&s);
}

static void assert_finite_set(const struct fixture *f, const struct weights *set)
{
    float row[1024];
    for (size_t t = 1; t < set->count; t++) /* but for the embedding */
        for (size_t r = 0; r < set->layer[t]->matrix.rows; r++) {
            qmatrix_decode_row(&set->layer[t]->matrix, r, row);
            for (size_t c = 0; c < set->layer[t]->matrix.cols; c++)
                if (!isfinite(row[c]))
                    fail_msg("%s, row %zu, column %zu: %g", f->model->tensors[t].name, r, c, (double)row[c]);
        }
}

static const char *const every_method[] = {"int4:channel:gptq", "int4:g32:asym:awq+clip+gptq", "int4:awq",
                                           "int8:tensor:asym:smoothquant(alpha=search)+gptq(sequence=0)",
                                           "w8a8:llmint8", "int4/int8.static.kl:smoothquant", "fp8/fp8.static"};
enum { METHODS = sizeof every_method / sizeof *every_method };

/* One token over and over, and channels that are constant or never used: singular Hessians. */
static void test_singular_inputs(void **state)
{
    (void)state;
    struct fixture f = open_fixture(&wide);
    for (size_t i = 0; i < f.text.count; i++)
        f.text.tokens[i] = 7;
    for (size_t i = 0; i < METHODS; i += test_stride()) {
        struct weights *set = quantized(&f, every_method[i], NULL);
        assert_finite_set(&f, set);
        weights_unref(set);
    }
    struct quantization *q;
    struct weights *set = quantized(&f, "int4:channel:gptq(damp=1e-6)", &q);
    assert_finite_set(&f, set);
    size_t raised = 0;
    for (const char *note; (note = quantization_note(q, raised)); raised++)
        assert_non_null(strstr(note, "damping raised from 1e-06 to"));
    fprintf(stderr, "damping raised %zu times\n", raised);
    assert_true(raised > 0);
    quantization_close(q);
    weights_unref(set);
    close_fixture(&f);
}

/* A column whose factor fails: no factor comes of it. */
static void test_indefinite_hessian(void **state)
{
    (void)state;
    struct hessian h;
    struct factor f;
    struct fixed_layer l = made_layer(1, 50, 100);
    assert_true(hessian_open(&h, 50, NULL));
    hessian_add(&h, pool, l.x, 50, 100);
    h.h[20 * tiled_stride(50) + 20] = -1e6f;
    assert_true(factor_open(&f, &h, NULL, 0.01, (struct column_order){true, 1}, NULL));
    while (!factor_step(&f, pool))
        continue;
    assert_true(f.l.failed && f.dead[49]);
    factor_free(&f);
    hessian_free(&h);
    free_layer(&l);
}

/* The stored weights of a tensor, to be spoiled: the model's file is mapped, so a copy takes its place. */
static float *spoil(struct fixture *f, int tensor)
{
    struct qmatrix *w = &f->model->tensors[tensor].stored;
    float *copy = make(w->rows * w->cols * sizeof *copy);
    for (size_t r = 0; r < w->rows; r++)
        qmatrix_decode_row(w, r, copy + r * w->cols);
    w->codes = (const uint8_t *)copy;
    w->row_bytes = w->cols * sizeof *copy;
    weights_unref(f->stored);
    f->stored = weights_stored(f->model);
    return copy;
}

/* Embeddings of some tokens are NaN: those are left out, and said so; of all: refused. */
static void test_activations_that_are_not_finite(void **state)
{
    (void)state;
    struct fixture f = open_fixture(&untied);
    float *embedding = spoil(&f, 0);
    for (size_t t = 0; t < 2; t++)
        for (size_t c = 0; c < 32; c++)
            embedding[((size_t)f.text.tokens[WINDOW - 1 - t]) * 32 + c] = t ? NAN : INFINITY;
    for (size_t i = 0; i < METHODS; i++) {
        struct quantization *q;
        struct weights *set = quantized(&f, every_method[i], &q);
        assert_finite_set(&f, set);
        assert_non_null(quantization_note(q, 0));
        assert_non_null(strstr(quantization_note(q, 0), "not finite"));
        quantization_close(q);
        weights_unref(set);
    }
    free(embedding);
    close_fixture(&f);
}

static void test_no_finite_activation(void **state)
{
    (void)state;
    struct fixture f = open_fixture(&untied);
    float *norm = spoil(&f, model_find(f.model, ROLE_ATTN_NORM, 1));
    norm[3] = NAN;
    struct scheme schemes[64];
    struct error error = {""};
    for (size_t t = 0; t < f.model->tensor_count; t++)
        schemes[t] = scheme_stored(&f.model->tensors[t].stored);
    schemes_set_linear(f.model, parsed("int4:gptq"), schemes);
    struct quantization_plan plan = {.model = f.model, .pool = pool, .from = f.stored, .stored = f.stored,
                                     .schemes = schemes, .text = &f.text};
    struct quantization *q = quantization_open(&plan, &error);
    bool done = false, ok = true;
    while (ok && !done)
        ok = quantization_step(q, 1, &done, &error);
    assert_false(ok);
    assert_non_null(strstr(error.text, "blk.1.attn_q: no token"));
    quantization_close(q);
    free(norm);
    close_fixture(&f);
}

/* Weights that are not finite become what rounding makes of them, in their rows alone. */
static void test_weights_that_are_not_finite(void **state)
{
    (void)state;
    struct fixed_layer l = made_layer(20, 70, 100), sane = made_layer(20, 70, 100);
    struct scheme s = parsed("int4:channel:gptq");
    l.w[3 * 70 + 5] = NAN;
    l.w[17 * 70 + 9] = INFINITY;
    struct qtensor *p = pack_layer(&l, &s, NULL), *whole = pack_layer(&sane, &s, NULL);
    float a[70], b[70];
    for (size_t r = 0; r < 20; r++) {
        qmatrix_decode_row(&p->matrix, r, a);
        qmatrix_decode_row(&whole->matrix, r, b);
        for (size_t c = 0; c < 70; c++)
            assert_true(isfinite(a[c]) && (r == 3 || r == 17 || a[c] == b[c]));
    }
    qtensor_unref(p);
    qtensor_unref(whole);
    free_layer(&l);
    free_layer(&sane);
}

static void test_texts(void **state)
{
    (void)state;
    struct calibration_text text;
    struct error error = {""};
    int32_t tokens[CALIBRATION_MAX + 100];
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        tokens[i] = 5;
    assert_false(calibration_text_make(&text, tokens, CALIBRATION_MIN - 1, 1, 64, &error));
    assert_non_null(strstr(error.text, "127 tokens; expected at least 128"));
    assert_true(calibration_text_make(&text, tokens, CALIBRATION_MIN, 1, 64, &error));
    assert_int_equal(text.window, 64);
    assert_int_equal(text.count, 128 + 3);
    for (size_t i = 0; i < text.count; i++)
        assert_int_equal(text.tokens[i], i % 64 ? 5 : 1);
    free(text.tokens);
    assert_true(calibration_text_make(&text, tokens, CALIBRATION_MAX + 100, -1, 4096, &error));
    assert_int_equal(text.window, CALIBRATION_WINDOW);
    assert_int_equal(text.count, CALIBRATION_MAX);
    free(text.tokens);
    assert_true(calibration_text_make(&text, tokens, 200, 1, 1, &error)); /* no room for BOS */
    assert_int_equal(text.count, 200);
    free(text.tokens);
}

/* A plan may have every layer calibrated on the stored weights: the same as sequence=0. */
static void test_calibrated_on_stored(void **state)
{
    (void)state;
    struct fixture f = open_fixture(&untied);
    struct weights *on = quantized_on(&f, "int4:gptq", true, NULL), *other = quantized(&f, "int4:gptq", NULL);
    struct weights *none = quantized(&f, "int4:gptq(sequence=0)", NULL);
    float *a = logits_of(&f, on), *b = logits_of(&f, none), *c = logits_of(&f, other);
    size_t vocab = f.model->hyper.vocab;
    assert_memory_equal(a, b, vocab * sizeof *a);
    assert_memory_not_equal(a, c, vocab * sizeof *a);
    free(a);
    free(b);
    free(c);
    weights_unref(on);
    weights_unref(other);
    weights_unref(none);
    close_fixture(&f);
}

static void test_plans_that_cannot_be(void **state)
{
    (void)state;
    struct fixture f = open_fixture(&untied);
    struct scheme schemes[64];
    struct error error = {""};
    for (size_t t = 0; t < f.model->tensor_count; t++)
        schemes[t] = scheme_stored(&f.model->tensors[t].stored);
    schemes[0] = parsed("int4:gptq"); /* an embedding that is no head */
    struct quantization_plan plan = {.model = f.model, .pool = pool, .from = f.stored, .stored = f.stored,
                                     .schemes = schemes, .text = &f.text};
    assert_null(quantization_open(&plan, &error));
    assert_non_null(strstr(error.text, "token_embd: not a matrix product"));
    schemes[0] = scheme_stored(&f.model->tensors[0].stored);
    schemes[model_find(f.model, ROLE_ATTN_Q, 0)] = parsed("int4:gptq");
    plan.text = NULL;
    assert_null(quantization_open(&plan, &error));
    assert_non_null(strstr(error.text, "no calibration text"));
    struct qtensor *p = requantize(f.model, 2, &schemes[2], pool, &error);
    qtensor_unref(p);
    assert_null(requantize(f.model, model_find(f.model, ROLE_ATTN_Q, 0),
                           &schemes[model_find(f.model, ROLE_ATTN_Q, 0)], pool, &error));
    assert_non_null(strstr(error.text, "needs calibration"));
    close_fixture(&f);
}

/* Cancelled anywhere, a job leaves nothing behind; only what changed is made anew. */
static void test_jobs_in_parts(void **state)
{
    (void)state;
    struct fixture f = open_fixture(&untied);
    struct scheme schemes[64];
    struct error error = {""};
    for (size_t i = 0; i < METHODS; i++) {
        for (size_t t = 0; t < f.model->tensor_count; t++)
            schemes[t] = scheme_stored(&f.model->tensors[t].stored);
        schemes_set_linear(f.model, parsed(every_method[i]), schemes);
        struct quantization_plan plan = {.model = f.model, .pool = pool, .from = f.stored, .stored = f.stored,
                                     .schemes = schemes, .text = &f.text};
        for (size_t steps = 0; steps < 40; steps += 3) {
            struct quantization *q = quantization_open(&plan, &error);
            bool done = false;
            for (size_t n = 0; n < steps && !done; n++)
                assert_true(quantization_step(q, 0, &done, &error));
            quantization_close(q);
        }
    }
    struct weights *set = quantized(&f, "int4:gptq", NULL);
    int one = model_find(f.model, ROLE_FFN_UP, 1);
    for (size_t t = 0; t < f.model->tensor_count; t++)
        schemes[t] = qtensor_scheme(set->layer[t]);
    schemes[one] = parsed("int4:awq");
    struct quantization_plan plan = {.model = f.model, .pool = pool, .from = set, .stored = f.stored,
                                     .schemes = schemes, .text = &f.text};
    struct quantization *q = quantization_open(&plan, &error);
    bool done = false;
    while (!done)
        assert_true(quantization_step(q, 1, &done, &error));
    struct weights *next = quantization_take(q);
    for (int t = 0; t < (int)next->count; t++)
        assert_int_equal(next->layer[t] == set->layer[t], t != one);
    quantization_close(q);
    weights_unref(next);
    weights_unref(set);
    close_fixture(&f);
}

/* Any number of threads makes the same codes and scales. */
static void test_threads(void **state)
{
    (void)state;
    struct pool *two = pool;
    struct fixture f = open_fixture(&wide);
    for (size_t i = 0; i < METHODS; i += test_stride()) {
        struct weights *sets[3];
        for (int threads = 1; threads <= 3; threads++) {
            pool = pool_create(threads, NULL);
            sets[threads - 1] = quantized(&f, every_method[i], NULL);
            pool_destroy(pool);
        }
        pool = two;
        for (size_t t = 0; t < sets[0]->count; t++)
            for (size_t r = 0; r < sets[0]->layer[t]->matrix.rows; r++) {
                float row[3][1024];
                for (int k = 0; k < 3; k++)
                    qmatrix_decode_row(&sets[k]->layer[t]->matrix, r, row[k]);
                size_t bytes = sets[0]->layer[t]->matrix.cols * sizeof(float);
                assert_memory_equal(row[0], row[1], bytes);
                assert_memory_equal(row[0], row[2], bytes);
            }
        for (int k = 0; k < 3; k++)
            weights_unref(sets[k]);
    }
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_gptq_against_float64),
        cmocka_unit_test(test_gptq_targets),
        cmocka_unit_test(test_gptq_is_never_worse_than_rounding),
        cmocka_unit_test(test_gptq_of_codes_chosen_together),
        cmocka_unit_test(test_gptq_weighs_columns),
        cmocka_unit_test(test_gptq_of_a_dead_column),
        cmocka_unit_test(test_gptq_with_input_scale),
        cmocka_unit_test(test_clip),
        cmocka_unit_test(test_clip_of_a_tensor),
        cmocka_unit_test(test_awq_clips),
        cmocka_unit_test(test_sliced_product),
        cmocka_unit_test(test_trials_of_some_rows),
        cmocka_unit_test(test_input_scales_change_nothing_in_fp32),
        cmocka_unit_test(test_joint_search),
        cmocka_unit_test(test_products_together),
        cmocka_unit_test(test_llmint8_at_its_ends),
        cmocka_unit_test(test_llmint8_between),
        cmocka_unit_test(test_injected_outliers),
        cmocka_unit_test(test_outliers_in_writing),
        cmocka_unit_test(test_static_ranges),
        cmocka_unit_test(test_static_ranges_in_parts),
        cmocka_unit_test(test_static_scales_are_used),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_singular_inputs),
        cmocka_unit_test(test_indefinite_hessian),
        cmocka_unit_test(test_activations_that_are_not_finite),
        cmocka_unit_test(test_no_finite_activation),
        cmocka_unit_test(test_weights_that_are_not_finite),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_calibrated_on_stored),
        cmocka_unit_test(test_plans_that_cannot_be),
        cmocka_unit_test(test_jobs_in_parts),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
