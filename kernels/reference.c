#include "reference.h"

#include "cpu.h"
#include "dispatch.h"
#include "stored.h"

enum { DOT_LANES = 16, PIECE = 256 };

/* Sums in DOT_LANES independent accumulators, in an order that does not depend on the compiler. */
static float dot_floats(const float *restrict a, const float *restrict b, size_t n)
{
    float sum[DOT_LANES] = {0};
    size_t i = 0;
    for (; i + DOT_LANES <= n; i += DOT_LANES)
        for (size_t k = 0; k < DOT_LANES; k++)
            sum[k] += a[i + k] * b[i + k];
    for (size_t k = 0; i < n; i++, k++)
        sum[k] += a[i] * b[i];
    for (size_t half = DOT_LANES / 2; half > 0; half /= 2)
        for (size_t k = 0; k < half; k++)
            sum[k] += sum[k + half];
    return sum[0];
}

static int32_t dot_integers(const int8_t *restrict a, const int8_t *restrict b, size_t n)
{
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static int32_t sum_integers(const int8_t *a, size_t n)
{
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i];
    return sum;
}

/* One row of a product of float activations. Codes are decoded a piece at a time, and all tokens are multiplied by a
 * piece while it is in the first-level cache. fp32 codes in rows are read in place. */
static void row_floats(const struct qmatrix *m, const struct activations *x, size_t r, float *y)
{
    const float *row = (const float *)(const void *)(m->codes + r * m->row_bytes);
    float piece[PIECE];
    for (size_t c = 0; c < m->cols; c += PIECE) {
        size_t n = m->cols - c < PIECE ? m->cols - c : PIECE;
        const float *w = m->format.weight == DTYPE_FP32 && !m->packed ? row + c : piece;
        if (w == piece)
            qmatrix_decode_codes(m, r, c, n, piece);
        for (size_t t = 0; t < x->tokens; t++)
            y[t * m->rows + r] += dot_floats(w, x->values + t * x->cols + c, n);
    }
    for (size_t t = 0; t < x->tokens && x->scales; t++)
        y[t * m->rows + r] *= x->scales[t];
}

/* One row of an integer product. With weight codes q, zero point z, activation codes a and zero
 * point b, a group adds scale * sum (q - z)(a - b)
 *   = scale * (sum q a - z sum a - b (sum q - n z)), all of it exact. */
static void row_integers(const struct qmatrix *m, const struct activations *x, size_t r, float *y)
{
    int8_t piece[PIECE];
    for (size_t g = 0, begin = 0; begin < m->cols; g++, begin += m->group) {
        size_t end = m->cols - begin < m->group ? m->cols : begin + m->group;
        float scale = qmatrix_scale(m, r, g);
        int64_t zero = qmatrix_zero(m, r, g);
        for (size_t t = 0; t < x->tokens; t++) {
            const int8_t *codes = x->codes + t * x->cols;
            int64_t dot = -zero * x->sums[t * m->groups + g], weights = 0;
            for (size_t c = begin; c < end; c += PIECE) {
                size_t n = end - c < PIECE ? end - c : PIECE;
                qmatrix_unpack(m, r, c, n, piece);
                dot += dot_integers(piece, codes + c, n);
                if (x->zeros[t])
                    weights += sum_integers(piece, n);
            }
            dot -= x->zeros[t] * (weights - (int64_t)(end - begin) * zero);
            y[t * m->rows + r] += scale * (float)dot;
        }
    }
    for (size_t t = 0; t < x->tokens; t++)
        y[t * m->rows + r] *= x->scales[t];
}

/* Adds to a product what n columns of a block from `first` on give, which meet one block of activations, its codes and
 * their sums of 16: integer dot products times integer scales, which are exact, then the factors in fp32. */
static float add_block(enum dtype weight, const struct block_parts *w, size_t first, size_t n, const int8_t *codes,
                       const int32_t *sums, float scale, float block_sum, float total)
{
    const struct dtype_info *type = &dtypes[weight];
    size_t columns = block_dot_columns(weight);
    int64_t dot = 0, min = 0;
    for (size_t c = 0; c < n; c += columns) {
        size_t g = (first + c) / type->scale_columns;
        dot += (int64_t)w->scales[g] * dot_integers(w->codes + first + c, codes + c, columns);
        for (size_t i = c; i < c + columns; i += GROUP_MIN)
            min += w->mins[g] * sums[i / GROUP_MIN];
    }
    total += w->factor * scale * (float)dot;
    if (type->grid == BLOCK_ASYMMETRIC)
        total += n == SMALL_BLOCK ? w->min * block_sum : w->min * scale * (float)min;
    return total;
}

/* One row of a product of blocks and int8 activations. */
static void row_blocks(const struct qmatrix *m, const struct activations *x, size_t r, float *y)
{
    enum dtype weight = m->format.weight;
    const struct dtype_info *type = &dtypes[weight];
    const uint8_t *row = m->codes + r * m->row_bytes;
    size_t n = block_act_columns(weight);
    for (size_t c = 0; c < m->cols; c += type->block, row += type->block_bytes) {
        struct block_parts parts;
        type->split_block(row, &parts);
        for (size_t first = 0; first < type->block; first += n)
            for (size_t t = 0; t < x->tokens; t++) {
                size_t at = t * m->cols + c + first, block = t * x->blocks + (c + first) / n;
                float *out = &y[t * m->rows + r];
                *out = add_block(weight, &parts, first, n, x->codes + at, x->sums + at / GROUP_MIN, x->scales[block],
                                 x->block_sums[block], *out);
            }
    }
}

void reference_products(const struct qmatrix *m, const struct activations *x, size_t panel0, size_t panel1, float *y)
{
    size_t end = panel1 * PANEL_ROWS < m->rows ? panel1 * PANEL_ROWS : m->rows;
    for (size_t r = panel0 * PANEL_ROWS; r < end; r++) {
        for (size_t t = 0; t < x->tokens; t++)
            y[t * m->rows + r] = 0;
        if (x->blocks)
            row_blocks(m, x, r, y);
        else if (x->integers)
            row_integers(m, x, r, y);
        else
            row_floats(m, x, r, y);
    }
}

void reference_matmul(const struct qmatrix *m, const struct activations *x, size_t panel0,
                      size_t panel1, float *y)
{
    reference_products(m, x, panel0, panel1, y);
    qmatrix_scale_products(m, x->tokens, panel0, panel1, y);
}

/* ---- the row of the table -------------------------------------------------------------------- */

/* Nothing is packed; a tile is only the unit of work for `prepare`. */
enum { MR = 8, WIDE_CENTER = 0 };

static inline size_t mr_for(size_t tokens)
{
    return tokens;
}

#include "pack_activations.inc"

static enum pack choose_pack(const struct qmatrix *m, size_t tokens)
{
    (void)m;
    (void)tokens;
    return PACK_NONE;
}

const struct isa isa_c = {
    .name = "c",
    .description = "portable C, as the compiler vectorizes it",
    .available = cpu_always,
    .mr = MR,
    .pack = choose_pack,
    .prepare = prepare,
    .quantize_ops = &quantize_ops,
    .decode_row = qmatrix_decode_row,
    .matmul = reference_matmul,
};
