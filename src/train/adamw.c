#include "adamw.h"

#include <math.h>

struct adamw adamw_defaults(void)
{
    return (struct adamw){0.9, 0.999, 1e-8, 0};
}

void adamw_update(const struct adamw *a, float *w, const float *g, double factor, float *m, float *v, size_t n,
                  double rate, size_t step)
{
    double first = 1 - pow(a->beta1, (double)step), second = 1 - pow(a->beta2, (double)step);
    float beta1 = (float)a->beta1, beta2 = (float)a->beta2, new1 = (float)(1 - a->beta1);
    float new2 = (float)(1 - a->beta2), by = (float)factor, keep = (float)(1 - rate * a->decay);
    float move = (float)(rate / first), root = (float)(1 / sqrt(second)), epsilon = (float)a->epsilon;
    for (size_t i = 0; i < n; i++) {
        float d = g[i] * by;
        m[i] = beta1 * m[i] + new1 * d;
        v[i] = beta2 * v[i] + new2 * (d * d);
        w[i] = w[i] * keep - move * m[i] / (sqrtf(v[i]) * root + epsilon);
    }
}

double squares_sum(const float *x, size_t n)
{
    double lane[8] = {0}, sum = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t l = 0; l < 8; l++)
            lane[l] += (double)x[i + l] * (double)x[i + l];
    for (; i < n; i++)
        lane[0] += (double)x[i] * (double)x[i];
    for (size_t l = 0; l < 8; l++)
        sum += lane[l];
    return sum;
}

double clip_factor(double norm, double max)
{
    return norm > max ? max / norm : 1;
}

double cosine_rate(double peak, size_t step, size_t steps, size_t warmup)
{
    const double lowest = 0.01;
    if (step < warmup)
        return peak * (double)(step + 1) / (double)warmup;
    double along = steps > warmup ? (double)(step - warmup) / (double)(steps - warmup) : 1;
    return peak * (lowest + (1 - lowest) * 0.5 * (1 + cos(acos(-1.0) * (along < 1 ? along : 1))));
}
