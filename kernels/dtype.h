/* dtype.h - the datatype table: what a code of each datatype means, exactly.
 *
 * A *code* is the integer that a packed matrix stores for one weight. For the floating-point types
 * it is the bit pattern. For integers, int8 codes are signed bytes and int4 codes nibbles 0..15; the
 * value of a code is (code - zero) * scale, where `zero` is the zero point (dtype_info.symmetric_zero
 * where the scheme is symmetric).
 *
 * fp8 follows the OCP 8-bit Floating Point Specification (OFP8, revision 1.0, 2023, section 5):
 * E4M3 has no infinity and one NaN pattern per sign, E5M2 is IEEE-like. Encoding rounds to nearest,
 * ties to even, with exact subnormals; both fp8 types saturate on overflow, fp16 and bf16 overflow
 * to infinity as IEEE 754 says. */
#ifndef QTOP_DTYPE_H
#define QTOP_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum dtype {
    DTYPE_FP32,
    DTYPE_FP16,
    DTYPE_BF16,
    DTYPE_INT8,
    DTYPE_INT4,
    DTYPE_FP8E4M3,
    DTYPE_FP8E5M2,
    DTYPE_COUNT, /* of the types that a scheme can name */

    /* Stored types: blocks of columns with scales of their own, as ggml lays them out; nf4 is none of ggml's. They lie
     * in memory as in files. */
    DTYPE_Q8_0 = DTYPE_COUNT,
    DTYPE_Q4_0,
    DTYPE_Q4_1,
    DTYPE_Q5_0,
    DTYPE_Q5_1,
    DTYPE_Q2_K,
    DTYPE_Q3_K,
    DTYPE_Q4_K,
    DTYPE_Q5_K,
    DTYPE_Q6_K,
    DTYPE_IQ4_NL,
    DTYPE_IQ4_XS,
    DTYPE_MXFP4,
    DTYPE_TQ2_0,
    DTYPE_TQ1_0,
    DTYPE_IQ3_S,
    DTYPE_IQ3_XXS,
    DTYPE_IQ2_S,
    DTYPE_IQ2_XS,
    DTYPE_IQ2_XXS,
    DTYPE_IQ1_S,
    DTYPE_IQ1_M,
    DTYPE_NVFP4,
    DTYPE_Q1_0,
    DTYPE_Q2_0,
    DTYPE_NF4,
    DTYPE_ALL
};

enum dtype_kind {
    DTYPE_KIND_FLOAT,        /* a float without a scale */
    DTYPE_KIND_SCALED_FLOAT, /* fp8: a float times a scale */
    DTYPE_KIND_INTEGER,      /* an integer minus a zero point, times a scale */
    DTYPE_KIND_BLOCK         /* a stored type */
};

/* What the scales of a stored type's blocks are, or what they are multiplied by. */
enum block_factor {
    FACTOR_FP16,    /* at the offsets of dtype_info.factors */
    FACTOR_E8M0,    /* the first byte, an exponent of 2 plus 127 */
    FACTOR_NIBBLES, /* one of fp16 in four nibbles: iq1_m_factor */
    FACTOR_FP32,    /* the first four bytes */
    FACTOR_NONE,    /* scales are not scaled again, and always finite: half_ue4m3 */
};

/* Where the codes of a stored type lie. */
enum block_grid {
    BLOCK_SYMMETRIC,  /* scale * code, codes around 0 */
    BLOCK_ASYMMETRIC, /* scale * code and a minimum */
    BLOCK_TABLE       /* scale * the code's entry in a table that is not even */
};

struct block_parts; /* stored.h */

struct dtype_info {
    const char *name;
    unsigned bits;        /* of a code; of a stored type: of a block divided by its weights, rounded */
    enum dtype_kind kind;
    size_t block;         /* columns that are stored together */
    size_t block_bytes;   /* their bytes */
    float largest;        /* largest finite magnitude (floats); largest symmetric code (integers) */
    int symmetric_zero;   /* zero point of symmetric quantization, in stored codes */
    int lowest, highest;  /* stored codes of asymmetric quantization (integers) */
    int label_offset;     /* added to a stored asymmetric code where it is shown, as 0..15 or 0..255 */
    /* One value, exactly. Null for integers. */
    uint32_t (*encode)(float value);
    float (*decode)(uint32_t code);
    /* Decodes the n codes that begin `first` codes after `codes` into floats: for integers
     * (code - zero), for floats the value before its scale. */
    void (*decode_run)(const uint8_t *codes, size_t first, size_t n, int zero, float *out);
    /* The stored integer codes as signed bytes (integers only). */
    void (*unpack_run)(const uint8_t *codes, size_t first, size_t n, int8_t *out);
    /* Decodes one block at any address into `block` floats, scales applied. For stored types only, which have none
     * of the functions above: see stored.h. */
    void (*decode_block)(const uint8_t *block, float *out);
    /* The same block as integers and factors. Null where values are no integers. */
    void (*split_block)(const uint8_t *block, struct block_parts *out);
    enum block_factor factor; /* of a stored type */
    /* Of FACTOR_FP16: offsets in a block of the factors of all its weights, perhaps the same one twice. If one of them
     * is not finite, no weight is. */
    size_t factors[2];
    size_t scale_columns; /* of a stored type: columns that share a scale; a block may have more of them */
    enum block_grid grid; /* of a stored type */
};

extern const struct dtype_info dtypes[DTYPE_ALL];

/* Whether a scheme says which weights of the type have a scale in common: floats have none, blocks their own. */
static inline bool dtype_takes_granularity(enum dtype type)
{
    return dtypes[type].kind == DTYPE_KIND_INTEGER || dtypes[type].kind == DTYPE_KIND_SCALED_FLOAT;
}

/* Whether a stored type's codes stand for integers, which int8 activations need. */
static inline bool dtype_of_integers(enum dtype type)
{
    return dtypes[type].split_block;
}

/* Whether a stored type's blocks scale the scales of their columns. */
static inline bool dtype_nested(const struct dtype_info *type)
{
    return type->kind == DTYPE_KIND_BLOCK && type->scale_columns < type->block && type->factor != FACTOR_NONE;
}

/* The dtype named by the first n bytes of name ("fp8" is fp8e4m3), or DTYPE_COUNT; never a stored type. */
enum dtype dtype_by_name(const char *name, size_t n);

/* The stored type of that name, ignoring case, or DTYPE_ALL. */
enum dtype dtype_stored_by_name(const char *name, size_t n);

static inline uint32_t float_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline float bits_float(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

uint16_t fp16_encode(float value);
uint16_t bf16_encode(float value);
uint8_t fp8e4m3_encode(float value);
uint8_t fp8e5m2_encode(float value);

/* Decoders are inline and branch-free, so that loops over them vectorize. The multiplication by a
 * power of two re-biases the exponent and is exact, subnormals included. */
static inline float fp16_decode(uint16_t code)
{
    uint32_t magnitude = code & 0x7fffu;
    uint32_t u = float_bits(bits_float(magnitude << 13) * 0x1p112f);
    u |= magnitude >= 0x7c00u ? 0x7f800000u | magnitude << 13 : 0;
    return bits_float(u | (uint32_t)(code & 0x8000u) << 16);
}

static inline float bf16_decode(uint16_t code)
{
    return bits_float((uint32_t)code << 16);
}

static inline float fp8e4m3_decode(uint8_t code)
{
    uint32_t magnitude = code & 0x7fu;
    uint32_t u = float_bits(bits_float(magnitude << 20) * 0x1p120f);
    u |= magnitude == 0x7fu ? 0x7fc00000u : 0;
    return bits_float(u | (uint32_t)(code & 0x80u) << 24);
}

static inline float fp8e5m2_decode(uint8_t code)
{
    return fp16_decode((uint16_t)(code << 8));
}

/* Rounds to the nearest integer, ties to even, for |value| < 2^22: vectorizes on every target. */
static inline float round_even(float value)
{
    const float magic = 0x1.8p23f;
    return (value + magic) - magic;
}

#endif
