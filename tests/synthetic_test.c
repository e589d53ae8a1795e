/* Models with random weights: their shapes, their distribution, that the same bits come back after they
 * were dropped, and that nothing keeps them in memory longer than it must. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "caches.h"
#include "lockstep.h"
#include "support.h"
#include "session/selftext.h"
#include "session/session_weights.h"

#include "base/clock.h"
#include "engine/pin.h"
#include "sys/memory.h"
#include "lab/lab.h"
#include "measure/quality.h"
#include "model/on_demand.h"
#include "quant/recipe.h"
#include "quant/requant.h"

#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Columns that are no multiple of a run, rows that no number of threads divides. */
static const struct shape tiny = {
    "tiny", "a shape for tests", 0,
    "{\"model_type\": \"llama\", \"hidden_size\": 328, \"intermediate_size\": 520, \"num_hidden_layers\": 3,"
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"vocab_size\": 701, \"max_position_embeddings\": 96,"
    "\"rope_theta\": 10000, \"rms_norm_eps\": 1e-5}"};

/* Fast enough to write and evaluate a text in a moment, also with sanitizers. */
static const struct shape smallest = {
    "smallest", "a shape for tests", 0,
    "{\"model_type\": \"llama\", \"hidden_size\": 64, \"intermediate_size\": 96, \"num_hidden_layers\": 2,"
    "\"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"vocab_size\": 200, \"max_position_embeddings\": 64,"
    "\"rope_theta\": 10000, \"rms_norm_eps\": 1e-5}"};

static struct error error;

static struct model *open_shape(const struct shape *shape)
{
    struct model *m = shape ? synthetic_open(shape, &error) : NULL;
    if (!m)
        fail_msg("%s", error.text);
    return m;
}

static bool all_zero(const struct qmatrix *w)
{
    for (size_t i = 0; i < w->bytes; i++)
        if (w->codes[i])
            return false;
    return true;
}

static size_t absent_bytes(const struct model *m)
{
    size_t bytes = 0;
    for (int t = 0; t < (int)m->tensor_count; t++)
        bytes += model_absent_bytes(m, t);
    return bytes;
}

static size_t made_bytes(const struct model *m)
{
    size_t bytes = 0;
    for (int t = 0; t < (int)m->tensor_count; t++)
        bytes += model_on_demand(m, t) ? m->tensors[t].stored.bytes : 0;
    return bytes;
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static void test_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < shape_count; i++) {
        const struct shape *s = &shapes[i];
        assert_ptr_equal(shape_find(s->name, &error), s);
        struct model *m = open_shape(s);
        const struct hyper *h = &m->hyper;
        assert_string_equal(m->format, "synthetic");
        assert_true(h->layers > 0 && h->vocab >= 32000 && h->trained_context >= 1024);
        assert_int_equal(model_find(m, ROLE_OUTPUT, -1) == 0, m->tied);
        if (!(fabs((double)m->parameters / s->parameters - 1) <= 0.02))
            fail_msg("%s: %zu parameters; the real one has %.0f", s->name, m->parameters, s->parameters);
        assert_int_equal(absent_bytes(m), made_bytes(m)); /* opening makes nothing */
        model_close(m);
    }
}

static void test_unknown_shape(void **state)
{
    (void)state;
    assert_null(shape_find("llama", &error));
    assert_non_null(strstr(error.text, "'llama'"));
    assert_null(shape_find("qwen3-30b-a3c", &error));
    assert_non_null(strstr(error.text, "nearest is qwen3-30b-a3b"));
}

/* ---- bits ------------------------------------------------------------------------------------ */

static uint64_t digest(const struct model *m)
{
    uint64_t hash = FNV_START;
    for (size_t t = 0; t < m->tensor_count; t++)
        hash = fnv1a(hash, m->tensors[t].stored.codes, m->tensors[t].stored.bytes);
    return hash;
}

static void acquire_all(const struct model *m, struct pool *pool, bool backwards)
{
    int n = (int)m->tensor_count;
    for (int i = 0; i < n; i++)
        assert_true(model_acquire(m, backwards ? n - 1 - i : i, pool, &error));
}

/* The bits depend on nothing but the shape: not on threads, order, or an earlier life. */
static void test_same_bits(void **state)
{
    (void)state;
    struct model *a = open_shape(&tiny), *b = open_shape(&tiny);
    struct pool *pool = pool_create(5, &error);
    assert_non_null(pool);
    acquire_all(a, NULL, false);
    acquire_all(b, pool, true);
    assert_int_equal(digest(a), digest(b));
    assert_int_equal(digest(a), 0xcc970034e78a12cb); /* and not on the build */
    for (int t = 0; t < (int)b->tensor_count; t++)
        model_release(b, t);
    acquire_all(b, pool, false);
    assert_int_equal(digest(a), digest(b));
    pool_destroy(pool);
    model_close(a);
    model_close(b);
}

static void test_dropped_when_nobody_needs_them(void **state)
{
    (void)state;
    struct model *m = open_shape(&tiny);
    int q = model_find(m, ROLE_ATTN_Q, 1), norm = model_find(m, ROLE_ATTN_NORM, 1);
    const struct qmatrix *w = &m->tensors[q].stored;
    assert_true(all_zero(w));
    assert_int_equal(model_absent_bytes(m, q), w->bytes);
    assert_true(model_acquire(m, q, NULL, &error));
    assert_true(model_acquire(m, q, NULL, &error));
    uint64_t made = fnv1a(FNV_START, w->codes, w->bytes);
    model_release(m, q);
    assert_int_equal(fnv1a(FNV_START, w->codes, w->bytes), made);
    assert_int_equal(model_absent_bytes(m, q), 0);
    model_release(m, q);
    assert_true(all_zero(w));
    assert_int_equal(model_absent_bytes(m, q), w->bytes);
    assert_false(model_on_demand(m, norm)); /* small: always there */
    assert_false(all_zero(&m->tensors[norm].stored));
    model_close(m);
}

/* A row made alone is the row of the whole. */
static void test_rows_alone(void **state)
{
    (void)state;
    struct model *m = open_shape(&tiny);
    acquire_all(m, NULL, false);
    float alone[701], whole[701];
    for (int t = 0; t < (int)m->tensor_count; t++) {
        const struct qmatrix *w = &m->tensors[t].stored;
        for (size_t r = 0; r < w->rows; r++) {
            model_decode_row(m, t, r, alone);
            qmatrix_decode_row(w, r, whole);
            assert_memory_equal(alone, whole, w->cols * sizeof *alone);
        }
    }
    model_close(m);
}

/* ---- the distribution ------------------------------------------------------------------------ */

struct moments {
    double n, sum, squares, fourth, neighbours, above;
};

static void add(struct moments *m, double w, double left, double up)
{
    m->n++;
    m->sum += w;
    m->squares += w * w;
    m->fourth += w * w * w * w;
    m->neighbours += w * left;
    m->above += w * up;
}

/* Mean, deviation, kurtosis and independence of neighbours, each within five standard errors. */
static void check_moments(const char *name, const struct moments *m, double deviation)
{
    double variance = m->squares / m->n, root = sqrt(m->n);
    double errors[] = {m->sum / m->n / deviation, (sqrt(variance) / deviation - 1) * sqrt(2),
                       (m->fourth / m->n / (variance * variance) - 3) / sqrt(24),
                       m->neighbours / m->n / variance, m->above / m->n / variance};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (!(fabs(errors[i]) <= 5 / root + (i == 2 ? 0.01 : i == 1 ? 1e-3 : 0)))
            fail_msg("%s: moment %zu is off by %g with %.0f weights", name, i, errors[i], m->n);
}

static void study_tensor(const struct model *m, int t)
{
    const struct tensor *tensor = &m->tensors[t];
    size_t rows = tensor->stored.rows, cols = tensor->stored.cols;
    struct moments usual = {0}, outliers = {0};
    float *row = make(cols * sizeof *row), *before = make(cols * sizeof *before);
    for (size_t r = 0; r < rows; r++) {
        memcpy(before, row, cols * sizeof *row);
        model_decode_row(m, t, r, row);
        for (size_t c = 1; c < cols && r > 0; c++) {
            bool outlier = synthetic_outlier(t, c / GENERATOR_RUN) == c;
            bool beside = synthetic_outlier(t, (c - 1) / GENERATOR_RUN) == c - 1;
            add(outlier ? &outliers : &usual, row[c],
                beside || outlier ? 0 : row[c - 1], before[c]);
        }
    }
    double deviation = synthetic_deviation(m, tensor->role);
    check_moments(tensor->name, &usual, deviation);
    check_moments(tensor->name, &outliers, deviation * OUTLIER_FACTOR);
    assert_true(outliers.n / usual.n > 0.5 / GENERATOR_RUN && outliers.n / usual.n < 2.0 / GENERATOR_RUN);
    free(row);
    free(before);
}

static void test_distribution(void **state)
{
    static const enum role studied[] = {ROLE_ATTN_Q, ROLE_ATTN_OUT, ROLE_FFN_UP, ROLE_FFN_DOWN};
    (void)state;
    struct model *m = open_shape(shape_find("smollm2-135m", &error));
    for (size_t i = 0; i < sizeof studied / sizeof *studied; i++)
        study_tensor(m, model_find(m, studied[i], 17));
    for (size_t t = 0; t < m->tensor_count; t++)
        for (size_t c = 0; roles[m->tensors[t].role].vector && c < m->hyper.dim; c++) {
            float w;
            memcpy(&w, m->tensors[t].stored.codes + c * sizeof w, sizeof w);
            assert_true(w > 0.7f && w < 1.3f);
        }
    model_close(m);
}

/* ---- running --------------------------------------------------------------------------------- */

static void open_session(struct session *s, const struct shape *shape)
{
    struct session_options o = {.synthetic = shape, .threads = 2};
    if (!shape || !session_open(s, &o, &error))
        fail_msg("%s", error.text);
}

/* Activations stay finite and logits sane through thirty blocks. */
static void test_logits(void **state)
{
    (void)state;
    struct session s;
    struct pin pin;
    open_session(&s, shape_find("smollm2-135m", &error));
    assert_null(s.tokenizer);
    size_t vocab = s.model->hyper.vocab;
    float *logits = make(vocab * sizeof *logits);
    int32_t tokens[] = {1, 2000, 30000};
    struct context *c = context_open(s.model, s.pool, 3, &error);
    assert_non_null(c);
    assert_true(pin_open(&pin, s.model, &error) && pin_set(&pin, s.stored, s.pool, &error));
    context_prefill(c, s.stored, tokens, 3, logits);
    double sum = 0, squares = 0;
    for (size_t i = 0; i < vocab; i++) {
        sum += logits[i];
        squares += (double)logits[i] * logits[i];
    }
    double deviation = sqrt(squares / (double)vocab);
    if (!(fabs(sum / (double)vocab) <= 0.1 && deviation >= 1 && deviation <= 4))
        fail_msg("logits: mean %g, deviation %g", sum / (double)vocab, deviation);
    pin_close(&pin);
    context_close(c);
    free(logits);
    session_close(&s);
}

static struct scheme *linear_schemes(const struct session *s, const char *text)
{
    struct scheme scheme, *schemes = session_schemes(s, &error);
    assert_non_null(schemes);
    assert_true(scheme_parse(text, &scheme, &error));
    schemes_set_linear(s->model, scheme, schemes);
    return schemes;
}

/* Packing needs one stored tensor at a time and leaves none; the result is that of a tensor which was
 * there all the while. */
static void test_packing_leaves_nothing(void **state)
{
    (void)state;
    struct session s;
    struct scheme scheme;
    open_session(&s, &tiny);
    int t = model_find(s.model, ROLE_FFN_DOWN, 2);
    assert_true(scheme_parse("int4:g32", &scheme, &error));
    struct qtensor *a = requantize(s.model, t, &scheme, s.pool, &error);
    assert_int_equal(absent_bytes(s.model), made_bytes(s.model));
    assert_true(model_acquire(s.model, t, NULL, &error));
    struct qtensor *b = requantize(s.model, t, &scheme, s.pool, &error);
    assert_int_equal(model_absent_bytes(s.model, t), 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_memory_equal(a->matrix.codes, b->matrix.codes, a->matrix.row_bytes * a->matrix.rows);
    assert_true(a->error.sum_e2 > 0 && a->error.sum_e2 == b->error.sum_e2);
    qtensor_unref(a);
    qtensor_unref(b);
    session_close(&s);
}

static struct detail *describe(const struct model *m, struct qtensor *p)
{
    struct detail_job job;
    assert_true(detail_begin(&job, m, p));
    while (!detail_step(&job, 1))
        continue;
    struct detail *d = detail_take(&job);
    detail_end(&job);
    return d;
}

/* Histograms and number lines of a stored matrix that is not in memory. */
static void test_described_in_absence(void **state)
{
    (void)state;
    struct session s;
    open_session(&s, &tiny);
    int t = model_find(s.model, ROLE_ATTN_V, 0);
    struct detail *d[2];
    struct weight_view v[2];
    for (int there = 0; there < 2; there++) {
        if (there)
            assert_true(model_acquire(s.model, t, NULL, &error));
        d[there] = describe(s.model, s.stored->layer[t]);
        v[there] = weight_view(s.model, s.stored->layer[t], 5, 77);
    }
    assert_true(v[0].valid && v[0].w != 0 && v[0].decoded == v[0].w);
    assert_true(v[0].w == v[1].w && v[0].decoded == v[1].decoded && v[0].code == v[1].code);
    assert_memory_equal(&d[0]->before, &d[1]->before, sizeof d[0]->before);
    assert_memory_equal(&d[0]->after, &d[1]->after, sizeof d[0]->after);
    assert_true(d[0]->mse == 0 && d[0]->cosine > 0.999999);
    detail_unref(d[0]);
    detail_unref(d[1]);
    session_close(&s);
}

static void test_quality(void **state)
{
    (void)state;
    struct session s;
    open_session(&s, &tiny);
    struct scheme *schemes = linear_schemes(&s, "int8");
    struct weights *set = session_weights(&s, schemes, &error);
    assert_non_null(set);
    struct writer *writer = writer_open(&s, 60, 1, &error);
    assert_non_null(writer);
    while (!writer_step(writer, 1))
        continue;
    struct quality_plan plan = {writer_tokens(writer)->ids, 60, session_start(&s), PROTOCOL_FULL, 30, 0, NULL};
    struct quality *q = quality_open(s.model, s.pool, &plan, s.stored, set, &error);
    assert_non_null(q);
    assert_int_equal(absent_bytes(s.model), 0); /* both run */
    while (!quality_step(q, 1))
        continue;
    struct quality_result r = quality_result(q);
    quality_close(q);
    writer_close(writer);
    assert_int_equal(absent_bytes(s.model), made_bytes(s.model)); /* and neither does */
    assert_true(r.perplexity > 10 && r.perplexity < 701);
    assert_true(r.kl > 0 && r.kl < 0.05);
    weights_unref(set);
    free(schemes);
    session_close(&s);
}

/* ---- the lab --------------------------------------------------------------------------------- */

typedef bool frame_test(const struct frame *f);

static bool is_quantized_and_runs(const struct frame *f)
{
    return f->pending == 0 && f->speed.decode.valid;
}

static bool is_stored_and_runs(const struct frame *f)
{
    return f->layers[2].wanted.format.stored && f->pending == 0 && f->speed.decode.valid;
}

static bool is_evaluated(const struct frame *f)
{
    return f->quality.valid && !f->quality.running;
}

static void wait_frame(struct lab *lab, frame_test *holds, const char *what)
{
    struct pollfd wake = {lab_wake_descriptor(lab), POLLIN, 0};
    double deadline = clock_seconds() + PATIENCE;
    while (clock_seconds() < deadline) {
        struct frame *f = lab_frame(lab);
        bool yes = f && holds(f);
        frame_unref(f);
        if (yes)
            return;
        poll(&wake, 1, 1000);
    }
    fail_msg("no frame shows: %s", what);
}

/* The most bytes of stored weights that are in memory at once until everything is quantized: seen while the lab waits
 * for its frame to be taken, so that no matrix comes or goes meanwhile. */
static size_t most_made(const struct model *m, struct lab *lab)
{
    size_t least_absent = made_bytes(m);
    struct pollfd wake = {lab_wake_descriptor(lab), POLLIN, 0};
    for (bool pending = true; pending;) {
        assert_int_equal(poll(&wake, 1, 1000 * PATIENCE), 1);
        size_t absent = absent_bytes(m);
        least_absent = absent < least_absent ? absent : least_absent;
        struct frame *f = lab_frame(lab);
        pending = f->pending > 0;
        frame_unref(f);
    }
    return made_bytes(m) - least_absent;
}

/* Only what the schemes leave stored is made, and one tensor more to pack from; what is put back is
 * made before it runs. */
static void test_lab(void **state)
{
    (void)state;
    struct session s;
    open_session(&s, &smallest);
    struct scheme *schemes = linear_schemes(&s, "int8"), stored = {.format.stored = true};
    struct lab_options o = {.schemes = schemes, .seed = 1, .temperature = 1, .top_p = 1};
    int linear = 2, head = model_find(s.model, ROLE_OUTPUT, -1);
    assert_true(roles[s.model->tensors[linear].role].linear);
    struct lab *lab = lab_start(&s, &o, &error);
    assert_non_null(lab);
    const struct tensor *tensors = s.model->tensors;
    assert_true(most_made(s.model, lab) <= 3 * tensors[head].stored.bytes); /* the largest */
    wait_frame(lab, is_quantized_and_runs, "quantized");
    assert_int_equal(model_absent_bytes(s.model, head), 0);
    lab_send(lab, &(struct command){.kind = COMMAND_SET, .tensors = &linear, .tensor_count = 1,
                                    .scheme = stored});
    wait_frame(lab, is_stored_and_runs, "stored again");
    assert_int_equal(model_absent_bytes(s.model, linear), 0);
    lab_send(lab, &(struct command){.kind = COMMAND_EVALUATE});
    wait_frame(lab, is_evaluated, "evaluated");
    lab_stop(lab);
    assert_int_equal(absent_bytes(s.model), made_bytes(s.model));
    free(schemes);
    session_close(&s);
}

/* ---- the program ----------------------------------------------------------------------------- */

struct result {
    int status;
    char out[8192]; /* standard output and standard error */
    size_t peak;    /* bytes of memory */
};

static struct result run_program(const char *const *args)
{
    struct result r = {0};
    struct rusage usage;
    int fds[2], status;
    const char *words[16] = {getenv("QTOP_BIN")};
    words[0] = words[0] ? words[0] : "./qtop";
    for (size_t i = 0; args[i]; i++)
        words[i + 1] = args[i];
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(fds[1], 1);
        dup2(fds[1], 2);
        close(fds[0]);
        execv(words[0], (char *const *)(uintptr_t)words);
        _exit(127);
    }
    close(fds[1]);
    size_t used = 0;
    for (ssize_t n; (n = read(fds[0], r.out + used, sizeof r.out - 1 - used)) > 0;)
        used += (size_t)n;
    close(fds[0]);
    assert_int_equal(wait4(child, &status, 0, &usage), child);
    r.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    r.peak = (size_t)usage.ru_maxrss * 1024;
    return r;
}

#define RUN(...) run_program((const char *const[]){__VA_ARGS__, NULL})

static void check_refusal(struct result r, int status, const char *needle)
{
    char *end = strchr(r.out, '\n');
    if (r.status != status || strncmp(r.out, "qtop: ", 6) != 0 || !end || end[1] ||
        !strstr(r.out, needle))
        fail_msg("status %d, expected %d with '%s': %s", r.status, status, needle, r.out);
}

static void test_usage(void **state)
{
    (void)state;
    check_refusal(RUN("bench", "--synthetic", "gpt3"), 2, "gpt2");
    check_refusal(RUN("bench", "--synthetic", ""), 2, "nearest");
    check_refusal(RUN("inspect", "--synthetic", "gpt2", "model.bin"), 2, "model.bin");
    check_refusal(RUN("tokenize", "--synthetic", "gpt2"), 2, "tokenize");
    check_refusal(RUN("bench", "--synthetic"), 2, "argument");
    check_refusal(RUN("generate", "--synthetic", "gpt2", "-p", "hello"), 1, "tokenizer");
    check_refusal(RUN("generate", "--synthetic", "gpt2", "-p", "1 50257"), 1, "tokenizer");
}

static void test_larger_than_memory(void **state)
{
    (void)state;
    if (memory_available() > (size_t)150 << 30)
        skip();
    struct result r = RUN("bench", "--synthetic", "llama3.1-405b", "-s", "int4");
    check_refusal(r, 1, "MiB");
    assert_true(r.peak < (size_t)300 << 20);
    check_refusal(RUN("eval", "--synthetic", "llama3.1-405b", "-c", "16"), 1, "MiB");
    r = RUN("plan", "--synthetic", "llama3.1-405b", "--roof", "2TB/s");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "n/a"));
}

static void test_bench(void **state)
{
    (void)state;
    struct result r = RUN("bench", "--synthetic", "gpt2", "-s", "w4a16", "-n", "1",
                          "--prompt-tokens", "1", "--json");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "\"decode_tokens_per_second\":"));
    assert_null(strstr(r.out, "\"decode_tokens_per_second\":null"));
}

/* Ids stand for text, and the fp16 weights are never in memory all at once. */
static void test_generate(void **state)
{
    (void)state;
    struct model *m = open_shape(shape_find("gpt2", &error));
    size_t stored = made_bytes(m);
    model_close(m);
    int a, b, c;
    struct result r = RUN("generate", "--synthetic", "gpt2", "-s", "w4a16", "-n", "1", "-p",
                          "7 1234", "--temperature", "0");
    assert_int_equal(r.status, 0);
    int n = sscanf(r.out, "%d %d %d", &a, &b, &c);
    if (!(n == 3 && a == 7 && b == 1234 && c >= 0 && c < 50257))
        fail_msg("%s", r.out);
    if (!SANITIZED && /* whose own memory counts, too */
        !(r.peak < stored * 3 / 4))
        fail_msg("peak %zu MiB; the stored weights are %zu MiB", r.peak >> 20, stored >> 20);
}

int main(void)
{
    caches_shrink();
    const struct CMUnitTest tests[] = {
        /* The peaks of children count this program's own memory until they begin: they come first. */
        cmocka_unit_test(test_larger_than_memory),
        cmocka_unit_test(test_bench),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_unknown_shape),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_dropped_when_nobody_needs_them),
        cmocka_unit_test(test_rows_alone),
        cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_packing_leaves_nothing),
        cmocka_unit_test(test_described_in_absence),
        cmocka_unit_test(test_quality),
        IN_STEP(test_lab),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_generate),
    };
    return cmocka_run_group_tests_name("synthetic", tests, NULL, NULL);
}
