/* Adding a job takes one file and one row: the table of jobs is compiled here once more, with a row that does
 * nothing, and with one that always has work, beside which figures must be there all the same. */
#include "labwork.h"

#include "lab/jobs.h"

struct nothing {
    int opened, finished, sets; /* counts */
};

static _Atomic int steps;

static bool wanted(struct lab *lab, void *state, const void *running)
{
    const struct nothing *n = state;
    (void)lab;
    return running || n->opened == 0;
}

static void *open_nothing(struct lab *lab, void *state, struct error *error)
{
    struct nothing *n = state;
    (void)lab, (void)error;
    n->opened++;
    return n;
}

static bool step(void *job, double seconds, bool *done, struct error *error)
{
    (void)job, (void)seconds, (void)error;
    *done = ++steps == 3;
    return true;
}

static double fraction(const void *job)
{
    (void)job;
    return steps / 3.0;
}

static void close_nothing(void *job)
{
    (void)job; /* the state */
}

static void finish(struct lab *lab, void *state, void *running)
{
    (void)lab, (void)running;
    ((struct nothing *)state)->finished++;
}

static void set_changed(struct lab *lab, void *state)
{
    (void)lab;
    ((struct nothing *)state)->sets++;
}

/* Its counts, where a frame has room for numbers that nothing else fills here. */
static void publish(const struct lab *lab, const void *state, const void *running, struct frame *f)
{
    const struct nothing *n = state;
    (void)lab, (void)running;
    f->layers[0].progress = (float)(100 * n->opened + 10 * n->finished + n->sets);
}

static const struct job_class nothing_class = {"doing nothing", step, fraction, NULL, close_nothing};

static const struct job_type nothing_job = {
    .class = &nothing_class,
    .state_size = sizeof(struct nothing),
    .wanted = wanted,
    .open = open_nothing,
    .finish = finish,
    .set_changed = set_changed,
    .publish = publish,
};

/* ---- a job without an end ---------------------------------------------------------------------------- */

static atomic_bool busy;

static bool is_busy(struct lab *lab, void *state, const void *running)
{
    (void)lab, (void)state, (void)running;
    return busy;
}

static bool work_on(void *job, double seconds, bool *done, struct error *error)
{
    (void)job, (void)seconds, (void)error;
    *done = false;
    return true;
}

static void *open_busy(struct lab *lab, void *state, struct error *error)
{
    (void)lab, (void)error;
    return state;
}

static const struct job_class busy_class = {"working without end", work_on, fraction, NULL, close_nothing};

static const struct job_type busy_job = {
    .class = &busy_class,
    .wanted = is_busy,
    .open = open_busy,
};

#define JOB_TYPES_MORE &nothing_job, &busy_job,
#include "../src/lab/jobs.c"

static bool has_counts(const struct frame *f, const void *arg)
{
    return f->layers[0].progress == *(const float *)arg;
}

static void test_a_row_that_does_nothing(void **state)
{
    struct lab *lab = start();
    const float done = 110, another_set = 111;
    (void)state;
    frame_unref(await(lab, has_counts, &done, "the job opened and finished once"));
    assert_int_equal(steps, 3);
    frame_unref(set(lab, "blk.0.ffn_up", "int8"));
    frame_unref(await(lab, has_counts, &another_set, "the job told of another set"));
    lab_stop(lab);
}

static bool has_rough_speed(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->speed.decode.valid && f->speed.is_rough && f->speed.bandwidth.valid && f->speed.decode.value > 0;
}

static bool has_good_speed(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->speed.decode.valid && !f->speed.is_rough;
}

/* A job that never rests leaves no step undisturbed: there is a figure, and it is marked. Without the job it is
 * refined; while the job runs again it stays; of another set it is marked at once. */
static void test_speed_beside_a_job(void **state)
{
    (void)state;
    busy = true;
    struct lab *lab = start();
    frame_unref(await(lab, has_rough_speed, NULL, "a speed beside a job"));
    busy = false;
    struct frame *f = await(lab, has_good_speed, NULL, "a speed without it");
    assert_true(f->speed.history_count > 0);
    frame_unref(f);
    busy = true;
    frame_unref(set(lab, "blk.0.ffn_up", "int8"));
    for (int i = 0; i < 20; i++) { /* no frame is without one */
        send(lab, (struct command){.kind = COMMAND_SELECT});
        f = now(lab);
        assert_true(f->speed.decode.valid);
        frame_unref(f);
    }
    frame_unref(await(lab, has_rough_speed, NULL, "a speed of the new set beside a job"));
    busy = false;
    lab_stop(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_row_that_does_nothing),
                                       cmocka_unit_test(test_speed_beside_a_job)};
    return cmocka_run_group_tests(tests, open_session, close_session);
}
