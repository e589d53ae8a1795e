/* qtop plan: the size and speed table. Predicted tokens/s = read bandwidth / bytes per token. */
#include "batch.h"

#include "../src/engine/memory.h"
#include "../src/measure/speed.h"
#include "../src/measure/topology.h"
#include "../src/quant/recipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const usual[] = {"stored", "fp32", "fp16",  "bf16",     "fp8",        "fp8/fp8",
                                    "int8",   "w8a8", "w8a16", "int4:g32", "int4:channel", "w4a16",
                                    "w4a8"};
enum { USUAL = sizeof usual / sizeof *usual, DECODE_TOKENS = 16, SAMPLES = 3 };

struct row {
    char scheme[SCHEME_TEXT];
    struct scheme_totals totals;
    double predicted;      /* tokens per second */
    double measured;       /* NaN with a reason when it did not run */
    struct error reason;
};

/* "2TB/s", "68.5 GB/s": bytes per second. */
static bool parse_roof(const char *text, double *rate, struct error *error)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = {{"TB/s", 1e12}, {"GB/s", 1e9}, {"MB/s", 1e6}, {"B/s", 1}};
    char *end;
    double v = strtod(text, &end);
    while (*end == ' ')
        end++;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (end != text && v > 0 && v <= 1e9 && strcmp(end, units[i].unit) == 0) {
            *rate = v * units[i].factor;
            return true;
        }
    return error_set(error, "--roof '%.32s': expected a rate such as 2TB/s or 68GB/s", text);
}

static void measure(const struct batch *b, const struct scheme *schemes, size_t prompt,
                    struct row *row)
{
    struct speed speed;
    struct speed_plan plan = {prompt, DECODE_TOKENS, SAMPLES, 1};
    row->measured = NAN;
    if (!memory_check("this scheme", row->totals.size, &row->reason))
        return;
    struct weights *w = session_weights(&b->session, schemes, &row->reason);
    if (w && speed_measure(&b->session, w, &plan, NULL, &speed, &row->reason))
        row->measured = speed.decode.median;
    weights_unref(w);
}

static bool plan_scheme(const struct batch *b, const char *text, size_t position, double roof,
                        struct row *row, struct error *error)
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
        row->predicted = roof / (double)row->totals.bytes_per_token;
        measure(b, schemes, position, row);
    }
    free(schemes);
    return ok;
}

static void report_json(const struct row *r, double roof)
{
    json_t *j = json_object();
    json_object_set_new(j, "scheme", json_string(r->scheme));
    json_add(j, "size_bytes", (double)r->totals.size, NULL);
    json_add(j, "bits_per_weight", r->totals.bits_per_weight, NULL);
    json_add(j, "bytes_per_token", (double)r->totals.bytes_per_token, NULL);
    json_add(j, "roof_bytes_per_second", roof, NULL);
    json_add(j, "predicted_tokens_per_second", r->predicted, NULL);
    json_add(j, "measured_tokens_per_second", r->measured,
             isnan(r->measured) ? r->reason.text : NULL);
    print_json(j);
}

static void report_text(const struct row *r, double roof)
{
    char size[16], bytes[16], measured[32] = "n/a";
    (void)roof;
    if (!isnan(r->measured))
        snprintf(measured, sizeof measured, "%.1f", r->measured);
    printf("%-14s %8s %7.3f %12s %12.1f %12s\n", r->scheme,
           format_bytes(size, (double)r->totals.size), r->totals.bits_per_weight,
           format_bytes(bytes, (double)r->totals.bytes_per_token), r->predicted, measured);
}

static bool find_roof(const struct batch *b, const struct options *o, double *roof,
                      struct error *error)
{
    struct bandwidth_probe probe;
    double sweeps[7];
    if (o->roof)
        return parse_roof(o->roof, roof, error);
    if (!bandwidth_open(&probe, b->session.pool, error))
        return false;
    for (size_t i = 0; i < 7; i++)
        sweeps[i] = bandwidth_sweep(&probe);
    bandwidth_close(&probe);
    *roof = spread_of(sweeps, 7).median;
    return true;
}

int run_plan(const struct options *o)
{
    struct batch batch;
    struct error error;
    int status;
    double roof;
    char cache[16];
    if (o->roof && !parse_roof(o->roof, &roof, &error))
        return complain(&error, EXIT_USAGE);
    if (!batch_open(&batch, o, &status, &error))
        return complain(&error, status);
    size_t position = o->prompt_tokens ? (size_t)o->prompt_tokens : 64;
    bool ok = find_roof(&batch, o, &roof, &error);
    if (ok && !o->json) {
        printf("roof %.2f GB/s (%s); predicted = roof / bytes per token, at position %zu\n",
               roof / 1e9, o->roof ? "given" : "measured here", position);
        printf("%-14s %8s %7s %12s %12s %12s\n", "SCHEME", "SIZE", "BITS", "BYTES/TOKEN",
               "PREDICTED/s", "MEASURED/s");
    }
    bool in_cache = false;
    for (size_t i = 0; ok && i < USUAL; i++) {
        struct row row;
        ok = plan_scheme(&batch, usual[i], position, roof, &row, &error);
        if (ok)
            (o->json ? report_json : report_text)(&row, roof);
        in_cache |= ok && row.totals.bytes_per_token < topology()->last_level_cache;
    }
    if (ok && in_cache && !o->json)
        printf("What fits in the last-level cache (%s) does not read memory: measured may exceed "
               "predicted.\n", format_bytes(cache, (double)topology()->last_level_cache));
    batch_close(&batch);
    return ok ? EXIT_DONE : complain(&error, EXIT_FAILED);
}
