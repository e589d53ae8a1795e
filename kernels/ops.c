#include "ops.h"

#include <math.h>
#include <string.h>

void op_rmsnorm(float *out, const float *x, const float *weight, size_t n, float eps)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    float scale = 1.0f / sqrtf(sum / (float)n + eps);
    for (size_t i = 0; i < n; i++)
        out[i] = weight[i] * (scale * x[i]);
}

void op_softmax(float *x, size_t n)
{
    float max = x[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (size_t i = 0; i < n; i++)
        sum += x[i] = expf(x[i] - max);
    for (size_t i = 0; i < n; i++)
        x[i] /= sum;
}

void op_rope(float *x, const float *cosines, const float *sines, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = a * cosines[i] - b * sines[i];
        x[2 * i + 1] = a * sines[i] + b * cosines[i];
    }
}

void op_swiglu(float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gate[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

void op_add(float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
}

void op_attention(float *out, const float *q, const float *k, const float *v, size_t n,
                  size_t stride, size_t length, float *scores)
{
    float scale = 1.0f / sqrtf((float)n);
    for (size_t p = 0; p < length; p++) {
        float sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += q[i] * k[p * stride + i];
        scores[p] = sum * scale;
    }
    op_softmax(scores, length);
    memset(out, 0, n * sizeof *out);
    for (size_t p = 0; p < length; p++)
        for (size_t i = 0; i < n; i++)
            out[i] += scores[p] * v[p * stride + i];
}
