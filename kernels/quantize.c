#include "quantize.h"

#include "dispatch.h"
#include "encode.h"
#include "out_of_range.h"

#include <float.h>
#include <math.h>

void value_range_add(struct value_range *range, const float *values, size_t n)
{
    isa_current()->quantize_ops->update_min_max(values, n, &range->min, &range->max);
}

void difference_measure(struct difference *difference, const float *values, const float *other,
                        size_t n)
{
    isa_current()->quantize_ops->measure_difference(values, other, n, difference);
}

/* The smallest fp16 not below scale. */
static uint16_t fp16_ceiling(float scale)
{
    uint16_t code = fp16_encode(scale);
    return fp16_decode(code) < scale ? (uint16_t)(code + 1) : code;
}

/* Rounds a scale to what its storage holds, finite and nonzero. */
static float storable_scale(double scale, enum scale_type type, bool up)
{
    float s = (float)(scale > FLT_MAX ? FLT_MAX : scale);
    if (type == SCALE_FP32)
        return s < FLT_MIN ? FLT_MIN : s;
    if (!(s < 65504.0f))
        return 65504.0f;
    float rounded = fp16_decode(up ? fp16_ceiling(s) : fp16_encode(s));
    return rounded < 0x1p-24f ? 0x1p-24f : rounded;
}

struct quant_params quantize_params(const struct qmatrix *m, struct value_range range)
{
    const struct dtype_info *type = &dtypes[m->format.weight];
    struct quant_params g = {1.0f, type->symmetric_zero};
    if (m->format.asym)
        g.zero_point = type->lowest;
    if (range.min == 0 && range.max == 0)
        return g;
    if (!m->format.asym) {
        double largest = fmax(-(double)range.min, range.max);
        g.scale = storable_scale(largest / type->largest, m->scale_type, false);
        return g;
    }
    int steps = type->highest - type->lowest;
    double span = (double)range.max - range.min;
    g.scale = storable_scale(span / steps, m->scale_type, true);
    double zero = rint(-(double)range.min / g.scale);
    g.zero_point = type->lowest + (int)(zero < steps ? zero : steps);
    return g;
}

void quantize_set_params(struct qmatrix *m, size_t r, size_t g, struct quant_params params)
{
    uint8_t *memory = m->owned;
    size_t i = qmatrix_params_index(m, r, g);
    if (m->scale_type == SCALE_FP32)
        ((float *)(memory + ((const uint8_t *)m->scales - memory)))[i] = params.scale;
    else if (m->scale_type == SCALE_FP16)
        ((uint16_t *)(memory + ((const uint8_t *)m->scales - memory)))[i] = fp16_encode(params.scale);
    if (!m->zeros)
        return;
    uint8_t *zeros = memory + (m->zeros - memory);
    if (m->format.weight == DTYPE_INT4)
        zeros[i / 2] = (uint8_t)(i & 1 ? (zeros[i / 2] & 0x0f) | params.zero_point << 4
                                       : (zeros[i / 2] & 0xf0) | params.zero_point);
    else
        zeros[i] = (uint8_t)params.zero_point;
}

void quantize_tensor_scale(struct qmatrix *m, struct value_range range)
{
    if (m->format.granularity == GRANULARITY_TENSOR && m->scale_type != SCALE_NONE)
        quantize_set_params(m, 0, 0, quantize_params(m, range));
}

/* ---- codes ----------------------------------------------------------------------------------- */

/* Integer codes of values of one group, as signed bytes, clipped to the range of codes. */
static void integer_codes(const struct qmatrix *m, struct quant_params g, const float *w, size_t n,
                          int8_t *out)
{
    const struct dtype_info *type = &dtypes[m->format.weight];
    int lowest = m->format.asym ? type->lowest : type->symmetric_zero - (int)type->largest;
    isa_current()->quantize_ops->round_codes(w, n, g.scale, (float)(lowest - g.zero_point),
                                             (float)(type->highest - g.zero_point), g.zero_point, out);
}

static void pack_nibbles(const int8_t *codes, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n / 2; i++)
        out[i] = (uint8_t)((codes[2 * i] & 15) | codes[2 * i + 1] << 4);
    if (n & 1)
        out[n / 2] = codes[n - 1] & 15;
}

/* Values that are quantized at a time. */
enum { PIECE = 256 };

static void quantize_integers(struct qmatrix *m, size_t r, size_t g, struct quant_params params,
                              const float *w, size_t first, size_t n)
{
    int8_t codes[PIECE];
    uint8_t nibbles[PIECE / 2];
    for (size_t done = 0; done < n; done += PIECE) {
        size_t part = n - done < PIECE ? n - done : PIECE;
        bool bytes = m->format.weight == DTYPE_INT8;
        integer_codes(m, params, w + done, part, codes);
        if (!bytes)
            pack_nibbles(codes, part, nibbles);
        qmatrix_put_codes(m, r, g, first + done, part, bytes ? (const uint8_t *)codes : nibbles);
    }
}

static bool is_nan(const struct qmatrix *m, uint32_t code)
{
    float value = dtypes[m->format.weight].decode(code);
    return value != value;
}

static void quantize_floats(struct qmatrix *m, size_t r, size_t g, struct quant_params params, const float *w,
                            size_t first, size_t n)
{
    const struct dtype_info *type = &dtypes[m->format.weight];
    size_t size = type->bits / 8;
    uint8_t codes[PIECE * sizeof(float)];
    for (size_t done = 0; done < n; done += PIECE) {
        size_t part = n - done < PIECE ? n - done : PIECE;
        for (size_t i = 0; i < part; i++) {
            float value = w[done + i];
            uint32_t code = type->encode(m->scale_type == SCALE_NONE ? value : value / params.scale);
            memcpy(codes + i * size, &code, size);
            if (size == 1 && is_nan(m, code))
                __atomic_store_n(&m->has_nan, true, __ATOMIC_RELAXED); /* by any thread */
        }
        qmatrix_put_codes(m, r, g, first + done, part, codes);
    }
}

void quantize_values(const struct qmatrix *m, struct quant_params params, const float *w, size_t n, float *out)
{
    int8_t codes[PIECE];
    for (size_t done = 0; done < n; done += PIECE) {
        size_t part = n - done < PIECE ? n - done : PIECE;
        integer_codes(m, params, w + done, part, codes);
        for (size_t i = 0; i < part; i++)
            out[done + i] = (float)(codes[i] - params.zero_point) * params.scale;
    }
}

size_t quantize_input_transform(struct qmatrix *m, size_t r, float *w)
{
    const struct input_transform *in = m->input_transform;
    size_t overflowed = 0;
    for (size_t c = 0; in && in->scale && c < m->cols; c++)
        w[c] *= in->scale[c];
    for (size_t first = 0; in && first < in->outliers; first += PIECE) {
        size_t n = in->outliers - first < PIECE ? in->outliers - first : PIECE;
        float part[PIECE];
        for (size_t i = 0; i < n; i++) {
            part[i] = w[in->columns[first + i]];
            w[in->columns[first + i]] = 0;
        }
        overflowed += count_overflow(in->weights->format.weight, part, n);
        quantize_floats(in->weights, r, 0, (struct quant_params){1, 0}, part, first, n);
    }
    return overflowed;
}

/* Packs row r, with new parameters or with those that were set. */
static void pack_row(struct qmatrix *m, size_t r, const float *values, bool new_params)
{
    bool integers = dtypes[m->format.weight].kind == DTYPE_KIND_INTEGER;
    for (size_t g = 0, first = 0; first < m->cols; g++, first += m->group) {
        size_t n = m->cols - first < m->group ? m->cols - first : m->group;
        struct quant_params params;
        if (new_params) {
            struct value_range range = {0, 0};
            value_range_add(&range, values + first, n);
            params = quantize_params(m, range);
            quantize_set_params(m, r, g, params);
        } else {
            params = (struct quant_params){qmatrix_scale(m, r, g), qmatrix_zero(m, r, g)};
        }
        if (integers)
            quantize_integers(m, r, g, params, values + first, first, n);
        else
            quantize_floats(m, r, g, params, values + first, first, n);
    }
}

size_t quantize_blocks(struct qmatrix *m, size_t r, const float *values, const float *importance)
{
    uint8_t *rows = m->owned;
    return encode_row(m->format.weight, values, m->cols, importance, rows + r * m->row_bytes);
}

void quantize_blocks_with_scales(struct qmatrix *m, size_t r, const float *values)
{
    uint8_t *rows = m->owned;
    encode_codes(m->format.weight, values, m->cols, rows + r * m->row_bytes);
}

void quantize_row(struct qmatrix *m, size_t r, const float *values)
{
    if (qmatrix_is_blocks(m)) {
        quantize_blocks(m, r, values, NULL);
        return;
    }
    pack_row(m, r, values,
             m->scale_type != SCALE_NONE && m->format.granularity != GRANULARITY_TENSOR);
}

void quantize_row_with_params(struct qmatrix *m, size_t r, const float *values)
{
    pack_row(m, r, values, false);
}
