#include "activations.h"

#include "dispatch.h"
#include "stored.h"

enum { SLICE_WORDS = sizeof(struct activation_slice) / sizeof(uint32_t) };

/* Packed words of one token at most, padding included: a group of 17 columns has 24 in int4 lines, and 32 columns
 * of blocks may take two slices. */
static size_t max_words(size_t cols)
{
    return cols + cols / 2 + 2 * SLICE_WORDS;
}

size_t activations_scratch(size_t cols, size_t tokens)
{
    size_t groups = cols / GROUP_MIN + 1, slots = tokens + tokens / 4 + MR_MAX;
    return 2 * padded_bytes(cols * tokens * sizeof(float)) + padded_bytes(cols * tokens) +
           2 * padded_bytes(tokens * sizeof(float)) +
           padded_bytes(tokens * groups * sizeof(int32_t)) +
           padded_bytes(slots * groups * sizeof(int32_t)) +
           padded_bytes(slots * max_words(cols) * sizeof(uint32_t));
}

size_t activations_tiles(const struct activations *x)
{
    return (x->tokens + x->tile_tokens - 1) / x->tile_tokens;
}

/* Packed words of one token: see enum pack. */
static size_t packed_words(const struct qmatrix *m, enum pack pack)
{
    size_t columns = m->packed ? m->lines * line_columns(m->format.weight) : m->cols;
    switch (pack) {
    case PACK_F32:
        return columns;
    case PACK_F32X64:
        columns = nibble_interleave(m->format.weight) * SLICE_COLUMNS;
        return (m->cols + columns - 1) / columns * columns / SLICE_COLUMNS * SLICE_WORDS;
    case PACK_BF16X2:
    case PACK_I16X2:
        return columns / 2;
    case PACK_I8X4:
        return columns / 4;
    case PACK_NONE:
        break;
    }
    return 0;
}

/* Whether the values or codes already have the packed layout: one token, whole lines, columns in order. */
static bool needs_no_packing(const struct qmatrix *m, const struct activations *x)
{
    size_t columns = m->packed ? m->lines * line_columns(m->format.weight) : m->cols;
    bool in_order = (x->pack == PACK_F32 && m->format.weight != DTYPE_INT4) ||
                    (x->pack == PACK_I8X4 && m->format.weight == DTYPE_INT8);
    return x->tokens == 1 && !x->append_ones && columns == m->cols && in_order;
}

void activations_begin(const struct isa *isa, const struct qmatrix *m, const float *x,
                       size_t tokens, void *scratch, struct activations *out)
{
    uint8_t *p = scratch;
    *out = (struct activations){.tokens = tokens, .cols = m->cols, .values = x, .input = x};
    out->integers = dtypes[m->format.act].kind == DTYPE_KIND_INTEGER;
    out->pack = isa->pack(m, tokens);
    out->append_ones = out->pack != PACK_NONE && m->format.act_asym;
    out->tile_tokens = isa->mr - out->append_ones;
    out->factors = isa->int4_factors;
    out->words = packed_words(m, out->pack);
    if (m->input_transform && (m->input_transform->scale || m->input_transform->outliers)) {
        out->transformed = (float *)p, p += padded_bytes(m->cols * tokens * sizeof(float));
        out->values = out->transformed;
    }
    if (m->format.act != DTYPE_FP32) {
        out->rounded = (float *)p, p += padded_bytes(m->cols * tokens * sizeof(float));
        out->codes = (int8_t *)p, p += padded_bytes(m->cols * tokens);
        out->zeros = (int32_t *)p, p += padded_bytes(tokens * sizeof(int32_t));
        out->sums = (int32_t *)p, p += padded_bytes(tokens * m->groups * sizeof(int32_t));
    }
    if (dtypes[m->format.act].kind != DTYPE_KIND_FLOAT)
        out->scales = (float *)p, p += padded_bytes(tokens * sizeof(float));
    if (out->rounded && !out->integers)
        out->values = out->rounded;
    if (out->pack == PACK_NONE)
        return;
    out->mr = isa->mr;
    size_t slots = activations_tiles(out) * isa->mr;
    out->tile_sums = p, p += padded_bytes(slots * m->groups * sizeof(int32_t));
    out->zero_copy = needs_no_packing(m, out);
    if (out->zero_copy)
        p = out->integers ? (uint8_t *)out->codes : (uint8_t *)(uintptr_t)out->values;
    out->packed = (uint32_t *)(void *)p;
}

void activations_prepare(const struct isa *isa, const struct qmatrix *m, const float *x,
                         size_t tokens, void *scratch, struct activations *out)
{
    activations_begin(isa, m, x, tokens, scratch, out);
    isa->prepare(m, out, 0, activations_tiles(out));
}
