#include "gradients.h"

#include "kernels/ops.h"

#include <math.h>
#include <string.h>

/* ---- norms ----------------------------------------------------------------------------------- */

/* With xn = (x - mean) r and g = w dy: dx = r (g - mean g - xn mean (g xn)), without the mean's term where the
 * norm has none. */
static void norm_gradient(const float *x, const float *w, const float *dy, size_t n, float eps, double mean,
                          double mean_g, float *dx, float *dw)
{
    double squares = 0, along = 0;
    for (size_t i = 0; i < n; i++) {
        double centred = (double)x[i] - mean;
        squares += centred * centred;
        along += (double)w[i] * (double)dy[i] * centred;
    }
    double r = 1 / sqrt(squares / (double)n + (double)eps);
    float scale = (float)r, shift = (float)mean, back = (float)(along * r * r / (double)n);
    float mean_gf = (float)mean_g;
    for (size_t i = 0; i < n; i++)
        dx[i] += scale * (w[i] * dy[i] - mean_gf - (x[i] - shift) * back);
    for (size_t i = 0; dw && i < n; i++)
        dw[i] += dy[i] * scale * (x[i] - shift);
}

void rmsnorm_gradient(const float *x, const float *w, const float *dy, size_t n, float eps, float *dx, float *dw)
{
    norm_gradient(x, w, dy, n, eps, 0, 0, dx, dw);
}

void layernorm_gradient(const float *x, const float *w, const float *dy, size_t n, float eps, float *dx,
                        float *dw, float *db)
{
    double mean = 0, mean_g = 0;
    for (size_t i = 0; i < n; i++) {
        mean += (double)x[i];
        mean_g += (double)w[i] * (double)dy[i];
    }
    norm_gradient(x, w, dy, n, eps, mean / (double)n, mean_g / (double)n, dx, dw);
    for (size_t i = 0; db && i < n; i++)
        db[i] += dy[i];
}

/* ---- positions and probabilities ------------------------------------------------------------- */

void rope_gradient(float *dx, const float *cosines, const float *sines, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        float a = dx[2 * i], b = dx[2 * i + 1];
        dx[2 * i] = a * cosines[i] + b * sines[i];
        dx[2 * i + 1] = b * cosines[i] - a * sines[i];
    }
}

void rope_halves_gradient(float *dx, const float *cosines, const float *sines, size_t n)
{
    for (size_t i = 0, half = n / 2; i < half; i++) {
        float a = dx[i], b = dx[i + half];
        dx[i] = a * cosines[i] + b * sines[i];
        dx[i + half] = b * cosines[i] - a * sines[i];
    }
}

/* The sum in 8 fixed lanes. */
static float dot(const float *a, const float *b, size_t n)
{
    float lane[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t l = 0; l < 8; l++)
            lane[l] += a[i + l] * b[i + l];
    for (size_t l = 0; i + l < n; l++)
        lane[l] += a[i + l] * b[i + l];
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

void softmax_gradient(const float *p, float *d, size_t n)
{
    float sum = dot(p, d, n);
    for (size_t i = 0; i < n; i++)
        d[i] = p[i] * (d[i] - sum);
}

void soft_cap_gradient(const float *y, float *d, size_t n, float cap)
{
    for (size_t i = 0; i < n; i++)
        d[i] *= 1 - (y[i] / cap) * (y[i] / cap);
}

/* ---- activations ----------------------------------------------------------------------------- */

enum { PIECE = 256 };

/* d silu(x) / dx = s (1 + x (1 - s)), s the logistic function of x. */
static void swiglu_piece(const float *gate, const float *up, const float *dy, size_t n, float *dgate, float *dup)
{
    float e[PIECE];
    for (size_t i = 0; i < n; i++)
        e[i] = -gate[i];
    operators_current()->exp(e, n);
    for (size_t i = 0; i < n; i++) {
        float s = 1 / (1 + e[i]), x = gate[i], d = dy[i];
        dup[i] = d * (x * s);
        dgate[i] = d * up[i] * (s * (1 + x * (1 - s)));
    }
}

void swiglu_gradient(const float *gate, const float *up, const float *dy, size_t n, float *dgate, float *dup)
{
    for (size_t i = 0; i < n; i += PIECE)
        swiglu_piece(gate + i, up + i, dy + i, n - i < PIECE ? n - i : PIECE, dgate + i, dup + i);
}

/* x s(x): s + x s (1 - s). */
void silu_gradient(const float *x, float *d, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float s = 1 / (1 + expf(-x[i]));
        d[i] *= s + x[i] * s * (1 - s);
    }
}

void relu_gradient(const float *x, float *d, size_t n)
{
    for (size_t i = 0; i < n; i++)
        d[i] = x[i] < 0 ? 0 : d[i];
}

void relu_squared_gradient(const float *x, float *d, size_t n)
{
    for (size_t i = 0; i < n; i++)
        d[i] *= x[i] < 0 ? 0 : 2 * x[i];
}

/* d (x Phi(x)) / dx = Phi(x) + x phi(x). */
void gelu_gradient(const float *x, float *d, size_t n)
{
    for (size_t i = 0; i < n; i++)
        d[i] *= 0.5f * (1 + erff(x[i] * 0.707106781f)) + x[i] * 0.398942280f * expf(-0.5f * x[i] * x[i]);
}

/* x s(u), u = 2 sqrt(2/pi) (x + 0.044715 x^3): s + x s (1 - s) du/dx. */
void gelu_tanh_gradient(const float *x, float *d, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float u = 1.59576912f * (x[i] + 0.044715f * (x[i] * x[i] * x[i]));
        float s = 1 / (1 + expf(-u)), slope = 1.59576912f * (1 + 3 * 0.044715f * x[i] * x[i]);
        d[i] *= s + x[i] * s * (1 - s) * slope;
    }
}

/* ---- the loss -------------------------------------------------------------------------------- */

double loss_gradient(const struct loss *loss, const float *teacher, const float *logits, int32_t next, size_t n,
                     float *d, float *scratch)
{
    const struct operators *ops = operators_current();
    float *p = scratch, *q = scratch + n, share = (float)loss->share, factor = (float)loss->factor;
    struct divergence v;
    ops->divergence(teacher, logits, n, &v);
    double entropy = v.log_sum_q - (double)logits[next];
    if (d) {
        memcpy(p, teacher, n * sizeof *p);
        memcpy(q, logits, n * sizeof *q);
        ops->softmax(p, n);
        ops->softmax(q, n);
        for (size_t i = 0; i < n; i++)
            d[i] = factor * (q[i] - share * p[i]);
        d[next] -= factor * (1 - share);
    }
    return loss->share * v.kl + (1 - loss->share) * entropy;
}
