/* Methods that look at activations, in the lab: chosen, made in the background, undone, given up. */
#include "labwork.h"
#include "lockstep.h"

/* What is calibrated on, unless a test has the model write it. */
static int32_t calibration_ids[200];
static const struct tokens calibration = {.ids = calibration_ids,
                                          .count = sizeof calibration_ids / sizeof *calibration_ids};

static int open_calibrated(void **state)
{
    uint64_t seed = 5;
    if (open_session(state) != 0)
        return -1;
    for (size_t i = 0; i < calibration.count; i++)
        calibration_ids[i] = (int32_t)(3 + random_below(&seed, 390));
    session.calibration = calibration;
    session.calibration_is_default = true; /* what is trained on is written */
    return 0;
}

static int close_calibrated(void **state)
{
    session.calibration = (struct tokens){0};
    return close_session(state);
}

static bool made_by(const struct qtensor *p, enum method_phase phase)
{
    struct scheme s = qtensor_scheme(p);
    return scheme_method(&s, phase);
}

static const struct qtensor *packed_of(const struct frame *f, const char *name)
{
    return f->set->layer[tensor(name)];
}

/* Sums of squares from decoded rows: what the error of a matrix must say whatever the method did to the rows
 * that it packed. */
static void check_error(const struct qtensor *p)
{
    const struct qmatrix *m = &p->matrix, *stored = &session.model->tensors[p->tensor].stored;
    float *w = make(m->cols * sizeof *w), *back = make(m->cols * sizeof *back);
    double w2 = 0, e2 = 0;
    for (size_t r = 0; r < m->rows; r++) {
        qmatrix_decode_row(stored, r, w);
        qmatrix_decode_row(m, r, back);
        for (size_t c = 0; c < m->cols; c++) {
            w2 += (double)w[c] * w[c];
            e2 += ((double)back[c] - w[c]) * ((double)back[c] - w[c]);
        }
    }
    assert_true(e2 > 0 && fabs(p->error.sum_e2 - e2) <= 1e-9 * e2);
    assert_true(fabs(p->error.sum_w2 - w2) <= 1e-9 * w2);
    assert_false(p->error.exact);
    free(w);
    free(back);
}

/* Where an importance matrix weighs columns no text is asked for; a layer that it lacks is unweighted and named. */
static void test_importance_matrix(void **state)
{
    struct imatrix m = {0};
    struct error error = {""};
    struct imatrix_entry *e = imatrix_add(&m, "blk.1.ffn_up.weight", 19, 1, 64);
    (void)state;
    assert_non_null(e);
    e->counts[0] = 1;
    for (size_t c = 0; c < e->values; c++)
        e->sums[c] = (float)(c + 1);
    session.importance = importance_open(&m, session.model, "file", &error);
    assert_non_null(session.importance);
    struct lab *lab = start();
    struct frame *f = set(lab, "blk.1.ffn_up", "int4:g32:imatrix");
    assert_int_equal(packed_of(f, "blk.1.ffn_up")->calibration.weighed_by, WEIGHED_BY_IMATRIX);
    frame_unref(f);
    f = set(lab, "blk.1.ffn_down", "int4:g32:imatrix");
    assert_int_equal(packed_of(f, "blk.1.ffn_down")->calibration.weighed_by, WEIGHED_BY_NOTHING);
    assert_string_equal(f->status.text, "blk.1.ffn_down: the imatrix has no entry of it: unweighted");
    frame_unref(f);
    lab_stop(lab);
    importance_close(session.importance);
    session.importance = NULL;
    imatrix_free(&m);
}

static void test_every_method(void **state)
{
    static const char *const schemes[] = {"int4:channel:clip", "int4:channel:gptq", "int4:g32:awq",
                                          "int8/int8:smoothquant", "int4:g16:asym:awq+clip+gptq",
                                          "int8/int8:llmint8(threshold=1)", "int8/int8.static"};
    struct lab *lab = start();
    (void)state;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct frame *f = set(lab, "blk.1.ffn_up", schemes[i]);
        check_error(packed_of(f, "blk.1.ffn_up"));
        assert_null(f->model->reference);
        frame_unref(f);
    }
    lab_stop(lab);
}

/* Of what the model's own text chose. */
static void test_undo_recomputes_nothing(void **state)
{
    session.calibration = (struct tokens){0};
    struct lab *lab = start();
    (void)state;
    struct frame *f = set(lab, "blk.0.attn_q", "int4:channel:gptq");
    const struct qtensor *made = packed_of(f, "blk.0.attn_q");
    assert_true(made->calibration.damp >= 0.0099);
    struct frame *back = ask(lab, (struct command){.kind = COMMAND_UNDO});
    assert_int_equal(back->pending, 0);
    assert_true(packed_of(back, "blk.0.attn_q")->matrix.format.stored);
    struct frame *again = ask(lab, (struct command){.kind = COMMAND_REDO});
    assert_int_equal(again->pending, 0);
    assert_ptr_equal(packed_of(again, "blk.0.attn_q"), made);
    frame_unref(f);
    frame_unref(back);
    frame_unref(again);
    lab_stop(lab);
    session.calibration = calibration;
}

/* All cycle through the table's methods as far as they fit, but for those that train, and come back. */
static void test_cycle(void **state)
{
    struct lab *lab = start();
    int t = tensor("blk.2.attn_k");
    struct command next = {.kind = COMMAND_CYCLE, .tensors = &t, .tensor_count = 1, .change = CHANGE_METHOD,
                           .direction = 1};
    unsigned seen = 0;
    size_t steps = 0;
    (void)state;
    frame_unref(set(lab, "blk.2.attn_k", "int8/int8"));
    for (struct frame *f;; steps++) {
        f = ask(lab, next);
        unsigned methods = f->layers[t].wanted.methods.set;
        frame_unref(f);
        seen |= methods;
        if (methods == 0 || steps > 20)
            break;
    }
    size_t methods = 0;
    unsigned trained = 0;
    for (; method_table[methods]; methods++)
        trained |= (unsigned)(method_table[methods]->phase == PHASE_TRAINING) << methods;
    assert_true(steps + 1 >= methods && steps < 20);
    assert_int_equal(seen, ((1u << methods) - 1) & ~trained);
    next.direction = -1;
    struct frame *f = ask(lab, next);
    assert_true(scheme_splits_columns(&f->layers[t].wanted));
    frame_unref(f);
    frame_unref(settled(lab));
    frame_unref(set(lab, "blk.2.attn_k", "fp16"));
    next.direction = 1;
    f = ask(lab, next);
    assert_true(f->status.is_error);
    assert_non_null(strstr(f->status.text, "methods are for int8, int4 and fp8"));
    frame_unref(f);
    lab_stop(lab);
}

/* What is asked for while something else is being made: only the last counts. */
static void test_another_mind(void **state)
{
    struct lab *lab = start();
    (void)state;
    set_all(lab, "int4:g32:gptq");
    set_all(lab, "int4:g32:awq");
    ask_only(lab, (struct command){.kind = COMMAND_UNDO});
    ask_only(lab, (struct command){.kind = COMMAND_UNDO});
    struct frame *f = settled(lab);
    assert_true(packed_of(f, "blk.0.attn_q")->matrix.format.stored);
    frame_unref(f);
    set_all(lab, "int4:g32:gptq");
    frame_unref(set(lab, "blk.1.ffn_down", "int8"));
    f = settled(lab);
    assert_true(made_by(packed_of(f, "blk.2.ffn_up"), PHASE_CODES));
    frame_unref(f);
    set_all(lab, "int4:g16:gptq");
    lab_stop(lab); /* while it runs */
}

/* ---- learning -------------------------------------------------------------------------------- */

static bool has_learned(const struct frame *f, const void *steps)
{
    return f->training && f->training->figures.step >= *(const size_t *)steps;
}

/* Steps rise, every point has a loss but the first, some are judged, and the best is the least of those. */
static void check_curve(const struct training_frame *l)
{
    double best = INFINITY;
    size_t judged = 0;
    assert_true(l->count >= 2 && l->count <= TRAINING_POINTS);
    for (size_t i = 0; i < l->count; i++) {
        const struct training_point *p = &l->of[i];
        assert_true(i == 0 || p->step > l->of[i - 1].step);
        assert_true(p->step == 0 || p->loss > 0);
        judged += isnan(p->kl) ? 0 : 1;
        best = isnan(p->kl) ? best : fmin(best, p->kl);
    }
    assert_true(judged >= 1 && best == l->figures.kl_best);
    assert_int_equal(l->of[l->count - 1].step, l->figures.step);
}

/* Stopped, the best so far is in use; undone, the stored weights are. */
static void test_learning_is_stopped(void **state)
{
    struct lab *lab = start();
    int all[2] = {tensor("blk.0.attn_q"), tensor("blk.1.ffn_up")};
    size_t some = 12;
    (void)state;
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_STOP_TRAINING});
    assert_true(f->status.is_error);
    frame_unref(f);
    ask_only(lab, set_command(all, 2, "int4:channel:qat(steps=100000,text=2048,batch=256)"));
    f = await(lab, has_learned, &some, "twelve steps");
    assert_true(f->training->running && f->pending == 2);
    assert_non_null(strstr(f->activity.name, "training"));
    check_curve(f->training);
    frame_unref(f);
    send(lab, (struct command){.kind = COMMAND_STOP_TRAINING});
    f = settled(lab);
    assert_false(f->training->running);
    assert_true(f->training->figures.step < 100000);
    check_curve(f->training);
    for (size_t i = 0; i < 2; i++)
        assert_true(made_by(f->set->layer[all[i]], PHASE_TRAINING));
    check_error(packed_of(f, "blk.0.attn_q"));
    frame_unref(f);
    f = ask(lab, (struct command){.kind = COMMAND_UNDO});
    assert_true(packed_of(f, "blk.0.attn_q")->matrix.format.stored && f->pending == 0);
    frame_unref(f);
    lab_stop(lab);
}

/* A long run keeps its curve in bounds; a text of another length is written anew. */
static void test_learning_to_the_end(void **state)
{
    enum { STEPS = SANITIZED ? 60 : 300 };
    struct lab *lab = start();
    char scheme[64];
    (void)state;
    snprintf(scheme, sizeof scheme, "int4:g32:qat(steps=%d,text=512,batch=16)", STEPS);
    frame_unref(set(lab, "blk.2.attn_v", "int8:qat(steps=3,text=1024,batch=16)"));
    struct frame *f = set(lab, "blk.2.attn_v", scheme);
    assert_false(f->training->running);
    assert_int_equal(f->training->figures.step, STEPS);
    check_curve(f->training);
    frame_unref(f);
    int t = tensor("blk.2.attn_v");
    ask_only(lab, set_command(&t, 1, "int8:qat(steps=100000,text=1024)"));
    lab_stop(lab); /* while it runs, or while its text is written */
}

static void test_text_too_short(void **state)
{
    int32_t ids[10] = {3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    (void)state;
    session.calibration = (struct tokens){.ids = ids, .count = 10};
    struct lab *lab = start();
    int t = tensor("blk.0.attn_q");
    ask_only(lab, set_command(&t, 1, "int4:gptq"));
    struct frame *f = settled(lab);
    assert_true(packed_of(f, "blk.0.attn_q")->matrix.format.stored);
    assert_true(f->status.is_error);
    assert_non_null(strstr(f->status.text, "10 tokens; expected at least"));
    frame_unref(f);
    lab_stop(lab);
    session.calibration = calibration;
}

/* ---- what goes on beside -------------------------------------------------------------------------- */

static bool is_quantizing(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->activity.name && (strcmp(f->activity.name, "calibrating") == 0 || strcmp(f->activity.name, "quantizing") == 0);
}

/* The KV cache of another datatype while methods are at work: both are in use in the end. */
static void test_cache_changes_meanwhile(void **state)
{
    struct lab *lab = start();
    int kv = kv_index(session.model);
    (void)state;
    set_all(lab, "int4:g16:gptq");
    frame_unref(await(lab, is_quantizing, NULL, "methods at work"));
    ask_only(lab, set_command(&kv, 1, "int8"));
    struct frame *f = settled(lab);
    assert_int_equal(f->set->kv, DTYPE_INT8);
    assert_true(made_by(packed_of(f, "blk.2.ffn_up"), PHASE_CODES));
    frame_unref(f);
    lab_stop(lab);
}

static size_t compared(const struct frame *f)
{
    size_t n = 0;
    for (size_t i = 0; f->comparison && i < f->comparison->count; i++)
        n += f->comparison->of[i].done;
    return n;
}

static bool has_compared_one(const struct frame *f, const void *arg)
{
    (void)arg;
    return compared(f) >= 1;
}

static bool has_compared_all(const struct frame *f, const void *tensor)
{
    return compared(f) >= 1 && compared(f) == f->comparison->count && f->comparison->tensor == *(const int *)tensor;
}

static bool is_error(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->status.is_error && f->pending == 0;
}

/* Two layers that cannot learn together are given up; methods are compared on. */
static void test_failure_leaves_the_comparison(void **state)
{
    struct lab *lab = start();
    int first = tensor("blk.0.attn_q"), one = tensor("blk.1.attn_q"), two = tensor("blk.2.attn_q");
    (void)state;
    frame_unref(set(lab, "blk.0.attn_q", "int4:channel"));
    send(lab, (struct command){.kind = COMMAND_SELECT, .tensors = &first, .tensor_count = 1});
    ask_only(lab, (struct command){.kind = COMMAND_COMPARE_METHODS});
    frame_unref(await(lab, has_compared_one, NULL, "a method compared"));
    send(lab, set_command(&one, 1, "int4:channel:qat(steps=1,text=128)"));
    send(lab, set_command(&two, 1, "int4:channel:qat(steps=2,text=128)"));
    frame_unref(await(lab, is_error, NULL, "layers that cannot learn together"));
    frame_unref(await(lab, has_compared_all, &first, "all methods compared on the layer that was asked for"));
    lab_stop(lab);
}

static bool has_found(const struct frame *f, const void *arg)
{
    (void)arg;
    return strncmp(f->status.text, "found", 5) == 0;
}

/* A session of a model that is searched in a moment. */
static struct session open_smallest(void)
{
    struct bytes b = model_bytes(&(struct model_spec){1, false, 32, 48, 1, 4, 2, 400, 128, 32, 1});
    char *path = path_in(folder, "smallest.bin");
    struct session_options o = {.model_path = path, .threads = 1};
    struct session s;
    struct error error;
    write_file(path, b.data, b.size);
    assert_true(session_open(&s, &o, &error));
    s.calibration = calibration;
    s.calibration_is_default = true;
    bytes_free(&b);
    free(path);
    return s;
}

/* What a search finds is measured with the KV cache that is in use, which stays. */
static void test_search_keeps_the_cache(void **state)
{
    struct session usual = session;
    struct lab_options o = usual_options();
    o.text = text_to_evaluate;
    o.text_size = strlen(text_to_evaluate);
    session = open_smallest();
    struct lab *lab = start_with(&o);
    int kv = kv_index(session.model);
    (void)state;
    ask_only(lab, set_command(&kv, 1, "int8"));
    send(lab, (struct command){.kind = COMMAND_TUNE, .text = "bits 9"});
    frame_unref(await(lab, has_found, NULL, "what the search found"));
    struct frame *f = settled(lab);
    assert_int_equal(f->set->kv, DTYPE_INT8);
    assert_int_equal(f->layers[kv].wanted.format.weight, DTYPE_INT8);
    frame_unref(f);
    lab_stop(lab);
    session.calibration = (struct tokens){0};
    session_close(&session);
    session = usual;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_importance_matrix),
        cmocka_unit_test(test_every_method), cmocka_unit_test(test_undo_recomputes_nothing),
        cmocka_unit_test(test_cycle),        cmocka_unit_test(test_another_mind),
        cmocka_unit_test(test_learning_is_stopped), cmocka_unit_test(test_learning_to_the_end),
        cmocka_unit_test(test_text_too_short), IN_STEP(test_cache_changes_meanwhile),
        IN_STEP(test_failure_leaves_the_comparison), cmocka_unit_test(test_search_keeps_the_cache),
    };
    return cmocka_run_group_tests(tests, open_calibrated, close_calibrated);
}
