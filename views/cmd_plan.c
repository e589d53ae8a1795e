/* qtop plan: the size and speed table. Predicted tokens/s = read bandwidth / bytes per token. */
#include "batch.h"

#include "interrupt.h"
#include "kernels/encode.h"
#include "sys/memory.h"
#include "measure/known_roofs.h"
#include "measure/roofs.h"
#include "measure/speed.h"
#include "sys/topology.h"
#include "quant/recipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const common[] = {"stored", "fp32", "fp16",  "bf16",     "fp8",        "fp8/fp8",
                                    "int8",   "w8a8", "w8a16", "int4:g32", "int4:channel", "w4a16",
                                    "w4a8"};
enum { COMMON = sizeof common / sizeof *common, DECODE_TOKENS = 16, SAMPLES = 5, SWEEPS = 7 };

/* Behind the common schemes come block types and mixes, which are not run: their blocks take long to make. */
enum { ROWS = COMMON + DTYPE_ALL + 64, SAME = 24 };
#define NOT_MEASURED "computed only; qtop bench -s SCHEME measures it"

/* What predictions are made from, in bytes a second. */
struct roof_pair {
    double given;                   /* by --roof; NaN without it */
    const struct known_roof *known; /* where that was a name */
    double here;                    /* median of sweeps on this machine; NaN with a reason */
    struct roof sweeps;             /* that it is of */
    struct error here_reason;
};

struct row {
    char scheme[SCHEME_TEXT];
    struct weights_totals totals;
    double predicted;      /* tokens per second, from --roof, else from this machine's roof */
    double here;           /* from this machine's roof */
    struct stats measured; /* tokens per second, of so many samples; NaN with a reason when it did not run */
    size_t samples;
    struct error reason;
    bool exceeds;          /* faster than the roof of this machine allows, which then was measured too low */
    char same[SAME][32];   /* other schemes that make the same model here */
    size_t same_count;
    bool computed;         /* nothing is to run */
    bool partial;          /* interrupted while it was measured */
};

static bool is_given(const struct roof_pair *roof)
{
    return !isnan(roof->given);
}

static void measure(struct batch *b, const struct scheme *schemes, size_t prompt, bool run,
                    struct row *row)
{
    struct speed speed;
    struct session *s = &b->session;
    struct speed_plan plan = {.model = s->model, .pool = s->pool, .context = s->context,
                              .start = session_start(s), .prompt_tokens = prompt,
                              .decode_tokens = DECODE_TOKENS, .samples = SAMPLES, .batch = 1,
                              .cancelled = s->cancelled, .cancelled_arg = s->progress_arg};
    row->measured = (struct stats){NAN, NAN, NAN};
    row->partial = false;
    if (!run || row->computed) {
        error_set(&row->reason, run ? NOT_MEASURED : "not run (--no-run)");
        return;
    }
    if (!memory_check("this scheme", row->totals.size, &row->reason))
        return;
    struct weights *w = batch_weights(b, schemes, &row->reason);
    bool ok = w && speed_measure(w, &plan, NULL, &speed, &row->reason);
    row->partial = session_cancelled(s) && !(ok && speed.samples == SAMPLES);
    if (row->partial)
        error_set(&row->reason, "interrupted");
    else if (ok) {
        row->measured = speed.decode;
        row->samples = speed.samples;
    }
    weights_unref(w);
}

/* The schemes of the whole model with one for its linear layers, or with a mix; the caller frees. */
static struct scheme *schemes_of(const struct batch *b, const char *text, char name[SCHEME_TEXT], struct error *error)
{
    const struct session *s = &b->session;
    struct scheme_choice choice;
    struct scheme *schemes = session_schemes(s, error);
    if (!schemes || !scheme_choice_parse(text, &choice, error) || !schemes_choose(s->model, &choice, schemes, error)) {
        free(schemes);
        return NULL;
    }
    scheme_choice_print(&choice, name);
    schemes[kv_index(s->model)] = b->schemes[kv_index(s->model)]; /* --kv */
    return schemes;
}

static bool plan_row(struct batch *b, const struct scheme *schemes, size_t position, const struct roof_pair *roof,
                     bool run, struct row *row, struct error *error)
{
    if (!schemes_totals(b->session.model, schemes, position, &row->totals))
        return error_set(error, "%s: the size overflows", row->scheme);
    size_t bytes = row->totals.bytes_per_token;
    row->here = roof_tokens_per_second(roof->here, bytes);
    row->predicted = is_given(roof) ? roof_tokens_per_second(roof->given, bytes) : row->here;
    measure(b, schemes, position, run, row);
    return true;
}

/* The earlier row that makes the same model; null: none does. */
static struct row *find_same(const struct model *m, struct row *rows, struct scheme *const *schemes, size_t count,
                             const struct scheme *one)
{
    for (size_t i = 0; i < count; i++)
        if (schemes_same(m, schemes[i], one))
            return &rows[i];
    return NULL;
}

static void report_json(const struct row *r, const struct roof_pair *roof, const struct options *o, bool first)
{
    json_t *j = json_object();
    bool given = is_given(roof);
    const char *unknown = isnan(roof->here) ? roof->here_reason.text : NULL;
    json_object_set_new(j, "scheme", json_string(r->scheme));
    json_add(j, "size_bytes", (double)r->totals.size, NULL);
    json_add(j, "bits_per_weight", r->totals.bits_per_weight, NULL);
    json_add(j, "bits_per_weight_all", r->totals.bits_per_weight_all, NULL);
    json_add(j, "bytes_per_token", (double)r->totals.bytes_per_token, NULL);
    json_object_set_new(j, "roof", json_string(!given        ? "here"
                                               : roof->known ? roof->known->name
                                                             : "given"));
    json_add(j, "roof_bytes_per_second", given ? roof->given : roof->here, given ? NULL : unknown);
    json_add(j, "predicted_tokens_per_second", r->predicted, given ? NULL : unknown);
    json_add(j, "here_bytes_per_second", roof->here, unknown);
    json_object_set_new(j, "here_disturbed",
                        unknown ? json_null() : json_boolean(r->exceeds || roof_was_disturbed(&roof->sweeps)));
    if (unknown)
        json_object_set_new(j, "here_disturbed_reason", json_string(unknown));
    json_add(j, "here_predicted_tokens_per_second", r->here, unknown);
    const char *why = isnan(r->measured.median) ? r->reason.text : NULL;
    json_add(j, "measured_tokens_per_second", r->measured.median, why);
    json_add(j, "measured_tokens_per_second_min", r->measured.min, why);
    json_add(j, "measured_tokens_per_second_max", r->measured.max, why);
    json_add(j, "measured_samples", (double)r->samples, NULL);
    json_t *same = json_array();
    for (size_t i = 0; i < r->same_count; i++)
        json_array_append_new(same, json_string(r->same[i]));
    json_object_set_new(j, "same_as", same);
    json_object_set_new(j, "partial", json_boolean(r->partial));
    print_record(j, o, first);
}

static const char *rate_text(char out[32], double rate)
{
    if (isnan(rate))
        snprintf(out, 32, "n/a");
    else
        snprintf(out, 32, rate < 10 ? "%.2f" : "%.1f", rate);
    return out;
}

/* The median with the range of the samples. */
static const char *measured_text(char out[128], const struct row *r)
{
    char median[32], min[32], max[32];
    if (isnan(r->measured.median))
        return "n/a";
    snprintf(out, 128, "%s (%s-%s)%s", rate_text(median, r->measured.median), rate_text(min, r->measured.min),
             rate_text(max, r->measured.max), r->exceeds ? "?" : "");
    return out;
}

static void report_text(const struct row *r, const struct roof_pair *roof)
{
    char size[16], bytes[16], predicted[32], here[32], measured[128];
    printf("%-14s %8s %7.3f %6.3f %12s %12s", r->scheme, format_bytes(size, (double)r->totals.size),
           r->totals.bits_per_weight, r->totals.bits_per_weight_all, format_bytes(bytes, (double)r->totals.bytes_per_token),
           rate_text(predicted, r->predicted));
    if (is_given(roof))
        printf(" %12s", rate_text(here, r->here));
    printf(" %24s", measured_text(measured, r));
    for (size_t i = 0; i < r->same_count; i++)
        printf("%s%s", i ? ", " : "  same as ", r->same[i]);
    putchar('\n');
}

static void print_head(const struct roof_pair *roof, size_t position)
{
    if (is_given(roof))
        printf("roof %.2f GB/s (%s, not measured)\n", roof->given / 1e9,
               roof->known ? roof->known->description : "given");
    if (isnan(roof->here))
        printf("roof here n/a: %s\n", roof->here_reason.text);
    else
        printf("roof here %.2f GB/s (measured, %.2f to %.2f in %zu sweeps%s)\n", roof->here / 1e9,
               roof->sweeps.rate.min / 1e9, roof->sweeps.rate.max / 1e9, roof->sweeps.samples,
               roof_was_disturbed(&roof->sweeps) ? "; the machine was busy: too low perhaps" : "");
    printf("predicted = roof / bytes per token, at position %zu\n", position);
    printf("%-14s %8s %7s %6s %12s %12s%s %24s\n", "SCHEME", "SIZE", "BITS", "ALL", "BYTES/TOKEN", "PREDICTED/s",
           is_given(roof) ? "       HERE/s" : "", "MEASURED/s (MIN-MAX)");
}

static struct roof sweep(const struct bandwidth_probe *probe)
{
    double sweeps[SWEEPS];
    for (size_t i = 0; i < SWEEPS; i++)
        sweeps[i] = bandwidth_sweep(probe);
    return (struct roof){stats_of(sweeps, SWEEPS), SWEEPS};
}

/* The median of some sweeps, which are made again where other work disturbed them; a simulated topology does not say
 * which caches they must exceed. */
static void measure_here(struct batch *b, struct roof_pair *roof)
{
    struct bandwidth_probe probe;
    roof->here = NAN;
    if (topology_simulated()) {
        error_set(&roof->here_reason, "not measured: the topology is simulated");
        return;
    }
    if (!bandwidth_open(&probe, b->session.pool, &roof->here_reason))
        return;
    for (int i = 0; i < ROOF_TRIES && (i == 0 || roof_was_disturbed(&roof->sweeps)); i++) {
        struct roof now = sweep(&probe);
        if (i == 0 || roof_is_better(&now, &roof->sweeps))
            roof->sweeps = now;
    }
    bandwidth_close(&probe);
    roof->here = roof->sweeps.rate.median;
}

/* ---- all schemes ------------------------------------------------------------------------------- */

/* The rows of a plan, each with the schemes of the whole model. */
struct plan {
    struct row rows[ROWS];
    struct scheme *schemes[ROWS];
    size_t count;
};

/* Adds a row, or the name to that of the row that makes the same model. */
static void add_row(const struct batch *b, struct plan *p, struct scheme *schemes, const char *name, bool computed)
{
    struct row *same = find_same(b->session.model, p->rows, p->schemes, p->count, schemes);
    if (same && same->same_count < SAME)
        snprintf(same->same[same->same_count++], sizeof *same->same, "%.31s", name);
    if (same || p->count == ROWS) {
        free(schemes);
        return;
    }
    struct row *row = &p->rows[p->count];
    p->schemes[p->count++] = schemes;
    snprintf(row->scheme, sizeof row->scheme, "%s", name);
    row->computed = computed;
}

/* What the model cannot have, or cannot be made, has no row. */
static void offer(const struct batch *b, struct plan *p, const char *text, bool computed)
{
    char name[SCHEME_TEXT];
    struct error why;
    struct scheme *schemes = schemes_of(b, text, name, &why);
    if (schemes)
        add_row(b, p, schemes, name, computed);
}

/* A row for every common scheme, block type and mix that makes another model than those before. */
static bool find_rows(const struct batch *b, struct plan *p, struct error *error)
{
    char name[SCHEME_TEXT];
    for (size_t i = 0; i < COMMON; i++) {
        struct scheme *schemes = schemes_of(b, common[i], name, error);
        if (!schemes)
            return false;
        add_row(b, p, schemes, name, false);
        if (i == 0)
            offer(b, p, "stored/int8", false); /* if anything is stored in blocks */
    }
    for (int t = DTYPE_COUNT; t < DTYPE_ALL; t++)
        if (can_encode((enum dtype)t))
            offer(b, p, dtypes[t].name, true);
    for (size_t i = 0; mix_at(i); i++) {
        snprintf(name, sizeof name, "@%s", mix_name(mix_at(i)));
        offer(b, p, name, true);
    }
    return true;
}

/* Faster than the roof allows, though memory must be read: the roof was measured too low. */
static bool exceeds(const struct row *r)
{
    return r->totals.bytes_per_token >= topology()->last_level_cache && !isnan(r->here) &&
           r->measured.median > ROOF_EXCEEDED * r->here;
}

/* Whether a row exceeds the roof, which is then measured again. */
static void judge(struct batch *b, struct row *row, struct roof_pair *roof)
{
    struct roof_pair again = {.given = roof->given, .known = roof->known};
    row->exceeds = exceeds(row);
    if (!row->exceeds)
        return;
    measure_here(b, &again);
    if (isnan(again.here) || again.here <= roof->here)
        return;
    *roof = again;
    row->here = roof_tokens_per_second(roof->here, row->totals.bytes_per_token);
    row->predicted = is_given(roof) ? row->predicted : row->here;
    row->exceeds = exceeds(row);
}

/* Every row, a line each, as soon as it is measured. */
static bool report_rows(struct batch *b, const struct options *o, struct plan *p, struct roof_pair *roof,
                        struct error *error)
{
    size_t position = o->prompt_tokens ? (size_t)o->prompt_tokens : 64;
    bool in_cache = false, exceeded = false;
    char cache[16];
    if (!wants_records(o))
        print_head(roof, position);
    size_t done = 0;
    for (size_t i = 0; i < p->count && !session_cancelled(&b->session); i++) {
        struct row *row = &p->rows[i];
        if (!plan_row(b, p->schemes[i], position, roof, !o->no_run, row, error))
            return false;
        judge(b, row, roof);
        if (wants_records(o))
            report_json(row, roof, o, i == 0);
        else
            report_text(row, roof);
        done += !row->partial;
        in_cache |= row->totals.bytes_per_token < topology()->last_level_cache;
        exceeded |= row->exceeds;
    }
    if (done < p->count && !wants_records(o))
        printf("partial     interrupted after %zu of %zu schemes\n", done, p->count);
    if (in_cache && !wants_records(o))
        printf("What fits in the last-level cache (%s here) does not read memory: measured may exceed "
               "predicted.\n", format_bytes(cache, (double)topology()->last_level_cache));
    if (!o->no_run && !wants_records(o) && done == p->count)
        printf("Block types and mixes (of all layers) are computed: qtop bench -s q4_k_m measures one.\n");
    if (exceeded && !wants_records(o))
        printf("? faster than the roof of this machine allows: the machine was busy when the roof was measured.\n");
    return true;
}

static bool report_all(struct batch *b, const struct options *o, struct roof_pair *roof, struct error *error)
{
    struct plan *p = calloc(1, sizeof *p);
    bool ok = p || error_set(error, "not enough memory");
    ok = ok && find_rows(b, p, error) && report_rows(b, o, p, roof, error);
    for (size_t i = 0; p && i < p->count; i++)
        free(p->schemes[i]);
    free(p);
    return ok;
}

int run_plan(const struct options *o)
{
    struct batch batch;
    struct error error;
    struct roof_pair roof = {.given = NAN};
    int status;
    if (o->roof && !roof_parse(o->roof, &roof.given, &roof.known, &error))
        return complain(&error, EXIT_USAGE);
    if (!batch_open(&batch, o, &status, &error))
        return complain(&error, status);
    interrupt_catch(&batch.session);
    measure_here(&batch, &roof);
    bool ok = report_all(&batch, o, &roof, &error);
    batch_close(&batch);
    interrupt_release();
    return ok ? EXIT_DONE : complain(&error, EXIT_FAILED);
}
