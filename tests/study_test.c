/* Another text to measure quality on, while the lab runs: what the old one's figures become. */
#include "labwork.h"

static const char other_text[] = "in the end the barn was read to by the hen and the singer was fed on the other hen";

static struct tokens tokens_of(const char *text)
{
    struct tokens t = {0};
    struct error error;
    if (!tokenizer_encode(session.tokenizer, text, strlen(text), &t, &error))
        fail_msg("%s", error.text);
    return t;
}

static struct lab *start_on_text(void)
{
    struct lab_options o = usual_options();
    o.text = text_to_evaluate;
    o.text_size = strlen(text_to_evaluate);
    o.text_name = "first";
    return start_with(&o);
}

static struct command study(const struct tokens *t, const char *name)
{
    return (struct command){.kind = COMMAND_STUDY, .ids = t->ids, .id_count = t->count, .text = name};
}

static bool is_measured_on(const struct frame *f, const void *name)
{
    return f->quality.valid && !f->quality.stale && quality_is_complete(&f->quality.result) &&
           strcmp(f->quality.result.basis.text, name) == 0;
}

/* The figures of an evaluation by itself, as qtop eval runs it. */
static struct quality_result evaluate(struct frame *f, const struct tokens *t)
{
    struct error error;
    struct quality_plan plan = {.tokens = t->ids, .count = t->count, .bos = session_bos(&session),
                                .window = quality_default_window(session.context)};
    struct quality *q = quality_open(session.model, session.pool, &plan, session.reference, f->set, &error);
    assert_non_null(q);
    while (!quality_step(q, 1))
        continue;
    struct quality_result r = quality_result(q);
    quality_close(q);
    return r;
}

static void test_exchange(void **state)
{
    struct tokens t = tokens_of(other_text);
    struct lab *lab = start_on_text();
    (void)state;
    frame_unref(set(lab, "blk.0.ffn_up", "int4:g32"));
    ask_only(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    frame_unref(await(lab, is_measured_on, "first", "figures of the first text"));
    struct frame *f = ask(lab, study(&t, "second"));
    assert_non_null(strstr(f->status.text, "second"));
    frame_unref(f);
    f = await(lab, is_measured_on, "second", "figures of the second text");
    assert_int_equal(f->quality.result.basis.tokens, t.count);
    assert_int_equal(f->quality.result.ran, t.count);
    assert_string_equal(f->study->name, "second");
    assert_int_equal(f->study->tokens, t.count);
    assert_memory_equal(f->study->ids, t.ids, t.count * sizeof *t.ids);
    frame_ref(f);
    lab_stop(lab); /* the pool is now this thread's */
    struct quality_result r = evaluate(f, &t);
    assert_true(r.kl == f->quality.result.kl && r.kl_stderr == f->quality.result.kl_stderr);
    assert_true(r.perplexity == f->quality.result.perplexity);
    frame_unref(f);
    frame_unref(f);
    free(t.ids);
}

static bool has_sensitivity(const struct frame *f, const void *tensor)
{
    return f->layers[*(const int *)tensor].sensitivity.valid && f->sensitivity_seconds == 0;
}

static bool has_study(const struct frame *f, const void *name)
{
    return f->study && strcmp(f->study->name, name) == 0;
}

/* A snapshot keeps its figures as those of the old text; sensitivities are gone. */
static void test_figures_of_the_old_text(void **state)
{
    struct tokens t = tokens_of(other_text);
    struct lab *lab = start_on_text();
    int up = tensor("blk.0.ffn_up");
    (void)state;
    ask_only(lab, (struct command){.kind = COMMAND_PAUSE});
    frame_unref(set(lab, "blk.0.ffn_up", "int4:g32"));
    frame_unref(await(lab, is_measured_on, "first", "figures of the first text"));
    ask_only(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    ask_only(lab, (struct command){.kind = COMMAND_SENSITIVITY});
    frame_unref(await(lab, has_sensitivity, &up, "the sensitivity"));
    frame_unref(set(lab, "blk.0.ffn_up", "int4:g16"));
    ask_only(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    ask_only(lab, study(&t, "second"));
    struct frame *f = await(lab, has_study, "second", "the second text");
    assert_false(f->layers[up].sensitivity.valid);
    frame_unref(f);
    f = await(lab, is_measured_on, "second", "figures of the second text");
    assert_string_equal(f->snapshots[0].quality.result.basis.text, "first");
    assert_string_equal(f->snapshots[1].quality.result.basis.text, "second");
    assert_string_equal(frame_incomparable(f, 1, &f->snapshots[0]), "another text");
    frame_unref(f);
    lab_stop(lab);
    free(t.ids);
}

/* What changes reached on the old text is not known any more; on the new one it is, also on going back. */
static void test_history_of_both_texts(void **state)
{
    struct tokens t = tokens_of(other_text);
    struct lab *lab = start_on_text();
    (void)state;
    frame_unref(set(lab, "blk.0.ffn_up", "int4:g32"));
    frame_unref(await(lab, is_measured_on, "first", "figures of the first text"));
    ask_only(lab, study(&t, "second"));
    struct frame *f = await(lab, is_measured_on, "second", "figures of the second text");
    struct quality_result second = f->quality.result;
    assert_true(f->steps[1].kl.valid && f->steps[1].kl.value == second.kl);
    assert_false(f->steps[0].kl.valid);
    frame_unref(f);
    frame_unref(set(lab, "blk.1.ffn_up", "int4:g32"));
    f = ask(lab, (struct command){.kind = COMMAND_UNDO});
    assert_true(is_measured_on(f, "second"));
    assert_true(f->quality.result.kl == second.kl);
    frame_unref(f);
    lab_stop(lab);
    free(t.ids);
}

/* Nothing to predict: one line, and all is as it was. */
static void test_too_short(void **state)
{
    struct lab_options o = usual_options();
    o.text = text_to_evaluate;
    o.text_size = strlen(text_to_evaluate);
    o.text_name = "first";
    o.protocol = PROTOCOL_LLAMACPP;
    o.window = 8;
    struct tokens t = tokens_of("the hen");
    struct lab *lab = start_with(&o);
    (void)state;
    frame_unref(await(lab, is_measured_on, "first", "figures of the first text"));
    struct frame *f = ask(lab, study(&t, "short"));
    assert_true(f->status.is_error);
    assert_non_null(strstr(f->status.text, "short: the text has"));
    assert_true(is_measured_on(f, "first"));
    assert_string_equal(f->study->name, "first");
    frame_unref(f);
    lab_stop(lab);
    free(t.ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_figures_of_the_old_text),
        cmocka_unit_test(test_history_of_both_texts),
        cmocka_unit_test(test_too_short),
    };
    return cmocka_run_group_tests(tests, open_session, close_session);
}
