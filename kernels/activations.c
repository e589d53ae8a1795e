#include "activations.h"

#include "dispatch.h"
#include "stored.h"

enum { LINE_WORDS = sizeof(struct block_line) / sizeof(uint32_t) };

/* Words that fill up tiles, lines and groups: a group of 17 columns takes 24 of int4, 32 columns of blocks
 * two lines. */
static size_t most_words(size_t cols)
{
    return cols + cols / 2 + 2 * LINE_WORDS;
}

size_t activations_scratch(size_t cols, size_t tokens)
{
    size_t groups = cols / GROUP_MIN + 1, slots = tokens + tokens / 4 + MOST_TILE;
    return 2 * padded_bytes(cols * tokens * sizeof(float)) + padded_bytes(cols * tokens) +
           2 * padded_bytes(tokens * sizeof(float)) +
           padded_bytes(tokens * groups * sizeof(int32_t)) +
           padded_bytes(slots * groups * sizeof(int32_t)) +
           padded_bytes(slots * most_words(cols) * sizeof(uint32_t));
}

size_t activations_tiles(const struct activations *x)
{
    return (x->tokens + x->tile - 1) / x->tile;
}

/* Words of one token: see enum arrangement. */
static size_t words_of(const struct qmatrix *m, enum arrangement arrangement)
{
    size_t columns = m->panels ? m->lines * line_columns(m->format.weight) : m->cols;
    switch (arrangement) {
    case ARRANGED_FLOATS:
        return columns;
    case ARRANGED_LINES:
        columns = lines_together(m->format.weight) * LINE_BYTES;
        return (m->cols + columns - 1) / columns * columns / LINE_BYTES * LINE_WORDS;
    case ARRANGED_PAIRS:
    case ARRANGED_SHORTS:
        return columns / 2;
    case ARRANGED_FOURS:
        return columns / 4;
    case ARRANGED_NOT:
        break;
    }
    return 0;
}

/* Where one token fills whole lines with fp32 or with bytes in order, nothing is copied. */
static bool stands_arranged(const struct qmatrix *m, const struct activations *x)
{
    size_t columns = m->panels ? m->lines * line_columns(m->format.weight) : m->cols;
    bool in_order = (x->arrangement == ARRANGED_FLOATS && m->format.weight != DTYPE_INT4) ||
                    (x->arrangement == ARRANGED_FOURS && m->format.weight == DTYPE_INT8);
    return x->tokens == 1 && !x->ones && columns == m->cols && in_order;
}

void activations_begin(const struct isa *isa, const struct qmatrix *m, const float *x,
                       size_t tokens, void *scratch, struct activations *out)
{
    uint8_t *p = scratch;
    *out = (struct activations){.tokens = tokens, .cols = m->cols, .values = x, .input = x};
    out->integers = dtypes[m->format.act].kind == DTYPE_KIND_INTEGER;
    out->arrangement = isa->arrangement(m, tokens);
    out->ones = out->arrangement != ARRANGED_NOT && m->format.act_asym;
    out->tile = isa->tile - out->ones;
    out->factors = isa->int4_factors;
    out->words = words_of(m, out->arrangement);
    if (m->input_transform && (m->input_transform->scale || m->input_transform->outliers)) {
        out->taken = (float *)p, p += padded_bytes(m->cols * tokens * sizeof(float));
        out->values = out->taken;
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
    if (out->arrangement == ARRANGED_NOT)
        return;
    out->width = isa->tile;
    size_t slots = activations_tiles(out) * isa->tile;
    out->tile_sums = p, p += padded_bytes(slots * m->groups * sizeof(int32_t));
    out->in_place = stands_arranged(m, out);
    if (out->in_place)
        p = out->integers ? (uint8_t *)out->codes : (uint8_t *)(uintptr_t)out->values;
    out->arranged = (uint32_t *)(void *)p;
}

void activations_prepare(const struct isa *isa, const struct qmatrix *m, const float *x,
                         size_t tokens, void *scratch, struct activations *out)
{
    activations_begin(isa, m, x, tokens, scratch, out);
    isa->prepare(m, out, 0, activations_tiles(out));
}
