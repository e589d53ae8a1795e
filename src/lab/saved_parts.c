#include "saved_parts.h"

#include "kernels/dispatch.h"
#include "quant/fit.h"
#include "session/state_file.h"
#include "sys/topology.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- quality ---------------------------------------------------------------------------------------- */

#define QUALITY(kind, member, key) FIELD(kind, struct quality_result, member, key)
static const struct field quality_fields[] = {
    QUALITY(FIELD_TEXT, basis.text, "text_name"),
    QUALITY(FIELD_SIZE, basis.tokens, "text_tokens"),
    QUALITY(FIELD_SIZE, basis.window, "window"),
    QUALITY(FIELD_SIZE, scored, "tokens"),
    QUALITY(FIELD_DOUBLE, perplexity, "perplexity"),
    QUALITY(FIELD_DOUBLE, perplexity_reference, "perplexity_reference"),
    QUALITY(FIELD_DOUBLE, kl, "kl_divergence"),
    QUALITY(FIELD_DOUBLE, kl_stderr, "kl_stderr"),
    QUALITY(FIELD_DOUBLE, kl_median, "kl_median"),
    QUALITY(FIELD_DOUBLE, kl_p99, "kl_p99"),
    QUALITY(FIELD_DOUBLE, kl_max, "kl_max"),
    QUALITY(FIELD_DOUBLE, top1, "top1_agreement"),
    QUALITY(FIELD_SIZE, kv_overflowed, "kv_overflowed"),
};
enum { QUALITY_FIELDS = sizeof quality_fields / sizeof *quality_fields };

json_t *quality_to_json(const struct quality_result *r)
{
    json_t *j = fields_write(quality_fields, QUALITY_FIELDS, r);
    if (j)
        json_object_set_new(j, "protocol", json_string(protocol_name(r->basis.protocol)));
    return j;
}

bool quality_from_json(const json_t *from, struct quality_result *out, bool *known, const char *where,
                       struct error *error)
{
    *known = from && !json_is_null(from);
    if (!*known)
        return true;
    struct quality_result r = {0};
    const char *protocol = json_string_value(json_object_get(from, "protocol"));
    if (!fields_read(quality_fields, QUALITY_FIELDS, from, &r, where, error))
        return false;
    r.basis.protocol = protocol_by_name(protocol);
    r.planned = r.scored;
    if (!protocol || r.basis.protocol == PROTOCOL_COUNT || r.scored == 0 || !(r.top1 >= 0 && r.top1 <= 1))
        return error_set(error, "%.100s: figures of quality that cannot be; expected those of a complete evaluation",
                         where);
    *out = r;
    return true;
}

/* ---- schemes ---------------------------------------------------------------------------------------- */

static size_t spelling(json_t *spellings, const char *text)
{
    size_t i = 0, n = json_array_size(spellings);
    while (i < n && strcmp(json_string_value(json_array_get(spellings, i)), text) != 0)
        i++;
    if (i == n)
        json_array_append_new(spellings, json_string(text));
    return i;
}

static const char *spell(const struct model *m, size_t i, const struct scheme *s, char out[SCHEME_TEXT])
{
    bool kv = i == (size_t)kv_index(m);
    return !kv && qformat_as_stored(&s->format) ? "stored" : scheme_print(s, out);
}

json_t *schemes_to_json(const struct model *m, const struct scheme *schemes, json_t *spellings)
{
    json_t *runs = json_array();
    size_t all = schemes_count(m), last = SIZE_MAX, count = 0;
    for (size_t i = 0; runs && i <= all; i++) {
        char text[SCHEME_TEXT];
        size_t at = i < all ? spelling(spellings, spell(m, i, &schemes[i], text)) : SIZE_MAX;
        if (at != last && count > 0) {
            json_array_append_new(runs, json_integer((json_int_t)last));
            json_array_append_new(runs, json_integer((json_int_t)count));
            count = 0;
        }
        last = at;
        count++;
    }
    return runs;
}

/* The scheme of a layer by its spelling. */
static bool take_scheme(const struct model *m, size_t i, const char *text, struct scheme *out, struct error *error)
{
    struct scheme s;
    if (i != (size_t)kv_index(m) && strcmp(text, "stored") == 0) {
        *out = scheme_stored(&m->tensors[i].stored);
        return true;
    }
    if (!scheme_parse(text, &s, error) || !scheme_fits(m, (int)i, &s, error))
        return false;
    *out = scheme_for_tensor(m, (int)i, s);
    return true;
}

bool schemes_from_json(const json_t *runs, const json_t *spellings, const struct model *m, struct scheme *out,
                       struct error *error)
{
    size_t at = 0, all = schemes_count(m);
    for (size_t r = 0; r + 1 < json_array_size(runs); r += 2) {
        json_int_t which = json_integer_value(json_array_get(runs, r));
        json_int_t count = json_integer_value(json_array_get(runs, r + 1));
        const char *text = which >= 0 ? json_string_value(json_array_get(spellings, (size_t)which)) : NULL;
        if (!text || count < 1 || (size_t)count > all - at)
            return error_set(error, "runs of schemes that do not fit; expected those of %zu layers", all);
        for (size_t end = at + (size_t)count; at < end; at++)
            if (!take_scheme(m, at, text, &out[at], error))
                return false;
    }
    return at == all || error_set(error, "schemes of %zu layers; expected %zu", at, all);
}

/* ---- marks ------------------------------------------------------------------------------------------ */

static void print_digest(uint64_t digest, char out[24])
{
    snprintf(out, 24, "%016" PRIx64, digest);
}

void model_mark(const struct model *m, char out[24])
{
    print_digest(digest_layers(digest_text(DIGEST_START, m->arch), m), out);
}

void machine_mark(const struct lab *lab, char out[160])
{
    const struct topology *t = topology();
    snprintf(out, 160, "%s; %s; threads: %d", *t->processor ? t->processor : "unknown processor", isa_current()->name,
             pool_threads(lab->session->pool));
}

void text_mark(const struct lab *lab, char out[24])
{
    const struct text_source *t = &lab->study[TEXT_EVALUATION].source;
    *out = 0;
    if (t->ready)
        print_digest(digest_bytes(DIGEST_START, t->tokens.ids, t->tokens.count * sizeof *t->tokens.ids), out);
}

/* ---- members ---------------------------------------------------------------------------------------- */

#define STEP(kind, member, key) FIELD(kind, struct step_frame, member, key)
const struct field step_fields[] = {
    STEP(FIELD_SIZE, size, "size_bytes"),
    STEP(FIELD_DOUBLE, bits_per_weight_all, "bits_per_weight_all"),
    STEP(FIELD_METRIC, decode, "decode_tokens_per_second"),
};
const size_t step_field_count = sizeof step_fields / sizeof *step_fields;

#define SNAPSHOT(kind, member, key) FIELD(kind, struct snapshot, member, key)
const struct field snapshot_fields[] = {
    SNAPSHOT(FIELD_TEXT, name, "name"),
    SNAPSHOT(FIELD_TEXT, note, "note"),
    SNAPSHOT(FIELD_TEXT, summary, "scheme"),
    SNAPSHOT(FIELD_SIZE, size, "size_bytes"),
    SNAPSHOT(FIELD_SIZE, bytes_per_token, "bytes_per_token"),
    SNAPSHOT(FIELD_DOUBLE, bits_per_weight, "bits_per_weight"),
    SNAPSHOT(FIELD_METRIC, sqnr_db, "sqnr_db"),
    SNAPSHOT(FIELD_METRIC, decode, "decode_tokens_per_second"),
    SNAPSHOT(FIELD_METRIC, prefill, "prefill_tokens_per_second"),
    SNAPSHOT(FIELD_SIZE, position, "position"),
    SNAPSHOT(FIELD_SIZE, prefill_tokens, "prefill_tokens"),
    SNAPSHOT(FIELD_BOOL, written, "written"),
};
const size_t snapshot_field_count = sizeof snapshot_fields / sizeof *snapshot_fields;

#define SIZES(kind, member, key) FIELD(kind, struct file_sizes, member, key)
const struct field file_fields[] = {
    SIZES(FIELD_TEXT, format, "format"),
    SIZES(FIELD_SIZE, size, "size_bytes"),
    SIZES(FIELD_DOUBLE, bits_per_weight, "bits_per_weight"),
    SIZES(FIELD_DOUBLE, bits_per_weight_all, "bits_per_weight_all"),
};
const size_t file_field_count = sizeof file_fields / sizeof *file_fields;
