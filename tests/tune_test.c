/* The search within a budget: the knapsack against all choices, budgets in writing, and a whole search on a small
 * model. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "modelfile.h"
#include "support.h"

#include "export/tuning.h"
#include "quant/knapsack.h"
#include "quant/recipe.h"
#include "quant/requant.h"
#include "session/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUILTIN SRCDIR "/data/stories.bin"

/* ---- the knapsack ---------------------------------------------------------------------------- */

enum { ITEMS = 6, CHOICES = 4 };

/* The least loss within a budget, of all 4^6 selections. */
static double brute_force(const double *cost, const double *loss, double budget)
{
    double best = INFINITY;
    for (unsigned code = 0; code < 1u << 2 * ITEMS; code++) {
        double c = 0, l = 0;
        for (unsigned i = 0; i < ITEMS; i++) {
            unsigned choice = code >> 2 * i & 3;
            c += cost[i * CHOICES + choice];
            l += loss[i * CHOICES + choice];
        }
        if (c <= budget && l < best) /* a loss that is no number never is */
            best = l;
    }
    return best;
}

static void test_knapsack_against_all_choices(void **state)
{
    double cost[ITEMS * CHOICES], loss[ITEMS * CHOICES];
    uint64_t seed = 3;
    (void)state;
    for (int trial = 0; trial < 30; trial++) {
        for (size_t i = 0; i < ITEMS * CHOICES; i++) {
            cost[i] = (double)(1 + random_below(&seed, 1000));
            loss[i] = random_uniform(&seed);
        }
        loss[random_below(&seed, ITEMS) * CHOICES + 1] = NAN; /* a choice that an item does not have */
        struct knapsack k;
        struct error error;
        assert_true(knapsack_solve(&k, ITEMS, CHOICES, cost, loss, &error));
        double last = INFINITY;
        for (int b = 0; b <= 20; b++) {
            double budget = k.min_cost + (k.max_cost - k.min_cost) * b / 20, spent = 0, sum = 0;
            uint8_t choice[ITEMS];
            double found = knapsack_choose(&k, knapsack_step(&k, budget), choice);
            for (size_t i = 0; i < ITEMS; i++) {
                spent += cost[i * CHOICES + choice[i]];
                sum += loss[i * CHOICES + choice[i]];
            }
            assert_true(spent <= budget * (1 + 1e-12));
            assert_true(fabs(sum - found) <= 1e-12);
            assert_true(found >= brute_force(cost, loss, budget) - 1e-12);
            /* Rounded costs may miss the last step an item. */
            assert_true(found <= brute_force(cost, loss, budget - ITEMS * k.step) + 1e-12);
            assert_true(found <= last);
            last = found;
        }
        knapsack_free(&k);
    }
}

static void test_knapsack_of_equal_costs(void **state)
{
    double cost[] = {5, 5, 5, 5}, loss[] = {3, 1, 2, 4};
    uint8_t choice[2];
    struct knapsack k;
    struct error error;
    (void)state;
    assert_true(knapsack_solve(&k, 2, 2, cost, loss, &error));
    assert_true(k.min_cost == 10 && k.max_cost == 10);
    assert_true(knapsack_choose(&k, knapsack_step(&k, 10), choice) == 3);
    assert_true(choice[0] == 1 && choice[1] == 0);
    knapsack_free(&k);
}

/* ---- budgets --------------------------------------------------------------------------------- */

static void test_budgets_in_writing(void **state)
{
    static const char *const bad[] = {"", "size", "size x", "size 0", "size -4", "size 1.5Mx", "bits 0", "bits 100",
                                      "kl nan", "kl -1", "rate inf", "speed 4", "for gguf", "size 1M for exe",
                                      "size 1M kl", "4.5 5", "4.5 speed", "size 1M for a-name-that-is-too-long"};
    struct budget b;
    struct error error;
    (void)state;
    assert_true(budget_parse("size 1.5M", &b, &error) && b.max_size == 1.5e6 && b.max_kl == 0);
    assert_true(budget_parse(" kl 0.01 ", &b, &error) && b.max_kl == 0.01);
    assert_true(budget_parse("bits 4.25 kl 1e-3", &b, &error) && b.max_bits == 4.25 && b.max_kl == 1e-3);
    assert_true(budget_parse("4.5 bits .01 kl", &b, &error) && b.max_bits == 4.5 && b.max_kl == 0.01);
    assert_true(budget_parse("rate 12", &b, &error) && b.min_rate == 12);
    assert_true(budget_parse("size 70k", &b, &error) && b.max_size == 70000 && !*b.format);
    assert_true(budget_parse("size 1M bits 4 rate 3 kl 2", &b, &error) && b.max_bits == 4 && b.min_rate == 3);
    assert_true(budget_parse("size 1M for memory", &b, &error) && b.memory && !*b.format);
    assert_true(export_budget_parse("kl 0.1 for gguf", &b, &error) && strcmp(b.format, "gguf") == 0);
    assert_true(export_budget_parse("for safetensors size 1M", &b, &error) && strcmp(b.format, "safetensors") == 0);
    assert_false(export_budget_parse("size 1M for gptq", &b, &error));
    assert_string_equal(error.text, "for 'gptq': its layers all have one scheme; expected memory, gguf or safetensors");
    assert_false(export_budget_parse("size 1M for exe", &b, &error));
    assert_string_equal(error.text, "for 'exe': expected memory, gguf or safetensors");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct budget before = b;
        *error.text = 0;
        if (export_budget_parse(bad[i], &b, &error))
            fail_msg("'%s' was taken for a budget", bad[i]);
        assert_true(*error.text);
        assert_memory_equal(&b, &before, sizeof b);
    }
}

/* ---- a search -------------------------------------------------------------------------------- */

enum { TEXT = 160, SEARCHED = SANITIZED ? 40 : TEXT };

static struct session session;
static char *folder;
static struct calibration_text text;
static int32_t tokens[TEXT], other[TEXT];

static int open_model(void **state)
{
    struct model_spec spec = {1, false, 64, 100, 2, 4, 2, 300, 128, 32, 1}; /* 100: no blocks of 32 */
    struct bytes model = model_bytes(&spec);
    struct error error;
    uint64_t seed = 8;
    (void)state;
    folder = folder_make();
    char *path = path_in(folder, "model.bin");
    write_file(path, model.data, model.size);
    bytes_free(&model);
    struct session_options o = {.model_path = path, .threads = 2};
    bool ok = session_open(&session, &o, &error);
    for (size_t i = 0; i < TEXT; i++) {
        tokens[i] = (int32_t)(3 + random_below(&seed, 250));
        other[i] = (int32_t)(3 + random_below(&seed, 250));
    }
    pool_bind_caller(session.pool);
    ok = ok && calibration_text_make(&text, tokens, TEXT, 1, 128, &error);
    free(path);
    return ok ? 0 : -1;
}

static int close_model(void **state)
{
    (void)state;
    free(text.tokens);
    session_close(&session);
    folder_remove(folder);
    return 0;
}

static struct tune_plan usual_plan(struct budget budget)
{
    return (struct tune_plan){.model = session.model, .pool = session.pool, .stored = session.stored,
                              .reference = session.reference, .kv = DTYPE_FP32,
                              .budget = budget, .text = &text, .search = tokens, .search_count = SEARCHED,
                              .verify = {.tokens = other, .count = TEXT, .bos = 1, .window = 64}, .context = 128};
}

static struct tune *begin(struct budget budget)
{
    struct error error = {"no error"};
    struct tune_plan plan = usual_plan(budget);
    struct tune *job = tune_open(&plan, &error);
    if (!job)
        fail_msg("%s", error.text);
    return job;
}

static struct tuned run(struct tune *job)
{
    struct error error = {"no error"};
    struct tuned best;
    bool done = false;
    double last = 0;
    while (!done) {
        if (!tune_step(job, 0, &done, &error))
            fail_msg("%s", error.text);
        assert_true(tune_fraction(job) >= 0 && tune_fraction(job) <= 1);
        last = fmax(last, tune_fraction(job));
    }
    assert_true(last == 1);
    assert_true(tune_best(job, &best));
    return best;
}

/* What an evaluation says of the set that was found. */
static double evaluate_against(struct weights *reference, struct weights *set)
{
    struct error error;
    struct quality_plan plan = {.tokens = other, .count = TEXT, .bos = 1, .window = 64};
    struct quality *q = quality_open(session.model, session.pool, &plan, reference, set, &error);
    while (!quality_step(q, 1))
        continue;
    double kl = quality_result(q).kl;
    quality_close(q);
    return kl;
}

static double evaluate(struct weights *set)
{
    return evaluate_against(session.stored, set);
}

static void test_size(void **state)
{
    size_t stored = weights_size(session.stored);
    double last = INFINITY;
    (void)state;
    for (double share = 0.2; share < 0.6; share += 0.15 * (double)test_stride()) {
        struct tune *job = begin((struct budget){.max_size = share * (double)stored});
        struct tuned best = run(job);
        struct tune_point curve[9];
        assert_true((double)best.size <= share * (double)stored);
        assert_true((double)best.size >= 0.9 * share * (double)stored);
        assert_true(best.quality.kl == evaluate(best.set));
        assert_true(best.predicted_kl > 0 && best.quality.kl <= last);
        last = best.quality.kl;
        for (size_t i = 0; i < session.model->tensor_count; i++)
            assert_true(qtensor_has_scheme(best.set->layer[i], &best.schemes[i]));
        assert_int_equal(tune_curve(job, curve, 9), 9);
        for (size_t i = 1; i < 9; i++)
            assert_true(curve[i].cost > curve[i - 1].cost && curve[i].kl <= curve[i - 1].kl);
        tune_close(job);
    }
}

/* KL is that of the reference, which may be other weights. */
static void test_reference(void **state)
{
    struct error error;
    struct scheme crude;
    (void)state;
    assert_true(scheme_parse("int4:tensor", &crude, &error));
    struct qtensor *p = requantize(session.model, model_find_name(session.model, "blk.0.ffn_down"), &crude,
                                  session.pool, &error);
    struct weights *reference = weights_replace(session.stored, p);
    struct tune_plan plan = usual_plan((struct budget){.max_bits = 6});
    plan.reference = reference;
    struct tune *job = tune_open(&plan, &error);
    assert_non_null(job);
    struct tuned best = run(job);
    assert_true(best.quality.kl == evaluate_against(reference, best.set));
    assert_true(best.quality.kl != evaluate(best.set));
    tune_close(job);
    weights_unref(reference);
    qtensor_unref(p);
}

static void test_bits_leave_embedding_and_head(void **state)
{
    (void)state;
    struct tune *job = begin((struct budget){.max_bits = 6});
    struct tuned best = run(job);
    assert_true(best.bits_per_weight <= 6 && best.bits_per_weight > 5);
    assert_true(best.schemes[0].format.stored);
    assert_true(best.schemes[model_find_name(session.model, "output")].format.stored);
    tune_close(job);
}

/* Budgets together: all of them are kept. */
static void test_several_budgets(void **state)
{
    double size = 0.25 * (double)weights_size(session.stored);
    (void)state;
    struct tune *job = begin((struct budget){.max_size = size, .max_bits = 6, .min_rate = 1, .max_kl = 1});
    struct tuned best = run(job);
    struct tune_point curve[5];
    assert_true((double)best.size <= size && best.bits_per_weight <= 6);
    assert_true((double)best.size >= 0.9 * size || best.bits_per_weight >= 0.9 * 6);
    assert_true(best.rate >= 1 && best.quality.kl <= 1);
    assert_int_equal(tune_curve(job, curve, 5), 5);
    for (size_t i = 0; i < 5; i++)
        assert_true(curve[i].cost > 0 && curve[i].kl >= 0);
    tune_close(job);
}

static bool same_choice(const struct tuned *a, const struct tuned *b)
{
    return schemes_same(session.model, a->schemes, b->schemes) && a->quality.kl == b->quality.kl && a->size == b->size;
}

/* What was measured is all that a search needs to go on; and the same plan finds the same. */
static void test_goes_on_from_a_table(void **state)
{
    struct budget budget = {.max_bits = 6};
    (void)state;
    struct tune *job = begin(budget), *next = begin(budget);
    struct tuned whole = run(job), found;
    struct tune_table from = tune_table(job), to = tune_table(next);
    size_t n = from.items * from.candidates;
    assert_int_equal(from.parts, from.all_parts);
    memcpy(to.error, from.error, n * sizeof *to.error);
    memcpy(to.seconds, from.seconds, n * sizeof *to.seconds);
    memcpy(to.total_seconds, from.total_seconds, from.candidates * sizeof *to.total_seconds);
    memcpy(to.probe, from.probe, from.items);
    for (size_t i = 0; i < from.items; i++)
        to.probed[i].kl = from.probed[i].kl;
    tune_resume(next, from.all_parts);
    assert_int_equal(tune_table(next).parts, from.all_parts);
    found = run(next);
    assert_true(same_choice(&whole, &found));
    tune_close(next);
    next = begin(budget);
    found = run(next);
    assert_true(same_choice(&whole, &found));
    tune_close(next);
    tune_close(job);
}

/* Of mixes that are within the budget the largest is measured, too. */
static void test_rivals(void **state)
{
    static const char *const names[] = {"int4:g32", "int8", "fp16"};
    struct scheme *schemes[3], scheme;
    struct tune_rival rivals[3];
    struct error error;
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        schemes[i] = session_schemes(&session, &error);
        assert_true(scheme_parse(names[i], &scheme, &error));
        schemes_set_linear(session.model, scheme, schemes[i]);
        rivals[i] = (struct tune_rival){names[i], schemes[i]};
    }
    struct weights_totals totals;
    assert_true(schemes_totals(session.model, schemes[1], 0, &totals));
    struct tune_plan plan = usual_plan((struct budget){.max_size = (double)totals.size + 100});
    plan.rival = rivals;
    plan.rivals = 3;
    struct tune *job = tune_open(&plan, &error);
    assert_non_null(job);
    struct tuned best = run(job);
    assert_string_equal(best.rival, "int8");
    assert_int_equal(best.rival_size, totals.size);
    assert_true(best.rival_quality.kl > 0 && best.rival_quality.kl != best.quality.kl);
    tune_close(job);
    for (size_t i = 0; i < 3; i++)
        free(schemes[i]);
}

/* ---- for files ------------------------------------------------------------------------------- */

/* A model whose columns are whole groups, with a tokenizer, and one whose are not. */
static const struct file_case {
    const char *format, *model;
    double share; /* of what all fp16 takes */
} file_cases[] = {
    {"gguf", BUILTIN, 0.34}, {"gguf", BUILTIN, 0.4}, {"gguf", BUILTIN, 0.55},        {"gguf", NULL, 0.6},
    {"gguf", NULL, 0.8},     {"safetensors", BUILTIN, 0.4}, {"safetensors", BUILTIN, 0.5}, {"safetensors", NULL, 0.7},
};

static size_t exported(const struct session *s, struct weights *set, const char *format, const char *path)
{
    struct error error = {"no error"};
    struct stat st;
    bool done = false;
    struct export_plan plan = {.model = s->model, .pool = s->pool, .weights = set, .path = path, .format = format,
                               .tokenizer_path = s->tokenizer ? tokenizer_path(s->tokenizer) : NULL};
    struct export *job = export_open(&plan, &error);
    while (job && !done)
        if (!export_step(job, 1, &done, &error))
            break;
    if (!done)
        fail_msg("%s", error.text);
    export_close(job);
    assert_int_equal(stat(path, &st), 0);
    return (size_t)st.st_size;
}

static double fp16_bytes(const struct session *s, const struct tune_file *file)
{
    struct scheme *schemes = make(schemes_count(s->model) * sizeof *schemes);
    for (size_t i = 0; i < schemes_count(s->model); i++)
        schemes[i] = scheme_for_tensor(s->model, (int)i, scheme_default(DTYPE_FP16));
    size_t bytes = file->bytes(file->context, schemes, NULL);
    free(schemes);
    return (double)bytes;
}

/* The size that is shown is that of the file, and no file is over its budget. */
static void check_file(const struct session *s, const struct file_case *c)
{
    struct error error = {"no error"};
    struct tune_file *file = export_tuning_open(s->model, c->format, s->tokenizer ? tokenizer_path(s->tokenizer) : NULL,
                                                &error);
    struct tune_plan plan = usual_plan((struct budget){0});
    char *path = path_in(folder, "tuned.any");
    assert_non_null(file);
    plan.model = s->model;
    plan.pool = s->pool;
    plan.stored = s->stored;
    plan.reference = s->reference;
    plan.file = file;
    plan.budget.max_size = c->share * fp16_bytes(s, file);
    assert_true(budget_for(c->format, &plan.budget, &error));
    struct tune *job = tune_open(&plan, &error);
    if (!job)
        fail_msg("%s", error.text);
    struct tuned best = run(job);
    size_t bytes = exported(s, best.set, c->format, path);
    struct weights_totals totals = weights_totals(s->model, best.set, 0);
    if (bytes != best.size || (double)bytes > plan.budget.max_size || (double)bytes < 0.9 * plan.budget.max_size)
        fail_msg("%s within %.0f bytes: %zu are shown, %zu written", c->format, plan.budget.max_size, best.size, bytes);
    assert_true(fabs(best.bits_per_weight_all - totals.bits_per_weight_all * (double)bytes / (double)totals.size) < 1e-9);
    for (size_t i = 0; i < s->model->tensor_count; i++)
        assert_false(scheme_scales_inputs(&best.schemes[i]));
    tune_close(job);
    export_tuning_close(file);
    unlink(path);
    free(path);
}

static void test_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof file_cases / sizeof *file_cases; i += SANITIZED ? 1 : test_stride()) {
        if (SANITIZED && file_cases[i].model) /* whose search takes long */
            continue;
        struct session other_session, *s = &session;
        struct session_options o = {.model_path = file_cases[i].model, .tokenizer_path = SRCDIR "/data/tokenizer.bin",
                                    .threads = 2};
        struct error error;
        if (o.model_path) {
            assert_true(session_open(&other_session, &o, &error));
            s = &other_session;
        }
        check_file(s, &file_cases[i]);
        if (o.model_path)
            session_close(s);
    }
}

/* Q4_1 takes 5 bits a weight, where memory has 4.625: what is shown is what the file has. */
static void test_bits_of_files(void **state)
{
    (void)state;
    struct error error;
    struct tune_file *file = export_tuning_open(session.model, "gguf", NULL, &error);
    struct tune_plan plan = usual_plan((struct budget){.max_bits = 9, .format = "gguf"});
    struct scheme asym;
    int q = model_find_name(session.model, "blk.0.attn_q"), down = model_find_name(session.model, "blk.0.ffn_down");
    assert_true(scheme_parse("int4:g32:asym", &asym, NULL));
    assert_int_equal(file->tensor_bytes(file->context, q, &asym), 64 * 64 * 5 / 8);
    assert_int_equal(file->tensor_bytes(file->context, down, &asym), 0); /* 100 columns */
    plan.file = file;
    struct tune *job = tune_open(&plan, &error);
    assert_non_null(job);
    struct tuned best = run(job);
    double bytes = 0, weights = 0;
    for (int t = 0; t < (int)session.model->tensor_count; t++) {
        const struct tensor *x = &session.model->tensors[t];
        if (!roles[x->role].linear || x->block < 0)
            continue;
        bytes += (double)file->tensor_bytes(file->context, t, &best.schemes[t]);
        weights += (double)x->stored.rows * (double)x->stored.cols;
    }
    assert_true(fabs(best.bits_per_weight - 8 * bytes / weights) < 1e-9 && best.bits_per_weight <= 9);
    tune_close(job);
    export_tuning_close(file);
}

static void test_divergence(void **state)
{
    (void)state;
    struct tune *job = begin((struct budget){.max_kl = 1e-4});
    struct tuned loose, tight = run(job);
    assert_true(tight.quality.kl <= 1e-4 && tight.quality.kl == evaluate(tight.set));
    size_t size = tight.size;
    tune_close(job);
    job = begin((struct budget){.max_kl = 1e-2});
    loose = run(job);
    assert_true(loose.quality.kl <= 1e-2 && loose.size < size);
    tune_close(job);
}

static void test_impossible_budgets(void **state)
{
    static const struct {
        struct budget budget;
        const char *word;
    } cases[] = {{{.max_size = 1000}, "the smallest choice has"},
                 {{.max_bits = 2}, "the smallest choice has"},
                 {{.min_rate = 1e9}, "the fastest choice"},
                 {{.max_kl = 1e-12}, "the best choice on offer has"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error = {""};
        struct tune *job = begin(cases[i].budget);
        bool done = false, ok = true;
        while (ok && !done)
            ok = tune_step(job, 1, &done, &error);
        assert_false(ok);
        if (!strstr(error.text, cases[i].word))
            fail_msg("'%s' does not say '%s'", error.text, cases[i].word);
        tune_close(job);
    }
}

/* A search that is left in the middle, at many a moment. */
static void test_stopped(void **state)
{
    (void)state;
    for (size_t steps = 0; steps < 2000 / test_stride(); steps = steps * 3 + 1) {
        struct tune *job = begin((struct budget){.max_kl = 0.01});
        struct error error;
        bool done = false;
        for (size_t i = 0; i < steps && !done; i++)
            assert_true(tune_step(job, 0, &done, &error));
        tune_close(job);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_knapsack_against_all_choices),
        cmocka_unit_test(test_knapsack_of_equal_costs),
        cmocka_unit_test(test_budgets_in_writing),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_bits_leave_embedding_and_head),
        cmocka_unit_test(test_several_budgets),
        cmocka_unit_test(test_goes_on_from_a_table),
        cmocka_unit_test(test_rivals),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_bits_of_files),
        cmocka_unit_test(test_divergence),
        cmocka_unit_test(test_impossible_budgets),
        cmocka_unit_test(test_stopped),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
