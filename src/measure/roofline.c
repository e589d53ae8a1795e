#include "roofline.h"

/* Weights that one token is multiplied by. */
static double multiplied_weights(const struct model *m)
{
    double sum = 0;
    for (int t = 0; t < (int)m->tensor_count; t++)
        if (tensor_multiplies(m, t))
            sum += tensor_share(m, t) * (double)m->tensors[t].stored.rows * (double)m->tensors[t].stored.cols;
    return sum;
}

/* Queries with keys, and probabilities with values, of one token that sees so many positions. */
static double attention_macs(const struct model *m, double positions)
{
    double elements = 0;
    for (size_t b = 0; b < m->hyper.layers; b++)
        elements += (double)(m->layers[b].heads * m->layers[b].head_size);
    return 2 * elements * positions;
}

/* What n tokens read of experts beyond what one does. */
static double more_experts(const struct model *m, const struct weights *set, double n)
{
    double bytes = 0;
    for (int t = 0; t < (int)m->tensor_count; t++)
        bytes += (tensor_share_of_any(m, t, n) - tensor_share(m, t)) * (double)set->layer[t]->matrix.bytes;
    return bytes;
}

struct work work_of_step(const struct model *m, const struct weights *set, size_t sequences, size_t position)
{
    double n = (double)sequences, weights_bytes = (double)weights_bytes_per_token(m, set, 0);
    double cache = (double)weights_bytes_per_token(m, set, position) - weights_bytes;
    return (struct work){.macs = n * (multiplied_weights(m) + attention_macs(m, (double)position + 1)),
                         .bytes = weights_bytes + more_experts(m, set, n) + n * cache};
}

struct work work_of_prompt(const struct model *m, const struct weights *set, size_t n)
{
    double tokens = (double)n;
    return (struct work){.macs = tokens * (multiplied_weights(m) + attention_macs(m, (tokens + 1) / 2)),
                         .bytes = (double)weights_bytes_per_token(m, set, n) + more_experts(m, set, tokens)};
}

struct work work_of_tensor(const struct model *m, const struct qtensor *q, double seconds)
{
    double share = tensor_share(m, q->tensor);
    return (struct work){.macs = share * (double)q->matrix.rows * (double)q->matrix.cols,
                         .bytes = share * (double)q->matrix.bytes,
                         .seconds = seconds};
}

double work_intensity(const struct work *w)
{
    return w->bytes > 0 ? w->macs / w->bytes : 0;
}

double work_rate(const struct work *w)
{
    return w->seconds > 0 ? w->macs / w->seconds : 0;
}

/* Integers are multiplied by integers in dot products of bytes; weights that are exact in bf16, by bf16 and fp8
 * activations in dot products of bf16, where there are any. Everything else is decoded to fp32. */
enum peak roofline_peak(const struct isa *isa, const struct qformat *s)
{
    if (!isa->peak_fp32)
        return PEAK_COUNT;
    if (dtypes[s->act].kind == DTYPE_KIND_INTEGER)
        return PEAK_INT8;
    bool pairs = isa->peak_bf16 && s->weight != DTYPE_FP32 && s->weight != DTYPE_FP16 &&
                 (s->act == DTYPE_BF16 || dtypes[s->act].kind == DTYPE_KIND_SCALED_FLOAT);
    return pairs ? PEAK_BF16 : PEAK_FP32;
}

enum peak roofline_peak_of_set(const struct isa *isa, const struct model *m, const struct weights *set)
{
    double weights[PEAK_COUNT + 1] = {0};
    enum peak largest = PEAK_FP32;
    for (int t = 0; t < (int)m->tensor_count; t++) {
        const struct qmatrix *w = &set->layer[t]->matrix;
        if (tensor_multiplies(m, t))
            weights[roofline_peak(isa, &w->format)] += (double)w->rows * (double)w->cols;
    }
    for (enum peak p = PEAK_FP32; p <= PEAK_COUNT; p++)
        largest = weights[p] > weights[largest] ? p : largest;
    return largest;
}

struct verdict roofline_judge(const struct work *w, double read, double peak)
{
    struct verdict v = {BOUND_UNKNOWN, 0, 0};
    double slope = read * work_intensity(w);
    if (slope > 0 && (peak <= 0 || slope <= peak))
        v = (struct verdict){BOUND_MEMORY, slope, 0};
    else if (peak > 0)
        v = (struct verdict){BOUND_ARITHMETIC, peak, 0};
    if (v.allowed > 0)
        v.share = work_rate(w) / v.allowed;
    return v;
}
