/* One weight's number line is true for every method: the value that its code was chosen for, rounded on the grid that
 * is shown, is the code that is shown, and that code the value that kernels multiply by. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "exporting.h"
#include "measure/detail.h"
#include "modelfile.h"
#include "quant/requant.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static char *folder, *path;

static int begin(void **state)
{
    (void)state;
    struct model_spec spec = {1, true, 64, 96, 2, 4, 2, 300, 64, 32, 1};
    struct bytes b = model_bytes(&spec);
    folder = folder_make();
    path = path_in(folder, "model.bin");
    write_file(path, b.data, b.size);
    bytes_free(&b);
    return 0;
}

static int end(void **state)
{
    (void)state;
    folder_remove(folder);
    free(path);
    return 0;
}

/* What rounding to nearest makes of the target, by the definition. */
static long code_of(const struct qmatrix *m, const struct weight_view *v)
{
    const struct dtype_info *type = &dtypes[m->format.weight];
    if (type->kind != DTYPE_KIND_INTEGER)
        return (long)type->encode((float)v->target / (float)v->scale);
    double q = (double)rintf((float)v->target / (float)v->scale) + (double)v->zero;
    return (long)fmin(fmax(q, (double)v->lowest), (double)v->highest);
}

static void check_weight(const struct qmatrix *m, const struct weight_view *v, const char *scheme)
{
    const struct dtype_info *type = &dtypes[m->format.weight];
    double grid = type->kind == DTYPE_KIND_INTEGER ? (double)(v->code - v->zero) : (double)type->decode((uint32_t)v->code);
    if (v->outlier)
        return; /* kept in fp16 */
    if (code_of(m, v) != v->code)
        fail_msg("%s [%zu, %zu]: %.9g / %.9g rounds to %ld, not to %ld", scheme, v->row, v->col, v->target, v->scale,
                 code_of(m, v), v->code);
    double value = grid * v->scale / v->input_scale;
    if (!(fabs(value - v->decoded) <= 1e-6 * fabs(value)))
        fail_msg("%s [%zu, %zu]: %.9g is shown, %.9g used", scheme, v->row, v->col, value, v->decoded);
}

/* A target's distance from the grid's ends in steps; beyond half a step it is clipped. */
static bool is_clipped(const struct qmatrix *m, const struct weight_view *v)
{
    double q = v->target / v->scale + (double)v->zero;
    return dtypes[m->format.weight].kind == DTYPE_KIND_INTEGER &&
           (q < (double)v->lowest - 0.5005 || q > (double)v->highest + 0.5005);
}

struct seen {
    size_t changed, clipped, outliers; /* changed: targets that are not w times the input scale */
};

static struct seen check_layer(const struct subject *s, int t, const char *scheme)
{
    const struct qtensor *q = s->set->layer[t];
    struct seen seen = {0};
    for (size_t r = 0; r < q->matrix.rows; r++)
        for (size_t c = 0; c < q->matrix.cols; c++) {
            struct weight_view v = weight_view(s->session.model, q, r, c);
            assert_true(v.valid && v.coded && !isnan(v.target));
            check_weight(&q->matrix, &v, scheme);
            seen.changed += (float)v.target != (float)v.w * (float)v.input_scale;
            seen.clipped += !v.outlier && is_clipped(&q->matrix, &v);
            seen.outliers += v.outlier;
        }
    if (seen.clipped != q->error.clipped)
        fail_msg("%s: %zu are clipped, %zu were counted", scheme, seen.clipped, q->error.clipped);
    return seen;
}

static const struct {
    const char *scheme;
    bool changes; /* codes stand for other values than the stored ones */
} cases[] = {
    {"int8", false},           {"int4:g32:asym", false},    {"int4:g32:clip", false},
    {"int8:tensor", false},    {"fp16", false},             {"bf16", false},
    {"fp8e4m3", false},        {"fp8e5m2:tensor", false},   {"int4:g32:awq", false},
    {"int4:channel:awq(clip=0)", false}, {"int8/int8:smoothquant", false}, {"int8/int8:llmint8(threshold=0.5)", false},
    {"int4:g32:gptq", true},   {"int4:g32:asym:gptq(actorder=0)", true}, {"int4:g32:clip+gptq", true},
    {"int4:g32:awq+gptq", true}, {"int8:tensor:gptq", true}, {"int8/int8:smoothquant+gptq", true},
    {"int4:channel:qat(steps=3)", true}, {"int8:tensor:qat(steps=3)", true}, {"fp8e4m3:qat(steps=3)", true},
};

static void test_number_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct subject s = subject_open(path, NULL, cases[i].scheme);
        int down = model_find_name(s.session.model, "blk.1.ffn_down"), k = model_find_name(s.session.model, "blk.0.attn_k");
        struct seen a = check_layer(&s, down, cases[i].scheme), b = check_layer(&s, k, cases[i].scheme);
        if ((a.changed + b.changed > 0) != cases[i].changes)
            fail_msg("%s: %zu targets differ from the stored weights", cases[i].scheme, a.changed + b.changed);
        subject_close(&s);
    }
}

/* GPTQ pushes weights past the ends of a grid that holds all stored ones. */
static void test_compensation_is_clipped(void **state)
{
    (void)state;
    struct subject s = subject_open(path, NULL, "int4:g32:gptq"), rounded = subject_open(path, NULL, "int4:g32");
    size_t clipped = 0;
    for (size_t t = 0; t < s.set->count; t++) {
        clipped += s.set->layer[t]->error.clipped;
        assert_int_equal(rounded.set->layer[t]->error.clipped, 0);
    }
    assert_true(clipped > 0);
    subject_close(&rounded);
    subject_close(&s);
}

/* Of a large layer some rows are kept; of others the view says that they are not, and shows no number. */
static void test_rows_that_are_not_kept(void **state)
{
    (void)state;
    struct subject s = subject_open(SRCDIR "/data/stories.bin", SRCDIR "/data/tokenizer.bin", "int4:g32:gptq");
    int t = model_find_name(s.session.model, "blk.0.ffn_gate");
    const struct qtensor *q = s.set->layer[t];
    size_t worst = q->error.max_row, n = 0;
    assert_true(q->targets.differ && q->targets.first < q->matrix.rows && q->targets.first > 1);
    for (size_t r = 0; r < q->matrix.rows; r++) {
        struct weight_view v = weight_view(s.session.model, q, r, 1);
        bool kept = r < v.targets_first || (r >= v.targets_around && r < v.targets_end);
        assert_true(v.valid && v.target_differs && isnan(v.target) == !kept);
        assert_true(kept || (r != worst && r + 1 != worst && r != worst + 1));
        if (kept)
            check_weight(&q->matrix, &v, "int4:g32:gptq");
        n += kept;
    }
    assert_true(n < q->matrix.rows);
    subject_close(&s);
}

/* Where another model is the reference, w is its weight; what is rounded stays the model's own. */
static void test_another_reference(void **state)
{
    (void)state;
    struct model_spec spec = {1, true, 64, 96, 2, 4, 2, 300, 64, 32, 2}; /* another seed */
    struct bytes b = model_bytes(&spec);
    char *reference = path_in(folder, "reference.bin");
    struct session s;
    struct error error = {"no error"};
    struct scheme scheme;
    float own[64], other[64];
    write_file(reference, b.data, b.size);
    bytes_free(&b);
    struct session_options o = {.model_path = path, .reference_path = reference, .threads = 1};
    if (!session_open(&s, &o, &error))
        fail_msg("%s", error.text);
    int t = model_find_name(s.model, "blk.0.attn_q");
    assert_true(scheme_parse("int4:g32", &scheme, NULL));
    struct qtensor *q = requantize(s.model, t, &scheme, s.pool, &error);
    qmatrix_decode_row(&s.model->tensors[t].stored, 3, own);
    qmatrix_decode_row(&s.model->reference->tensors[t].stored, 3, other);
    for (size_t c = 0; c < 64; c++) {
        struct weight_view v = weight_view(s.model, q, 3, c);
        assert_true(v.w == (double)other[c] && v.target == (double)own[c] && own[c] != other[c]);
        check_weight(&q->matrix, &v, "int4:g32");
    }
    qtensor_unref(q);
    session_close(&s);
    unlink(reference);
    free(reference);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number_lines),
        cmocka_unit_test(test_compensation_is_clipped),
        cmocka_unit_test(test_rows_that_are_not_kept),
        cmocka_unit_test(test_another_reference),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
