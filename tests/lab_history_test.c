/* What a person did: the log, the steps that undo goes through, jobs that are stopped, and names of snapshots. */
#include "labwork.h"
#include "lockstep.h"

/* The entry that describes a step; null without one. */
static const struct log_entry *entry_of(const struct frame *f, uint64_t step)
{
    for (size_t i = 0; i < f->log->count; i++)
        if (f->log->of[i].step == step)
            return &f->log->of[i];
    return NULL;
}

static bool says(const struct frame *f, const char *text)
{
    for (size_t i = 0; i < f->log->count; i++)
        if (strstr(f->log->of[i].text, text))
            return true;
    return false;
}

static bool says_it(const struct frame *f, const void *text)
{
    return says(f, text);
}

static bool is_evaluated(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->steps[f->current_step].kl.valid;
}

static void test_every_change_is_described(void **state)
{
    struct lab *lab = start();
    (void)state;
    frame_unref(set(lab, "blk.0.attn_q", "int8"));
    frame_unref(set(lab, "blk.1.attn_q", "int4"));
    ask_only(lab, (struct command){.kind = COMMAND_UNDO});
    struct frame *f = settled(lab);
    assert_int_equal(f->step_count, 3);
    assert_int_equal(f->current_step, 1);
    assert_non_null(strstr(entry_of(f, f->steps[0].serial)->text, "as stored"));
    assert_non_null(strstr(entry_of(f, f->steps[1].serial)->text, "blk.0.attn_q: int8"));
    assert_non_null(strstr(entry_of(f, f->steps[2].serial)->text, "blk.1.attn_q: int4"));
    assert_true(says(f, "undone; 1 more"));
    frame_unref(f);
    frame_unref(set(lab, "blk.2.attn_q", "int4")); /* in place of what was undone */
    f = settled(lab);
    assert_int_equal(f->step_count, 3);
    assert_true(says(f, "blk.1.attn_q: int4")); /* the log keeps it */
    assert_non_null(strstr(entry_of(f, f->steps[2].serial)->text, "blk.2.attn_q"));
    frame_unref(f);
    lab_stop(lab);
}

/* The figures of a step stay when another is in use, and it is gone to at once. */
static void test_steps_keep_figures(void **state)
{
    struct lab_options o = usual_options();
    o.text = text_to_evaluate;
    o.text_size = strlen(text_to_evaluate);
    struct lab *lab = start_with(&o);
    (void)state;
    frame_unref(set(lab, "blk.0.attn_q", "int4"));
    struct frame *f = await(lab, is_evaluated, NULL, "an evaluation");
    struct step_frame four = f->steps[1];
    assert_true(four.kl.value > 0 && four.kl_stderr >= 0 && four.size > 0);
    assert_true(four.size < f->stored_size);
    frame_unref(f);
    frame_unref(set(lab, "blk.1.attn_q", "int4"));
    frame_unref(set(lab, "blk.2.attn_q", "int4"));
    f = ask(lab, (struct command){.kind = COMMAND_STEP, .step = four.serial});
    assert_int_equal(f->pending, 0);
    assert_int_equal(f->current_step, 1);
    assert_true(f->set->layer[tensor("blk.1.attn_q")]->matrix.format.stored);
    assert_true(f->steps[1].kl.valid && f->steps[1].kl.value == four.kl.value);
    assert_true(says(f, "undone: 2"));
    uint64_t last = f->steps[3].serial;
    frame_unref(f);
    f = ask(lab, (struct command){.kind = COMMAND_STEP, .step = last});
    assert_int_equal(f->current_step, 3);
    assert_false(f->set->layer[tensor("blk.2.attn_q")]->matrix.format.stored);
    frame_unref(f);
    f = ask(lab, (struct command){.kind = COMMAND_STEP, .step = 1000});
    assert_true(f->status.is_error);
    assert_int_equal(f->current_step, 3);
    frame_unref(f);
    lab_stop(lab);
}

/* As many as there is room for, the newest. */
static void test_log_is_bounded(void **state)
{
    struct lab *lab = start();
    (void)state;
    for (int i = 0; i < LOG_ENTRIES + 20; i++)
        send(lab, (struct command){.kind = COMMAND_PAUSE});
    send(lab, (struct command){.kind = COMMAND_RESTORE, .index = 7});
    struct frame *f = await(lab, says_it, "no such snapshot", "the last of them");
    assert_int_equal(f->log->count, LOG_ENTRIES);
    assert_true(f->log->total > LOG_ENTRIES);
    size_t last = LOG_ENTRIES - 1;
    while (last > LOG_ENTRIES / 2 && !strstr(f->log->of[last].text, "no such snapshot")) /* jobs say something, too */
        last--;
    assert_true(last > LOG_ENTRIES / 2 && f->log->of[last].is_error);
    frame_unref(f);
    lab_stop(lab);
}

/* ---- jobs ---------------------------------------------------------------------------------------- */

static const struct job_frame *job_named(const struct frame *f, const char *name)
{
    for (size_t i = 0; i < f->job_count; i++)
        if (strcmp(f->jobs[i].name, name) == 0)
            return &f->jobs[i];
    return NULL;
}

struct job_wanted {
    const char *name;
    enum job_state state;
};

static bool job_is(const struct frame *f, const void *arg)
{
    const struct job_wanted *w = arg;
    const struct job_frame *j = job_named(f, w->name);
    return j && j->state == w->state;
}

static void test_jobs_are_listed_and_stopped(void **state)
{
    static const struct job_wanted runs = {"measuring sensitivity", JOB_RUNNING}, stopped = {"measuring sensitivity", JOB_STOPPED},
                                   done = {"quantizing", JOB_DONE};
    struct lab *lab = start();
    (void)state;
    set_all(lab, "int4");
    frame_unref(await(lab, job_is, &done, "the layers quantized"));
    ask_only(lab, (struct command){.kind = COMMAND_SENSITIVITY});
    struct frame *f = await(lab, job_is, &runs, "the sensitivity running");
    int row = job_named(f, runs.name)->row;
    assert_true(job_named(f, runs.name)->can_stop);
    frame_unref(f);
    ask_only(lab, (struct command){.kind = COMMAND_STOP_JOB, .index = row});
    f = await(lab, job_is, &stopped, "it stopped");
    assert_false(job_named(f, runs.name)->can_stop);
    frame_unref(f);
    ask_only(lab, (struct command){.kind = COMMAND_STOP_JOB, .index = row});
    f = ask(lab, (struct command){.kind = COMMAND_STOP_JOB, .index = -1});
    assert_true(f->status.is_error);
    frame_unref(f);
    lab_stop(lab);
}

static size_t measured_rows(const struct frame *f)
{
    size_t n = 0;
    for (size_t i = 0; f->advise && i < f->advise->count; i++)
        n += f->advise->of[i].state == ADVISE_MEASURED;
    return n;
}

static bool has_two_rows(const struct frame *f, const void *arg)
{
    (void)arg;
    return measured_rows(f) >= 2;
}

static bool advises(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->advising && f->activity.name && strcmp(f->jobs[0].name, "") != 0;
}

/* Advice that was stopped goes on: what was measured stays. */
static void test_advice_goes_on(void **state)
{
    struct lab *lab = start();
    (void)state;
    send(lab, (struct command){.kind = COMMAND_ADVISE});
    frame_unref(await(lab, has_two_rows, NULL, "two rows"));
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_ADVISE});
    size_t known = measured_rows(f), count = f->advise->count;
    struct advise_row first = f->advise->of[0];
    assert_false(f->advising);
    assert_true(known < count);
    frame_unref(f);
    send(lab, (struct command){.kind = COMMAND_ADVISE});
    f = await(lab, advises, NULL, "the advice again");
    assert_true(measured_rows(f) >= known);
    assert_true(f->advise->of[0].quality.kl == first.quality.kl && f->advise->of[0].decode.median == first.decode.median);
    frame_unref(f);
    lab_stop(lab);
}

/* ---- snapshots ------------------------------------------------------------------------------------- */

static void test_names_notes_and_deletion(void **state)
{
    struct lab *lab = start();
    char much[SNAPSHOT_NOTE + 1];
    (void)state;
    memset(much, 'x', sizeof much - 1);
    much[sizeof much - 1] = 0;
    ask_only(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    frame_unref(set(lab, "blk.0.attn_q", "int4"));
    ask_only(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    ask_only(lab, (struct command){.kind = COMMAND_NAME_SNAPSHOT, .index = 'B', .text = "small"});
    ask_only(lab, (struct command){.kind = COMMAND_ANNOTATE_SNAPSHOT, .index = 'B', .text = "one layer only"});
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_ANNOTATE_SNAPSHOT, .index = 'B', .text = much});
    assert_true(f->status.is_error);
    assert_string_equal(f->snapshots[1].name, "small");
    assert_string_equal(f->snapshots[1].note, "one layer only");
    frame_unref(f);
    f = ask(lab, (struct command){.kind = COMMAND_DELETE_SNAPSHOT, .index = 'A'});
    assert_int_equal(f->snapshot_count, 1);
    assert_int_equal(f->snapshots[0].label, 'B');
    frame_unref(f);
    f = ask(lab, (struct command){.kind = COMMAND_DELETE_SNAPSHOT, .index = 'A'});
    assert_true(f->status.is_error);
    frame_unref(f);
    frame_unref(set(lab, "blk.1.attn_q", "int4"));
    f = ask(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    assert_int_equal(f->snapshots[1].label, 'A'); /* the first letter that is free */
    frame_unref(f);
    lab_stop(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_STEP(test_every_change_is_described), IN_STEP(test_steps_keep_figures),
        IN_STEP(test_log_is_bounded),            IN_STEP(test_jobs_are_listed_and_stopped),
        IN_STEP(test_names_notes_and_deletion),    IN_STEP(test_advice_goes_on),
    };
    return cmocka_run_group_tests_name("lab_history", tests, open_session, close_session);
}
