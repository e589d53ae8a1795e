#include "select.h"

#include <stdlib.h>
#include <string.h>

enum { HALF = 1 << 16 };

/* Bits in the order of the values: those of negative ones count downwards. */
static uint32_t ordered(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

static float value_of(uint32_t ordered_bits)
{
    uint32_t bits = ordered_bits >> 31 ? ordered_bits & 0x7fffffffu : ~ordered_bits;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

bool select_open(struct selection *s, const size_t *rank, size_t ranks)
{
    *s = (struct selection){.ranks = ranks};
    memcpy(s->rank, rank, ranks * sizeof *rank);
    s->counts = calloc(ranks * HALF, sizeof *s->counts);
    return s->counts;
}

void select_close(struct selection *s)
{
    free(s->counts);
    *s = (struct selection){0};
}

void select_add(struct selection *s, const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = ordered(values[i]);
        if (!s->second)
            s->counts[bits >> 16]++;
        for (size_t k = 0; s->second && k < s->ranks; k++)
            if (bits >> 16 == s->upper[k])
                s->counts[k * HALF + (bits & 0xffff)]++;
    }
}

/* The half that holds a rank; *rank becomes that among the values of this half. */
static uint32_t half_of(const uint32_t *counts, size_t *rank)
{
    uint32_t half = 0;
    for (; half < HALF - 1 && *rank >= counts[half]; half++)
        *rank -= counts[half];
    return half;
}

void select_begin_second(struct selection *s)
{
    for (size_t k = 0; k < s->ranks; k++)
        s->upper[k] = half_of(s->counts, &s->rank[k]);
    memset(s->counts, 0, s->ranks * HALF * sizeof *s->counts);
    s->second = true;
}

float select_value(const struct selection *s, size_t i)
{
    size_t rank = s->rank[i];
    return value_of(s->upper[i] << 16 | half_of(s->counts + i * HALF, &rank));
}
