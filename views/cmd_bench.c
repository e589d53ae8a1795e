/* qtop bench: how fast, what share of the read roof, and how schemes compare. */
#include "batch.h"

#include "base/clock.h"
#include "interrupt.h"
#include "kernels/dispatch.h"
#include "measure/roofs.h"
#include "measure/speed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 9, MAX_ROUNDS = 61 };
static const double REPEAT_SECONDS = 10; /* a measurement that took longer is not repeated */
static const double SAMPLE_SECONDS = 0.02; /* at least, of decoding and of prefilling: shorter ones drown in noise */

/* What is compared: the first is what ratios are to. */
struct comparison {
    size_t count;
    char name[MAX_COMPARED][256];
    struct weights *sets[MAX_COMPARED];
    struct speed speed[MAX_COMPARED];
    bool uses_imatrix; /* any of the sets takes the importance matrix; or there is none */
    bool partial; /* interrupted: of fewer rounds than were planned */
};

/* ---- reports --------------------------------------------------------------------------------- */

static void add_ratio(json_t *j, const char *key, struct ratio r)
{
    char name[64];
    json_add(j, key, r.median, NULL);
    snprintf(name, sizeof name, "%s_low", key);
    json_add(j, name, r.low, NULL);
    snprintf(name, sizeof name, "%s_high", key);
    json_add(j, name, r.high, NULL);
}

static void report_json(const struct batch *b, const struct comparison *c, size_t at, const struct options *o)
{
    const struct speed *s = &c->speed[at];
    json_t *j = json_object();
    json_object_set_new(j, "scheme", json_text(c->name[at]));
    json_add(j, "threads", pool_threads(b->session.pool), NULL);
    json_object_set_new(j, "isa", json_string(isa_current()->name));
    json_object_set_new(j, "kv", json_string(dtypes[c->sets[at]->kv].name));
    json_add(j, "batch", (double)s->batch, NULL);
    json_add(j, "depth", (double)o->depth, NULL);
    json_add(j, "decode_tokens_per_second", s->decode.median, NULL);
    json_add(j, "prefill_tokens_per_second", s->prefill.median, NULL);
    json_add(j, "bytes_per_token", (double)s->bytes_per_token, NULL);
    json_add(j, "bandwidth_bytes_per_second", s->bandwidth, NULL);
    json_add(j, "peak_read_bytes_per_second", s->peak_read.median, NULL);
    json_object_set_new(j, "peak_read_disturbed", json_boolean(s->roof_disturbed));
    json_add(j, "bandwidth_fraction", s->fraction.median, s->fraction_reason);
    json_add(j, "samples", (double)s->samples, NULL);
    json_object_set_new(j, "partial", json_boolean(c->partial));
    if (c->count > 1) {
        json_object_set_new(j, "vs", json_text(c->name[0]));
        add_ratio(j, "decode_ratio", s->decode_ratio);
        add_ratio(j, "prefill_ratio", s->prefill_ratio);
    }
    print_record(j, o, at == 0);
}

static void report_one(const struct batch *b, const struct comparison *c, const struct options *o)
{
    const struct speed *s = &c->speed[0];
    int threads = pool_threads(b->session.pool);
    char bytes[16];
    printf("scheme     %s, KV cache %s, %d thread%s, kernels '%s', median of %zu samples\n",
           c->name[0], dtypes[c->sets[0]->kv].name, threads, threads == 1 ? "" : "s", isa_current()->name, s->samples);
    if (o->depth > 0)
        printf("depth      %ld positions in the cache before\n", o->depth);
    printf("decode     %.1f tokens/s (%.1f to %.1f)", s->decode.median, s->decode.min,
           s->decode.max);
    if (s->batch > 1)
        printf(", %zu sequences together", s->batch);
    putchar('\n');
    printf("prefill    %.1f tokens/s (%.1f to %.1f)\n", s->prefill.median, s->prefill.min,
           s->prefill.max);
    printf("bytes      %s a token\n", format_bytes(bytes, (double)s->bytes_per_token));
    printf("bandwidth  %.2f GB/s computed; peak read %.2f GB/s (%.2f to %.2f)\n",
           s->bandwidth / 1e9, s->peak_read.median / 1e9, s->peak_read.min / 1e9,
           s->peak_read.max / 1e9);
    if (s->roof_disturbed)
        printf("           the machine was busy when that was measured: it may be too low\n");
    if (s->fraction_reason)
        printf("fraction   n/a: %s\n", s->fraction_reason);
    else
        printf("fraction   %.3f%s of that (%.3f to %.3f)\n", s->fraction.median,
               s->roof_disturbed || s->fraction.median > 1 ? "?" : "", s->fraction.min, s->fraction.max);
}

static void report_all(const struct batch *b, const struct comparison *c, const struct options *o)
{
    int width = 6; /* of the title */
    int threads = pool_threads(b->session.pool);
    char bytes[16];
    for (size_t i = 0; i < c->count; i++)
        width = (int)strlen(c->name[i]) > width ? (int)strlen(c->name[i]) : width;
    printf("%d thread%s, kernels '%s', %zu interleaved rounds: medians of the speeds, and of each round's ratios to %s, "
           "with 95 %% intervals\n", threads, threads == 1 ? "" : "s", isa_current()->name, c->speed[0].samples, c->name[0]);
    if (o->depth > 0)
        printf("depth: %ld positions in the cache before\n", o->depth);
    printf("%-*s %10s %10s %8s %20s %20s\n", width, "SCHEME", "DECODE/s", "PREFILL/s", "BYTES", "DECODE RATIO",
           "PREFILL RATIO");
    for (size_t i = 0; i < c->count; i++) {
        const struct speed *s = &c->speed[i];
        printf("%-*s %10.1f %10.1f %8s  %5.3f (%5.3f-%5.3f)  %5.3f (%5.3f-%5.3f)\n", width, c->name[i],
               s->decode.median, s->prefill.median, format_bytes(bytes, (double)s->bytes_per_token),
               s->decode_ratio.median, s->decode_ratio.low, s->decode_ratio.high, s->prefill_ratio.median,
               s->prefill_ratio.low, s->prefill_ratio.high);
    }
}

/* ---- what is compared ------------------------------------------------------------------------ */

/* Adds the weight set of a scheme and a recipe (either may be null), after --kv, to the comparison. */
static bool add_set(struct batch *b, const struct options *o, const char *scheme, const char *recipe,
                    struct comparison *c, struct error *error)
{
    struct options one = *o;
    one.scheme = scheme;
    one.recipe = recipe;
    if (c->count == MAX_COMPARED)
        return error_set(error, "more than %d schemes to compare", MAX_COMPARED);
    struct scheme *schemes = session_schemes(&b->session, error);
    bool ok = schemes && apply_schemes(&one, b->session.model, schemes, error);
    if (ok) {
        scheme_words(&one, c->name[c->count]);
        c->uses_imatrix |= batch_uses_imatrix(b, schemes);
        ok = (c->sets[c->count] = batch_weights(b, schemes, error));
        c->count += ok;
    }
    free(schemes);
    return ok;
}

/* One -s and one -r are one set together, as for all commands; more of them are a set each. */
static bool add_sets(struct batch *b, const struct options *o, struct comparison *c, struct error *error)
{
    bool together = o->candidate_count < 2 ||
                    (o->candidate_count == 2 && o->scheme && o->recipe && !o->versus);
    if (o->versus && !add_set(b, o, o->versus, NULL, c, error))
        return false;
    if (together)
        return add_set(b, o, o->scheme, o->recipe, c, error);
    for (size_t i = 0; i < o->candidate_count; i++)
        if (!add_set(b, o, o->candidates[i].scheme, o->candidates[i].recipe, c, error))
            return false;
    return true;
}

/* Tokens and prompts of a sample that lasts, by how fast the first set is. */
static bool choose_length(const struct comparison *c, struct speed_plan *plan,
                          struct error *error)
{
    struct speed_plan quick = *plan;
    struct speed speed;
    quick.samples = 2;
    if (!speed_measure(c->sets[0], &quick, NULL, &speed, error))
        return false;
    if (speed.samples == 0) /* cancelled, as the measurement will be */
        return true;
    double tokens = SAMPLE_SECONDS * speed.decode.median;
    if (tokens > (double)plan->decode_tokens)
        plan->decode_tokens = (size_t)tokens;
    plan->prompts = (size_t)(SAMPLE_SECONDS * speed.prefill.median / (double)plan->prompt_tokens) + 1;
    return true;
}

/* A disturbed roof is measured again, unless that takes long; ratios of a comparison need none. */
static bool is_worth_repeating(const struct comparison *c, double begin)
{
    return c->count == 1 && c->speed[0].roof_disturbed && clock_seconds() - begin < REPEAT_SECONDS;
}

static bool measure(const struct batch *b, const struct options *o, struct comparison *c, struct error *error)
{
    struct bandwidth_probe probe = {0};
    const struct weights *sets[MAX_COMPARED];
    struct speed_plan plan = {.model = b->session.model,
                              .pool = b->session.pool,
                              .context = b->session.context,
                              .start = session_start(&b->session),
                              .depth = (size_t)o->depth,
                              .prompt_tokens = o->prompt_tokens ? (size_t)o->prompt_tokens : 64,
                              .decode_tokens = o->given_tokens ? (size_t)o->tokens : 32,
                              .samples = ROUNDS,
                              .max_samples = c->count > 1 ? MAX_ROUNDS : 0,
                              .batch = o->batch ? (size_t)o->batch : 1,
                              .cancelled = b->session.cancelled,
                              .cancelled_arg = b->session.progress_arg};
    for (size_t i = 0; i < c->count; i++)
        sets[i] = c->sets[i];
    double begin = clock_seconds();
    bool ok = c->count == 1 || o->given_tokens || choose_length(c, &plan, error);
    ok = ok && bandwidth_open(&probe, b->session.pool, error);
    for (int i = 0; ok && (i == 0 || (is_worth_repeating(c, begin) && i < ROOF_TRIES)); i++)
        ok = speed_compare(sets, c->count, &plan, &probe, c->speed, error);
    bandwidth_close(&probe);
    c->partial = session_cancelled(&b->session);
    return ok;
}

static void report(const struct batch *b, const struct comparison *c, const struct options *o)
{
    for (size_t i = 0; wants_records(o) && i < c->count; i++)
        report_json(b, c, i, o);
    if (wants_records(o))
        return;
    if (c->count > 1)
        report_all(b, c, o);
    else
        report_one(b, c, o);
    if (c->partial)
        printf("partial     interrupted after %zu rounds\n", c->speed[0].samples);
}

int run_bench(const struct options *o)
{
    struct batch batch;
    struct error error;
    struct comparison *comparison = calloc(1, sizeof *comparison);
    struct options plain = *o;
    int status;
    if (o->candidate_count > 1) /* each is applied for itself */
        plain.scheme = plain.recipe = NULL;
    if (!comparison) {
        error_set(&error, "not enough memory");
        return complain(&error, EXIT_FAILED);
    }
    if (!check_candidates(o, &error)) {
        free(comparison);
        return complain(&error, EXIT_USAGE);
    }
    if (!batch_open(&batch, &plain, &status, &error)) {
        free(comparison);
        return complain(&error, status);
    }
    pool_bind_caller(batch.session.pool);
    interrupt_catch(&batch.session);
    bool ok = add_sets(&batch, o, comparison, &error) &&
              (comparison->uses_imatrix || batch_unused_imatrix(&batch, &error)) && measure(&batch, o, comparison, &error);
    if (ok && comparison->speed[0].samples > 0)
        report(&batch, comparison, o);
    else if (session_cancelled(&batch.session))
        note(NOTHING_FINISHED);
    for (size_t i = 0; i < comparison->count; i++)
        weights_unref(comparison->sets[i]);
    free(comparison);
    batch_close(&batch);
    interrupt_release();
    return ok ? EXIT_DONE : complain(&error, EXIT_FAILED);
}
