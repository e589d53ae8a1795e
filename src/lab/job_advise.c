/* Measuring the schemes and mixes worth considering; what is in use stays. */
#include "actions.h"
#include "export/tuning.h"
#include "jobs.h"
#include "saved_parts.h"
#include "study.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct advising {
    bool asked;
    struct tune_file *file;       /* of the format that sizes are for, or null */
    struct advise_frame *figures; /* as far as they are, or were; or null */
    enum dtype kv;                /* the cache that they are of */
    struct advise_limits limits;
};

static const char FORMAT[] = "gguf";

static bool wanted(struct lab *lab, void *state, const void *running)
{
    (void)lab, (void)running;
    return ((const struct advising *)state)->asked;
}

static bool is_unfinished(const struct advise_frame *f)
{
    size_t waiting = 0;
    for (size_t i = 0; i < f->count; i++)
        waiting += f->of[i].state < ADVISE_MEASURED;
    return waiting > 0;
}

static void *open_job(struct lab *lab, void *state, struct error *error)
{
    struct advising *a = state;
    struct session *s = lab->session;
    struct error none;
    if (!a->file)
        a->file = export_tuning_open(s->model, FORMAT, s->tokenizer ? tokenizer_path(s->tokenizer) : NULL, &none);
    struct advise_plan plan = {.session = s,
                               .quality = study_quality_plan(lab),
                               .text = &lab->study[TEXT_CALIBRATION].source.windows,
                               .file = a->file,
                               .format = a->file ? FORMAT : NULL,
                               .kv = lab->target[lab_kv(lab)].format.weight,
                               .limits = a->limits,
                               .read = lab->peak_read.valid ? lab->peak_read.value : NAN};
    if (a->figures && a->kv == plan.kv && is_unfinished(a->figures)) { /* it was stopped: goes on */
        plan.known = a->figures->of;
        plan.known_count = a->figures->count;
    }
    a->kv = plan.kv;
    return advise_open(&plan, error);
}

/* Puts a copy of rows in frames from now on. False when memory is short: then the rows before stay. */
static bool take_rows(struct advising *a, const struct advise_row *rows, size_t count, const char *text, size_t tokens)
{
    struct advise_frame *f = calloc(1, sizeof *f + count * sizeof *f->of);
    if (!f)
        return false;
    atomic_init(&f->refs, 1);
    snprintf(f->text, sizeof f->text, "%s", text);
    f->tokens = tokens;
    f->count = count;
    for (size_t i = 0; i < count; i++) {
        f->of[i] = rows[i];
        f->of[i].schemes = NULL; /* the job's */
    }
    for (enum advise_goal g = 0; g < GOALS; g++)
        f->pick[g] = advise_pick(&a->limits, g, rows, count);
    advise_frame_unref(a->figures);
    a->figures = f;
    return true;
}

static void take_figures(struct lab *lab, struct advising *a, const struct advise *job)
{
    size_t count;
    const struct advise_row *rows = advise_rows(job, &count);
    take_rows(a, rows, count, lab->study[TEXT_EVALUATION].source.name, advise_tokens(job));
}

static void stepped(struct lab *lab, void *state, const void *running)
{
    take_figures(lab, state, running);
}

static void finish(struct lab *lab, void *state, void *running)
{
    struct advising *a = state;
    const struct advise_row *row = advise_choice(running);
    a->asked = false;
    if (row && advise_goal_met(GOAL_BALANCE, row))
        lab_say(lab, false, "advise: %s is the %s", row->scheme, advise_goal_words(GOAL_BALANCE));
    else
        lab_say(lab, false, "advise: all schemes are measured");
}

static void fail(struct lab *lab, void *state, const struct error *error)
{
    ((struct advising *)state)->asked = false;
    lab_say(lab, true, "nothing can be advised: %s", error->text);
}

/* The row under way has no figures. */
static void cancelled(struct lab *lab, void *state)
{
    struct advising *a = state;
    (void)lab;
    for (size_t i = 0; a->figures && i < a->figures->count; i++)
        if (a->figures->of[i].state < ADVISE_MEASURED)
            a->figures->of[i].state = ADVISE_WAITING;
}

/* Figures of another text compare with none. */
static void text_changed(struct lab *lab, void *state)
{
    struct advising *a = state;
    (void)lab;
    advise_frame_unref(a->figures);
    a->figures = NULL;
}

static void end(struct lab *lab, void *state)
{
    struct advising *a = state;
    (void)lab;
    advise_frame_unref(a->figures);
    export_tuning_close(a->file);
}

static void publish(const struct lab *lab, const void *state, const void *running, struct frame *f)
{
    const struct advising *a = state;
    (void)lab, (void)running;
    f->advise = advise_frame_ref(a->figures);
    f->advise_limits = a->limits;
    f->advising = a->asked;
}

/* ---- sessions --------------------------------------------------------------------------------------- */

#define KEY "advise"
#define KEY_BASIS "advise_basis" /* of all rows */
#define ROW(kind, member, key) FIELD(kind, struct advise_row, member, key)
static const struct field fields[] = {
    ROW(FIELD_TEXT, scheme, "scheme"),
    ROW(FIELD_SIZE, size, "size_bytes"),
    ROW(FIELD_SIZE, memory, "memory_bytes"),
    ROW(FIELD_SIZE, file, "file_bytes"),
    ROW(FIELD_DOUBLE, bits_per_weight_all, "bits_per_weight_all"),
    ROW(FIELD_TEXT, exports, "exports"),
    ROW(FIELD_DOUBLE, predicted, "predicted_tokens_per_second"),
    ROW(FIELD_DOUBLE, decode.median, "decode_tokens_per_second"),
    ROW(FIELD_DOUBLE, decode.min, "decode_tokens_per_second_min"),
    ROW(FIELD_DOUBLE, decode.max, "decode_tokens_per_second_max"),
    ROW(FIELD_DOUBLE, prefill.median, "prefill_tokens_per_second"),
    ROW(FIELD_DOUBLE, prefill.min, "prefill_tokens_per_second_min"),
    ROW(FIELD_DOUBLE, prefill.max, "prefill_tokens_per_second_max"),
    ROW(FIELD_DOUBLE, seconds, "seconds"),
    ROW(FIELD_BOOL, calibrates, "calibrates"),
    ROW(FIELD_BOOL, front, "front"),
    ROW(FIELD_TEXT, verdict, "verdict"),
    ROW(FIELD_TEXT, reason.text, "reason"),
};
enum { FIELDS = sizeof fields / sizeof *fields, MOST_ROWS = 1000 };

static json_t *row_of(const struct advise_row *r, bool recommended)
{
    struct advise_row known = *r;
    bool measured = r->state == ADVISE_MEASURED;
    if (r->state != ADVISE_LEFT_OUT)
        *known.reason.text = 0;
    json_t *j = fields_write(fields, FIELDS, &known);
    json_object_set_new(j, "quality", measured ? quality_to_json(&r->quality) : json_null());
    if (r->file == 0)
        json_object_set_new(j, "file_bytes", json_null());
    json_object_set_new(j, "recommended", json_boolean(recommended));
    json_object_set_new(j, "left_out", json_boolean(r->state == ADVISE_LEFT_OUT));
    return j;
}

static void save(const struct lab *lab, const void *state, json_t *root)
{
    const struct advising *a = state;
    const struct advise_frame *f = a->figures;
    (void)lab;
    if (!f)
        return;
    char limits[LIMITS_TEXT];
    json_t *basis = json_object(), *rows = json_array(), *picks = json_array();
    for (size_t i = 0; i < f->count; i++)
        json_array_append_new(rows, row_of(&f->of[i], i == f->pick[GOAL_BALANCE]));
    for (int g = 0; g < GOALS; g++)
        json_array_append_new(picks, json_integer((json_int_t)f->pick[g]));
    json_object_set_new(basis, "text_name", text_to_json(f->text));
    json_object_set_new(basis, "text_tokens", json_integer((json_int_t)f->tokens));
    json_object_set_new(basis, "picks", picks);
    json_object_set_new(basis, "limits", json_string(advise_limits_print(&a->limits, limits)));
    json_object_set_new(root, KEY, rows);
    json_object_set_new(root, KEY_BASIS, basis);
}

static bool take_row(const json_t *from, struct advise_row *out, struct error *error)
{
    bool known;
    if (!fields_read(fields, FIELDS, from, out, "the session's " KEY, error) ||
        !quality_from_json(json_object_get(from, "quality"), &out->quality, &known, "the session's " KEY, error))
        return false;
    out->state = known ? ADVISE_MEASURED : json_is_true(json_object_get(from, "left_out")) ? ADVISE_LEFT_OUT : ADVISE_WAITING;
    return true;
}

static bool load(struct lab *lab, void *state, const json_t *root, bool speeds, struct error *error)
{
    const json_t *j = json_object_get(root, KEY_BASIS), *rows = json_object_get(root, KEY), *picks = json_object_get(j, "picks");
    const char *text = json_string_value(json_object_get(j, "text_name"));
    const char *limits = json_string_value(json_object_get(j, "limits"));
    struct advising *a = state;
    json_int_t tokens = json_integer_value(json_object_get(j, "text_tokens"));
    size_t n = json_array_size(rows);
    if (n == 0 || !speeds)
        return true;
    struct advise_frame *f = n <= MOST_ROWS ? calloc(1, sizeof *f + n * sizeof *f->of) : NULL;
    if (!f)
        return error_set(error, "the session's " KEY " has %zu rows; expected up to %d", n, MOST_ROWS);
    atomic_init(&f->refs, 1);
    snprintf(f->text, sizeof f->text, "%s", text ? text : "");
    f->tokens = tokens > 0 ? (size_t)tokens : 0;
    f->count = n;
    a->figures = f;
    a->kv = lab->target[lab_kv(lab)].format.weight;
    if (limits && !advise_limits_parse(limits, &a->limits, error))
        return false;
    for (int g = 0; g < GOALS; g++) {
        json_int_t pick = json_integer_value(json_array_get(picks, (size_t)g));
        f->pick[g] = pick >= 0 && (size_t)pick < n ? (size_t)pick : n;
    }
    for (size_t i = 0; i < n; i++)
        if (!take_row(json_array_get(rows, i), &f->of[i], error))
            return false;
    return true;
}

static void stop(struct lab *lab, void *state)
{
    ((struct advising *)state)->asked = false;
    job_cancel(lab, job_slot_of(lab, &advise_job));
    lab_say(lab, false, "stopped: the schemes measured so far are kept");
}

const struct job_type advise_job = {
    .class = &advise_class,
    .state_size = sizeof(struct advising),
    .end = end,
    .wanted = wanted,
    .needs = NEED_EVALUATION_TEXT | NEED_CALIBRATION_TEXT | NEED_REFERENCE,
    .open = open_job,
    .stepped = stepped,
    .finish = finish,
    .give_up = fail,
    .cancelled = cancelled,
    .stop = stop,
    .save = save,
    .load = load,
    .text_changed = text_changed,
    .publish = publish,
};

/* While it runs: stops. */
void advise(struct lab *lab, const struct command *c)
{
    struct advising *a = job_state(lab, &advise_job);
    (void)c;
    if (a->asked) {
        stop(lab, a);
        return;
    }
    a->asked = true;
    study_retry(lab);
    lab_say(lab, false, "measuring the schemes worth considering (A stops)");
}

/* Frames that are out keep what they have. */
static void judge_again(struct advising *a)
{
    struct advise_frame *old = advise_frame_ref(a->figures);
    if (old && take_rows(a, old->of, old->count, old->text, old->tokens))
        advise_judge(&a->limits, a->figures->of, a->figures->count);
    advise_frame_unref(old);
}

void limit_advice(struct lab *lab, const struct command *c)
{
    struct job_slot *job = job_slot_of(lab, &advise_job);
    struct advising *a = job->state;
    struct error error;
    if (!advise_limits_parse(c->text, &a->limits, &error)) {
        lab_say(lab, true, "%s", error.text);
        return;
    }
    if (job->running)
        advise_limit(job->running, &a->limits);
    judge_again(a);
    lab_say(lab, false, "advise keeps to: %s", *c->text ? c->text : "no limits");
}
