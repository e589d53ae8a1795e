/* qtop bench: how fast, what share of the read roof, and how schemes compare. */
#include "bench_report.h"

#include "base/clock.h"
#include "interrupt.h"
#include "measure/roofs.h"

#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 9, MAX_ROUNDS = 61 };
static const double REPEAT_SECONDS = 10; /* a measurement that took longer is not repeated */
static const double SAMPLE_SECONDS = 0.02; /* at least, of decoding and of prefilling: shorter ones drown in noise */

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

static bool measure(const struct batch *b, const struct options *o, const struct bench_point *at, struct comparison *c,
                    struct error *error)
{
    struct bandwidth_probe probe = {0};
    const struct weights *sets[MAX_COMPARED];
    struct speed_plan plan = {.model = b->session.model,
                              .pool = b->session.pool,
                              .context = b->session.context,
                              .start = session_start(&b->session),
                              .depth = at->depth,
                              .prompt_tokens = at->prompt,
                              .decode_tokens = at->generated,
                              .samples = ROUNDS,
                              .max_samples = c->count > 1 ? MAX_ROUNDS : 0,
                              .batch = o->batch ? (size_t)o->batch : 1,
                              .decode_at_depth = o->format != NULL,
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

/* ---- the grid of lengths --------------------------------------------------------------------- */

static long length_at(const struct lengths *l, size_t at, long otherwise)
{
    return l->count == 0 ? otherwise : l->values[at < l->count ? at : l->count - 1];
}

static size_t count_of(const struct lengths *l)
{
    return l->count > 0 ? l->count : 1;
}

/* At each depth each prompt and each number of generated tokens once, side by side: the last of the fewer repeats. */
static struct bench_point point_of(const struct options *o, size_t number)
{
    size_t prompts = count_of(&o->prompts), generated = count_of(&o->generated);
    size_t row = prompts > generated ? prompts : generated, at = number % row;
    return (struct bench_point){.depth = (size_t)length_at(&o->depths, number / row, 0),
                                .prompt = (size_t)length_at(&o->prompts, at, 64),
                                .generated = (size_t)length_at(&o->generated, at, 32),
                                .number = number,
                                .count = count_of(&o->depths) * row,
                                .new_prompt = at < prompts,
                                .new_generated = at < generated};
}

/* Positions that the deepest point needs; 0: none says how deep it is, and the context cuts what is too long. */
static size_t deepest(const struct options *o)
{
    size_t most = 0, count = point_of(o, 0).count;
    for (size_t i = 0; i < count; i++) {
        struct bench_point p = point_of(o, i);
        size_t n = p.depth > 0 ? p.depth + p.prompt + p.generated : 0;
        most = n > most ? n : most;
    }
    return most;
}

/* Every point, each said once it is measured; false with an error. */
static bool measure_all(const struct batch *b, const struct options *o, struct comparison *c, struct error *error)
{
    struct bench_point at = point_of(o, 0);
    for (size_t i = 0; i < at.count && !session_cancelled(&b->session); i++) {
        at = point_of(o, i);
        if (!measure(b, o, &at, c, error))
            return false;
        if (c->speed[0].samples == 0)
            note(NOTHING_FINISHED);
        else if (o->format)
            bench_report_llama(b, c, &at, o);
        else
            bench_report(b, c, &at, o);
    }
    return true;
}

static bool check_format(const struct options *o, struct error *error)
{
    if (!o->format)
        return true;
    if (strcmp(o->format, "llama-bench") != 0)
        return error_set(error, "--format %.40s: expected llama-bench", o->format);
    return !wants_records(o) || error_set(error, "--format llama-bench and --%s: expected one of them", o->json ? "json" : "csv");
}

int run_bench(const struct options *o)
{
    struct batch batch;
    struct error error;
    struct comparison *comparison = calloc(1, sizeof *comparison);
    struct options plain = *o;
    int status;
    plain.positions = (long)deepest(o);
    if (o->candidate_count > 1) /* each is applied for itself */
        plain.scheme = plain.recipe = NULL;
    if (!comparison) {
        error_set(&error, "not enough memory");
        return complain(&error, EXIT_FAILED);
    }
    if (!check_candidates(o, &error) || !check_format(o, &error)) {
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
              (comparison->uses_imatrix || batch_unused_imatrix(&batch, &error)) &&
              measure_all(&batch, o, comparison, &error);
    for (size_t i = 0; i < comparison->count; i++)
        weights_unref(comparison->sets[i]);
    free(comparison);
    batch_close(&batch);
    interrupt_release();
    return ok ? EXIT_DONE : complain(&error, EXIT_FAILED);
}
