/* What the lab measures beside the meters: roofs, batches, counters, the error through the depth, and what each
 * layer alone costs. */
#include "fakeperf.h"
#include "labwork.h"
#include "lockstep.h"

#include "measure/roofline.h"
#include "kernels/dispatch.h"

#include <sys/stat.h>

/* ---- roofs and batches ----------------------------------------------------------------------- */

static bool has_roofs(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->roofs && f->speed.peak_read.valid;
}

static void test_roofs(void **state)
{
    struct lab *lab = start();
    (void)state;
    struct frame *f = await(lab, has_roofs, NULL, "roofs");
    const struct roofs *r = &f->roofs->roofs;
    assert_true(r->read_count > 0 && r->threads == 1);
    assert_true(f->speed.peak_read.value == r->reads[r->read_count - 1].roof.rate.median);
    assert_null(f->roofs_reason);
    frame_unref(f);
    lab_stop(lab);
    lab = start(); /* they were kept: the very first frame has them */
    f = now(lab);
    assert_true(f->roofs && f->roofs->source.cached);
    frame_unref(f);
    lab_stop(lab);
}

static bool has_fresh_roofs(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->roofs && !f->roofs->source.cached;
}

static void test_roofs_anew(void **state)
{
    struct lab *lab = start();
    (void)state;
    ask_only(lab, (struct command){.kind = COMMAND_ROOFS});
    struct frame *f = await(lab, has_fresh_roofs, NULL, "roofs that were measured now");
    assert_string_equal(f->roofs->source.save.text, "");
    frame_unref(f);
    lab_stop(lab);
}

/* A model that no cache of the tests holds. */
static struct session open_large(void)
{
    struct model_spec spec = {1, false, 128, 512, 3, 4, 2, 400, 128, 32, 1};
    struct bytes b = model_bytes(&spec);
    struct session s;
    struct error error = {""};
    char *path = path_in(folder, "large.bin");
    struct session_options o = {.model_path = path, .threads = 1};
    write_file(path, b.data, b.size);
    if (!session_open(&s, &o, &error))
        fail_msg("%s", error.text);
    bytes_free(&b);
    free(path);
    return s;
}

/* Roofs as a machine keeps them that was busy all the while that they were measured: low, and all runs alike. */
static void keep_low_roofs(const struct session *s)
{
    struct roofs roofs = roofs_measure(s->pool);
    struct roofs_source source = {0};
    for (size_t i = 0; i < roofs.read_count; i++)
        roofs.reads[i].roof.rate = (struct stats){1e6, 1e6, 1e6};
    for (size_t i = 0; i < roofs.set_count * PEAK_COUNT; i++) {
        struct stats *r = &roofs.sets[i / PEAK_COUNT].of[i % PEAK_COUNT].rate;
        r->min = r->max = r->median;
    }
    assert_false(roofs_were_disturbed(&roofs));
    roofs_replace(s->pool, &roofs, &source);
    assert_string_equal(source.save.text, "");
}

static bool has_exceeded_roofs(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->roofs && f->roofs->roofs.exceeded && f->speed.roofs_disturbed;
}

static bool has_true_roofs(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->roofs && !f->roofs->roofs.exceeded && f->speed.peak_read.valid && f->speed.peak_read.value > 1e8;
}

/* What decoding exceeds is marked, measured again without being asked for, and not kept. */
static void test_roofs_that_decoding_exceeds(void **state)
{
    (void)state;
    struct session s = open_large();
    const char *before = getenv("XDG_CACHE_HOME");
    char *kept = before ? strdup(before) : NULL, *cache = path_in(folder, "low");
    struct lab_options o = usual_options();
    struct error error = {""};
    struct roofs roofs;
    struct roofs_source source;
    setenv("XDG_CACHE_HOME", cache, 1);
    keep_low_roofs(&s);
    struct lab *lab = lab_start(&s, &o, &error);
    assert_non_null(lab);
    frame_unref(await(lab, has_exceeded_roofs, NULL, "roofs that are marked"));
    frame_unref(await(lab, has_true_roofs, NULL, "roofs that were measured again"));
    lab_stop(lab);
    assert_true(roofs_recall(s.pool, &roofs, &source));
    assert_true(roofs.reads[roofs.read_count - 1].roof.rate.median > 1e8);
    if (kept)
        setenv("XDG_CACHE_HOME", kept, 1);
    else
        unsetenv("XDG_CACHE_HOME");
    free(kept);
    free(cache);
    session_close(&s);
}

static bool has_batches(const struct frame *f, const void *arg)
{
    size_t n = *(const size_t *)arg;
    for (size_t i = 0; i < n; i++)
        if (!f->speed.batch[i].valid)
            return false;
    return true;
}

static void test_batches(void **state)
{
    struct lab *lab = start();
    size_t three = 3;
    (void)state;
    for (size_t i = 0; i < 3; i++)
        ask_only(lab, (struct command){.kind = COMMAND_BATCH, .direction = 1});
    struct frame *f = await(lab, has_batches, &three, "batches of 2, 4 and 8");
    assert_int_equal(f->speed.batch_wanted, 8);
    for (size_t i = 0; i < BATCHES; i++)
        assert_true(i < 3 ? f->speed.batch[i].value > 0 : !f->speed.batch[i].valid && f->speed.batch[i].reason);
    frame_unref(f);
    f = set(lab, "blk.0.ffn_up", "int8"); /* another set: they are measured again */
    frame_unref(f);
    frame_unref(await(lab, has_batches, &three, "batches of the new set"));
    for (int i = 0; i < 3; i++)
        ask_only(lab, (struct command){.kind = COMMAND_BATCH, .direction = -1});
    f = now(lab);
    assert_int_equal(f->speed.batch_wanted, 0);
    frame_unref(f);
    for (int i = 0; i < BATCHES + 3; i++)
        ask_only(lab, (struct command){.kind = COMMAND_BATCH, .direction = 1});
    f = now(lab);
    assert_int_equal(f->speed.batch_wanted, MAX_SEQUENCES);
    frame_unref(f);
    lab_stop(lab);
}

/* ---- the roofline ---------------------------------------------------------------------------- */

static void test_roofline(void **state)
{
    struct work w = {.macs = 100, .bytes = 50, .seconds = 2};
    struct verdict v;
    (void)state;
    assert_true(work_intensity(&w) == 2 && work_rate(&w) == 50);
    v = roofline_judge(&w, 40, 1000); /* the slope allows 80 */
    assert_true(v.bound == BOUND_MEMORY && v.allowed == 80 && v.share == 50. / 80);
    v = roofline_judge(&w, 40, 60);
    assert_true(v.bound == BOUND_ARITHMETIC && v.allowed == 60 && v.share == 50. / 60);
    v = roofline_judge(&w, 0, 60);
    assert_true(v.bound == BOUND_ARITHMETIC && v.allowed == 60);
    v = roofline_judge(&w, 40, 0);
    assert_true(v.bound == BOUND_MEMORY && v.allowed == 80);
    v = roofline_judge(&w, 0, 0);
    assert_true(v.bound == BOUND_UNKNOWN && v.allowed == 0 && v.share == 0);
    w.bytes = w.seconds = 0;
    assert_true(work_intensity(&w) == 0 && work_rate(&w) == 0);
}

/* The model of the fixture, by hand: dim 64, hidden 96, 3 layers, 4 heads, 2 of the cache, 400 tokens. */
static void test_work_of_a_model(void **state)
{
    struct weights *set = session.stored;
    const struct model *m = session.model;
    double block = 64 * 64 * 2 + 2 * 64 * 32 + 3 * 64 * 96, all = 3 * block + 64 * 400;
    double attention = 2 * 3 * 4 * 16; /* a position */
    double kv = 2 * 3 * 2 * 16 * 4;
    (void)state;
    struct work one = work_of_step(m, set, 1, 9), eight = work_of_step(m, set, 8, 9);
    assert_true(one.macs == all + 10 * attention);
    assert_true(one.bytes == (double)weights_bytes_per_token(m, set, 9));
    assert_true(eight.macs == 8 * one.macs);
    assert_true(eight.bytes == one.bytes + 7 * 9 * kv);
    struct work prompt = work_of_prompt(m, set, 4);
    assert_true(prompt.macs == 4 * all + (1 + 2 + 3 + 4) * attention);
    struct work layer = work_of_tensor(m, set->layer[tensor("blk.1.ffn_up")], 2);
    assert_true(layer.macs == 64 * 96 && layer.bytes == 64 * 96 * 4 && work_intensity(&layer) == 0.25);
}

static void test_peak_of_a_scheme(void **state)
{
    static const struct {
        const char *scheme;
        enum peak peak;
    } cases[] = {{"fp32", PEAK_FP32}, {"int8/int8", PEAK_INT8}, {"int4/int8", PEAK_INT8}, {"int4", PEAK_FP32},
                 {"fp16/bf16", PEAK_FP32}};
    (void)state;
    const struct isa *plain = isa_at(0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scheme s = scheme(cases[i].scheme);
        assert_int_equal(roofline_peak(plain, &s.format), PEAK_COUNT);
        if (isa_current()->peak_fp32)
            assert_int_equal(roofline_peak(isa_current(), &s.format), cases[i].peak);
    }
    struct scheme bf16 = scheme("bf16/bf16");
    if (isa_current()->peak_fp32)
        assert_int_equal(roofline_peak(isa_current(), &bf16.format), isa_current()->peak_bf16 ? PEAK_BF16 : PEAK_FP32);
}

/* ---- counters -------------------------------------------------------------------------------- */

static const struct event_frame *event_of(const struct frame *f, const char *name)
{
    for (size_t i = 0; f->counters && i < f->counters->events; i++)
        if (strcmp(f->counters->event[i].name, name) == 0)
            return &f->counters->event[i];
    return NULL;
}

static bool has_counted(const struct frame *f, const void *arg)
{
    const struct event_frame *e = event_of(f, arg);
    return e && (e->reason || (f->counters->tokens > 0 && e->total.value.valid));
}

static void test_usual_events(void **state)
{
    struct lab *lab = start();
    (void)state;
    struct frame *f = await(lab, has_counted, "task-clock", "the software clock");
    const struct event_frame *clock = event_of(f, "task-clock");
    assert_true(clock->reason || clock->total.value.value > 0);
    if (!clock->reason) { /* one thread, which ran most of the time that was counted */
        assert_true(clock->total.value.value * 1e-9 <= 1.5 * f->counters->seconds);
        assert_int_equal(f->counters->threads, 1);
    }
    for (size_t i = 0; i < f->counters->events; i++) {
        const struct event_frame *e = &f->counters->event[i];
        assert_true(e->total.value.valid || e->total.value.reason);
        assert_non_null(e->description);
        if (e->reason)
            assert_false(e->total.value.valid);
    }
    for (int k = TRAFFIC_READ; k <= TRAFFIC_ALL; k++)
        assert_true(f->counters->traffic[k].valid || f->counters->traffic[k].reason);
    assert_true(f->counters->traffic[TRAFFIC_ALL].valid || *f->counters->traffic_detail);
    assert_true(f->counters->ipc.valid || f->counters->ipc.reason);
    frame_unref(f);
    lab_stop(lab);
}

static bool has_no_event(const struct frame *f, const void *arg)
{
    return f->counters && !event_of(f, arg);
}

static void test_choosing_events(void **state)
{
    struct lab *lab = start();
    (void)state;
    ask_only(lab, (struct command){.kind = COMMAND_COUNT, .text = "perf::MINOR-FAULTS"});
    frame_unref(await(lab, has_counted, "perf::MINOR-FAULTS", "an event that was chosen"));
    ask_only(lab, (struct command){.kind = COMMAND_COUNT, .text = "perf::minor-faults"});
    frame_unref(await(lab, has_no_event, "perf::MINOR-FAULTS", "the event left out"));
    ask_only(lab, (struct command){.kind = COMMAND_COUNT, .text = "page-faults"});
    frame_unref(await(lab, has_no_event, "page-faults", "a usual event left out"));
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_COUNT, .text = "page-fautls"});
    assert_true(f->status.is_error);
    assert_non_null(strstr(f->status.text, "page-faults"));
    frame_unref(f);
    lab_stop(lab);
}

/* A kernel that counts everything, a thousand at a time. */
static ssize_t read_and_count(int descriptor, void *buffer, size_t size)
{
    for (size_t i = 0; i < fake.count; i++)
        fake_advance(i, 1000, 1000, 500);
    return fake_calls.read(descriptor, buffer, size);
}

static void put(const char *path, const char *text)
{
    char *name = path_in(folder, path);
    for (char *slash = name + strlen(folder); (slash = strchr(slash + 1, '/'));) {
        *slash = 0;
        mkdir(name, 0700);
        *slash = '/';
    }
    write_file(name, text, strlen(text));
    free(name);
}

static bool has_cycles(const struct frame *f, const void *arg)
{
    const struct event_frame *e = event_of(f, arg);
    return e && f->counters->tokens > 0 && e->total.value.valid && f->counters->traffic[TRAFFIC_ALL].value > 0;
}

static void test_every_figure_of_counters(void **state)
{
    static const char *const pmu[][2] = {
        {"sys/bus/event_source/devices/uncore_imc_0/type", "22\n"},
        {"sys/bus/event_source/devices/uncore_imc_0/cpumask", "0\n"},
        {"sys/bus/event_source/devices/uncore_imc_0/format/event", "config:0-7\n"},
        {"sys/bus/event_source/devices/uncore_imc_0/events/cas_count_read", "event=0x04\n"},
        {"sys/bus/event_source/devices/uncore_imc_0/events/cas_count_read.scale", "6.103515625e-5\n"},
        {"sys/bus/event_source/devices/uncore_imc_0/events/cas_count_read.unit", "MiB\n"},
        {"sys/bus/event_source/devices/uncore_imc_0/events/cas_count_write", "event=0x05\n"},
        {"sys/bus/event_source/devices/uncore_imc_0/events/cas_count_write.scale", "6.103515625e-5\n"},
        {"sys/bus/event_source/devices/uncore_imc_0/events/cas_count_write.unit", "MiB\n"},
    };
    struct perf_calls calls = fake_calls;
    (void)state;
    calls.read = read_and_count;
    fake_reset();
    for (size_t i = 0; i < sizeof pmu / sizeof *pmu; i++)
        put(pmu[i][0], pmu[i][1]);
    session.perf = &calls;
    session.system_root = folder;
    struct lab *lab = start();
    struct frame *f = await(lab, has_cycles, "cycles", "counts of a kernel that counts all");
    lab_stop(lab);
    session_count(&session, NULL, 0); /* lets go of the made-up descriptors */
    session.perf = &perf_system;
    session.system_root = "";
    const struct counters_frame *c = f->counters;
    for (size_t i = 0; i < c->events; i++) {
        const struct event_frame *e = &c->event[i];
        if (e->reason && strstr(e->reason, "libpfm4 knows no")) /* of this processor */
            continue;
        if (!e->total.value.valid)
            fail_msg("%s: %s", e->name, e->total.value.reason);
        assert_true(e->total.value.value > 0 && e->total.share == 0.5);
    }
    assert_true(c->ipc.valid && c->ipc.value > 0);
    assert_true(f->speed.cache_misses.valid && f->speed.cache_misses.value > 0);
    assert_string_equal(c->traffic_detail, "");
    assert_non_null(strstr(c->traffic_label, "cas_count_read"));
    for (int k = TRAFFIC_READ; k <= TRAFFIC_ALL; k++)
        assert_true(c->traffic[k].valid && c->traffic[k].value > 0);
    assert_int_equal(fake.still_open, 0);
    frame_unref(f);
}

static bool has_list(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->events != NULL;
}

static void test_list_of_events(void **state)
{
    struct lab *lab = start();
    (void)state;
    struct frame *f = now(lab);
    assert_null(f->events);
    frame_unref(f);
    send(lab, (struct command){.kind = COMMAND_LIST_EVENTS});
    f = await(lab, has_list, NULL, "the list of events");
    lab_stop(lab);
    assert_true(f->events->count >= 5);
    for (size_t i = 0; i < f->events->count; i++)
        assert_true(*f->events->line[i].name && f->events->line[i].description);
    frame_unref(f); /* it outlives the lab */
}

/* ---- depth and sensitivity ------------------------------------------------------------------- */

static bool has_depth(const struct frame *f, const void *arg)
{
    if (!f->depth)
        return false;
    double e = f->depth->error[f->depth->count - 1];
    return *(const bool *)arg ? e > 0 : e == 0;
}

static void test_depth(void **state)
{
    struct lab *lab = start();
    bool no = false, yes = true;
    (void)state;
    ask_only(lab, (struct command){.kind = COMMAND_EVALUATE});
    struct frame *f = await(lab, has_depth, &no, "no divergence of the stored weights");
    assert_int_equal(f->depth->count, 7);
    frame_unref(f);
    frame_unref(set(lab, "blk.1.ffn_down", "int4:tensor"));
    ask_only(lab, (struct command){.kind = COMMAND_EVALUATE});
    f = await(lab, has_depth, &yes, "a divergence");
    assert_true(f->depth->error[3] == 0 && f->depth->error[4] > 0);
    assert_int_equal(depth_steepest(f->depth), 4);
    frame_unref(f);
    lab_stop(lab);
}

static bool is_alone(const struct frame *f, const void *arg)
{
    return f->layers[*(const int *)arg].sensitivity.valid && !f->activity.name;
}

static void test_each_layer_alone(void **state)
{
    struct lab *lab = start();
    int up = tensor("blk.0.ffn_up"), down = tensor("blk.2.ffn_down"), q = tensor("blk.1.attn_q");
    (void)state;
    frame_unref(set(lab, "blk.0.ffn_up", "int4"));
    frame_unref(set(lab, "blk.2.ffn_down", "int8"));
    ask_only(lab, (struct command){.kind = COMMAND_SENSITIVITY});
    struct frame *f = await(lab, is_alone, &down, "what each layer costs");
    assert_true(f->layers[up].sensitivity.valid);
    assert_true(f->layers[up].sensitivity.value > f->layers[down].sensitivity.value);
    assert_true(f->layers[up].sensitivity_stderr > 0);
    assert_false(f->layers[q].sensitivity.valid);
    assert_non_null(f->layers[q].sensitivity.reason);
    frame_unref(f);
    f = set(lab, "blk.0.ffn_up", "int4:g16"); /* another scheme: the figure is not its own */
    assert_false(f->layers[up].sensitivity.valid);
    assert_true(f->layers[down].sensitivity.valid);
    frame_unref(f);
    lab_stop(lab);
}

static bool works_on_sensitivity(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->sensitivity_seconds > 0;
}

static bool is_evaluated(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->quality.valid && !f->quality.running && !f->quality.stale;
}

/* Before a person leaves, they are asked about work that took long: it is counted while it runs. */
static void test_work_is_counted(void **state)
{
    struct lab *lab = start();
    (void)state;
    set_all(lab, "int4");
    frame_unref(settled(lab));
    ask_only(lab, (struct command){.kind = COMMAND_EVALUATE}); /* so that none begins by itself */
    frame_unref(await(lab, is_evaluated, NULL, "an evaluation"));
    ask_only(lab, (struct command){.kind = COMMAND_SENSITIVITY});
    struct frame *f = await(lab, works_on_sensitivity, NULL, "work on sensitivity");
    double so_far = f->sensitivity_seconds;
    frame_unref(f);
    f = await(lab, works_on_sensitivity, NULL, "more of it");
    assert_true(f->sensitivity_seconds >= so_far);
    frame_unref(f);
    f = ask(lab, (struct command){.kind = COMMAND_SENSITIVITY}); /* stopped */
    assert_true(f->sensitivity_seconds == 0 && f->evaluation_seconds == 0);
    frame_unref(f);
    lab_stop(lab);
}

static void test_stopping_it(void **state)
{
    struct lab *lab = start();
    (void)state;
    set_all(lab, "int4");
    frame_unref(settled(lab));
    ask_only(lab, (struct command){.kind = COMMAND_SENSITIVITY});
    struct frame *f = ask(lab, (struct command){.kind = COMMAND_SENSITIVITY});
    assert_false(f->status.is_error);
    frame_unref(f);
    ask_only(lab, (struct command){.kind = COMMAND_SENSITIVITY});
    lab_stop(lab); /* while it runs */
}

/* An evaluation that was asked for can be stopped; none then begins by itself until the schemes change. */
static bool is_evaluating(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->evaluation_seconds > 0;
}

static bool is_not_evaluating(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->evaluation_seconds == 0 && !f->quality.valid && !f->activity.name;
}

static bool is_evaluated_anew(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->quality.valid && !f->quality.running && !f->quality.stale;
}

static void test_evaluation_stops(void **state)
{
    (void)state;
    static char text[60000];
    for (size_t i = 0; i + sizeof text_to_evaluate < sizeof text; i += sizeof text_to_evaluate)
        snprintf(text + i, sizeof text - i, "%s ", text_to_evaluate);
    struct lab_options o = usual_options();
    o.text = text;
    o.text_size = strlen(text);
    struct lab *lab = start_with(&o);
    ask_only(lab, (struct command){.kind = COMMAND_EVALUATE});
    frame_unref(await(lab, is_evaluating, NULL, "an evaluation"));
    ask_only(lab, (struct command){.kind = COMMAND_EVALUATE});
    frame_unref(await(lab, is_not_evaluating, NULL, "no evaluation"));
    frame_unref(set(lab, "blk.0.ffn_up", "int4:g16"));
    frame_unref(await(lab, is_evaluated_anew, NULL, "the evaluation of another set"));
    lab_stop(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_evaluation_stops),
        IN_STEP(test_roofs),
        IN_STEP(test_roofs_that_decoding_exceeds), cmocka_unit_test(test_roofs_anew),
        cmocka_unit_test(test_batches),        cmocka_unit_test(test_roofline),
        cmocka_unit_test(test_work_of_a_model), cmocka_unit_test(test_peak_of_a_scheme),
        cmocka_unit_test(test_usual_events),   cmocka_unit_test(test_choosing_events),
        cmocka_unit_test(test_every_figure_of_counters),
        cmocka_unit_test(test_list_of_events), cmocka_unit_test(test_depth),
        cmocka_unit_test(test_each_layer_alone), IN_STEP(test_stopping_it),
        IN_STEP(test_work_is_counted),
    };
    return cmocka_run_group_tests(tests, open_session, close_session);
}
