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
           2 * padded_bytes(tokens * (cols / SMALL_BLOCK + 1) * sizeof(float)) +
           padded_bytes(slots * (cols / SMALL_BLOCK + 1) * sizeof(float)) + padded_bytes(tokens * sizeof(float)) +
           padded_bytes(tokens * groups * sizeof(int32_t)) +
           padded_bytes(slots * groups * sizeof(int32_t)) +
           padded_bytes(slots * max_words(cols) * sizeof(uint32_t));
}

size_t activations_tiles(const struct activations *x)
{
    return (x->tokens + x->tile_tokens - 1) / x->tile_tokens;
}

/* Of PACK_I8X64: units are whole blocks and whole slices. */
static size_t integer_words(const struct qmatrix *m)
{
    size_t columns = nibble_interleave(m->format.weight) * SLICE_COLUMNS;
    if (dtypes[m->format.weight].block == K_BLOCK)
        return m->cols / K_BLOCK * sizeof(struct integer_block) / sizeof(uint32_t);
    size_t slices = (m->cols + columns - 1) / columns * columns / SLICE_COLUMNS;
    return slices * sizeof(struct integer_slice) / sizeof(uint32_t);
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
    case PACK_I8X64:
        return integer_words(m);
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

/* The parts of a token that int8 activations of blocks have. */
static uint8_t *begin_blocks(const struct qmatrix *m, size_t tokens, uint8_t *p, struct activations *out)
{
    out->blocks = m->cols / block_act_columns(m->format.weight);
    out->scales = (float *)p, p += padded_bytes(tokens * out->blocks * sizeof(float));
    out->block_sums = (float *)p, p += padded_bytes(tokens * out->blocks * sizeof(float));
    out->codes = (int8_t *)p, p += padded_bytes(m->cols * tokens);
    out->sums = (int32_t *)p, p += padded_bytes(tokens * (m->cols / GROUP_MIN) * sizeof(int32_t));
    return p;
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
    bool blocks = out->integers && qmatrix_is_blocks(m);
    size_t groups = blocks ? m->cols / block_dot_columns(m->format.weight) : m->groups;
    if (blocks) {
        p = begin_blocks(m, tokens, p, out);
    } else if (m->format.act != DTYPE_FP32) {
        out->rounded = (float *)p, p += padded_bytes(m->cols * tokens * sizeof(float));
        out->codes = (int8_t *)p, p += padded_bytes(m->cols * tokens);
        out->zeros = (int32_t *)p, p += padded_bytes(tokens * sizeof(int32_t));
        out->sums = (int32_t *)p, p += padded_bytes(tokens * m->groups * sizeof(int32_t));
    }
    if (dtypes[m->format.act].kind != DTYPE_KIND_FLOAT && !blocks)
        out->scales = (float *)p, p += padded_bytes(tokens * sizeof(float));
    if (out->rounded && !out->integers)
        out->values = out->rounded;
    if (out->pack == PACK_NONE)
        return;
    out->mr = isa->mr;
    size_t slots = activations_tiles(out) * isa->mr;
    out->tile_sums = p, p += padded_bytes(slots * groups * sizeof(int32_t));
    if (blocks)
        out->tile_scales = (float *)p, p += padded_bytes(slots * out->blocks * sizeof(float));
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
