#include "outliers.h"

#include "kernels/dispatch.h"
#include "on_demand.h"

#include <stdlib.h>

bool outliers_parse(const char *text, struct outliers *out, struct error *error)
{
    char *end;
    unsigned long channels = strtoul(text, &end, 10);
    bool ok = *text >= '0' && *text <= '9' && channels > 0 && channels <= 1 << 20 && *end == ':';
    char *rest = end;
    float factor = ok ? strtof(end + 1, &rest) : 0;
    ok = ok && rest > end + 1 && !*rest && factor > 1 && factor <= OUTLIERS_MAX;
    *out = (struct outliers){channels, factor};
    return ok || error_set(error, "outliers '%.40s': expected K:FACTOR, K channels times a factor from above 1 "
                                  "to %d, such as 2:100", text, OUTLIERS_MAX);
}

size_t outliers_channel(const struct outliers *o, size_t dim, size_t i)
{
    return (2 * i + 1) * dim / (2 * o->channels);
}

/* A tensor in fp32, with some columns multiplied. */
static bool rewrite(struct model *m, int tensor, const struct outliers *o, float factor,
                    struct error *error)
{
    struct qmatrix *w = &m->tensors[tensor].stored;
    struct qformat fp32 = qformat_default(DTYPE_FP32);
    float *values = malloc(w->rows * w->cols * sizeof *values);
    if (!values)
        return error_set(error, "%s: not enough memory to rewrite it", m->tensors[tensor].name);
    fp32.stored = true;
    for (size_t r = 0; r < w->rows; r++) {
        float *row = values + r * w->cols;
        isa_current()->decode_row(w, r, row);
        for (size_t i = 0; i < o->channels; i++)
            row[outliers_channel(o, w->cols, i)] *= factor;
    }
    size_t rows = w->rows, cols = w->cols, row_bytes = cols * sizeof *values;
    qmatrix_free(w);
    *w = (struct qmatrix){.rows = rows, .cols = cols, .format = fp32, .group = cols, .groups = 1,
                          .row_bytes = row_bytes, .bytes = rows * row_bytes,
                          .codes = (const uint8_t *)values, .owned = values};
    return true;
}

/* The norms, their biases and what they feed. */
static const struct {
    enum role role;
    bool up;
} rewritten[] = {
    {ROLE_ATTN_NORM, true}, {ROLE_ATTN_NORM_BIAS, true}, {ROLE_ATTN_QKV, false},
    {ROLE_ATTN_Q, false},   {ROLE_ATTN_K, false},        {ROLE_ATTN_V, false},
    {ROLE_FFN_NORM, true},  {ROLE_FFN_NORM_BIAS, true},  {ROLE_FFN_GATE_UP, false},
    {ROLE_FFN_GATE, false}, {ROLE_FFN_UP, false},
};

bool outliers_inject(struct model *m, const struct outliers *o, struct error *error)
{
    if (o->channels > m->hyper.dim)
        return error_set(error, "%zu outlier channels: the model is %zu wide", o->channels, m->hyper.dim);
    if (m->on_demand)
        return error_set(error, "outliers cannot be injected into random weights; name a MODEL");
    for (size_t block = 0; block < m->hyper.layers; block++)
        for (size_t i = 0; i < sizeof rewritten / sizeof *rewritten; i++) {
            int tensor = model_find(m, rewritten[i].role, (int)block);
            float factor = rewritten[i].up ? o->factor : 1 / o->factor;
            if (tensor >= 0 && !rewrite(m, tensor, o, factor, error))
                return false;
        }
    return true;
}
