#include "saved.h"

#include "history.h"
#include "jobs.h"
#include "quant/recipe.h"
#include "saved_parts.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct saved {
    json_t *root;
    char *path;
    char *model; /* the file of the model */
};

enum { HEAD_BYTES = 64, MOST_BYTES = 256 << 20 };

/* ---- opening --------------------------------------------------------------------------------------- */

/* Not a pipe, which can be read only once. */
bool saved_is(const char *path)
{
    char head[HEAD_BYTES + 1] = "";
    struct stat st;
    int fd = stat(path, &st) == 0 && S_ISREG(st.st_mode) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n = fd >= 0 ? read(fd, head, HEAD_BYTES) : 0;
    if (fd >= 0)
        close(fd);
    head[n > 0 ? n : 0] = 0;
    const char *at = head + strspn(head, " \t\r\n{");
    return strncmp(at, "\"" SESSION_KEY "\"", strlen(SESSION_KEY) + 2) == 0;
}

/* The model where it was, else beside the session. */
static char *find_model(const char *path, const char *session)
{
    const char *slash = strrchr(session, '/'), *base = strrchr(path, '/');
    char *beside;
    if (access(path, F_OK) == 0 || !slash)
        return strdup(path);
    if (asprintf(&beside, "%.*s/%s", (int)(slash - session), session, base ? base + 1 : path) < 0)
        return NULL;
    if (access(beside, F_OK) == 0)
        return beside;
    free(beside);
    return strdup(path);
}

static bool parse(struct saved *s, const char *path, struct error *error)
{
    struct stat st;
    json_error_t why;
    if (stat(path, &st) != 0 || st.st_size > MOST_BYTES)
        return error_set(error, "%.200s: is no session; expected a file of at most 256 MB", path);
    s->root = json_load_file(path, 0, &why);
    if (!s->root)
        return error_set(error, "%.200s: is no session, or damaged: line %d: %.100s", path, why.line, why.text);
    const json_t *form = json_object_get(s->root, SESSION_KEY);
    if (json_integer_value(form) != SESSION_FORM)
        return error_set(error, "%.200s: a session of form %lld, of another version of qtop; expected %d", path,
                         (long long)json_integer_value(form), SESSION_FORM);
    const char *model = json_string_value(json_object_get(json_object_get(s->root, "model"), "path"));
    if (!model)
        return error_set(error, "%.200s: names no model's file; random weights have none to go on with", path);
    s->path = strdup(path);
    s->model = find_model(model, path);
    return (s->path && s->model) || error_set(error, "not enough memory");
}

struct saved *saved_open(const char *path, struct error *error)
{
    struct saved *s = calloc(1, sizeof *s);
    if (s && parse(s, path, error))
        return s;
    if (!s)
        error_set(error, "not enough memory");
    saved_close(s);
    return NULL;
}

void saved_close(struct saved *s)
{
    if (!s)
        return;
    json_decref(s->root);
    free(s->path);
    free(s->model);
    free(s);
}

const char *saved_model(const struct saved *s)
{
    return s->model;
}

const char *saved_option(const struct saved *s, const char *name)
{
    const char *value = json_string_value(json_object_get(json_object_get(s->root, "options"), name));
    return value ? value : "";
}

/* ---- schemes --------------------------------------------------------------------------------------- */

static bool read_schemes(const struct saved *s, const json_t *from, const struct model *m, struct scheme *out,
                         struct error *error)
{
    struct error why;
    return schemes_from_json(json_object_get(from, "layers"), json_object_get(s->root, "schemes"), m, out, &why) ||
           error_set(error, "%.200s: %.300s", s->path, why.text);
}

static const json_t *step_at(const struct saved *s, size_t i)
{
    return json_array_get(json_object_get(s->root, "steps"), i);
}

static size_t current_step(const struct saved *s)
{
    json_int_t at = json_integer_value(json_object_get(s->root, "step"));
    return at >= 0 ? (size_t)at : 0;
}

static bool check_model(const struct saved *s, const struct model *m, struct error *error)
{
    const char *mark = json_string_value(json_object_get(json_object_get(s->root, "model"), "digest"));
    char here[24];
    model_mark(m, here);
    return (mark && strcmp(mark, here) == 0) ||
           error_set(error, "%.200s: is of another model than %.200s; expected its layers and shapes", s->path, s->model);
}

struct scheme *saved_schemes(const struct saved *s, const struct model *m, struct error *error)
{
    struct scheme *schemes = calloc(schemes_count(m), sizeof *schemes);
    if (!schemes)
        error_set(error, "not enough memory");
    else if (check_model(s, m, error) && read_schemes(s, step_at(s, current_step(s)), m, schemes, error))
        return schemes;
    free(schemes);
    return NULL;
}

/* ---- taking over ----------------------------------------------------------------------------------- */

#define OTHER_SPEED "measured on another machine or with other threads"

/* Of the figures, what this run can believe. */
struct belief {
    bool speed, quality;
};

static bool read_quality(const struct saved *s, const json_t *from, const struct belief *b, struct quality_result *out,
                         bool *known, struct error *error)
{
    bool ok = quality_from_json(json_object_get(from, "quality"), out, known, s->path, error);
    *known = *known && b->quality;
    return ok;
}

static bool take_step(struct lab *lab, const struct saved *s, size_t i, const struct belief *b, struct error *error)
{
    const json_t *from = step_at(s, i);
    struct history_step *step = history_append(lab);
    bool known;
    if (!step)
        return error_set(error, "not enough memory");
    if (!read_schemes(s, from, lab->session->model, step->schemes, error) ||
        !fields_read(step_fields, step_field_count, from, &step->figures, s->path, error) ||
        !read_quality(s, from, b, &step->quality, &known, error))
        return false;
    if (!b->speed)
        step->figures.decode = metric_absent(OTHER_SPEED);
    if (known)
        history_take_quality(step);
    return true;
}

static bool take_steps(struct lab *lab, const struct saved *s, const struct belief *b, struct error *error)
{
    size_t n = json_array_size(json_object_get(s->root, "steps")), current = current_step(s);
    if (n == 0 || n > HISTORY_STEPS || current >= n)
        return error_set(error, "%.200s: %zu steps, of which %zu is in use; expected up to %d", s->path, n, current,
                         HISTORY_STEPS);
    history_clear(lab);
    for (size_t i = 0; i < n; i++)
        if (!take_step(lab, s, i, b, error))
            return false;
    lab->history.current = current;
    lab->history.described = true;
    return true;
}

static bool take_log(struct lab *lab, const struct saved *s, struct error *error)
{
    const json_t *all = json_object_get(s->root, "log"), *from;
    size_t i, n = json_array_size(all);
    if (n > LOG_ENTRIES)
        return error_set(error, "%.200s: %zu entries of the log; expected up to %d", s->path, n, LOG_ENTRIES);
    lab->log.count = 0;
    json_array_foreach(all, i, from) {
        const json_t *step = json_object_get(from, "step");
        json_int_t place = json_is_integer(step) ? json_integer_value(step) : -1;
        size_t at = place >= 0 ? (size_t)place : SIZE_MAX;
        struct log_entry *e = &lab->log.of[lab->log.count++];
        *e = (struct log_entry){.time = (time_t)json_integer_value(json_object_get(from, "time")),
                                .is_error = json_is_true(json_object_get(from, "error")),
                                .step = at < lab->history.count ? lab->history.of[at].figures.serial : 0};
        const char *text = json_string_value(json_object_get(from, "text"));
        snprintf(e->text, sizeof e->text, "%s", text ? text : "");
    }
    lab->log.total = n;
    return true;
}

static bool take_rounds(const struct saved *s, const json_t *from, struct snapshot *out, struct error *error)
{
    const json_t *rounds = json_object_get(from, "rounds");
    size_t n = json_array_size(rounds);
    if (n > INTERLEAVED_ROUNDS)
        return error_set(error, "%.200s: %zu rounds of timing; expected up to %d", s->path, n, INTERLEAVED_ROUNDS);
    for (size_t i = 0; i < n; i++) {
        out->timed.rate[i] = json_number_value(json_array_get(rounds, i));
        if (!(out->timed.rate[i] > 0))
            return error_set(error, "%.200s: a speed of %g tokens/s; expected more than 0", s->path, out->timed.rate[i]);
    }
    out->timed.rounds = n;
    return true;
}

static bool take_file(const struct lab *lab, const struct saved *s, const json_t *from, struct snapshot *out,
                      struct error *error)
{
    const json_t *file = json_object_get(from, "file"), *bytes = json_object_get(file, "layers");
    size_t n = lab_tensors(lab);
    if (!json_is_object(file))
        return true;
    struct file_sizes *f = out->file = calloc(1, sizeof *f + n * sizeof *f->tensor);
    if (!f)
        return error_set(error, "not enough memory");
    atomic_init(&f->refs, 1);
    if (json_array_size(bytes) != n)
        return error_set(error, "%.200s: a file of %zu layers; expected %zu", s->path, json_array_size(bytes), n);
    for (size_t i = 0; i < n; i++) {
        json_int_t of = json_integer_value(json_array_get(bytes, i));
        if (of < 0)
            return error_set(error, "%.200s: a layer of %lld bytes in a file; expected 0 or more", s->path, (long long)of);
        f->tensor[i] = (size_t)of;
    }
    return fields_read(file_fields, file_field_count, file, f, s->path, error);
}

static bool label_is_free(const struct lab *lab, const char *label)
{
    bool free_one = label && label[0] >= 'A' && label[0] <= 'Z' && !label[1];
    for (size_t i = 0; free_one && i + 1 < lab->snapshots.count; i++)
        free_one = lab->snapshots.of[i].label != *label;
    return free_one;
}

static bool take_snapshot(struct lab *lab, const struct saved *s, const json_t *from, const struct belief *b,
                          struct error *error)
{
    const char *label = json_string_value(json_object_get(from, "label"));
    struct snapshot *out = &lab->snapshots.of[lab->snapshots.count++];
    const struct metric absent = metric_absent(b->speed ? "not measured yet" : OTHER_SPEED);
    bool known;
    *out = (struct snapshot){.label = label ? *label : 0,
                             .schemes = kept_schemes_new(schemes_count(lab->session->model)),
                             .decode = absent, .prefill = absent, .sqnr_db = metric_absent("not measured yet"),
                             .peak = PEAK_COUNT, .quality.reason = "not evaluated yet: press e"};
    if (!out->schemes)
        return error_set(error, "not enough memory");
    if (!label_is_free(lab, label))
        return error_set(error, "%.200s: snapshot '%.20s'; expected a letter of its own", s->path, label ? label : "");
    if (!read_schemes(s, from, lab->session->model, out->schemes->of, error) ||
        !fields_read(snapshot_fields, snapshot_field_count, from, out, s->path, error) ||
        !take_rounds(s, from, out, error) || !take_file(lab, s, from, out, error) ||
        !read_quality(s, from, b, &out->quality.result, &known, error))
        return false;
    out->quality.valid = known;
    out->kv_bytes = kv_bytes_per_position(lab->session->model, out->schemes->of[lab_kv(lab)].format.weight);
    if (!b->speed) {
        out->decode = out->prefill = absent;
        out->timed.rounds = 0;
    }
    return true;
}

static bool take_snapshots(struct lab *lab, const struct saved *s, const struct belief *b, struct error *error)
{
    const json_t *all = json_object_get(s->root, "snapshots"), *from;
    size_t i, n = json_array_size(all);
    if (n > SNAPSHOTS)
        return error_set(error, "%.200s: %zu snapshots; expected up to %d", s->path, n, SNAPSHOTS);
    json_array_foreach(all, i, from)
        if (!take_snapshot(lab, s, from, b, error))
            return false;
    return true;
}

/* Speeds of another machine and quality on another text are not taken over. */
static struct belief believe(const struct lab *lab, const struct saved *s)
{
    char machine[160], text[24];
    machine_mark(lab, machine);
    text_mark(lab, text);
    const char *then = json_string_value(json_object_get(s->root, "machine"));
    const char *of = json_string_value(json_object_get(json_object_get(s->root, "text"), "digest"));
    return (struct belief){.speed = then && strcmp(then, machine) == 0, .quality = of && *of && strcmp(of, text) == 0};
}

bool saved_apply(struct lab *lab, const struct saved *s, struct error *error)
{
    struct belief b = believe(lab, s);
    if (!take_steps(lab, s, &b, error) || !take_log(lab, s, error) || !take_snapshots(lab, s, &b, error))
        return false;
    for (size_t i = 0; b.quality && i < lab->job_count; i++)
        if (lab->jobs[i].type->load && !lab->jobs[i].type->load(lab, lab->jobs[i].state, s->root, b.speed, error))
            return false;
    lab_say(lab, false, "session %.100s, %zu snapshot%s%s%s", s->path, lab->snapshots.count,
            lab->snapshots.count == 1 ? "" : "s",
            b.speed ? "" : "; speeds, of another machine or number of threads, are left out",
            b.quality ? "" : "; quality, of another text, is left out");
    return true;
}
