/* Decode tokens/s: a rough figure at once, then readings of steps that no job disturbed. Steps are given, none is
 * timed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "lab/meter.h"

#include <math.h>

static struct meter fresh(void)
{
    struct meter m = {0};
    meter_reset(&m);
    return m;
}

static void disturbed(struct meter *m, double seconds)
{
    m->skip_next = true;
    meter_add(m, seconds);
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * b;
}

/* Of a model of 5 tokens/s, too, whatever disturbs it. */
static void test_the_first_step_is_a_rough_figure(void **state)
{
    (void)state;
    static const double steps[] = {0.2, 0.02, 1e-4};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct meter m = fresh();
        assert_true(m.rate == 0 && !meter_has_reading(&m));
        disturbed(&m, steps[i]);
        assert_true(near(m.rate, 1 / steps[i]));
        assert_true(m.is_rough && !meter_has_reading(&m) && m.history_count == 0);
    }
}

/* A cold first step fades from the rough figure, and is in no reading. */
static void test_rough_figures_are_refined(void **state)
{
    (void)state;
    struct meter m = fresh();
    disturbed(&m, 3);
    for (int i = 0; i < 40; i++) {
        double before = m.rate;
        disturbed(&m, 0.02);
        assert_true(m.rate > before || near(m.rate, 50));
    }
    assert_true(m.is_rough && m.rate > 45 && m.rate <= 50 + 1e-9);
    m.skip_next = false;
    for (int i = 0; i < 3; i++)
        meter_add(&m, 0.01);
    assert_true(meter_has_reading(&m) && near(m.rate, 100));
    assert_int_equal(m.history_count, 1);
}

/* What a job disturbs changes no reading. */
static void test_readings_stay_beside_jobs(void **state)
{
    (void)state;
    struct meter m = fresh();
    m.skip_next = false;
    for (int i = 0; i < 3; i++)
        meter_add(&m, 0.01);
    for (int i = 0; i < 100; i++)
        disturbed(&m, 0.1);
    assert_true(meter_has_reading(&m) && near(m.rate, 100));
    meter_reset(&m);
    assert_true(m.rate == 0 && !m.is_rough);
    assert_int_equal(m.history_count, 1);
}

static void test_steps_below_the_clock(void **state)
{
    (void)state;
    struct meter m = fresh();
    disturbed(&m, 0);
    assert_true(m.rate == 0);
    disturbed(&m, 0.01);
    assert_true(isfinite(m.rate) && m.rate > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_step_is_a_rough_figure),
        cmocka_unit_test(test_rough_figures_are_refined),
        cmocka_unit_test(test_readings_stay_beside_jobs),
        cmocka_unit_test(test_steps_below_the_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
