/* Where a scheme begins to hurt: the hidden state's error through the depth, and what each layer alone
 * costs. Both against the same figures taken another way. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/dispatch.h"
#include "measure/depth.h"
#include "measure/quality.h"
#include "measure/sensitivity.h"
#include "quant/requant.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static const struct tiny shape = {48, 80, 3, 6, 3, 90, 160, false};
static const struct tiny shape_tied = {48, 80, 3, 6, 3, 90, 160, true};

/* At least the tokens of a whole tile: fewer are multiplied by another kernel where a matrix is not packed, which adds
 * up in another order. */
enum { TEXT = 300, TOKENS = MR_MAX };

struct fixture {
    char *path;
    struct model *model;
    struct pool *pool;
    struct weights *stored;
    int32_t text[TEXT];
};

static struct fixture open_fixture(const struct tiny *tiny)
{
    struct fixture f = {.path = write_llama2c(tiny, 11)};
    uint64_t seed = 5;
    f.model = model_open(f.path, NULL);
    f.pool = pool_create(2, NULL);
    f.stored = weights_stored(f.model);
    assert_non_null(f.stored);
    for (size_t i = 0; i < TEXT; i++)
        f.text[i] = (int32_t)random_below(&seed, (size_t)tiny->vocab);
    return f;
}

static void close_fixture(struct fixture *f)
{
    weights_unref(f->stored);
    pool_destroy(f->pool);
    model_close(f->model);
    unlink(f->path);
    free(f->path);
}

/* The set with one more tensor in a scheme; takes over the set. */
static struct weights *with(struct fixture *f, struct weights *set, const char *name, const char *text)
{
    struct scheme scheme;
    struct error error;
    assert_true(scheme_parse(text, &scheme, &error));
    int tensor = model_find_name(f->model, name);
    assert_true(tensor >= 0);
    struct qtensor *p = requantize(f->model, tensor, &scheme, f->pool, &error);
    struct weights *next = weights_replace(set, p);
    qtensor_unref(p);
    weights_unref(set);
    return next;
}

/* ---- depth ----------------------------------------------------------------------------------- */

static struct depth_profile *profile_of(struct fixture *f, struct weights *set, size_t n)
{
    struct error error;
    struct depth_job *job = depth_open(f->model, f->pool, f->text, n, f->stored, set, &error);
    assert_non_null(job);
    double last = 0;
    while (!depth_step(job, 0)) {
        assert_true(depth_fraction(job) > last);
        last = depth_fraction(job);
    }
    struct depth_profile *p = depth_take(job);
    depth_close(job);
    assert_int_equal(p->count, 1 + 2 * f->model->hyper.layers);
    return p;
}

static void test_no_error_anywhere(void **state)
{
    (void)state;
    struct fixture f = open_fixture(&shape);
    struct weights *copy = with(&f, weights_ref(f.stored), "blk.1.ffn_up", "fp32");
    struct weights *sets[] = {f.stored, copy};
    for (size_t s = 0; s < 2; s++) {
        struct depth_profile *p = profile_of(&f, sets[s], TOKENS);
        for (size_t i = 0; i < p->count; i++)
            assert_true(p->error[i] == 0);
        assert_int_equal(depth_steepest(p), 0);
        assert_int_equal(p->tokens, TOKENS);
        depth_unref(p);
    }
    weights_unref(copy);
    close_fixture(&f);
}

/* Before the layer that is quantized nothing differs, and at it the error rises most. */
static void test_begins_at_the_layer(void **state)
{
    static const struct {
        const char *name;
        size_t point;
    } cases[] = {{"token_embd", 0},     {"blk.0.attn_k", 1}, {"blk.0.ffn_down", 2},
                 {"blk.1.attn_output", 3}, {"blk.2.attn_v", 5}, {"blk.2.ffn_gate", 6}};
    (void)state;
    struct fixture f = open_fixture(&shape);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct weights *set = with(&f, weights_ref(f.stored), cases[k].name, "int4:tensor");
        struct depth_profile *p = profile_of(&f, set, TOKENS);
        for (size_t i = 0; i < p->count; i++)
            assert_true(i < cases[k].point ? p->error[i] == 0 : p->error[i] > 0);
        assert_int_equal(depth_steepest(p), cases[k].point);
        depth_unref(p);
        weights_unref(set);
    }
    close_fixture(&f);
}

/* The last point, from whole passes of both. */
static void test_equals_whole_passes(void **state)
{
    (void)state;
    struct fixture f = open_fixture(&shape);
    struct weights *set = with(&f, weights_ref(f.stored), "blk.0.attn_q", "int4:g16");
    set = with(&f, set, "blk.2.ffn_up", "int8/int8");
    struct weights *both[] = {f.stored, set};
    struct context *c[2];
    for (size_t i = 0; i < 2; i++) {
        c[i] = context_open(f.model, f.pool, TOKENS, NULL);
        context_run(c[i], both[i], f.text, TOKENS, LOGITS_NONE, NULL);
    }
    double e2 = 0, x2 = 0;
    for (size_t i = 0; i < TOKENS * f.model->hyper.dim; i++) {
        e2 += pow((double)c[1]->reg[REG_X][i] - c[0]->reg[REG_X][i], 2);
        x2 += pow(c[0]->reg[REG_X][i], 2);
    }
    struct depth_profile *p = profile_of(&f, set, TOKENS);
    double expected = sqrt(e2 / x2);
    assert_true(fabs(p->error[p->count - 1] - expected) <= 1e-12 * expected);
    depth_unref(p);
    for (size_t i = 0; i < 2; i++)
        context_close(c[i]);
    weights_unref(set);
    close_fixture(&f);
}

/* ---- every layer alone ----------------------------------------------------------------------- */

static struct sensitivity_job *measure(struct fixture *f, struct weights *set, size_t count, int32_t bos)
{
    struct error error;
    struct sensitivity_plan plan = {f->text, count, bos, f->model->hyper.trained_context, NULL};
    struct sensitivity_job *job = sensitivity_open(f->model, f->pool, &plan, f->stored, set, &error);
    assert_non_null(job);
    double last = -1;
    for (bool done = false; !done;) {
        assert_true(sensitivity_step(job, 0, &done, &error));
        assert_true((sensitivity_fraction(job) > last || done) && sensitivity_fraction(job) <= 1);
        last = sensitivity_fraction(job);
    }
    assert_true(fabs(sensitivity_fraction(job) - 1) <= 1e-12);
    return job;
}

/* What an evaluation in the same windows and the same chunks says of the set with that tensor alone. */
static struct quality_result evaluate_alone(struct fixture *f, struct weights *set, int tensor, size_t count,
                                            int32_t bos)
{
    struct error error;
    struct weights *alone = weights_replace(f->stored, set->layer[tensor]);
    struct quality_plan plan = {.tokens = f->text, .count = count, .bos = bos, .protocol = PROTOCOL_FULL,
                                .window = SENSITIVITY_WINDOW, .chunk = SENSITIVITY_WINDOW};
    struct quality *q = quality_open(f->model, f->pool, &plan, f->stored, alone, &error);
    assert_non_null(q);
    while (!quality_step(q, 1))
        continue;
    struct quality_result r = quality_result(q);
    quality_close(q);
    weights_unref(alone);
    return r;
}

static void test_equals_evaluations(void **state)
{
    static const char *const names[] = {"token_embd", "blk.0.attn_norm", "blk.0.attn_v", "blk.1.ffn_down",
                                        "blk.2.attn_output", "blk.2.ffn_norm", "output_norm", "output"};
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        struct fixture f = open_fixture(tied ? &shape_tied : &shape);
        struct weights *set = weights_ref(f.stored);
        for (size_t i = 0; i + (size_t)tied < sizeof names / sizeof *names; i++)
            set = with(&f, set, names[i], "int4:g16");
        for (int32_t bos = -1; bos < 2; bos += 2) {
            struct sensitivity_job *job = measure(&f, set, TEXT, bos);
            for (int t = 0; t < (int)f.model->tensor_count; t++) {
                struct sensitivity s = sensitivity_of(job, t);
                if (set->layer[t]->matrix.format.stored) {
                    assert_int_equal(s.scored, 0);
                    continue;
                }
                struct quality_result r = evaluate_alone(&f, set, t, TEXT, bos);
                assert_int_equal(s.scored, r.scored);
                assert_true(r.kl > 0 && fabs(s.kl - r.kl) <= 1e-6 * r.kl);
                assert_true(fabs(s.kl_stderr - r.kl_stderr) <= 1e-6 * r.kl_stderr);
            }
            assert_ptr_equal(sensitivity_set(job), set);
            sensitivity_close(job);
        }
        weights_unref(set);
        close_fixture(&f);
    }
}

/* Tensors that change together are measured as one, whose pass begins with the first; what is not to change stays. */
static void test_some_together(void **state)
{
    static const char *const names[] = {"blk.0.ffn_down", "blk.1.ffn_down", "blk.2.attn_v"};
    (void)state;
    struct fixture f = open_fixture(&shape);
    struct weights *set = weights_ref(f.stored);
    int tensor[3], *together = make(f.model->tensor_count * sizeof *together);
    memset(together, 0, f.model->tensor_count * sizeof *together);
    for (size_t i = 0; i < 3; i++) {
        set = with(&f, set, names[i], "int4:g16");
        tensor[i] = model_find_name(f.model, names[i]);
        together[tensor[i]] = i < 2 ? 7 : -1;
    }
    struct sensitivity_plan plan = {f.text, TEXT, -1, f.model->hyper.trained_context, together};
    struct sensitivity_job *job = sensitivity_open(f.model, f.pool, &plan, f.stored, set, NULL);
    bool done = false;
    while (!done)
        assert_true(sensitivity_step(job, 1, &done, NULL));
    struct weights *first = weights_replace(f.stored, set->layer[tensor[0]]);
    struct weights *both = weights_replace(first, set->layer[tensor[1]]);
    struct quality_plan q_plan = {.tokens = f.text, .count = TEXT, .bos = -1, .protocol = PROTOCOL_FULL,
                                  .window = SENSITIVITY_WINDOW, .chunk = SENSITIVITY_WINDOW};
    struct quality *q = quality_open(f.model, f.pool, &q_plan, f.stored, both, NULL);
    while (!quality_step(q, 1))
        continue;
    double kl = quality_result(q).kl;
    assert_true(fabs(sensitivity_of(job, tensor[0]).kl - kl) <= 1e-6 * kl);
    assert_true(sensitivity_of(job, tensor[0]).kl == sensitivity_of(job, tensor[1]).kl);
    assert_int_equal(sensitivity_of(job, tensor[2]).scored, 0);
    assert_true(fabs(sensitivity_fraction(job) - 1) <= 1e-12);
    quality_close(q);
    sensitivity_close(job);
    weights_unref(first);
    weights_unref(both);
    weights_unref(set);
    free(together);
    close_fixture(&f);
}

/* Stored weights, a text too short for a prediction, a job that is left: nothing is measured, nothing lost. */
static void test_nothing_to_measure(void **state)
{
    (void)state;
    struct fixture f = open_fixture(&shape);
    struct weights *set = with(&f, weights_ref(f.stored), "blk.1.ffn_up", "int8");
    struct error error;
    bool done;
    struct sensitivity_plan plan = {f.text, 1, -1, 160, NULL};
    struct sensitivity_job *job = sensitivity_open(f.model, f.pool, &plan, f.stored, set, &error);
    assert_true(sensitivity_step(job, 1, &done, &error) && done);
    assert_int_equal(sensitivity_of(job, model_find_name(f.model, "blk.1.ffn_up")).scored, 0);
    sensitivity_close(job);
    job = sensitivity_open(f.model, f.pool, &plan, f.stored, f.stored, &error);
    assert_true(sensitivity_step(job, 1, &done, &error) && done);
    assert_true(sensitivity_fraction(job) == 1);
    sensitivity_close(job);
    plan.count = TEXT;
    job = sensitivity_open(f.model, f.pool, &plan, f.stored, set, &error);
    assert_true(sensitivity_step(job, 0, &done, &error) && !done);
    sensitivity_close(job);
    plan.context = 1;
    assert_null(sensitivity_open(f.model, f.pool, &plan, f.stored, set, &error));
    assert_non_null(strstr(error.text, "context of 1"));
    weights_unref(set);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_error_anywhere),    cmocka_unit_test(test_begins_at_the_layer),
        cmocka_unit_test(test_equals_whole_passes),  cmocka_unit_test(test_equals_evaluations),
        cmocka_unit_test(test_some_together), cmocka_unit_test(test_nothing_to_measure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
