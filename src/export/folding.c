#include "folding.h"

#include "engine/layerwise.h"
#include "quant/scheme.h"

#include <stdlib.h>
#include <string.h>

static const char *name_of(const struct folding *f, int tensor)
{
    return f->model->tensors[tensor].name;
}

/* The divisors of a tensor, at first all 1. */
static float *divisors(struct folding *f, int tensor, struct error *error)
{
    const struct tensor *t = &f->model->tensors[tensor];
    size_t n = roles[t->role].vector ? t->stored.cols : t->stored.rows;
    float *d = f->divisor[tensor];
    if (d)
        return d;
    f->divisor[tensor] = d = malloc((n + 1) * sizeof *d);
    for (size_t i = 0; d && i < n; i++)
        d[i] = 1;
    if (!d)
        error_set(error, "not enough memory");
    return d;
}

/* One divisor for each element of a norm, or of some rows of a matrix and of its bias. */
static bool divide(struct folding *f, enum role role, int block, size_t first, const float *scale, size_t n,
                   struct error *error)
{
    int tensor = model_find(f->model, role, block);
    if (tensor < 0)
        return true;
    float *d = divisors(f, tensor, error);
    for (size_t i = 0; d && i < n; i++)
        d[first + i] *= scale[i];
    return d != NULL;
}

static bool has(const struct folding *f, enum role role)
{
    return f->model->has & ROLE_BIT(role);
}

/* ---- before each input group ----------------------------------------------------------------- */

static bool into_norm(struct folding *f, enum role norm, enum role bias, int block, int tensor,
                      const float *scale, struct error *error)
{
    size_t dim = f->model->hyper.dim;
    if (model_find(f->model, norm, block) < 0)
        return error_set(error, "%s: its input scale cannot be folded: no norm comes before it",
                         name_of(f, tensor));
    return divide(f, norm, block, 0, scale, dim, error) && divide(f, bias, block, 0, scale, dim, error);
}

static bool into_values(struct folding *f, int block, int tensor, const float *scale, struct error *error)
{
    const struct hyper *h = &f->model->hyper;
    bool fused = has(f, ROLE_ATTN_QKV);
    size_t shared = h->heads / h->kv_heads, rows = h->kv_heads * h->head_size;
    size_t first = fused ? (h->heads + h->kv_heads) * h->head_size : 0;
    float *of_rows = malloc((rows + 1) * sizeof *of_rows);
    if (!of_rows)
        return error_set(error, "not enough memory");
    bool same = true;
    for (size_t c = 0; c < h->heads * h->head_size; c++) {
        size_t head = c / h->head_size, row = head / shared * h->head_size + c % h->head_size;
        if (head % shared == 0)
            of_rows[row] = scale[c];
        same = same && of_rows[row] == scale[c];
    }
    bool ok = same || error_set(error, "%s: its input scale cannot be folded into the values: %zu heads share "
                                       "each of them and have scales of their own; expected a scheme without "
                                       "an input scale there", name_of(f, tensor), shared);
    ok = ok && divide(f, fused ? ROLE_ATTN_QKV : ROLE_ATTN_V, block, first, of_rows, rows, error) &&
         divide(f, fused ? ROLE_ATTN_QKV_BIAS : ROLE_ATTN_V_BIAS, block, first, of_rows, rows, error);
    free(of_rows);
    return ok;
}

static bool into_up(struct folding *f, int block, int tensor, const float *scale, struct error *error)
{
    size_t hidden = f->model->hyper.hidden;
    bool fused = has(f, ROLE_FFN_GATE_UP);
    if (!fused && !has(f, ROLE_FFN_GATE))
        return error_set(error, "%s: its input scale cannot be folded: the activation function comes before "
                                "it; expected a scheme without an input scale there", name_of(f, tensor));
    return divide(f, fused ? ROLE_FFN_GATE_UP : ROLE_FFN_UP, block, fused ? hidden : 0, scale, hidden, error) &&
           divide(f, ROLE_FFN_UP_BIAS, block, 0, scale, hidden, error);
}

static bool fold(struct folding *f, size_t input_group, int tensor, const float *scale, struct error *error)
{
    const struct model *m = f->model;
    int block = (int)(input_group / INPUT_GROUP_KINDS);
    if (input_group == INPUT_GROUP_KINDS * m->hyper.layers && m->tied)
        return error_set(error, "%s: its input scale cannot be folded: the table is the embedding, too; "
                                "expected a scheme without an input scale there", name_of(f, tensor));
    if (input_group == INPUT_GROUP_KINDS * m->hyper.layers)
        return into_norm(f, ROLE_OUTPUT_NORM, ROLE_OUTPUT_NORM_BIAS, -1, tensor, scale, error);
    switch ((enum input_group)(input_group % INPUT_GROUP_KINDS)) {
    case INPUT_GROUP_QKV: return into_norm(f, ROLE_ATTN_NORM, ROLE_ATTN_NORM_BIAS, block, tensor, scale, error);
    case INPUT_GROUP_FFN: return into_norm(f, ROLE_FFN_NORM, ROLE_FFN_NORM_BIAS, block, tensor, scale, error);
    case INPUT_GROUP_ATTN_OUT: return into_values(f, block, tensor, scale, error);
    default: return into_up(f, block, tensor, scale, error);
    }
}

/* ---- all ------------------------------------------------------------------------------------- */

/* scales: of each tensor its input scale, or null. */
static bool fold_site(struct folding *f, const float *const *scales, size_t input_group, struct error *error)
{
    int tensors[INPUT_GROUP_TENSORS];
    size_t n = layerwise_group_tensors(f->model, input_group, tensors), scaled = n;
    for (size_t i = n; i > 0; i--)
        scaled = scales[tensors[i - 1]] ? i - 1 : scaled;
    if (scaled == n)
        return true;
    const float *scale = scales[tensors[scaled]];
    size_t bytes = f->model->tensors[tensors[scaled]].stored.cols * sizeof *scale;
    for (size_t i = 0; i < n; i++) {
        const float *other = scales[tensors[i]];
        if (!other || memcmp(other, scale, bytes) != 0)
            return error_set(error, "%s: its input scale cannot be folded: %s takes the same input and has %s; "
                                    "expected the same scheme for both", name_of(f, tensors[scaled]),
                             name_of(f, tensors[i]), other ? "another one" : "none");
    }
    return fold(f, input_group, tensors[scaled], scale, error);
}

static bool fold_all(struct folding *f, const struct model *m, const float *const *scales, struct error *error)
{
    *f = (struct folding){m, calloc(m->tensor_count + 1, sizeof *f->divisor)};
    bool ok = f->divisor ? true : error_set(error, "not enough memory");
    for (size_t input_group = 0; ok && input_group < layerwise_groups(m); input_group++)
        ok = fold_site(f, scales, input_group, error);
    if (!ok)
        folding_close(f);
    return ok;
}

bool folding_open(struct folding *f, const struct model *m, const struct weights *set, struct error *error)
{
    const float **scales = calloc(m->tensor_count + 1, sizeof *scales);
    for (size_t i = 0; scales && i < m->tensor_count; i++)
        scales[i] = set->layer[i]->matrix.input_transform ? set->layer[i]->matrix.input_transform->scale : NULL;
    *f = (struct folding){0};
    bool ok = scales ? fold_all(f, m, scales, error) : error_set(error, "not enough memory");
    free(scales);
    return ok;
}

/* Numbers that are all different, from which every scheme of a input group gets its own run. */
static float *make_ramp(const struct model *m)
{
    size_t widest = 0;
    for (size_t i = 0; i < m->tensor_count; i++)
        widest = m->tensors[i].stored.cols > widest ? m->tensors[i].stored.cols : widest;
    float *ramp = malloc((widest + INPUT_GROUP_TENSORS) * sizeof *ramp);
    for (size_t i = 0; ramp && i < widest + INPUT_GROUP_TENSORS; i++)
        ramp[i] = 1 + (float)i;
    return ramp;
}

static void give_runs(const struct model *m, size_t input_group, const struct scheme *schemes, const float *ramp,
                      const float **scales)
{
    int tensors[INPUT_GROUP_TENSORS];
    size_t n = layerwise_group_tensors(m, input_group, tensors);
    for (size_t i = 0; i < n; i++) {
        size_t first = 0;
        while (!scheme_equal(&schemes[tensors[first]], &schemes[tensors[i]]))
            first++;
        if (scheme_scales_inputs(&schemes[tensors[i]]))
            scales[tensors[i]] = ramp + first;
    }
}

bool folding_foresee(const struct model *m, const struct scheme *schemes, struct error *error)
{
    const float **scales = calloc(m->tensor_count + 1, sizeof *scales);
    float *ramp = make_ramp(m);
    struct folding f = {0};
    for (size_t input_group = 0; scales && ramp && input_group < layerwise_groups(m); input_group++)
        give_runs(m, input_group, schemes, ramp, scales);
    bool ok = scales && ramp ? fold_all(&f, m, scales, error) : error_set(error, "not enough memory");
    folding_close(&f);
    free(scales);
    free(ramp);
    return ok;
}

void folding_close(struct folding *f)
{
    for (size_t i = 0; f->divisor && i < f->model->tensor_count; i++)
        free(f->divisor[i]);
    free(f->divisor);
    *f = (struct folding){0};
}

float folding_divisor(const struct folding *f, int tensor, size_t r, size_t c)
{
    const float *d = f->divisor[tensor];
    if (!d)
        return 1;
    return roles[f->model->tensors[tensor].role].vector ? d[c] : d[r];
}
