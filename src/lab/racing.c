/* All snapshots timed in interleaved rounds, so that whatever else the machine does meanwhile meets all alike. */
#include "internal.h"

#include "base/clock.h"

#include <stdlib.h>

enum { RACE_POSITIONS = 32 };
static const double RACE_SECONDS = 0.02; /* of decoding in a sample, at least */

struct racer {
    struct weights *set;
    struct context *context; /* of the job, one a KV datatype: copies of one would differ in where they lie */
    size_t snapshot;
};

struct race_job {
    struct racer racers[SNAPSHOTS];
    struct context *contexts[DTYPE_COUNT]; /* by the KV datatype; null where no racer has it */
    size_t count, round, next; /* next: of the round, in its order */
    size_t steps;              /* of a sample */
    float *logits;
};

static void end(struct lab *lab)
{
    struct race_job *r = lab->race;
    for (size_t i = 0; r && i < r->count; i++)
        weights_unref(r->racers[i].set);
    for (size_t i = 0; r && i < DTYPE_COUNT; i++)
        context_close(r->contexts[i]);
    if (r)
        free(r->logits);
    free(r);
    lab->race = NULL;
}

void racing_end(struct lab *lab)
{
    end(lab);
}

/* The set of a snapshot, as far as its matrices are cached or stored; null where one has to be made. */
static struct weights *set_of(struct lab *lab, const struct snapshot *s)
{
    struct weights *set = weights_ref(lab->session->stored);
    for (int t = 0; set && t < (int)set->count; t++) {
        const struct scheme *wanted = &s->schemes->of[t];
        if (wanted->format.stored)
            continue;
        struct qtensor *p = qtensor_has_scheme(lab->set->layer[t], wanted)
                               ? qtensor_ref(lab->set->layer[t])
                               : cache_find(&lab->cache, t, wanted);
        struct weights *next = p ? weights_replace(set, p) : NULL;
        qtensor_unref(p);
        weights_unref(set);
        set = next;
    }
    return weights_take_kv(set, s->schemes->of[kv_index(lab->session->model)].format.weight);
}

static bool add_racer(struct lab *lab, size_t snapshot)
{
    struct session *s = lab->session;
    struct error error;
    struct weights *set = set_of(lab, &lab->snapshots[snapshot]);
    size_t positions = s->context < RACE_POSITIONS ? s->context : RACE_POSITIONS;
    if (!set || weights_absent_bytes(s->model, set) > 0) {
        weights_unref(set);
        return false;
    }
    struct context **context = &lab->race->contexts[set->kv];
    if (!*context)
        *context = context_open_kv(s->model, s->pool, set->kv, positions, &error);
    if (!*context) {
        weights_unref(set);
        return false;
    }
    lab->race->racers[lab->race->count++] = (struct racer){set, *context, snapshot};
    return true;
}

void racing_ask(struct lab *lab)
{
    if (lab->race) {
        end(lab);
        lab_say(lab, false, "stopped: the rounds so far stay");
        return;
    }
    size_t left_out = 0;
    lab->race = calloc(1, sizeof *lab->race);
    if (lab->race)
        lab->race->logits = malloc(lab->session->model->hyper.vocab * sizeof(float));
    if (!lab->race || !lab->race->logits) {
        end(lab);
        lab_say(lab, true, "not enough memory");
        return;
    }
    for (size_t i = 0; i < lab->snapshot_count; i++) {
        lab->snapshots[i].race.rounds = 0;
        left_out += !add_racer(lab, i);
    }
    if (lab->race->count < 2) {
        end(lab);
        lab_say(lab, true, "two snapshots are needed whose matrices are at hand: s keeps one, Enter makes one again");
    } else if (left_out > 0) {
        lab_say(lab, false, "%zu snapshots take no part: their matrices would have to be made again", left_out);
    } else {
        lab_say(lab, false, "timing %zu snapshots in rounds", lab->race->count);
    }
}

/* Decode steps at the same few positions; a first one warms up. Returns tokens/s. */
static double time_racer(struct lab *lab, struct racer *r, size_t steps)
{
    int32_t token = session_start(lab->session);
    r->context->length = 0;
    context_run(r->context, r->set, &token, 1, LOGITS_LAST, lab->race->logits);
    double begin = clock_seconds();
    for (size_t i = 0; i < steps; i++) {
        if (r->context->length == r->context->capacity)
            r->context->length = 1;
        context_run(r->context, r->set, &token, 1, LOGITS_LAST, lab->race->logits);
    }
    return (double)steps / (clock_seconds() - begin);
}

/* What all reached in the same rounds compares better than what each did while it was in use. */
static void take_medians(struct lab *lab)
{
    for (size_t i = 0; i < lab->race->count; i++) {
        struct snapshot *s = &lab->snapshots[lab->race->racers[i].snapshot];
        double rates[RACE_ROUNDS];
        memcpy(rates, s->race.rate, sizeof rates);
        s->decode = metric_value(stats_of(rates, RACE_ROUNDS).median);
    }
}

/* One sample of one snapshot a slice; each round begins with another snapshot. */
bool racing_slice(struct lab *lab, double seconds)
{
    struct race_job *r = lab->race;
    (void)seconds;
    if (!r)
        return false;
    if (r->steps == 0) {
        double rate = time_racer(lab, &r->racers[0], 1);
        r->steps = (size_t)(RACE_SECONDS * rate) + 1;
        return true;
    }
    size_t at = (r->round + r->next) % r->count;
    struct race *race = &lab->snapshots[r->racers[at].snapshot].race;
    race->rate[r->round] = time_racer(lab, &r->racers[at], r->steps);
    race->rounds = r->round + 1;
    jobs_show(lab, "timing snapshots in rounds", (double)r->round / RACE_ROUNDS);
    if (++r->next < r->count)
        return true;
    r->next = 0;
    if (++r->round < RACE_ROUNDS)
        return true;
    take_medians(lab);
    end(lab);
    lab_say(lab, false, "timed in %d rounds", RACE_ROUNDS);
    return true;
}
