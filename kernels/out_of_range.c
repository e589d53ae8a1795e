#include "out_of_range.h"

#include "dispatch.h"
#include "quantize.h"

#include <float.h>
#include <math.h>

/* Rounding to the end of a grid costs up to half a step; the rest is the rounding of scales. */
static const double HALF_STEP = 0.5005;

struct ends {
    double low, high; /* of values that have a code */
};

/* Where rounding to nearest would leave a grid. The step below fp8's largest value is 2^-mantissa of its binade. */
static struct ends grid_ends(const struct qmatrix *m, size_t r, size_t g)
{
    const struct dtype_info *type = &dtypes[m->format.weight];
    double scale = (double)qmatrix_scale(m, r, g);
    if (type->kind != DTYPE_KIND_INTEGER) {
        uint32_t last = type->encode(type->largest);
        double half = ((double)type->largest - (double)type->decode(last - 1)) / 2;
        return (struct ends){-scale * ((double)type->largest + half), scale * ((double)type->largest + half)};
    }
    int zero = qmatrix_zero(m, r, g);
    int lowest = m->format.asym ? type->lowest : type->symmetric_zero - (int)type->largest;
    return (struct ends){scale * (lowest - zero - HALF_STEP), scale * (type->highest - zero + HALF_STEP)};
}

/* Whether no larger scale could have been stored. */
static bool at_limit(const struct qmatrix *m, size_t r, size_t g)
{
    bool scaled_float = dtypes[m->format.weight].kind == DTYPE_KIND_SCALED_FLOAT;
    return scaled_float || qmatrix_scale(m, r, g) >= (m->scale_type == SCALE_FP16 ? 65504.0f : FLT_MAX);
}

static size_t count_beyond(struct ends ends, const float *values, size_t n)
{
    float min = 0, max = 0;
    size_t count = 0;
    isa_current()->quantize_ops->update_min_max(values, n, &min, &max); /* mostly, that is all there is to do */
    if ((double)min >= ends.low && (double)max <= ends.high)
        return 0;
    for (size_t i = 0; i < n; i++)
        count += isfinite(values[i]) && (values[i] < ends.low || values[i] > ends.high);
    return count;
}

size_t count_overflow(enum dtype dtype, const float *values, size_t n)
{
    const struct dtype_info *type = &dtypes[dtype];
    float min = 0, max = 0;
    size_t count = 0;
    isa_current()->quantize_ops->update_min_max(values, n, &min, &max);
    if (fmaxf(-min, max) <= type->largest)
        return 0;
    for (size_t i = 0; i < n; i++)
        count += isfinite(values[i]) && !isfinite(type->decode(type->encode(values[i])));
    return count;
}

struct out_of_range row_out_of_range(const struct qmatrix *m, size_t r, const float *values)
{
    struct out_of_range out = {0};
    if (m->scale_type == SCALE_NONE) {
        out.overflowed = count_overflow(m->format.weight, values, m->cols);
        return out;
    }
    for (size_t g = 0, c = 0; c < m->cols; g++, c += m->group) {
        size_t n = m->cols - c < m->group ? m->cols - c : m->group;
        size_t beyond = count_beyond(grid_ends(m, r, g), values + c, n);
        out.clipped += beyond;
        out.overflowed += at_limit(m, r, g) ? beyond : 0;
    }
    return out;
}
