/* Which schemes are worth considering: the front and the choice against all pairs of rows, and a whole run whose figures
 * are those of an evaluation by itself. */
#include "labwork.h"

#include "quant/quantization.h"
#include "session/advise_internal.h"

/* ---- verdicts -------------------------------------------------------------------------------------- */

enum { SOME_ROWS = 12, TRIES = 400 };

/* Rows of few different sizes and figures, so that some are equal; some are not measured. */
static void random_rows(uint64_t *seed, struct advise_row rows[SOME_ROWS])
{
    for (size_t i = 0; i < SOME_ROWS; i++) {
        rows[i] = (struct advise_row){.file = 1000 + 100 * random_below(seed, 9), .size = 500, .memory = 2000};
        rows[i].state = random_below(seed, 5) == 0 ? ADVISE_WAITING : ADVISE_MEASURED;
        rows[i].quality.kl = random_below(seed, 12) == 0 ? NAN : (double)random_below(seed, 8) / 100;
        rows[i].quality.top1 = 0.85 + (double)random_below(seed, 15) / 100;
        rows[i].quality.scored = 100;
        rows[i].decode.median = 10 + (double)random_below(seed, 9);
        snprintf(rows[i].scheme, sizeof rows[i].scheme, "row%zu", i);
    }
}

static bool measured(const struct advise_row *r)
{
    return r->state == ADVISE_MEASURED && isfinite(r->quality.kl);
}

static bool beaten(const struct advise_row *rows, size_t i)
{
    bool any = false;
    for (size_t k = 0; k < SOME_ROWS; k++) {
        const struct advise_row *a = &rows[k], *b = &rows[i];
        any |= measured(a) && a->file <= b->file && a->quality.kl <= b->quality.kl &&
               (a->file < b->file || a->quality.kl < b->quality.kl);
    }
    return any;
}

static void test_front_is_not_beaten(void **state)
{
    (void)state;
    uint64_t seed = 5;
    const struct advise_limits none = {0};
    struct advise_row rows[SOME_ROWS];
    for (int trial = 0; trial < TRIES; trial++) {
        random_rows(&seed, rows);
        advise_judge(&none, rows, SOME_ROWS);
        for (size_t i = 0; i < SOME_ROWS; i++) {
            assert_int_equal(rows[i].front, measured(&rows[i]) && !beaten(rows, i));
            if (measured(&rows[i]))
                assert_true(*rows[i].verdict);
        }
    }
}

/* The cost of a row for a goal, and what it must keep. */
static double cost(const struct advise_row *r, enum advise_goal goal)
{
    return goal == GOAL_SPEED ? -r->decode.median : (double)r->file;
}

/* What the stored weights are better than in everything is never taken. */
static bool beaten_by_stored(const struct advise_row *stored, const struct advise_row *r)
{
    return measured(stored) && !(stored->file > r->file) && !(stored->quality.kl > r->quality.kl) &&
           !(stored->decode.median < r->decode.median);
}

static bool eligible(const struct advise_row *rows, size_t i, const struct advise_limits *l, double top1, double kl)
{
    const struct advise_row *r = &rows[i];
    return measured(r) && !beaten_by_stored(rows, r) && !(r->quality.top1 < top1) && !(r->quality.kl > kl) && !(l->max_file > 0 && (double)r->file > l->max_file) &&
           !(l->min_rate > 0 && r->decode.median < l->min_rate) && !(l->max_kl > 0 && r->quality.kl > l->max_kl);
}

/* No other row that may be taken costs less; and where none keeps as much as the goal asks for, the closest is taken. */
static void test_choice_costs_least(void **state)
{
    (void)state;
    static const double keeps[GOALS] = {[GOAL_BALANCE] = 0.95, [GOAL_SIZE] = 0.9, [GOAL_SPEED] = 0.9};
    uint64_t seed = 11;
    struct advise_row rows[SOME_ROWS];
    size_t none = 0, fallbacks = 0;
    for (int trial = 0; trial < TRIES; trial++) {
        struct advise_plan plan = {.goal = random_below(&seed, GOALS)};
        plan.limits.max_file = random_below(&seed, 2) ? 1000 + 100 * (double)random_below(&seed, 9) : 0;
        plan.limits.min_rate = random_below(&seed, 2) ? 10 + (double)random_below(&seed, 9) : 0;
        plan.limits.max_kl = random_below(&seed, 2) ? (double)(1 + random_below(&seed, 7)) / 100 : 0;
        random_rows(&seed, rows);
        size_t pick = advise_pick(&plan.limits, plan.goal, rows, SOME_ROWS), able = 0, any = 0;
        double most = plan.goal == GOAL_QUALITY ? 0.01 : INFINITY;
        for (size_t i = 1; i < SOME_ROWS; i++) {
            able += eligible(rows, i, &plan.limits, keeps[plan.goal], most);
            any += eligible(rows, i, &plan.limits, 0, INFINITY);
        }
        assert_int_equal(pick < SOME_ROWS, any > 0);
        none += any == 0;
        fallbacks += able == 0 && any > 0;
        for (size_t i = 1; i < SOME_ROWS && pick < SOME_ROWS; i++) {
            bool rival = eligible(rows, i, &plan.limits, able ? keeps[plan.goal] : 0, able ? most : INFINITY);
            assert_true(eligible(rows, pick, &plan.limits, able ? keeps[plan.goal] : 0, able ? most : INFINITY));
            assert_int_equal(advise_goal_met(plan.goal, &rows[pick]), able > 0);
            if (able > 0)
                assert_false(rival && cost(&rows[i], plan.goal) < cost(&rows[pick], plan.goal));
            else
                assert_false(rival && rows[i].quality.kl < rows[pick].quality.kl);
        }
    }
    assert_true(none > 0 && fallbacks > 0);
}

static void test_goals_by_name(void **state)
{
    (void)state;
    assert_int_equal(advise_goal_by_name(NULL), GOAL_BALANCE);
    for (enum advise_goal g = 0; g < GOALS; g++)
        assert_int_equal(advise_goal_by_name(advise_goal_name(g)), g);
    assert_int_equal(advise_goal_by_name("siz"), GOALS);
}

/* ---- a run ----------------------------------------------------------------------------------------- */

static struct calibration_text text;
static int32_t tokens[200];

static struct advise_plan usual_plan(void)
{
    struct error error;
    static int32_t calibration[400];
    uint64_t seed = 3;
    for (size_t i = 0; i < 200; i++)
        tokens[i] = (int32_t)random_below(&seed, 400);
    for (size_t i = 0; i < 400; i++)
        calibration[i] = (int32_t)random_below(&seed, 400);
    free(text.tokens);
    assert_true(calibration_text_make(&text, calibration, 400, session_bos(&session), session.context, &error));
    return (struct advise_plan){.session = &session,
                                .quality = {.tokens = tokens, .count = 200, .bos = session_bos(&session), .window = 64},
                                .tokens = 150, .text = &text, .kv = DTYPE_FP32, .read = 1e9};
}

static void run_to_end(struct advise *job, double seconds)
{
    struct error error;
    double before = 0;
    for (bool done = false; !done;) {
        assert_true(advise_class.step(job, seconds, &done, &error));
        assert_true(advise_class.fraction(job) >= before - 1e-9 && advise_class.fraction(job) <= 1);
        before = advise_class.fraction(job);
    }
}

static struct quality_result evaluate(const struct advise_plan *plan, const struct scheme *schemes)
{
    struct error error;
    struct quantization_plan making = {.model = session.model, .pool = session.pool, .from = session.stored,
                                       .stored = session.stored, .schemes = schemes, .text = plan->text};
    struct quantization *q = quantization_open(&making, &error);
    struct quality_plan quality = plan->quality;
    quality.count = plan->tokens;
    for (bool done = false; !done;)
        assert_true(quantization_step(q, 1, &done, &error));
    struct weights *set = quantization_take(q);
    struct quality *job = quality_open(session.model, session.pool, &quality, session.reference, set, &error);
    assert_non_null(job);
    while (!quality_step(job, 1))
        ;
    struct quality_result r = quality_result(job);
    quality_close(job);
    quantization_close(q);
    weights_unref(set);
    return r;
}

/* Every row is measured, with the figures that an evaluation by itself has, to the last bit. */
static void test_limits_in_writing(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "memory 2G", "file 1.5M", "rate 20", "kl 0.01",
                                        "memory 2G file 700M rate 0.5 kl 1e-05"};
    static const struct {
        const char *text, *why;
    } refused[] = {{"memory", "a value"}, {"memory 0", "bytes"}, {"size 1G", "expected memory, file"}, {"kl -1", "over 0"},
                   {"rate x", "number"}, {"kl nan", "over 0"}, {"2G", "expected memory"}};
    struct advise_limits l, same;
    struct error error;
    char printed[LIMITS_TEXT];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_true(advise_limits_parse(texts[i], &l, &error));
        assert_string_equal(advise_limits_print(&l, printed), texts[i]);
        assert_true(advise_limits_parse(printed, &same, &error));
        assert_memory_equal(&l, &same, sizeof l);
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        same = l;
        assert_false(advise_limits_parse(refused[i].text, &same, &error));
        if (!strstr(error.text, refused[i].why))
            fail_msg("'%s': %s", refused[i].text, error.text);
        assert_memory_equal(&l, &same, sizeof l);
    }
}

/* What no format of files holds is shown with its figures, and never taken. */
static void test_what_is_taken_can_be_written(void **state)
{
    (void)state;
    const struct advise_limits none = {0};
    struct advise_row rows[SOME_ROWS];
    uint64_t seed = 3;
    size_t skipped = 0;
    for (int trial = 0; trial < TRIES; trial++) {
        random_rows(&seed, rows);
        size_t before = advise_pick(&none, GOAL_SIZE, rows, SOME_ROWS);
        for (size_t i = 1; i < SOME_ROWS; i++)
            strcpy(rows[i].exports, random_below(&seed, 2) ? "none" : "gguf");
        advise_judge(&none, rows, SOME_ROWS);
        size_t pick = advise_pick(&none, GOAL_SIZE, rows, SOME_ROWS);
        skipped += pick != before;
        assert_true(pick == SOME_ROWS || strcmp(rows[pick].exports, "gguf") == 0);
        for (size_t i = 1; i < SOME_ROWS; i++)
            if (strcmp(rows[i].exports, "none") == 0 && measured(&rows[i]))
                assert_string_equal(rows[i].verdict, "no format of files holds it");
    }
    assert_true(skipped > 0);
}

/* What keeps a limit by less than two standard errors is said to be within its error. */
static void test_verdicts_know_their_error(void **state)
{
    (void)state;
    const struct advise_limits none = {0};
    for (int sure = 0; sure < 2; sure++) {
        struct advise_row rows[2];
        uint64_t seed = 1;
        struct advise_row some[SOME_ROWS];
        random_rows(&seed, some);
        for (int i = 0; i < 2; i++) {
            rows[i] = some[0];
            rows[i].state = ADVISE_MEASURED;
            rows[i].file = 2000 - 1000 * (size_t)i;
            rows[i].quality = (struct quality_result){.kl = 0.02, .top1 = 0.96, .scored = sure ? 10000 : 100};
        }
        advise_judge(&none, rows, 2);
        assert_true(advise_goal_met(GOAL_BALANCE, &rows[1]));
        assert_int_equal(advise_goal_sure(GOAL_BALANCE, &rows[1]), sure);
        assert_non_null(strstr(rows[1].verdict, "over 95 %"));
        assert_int_equal(strstr(rows[1].verdict, "within its error") != NULL, !sure);
    }
}

static void test_rows_are_measured(void **state)
{
    (void)state;
    struct error error;
    struct advise_plan plan = usual_plan();
    struct advise *job = advise_open(&plan, &error);
    assert_non_null(job);
    run_to_end(job, 0.001);
    size_t count, calibrated = 0;
    const struct advise_row *rows = advise_rows(job, &count);
    assert_true(count > 8);
    assert_string_equal(rows[0].scheme, "stored");
    assert_true(rows[0].quality.kl == 0 && rows[0].front);
    for (size_t i = 0; i < count; i++) {
        const struct advise_row *r = &rows[i];
        assert_int_equal(r->state, ADVISE_MEASURED);
        assert_true(r->decode.median > 0 && r->prefill.median > 0 && r->predicted > 0);
        assert_true(r->memory > r->size && r->size > 0 && *r->verdict);
        struct quality_result own = evaluate(&plan, r->schemes);
        assert_true(own.kl == r->quality.kl && own.top1 == r->quality.top1 && own.perplexity == r->quality.perplexity);
        assert_int_equal(r->quality.basis.tokens, 150);
        calibrated += r->calibrates;
    }
    assert_true(calibrated > 0);
    assert_non_null(advise_choice(job));
    advise_close(job);
}

/* Without a text to calibrate on, what would need it is left out; a run may be closed at any step. */
static void test_runs_end_anywhere(void **state)
{
    (void)state;
    struct error error;
    struct advise_plan plan = usual_plan();
    plan.text = NULL;
    for (int steps = 0; steps < 60; steps += 7) {
        struct advise *job = advise_open(&plan, &error);
        bool done = false;
        size_t count;
        const struct advise_row *rows = advise_rows(job, &count);
        for (size_t i = 0; i < count; i++)
            assert_false(rows[i].calibrates);
        for (int i = 0; i < steps && !done; i++)
            assert_true(advise_class.step(job, 0, &done, &error));
        advise_close(job);
    }
    advise_close(NULL);
}

/* Where nobody says how many tokens, no more than there are. */
static void test_tokens_are_chosen(void **state)
{
    (void)state;
    struct error error;
    struct advise_plan plan = usual_plan();
    plan.tokens = 0;
    plan.text = NULL;
    struct advise *job = advise_open(&plan, &error);
    assert_int_equal(advise_tokens(job), 0);
    run_to_end(job, 1);
    assert_true(advise_tokens(job) > 0 && advise_tokens(job) <= 200);
    advise_close(job);
}

/* ---- in the lab --------------------------------------------------------------------------------------- */

static bool is_done(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->advise && !f->advising && f->advise->count > 0 &&
           f->advise->of[f->advise->count - 1].state == ADVISE_MEASURED;
}

static bool is_begun(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->advising && f->advise && f->advise->of[0].state == ADVISE_MEASURED;
}

static bool is_stopped(const struct frame *f, const void *arg)
{
    (void)arg;
    return !f->advising;
}

static bool is_limited(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->advise_limits.max_file > 0;
}

static void test_lab_advises(void **state)
{
    (void)state;
    struct lab *lab = start();
    send(lab, (struct command){.kind = COMMAND_ADVISE});
    struct frame *f = await(lab, is_done, NULL, "all schemes measured");
    assert_true(f->advise->pick[GOAL_QUALITY] < f->advise->count);
    assert_true(weights_same_layers(f->set, session.stored));
    size_t before = advise_bytes(&f->advise->of[f->advise->pick[GOAL_QUALITY]]);
    frame_unref(f);
    char limit[64];
    snprintf(limit, sizeof limit, "file %zu", before - 1);
    send(lab, (struct command){.kind = COMMAND_ADVISE_LIMITS, .text = limit});
    f = await(lab, is_limited, NULL, "limits kept");
    size_t pick = f->advise->pick[GOAL_QUALITY];
    assert_true(pick == f->advise->count || advise_bytes(&f->advise->of[pick]) < before);
    for (size_t i = 1; i < f->advise->count; i++) {
        const struct advise_row *r = &f->advise->of[i];
        assert_int_equal(r->file >= before && r->state == ADVISE_MEASURED, strstr(r->verdict, "over the size") != NULL);
    }
    frame_unref(f);
    lab_stop(lab);
}

static bool is_evaluated(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->quality.valid && quality_is_complete(&f->quality.result);
}

/* Who asks for an evaluation does not wait for all schemes. */
static void test_evaluation_goes_first(void **state)
{
    (void)state;
    struct lab *lab = start();
    send(lab, (struct command){.kind = COMMAND_ADVISE});
    frame_unref(await(lab, is_begun, NULL, "the first row"));
    send(lab, (struct command){.kind = COMMAND_EVALUATE});
    struct frame *f = await(lab, is_evaluated, NULL, "an evaluation");
    assert_true(f->advising);
    assert_true(f->advise->of[f->advise->count - 1].state == ADVISE_WAITING);
    frame_unref(f);
    lab_stop(lab);
}

static void test_lab_stops_advising(void **state)
{
    (void)state;
    struct lab *lab = start();
    send(lab, (struct command){.kind = COMMAND_ADVISE});
    frame_unref(await(lab, is_begun, NULL, "the first row"));
    send(lab, (struct command){.kind = COMMAND_ADVISE});
    struct frame *f = await(lab, is_stopped, NULL, "no row under way");
    for (size_t i = 0; i < f->advise->count; i++)
        assert_true(f->advise->of[i].state == ADVISE_MEASURED || f->advise->of[i].state == ADVISE_WAITING);
    frame_unref(f);
    lab_stop(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_front_is_not_beaten),
        cmocka_unit_test(test_choice_costs_least),
        cmocka_unit_test(test_goals_by_name),
        cmocka_unit_test(test_limits_in_writing),
        cmocka_unit_test(test_what_is_taken_can_be_written),
        cmocka_unit_test(test_verdicts_know_their_error),
        cmocka_unit_test(test_rows_are_measured),
        cmocka_unit_test(test_runs_end_anywhere),
        cmocka_unit_test(test_tokens_are_chosen),
        cmocka_unit_test(test_lab_advises),
        cmocka_unit_test(test_evaluation_goes_first),
        cmocka_unit_test(test_lab_stops_advising),
    };
    int status = cmocka_run_group_tests(tests, open_session, close_session);
    free(text.tokens);
    return status;
}
