/* quality.h - perplexity, KL divergence and top-1 agreement of a weight set against the reference,
 * both run in lockstep over the same windows; logits are never kept. */
#ifndef QTOP_QUALITY_H
#define QTOP_QUALITY_H

#include "base/job.h"
#include "engine/context.h"

enum protocol { PROTOCOL_FULL, PROTOCOL_LLAMACPP, PROTOCOL_COUNT };

const char *protocol_name(enum protocol protocol);

/* The protocol called name, or PROTOCOL_COUNT; a null name is the default, full. */
enum protocol protocol_by_name(const char *name);

/* The window where none is given: the smaller of the context and 512. */
size_t quality_default_window(size_t context);

struct quality_plan {
    const int32_t *tokens; /* the text, without BOS; must outlive the job */
    size_t count;
    int32_t bos;           /* -1: none */
    enum protocol protocol;
    size_t window;         /* N, from 2 */
    size_t chunk;          /* tokens that run together, up to CONTEXT_CHUNK; 0: as many as keep parts of a pass short */
    const char *text;      /* what the text is called, copied; null: it has no name */
};

/* What figures of quality are of: those of different ones do not compare. */
enum { TEXT_NAME = 48 };
struct quality_basis {
    char text[TEXT_NAME]; /* the text's name, "" without one */
    size_t tokens;        /* of the text */
    enum protocol protocol;
    size_t window;        /* tokens */
};

/* NaN where a logit that it needs is not finite. */
struct quality_result {
    struct quality_basis basis;
    size_t scored, planned; /* predictions */
    size_t ran;             /* tokens of the text, its first, that have run */
    double perplexity, perplexity_reference;
    double kl, kl_stderr;   /* mean over predictions, nats; the standard error of that mean */
    double kl_median, kl_p99; /* over the predictions; while the job runs, the newest ninth may be missing */
    double kl_max;
    double top1;            /* share of predictions on which both agree */
    size_t kv_overflowed;   /* finite keys and values that the scheme's cache has no room for (kernels/kv.h) */
};

/* Whether every prediction of the plan is scored: figures of a part of a text compare with nothing. */
bool quality_is_complete(const struct quality_result *result);

/* Why the figures of two results do not compare; null where they do. */
const char *quality_differs(const struct quality_result *a, const struct quality_result *b);

/* The standard error of top1: of a share of so many predictions, as if they were independent. */
double quality_top1_stderr(const struct quality_result *result);

/* Why a figure of a result cannot be shown; null for one that can. */
const char *quality_reason(double figure);

struct quality;

/* The number of predictions that the plan scores; 0 with an error for a text that is too short. */
size_t quality_predictions(const struct quality_plan *plan, struct error *error);

/* Scores a set of the model's against one of another model with the same vocabulary. The figures are the same with any
 * number of threads. */
struct quality *quality_open_against(const struct model *model, struct weights *scheme, const struct model *reference_model,
                                     struct weights *reference, struct pool *pool, const struct quality_plan *plan,
                                     struct error *error);

/* The same against one of its reference's (model_reference). */
struct quality *quality_open(const struct model *model, struct pool *pool,
                             const struct quality_plan *plan, struct weights *reference,
                             struct weights *scheme, struct error *error);
void quality_close(struct quality *quality);

/* Works for about `seconds`, at least one part of a pass (forward.h) through one of the two; true when everything is
 * scored. */
bool quality_step(struct quality *quality, double seconds);

/* Predictions scored so far, as a share of all: 0..1. */
double quality_fraction(const struct quality *quality);

/* The figures so far. */
struct quality_result quality_result(const struct quality *quality);

/* How a struct quality runs as a job. */
extern const struct job_class quality_class;

#endif
