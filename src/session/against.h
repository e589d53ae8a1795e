/* against.h - two model files side by side: the session's model (a) and another one (b, session->other_model), both as
 * their files hold them. What differs in metadata, tokenizer and weights; how far b's predictions are from a's, and
 * both from the reference's; and how fast both run. */
#ifndef QTOP_AGAINST_H
#define QTOP_AGAINST_H

#include "base/difference.h"
#include "base/job.h"
#include "base/metric.h"
#include "measure/quality.h"
#include "measure/speed.h"
#include "session.h"

#include <stdatomic.h>

/* What the files say, found once; immutable. */
struct against_facts {
    atomic_int refs;
    size_t bytes[2];               /* of all weights */
    size_t types, changed_bytes;   /* layers with another type; with another size */
    struct value_differences metadata, tokenizer;
    char metadata_reason[160], tokenizer_reason[160]; /* why they were not compared; "" where they were */
    size_t tokens;                 /* token ids that mean something else */
};

/* One layer. */
struct against_layer {
    enum dtype type[2];
    size_t bytes[2];
    struct metric sqnr_db; /* of b's weights against a's; +infinity: all are equal */
    float max_abs;         /* the largest difference */
};

/* Both timed one after the other, in rounds that begin with another one each. */
enum { AGAINST_ROUNDS = 15 };
struct against_speed {
    size_t rounds;
    size_t prompt; /* tokens of the prompt */
    double decode[2][AGAINST_ROUNDS], prefill[2][AGAINST_ROUNDS]; /* tokens/s */
};

struct against_figures {
    bool has_reference;                      /* another model, which both are measured against */
    size_t layers, equal;                    /* layers compared so far, and those among them whose weights are equal */
    struct pair_sums {
        double w2, e2;
    } linear;                                /* sums over the linear layers inside blocks, of those compared */
    struct quality_result from_a;            /* of b from a; scored 0: not yet */
    struct quality_result from_reference[2]; /* of a and b from the reference */
    struct against_speed speed;
};

/* What is done: bits. */
enum { AGAINST_FACTS = 1, AGAINST_WEIGHTS = 2, AGAINST_SPEED = 4, AGAINST_QUALITY = 8, AGAINST_ALL = 15 };

struct against_plan {
    const struct session *session;  /* with another model, outlives the job */
    unsigned what;                  /* AGAINST_ bits */
    struct quality_plan quality;    /* of AGAINST_QUALITY; the text in the tokens of a */
};

struct against;

/* Null with an error. The caller frees; the pool's caller steps. */
struct against *against_open(const struct against_plan *plan, struct error *error);
void against_close(struct against *against);
extern const struct job_class against_class;

/* So far. The facts (null: not yet) are the job's: a caller who keeps them takes a reference. */
const struct against_figures *against_figures(const struct against *against);
struct against_facts *against_facts(const struct against *against);
const struct against_layer *against_layers(const struct against *against); /* one a tensor */

struct against_facts *against_facts_ref(struct against_facts *facts);
void against_facts_unref(struct against_facts *facts);

/* The median of a's or b's rounds with their smallest and largest; all 0 without any. */
struct stats against_rate(const double rates[AGAINST_ROUNDS], size_t rounds);

/* One or two sentences that answer which is better, as far as it is known; facts may be null. */
enum { AGAINST_VERDICT = 400 };
void against_verdict(const struct against_figures *figures, const struct against_facts *facts, char out[AGAINST_VERDICT]);

#endif
