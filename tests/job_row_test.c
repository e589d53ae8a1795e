/* Adding a job takes one file and one row: the table of jobs is compiled here once more, with a row that does
 * nothing. */
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

#define JOB_TYPES_MORE &nothing_job,
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_row_that_does_nothing)};
    return cmocka_run_group_tests(tests, open_session, close_session);
}
