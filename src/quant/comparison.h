/* comparison.h - methods side by side on one layer: what each does to its weights and, on the same activations of
 * a text that none of them was calibrated on, to its output. */
#ifndef QTOP_COMPARISON_H
#define QTOP_COMPARISON_H

#include "base/job.h"
#include "quantization.h"

enum { COMPARED_SCHEMES = 16, COMPARISON_TOKENS = 128 };

struct comparison_plan {
    const struct model *model;
    struct pool *pool;             /* whose caller runs the job */
    struct weights *set;           /* in use: what comes before the layer, and all other layers */
    struct weights *stored;
    int tensor;                    /* that multiplies activations */
    const struct scheme *schemes;  /* to compare, at most COMPARED_SCHEMES; copied */
    size_t count;
    const int32_t *tokens;         /* of the text that outputs are compared on; the first COMPARISON_TOKENS count */
    size_t token_count;            /* from 1 */
    const struct calibration_text *text; /* outlives the job */
    const struct importance *importance; /* see quantization.h */
};

struct compared {
    struct scheme scheme;
    bool done;
    double weights_db, output_db; /* SQNR; infinity where it is exact */
    struct calibration_info calibration;
};

struct comparison;

struct comparison *comparison_open(const struct comparison_plan *plan, struct error *error);
void comparison_close(struct comparison *job);

/* Works for about `seconds`; *done: everything is compared. False with an error. */
bool comparison_step(struct comparison *job, double seconds, bool *done, struct error *error);

/* 0..1 */
double comparison_fraction(const struct comparison *job);

/* How many schemes the plan has; the figures of one. */
size_t comparison_count(const struct comparison *job);
struct compared comparison_of(const struct comparison *job, size_t index);

/* Tokens that outputs are compared on. */
size_t comparison_tokens(const struct comparison *job);

/* How a struct comparison runs as a job. */
extern const struct job_class comparison_class;

#endif
