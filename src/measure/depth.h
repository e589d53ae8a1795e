/* depth.h - where divergence begins: how far the hidden state is from the reference's, all the way through
 * the model. Both run in lockstep over the same tokens, and their hidden states are compared after the
 * embedding and after every segment of a block (model/layer.h). */
#ifndef QTOP_DEPTH_H
#define QTOP_DEPTH_H

#include "base/job.h"
#include "engine/context.h"

enum { DEPTH_TOKENS = 128 };

/* One point a segment: error[0] after the embedding, error[1 + s] after segment s (model_segment). Of all tokens
 * together: ||x^ - x|| / ||x||, the root of the sum of squares. Not a number where a state is not finite. */
struct depth_profile {
    atomic_int refs;
    const struct model *model; /* borrowed */
    size_t tokens;
    size_t count; /* 1 + model_segments */
    double error[];
};

struct depth_profile *depth_ref(struct depth_profile *profile);
void depth_unref(struct depth_profile *profile);

/* The point that raised the error most over the one before: where the scheme hurts. 0 where nothing
 * differs. */
size_t depth_steepest(const struct depth_profile *profile);

/* What precedes a point, in words: "embedding", "blk.3 attention", "blk.3 ffn", "blk.3 block". */
enum { DEPTH_NAME = 48 };
const char *depth_name(const struct depth_profile *profile, size_t point, char out[DEPTH_NAME]);

struct depth_job;

/* For the caller of the pool. Runs the first n tokens (1..DEPTH_TOKENS, within the context) through a set of
 * the model's and one of its reference's. */
struct depth_job *depth_open(const struct model *model, struct pool *pool, const int32_t *tokens, size_t n,
                             struct weights *reference, struct weights *scheme, struct error *error);

/* Works for about `seconds`, at least one segment; true when all is compared. */
bool depth_step(struct depth_job *job, double seconds);

/* 0..1 */
double depth_fraction(const struct depth_job *job);

/* The finished profile, now the caller's. */
struct depth_profile *depth_take(struct depth_job *job);
void depth_close(struct depth_job *job);

/* How a struct depth_job runs as a job. */
extern const struct job_class depth_class;

#endif
