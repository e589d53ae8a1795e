#include "read_json.h"

#include "formats/jsontext.h"
#include "formats/mapped.h"
#include "json_values.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 12, MOST_SCHEMES = 512, MOST_LAYERS = 200000, MOST_POINTS = 20000, MOST_RECORDS = 300000 };
static const size_t LARGEST_FILE = (size_t)64 << 20;

typedef bool read_fn(const struct json_source *source, const json_t *object, const json_t *value);

/* ---- schemes ----------------------------------------------------------------------------------- */

static const struct {
    const char *key;
    enum report_figure figure;
    double min, max;
} figures[] = {
    {"size_bytes", FIGURE_SIZE, 0, 1e18},
    {"file_bytes", FIGURE_FILE, 0, 1e18},
    {"bits_per_weight_all", FIGURE_BITS, 0, 1e6},
    {"decode_tokens_per_second", FIGURE_DECODE, 0, 1e15},
    {"decode_tokens_per_second_min", FIGURE_DECODE_MIN, 0, 1e15},
    {"decode_tokens_per_second_max", FIGURE_DECODE_MAX, 0, 1e15},
    {"predicted_tokens_per_second", FIGURE_PREDICTED, 0, 1e15},
    {"prefill_tokens_per_second", FIGURE_PREFILL, 0, 1e15},
    {"kl_divergence", FIGURE_KL, -1, 1e6},
    {"kl_stderr", FIGURE_KL_ERROR, 0, 1e6},
    {"top1_agreement", FIGURE_TOP1, 0, 1},
    {"top1_stderr", FIGURE_TOP1_ERROR, 0, 1},
    {"perplexity", FIGURE_PERPLEXITY, 0, 1e300},
    {"perplexity_reference", FIGURE_PERPLEXITY_REFERENCE, 0, 1e300},
};

/* What is said of all rows together: of the first record that has it. */
static const struct {
    const char *key;
    enum report_subject subject;
    const char *label;
} facts[] = {
    {"text_name", SUBJECT_MEASURED, "text"},    {"text_tokens", SUBJECT_MEASURED, "tokens"},
    {"protocol", SUBJECT_MEASURED, "protocol"}, {"window", SUBJECT_MEASURED, "window"},
    {"goal", SUBJECT_MEASURED, "goal"},         {"kv", SUBJECT_MEASURED, "KV cache"},
    {"reference", SUBJECT_MODEL, "reference"},  {"format", SUBJECT_MODEL, "format of files"},
    {"threads", SUBJECT_MACHINE, "threads"},    {"isa", SUBJECT_MACHINE, "instruction set"},
};

/* Of an object "model". */
static const struct {
    const char *key, *label;
} model_facts[] = {
    {"name", "name"},       {"architecture", "architecture"}, {"parameters", "parameters"},
    {"file_bytes", "file"}, {"stored", "stored type"},        {"layers", "blocks"},
};

static const char *fact_of(const struct report *r, enum report_subject subject, const char *label)
{
    const struct report_facts *f = &r->facts[subject];
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->of[i].label, label) == 0)
            return f->of[i].value;
    return NULL;
}

/* Texts and numbers; whatever else a member is says nothing here. */
static bool add_fact(const struct json_source *s, const json_t *object, const char *key, enum report_subject subject,
                     const char *label)
{
    const json_t *v = json_object_get(object, key);
    const char *text = NULL;
    char number[32];
    if (!v || fact_of(s->report, subject, label))
        return true;
    if (json_is_number(v))
        snprintf(number, sizeof number, "%.10g", json_number_value(v));
    else if (!json_get_text(s, object, key, &text))
        return false;
    if (json_is_number(v) || text)
        report_add_fact(s->report, subject, label, text ? text : number, NULL);
    return true;
}

/* Quality on another text than that of the facts does not compare. */
static bool check_basis(const struct json_source *s, const json_t *object, struct report_scheme *row)
{
    const char *text = fact_of(s->report, SUBJECT_MEASURED, "text"),
               *tokens = fact_of(s->report, SUBJECT_MEASURED, "tokens"), *its = NULL;
    struct metric count = {0};
    char number[32];
    if (!json_get_text(s, object, "text_name", &its) || !json_get_metric(s, object, "text_tokens", 0, 1e15, &count))
        return false;
    snprintf(number, sizeof number, "%.10g", count.value);
    bool other = (its && text && strcmp(its, text) != 0) || (count.valid && tokens && strcmp(number, tokens) != 0);
    if (other && json_object_get(object, "kl_divergence"))
        row->stale = report_textf(s->report, "measured on another text (%.100s, %s tokens)", its ? its : "", number);
    return true;
}

/* The row of that name, a new one where there is none, and for each snapshot. */
static struct report_scheme *row_named(const struct json_source *s, const char *name, bool is_snapshot)
{
    struct report *r = s->report;
    for (size_t i = 0; i < r->scheme_count && !is_snapshot; i++)
        if (strcmp(r->schemes[i].name, name) == 0)
            return &r->schemes[i];
    if (r->scheme_count >= MOST_SCHEMES) {
        json_refuse(s, "one scheme more than %d", MOST_SCHEMES);
        return NULL;
    }
    struct report_scheme *row = report_add_scheme(r);
    row->name = name;
    return row;
}

static bool fill_figures(const struct json_source *s, const json_t *object, struct report_scheme *row)
{
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        if (!add_fact(s, object, facts[i].key, facts[i].subject, facts[i].label))
            return false;
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        if (!json_get_metric(s, object, figures[i].key, figures[i].min, figures[i].max,
                             &row->figure[figures[i].figure]))
            return false;
    return true;
}

static bool fill_quality(const struct json_source *s, const json_t *object, struct report_scheme *row)
{
    return fill_figures(s, object, row) && check_basis(s, object, row);
}

static bool fill_row(const struct json_source *s, const json_t *object, struct report_scheme *row)
{
    if (!fill_figures(s, object, row))
        return false;
    const json_t *quality = json_object_get(object, "quality"); /* of a session: its members apart */
    if (json_is_object(quality) && !fill_quality(s, quality, row))
        return false;
    return check_basis(s, object, row) && json_get_text(s, object, "exports", &row->exports) &&
           json_get_text(s, object, "verdict", &row->verdict) && json_get_text(s, object, "label", &row->mark) &&
           json_get_bool(s, object, "recommended", &row->recommended) &&
           json_get_bool(s, object, "partial", &row->partial);
}

static bool read_scheme(const struct json_source *s, const json_t *object, const json_t *value)
{
    const char *name = NULL;
    (void)value;
    if (!json_get_text(s, object, "scheme", &name))
        return false;
    if (!name || !*name)
        return json_refuse(s, "'scheme' is %s; expected the name of a scheme", json_text_kind(value));
    const char *own = json_string_value(json_object_get(object, "name")); /* that a person gave a snapshot */
    bool is_snapshot = json_object_get(object, "label");
    if (is_snapshot && own && *own)
        name = report_textf(s->report, "%s: %s", own, name);
    struct report_scheme *row = row_named(s, name, is_snapshot);
    return row && fill_row(s, object, row);
}

/* What a search found: its recipe is a scheme that has no name but the file's. */
static bool read_tuned(const struct json_source *s, const json_t *object, const json_t *value)
{
    const char *file = NULL;
    (void)value;
    if (!json_get_text(s, object, "recipe", &file))
        return false;
    const char *name = file ? report_textf(s->report, "recipe %s", file) : report_text(s->report, "tuned");
    struct report_scheme *row = row_named(s, name, false);
    return row && fill_row(s, object, row);
}

/* The mix that a search was compared with. */
static bool read_mix(const struct json_source *s, const json_t *object, const json_t *value)
{
    const char *name = NULL;
    if (!json_get_text(s, object, "mix", &name))
        return false;
    if (json_is_null(value) || !name)
        return true;
    struct report_scheme *row = row_named(s, name, false);
    return row && json_get_metric(s, object, "mix_size_bytes", 0, 1e18, &row->figure[FIGURE_SIZE]) &&
           json_get_metric(s, object, "mix_kl_divergence", -1, 1e6, &row->figure[FIGURE_KL]);
}

/* ---- what belongs to the layers ------------------------------------------------------------------ */

/* "blk.3.attn_q" and "blk.3.ffn_up_exps.17": the kind and the block. */
static void split_name(struct report *r, struct report_layer *l)
{
    char *end;
    l->kind = l->name;
    l->block = -1;
    if (strncmp(l->name, "blk.", 4) != 0)
        return;
    long block = strtol(l->name + 4, &end, 10);
    if (end == l->name + 4 || *end != '.' || block < 0 || block > 1000000)
        return;
    l->block = (int)block;
    l->kind = end + 1;
    const char *expert = strrchr(l->kind, '.');
    if (expert && strspn(expert + 1, "0123456789") == strlen(expert + 1))
        l->kind = report_textf(r, "%.*s", (int)(expert - l->kind), l->kind);
}

static bool read_layer(const struct json_source *s, const json_t *object, const json_t *value)
{
    const char *name = NULL;
    struct metric kl = {0}, error = {0};
    bool partial = false;
    (void)value;
    if (s->report->layer_count >= MOST_LAYERS)
        return json_refuse(s, "one layer more than %d", MOST_LAYERS);
    if (!json_get_text(s, object, "name", &name) || !json_get_metric(s, object, "kl_alone", -1, 1e6, &kl) ||
        !json_get_metric(s, object, "kl_alone_stderr", 0, 1e6, &error) ||
        !json_get_bool(s, object, "partial", &partial))
        return false;
    if (!name || !*name)
        return json_refuse(s, "'name' is nothing; expected the name of a layer");
    if (!kl.valid)
        return true;
    struct report_layer *l = report_add_layer(s->report);
    *l = (struct report_layer){.name = name, .kl = kl, .kl_error = error.valid ? error.value : NAN, .partial = partial};
    split_name(s->report, l);
    return true;
}

/* The error behind the embedding and each part of a block, in the model's order. */
static bool read_depth(const struct json_source *s, const json_t *object, const json_t *value)
{
    if (json_is_null(value))
        return json_get_text(s, object, "hidden_state_error_reason", &s->report->missing[PART_DEPTH]);
    if (!json_check_list(s, value, "hidden_state_error", MOST_POINTS))
        return false;
    if (s->report->depth_count > 0) /* of the first scheme */
        return true;
    for (size_t i = 0; i < json_array_size(value); i++) {
        double error;
        if (!json_number(s, json_array_get(value, i), "hidden_state_error", 0, 1e30, &error))
            return false;
        *report_add_depth(s->report) =
            (struct report_depth){i == 0 ? "embedding" : report_textf(s->report, "part %zu", i), error};
    }
    const char *scheme = json_string_value(json_object_get(object, "scheme"));
    s->report->basis[PART_DEPTH] = scheme ? report_textf(s->report, "Of %.200s.", scheme) : NULL;
    return true;
}

/* [size, KL] of what a search predicts; with a budget of speed the first is a time. */
static bool read_curve(const struct json_source *s, const json_t *object, const json_t *value)
{
    double size, kl;
    if (!json_check_list(s, value, "curve", MOST_POINTS))
        return false;
    if (json_is_number(json_object_get(object, "min_tokens_per_second")))
        return true;
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *pair = json_array_get(value, i);
        if (json_array_size(pair) != 2)
            return json_refuse(s, "'curve' has an entry that is no pair of numbers");
        if (!json_number(s, json_array_get(pair, 0), "curve", 0, 1e18, &size) ||
            !json_number(s, json_array_get(pair, 1), "curve", -1, 1e6, &kl))
            return false;
        *report_add_curve_point(s->report) = (struct report_curve_point){size, kl};
    }
    return true;
}

static bool read_peak(const struct json_source *s, const json_t *object, const json_t *value)
{
    (void)value;
    return json_get_metric(s, object, "peak_read_bytes_per_second", 0, 1e18, &s->report->read);
}

static bool read_machine(const struct json_source *s, const json_t *object, const json_t *value)
{
    (void)value;
    return add_fact(s, object, "machine", SUBJECT_MACHINE, "speeds are of");
}

static bool read_model(const struct json_source *s, const json_t *object, const json_t *value)
{
    (void)object;
    if (!json_is_object(value))
        return json_refuse(s, "'model' is %s; expected an object", json_text_kind(value));
    for (size_t i = 0; i < sizeof model_facts / sizeof *model_facts; i++)
        if (!add_fact(s, value, model_facts[i].key, SUBJECT_MODEL, model_facts[i].label))
            return false;
    const char *name = fact_of(s->report, SUBJECT_MODEL, "name");
    s->report->title = name ? name : s->report->title;
    return true;
}

/* ---- records ----------------------------------------------------------------------------------- */

static bool read_list(const struct json_source *s, const json_t *value, const char *key, size_t most, read_fn *read)
{
    if (!json_check_list(s, value, key, most))
        return false;
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *one = json_array_get(value, i);
        if (!json_is_object(one))
            return json_refuse(s, "'%s' has %s; expected objects", key, json_text_kind(one));
        if (!read(s, one, one))
            return false;
    }
    return true;
}

static bool read_schemes(const struct json_source *s, const json_t *object, const json_t *value)
{
    (void)object;
    return read_list(s, value, "snapshots, advise", MOST_SCHEMES, read_scheme);
}

static bool read_layers(const struct json_source *s, const json_t *object, const json_t *value)
{
    (void)object;
    return read_list(s, value, "sensitivity", MOST_LAYERS, read_layer);
}

/* Members that say what a record is; all that it has are read. A record of a layer has a scheme, too, which is no row
 * of its own. */
static const struct {
    const char *key, *without; /* not where it has that, too; or null */
    read_fn *read;
} members[] = {
    {"model", NULL, read_model},
    {"machine", NULL, read_machine},
    {"kl_alone", NULL, read_layer},
    {"scheme", "kl_alone", read_scheme},
    {"recipe", NULL, read_tuned},
    {"mix", NULL, read_mix},
    {"hidden_state_error", NULL, read_depth},
    {"curve", NULL, read_curve},
    {"peak_read_bytes_per_second", NULL, read_peak},
    {"snapshots", NULL, read_schemes},
    {"advise", NULL, read_schemes},
    {"sensitivity", NULL, read_layers},
};
enum { MEMBERS = sizeof members / sizeof *members };

static bool read_record(const struct json_source *s, const json_t *object)
{
    bool any = false;
    for (size_t i = 0; i < MEMBERS; i++) {
        const json_t *v = json_object_get(object, members[i].key);
        if (!v || (members[i].without && json_object_get(object, members[i].without)))
            continue;
        any = true;
        if (!members[i].read(s, object, v))
            return false;
    }
    return any || error_set(s->error,
                            "%.150s: record %zu is nothing that a report is made of; expected the --json output "
                            "of qtop advise, bench, eval, inspect or tune",
                            s->file, s->record);
}

/* The byte at which the record after `at` begins: a line that begins with a brace. */
static size_t next_record(const uint8_t *data, size_t size, size_t at)
{
    for (at++; at < size; at++)
        if (data[at] == '{' && data[at - 1] == '\n')
            break;
    return at;
}

static void say_missing(struct report *r)
{
    static const struct {
        enum report_part part;
        const char *reason;
    } reasons[] = {
        {PART_SCHEMES, "the file has no schemes"},
        {PART_FRONT, "the file has no two schemes with both size and KL divergence (qtop advise --json has)"},
        {PART_SENSITIVITY, "the file has no sensitivity of layers (qtop inspect --alone --json has)"},
        {PART_ROOFLINE, "the file has no multiply-adds of what it measured (qtop report MODEL measures them)"},
        {PART_ERRORS, "the file has no histograms (qtop report MODEL makes them)"},
        {PART_DEPTH, "the file has no hidden states (qtop eval --json has)"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (!r->missing[reasons[i].part])
            r->missing[reasons[i].part] = reasons[i].reason;
}

bool report_parse_json(struct report *r, const uint8_t *data, size_t size, const char *name, struct error *error)
{
    struct json_source s = {.report = r, .file = name, .error = error};
    char what[200];
    for (size_t at = 0, end; at < size; at = end) {
        end = next_record(data, size, at);
        snprintf(what, sizeof what, "%.150s: record %zu", name, ++s.record);
        if (s.record > MOST_RECORDS)
            return json_refuse(&s, "expected at most %d", MOST_RECORDS);
        json_t *object = json_text_parse(data + at, end - at, DEEPEST, what, error);
        bool ok = object && read_record(&s, object);
        json_decref(object);
        if (!ok)
            return false;
    }
    if (s.record == 0)
        return error_set(error, "%.150s: is empty; expected records of qtop", name);
    say_missing(r);
    return !r->failed || error_set(error, "not enough memory for the report");
}

struct report *report_read_json(const char *path, struct error *error)
{
    struct mapped_file file;
    struct report *r = NULL;
    if (!mapped_file_open(&file, path, error))
        return NULL;
    if (file.size > LARGEST_FILE)
        error_set(error, "%.150s: has %zu bytes; expected at most %zu", path, file.size, LARGEST_FILE);
    else if (!(r = report_create()))
        error_set(error, "not enough memory for the report");
    bool ok = r && report_parse_json(r, file.data, file.size, path, error);
    mapped_file_close(&file);
    if (ok)
        return r;
    report_free(r);
    return NULL;
}
