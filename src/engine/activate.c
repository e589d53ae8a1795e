#include "activate.h"

#include "kernels/ops.h"

#include <math.h>

static void silu(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] /= 1 + expf(-x[i]);
}

static void gelu(float *x, size_t n)
{
    operators_current()->gelu(x, n);
}

static void gelu_tanh(float *x, size_t n)
{
    operators_current()->gelu_tanh(x, n);
}

/* NaN stays NaN. */
static void relu(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] < 0 ? 0 : x[i];
}

static void relu_squared(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] < 0 ? 0 : x[i] * x[i];
}

void activate(enum activation kind, float *x, size_t n)
{
    static void (*const functions[ACTIVATIONS])(float *, size_t) = {
        [ACTIVATION_SILU] = silu, [ACTIVATION_GELU_TANH] = gelu_tanh, [ACTIVATION_GELU] = gelu,
        [ACTIVATION_RELU] = relu, [ACTIVATION_RELU_SQUARED] = relu_squared};
    functions[kind](x, n);
}

static float softplus(float x)
{
    return x > 20 ? x : log1pf(expf(x));
}

void xielu(const struct xielu *numbers, float *x, size_t n)
{
    float beta = numbers->beta, above = softplus(numbers->positive), below = beta + softplus(numbers->negative);
    for (size_t i = 0; i < n; i++) {
        float y = x[i] < numbers->eps ? x[i] : numbers->eps;
        x[i] = beta * x[i] + (x[i] > 0 ? above * x[i] * x[i] : below * (expm1f(y) - x[i]));
    }
}
