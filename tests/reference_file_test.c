/* Another model file as the reference: what is refused, and that errors, quality and texts are
 * measured against its weights. The truth is computed here, in double, from the values that both
 * files were made of. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "support.h"
#include "session/selftext.h"
#include "caches.h"
#include "lockstep.h"
#include "modelfile.h"

#include "lab/lab.h"
#include "base/clock.h"
#include "measure/output_error.h"
#include "model/format.h"
#include "model/reference.h"
#include "quant/requant.h"

#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_WEIGHTS = 1 << 15, TOKENS = 60 };

static char *folder, *floats, *codes, *other; /* fp32, the same in int8 groups, and other weights */
static struct model_spec floats_spec, codes_spec;

/* ---- files and sessions ------------------------------------------------------------------------ */

static char *put_model(const char *name, const struct model_spec *spec)
{
    struct bytes b = model_bytes(spec);
    char *path = path_in(folder, name);
    write_file(path, b.data, b.size);
    bytes_free(&b);
    return path;
}

static int make_files(void **state)
{
    struct model_spec other_spec = spec_usual(1, false);
    (void)state;
    folder = folder_make();
    caches_shrink();
    floats_spec = spec_usual(1, false);
    codes_spec = spec_usual(2, false);
    other_spec.seed = 9;
    floats = put_model("floats.bin", &floats_spec);
    codes = put_model("codes.bin", &codes_spec);
    other = put_model("other.bin", &other_spec);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    free(floats);
    free(codes);
    free(other);
    folder_remove(folder);
    return 0;
}

static struct session open_measured(const char *path, const char *reference)
{
    struct session s;
    struct error error = {""};
    struct session_options o = {.model_path = path, .reference_path = reference, .threads = 2};
    if (!session_open(&s, &o, &error) || !session_measure_stored(&s, &error))
        fail_msg("%s", error.text);
    return s;
}

static void some_tokens(int32_t tokens[TOKENS], size_t vocab)
{
    for (size_t i = 0; i < TOKENS; i++)
        tokens[i] = (int32_t)((i * i * 37 + 11 * i + 5) % vocab);
}

static struct quality_result evaluate(const struct session *s, struct weights *set)
{
    int32_t tokens[TOKENS];
    struct error error = {""};
    struct quality_plan plan = {tokens, TOKENS, 1, PROTOCOL_FULL, 32, 0, NULL};
    some_tokens(tokens, s->model->hyper.vocab);
    struct quality *q = quality_open(s->model, s->pool, &plan, s->reference, set, &error);
    if (!q)
        fail_msg("%s", error.text);
    while (!quality_step(q, 1))
        continue;
    struct quality_result r = quality_result(q);
    quality_close(q);
    return r;
}

/* ---- what fits --------------------------------------------------------------------------------- */

static void refuse(const char *path, const char *reference, const char *const *words)
{
    struct session s;
    struct error error = {"no error"};
    struct session_options o = {.model_path = path, .reference_path = reference, .threads = 1};
    assert_false(session_open(&s, &o, &error));
    assert_null(s.model);
    for (; *words; words++)
        if (!strstr(error.text, *words))
            fail_msg("'%s' is not in: %s", *words, error.text);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* A session whose reference is of another shape, and why its layers do not compare. */
static void assert_reason(const char *path, const char *reference, const char *reason)
{
    struct session s;
    struct error error = {"no error"};
    struct session_options o = {.model_path = path, .reference_path = reference, .threads = 1};
    if (!session_open(&s, &o, &error))
        fail_msg("%s", error.text);
    if (!strstr(s.model->reference_reason, reason))
        fail_msg("'%s' is not in: %s", reason, s.model->reference_reason);
    assert_ptr_equal(model_reference(s.model), s.reference_model);
    assert_ptr_equal(model_weights_reference(s.model), s.model);
    session_close(&s);
}

static char *put_changed(const char *name, size_t field, int32_t value)
{
    struct model_spec spec = floats_spec;
    memcpy((char *)&spec + field, &value, sizeof value);
    return put_model(name, &spec);
}

static void test_other_vocabularies_are_refused(void **state)
{
    (void)state;
    char *path = put_changed("changed.bin", offsetof(struct model_spec, vocab), 401);
    refuse(floats, path, WORDS(path, "cannot be the reference of", floats, "401 tokens of vocabulary; expected 400"));
    free(path);
}

static const struct {
    size_t field;
    int32_t value;
    const char *words;
} other_shapes[] = {
    {offsetof(struct model_spec, layers), 3, "the reference has 3 layers, the model 2"},
    {offsetof(struct model_spec, layers), 1, "the reference has 1 layers, the model 2"},
    {offsetof(struct model_spec, dim), 48, "the reference has 48 dimensions, the model 32"},
    {offsetof(struct model_spec, hidden), 48, "the reference has 48 hidden units, the model 40"},
    {offsetof(struct model_spec, heads), 8, "the reference has 8 heads, the model 4"},
    {offsetof(struct model_spec, kv_heads), 4, "the reference has 4 KV heads, the model 2"},
};

/* Quality is measured against the predictions of any shape: its perplexity is what the other model has by itself. The
 * errors of the model's own layers stay those to its own weights. */
static void test_other_shapes_give_quality(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof other_shapes / sizeof *other_shapes; i++) {
        char *path = put_changed("changed.bin", other_shapes[i].field, other_shapes[i].value);
        assert_reason(floats, path, other_shapes[i].words);
        struct session s = open_measured(floats, path), alone = open_measured(path, NULL);
        struct session own = open_measured(floats, NULL);
        struct quality_result r = evaluate(&s, s.stored), truth = evaluate(&alone, alone.stored);
        assert_true(r.perplexity_reference == truth.perplexity);
        assert_true(r.perplexity == evaluate(&own, own.stored).perplexity);
        assert_true(isfinite(r.kl) && r.kl > 0 && r.top1 >= 0 && r.top1 < 1);
        for (size_t t = 0; t < s.stored->count; t++)
            assert_true(s.stored->layer[t]->error.exact);
        session_close(&s);
        session_close(&alone);
        session_close(&own);
        free(path);
    }
}

static void test_tied_and_untied_do_not_compare(void **state)
{
    (void)state;
    struct model_spec spec = spec_usual(1, true);
    char *tied = put_model("tied.bin", &spec);
    assert_reason(floats, tied, "the head of the reference is token_embd (tied), the model's a tensor of its own");
    assert_reason(tied, floats, "the head of the reference is a tensor of its own, the model's token_embd (tied)");
    free(tied);
}

static void test_another_order_of_rows_does_not_compare(void **state)
{
    (void)state;
    static const char gguf[] = SRCDIR "/tests/data/arch/llama/llama.gguf";
    static const char hugging[] = SRCDIR "/tests/data/arch/llama";
    assert_reason(gguf, hugging, "rows of attn_q and attn_k lie as in Hugging Face files");
    assert_reason(hugging, gguf, "rows of attn_q and attn_k lie as in GGUF");
}

static void test_files_that_are_no_models(void **state)
{
    (void)state;
    char *missing = path_in(folder, "nowhere.gguf");
    refuse(floats, missing, WORDS(missing, "No such file"));
    refuse(floats, folder, WORDS(folder, "is a directory without a model"));
    free(missing);
}

/* A model in memory that has these roles and no weights. */
static struct model *bare_model(role_set has)
{
    struct error error = {""};
    struct model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    m->path = strdup("bare");
    m->arch = "llama";
    m->has = has;
    m->hyper = (struct hyper){.dim = 8, .hidden = 16, .layers = 2, .heads = 2, .kv_heads = 2,
                              .head_size = 4, .vocab = 10, .trained_context = 6,
                              .mixture = {.experts = 2, .used = 1, .hidden = 4, .shared_hidden = 4}};
    if (!model_make_tensors(m, &error))
        fail_msg("%s", error.text);
    return m;
}

/* Takes the tensors of a role out of the list. */
static void drop_role(struct model *m, enum role role)
{
    size_t kept = 0;
    for (size_t t = 0; t < m->tensor_count; t++)
        if (m->tensors[t].role != role)
            m->tensors[kept++] = m->tensors[t];
    m->tensor_count = kept;
}

static void check_tensors(const struct model *m, const struct model *r, const char *words)
{
    struct error error = {"no error"};
    assert_int_equal(reference_compares(m, r, &error), words == NULL);
    if (words && !strstr(error.text, words))
        fail_msg("'%s' is not in: %s", words, error.text);
}

/* Tensors of experts need each other. */
static role_set with_companions(enum role role)
{
    role_set all = llama_roles | ROLE_BIT(role);
    bool mixture = role >= ROLE_ROUTER && role <= ROLE_DOWN_SHARED;
    for (enum role each = ROLE_ROUTER; mixture && each <= ROLE_DOWN_SHARED; each++)
        all |= ROLE_BIT(each);
    return all;
}

/* At the beginning, in the middle and at the end of the list. */
static void test_other_tensors_do_not_compare(void **state)
{
    (void)state;
    for (enum role role = ROLE_POSITIONS; role < ROLE_COUNT; role++) {
        char name[64], lacks[128], extra[128];
        struct model *all = bare_model(with_companions(role)), *less = bare_model(with_companions(role));
        check_tensors(all, less, NULL);
        drop_role(less, role);
        snprintf(name, sizeof name, "%s%s%s", roles[role].in_block ? "blk.0." : "", roles[role].name,
                 roles[role].of_expert ? ".0" : "");
        snprintf(lacks, sizeof lacks, "the reference has no tensor %s", name);
        snprintf(extra, sizeof extra, "the reference has a tensor %s", name);
        check_tensors(all, less, lacks);
        check_tensors(less, all, extra);
        model_close(all);
        model_close(less);
    }
}

static void test_learned_positions_must_be_as_many(void **state)
{
    (void)state;
    struct model *m = bare_model(llama_roles | ROLE_BIT(ROLE_POSITIONS));
    struct model *r = bare_model(llama_roles | ROLE_BIT(ROLE_POSITIONS));
    struct error error = {"no error"};
    r->hyper.rope = ROPE_NONE;
    r->hyper.trained_context = 7;
    assert_true(reference_fits(m, r, 7, &error));
    assert_false(reference_fits(m, r, 8, &error));
    assert_non_null(strstr(error.text, "it has learned 7 positions; expected 8 (-c 7 takes fewer)"));
    m->hyper.rope = ROPE_NONE;
    assert_true(reference_compares(m, r, &error));
    r->tensors[1].stored.rows = 7;
    assert_false(reference_compares(m, r, &error));
    assert_non_null(strstr(error.text, "is 7 x 8, the model's 6 x 8"));
    model_close(m);
    model_close(r);
}

/* ---- errors of the stored weights -------------------------------------------------------------- */

static void test_a_model_against_itself(void **state)
{
    (void)state;
    const char *const paths[] = {floats, codes};
    for (size_t i = 0; i < 2; i++) {
        struct session s = open_measured(paths[i], paths[i]);
        assert_ptr_not_equal(s.reference, s.stored);
        for (size_t t = 0; t < s.stored->count; t++) {
            const struct weight_error *e = &s.stored->layer[t]->error;
            assert_true(e->exact && e->sum_e2 == 0 && e->sum_w2 > 0 && e->max_abs == 0);
            assert_true(isinf(weight_error_sqnr_db(e)));
        }
        struct quality_result r = evaluate(&s, s.stored);
        assert_true(r.kl == 0 && r.kl_stderr == 0 && r.top1 == 1);
        assert_true(r.perplexity == r.perplexity_reference);
        session_close(&s);
    }
}

/* What weights v are off w by, in double. */
struct truth {
    double w2, e2, max_abs;
    size_t at; /* of the largest */
};

static struct truth compare(const float *w, const float *v, size_t n)
{
    struct truth t = {0, 0, 0, 0};
    for (size_t i = 0; i < n; i++) {
        double e = (double)v[i] - (double)w[i];
        t.w2 += (double)w[i] * w[i];
        t.e2 += e * e;
        if (fabs(e) > t.max_abs) {
            t.max_abs = fabs(e);
            t.at = i;
        }
    }
    return t;
}

static void assert_close(double found, double expected, double relative)
{
    if (!(fabs(found - expected) <= relative * fabs(expected)))
        fail_msg("%.12g; expected %.12g", found, expected);
}

/* The errors of a matrix whose weights are v, row by row and together. */
static void check_errors(const struct qtensor *p, const float *w, const float *v)
{
    size_t cols = p->matrix.cols;
    struct truth all = compare(w, v, p->matrix.rows * cols);
    assert_int_equal(p->error.exact, all.e2 == 0);
    assert_close(p->error.sum_w2, all.w2, 1e-6);
    assert_close(p->error.sum_e2, all.e2, 1e-6);
    assert_close((double)p->error.max_abs, all.max_abs, 1e-6);
    if (all.e2 == 0)
        return;
    assert_int_equal(p->error.max_row, all.at / cols);
    assert_int_equal(p->error.max_col, all.at % cols);
    assert_close(weight_error_sqnr_db(&p->error), 10 * log10(all.w2 / all.e2), 1e-6);
    for (size_t r = 0; r < p->matrix.rows; r++) {
        struct truth row = compare(w + r * cols, v + r * cols, cols);
        if (row.e2 > 0)
            assert_close((double)p->error.row_sqnr_db[r], 10 * log10(row.w2 / row.e2), 1e-5);
    }
}

static void values_of(const struct model_spec *spec, const char *name, float *out)
{
    struct tensor_place place = model_place(spec, name);
    assert_true(place.rows * place.cols <= MOST_WEIGHTS);
    model_values(spec, &place, out);
}

static void test_errors_of_stored_weights(void **state)
{
    (void)state;
    static float w[MOST_WEIGHTS], v[MOST_WEIGHTS];
    struct session s = open_measured(codes, floats);
    size_t differing = 0;
    for (size_t t = 0; t < s.stored->count; t++) {
        const struct qtensor *p = s.stored->layer[t];
        assert_true(p->matrix.format.stored);
        assert_ptr_equal(p->matrix.codes, s.model->tensors[t].stored.codes);
        values_of(&floats_spec, s.model->tensors[t].name, w);
        values_of(&codes_spec, s.model->tensors[t].name, v);
        check_errors(p, w, v);
        differing += !p->error.exact;
        assert_true(s.reference->layer[t]->error.exact);
    }
    assert_int_equal(differing, 2 + 7 * 2); /* norms are fp32 in both */
    struct quality_result r = evaluate(&s, s.stored), same = evaluate(&s, s.reference);
    assert_true(r.kl > 0 && r.kl < 0.1 && r.perplexity != r.perplexity_reference);
    assert_true(same.kl == 0 && same.perplexity == r.perplexity_reference);
    session_close(&s);
}

/* Each of the two runs as its own file says. */
static void test_hyper_parameters_are_each_one_s_own(void **state)
{
    (void)state;
    struct session s = open_measured(floats, floats);
    struct quality_result before = evaluate(&s, s.stored);
    s.reference_model->hyper.norm_eps = 0.5f;
    struct quality_result after = evaluate(&s, s.stored);
    assert_true(after.perplexity == before.perplexity && after.kl > 0);
    assert_true(after.perplexity_reference != before.perplexity_reference);
    session_close(&s);
}

/* ---- requantizing ------------------------------------------------------------------------------ */

/* Packed from the model's own weights, as without a reference; measured against the reference's. */
static void check_requantized(const struct session *s, const struct session *alone, int t,
                              const char *text)
{
    static float w[MOST_WEIGHTS], v[MOST_WEIGHTS];
    struct scheme scheme;
    struct error error = {""};
    assert_true(scheme_parse(text, &scheme, &error));
    struct qtensor *p = requantize(s->model, t, &scheme, s->pool, &error);
    struct qtensor *own = requantize(alone->model, t, &scheme, alone->pool, &error);
    assert_true(p && own && p->matrix.lines == own->matrix.lines);
    assert_memory_equal(p->matrix.codes, own->matrix.codes,
                        qmatrix_panels(&p->matrix) * p->matrix.lines * LINE_BYTES);
    for (size_t r = 0; r < p->matrix.rows; r++)
        qmatrix_decode_row(&p->matrix, r, v + r * p->matrix.cols);
    values_of(&floats_spec, s->model->tensors[t].name, w);
    check_errors(p, w, v);
    values_of(&codes_spec, s->model->tensors[t].name, w);
    check_errors(own, w, v);
    qtensor_unref(p);
    qtensor_unref(own);
}

static void test_requantizing_measures_against_the_reference(void **state)
{
    (void)state;
    static const char *const schemes[] = {"fp32", "int8", "int4:g16:asym", "int4:tensor", "fp8"};
    struct session s = open_measured(codes, floats), alone = open_measured(codes, NULL);
    assert_ptr_equal(alone.reference, alone.stored);
    int t = model_find_name(s.model, "blk.1.ffn_down");
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        check_requantized(&s, &alone, t, schemes[i]);
    session_close(&s);
    session_close(&alone);
}

/* ---- one layer in detail ----------------------------------------------------------------------- */

static void test_detail_is_against_the_reference(void **state)
{
    (void)state;
    static float w[MOST_WEIGHTS], v[MOST_WEIGHTS];
    struct session s = open_measured(codes, floats);
    int t = model_find_name(s.model, "blk.0.attn_v");
    struct qtensor *p = s.stored->layer[t];
    size_t cols = p->matrix.cols, n = p->matrix.rows * cols;
    values_of(&floats_spec, "blk.0.attn_v", w);
    values_of(&codes_spec, "blk.0.attn_v", v);
    struct detail_job job;
    assert_true(detail_begin(&job, s.model, p));
    while (!detail_step(&job, 1))
        continue;
    struct detail *d = detail_take(&job);
    detail_end(&job);
    assert_close(d->mse, compare(w, v, n).e2 / (double)n, 1e-9);
    assert_true(d->cosine < 1 && d->cosine > 0.99);
    assert_int_equal(d->error.total, n);
    assert_true(memcmp(&d->before, &d->after, sizeof d->before) != 0);
    detail_unref(d);
    for (size_t i = 0; i < n; i += 37) {
        struct weight_view one = weight_view(s.model, p, i / cols, i % cols);
        assert_true(one.valid && one.coded);
        assert_true(one.w == (double)w[i]);
        assert_close(one.decoded, (double)v[i], 1e-6);
    }
    session_close(&s);
}

/* ---- outputs ----------------------------------------------------------------------------------- */

struct tapped {
    const float *w;
    double y2, e2;
};

static void see(void *arg, const struct qtensor *p, const float *x, const float *y, size_t tokens)
{
    struct tapped *c = arg;
    size_t rows = p->matrix.rows, cols = p->matrix.cols;
    for (size_t i = 0; i < tokens * rows; i++) {
        double truth = 0;
        for (size_t k = 0; k < cols; k++)
            truth += (double)c->w[i % rows * cols + k] * x[i / rows * cols + k];
        c->y2 += truth * truth;
        c->e2 += (y[i] - truth) * (y[i] - truth);
    }
}

static void test_outputs_are_against_the_reference(void **state)
{
    (void)state;
    static float w[MOST_WEIGHTS];
    int32_t tokens[TOKENS];
    struct error error = {""};
    struct session s = open_measured(codes, floats);
    int t = model_find_name(s.model, "blk.1.attn_output");
    struct output_error *errors = calloc(s.model->tensor_count, sizeof *errors);
    struct tapped tapped = {.w = w};
    values_of(&floats_spec, "blk.1.attn_output", w);
    some_tokens(tokens, s.model->hyper.vocab);
    assert_true(errors && output_errors(s.model, s.pool, s.stored, tokens, TOKENS, errors, &error));
    struct context *c = context_open(s.model, s.pool, TOKENS, &error);
    assert_non_null(c);
    c->hook = (struct hook){t, see, &tapped};
    context_prefill(c, s.stored, tokens, TOKENS, NULL);
    assert_close(output_error_sqnr_db(&errors[t]), 10 * log10(tapped.y2 / tapped.e2), 1e-4);
    assert_true(output_error_sqnr_db(&errors[t]) < 80);
    context_close(c);
    free(errors);
    session_close(&s);
}

/* ---- the reference's own text ------------------------------------------------------------------ */

static struct writer *written(const struct session *s)
{
    struct error error = {""};
    struct writer *w = writer_open(s, 40, 5, &error);
    if (!w)
        fail_msg("%s", error.text);
    while (!writer_step(w, 1))
        continue;
    return w;
}

static void test_the_reference_writes(void **state)
{
    (void)state;
    struct session s = open_measured(floats, other), alone = open_measured(floats, NULL);
    struct session truth = open_measured(other, NULL);
    struct writer *a = written(&s), *b = written(&truth), *c = written(&alone);
    assert_memory_equal(writer_tokens(a)->ids, writer_tokens(b)->ids, 40 * sizeof(int32_t));
    assert_true(memcmp(writer_tokens(a)->ids, writer_tokens(c)->ids, 40 * sizeof(int32_t)) != 0);
    writer_close(a);
    writer_close(b);
    writer_close(c);
    session_close(&s);
    session_close(&alone);
    session_close(&truth);
}

/* ---- the lab ----------------------------------------------------------------------------------- */

typedef bool frame_fn(const struct frame *f, const void *arg);

static struct frame *await(struct lab *lab, frame_fn *sees, const void *arg, const char *what)
{
    double deadline = clock_seconds() + PATIENCE;
    struct pollfd wake = {lab_wake_descriptor(lab), POLLIN, 0};
    for (;;) {
        struct frame *f = lab_frame(lab);
        if (f && sees(f, arg))
            return f;
        frame_unref(f);
        if (clock_seconds() > deadline) {
            fail_msg("no frame shows: %s", what);
            return NULL;
        }
        poll(&wake, 1, 1000);
    }
}

static void send(struct lab *lab, struct command c)
{
    assert_true(lab_send(lab, &c));
}

static struct lab *start(struct session *s)
{
    struct error error = {""};
    struct lab_options o = {.seed = 7, .temperature = 1, .top_p = 0.9f};
    struct lab *lab = lab_start(s, &o, &error);
    if (!lab)
        fail_msg("%s", error.text);
    return lab;
}

static bool is_evaluated(const struct frame *f, const void *arg)
{
    const double *other_than = arg;
    return f->quality.valid && !f->quality.running && !f->quality.stale && f->pending == 0 &&
           f->quality.result.kl != *other_than;
}

static double evaluated(struct lab *lab, double other_than)
{
    send(lab, (struct command){.kind = COMMAND_EVALUATE});
    struct frame *f = await(lab, is_evaluated, &other_than, "an evaluation");
    double kl = f->quality.result.kl;
    frame_unref(f);
    return kl;
}

static bool has_two_figures(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->snapshot_count == 2 && f->snapshots[1].quality.valid && !f->snapshots[1].quality.running;
}

/* What the stored weights reach is not known before they are evaluated, and not 0 then. */
static void test_lab_evaluates_stored_weights(void **state)
{
    (void)state;
    struct session s = open_measured(codes, floats);
    struct lab *lab = start(&s);
    int t = model_find_name(s.model, "blk.0.ffn_up");
    struct scheme four;
    assert_true(scheme_parse("int4:tensor", &four, NULL));
    send(lab, (struct command){.kind = COMMAND_PAUSE}); /* nothing is evaluated before it is asked for */
    send(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    send(lab, (struct command){.kind = COMMAND_SET, .tensors = &t, .tensor_count = 1, .scheme = four});
    send(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    double quantized = evaluated(lab, 0);
    struct frame *f = await(lab, has_two_figures, NULL, "figures of the second snapshot");
    assert_false(f->snapshots[0].quality.valid);
    frame_unref(f);
    send(lab, (struct command){.kind = COMMAND_RESTORE, .index = 0});
    double stored = evaluated(lab, quantized);
    assert_true(stored > 0 && stored < quantized);
    f = await(lab, is_evaluated, &quantized, "the stored weights");
    assert_ptr_equal(f->set, s.stored);
    assert_true(f->snapshots[0].quality.result.kl == stored);
    frame_unref(f);
    lab_stop(lab);
    session_close(&s);
}

static bool says(const struct frame *f, const void *text)
{
    return strstr(f->status.text, text) != NULL;
}

static bool has_output_error(const struct frame *f, const void *tensor)
{
    return f->output.sqnr_db.valid && f->weight.tensor == *(const int *)tensor && f->detail &&
           f->detail->tensor == *(const int *)tensor;
}

static void test_lab_shows_errors_of_stored_weights(void **state)
{
    (void)state;
    struct session s = open_measured(codes, floats);
    struct lab *lab = start(&s);
    int t = model_find_name(s.model, "blk.1.attn_q");
    send(lab, (struct command){.kind = COMMAND_SELECT, .tensors = &t, .tensor_count = 1, .row = 3});
    struct frame *f = await(lab, has_output_error, &t, "an output error of a stored layer");
    assert_true(f->output.sqnr_db.value > 20 && f->output.sqnr_db.value < 80);
    assert_false(f->set->layer[t]->error.exact);
    assert_true(f->weight.w != f->weight.decoded);
    assert_true(f->detail->mse > 0);
    frame_unref(f);
    send(lab, (struct command){.kind = COMMAND_EVALUATE});
    frame_unref(await(lab, says, "evaluating against the reference", "what is evaluated against"));
    lab_stop(lab);
    session_close(&s);
}

static bool has_diverged(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->text && f->text->reference && f->text->diverged;
}

/* Nothing was changed, and still the texts differ: the other one is the reference's. */
static void test_lab_shows_the_reference_s_text(void **state)
{
    (void)state;
    struct session s = open_measured(floats, other);
    struct lab *lab = start(&s);
    send(lab, (struct command){.kind = COMMAND_WATCH_TEXT, .index = 1});
    frame_unref(await(lab, has_diverged, NULL, "a divergence"));
    lab_stop(lab);
    session_close(&s);
}

static bool has_everything(const struct frame *f, const void *arg)
{
    double none = -1;
    (void)arg;
    return is_evaluated(f, &none) && f->snapshot_count == 1 && f->snapshots[0].quality.valid && f->text &&
           f->text->reference && f->text->diverged && f->columns && f->speed.prefill.valid;
}

/* Deeper and shallower, with a layer that is selected and one that is quantized: quality and the reference's text are
 * there, what is of a layer has its reason. */
static void test_lab_with_a_reference_of_another_shape(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char *path = put_changed("changed.bin", other_shapes[i].field, other_shapes[i].value);
        struct session s = open_measured(floats, path);
        struct lab *lab = start(&s);
        int t = model_find_name(s.model, "blk.1.attn_q");
        struct scheme four;
        assert_true(scheme_parse("int4:tensor", &four, NULL));
        send(lab, (struct command){.kind = COMMAND_WATCH_TEXT, .index = 1});
        send(lab, (struct command){.kind = COMMAND_SELECT, .tensors = &t, .tensor_count = 1});
        send(lab, (struct command){.kind = COMMAND_SET, .tensors = &t, .tensor_count = 1, .scheme = four});
        send(lab, (struct command){.kind = COMMAND_SNAPSHOT});
        send(lab, (struct command){.kind = COMMAND_EVALUATE});
        struct frame *f = await(lab, has_everything, NULL, "all figures that there are");
        assert_true(f->quality.result.kl > 0 && isfinite(f->quality.result.perplexity));
        assert_true(!f->output.sqnr_db.valid && f->output.sqnr_db.reason);
        assert_true(!f->snapshots[0].sqnr_db.valid && f->snapshots[0].sqnr_db.reason);
        assert_null(f->depth);
        assert_string_equal(f->model->reference_reason, other_shapes[i].words);
        frame_unref(f);
        send(lab, (struct command){.kind = COMMAND_COMPARE_METHODS});
        frame_unref(await(lab, says, other_shapes[i].words, "why methods are not compared"));
        lab_stop(lab);
        session_close(&s);
        free(path);
    }
}

/* ---- a real model ------------------------------------------------------------------------------ */

static void test_half_precision_of_a_real_model(void **state)
{
    (void)state;
    char *half = path_in(shared_folder(), "models/stories260K-F16.gguf");
    char *full = path_in(shared_folder(), "models/stories260K.gguf");
    struct session s = open_measured(half, full);
    struct quality_result r = evaluate(&s, s.stored);
    assert_true(r.kl > 0 && r.kl < 1e-5);
    int t = model_find_name(s.model, "blk.0.attn_q");
    double db = weight_error_sqnr_db(&s.stored->layer[t]->error);
    assert_true(db > 65 && db < 85); /* 11 bits of significand */
    session_close(&s);
    free(half);
    free(full);
}

enum { NEED_REFERENCE = 1 };

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_vocabularies_are_refused),
        cmocka_unit_test(test_other_shapes_give_quality),
        cmocka_unit_test(test_tied_and_untied_do_not_compare),
        cmocka_unit_test(test_another_order_of_rows_does_not_compare),
        cmocka_unit_test(test_lab_with_a_reference_of_another_shape),
        cmocka_unit_test(test_files_that_are_no_models),
        cmocka_unit_test(test_other_tensors_do_not_compare),
        cmocka_unit_test(test_learned_positions_must_be_as_many),
        cmocka_unit_test(test_a_model_against_itself),
        cmocka_unit_test(test_errors_of_stored_weights),
        cmocka_unit_test(test_hyper_parameters_are_each_one_s_own),
        cmocka_unit_test(test_requantizing_measures_against_the_reference),
        cmocka_unit_test(test_detail_is_against_the_reference),
        cmocka_unit_test(test_outputs_are_against_the_reference),
        cmocka_unit_test(test_the_reference_writes),
        IN_STEP(test_lab_evaluates_stored_weights),
        IN_STEP(test_lab_shows_errors_of_stored_weights),
        cmocka_unit_test(test_lab_shows_the_reference_s_text),
        cmocka_unit_test(test_half_precision_of_a_real_model),
    };
    /* cmocka 1.1.5's TAP of a skipped test reads as a failure: it is left out instead. */
    size_t count = sizeof tests / sizeof *tests - (shared_folder() ? 0 : NEED_REFERENCE);
    if (!shared_folder())
        fprintf(stderr, "skipped: %d cases of reference_file_test: no reference folder "
                        "(QTOP_SHARED names one)\n", NEED_REFERENCE);
    return _cmocka_run_group_tests("reference_file", tests, count, make_files, remove_files);
}
