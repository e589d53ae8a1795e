#include "sampler.h"

#include "kernels/ops.h"

#include <stdlib.h>

/* SplitMix64 (Steele, Lea, Flood 2014): any seed is a good one. */
uint64_t sampler_bits(struct sampler *s)
{
    uint64_t z = s->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void sampler_seed(struct sampler *s, uint64_t seed)
{
    s->state = seed;
}

float sampler_uniform(struct sampler *s)
{
    return (float)(sampler_bits(s) >> 40) * 0x1p-24f;
}

size_t sampler_argmax(const float *values, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (values[i] > values[best])
            best = i;
    return best;
}

static int by_probability(const void *a, const void *b, void *arg)
{
    const float *p = arg;
    int32_t i = *(const int32_t *)a, k = *(const int32_t *)b;
    return p[i] != p[k] ? (p[i] < p[k]) - (p[i] > p[k]) : (i > k) - (i < k);
}

/* Draws from the smallest set of tokens whose probability reaches top_p, at cutoff one. Tokens that
 * cannot be in it are left out before sorting. */
static size_t choose_nucleus(float uniform, float top_p, const float *p, size_t n, int32_t *order)
{
    float cutoff = (1 - top_p) / (float)(n > 1 ? n - 1 : 1), mass = 0, sum = 0;
    size_t best = sampler_argmax(p, n);
    cutoff = p[best] < cutoff ? p[best] : cutoff;
    size_t count = 0, kept = 0;
    for (size_t i = 0; i < n; i++)
        if (p[i] >= cutoff)
            order[count++] = (int32_t)i;
    if (count == 0)
        return 0;
    qsort_r(order, count, sizeof *order, by_probability, (void *)(uintptr_t)p);
    while (kept < count && (kept == 0 || mass < top_p))
        mass += p[order[kept++]];
    for (size_t i = 0; i < kept; i++) {
        sum += p[order[i]];
        if (uniform * mass < sum)
            return (size_t)order[i];
    }
    return (size_t)order[kept > 0 ? kept - 1 : 0];
}

size_t sampler_choose(struct sampler *s, float *logits, size_t n, int32_t *order)
{
    if (!(s->temperature > 0))
        return sampler_argmax(logits, n);
    float largest = logits[sampler_argmax(logits, n)];
    for (size_t i = 0; i < n; i++) /* the largest becomes 0, so that no temperature overflows it */
        logits[i] = (logits[i] - largest) / s->temperature;
    operators_current()->softmax(logits, n);
    float uniform = sampler_uniform(s), sum = 0;
    if (s->top_p < 1)
        return choose_nucleus(uniform, s->top_p, logits, n, order);
    for (size_t i = 0; i < n; i++) {
        sum += logits[i];
        if (uniform < sum)
            return i;
    }
    return n - 1;
}
