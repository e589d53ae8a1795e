#include "activations.h"

#include "quantize.h"

#include <float.h>
#include <math.h>

size_t activations_scratch(size_t cols, size_t tokens)
{
    size_t groups = cols / SCHEME_MIN_GROUP + 1;
    return padded_bytes(cols * tokens * sizeof(float)) + padded_bytes(cols * tokens) +
           2 * padded_bytes(tokens * sizeof(float)) + padded_bytes(tokens * groups * sizeof(int32_t));
}

/* Dynamic per-token integer activations: symmetric scale = max|x| / 127, asymmetric
 * scale = (max - min) / 255 with an integer zero point. */
static void quantize_token(const struct qmatrix *m, const float *x, int8_t *codes, float *scale,
                           int32_t *zero)
{
    struct value_range range = {0, 0};
    value_range_add(&range, x, m->cols);
    double span = m->scheme.act_asym ? ((double)range.max - range.min) / 255
                                     : fmax(-(double)range.min, range.max) / 127;
    *scale = span > FLT_MIN ? (float)fmin(span, FLT_MAX) : span > 0 ? FLT_MIN : 1.0f;
    *zero = m->scheme.act_asym ? -128 + (int)fmin(rint(-(double)range.min / *scale), 255) : 0;
    float low = (float)((m->scheme.act_asym ? -128 : -127) - *zero), high = (float)(127 - *zero);
    for (size_t i = 0; i < m->cols; i++) {
        float q = x[i] / *scale;
        q = q > low ? q : low;
        q = q < high ? q : high;
        q = x[i] == x[i] ? round_even(q) : 0;
        codes[i] = (int8_t)((int)q + *zero);
    }
}

static void sum_groups(const struct qmatrix *m, const int8_t *codes, int32_t *sums)
{
    for (size_t g = 0, first = 0; first < m->cols; g++, first += m->group) {
        size_t end = m->cols - first < m->group ? m->cols : first + m->group;
        int32_t sum = 0;
        for (size_t i = first; i < end; i++)
            sum += codes[i];
        sums[g] = sum;
    }
}

/* fp8 activations: one scale a token, so that the largest magnitude meets the largest code. */
static float fp8_scale(const struct dtype_info *type, const float *x, size_t n)
{
    struct value_range range = {0, 0};
    value_range_add(&range, x, n);
    float largest = fmaxf(-range.min, range.max);
    float scale = largest / type->largest;
    return largest == 0 ? 1.0f : scale < FLT_MIN ? FLT_MIN : scale;
}

void activations_prepare(const struct qmatrix *m, const float *x, size_t tokens, void *scratch,
                         struct activations *out)
{
    const struct dtype_info *type = &dtypes[m->scheme.act];
    uint8_t *p = scratch;
    *out = (struct activations){.tokens = tokens, .cols = m->cols, .values = x};
    out->integers = type->kind == DTYPE_KIND_INTEGER;
    if (m->scheme.act == DTYPE_FP32)
        return;
    out->rounded = (float *)p, p += padded_bytes(m->cols * tokens * sizeof(float));
    out->codes = (int8_t *)p, p += padded_bytes(m->cols * tokens);
    out->scales = (float *)p, p += padded_bytes(tokens * sizeof(float));
    out->zeros = (int32_t *)p, p += padded_bytes(tokens * sizeof(int32_t));
    out->sums = (int32_t *)p;
    for (size_t t = 0; t < tokens; t++) {
        const float *in = x + t * m->cols;
        if (out->integers) {
            quantize_token(m, in, out->codes + t * m->cols, &out->scales[t], &out->zeros[t]);
            sum_groups(m, out->codes + t * m->cols, out->sums + t * m->groups);
            continue;
        }
        float scale = type->kind == DTYPE_KIND_SCALED_FLOAT ? fp8_scale(type, in, m->cols) : 1.0f;
        out->scales[t] = scale;
        for (size_t i = 0; i < m->cols; i++)
            out->rounded[t * m->cols + i] = type->decode(type->encode(in[i] / scale));
    }
    if (!out->integers)
        out->values = out->rounded;
}
