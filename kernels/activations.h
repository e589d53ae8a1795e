/* activations.h - the activations that a matrix multiplies: cols values of each token. They are divided by
 * the input scale, and outlier columns become 0; then they are quantized to the scheme's activation datatype
 * (one scale a token, dynamic or calibrated) and packed in the layout that the kernel reads. */
#ifndef QTOP_ACTIVATIONS_H
#define QTOP_ACTIVATIONS_H

#include "matrix.h"

struct isa;

/* Packing layouts. Micro-kernels of panels multiply a tile of tokens at a time. The packed activations of a
 * tile are 32-bit words: for each lane word of a line, one word of every token. A word holds the columns that
 * the 32 bits of a lane hold, or some of them. The columns that pad a line are zero. */
enum pack {
    PACK_NONE,   /* not packed: the kernel reads `values` or `codes` */
    PACK_F32,    /* 1 column a word, fp32 */
    PACK_BF16X2, /* 2 columns a word, bf16 */
    PACK_I8X4,   /* 4 columns a word, signed bytes; for int4 lines columns 0 4 1 5, then 2 6 3 7 */
    PACK_F32X64, /* for blocks: a struct activation_slice for every 64 columns, token after token */
    PACK_I8X64,  /* for blocks: a struct integer_slice for every 64 columns or a struct integer_block for every 256 */
    PACK_I16X2   /* 2 columns a word, 16-bit integers: columns 0 and 2, then 1 and 3 of an int8 line */
};

/* 64 columns of one token in fp32, as kernels of blocks read them. columns[b][i] belongs to byte b of the i-th
 * 32-bit word of codes (struct block_layout). Where an instruction set has int4_factors, codes are masked but not
 * shifted down, and columns are multiplied by the power of two that makes up for it. Columns past the last
 * are 0. */
enum { SLICE_COLUMNS = 64 };
struct activation_slice {
    float columns[4][PANEL_ROWS];
    float sums[PANEL_ROWS]; /* of a word's four columns; times -center where codes have one */
};

/* The same in int8, in the order of the codes: bytes that meet a word of weights are a lane. */
struct integer_slice {
    int8_t codes[4 * PANEL_ROWS];
    union {
        int32_t centers[PANEL_ROWS]; /* of types with codes around a center: -center times the sum of a lane's codes */
        float min_sums[PANEL_ROWS];  /* of types with minimums: `block_sums`, in the first lane of each block */
    };
    float scales[PANEL_ROWS]; /* of the lane's block */
};
struct integer_block {
    struct {
        int8_t codes[4 * PANEL_ROWS];
    } slices[4];
    int32_t sums[PANEL_ROWS]; /* of the columns of a scale, 16 or 32; times -center where codes have one */
    float scales[PANEL_ROWS]; /* all the same */
};

/* int8 activations of a matrix of blocks have a scale for every 32 or 256 columns (block_act_columns), as the blocks
 * have that ggml's dot products take (quantize_row_q8_0, q8_1 and q8_K): of 32, max|x| / 127 rounded to fp16, at most
 * its largest; of 256, max|x| / 127. A code is x * 127 / max|x|, rounded to nearest, ties to even. The largest finite
 * magnitude counts; infinite values get the largest code, NaN gets 0. */
struct activations {
    size_t tokens, cols;
    size_t blocks;        /* int8 activations of a matrix of blocks: scales of a token; else 0 */
    bool integers;        /* quantized to integer codes */
    const float *values;  /* tokens x cols: rounded to the activation dtype, before the scale */
    int8_t *codes;        /* tokens x cols: integer activations */
    float *scales;        /* tokens, or tokens x blocks; null where every scale is 1 */
    float *block_sums;    /* tokens x blocks: scale times the sum of the codes, in fp16 as blocks of q8_1 have it */
    int32_t *zeros;       /* tokens: zero points of the codes (0 when symmetric) */
    int32_t *sums;        /* tokens x groups of the matrix, or tokens x cols / 16: sums of codes */
    float *rounded;       /* tokens x cols: the memory of `values` where they are rounded; else null */
    const float *input;   /* tokens x cols: the caller's */
    float *transformed;   /* tokens x cols: input after struct input_transform; null where it is the input */

    enum pack pack;
    size_t tile_tokens;   /* tokens of a whole tile; the last tile may have fewer */
    size_t append_ones;   /* 1 where each tile ends with a token of ones, which sums up weights; else 0 */
    size_t mr;            /* tile_tokens + append_ones: tokens side by side in a whole packed tile */
    size_t words;         /* packed words of one token */
    const float *factors; /* 8: int4_factors of struct isa; null where all are 1 */
    bool zero_copy;       /* one token's values or codes already have the packed layout */
    uint32_t *packed;     /* tile after tile, words x tokens; PACK_F32X64: token after token */
    void *tile_sums;      /* tile after tile, groups x tokens: sums of values (float) or of codes - zero (int32_t) */
    /* Of blocks, for PACK_I8X4. tile_sums then has the sums of the columns of a dot product (block_dot_columns): codes
     * times -center (int32_t), or codes times scale for a min (float). */
    float *tile_scales;   /* tile after tile, blocks x tokens */
};

/* Bytes of scratch that activations_prepare needs for any matrix of at most `cols` columns. */
size_t activations_scratch(size_t cols, size_t tokens);

/* How many tiles the tokens make. */
size_t activations_tiles(const struct activations *x);

/* Lays out the activations of tokens x cols floats x for matrix m in scratch (aligned to 64), for isa's kernels.
 * Computes nothing yet: isa->prepare does that, tile by tile, on any thread. x and scratch must live as long
 * as *out. */
void activations_begin(const struct isa *isa, const struct qmatrix *m, const float *x,
                       size_t tokens, void *scratch, struct activations *out);

/* The same, and prepares every tile. Non-finite inputs cause no undefined behaviour. */
void activations_prepare(const struct isa *isa, const struct qmatrix *m, const float *x,
                         size_t tokens, void *scratch, struct activations *out);

#endif
