/* roofline.h - where a computation lies under the roofs of a machine, and which of them bounds it (Williams,
 * Waterman, Patterson 2009: Roofline). */
#ifndef QTOP_ROOFLINE_H
#define QTOP_ROOFLINE_H

#include "engine/weights.h"
#include "roofs.h"

/* What one token, one step of a batch or one pass over a prompt takes. */
struct work {
    double macs;    /* multiply-adds of products and attention */
    double bytes;   /* that must be read */
    double seconds; /* measured */
};

/* The work of n tokens that share one pass over the weights: `sequences` side by side at `position` (a decode
 * step), or n positions of one sequence from 0 on (a prompt). Seconds are left 0. */
struct work work_of_step(const struct model *model, const struct weights *set, size_t sequences,
                         size_t position);
struct work work_of_prompt(const struct model *model, const struct weights *set, size_t n);

/* The work of one tensor on one token. */
struct work work_of_tensor(const struct model *model, const struct qtensor *q, double seconds);

/* Multiply-adds a byte; multiply-adds a second. */
double work_intensity(const struct work *work);
double work_rate(const struct work *work);

/* The peak of the instructions that the kernels of a set use for a scheme: PEAK_COUNT where portable C
 * promises none. */
enum peak roofline_peak(const struct isa *isa, const struct qformat *format);

/* The same for a whole set: that of the scheme by which most weights are multiplied. */
enum peak roofline_peak_of_set(const struct isa *isa, const struct model *model, const struct weights *set);

enum bound { BOUND_UNKNOWN, BOUND_MEMORY, BOUND_ARITHMETIC };

/* What the roofs allow at an intensity: min(read x intensity, peak). Either roof may be 0: unknown. */
struct verdict {
    enum bound bound;
    double allowed; /* multiply-adds a second; 0 unknown */
    double share;   /* of what is allowed, that the work reaches */
};
struct verdict roofline_judge(const struct work *work, double read, double peak);

#endif
