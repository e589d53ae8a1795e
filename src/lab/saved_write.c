#include "saved.h"

#include "base/output.h"
#include "jobs.h"
#include "saved_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sets a member; what could not be made for lack of memory is missing, which saved_write sees. */
static void put(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

/* From wherever qtop is started. */
static json_t *path_to_json(const char *path)
{
    char *whole = realpath(path, NULL);
    json_t *j = text_to_json(whole ? whole : path);
    free(whole);
    return j;
}

static json_t *options_of(const struct lab *lab)
{
    json_t *j = json_object();
    for (size_t i = 0; i < lab->options.opened_count; i++) {
        const struct opened_with *o = &lab->options.opened[i];
        put(j, o->name, o->is_file ? path_to_json(o->value) : text_to_json(o->value));
    }
    return j;
}

static json_t *model_of(const struct lab *lab)
{
    const struct model *m = lab->session->model;
    char mark[24];
    model_mark(m, mark);
    json_t *j = json_object();
    put(j, "path", m->path ? path_to_json(m->path) : json_null());
    const char *slash = m->path ? strrchr(m->path, '/') : NULL;
    put(j, "name", m->path ? text_to_json(slash ? slash + 1 : m->path) : json_null());
    put(j, "architecture", json_string(m->arch));
    put(j, "parameters", json_integer((json_int_t)m->parameters));
    put(j, "size_bytes", json_integer((json_int_t)weights_size(lab->session->stored)));
    put(j, "digest", json_string(mark));
    return j;
}

static json_t *text_of(const struct lab *lab)
{
    char mark[24];
    text_mark(lab, mark);
    json_t *j = json_object();
    put(j, "name", text_to_json(lab->study[TEXT_EVALUATION].source.name));
    put(j, "digest", json_string(mark));
    put(j, "calibration", text_to_json(lab->study[TEXT_CALIBRATION].source.name));
    return j;
}

/* ---- what was done -------------------------------------------------------------------------------- */

static json_t *steps_of(const struct lab *lab, json_t *spellings)
{
    const struct history *h = &lab->history;
    json_t *all = json_array();
    for (size_t i = 0; i < h->count; i++) {
        const struct history_step *s = &h->of[i];
        const struct scheme *schemes = i == h->current ? lab->target : s->schemes;
        json_t *j = fields_write(step_fields, step_field_count, &s->figures);
        put(j, "layers", schemes_to_json(lab->session->model, schemes, spellings));
        put(j, "quality", s->figures.kl.valid ? quality_to_json(&s->quality) : json_null());
        json_array_append_new(all, j);
    }
    return all;
}

/* The step that an entry describes, by its place; null: of none, or of one that is gone. */
static json_t *step_of(const struct lab *lab, const struct log_entry *e)
{
    for (size_t i = 0; i < lab->history.count; i++)
        if (lab->history.of[i].figures.serial == e->step)
            return json_integer((json_int_t)i);
    return json_null();
}

static json_t *log_of(const struct lab *lab)
{
    json_t *all = json_array();
    for (size_t i = 0; i < lab->log.count; i++) {
        const struct log_entry *e = &lab->log.of[i];
        json_t *j = json_object();
        put(j, "time", json_integer((json_int_t)e->time));
        put(j, "step", step_of(lab, e));
        put(j, "error", json_boolean(e->is_error));
        put(j, "text", text_to_json(e->text));
        json_array_append_new(all, j);
    }
    return all;
}

/* ---- snapshots ------------------------------------------------------------------------------------ */

static json_t *numbers_of(const double *x, size_t n)
{
    json_t *j = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(j, json_real(x[i]));
    return j;
}

static json_t *file_of(const struct lab *lab, const struct file_sizes *f)
{
    if (!f)
        return json_null();
    json_t *j = fields_write(file_fields, file_field_count, f), *bytes = json_array();
    for (size_t i = 0; i < lab_tensors(lab); i++)
        json_array_append_new(bytes, json_integer((json_int_t)f->tensor[i]));
    put(j, "layers", bytes);
    return j;
}

static json_t *snapshots_of(const struct lab *lab, json_t *spellings)
{
    json_t *all = json_array();
    for (size_t i = 0; i < lab->snapshots.count; i++) {
        const struct snapshot *s = &lab->snapshots.of[i];
        char label[2] = {s->label, 0};
        json_t *j = fields_write(snapshot_fields, snapshot_field_count, s);
        put(j, "label", json_string(label));
        put(j, "layers", schemes_to_json(lab->session->model, s->schemes->of, spellings));
        put(j, "rounds", numbers_of(s->timed.rate, s->timed.rounds));
        put(j, "file", file_of(lab, s->file));
        bool known = s->quality.valid && quality_is_complete(&s->quality.result);
        put(j, "quality", known ? quality_to_json(&s->quality.result) : json_null());
        json_array_append_new(all, j);
    }
    return all;
}

/* ---- the file ------------------------------------------------------------------------------------- */

static json_t *root_of(struct lab *lab)
{
    char machine[160];
    json_t *j = json_object(), *spellings = json_array();
    machine_mark(lab, machine);
    put(j, SESSION_KEY, json_integer(SESSION_FORM));
    put(j, "version", json_string(PACKAGE_VERSION));
    put(j, "options", options_of(lab));
    put(j, "model", model_of(lab));
    put(j, "machine", text_to_json(machine));
    put(j, "text", text_of(lab));
    put(j, "schemes", spellings); /* filled by what follows */
    put(j, "step", json_integer((json_int_t)lab->history.current));
    put(j, "steps", steps_of(lab, spellings));
    put(j, "log", log_of(lab));
    put(j, "snapshots", snapshots_of(lab, spellings));
    for (size_t i = 0; i < lab->job_count; i++)
        if (lab->jobs[i].type->save)
            lab->jobs[i].type->save(lab, lab->jobs[i].state, j);
    return j;
}

static bool write_text(const char *text, const char *path, struct error *error)
{
    struct output out;
    if (!output_open(&out, path, error))
        return false;
    bool ok = fputs(text, out.file) >= 0 && fputc('\n', out.file) >= 0;
    return output_close(&out, ok || error_set(error, "%.200s: cannot be written", path), error);
}

bool saved_write(struct lab *lab, const char *path, struct error *error)
{
    json_t *root = root_of(lab);
    char *text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
    bool ok = text ? write_text(text, path, error) : error_set(error, "not enough memory");
    free(text);
    json_decref(root);
    return ok;
}
