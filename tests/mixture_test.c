/* Mixtures of experts: which schemes they take, what a token reads, what calibration gives each expert. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/layerwise.h"
#include "export/export.h"
#include "kernels/dispatch.h"
#include "modelfile.h"
#include "quant/quantization.h"
#include "quant/recipe.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 60, WINDOW = 20 };

static struct model *model;
static struct pool *pool;
static struct weights *stored;
static int32_t tokens[TOKENS];

static int open_model(void **state)
{
    struct error error = {""};
    (void)state;
    model = model_open(SRCDIR "/tests/data/families/qwen3_moe", &error);
    pool = pool_create(2, &error);
    stored = model && pool ? weights_stored(model) : NULL;
    for (int i = 0; i < TOKENS; i++)
        tokens[i] = 3 + i * 7 % 20;
    return stored ? 0 : 1;
}

static int close_model(void **state)
{
    (void)state;
    weights_unref(stored);
    pool_destroy(pool);
    model_close(model);
    return 0;
}

static int tensor_named(const char *name)
{
    int t = model_find_name(model, name);
    if (t < 0)
        fail_msg("no tensor %s", name);
    return t;
}

/* ---- schemes --------------------------------------------------------------------------------- */

static struct scheme *stored_schemes(void)
{
    struct scheme *schemes = make(schemes_count(model) * sizeof *schemes);
    for (size_t t = 0; t < model->tensor_count; t++)
        schemes[t] = scheme_stored(&model->tensors[t].stored);
    schemes[kv_index(model)] = scheme_default(DTYPE_FP32);
    return schemes;
}

/* The schemes that a recipe of one line makes of stored ones; the caller frees. */
static struct scheme *apply(const char *line)
{
    struct error error = {""};
    struct recipe recipe = {0};
    struct scheme *schemes = stored_schemes();
    if (!recipe_parse(&recipe, "recipe", line, strlen(line), &error) || !recipe_apply(&recipe, model, schemes, &error))
        fail_msg("%s", error.text);
    recipe_free(&recipe);
    return schemes;
}

static size_t count_changed(const struct scheme *schemes)
{
    size_t n = 0;
    for (size_t t = 0; t < model->tensor_count; t++)
        n += !schemes[t].format.stored;
    return n;
}

static void test_recipes_name_one_or_all(void **state)
{
    static const struct {
        const char *line;
        size_t changed;
    } cases[] = {{"blk.*.ffn_down_exps int8", 4}, {"blk.0.ffn_down_exps.3 int8", 1}, {"blk.*.ffn_*_exps.1 int8", 3},
                 {"blk.0.ffn_gate_inp int8", 1}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scheme *schemes = apply(cases[i].line);
        assert_int_equal(count_changed(schemes), cases[i].changed);
        free(schemes);
    }
}

/* A scheme for all linear matrices leaves the router. */
static void test_routers_stay(void **state)
{
    (void)state;
    struct scheme *schemes = stored_schemes();
    schemes_set_linear(model, scheme_default(DTYPE_INT8), schemes);
    assert_true(schemes[tensor_named("blk.0.ffn_gate_inp")].format.stored);
    assert_false(schemes[tensor_named("blk.0.ffn_up_exps.2")].format.stored);
    free(schemes);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Of experts a token reads those that it uses; the size counts all. */
static void test_bytes_of_a_token(void **state)
{
    (void)state;
    size_t all = 0, read = 0;
    for (size_t t = 0; t < model->tensor_count; t++) {
        const struct tensor *x = &model->tensors[t];
        all += x->stored.bytes;
        read += x->role == ROLE_EMBEDDING ? x->stored.bytes / x->stored.rows
                : x->expert >= 0          ? x->stored.bytes / 2 /* 2 of 4 */
                                          : x->stored.bytes;
    }
    assert_int_equal(weights_size(stored), all);
    assert_int_equal(weights_bytes_per_token(model, stored, 0), read);
}

/* ---- calibration ----------------------------------------------------------------------------- */

struct seen {
    float *rows[256]; /* of each tensor */
    size_t count[256];
};

static void see(void *arg, const struct qtensor *w, const float *x, const float *y, size_t n)
{
    struct seen *s = arg;
    size_t cols = w->matrix.cols;
    (void)y;
    float *more = realloc(s->rows[w->tensor], (s->count[w->tensor] + n) * cols * sizeof *more);
    assert_non_null(more);
    memcpy(more + s->count[w->tensor] * cols, x, n * cols * sizeof *more);
    s->rows[w->tensor] = more;
    s->count[w->tensor] += n;
}

/* The layer-wise pass gives every layer the rows that it multiplies when the text runs through: an expert those of the
 * tokens that use it. */
static void test_experts_see_their_tokens(void **state)
{
    struct error error = {""};
    static struct seen seen;
    (void)state;
    assert_true(model->tensor_count <= 256);
    struct context *c = context_open(model, pool, WINDOW, &error);
    c->hook = (struct hook){HOOK_ALL, see, &seen};
    for (size_t at = 0; at < TOKENS; at += WINDOW) {
        c->length = 0;
        context_run(c, stored, tokens + at, WINDOW, LOGITS_NONE, NULL);
    }
    context_close(c);
    struct layerwise_pass *w = layerwise_open(model, pool, tokens, TOKENS, WINDOW, &error);
    size_t used = 0;
    for (size_t g = 0; g + 1 < model->input_group_count; g++) {
        int tensors[INPUT_GROUP_TENSORS];
        for (bool arrived = false; !arrived;)
            assert_true(layerwise_step(w, stored, 0, &arrived, &error));
        assert_int_equal(layerwise_group(w), g);
        struct layerwise_input in = layerwise_input(w);
        for (size_t n = input_group_tensors(model, g, tensors); n > 0; n--) {
            int t = tensors[n - 1];
            size_t cols = model->tensors[t].stored.cols;
            assert_int_equal(input_group_of(model, t), g);
            assert_int_equal(in.count, seen.count[t]);
            for (size_t i = 0; i < in.count; i++)
                assert_memory_equal(in.rows + i * in.stride, seen.rows[t] + i * cols, cols * sizeof(float));
            used += model->tensors[t].role == ROLE_DOWN_EXPERTS ? in.count : 0;
        }
    }
    assert_int_equal(used, 2 * TOKENS);
    layerwise_close(w);
    for (size_t t = 0; t < 256; t++)
        free(seen.rows[t]);
}

/* The set that a scheme makes of the experts of a block, calibrated on the first n tokens; its notes go to `notes`. */
static struct weights *calibrate(const char *line, size_t n, char notes[4000])
{
    struct error error = {""};
    struct scheme *schemes = apply(line);
    struct calibration_text text = {.tokens = tokens, .count = n, .window = n};
    struct quantization_plan plan = {.model = model, .pool = pool, .from = stored, .stored = stored,
                                     .schemes = schemes, .text = &text};
    struct quantization *q = quantization_open(&plan, &error);
    bool done = false;
    if (!q)
        fail_msg("%s", error.text);
    while (!done)
        if (!quantization_step(q, 1, &done, &error))
            fail_msg("%s", error.text);
    *notes = 0;
    for (size_t i = 0; quantization_note(q, i); i++)
        snprintf(notes + strlen(notes), 4000 - strlen(notes), "%s\n", quantization_note(q, i));
    struct weights *set = quantization_take(q);
    quantization_close(q);
    free(schemes);
    return set;
}

/* An expert with too few tokens is rounded, and a line says so; the others are calibrated. */
static void test_few_tokens(void **state)
{
    char notes[4000];
    (void)state;
    struct weights *set = calibrate("blk.0.ffn_up_exps int4:gptq", 20, notes);
    assert_non_null(strstr(notes, "tokens of the calibration text use this expert"));
    struct weights *rounded = calibrate("blk.0.ffn_up_exps int4", 20, notes);
    size_t same = 0;
    for (int e = 0; e < 4; e++) {
        char name[40];
        snprintf(name, sizeof name, "blk.0.ffn_up_exps.%d", e);
        const struct qmatrix *a = &set->layer[tensor_named(name)]->matrix, *b = &rounded->layer[tensor_named(name)]->matrix;
        same += memcmp(a->codes, b->codes, a->bytes) == 0;
    }
    assert_true(same >= 1 && same < 4);
    weights_unref(set);
    weights_unref(rounded);
}

/* ---- export ---------------------------------------------------------------------------------- */

/* A GGUF file holds the experts of a block in one tensor. */
static void test_mixed_experts_are_refused(void **state)
{
    struct error error = {""};
    char notes[4000], *folder = folder_make(), *path = path_in(folder, "model.gguf");
    (void)state;
    struct weights *set = calibrate("blk.0.ffn_up_exps.2 int8:g16", TOKENS, notes);
    struct export_plan plan = {.model = model, .weights = set, .pool = pool, .path = path};
    assert_null(export_open(&plan, &error));
    assert_non_null(strstr(error.text, "blk.0.ffn_up_exps.2"));
    weights_unref(set);
    free(path);
    folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recipes_name_one_or_all), cmocka_unit_test(test_routers_stay),
        cmocka_unit_test(test_bytes_of_a_token),        cmocka_unit_test(test_experts_see_their_tokens),
        cmocka_unit_test(test_few_tokens),              cmocka_unit_test(test_mixed_experts_are_refused),
    };
    return cmocka_run_group_tests_name("mixture", tests, open_model, close_model);
}
