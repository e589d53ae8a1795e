#include "clip.h"

#include <math.h>

enum { PIECE = 256 };

struct value_range clip_range(struct value_range whole, size_t trial, double min_share)
{
    float share = (float)(1 - (1 - min_share) * (double)trial / (CLIP_TRIALS - 1));
    return (struct value_range){whole.min * share, whole.max * share};
}

double clip_error(const struct qmatrix *m, struct quant_params params, const float *w, size_t n,
                  const float *importance)
{
    float back[PIECE];
    double sum = 0;
    for (size_t done = 0; done < n; done += PIECE) {
        size_t part = n - done < PIECE ? n - done : PIECE;
        quantize_values(m, params, w + done, part, back);
        for (size_t i = 0; i < part; i++) {
            double e = (double)back[i] - (double)w[done + i];
            if (isfinite(e))
                sum += (importance ? (double)importance[done + i] : 1) * e * e;
        }
    }
    return sum;
}

struct quant_params clip_params(const struct qmatrix *m, const float *w, size_t n, const float *importance,
                                double min_share)
{
    struct value_range range = {0, 0};
    value_range_add(&range, w, n);
    struct quant_params best = quantize_params(m, range);
    double best_error = clip_error(m, best, w, n, importance);
    for (size_t trial = 1; trial < CLIP_TRIALS && best_error > 0; trial++) {
        struct quant_params params = quantize_params(m, clip_range(range, trial, min_share));
        double error = clip_error(m, params, w, n, importance);
        if (error < best_error) {
            best = params;
            best_error = error;
        }
    }
    return best;
}
