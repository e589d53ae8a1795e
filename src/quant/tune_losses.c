/* From what was measured of layers to what each candidate would cost in KL divergence.
 *
 * To second order KL divergence is quadratic in the error of an output, so that it is proportional to the squared error
 * where that is small (Frantar and Alistarh, Optimal Brain Compression, 2022, section 3). What it is proportional by is
 * measured: once with the probe and, once there is a choice, with that. Between the two it is a power. */
#include "tune_internal.h"

#include <math.h>

/* Depths at which layers of a kind are measured, the first block always alone. */
enum { DEPTHS = 12 };
static const double DEFAULT_BITS = 4.5, LARGEST_POWER = 2, SMALLEST_POWER = 0.5;

/* ---- what is measured together --------------------------------------------------------------- */

static size_t depth_of(const struct model *m, int block)
{
    size_t blocks = m->hyper.layers, run = blocks > DEPTHS ? (blocks - 1 + DEPTHS - 2) / (DEPTHS - 1) : 1;
    return block <= 0 ? 0 : 1 + ((size_t)block - 1) / run;
}

void tune_put_together(struct tune *t)
{
    const struct model *m = t->plan.model;
    for (size_t i = 0; i < m->tensor_count; i++)
        t->together[i] = -1;
    for (size_t i = 0; i < t->items; i++) {
        const struct tensor *x = &m->tensors[t->tensors[i]];
        size_t place = x->block < 0 ? 0 : 1 + depth_of(m, x->block);
        t->together[t->tensors[i]] = (int)(place * ROLE_COUNT + x->role);
    }
}

/* ---- the probe ------------------------------------------------------------------------------- */

static double weights_of(const struct tune *t, size_t item)
{
    const struct qmatrix *m = &t->plan.model->tensors[t->tensors[item]].stored;
    return (double)m->rows * (double)m->cols;
}

static bool has(const struct tune *t, size_t item, size_t candidate)
{
    return !isnan(t->error[item * t->candidates + candidate]);
}

/* Bits a weight that a budget of bytes leaves to the items. */
static double wanted_bits(const struct tune *t)
{
    const struct budget *b = &t->plan.budget;
    double weights = 0;
    for (size_t i = 0; i < t->items; i++)
        weights += weights_of(t, i);
    if (b->max_bits > 0)
        return b->max_bits;
    return b->max_size > 0 ? 8 * (b->max_size - t->other_bytes) / weights : DEFAULT_BITS;
}

/* The candidate of about so many bits that changes the item; where none does, any that it has. */
static uint8_t nearest(const struct tune *t, size_t item, double bits)
{
    double least = INFINITY;
    size_t best = 0;
    for (size_t c = 0; c < t->candidates; c++) {
        size_t at = item * t->candidates + c;
        double off = fabs(8 * t->bytes[at] / weights_of(t, item) - bits) + (t->error[at] > 0 ? 0 : 1e6);
        if (has(t, item, c) && off < least) {
            least = off;
            best = c;
        }
    }
    return (uint8_t)best;
}

void tune_choose_probe(struct tune *t)
{
    double bits = wanted_bits(t);
    for (size_t i = 0; i < t->items; i++) {
        t->probe[i] = nearest(t, i, bits);
        t->schemes[t->tensors[i]] = tune_candidate(t, t->probe[i], t->tensors[i]);
    }
}

/* ---- what was measured ----------------------------------------------------------------------- */

static double error_of(const struct tune *t, size_t item, size_t candidate)
{
    double e = t->error[item * t->candidates + candidate];
    return isnan(e) ? 0 : e * weights_of(t, item);
}

/* The errors of all items that are measured with one, of the candidates that each has. */
static double error_together(const struct tune *t, size_t item, const uint8_t *candidates)
{
    double sum = 0;
    for (size_t i = 0; i < t->items; i++)
        if (t->together[t->tensors[i]] == t->together[t->tensors[item]])
            sum += error_of(t, i, candidates[i]);
    return sum;
}

void tune_take_sensitivity(struct tune *t, bool of_choice)
{
    for (size_t i = 0; i < t->items; i++) {
        struct sensitivity s = sensitivity_of(t->sensing, t->tensors[i]);
        struct tune_point_of point = {s.scored > 0 ? s.kl : NAN, 0};
        if (of_choice)
            t->sensed[i] = point;
        else
            t->probed[i] = point;
    }
    for (size_t i = 0; i < t->items && of_choice; i++)
        t->sensed[i].error = error_together(t, i, t->choice);
}

static bool is_known(const struct tune_point_of *p)
{
    return p->kl > 0 && p->error > 0 && isfinite(p->kl) && isfinite(p->error);
}

/* KL divergence for an error, of items without figures of their own. */
static double usual_slope(const struct tune *t)
{
    double kl = 0, error = 0;
    for (size_t i = 0; i < t->items; i++)
        if (is_known(&t->probed[i])) {
            kl += t->probed[i].kl;
            error += t->probed[i].error;
        }
    return error > 0 ? kl / error : 1;
}

/* The power between two points, where they are apart enough to tell. */
static double power_of(const struct tune_point_of *a, const struct tune_point_of *b)
{
    double apart = log(b->error / a->error);
    if (!is_known(a) || !is_known(b) || !(fabs(apart) > 0.2))
        return 1;
    return fmin(fmax(log(b->kl / a->kl) / apart, SMALLEST_POWER), LARGEST_POWER);
}

/* A loss of an item: its share of the point's KL divergence, by how its error compares with the one that it had there. */
static double loss_of(const struct tune *t, size_t item, size_t candidate, double slope)
{
    bool again = is_known(&t->sensed[item]);
    const struct tune_point_of *p = again ? &t->sensed[item] : &t->probed[item];
    double e = error_of(t, item, candidate), there = error_of(t, item, again ? t->choice[item] : t->probe[item]);
    if (!is_known(p) || !(there > 0))
        return slope * e;
    double power = power_of(&t->probed[item], &t->sensed[item]);
    return p->kl / p->error * e * pow(fmax(e, 1e-300) / there, power - 1);
}

void tune_predict(struct tune *t)
{
    for (size_t i = 0; i < t->items; i++)
        t->probed[i].error = error_together(t, i, t->probe);
    double slope = usual_slope(t);
    for (size_t i = 0; i < t->items; i++)
        for (size_t c = 0; c < t->candidates; c++)
            t->loss[i * t->candidates + c] = has(t, i, c) ? loss_of(t, i, c, slope) : NAN;
}
