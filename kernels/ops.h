/* ops.h - the transformer's other operators, on fp32, for every instruction set.
 *
 * Written once, in ops.inc, and compiled for each instruction set. Sums use 16 fixed lanes that are added
 * pairwise at the end, contraction is off and exp is the same polynomial everywhere, so all instruction sets
 * give the same bits. Vectors have n >= 1 elements; in and out may be the same unless stated. NaN in gives
 * NaN out. */
#ifndef QTOP_OPS_H
#define QTOP_OPS_H

#include "kv.h"

/* Positions of one step of the online softmax. */
enum { ATTENTION_SPAN = 8 * KV_BLOCK };

/* Attention of several tokens over one KV head, which `heads` query heads share (grouped-query attention, Ainslie
 * et al. 2023). The first token attends to positions 0..length-1, each later one to one more. */
struct attention {
    struct kv_head kv;
    const float *q;  /* tokens x heads x head_size, a token every `stride` floats */
    float *out;      /* the same shape */
    size_t tokens, heads; /* each from 1 */
    size_t stride;   /* floats from a token to the next, in q and in out */
    size_t length;   /* positions that the first token attends to, from 1 */
    size_t window;   /* only the last `window` positions count (Beltagy et al. 2020); 0: all */
    float scale;     /* multiplies q k */
    float cap;       /* scores become cap tanh(score / cap) (Gemma 2, 2024, section 2); 0: unchanged */
    const float *sinks; /* of each head a score that takes its share of the softmax and has no value (GPT-OSS, 2025);
                           null: none */
    float *scratch;  /* attention_scratch floats */
};

/* Of the distributions P and Q whose logits are p and q, in nats. */
struct divergence {
    double log_sum_p; /* log sum e^p: log P(i) = p[i] - log_sum_p */
    double log_sum_q; /* log sum e^q */
    double kl;        /* KL(P || Q) = sum P (log P - log Q), never below 0 */
};

/* Rows and columns of a tile of tile_add: one cache line. */
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
    /* Rotary position embedding (Su et al. 2021) of one head: pairs (2i, 2i+1) are rotated by angle i of the
     * position; cosines and sines have n/2 elements. */
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
    /* KL divergence (Kullback and Leibler 1951) in double; that of equal logits is exactly 0. Logits that are
     * not finite give NaN or infinity. */
    void (*divergence)(const float *p, const float *q, size_t n, struct divergence *out);
    /* softmax(q k scale) v in one pass over keys and values, ATTENTION_SPAN positions at a time, with a running
     * maximum and sum (online softmax: Milakov and Gimelshein 2018; FlashAttention: Dao et al. 2022). A KV
     * block is decoded once for all queries. The result for a token does not depend on the other tokens. */
    void (*attention)(const struct attention *attention);
    /* A tile of C += A^T B: c[i * stride + j] += sum over k < depth of a[k][i] b[k][j]. a and b have `depth` rows
     * as wide as the tile. */
    void (*tile_add_f32)(const float *a, const float *b, size_t depth, float *c, size_t stride);
    void (*tile_add_f64)(const double *a, const double *b, size_t depth, double *c, size_t stride);
};

/* Floats of scratch for the attention of tokens x heads queries. */
size_t attention_scratch(size_t tokens, size_t heads, size_t head_size);

extern const struct operators operators_c; /* the plain build: NEON on aarch64, SSE2 on x86-64 */
#ifdef __x86_64__
extern const struct operators operators_avx2, operators_avx512;
#endif

/* The operators that go with the instruction set in use. */
const struct operators *operators_current(void);

/* The builds of this program that this machine can run, from 0; null past the end. */
struct operators_build {
    const char *isa; /* prefix of the names in dispatch.h that use it */
    const struct operators *operators;
};
const struct operators_build *operators_at(size_t i);

#endif
