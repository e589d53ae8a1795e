/* qtop plan: the size and speed table. Predicted tokens/s = read bandwidth / bytes per token. */
#include "batch.h"

#include "interrupt.h"
#include "sys/memory.h"
#include "measure/known_roofs.h"
#include "measure/speed.h"
#include "sys/topology.h"
#include "quant/recipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const common[] = {"stored", "fp32", "fp16",  "bf16",     "fp8",        "fp8/fp8",
                                    "int8",   "w8a8", "w8a16", "int4:g32", "int4:channel", "w4a16",
                                    "w4a8"};
enum { COMMON = sizeof common / sizeof *common, DECODE_TOKENS = 16, SAMPLES = 3 };

/* What predictions are made from, in bytes a second. */
struct roof_pair {
    double given;                   /* by --roof; NaN without it */
    const struct known_roof *known; /* where that was a name */
    double here;                    /* median of sweeps on this machine; NaN with a reason */
    struct error here_reason;
};

struct row {
    char scheme[SCHEME_TEXT];
    struct weights_totals totals;
    double predicted;      /* tokens per second, from --roof, else from this machine's roof */
    double here;           /* from this machine's roof */
    double measured;       /* NaN with a reason when it did not run */
    struct error reason;
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
    row->measured = NAN;
    row->partial = false;
    if (!run) {
        error_set(&row->reason, "not run (--no-run)");
        return;
    }
    if (!memory_check("this scheme", row->totals.size, &row->reason))
        return;
    struct weights *w = session_weights(&b->session, schemes, &row->reason);
    bool ok = w && speed_measure(w, &plan, NULL, &speed, &row->reason);
    row->partial = session_cancelled(s) && !(ok && speed.samples == SAMPLES);
    if (row->partial)
        error_set(&row->reason, "interrupted");
    else if (ok)
        row->measured = speed.decode.median;
    weights_unref(w);
}

static bool plan_scheme(struct batch *b, const char *text, size_t position,
                        const struct roof_pair *roof, bool run, struct row *row, struct error *error)
{
    const struct session *s = &b->session;
    struct scheme scheme;
    struct scheme *schemes = session_schemes(s, error);
    bool ok = schemes && scheme_parse(text, &scheme, error);
    if (ok) {
        scheme_print(&scheme, row->scheme);
        schemes_set_linear(s->model, scheme, schemes);
        schemes[kv_index(s->model)] = b->schemes[kv_index(s->model)]; /* --kv */
        ok = schemes_totals(s->model, schemes, position, &row->totals) ||
             error_set(error, "%s: the size overflows", text);
    }
    if (ok) {
        size_t bytes = row->totals.bytes_per_token;
        row->here = roof_tokens_per_second(roof->here, bytes);
        row->predicted = is_given(roof) ? roof_tokens_per_second(roof->given, bytes) : row->here;
        measure(b, schemes, position, run, row);
    }
    free(schemes);
    return ok;
}

static void report_json(const struct row *r, const struct roof_pair *roof, const struct options *o, bool first)
{
    json_t *j = json_object();
    bool given = is_given(roof);
    const char *unknown = isnan(roof->here) ? roof->here_reason.text : NULL;
    json_object_set_new(j, "scheme", json_string(r->scheme));
    json_add(j, "size_bytes", (double)r->totals.size, NULL);
    json_add(j, "bits_per_weight", r->totals.bits_per_weight, NULL);
    json_add(j, "bytes_per_token", (double)r->totals.bytes_per_token, NULL);
    json_object_set_new(j, "roof", json_string(!given        ? "here"
                                               : roof->known ? roof->known->name
                                                             : "given"));
    json_add(j, "roof_bytes_per_second", given ? roof->given : roof->here, given ? NULL : unknown);
    json_add(j, "predicted_tokens_per_second", r->predicted, given ? NULL : unknown);
    json_add(j, "here_bytes_per_second", roof->here, unknown);
    json_add(j, "here_predicted_tokens_per_second", r->here, unknown);
    json_add(j, "measured_tokens_per_second", r->measured,
             isnan(r->measured) ? r->reason.text : NULL);
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

static void report_text(const struct row *r, const struct roof_pair *roof)
{
    char size[16], bytes[16], predicted[32], here[32], measured[32];
    printf("%-14s %8s %7.3f %12s %12s", r->scheme, format_bytes(size, (double)r->totals.size),
           r->totals.bits_per_weight, format_bytes(bytes, (double)r->totals.bytes_per_token),
           rate_text(predicted, r->predicted));
    if (is_given(roof))
        printf(" %12s", rate_text(here, r->here));
    printf(" %12s\n", rate_text(measured, r->measured));
}

static void print_head(const struct roof_pair *roof, size_t position)
{
    if (is_given(roof))
        printf("roof %.2f GB/s (%s, not measured)\n", roof->given / 1e9,
               roof->known ? roof->known->description : "given");
    if (isnan(roof->here))
        printf("roof here n/a: %s\n", roof->here_reason.text);
    else
        printf("roof here %.2f GB/s (measured)\n", roof->here / 1e9);
    printf("predicted = roof / bytes per token, at position %zu\n", position);
    printf("%-14s %8s %7s %12s %12s%s %12s\n", "SCHEME", "SIZE", "BITS", "BYTES/TOKEN", "PREDICTED/s",
           is_given(roof) ? "       HERE/s" : "", "MEASURED/s");
}

/* The median of some sweeps; a simulated topology does not say which caches they must exceed. */
static void measure_here(struct batch *b, struct roof_pair *roof)
{
    struct bandwidth_probe probe;
    double sweeps[7];
    roof->here = NAN;
    if (topology_simulated()) {
        error_set(&roof->here_reason, "not measured: the topology is simulated");
        return;
    }
    if (!bandwidth_open(&probe, b->session.pool, &roof->here_reason))
        return;
    for (size_t i = 0; i < 7; i++)
        sweeps[i] = bandwidth_sweep(&probe);
    bandwidth_close(&probe);
    roof->here = stats_of(sweeps, 7).median;
}

/* Every common scheme, a line each. */
static bool report_all(struct batch *b, const struct options *o, const struct roof_pair *roof,
                       struct error *error)
{
    size_t position = o->prompt_tokens ? (size_t)o->prompt_tokens : 64;
    bool in_cache = false;
    char cache[16];
    if (!wants_records(o))
        print_head(roof, position);
    size_t done = 0;
    for (size_t i = 0; i < COMMON && !session_cancelled(&b->session); i++) {
        struct row row;
        if (!plan_scheme(b, common[i], position, roof, !o->no_run, &row, error))
            return false;
        if (wants_records(o))
            report_json(&row, roof, o, i == 0);
        else
            report_text(&row, roof);
        done += !row.partial;
        in_cache |= row.totals.bytes_per_token < topology()->last_level_cache;
    }
    if (done < COMMON && !wants_records(o))
        printf("partial: interrupted after %zu of %d schemes\n", done, COMMON);
    if (in_cache && !wants_records(o))
        printf("What fits in the last-level cache (%s here) does not read memory: measured may exceed "
               "predicted.\n", format_bytes(cache, (double)topology()->last_level_cache));
    return true;
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
