/* activations.h - what a matrix multiplies: the columns of T tokens, turned into a scheme's
 * activation datatype per token (one scale a token, dynamic or calibrated), and arranged as a kernel
 * reads them. Before that they are divided by an input scale; outlier columns become 0. */
#ifndef QTOP_ACTIVATIONS_H
#define QTOP_ACTIVATIONS_H

#include "matrix.h"

struct isa;

/* Kernels of panels take tokens in tiles, a few at a time. Of a tile they read, line after line of a
 * panel, 32-bit words: for each token one that belongs to the columns of a lane's 32 bits. Columns
 * that fill up a line are zero. */
enum pack {
    PACK_NONE,    /* the kernel reads values or codes below */
    PACK_F32, /* a column a word, fp32 */
    PACK_BF16X2,  /* two columns a word, bf16 */
    PACK_I8X4,  /* four columns a word, signed bytes; of int4 lines 0 4 1 5, then 2 6 3 7 */
    PACK_F32X64,  /* of blocks, fp32: token after token, see struct activation_slice */
    PACK_I16X2  /* columns 0 and 2, then 1 and 3 of an int8 line, as 16-bit integers */
};

/* 64 columns as kernels of blocks take them: those of byte b of each word of codes together (struct
 * block_layout), then their sum lane by lane, times minus the center of the codes where they have one. Where
 * kernels have `factors`, codes are cut out of words but not moved, and columns have the factor that undoes it.
 * Columns beyond the last are 0. */
struct activation_slice {
    float columns[4][PANEL_ROWS];
    float sums[PANEL_ROWS];
};

struct activations {
    size_t tokens, cols;
    bool integers;
    const float *values;  /* tokens x cols: rounded to the activation dtype, before the scale */
    int8_t *codes;        /* tokens x cols, integer activations */
    float *scales;        /* tokens; null where every scale is 1 */
    int32_t *zeros;       /* tokens: zero point of the codes (0 when symmetric) */
    int32_t *sums;        /* tokens x groups of the matrix: sums of codes, for zero points */
    float *rounded;       /* the memory behind values where they are not the caller's own */
    const float *input;   /* the caller's ... */
    float *transformed;         /* ... as the matrix takes it (struct input_transform); null where that is the same */

    enum pack pack;
    size_t tile_tokens;   /* tokens of a whole tile; the last one may have fewer */
    size_t append_ones;          /* 1 where each tile ends with a token of ones, which sums weights up */
    size_t mr;            /* tile + ones: tokens side by side in memory of a whole tile */
    size_t words;         /* a token's words */
    const float *factors; /* of the 8 columns of an int4 line, where float kernels want them: 2^-n for a nibble
                           * that n bits lie below, but for the top one; null where all are 1, of blocks too */
    bool zero_copy;        /* one token's values or codes stand as the kernel reads them */
    uint32_t *packed;   /* tile after tile, words x tokens of the tile; lines of blocks token after token */
    void *tile_sums;      /* tile after tile, groups x tokens: sums of (values) or (codes - zero) */
};

/* Bytes of scratch that activations_prepare needs for any matrix of at most `cols` columns. */
size_t activations_scratch(size_t cols, size_t tokens);

/* How many tiles the tokens make. */
size_t activations_tiles(const struct activations *x);

/* Lays out tokens x cols floats x for matrix m in scratch (aligned to 64), for isa's kernels; nothing
 * is computed yet: isa->prepare does that, tile by tile, on any thread. x must live as long as *out. */
void activations_begin(const struct isa *isa, const struct qmatrix *m, const float *x,
                       size_t tokens, void *scratch, struct activations *out);

/* The same, and prepares every tile. Non-finite inputs quantize without undefined behaviour. */
void activations_prepare(const struct isa *isa, const struct qmatrix *m, const float *x,
                         size_t tokens, void *scratch, struct activations *out);

#endif
