/* How many weights a model has, and how many of them are not finite. */
#include "format.h"

#include <math.h>
#include <string.h>

static const size_t SMALL_FILE = 256 << 20;

/* Weights of row r that are not finite, where each is a number of its own. */
static size_t nonfinite_floats(const struct qmatrix *w, size_t r)
{
    enum { CHUNK = 512 };
    float values[CHUNK];
    size_t count = 0;
    for (size_t c = 0, n; c < w->cols; c += n) {
        n = w->cols - c < CHUNK ? w->cols - c : CHUNK;
        qmatrix_decode(w, r, c, n, values);
        for (size_t i = 0; i < n; i++)
            count += isfinite(values[i]) ? 0 : 1;
    }
    return count;
}

/* In blocks: a factor of fp16 counts as all weights of its block. A power of two is finite, its products may not be. */
static size_t nonfinite_blocks(const struct qmatrix *w, size_t r)
{
    const struct dtype_info *type = &dtypes[w->format.weight];
    const uint8_t *block = w->codes + r * w->row_bytes;
    size_t count = 0;
    if (type->factor != FACTOR_FP16)
        return nonfinite_floats(w, r);
    for (size_t c = 0; c < w->cols; c += type->block, block += type->block_bytes) {
        uint16_t first, second;
        memcpy(&first, block + type->factors[0], sizeof first);
        memcpy(&second, block + type->factors[1], sizeof second);
        bool finite = isfinite(fp16_decode(first)) && isfinite(fp16_decode(second));
        count += finite ? 0 : type->block;
    }
    return count;
}

/* With scales: each counts as all weights of its group. */
static size_t nonfinite_groups(const struct qmatrix *w, size_t r)
{
    size_t count = 0;
    for (size_t g = 0; g < w->groups; g++)
        count += isfinite(qmatrix_scale(w, r, g)) ? 0 : w->group;
    return count;
}

void model_count(struct model *m)
{
    static size_t (*const nonfinite[])(const struct qmatrix *, size_t) = {
        [DTYPE_KIND_FLOAT] = nonfinite_floats,
        [DTYPE_KIND_SCALED_FLOAT] = nonfinite_floats, /* which may be NaN themselves */
        [DTYPE_KIND_INTEGER] = nonfinite_groups,
        [DTYPE_KIND_BLOCK] = nonfinite_blocks,
    };
    bool small = catalog_bytes(&m->files) <= SMALL_FILE;
    m->parameters = m->non_finite = 0;
    for (size_t i = 0; i < m->tensor_count; i++) {
        const struct qmatrix *w = &m->tensors[i].stored;
        m->parameters += w->rows * w->cols;
        for (size_t r = 0; r < w->rows && small; r++)
            m->non_finite += nonfinite[dtypes[w->format.weight].kind](w, r);
    }
}
