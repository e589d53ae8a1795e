/* sampler.h - choosing the next token. */
#ifndef QTOP_SAMPLER_H
#define QTOP_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

struct sampler {
    float temperature; /* 0: the most probable token */
    float top_p;       /* nucleus sampling (Holtzman et al. 2020); 1: the whole distribution */
    uint64_t state;    /* of the random numbers; sampler_seed sets it */
};

void sampler_seed(struct sampler *sampler, uint64_t seed);

/* 64 random bits. */
uint64_t sampler_bits(struct sampler *sampler);

/* Uniform in [0, 1), 24 bits. */
float sampler_uniform(struct sampler *sampler);

/* The index of the largest of n > 0 values, the first of equals; never outside 0..n-1. */
size_t sampler_argmax(const float *values, size_t n);

/* A token from n logits, which become probabilities unless the temperature is 0. order is scratch of
 * n elements. Stays inside 0..n-1 whatever the logits are, NaN included. */
size_t sampler_choose(struct sampler *sampler, float *logits, size_t n, int32_t *order);

#endif
