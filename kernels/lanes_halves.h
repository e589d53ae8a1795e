/* lanes_halves.h - 32 bytes of a block as two halves of sixteen in their order, where that is how lanes take
 * them. The including lanes_*.h has floats and integers. */
#ifndef QTOP_LANES_HALVES_H
#define QTOP_LANES_HALVES_H

typedef uint8_t bytes_16 __attribute__((vector_size(16)));
typedef uint8_t bytes_32 __attribute__((vector_size(32)));

/* The halves in their order. */
union bytes_halves {
    bytes_32 whole;
    bytes_16 half[2];
};

INLINE bytes_32 bytes_join(bytes_16 low, bytes_16 high)
{
    return (union bytes_halves){.half = {low, high}}.whole;
}

/* Signed bytes as floats, sixteen of the 32; activations stand as they are. */
#define BLOCK_ARRANGEMENT ARRANGED_NOT
#define BYTES_UNIT        1.0f

INLINE floats bytes_to_floats(bytes_32 x, size_t half)
{
    union bytes_halves halves = {.whole = x};
    return integers_to_floats(integers_from_bytes(&halves.half[half]));
}

/* Two numbers, the first for columns 0..15 and the second for columns 16..31: one for each half. */
enum { HALVES_ALIKE = false };

INLINE floats floats_two(const float *p, size_t half)
{
    return floats_all(p[half]);
}

/* Those of columns 0..15 or of 16..31 in every lane. */
INLINE floats floats_of_half(floats two, size_t half)
{
    (void)half;
    return two;
}

#endif
