/* Sessions: what is saved comes back as it was, and a file that is damaged, or of another model, text or machine, is
 * refused or believed only as far as it can be. */
#include "labwork.h"
#include "lockstep.h"

#include "lab/saved.h"
#include "session/state_file.h"
#include "base/output.h"
#include "base/user_path.h"

#include <glob.h>
#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

static char *file; /* of the session under test */

static bool is_evaluated(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->quality.valid && !f->quality.running && !f->quality.stale && quality_is_complete(&f->quality.result);
}

static bool is_sensitive(const struct frame *f, const void *arg)
{
    const struct layer_frame *l = &f->layers[*(const int *)arg];
    return l->sensitivity.valid && !l->sensitivity_partial;
}

static struct lab_options text_options(void)
{
    static const struct opened_with opened[] = {{"protocol", "full", false}};
    struct lab_options o = usual_options();
    o.text = text_to_evaluate;
    o.text_size = strlen(text_to_evaluate);
    o.text_name = "test text";
    o.opened = opened;
    o.opened_count = 1;
    return o;
}

/* Two snapshots, one of them evaluated with a sensitivity, a name and a note; then saved. Returns the last frame. */
static struct frame *make_session(void)
{
    struct lab_options o = text_options();
    struct lab *lab = start_with(&o);
    int t = tensor("blk.0.attn_q");
    ask_only(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    frame_unref(set(lab, "blk.0.attn_q", "int4:g16"));
    frame_unref(set(lab, "blk.1.ffn_up", "q8_0"));
    ask_only(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    ask_only(lab, (struct command){.kind = COMMAND_NAME_SNAPSHOT, .index = 'B', .text = "small"});
    ask_only(lab, (struct command){.kind = COMMAND_ANNOTATE_SNAPSHOT, .index = 'B', .text = "two layers"});
    frame_unref(await(lab, is_evaluated, NULL, "an evaluation"));
    ask_only(lab, (struct command){.kind = COMMAND_SENSITIVITY});
    frame_unref(await(lab, is_sensitive, &t, "the sensitivity"));
    frame_unref(set(lab, "blk.2.ffn_up", "int8"));
    ask_only(lab, (struct command){.kind = COMMAND_UNDO});
    frame_unref(await(lab, is_evaluated, NULL, "the evaluation again"));
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_SAVE, .text = file});
    assert_false(f->status.is_error);
    lab_stop(lab);
    return f;
}

static struct lab *resume(const struct saved *saved, const struct lab_options *options, struct scheme **schemes)
{
    struct lab_options o = *options;
    struct error error;
    *schemes = saved_schemes(saved, session.model, &error);
    if (!*schemes)
        fail_msg("%s", error.text);
    o.schemes = *schemes;
    o.saved = saved;
    return start_with(&o);
}

static struct saved *open_saved(void)
{
    struct error error;
    struct saved *saved = saved_open(file, &error);
    if (!saved)
        fail_msg("%s", error.text);
    return saved;
}

static void assert_same_quality(const struct quality_result *a, const struct quality_result *b)
{
    assert_null(quality_differs(a, b));
    assert_true(a->kl == b->kl && a->kl_stderr == b->kl_stderr && a->kl_max == b->kl_max && a->top1 == b->top1);
    assert_true(a->perplexity == b->perplexity && a->perplexity_reference == b->perplexity_reference);
    assert_int_equal(a->scored, b->scored);
}

static void assert_same_snapshots(const struct frame *a, const struct frame *b)
{
    assert_int_equal(a->snapshot_count, b->snapshot_count);
    for (size_t i = 0; i < a->snapshot_count; i++) {
        const struct snapshot *s = &a->snapshots[i], *r = &b->snapshots[i];
        assert_int_equal(s->label, r->label);
        assert_string_equal(s->name, r->name);
        assert_string_equal(s->note, r->note);
        assert_string_equal(s->summary, r->summary);
        assert_true(schemes_same(session.model, s->schemes->of, r->schemes->of));
        assert_int_equal(s->size, r->size);
        assert_int_equal(s->quality.valid, r->quality.valid);
        if (s->quality.valid)
            assert_same_quality(&s->quality.result, &r->quality.result);
    }
}

static void test_comes_back(void **state)
{
    struct frame *then = make_session();
    struct saved *saved = open_saved();
    struct lab_options o = text_options();
    struct scheme *schemes;
    int t = tensor("blk.0.attn_q"), u = tensor("blk.2.ffn_up");
    (void)state;
    assert_true(saved_is(file));
    assert_string_equal(saved_option(saved, "protocol"), "full");
    assert_string_equal(saved_option(saved, "text"), "");
    struct lab *lab = resume(saved, &o, &schemes);
    struct frame *f = await(lab, is_evaluated, NULL, "quality that is known");
    assert_same_quality(&f->quality.result, &then->quality.result);
    for (size_t i = 0; i < f->job_count; i++)
        assert_string_not_equal(f->jobs[i].name, "evaluating"); /* it was known */
    assert_same_snapshots(then, f);
    assert_int_equal(f->current_snapshot, 1);
    assert_int_equal(f->step_count, 4);
    assert_int_equal(f->current_step, 2);
    assert_true(f->layers[t].sensitivity.valid && f->layers[t].sensitivity.value == then->layers[t].sensitivity.value);
    frame_unref(f);
    ask_only(lab, (struct command){.kind = COMMAND_REDO});
    f = settled(lab);
    assert_int_equal(f->set->layer[u]->matrix.format.weight, DTYPE_INT8);
    frame_unref(f);
    frame_unref(then);
    lab_stop(lab);
    saved_close(saved);
    free(schemes);
}

/* On another text, figures of quality are of nothing that is shown. */
static void test_another_text(void **state)
{
    frame_unref(make_session());
    struct saved *saved = open_saved();
    struct lab_options o = text_options();
    struct scheme *schemes;
    int t = tensor("blk.0.attn_q");
    (void)state;
    o.text = "the singer in the end read on and the hen and the other hen were fed";
    o.text_size = strlen(o.text);
    struct lab *lab = resume(saved, &o, &schemes);
    struct frame *f = now(lab);
    assert_int_equal(f->snapshot_count, 2);
    assert_false(f->snapshots[1].quality.valid && quality_is_complete(&f->snapshots[1].quality.result));
    assert_false(f->layers[t].sensitivity.valid);
    frame_unref(f);
    lab_stop(lab);
    saved_close(saved);
    free(schemes);
}

/* ---- damage ---------------------------------------------------------------------------------------- */

static json_t *root;

/* Opens the session as it now is and begins a lab with it; whether that worked. */
static bool begins(struct error *error)
{
    struct lab_options o = text_options();
    assert_int_equal(json_dump_file(root, file, 0), 0);
    struct saved *saved = saved_open(file, error);
    struct scheme *schemes = saved ? saved_schemes(saved, session.model, error) : NULL;
    o.schemes = schemes;
    o.saved = saved;
    struct lab *lab = schemes ? lab_start(&session, &o, error) : NULL;
    if (lab)
        frame_unref(now(lab));
    lab_stop(lab);
    saved_close(saved);
    free(schemes);
    return lab;
}

static void assert_one_line(const struct error *error)
{
    assert_true(*error->text);
    assert_null(strchr(error->text, '\n'));
}

static size_t tried;

/* With every value below an object or array in turn replaced by others, qtop refuses or goes on, and lives. */
static void damage(json_t *in)
{
    enum { FIRST = 3 }; /* of arrays, whose values are alike */
    size_t all = json_is_object(in) ? json_object_size(in) : json_array_size(in);
    const size_t n = json_is_object(in) || all < FIRST ? all : FIRST;
    void *at = json_is_object(in) ? json_object_iter(in) : NULL;
    for (size_t i = 0; i < n; i++) {
        const char *key = at ? json_object_iter_key(at) : NULL;
        json_t *was = json_incref(at ? json_object_iter_value(at) : json_array_get(in, i));
        json_t *others[] = {json_null(), json_integer(-1), json_integer(INT64_MAX), json_string("x"), json_array(), json_object()};
        for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
            struct error error = {""};
            if (key)
                json_object_set_new(in, key, others[k]);
            else
                json_array_set_new(in, i, others[k]);
            if (!begins(&error))
                assert_one_line(&error);
            tried++;
        }
        if (key)
            json_object_set(in, key, was);
        else
            json_array_set(in, i, was);
        if (json_is_object(was) || json_is_array(was))
            damage(was);
        json_decref(was);
        at = at ? json_object_iter_next(in, json_object_iter_at(in, key)) : NULL;
    }
}

static void test_damaged_files(void **state)
{
    struct error error = {""};
    (void)state;
    frame_unref(make_session());
    root = json_load_file(file, 0, NULL);
    assert_non_null(root);
    assert_true(begins(&error)); /* as it is */
    damage(root);
    assert_true(tried > 300);
    json_decref(root);
}

static void test_refused(void **state)
{
    struct error error;
    (void)state;
    write_file(file, "{\"qtop_session\": 1", 18);
    assert_true(saved_is(file));
    assert_null(saved_open(file, &error));
    assert_one_line(&error);
    write_file(file, "{\"qtop_session\": 2}", 19);
    assert_null(saved_open(file, &error));
    assert_non_null(strstr(error.text, "another version"));
    write_file(file, "{\"model\": 2}", 12);
    assert_false(saved_is(file));
    assert_false(saved_is("/dev/null"));
    assert_false(saved_is("/nowhere"));
}

/* ---- keeping --------------------------------------------------------------------------------------- */

static void test_full_disk(void **state)
{
    struct lab *lab = start();
    (void)state;
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_SAVE, .text = "/dev/full"});
    assert_true(f->status.is_error);
    assert_false(f->session_named);
    frame_unref(f);
    f = ask(lab, (struct command){.kind = COMMAND_SAVE, .text = session.model->path});
    assert_true(f->status.is_error); /* the model itself */
    frame_unref(f);
    lab_stop(lab);
}

static bool has_file(const struct frame *f, const void *path)
{
    (void)f;
    return access(path, F_OK) == 0;
}

static bool says_cut_off(const struct frame *f, const void *path)
{
    for (size_t i = 0; i < f->log->count; i++)
        if (strstr(f->log->of[i].text, "cut off") && strstr(f->log->of[i].text, path))
            return true;
    return false;
}

/* Without a name it is kept for a crash, and gone after an end; what a dead process left is told of. */
static void test_kept_for_a_crash(void **state)
{
    struct lab_options o = text_options();
    struct error error;
    char name[80], mark[24], *left, *ours;
    (void)state;
    o.keeps_session = true;
    o.save_seconds = 0.001;
    frame_unref(make_session());
    struct lab *lab = start_with(&o); /* one at a time has the session */
    struct saved *saved = open_saved();
    json_t *j = json_load_file(file, 0, NULL);
    snprintf(mark, sizeof mark, "%s", json_string_value(json_object_get(json_object_get(j, "model"), "digest")));
    json_decref(j);
    saved_close(saved);
    snprintf(name, sizeof name, "session-%s-%ld.qtop", mark, (long)getpid());
    assert_non_null(ours = user_path(USER_STATE, name, &error));
    ask_only(lab, (struct command){.kind = COMMAND_SNAPSHOT});
    frame_unref(await(lab, has_file, ours, "the session kept"));
    assert_true(lab_finish(lab, &error));
    lab_stop(lab);
    assert_int_equal(access(ours, F_OK), -1);
    snprintf(name, sizeof name, "session-%s-%d.qtop", mark, INT32_MAX); /* more than any process has */
    assert_non_null(left = user_path(USER_STATE, name, &error));
    write_file(left, "{}", 2);
    lab = start_with(&o);
    frame_unref(await(lab, says_cut_off, left, "what was left"));
    assert_true(lab_finish(lab, &error));
    lab_stop(lab);
    assert_int_equal(access(left, F_OK), 0); /* until a person has looked at it */
    unlink(left);
    free(left);
    free(ours);
}

static void test_named_is_written_at_the_end(void **state)
{
    struct lab *lab = start();
    struct error error;
    struct stat before, after;
    (void)state;
    ask_only(lab, (struct command){.kind = COMMAND_SAVE, .text = file});
    assert_int_equal(stat(file, &before), 0);
    frame_unref(set(lab, "blk.0.attn_q", "int4:g16"));
    assert_true(lab_finish(lab, &error));
    lab_stop(lab);
    assert_int_equal(stat(file, &after), 0);
    assert_true(after.st_size > before.st_size);
}

/* ---- a search --------------------------------------------------------------------------------------- */

static bool is_kept(const struct frame *f, const void *pattern)
{
    glob_t found = {0};
    bool kept = f->tuning && glob(pattern, 0, NULL, &found) == 0;
    globfree(&found);
    return kept;
}

static void remove_all(const char *pattern)
{
    glob_t found = {0};
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            unlink(found.gl_pathv[i]);
    globfree(&found);
}

static bool goes_on(const struct frame *f, const void *arg)
{
    (void)arg;
    for (size_t i = 0; i < f->log->count; i++)
        if (strstr(f->log->of[i].text, "of an earlier search"))
            return true;
    return false;
}

/* What it measured before the program ended is there for the next one, and goes with that. */
static void test_search_goes_on(void **state)
{
    const struct command tune = {.kind = COMMAND_TUNE, .text = "bits 6"};
    struct lab_options o = text_options();
    struct error error;
    char *pattern = user_path(USER_STATE, "tune-*", &error);
    (void)state;
    remove_all(pattern);
    struct lab *lab = start_with(&o);
    ask_only(lab, tune);
    frame_unref(await(lab, is_kept, pattern, "a part of the search kept"));
    lab_stop(lab);
    lab = start_with(&o);
    ask_only(lab, tune);
    frame_unref(await(lab, goes_on, NULL, "what was measured"));
    lab_stop(lab);
    remove_all(pattern);
    free(pattern);
}

static int open_all(void **state)
{
    int failed = open_session(state);
    file = path_in(folder, "test.qtop");
    return failed;
}

static int close_all(void **state)
{
    free(file);
    return close_session(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_STEP(test_comes_back),      IN_STEP(test_another_text),
        IN_STEP(test_refused),         IN_STEP(test_full_disk),
        IN_STEP(test_damaged_files),   IN_STEP(test_named_is_written_at_the_end),
        cmocka_unit_test(test_kept_for_a_crash), IN_STEP(test_search_goes_on),
    };
    return cmocka_run_group_tests_name("saved", tests, open_all, close_all);
}
