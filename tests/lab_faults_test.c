/* What must not happen in the lab when memory is short or a text is of no use, and figures that are not complete. */
#include "labwork.h"
#include "lockstep.h"

/* The linker puts this in the place of weights_replace (-Wl,--wrap). */
struct weights *__real_weights_replace(const struct weights *set, struct qtensor *tensor);
struct weights *__wrap_weights_replace(const struct weights *set, struct qtensor *tensor);
static _Atomic bool memory_is_short;

struct weights *__wrap_weights_replace(const struct weights *set, struct qtensor *tensor)
{
    return memory_is_short ? NULL : __real_weights_replace(set, tensor);
}

/* ---- a set that cannot be built ------------------------------------------------------------------ */

static void test_layer_without_a_set(void **state)
{
    struct lab *lab = start();
    int t = tensor("blk.0.ffn_up");
    (void)state;
    memory_is_short = true;
    ask_only(lab, set_command(&t, 1, "int4"));
    struct frame *f = settled(lab); /* it is given up instead of being made again and again */
    assert_true(f->layers[t].wanted.format.stored);
    assert_true(f->status.is_error);
    assert_non_null(strstr(f->status.text, "blk.0.ffn_up: not enough memory"));
    frame_unref(f);
    memory_is_short = false;
    f = set(lab, "blk.0.ffn_up", "int4");
    assert_false(f->set->layer[t]->matrix.format.stored);
    frame_unref(f);
    lab_stop(lab);
}

/* ---- evaluations ---------------------------------------------------------------------------------- */

static char long_text[40000];

static struct lab *start_with_text(size_t size)
{
    struct lab_options o = usual_options();
    for (size_t i = 0; i < sizeof long_text; i++)
        long_text[i] = text_to_evaluate[i % (sizeof text_to_evaluate - 1)];
    o.text = long_text;
    o.text_size = size;
    return start_with(&o);
}

static bool is_partial(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->quality.valid && f->quality.running;
}

static bool is_complete(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->quality.valid && !f->quality.running && !f->quality.stale;
}

/* A snapshot that is taken, or gone back to, during an evaluation shows what is known so far, marked; what it keeps
 * is complete. */
static void test_snapshot_during_an_evaluation(void **state)
{
    struct lab *lab = start_with_text(6000);
    (void)state;
    set_all(lab, "int4");
    frame_unref(settled(lab));
    ask_only(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    ask_only(lab, (struct command){.kind = COMMAND_EVALUATE});
    struct frame *f = await(lab, is_partial, NULL, "an evaluation that runs");
    assert_true(f->snapshots[0].quality.valid && f->snapshots[0].quality.running);
    frame_unref(f);
    f = ask(lab, (struct command){.kind = COMMAND_UNDO});
    assert_int_equal(f->current_snapshot, -1);
    assert_false(f->snapshots[0].quality.valid); /* what was partial is gone */
    assert_non_null(f->snapshots[0].quality.reason);
    frame_unref(f);
    ask_only(lab, (struct command){.kind = COMMAND_RESTORE, .index = 0});
    frame_unref(settled(lab));
    ask_only(lab, (struct command){.kind = COMMAND_EVALUATE});
    f = await(lab, is_complete, NULL, "an evaluation to its end");
    assert_true(f->snapshots[0].quality.valid && !f->snapshots[0].quality.running);
    assert_int_equal(f->snapshots[0].quality.result.scored, f->snapshots[0].quality.result.planned);
    frame_unref(f);
    lab_stop(lab);
}

/* e says so when there is nothing to evaluate, each time; the other measurements are not disabled by it. */
static void test_nothing_to_evaluate(void **state)
{
    struct lab *lab = start_with_text(0);
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct frame *f = ask(lab, (struct command){.kind = COMMAND_EVALUATE});
        assert_true(f->status.is_error);
        assert_non_null(strstr(f->status.text, "nothing can be evaluated"));
        frame_unref(f);
    }
    set_all(lab, "int4");
    frame_unref(settled(lab));
    select_weight(lab, tensor("blk.0.ffn_up"), 0, 0);
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_COMPARE_METHODS});
    assert_false(f->status.is_error);
    frame_unref(f);
    lab_stop(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer_without_a_set),
        IN_STEP(test_snapshot_during_an_evaluation),
        cmocka_unit_test(test_nothing_to_evaluate),
    };
    return cmocka_run_group_tests(tests, open_session, close_session);
}
