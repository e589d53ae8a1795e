/* ops.h - the transformer's other operators, on fp32, for every instruction set.
 *
 * Written once, in ops.inc, and compiled for each instruction set. Sums run over 16 fixed lanes that
 * are added pairwise at the end, contraction is off and exp is the same polynomial everywhere, so all
 * instruction sets give the same bits. Vectors have n elements, from 1; in and out may be the same
 * unless stated. NaN in gives NaN out. */
#ifndef QTOP_OPS_H
#define QTOP_OPS_H

#include "kv.h"

/* Positions whose scores become weights together. */
enum { ATTENTION_SPAN = 8 * KV_BLOCK };

/* Attention of several tokens' queries over one head of the cache. `heads` query heads share that
 * head (grouped-query attention, Ainslie et al. 2023): a row of q and of out holds them next to each
 * other (heads x head_size), rows lie `stride` floats apart. The first token sees positions
 * 0..length-1, each later one sees one more; where there is a window (Beltagy et al. 2020), only the last
 * `window` of them. */
struct attention {
    struct kv_head kv;
    const float *q;
    float *out;
    size_t tokens, heads, stride, length; /* each from 1 */
    size_t window; /* 0: none */
    float scale;   /* of q k */
    float cap;     /* scores become cap tanh(score / cap) (Gemma 2, 2024, section 2); 0: they stay */
    float *scratch; /* attention_scratch floats */
};

/* Of the distributions P and Q whose logits are p and q, in nats. */
struct divergence {
    double log_sum_p, log_sum_q; /* log sum e^p: log P(i) = p[i] - log_sum_p */
    double kl;                   /* KL(P || Q) = sum P (log P - log Q), never below 0 */
};

/* Rows and columns of a tile: a cache line. */
enum { TILE_F32 = 16, TILE_F64 = 8 };

struct operators {
    /* Root-mean-square normalization (Zhang and Sennrich 2019):
     * out = weight * x / sqrt(mean x^2 + eps). */
    void (*rmsnorm)(float *out, const float *x, const float *weight, size_t n, float eps);
    /* Layer normalization (Ba et al. 2016):
     * out = weight * (x - mean) / sqrt(variance + eps) + bias. */
    void (*layernorm)(float *out, const float *x, const float *weight, const float *bias, size_t n,
                      float eps);
    /* x becomes exp(x - max) / sum: probabilities. */
    void (*softmax)(float *x, size_t n);
    /* Rotary position embedding (Su et al. 2021) of one head: pairs (2i, 2i+1) turn by angle i, whose
     * cosines and sines (n/2 of each) belong to the position. */
    void (*rope)(float *x, const float *cosines, const float *sines, size_t n);
    /* The same with pairs (i, i + n/2). */
    void (*rope_halves)(float *x, const float *cosines, const float *sines, size_t n);
    /* SwiGLU (Shazeer 2020): gate becomes silu(gate) * up. */
    void (*swiglu)(float *gate, const float *up, size_t n);
    /* GELU (Hendrycks and Gimpel 2016), x times the normal distribution's Phi(x): exact, and in the
     * approximation 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). */
    void (*gelu)(float *x, size_t n);
    void (*gelu_tanh)(float *x, size_t n);
    void (*add)(float *x, const float *y, size_t n);      /* x += y */
    void (*multiply)(float *x, const float *y, size_t n); /* x *= y */
    void (*soft_cap)(float *x, size_t n, float cap);      /* x becomes cap tanh(x / cap) */
    /* x becomes e^x, within 1 unit in the last place; below 2^-126 it is 0, above the largest
     * float infinity. */
    void (*exp)(float *x, size_t n);
    /* In double, exact in one thing: KL of equal logits is 0 (Kullback and Leibler 1951). Logits that are
     * not finite give NaN or infinity. */
    void (*divergence)(const float *p, const float *q, size_t n, struct divergence *out);
    /* softmax(q k scale) v in one pass over keys and values, a span at a time, with a
     * running maximum and sum (online softmax: Milakov and Gimelshein 2018; FlashAttention: Dao et
     * al. 2022). A block is decoded once for all queries. The result for a token does not depend on
     * the tokens beside it. */
    void (*attention)(const struct attention *attention);
    /* A tile of C += A^T B: c[i * stride + j] += sum over k < depth of a[k][i] b[k][j], where a and b are
     * panels of `depth` rows as wide as the tile. */
    void (*tile_add_f32)(const float *a, const float *b, size_t depth, float *c, size_t stride);
    void (*tile_add_f64)(const double *a, const double *b, size_t depth, double *c, size_t stride);
};

/* Floats of scratch for tokens x heads queries of a head size. */
size_t attention_scratch(size_t tokens, size_t heads, size_t head_size);

extern const struct operators operators_c; /* the plain build: NEON on aarch64, SSE2 on x86-64 */
#ifdef __x86_64__
extern const struct operators operators_avx2, operators_avx512;
#endif

/* The operators that go with the instruction set in use. */
const struct operators *operators_current(void);

/* The builds of this program that this machine can run, from 0; null past the end. */
struct operators_build {
    const char *isa; /* a name in dispatch.h begins with it */
    const struct operators *operators;
};
const struct operators_build *operators_at(size_t i);

#endif
