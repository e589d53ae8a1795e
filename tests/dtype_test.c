/* The datatype table against independent computations: every code, every rounding boundary. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/dtype.h"
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* A narrow floating-point format by its definition. */
struct float_format {
    enum dtype type;
    int exponent, mantissa; /* bits */
    bool infinities;        /* else the top exponent is ordinary and all ones are the one NaN */
    bool saturates;         /* overflow gives the largest finite code */
};

static const struct float_format formats[] = {
    {DTYPE_FP16, 5, 10, true, false},
    {DTYPE_BF16, 8, 7, true, false},
    {DTYPE_FP8E4M3, 4, 3, false, true}, /* OFP8 section 5: S.1111.111 is NaN, no infinity */
    {DTYPE_FP8E5M2, 5, 2, true, true},
};
enum { FORMATS = sizeof formats / sizeof *formats };

static uint32_t sign_bit(const struct float_format *f)
{
    return 1u << (f->exponent + f->mantissa);
}

/* The code of infinity where there is one, else of NaN: the first that is not finite. */
static uint32_t first_special(const struct float_format *f)
{
    uint32_t top = sign_bit(f) - 1;
    return f->infinities ? top >> f->mantissa << f->mantissa : top;
}

/* The value of a code from the definition, in double. */
static double slow_decode(const struct float_format *f, uint32_t code)
{
    int bias = (1 << (f->exponent - 1)) - 1;
    uint32_t magnitude = code & (sign_bit(f) - 1), special = first_special(f);
    int exponent = (int)(magnitude >> f->mantissa);
    int fraction = (int)(magnitude & ((1u << f->mantissa) - 1));
    double value;
    if (magnitude >= special)
        value = f->infinities && magnitude == special ? INFINITY : NAN;
    else if (exponent == 0)
        value = ldexp(fraction, 1 - bias - f->mantissa);
    else
        value = ldexp(fraction + (1 << f->mantissa), exponent - bias - f->mantissa);
    return code & sign_bit(f) ? -value : value;
}

static uint32_t encode(const struct float_format *f, float value)
{
    return dtypes[f->type].encode(value);
}

static float decode(const struct float_format *f, uint32_t code)
{
    return dtypes[f->type].decode(code);
}

/* Stops at the first difference with the numbers that a person needs. */
static void check_code(const struct float_format *f, float value, uint32_t expected)
{
    uint32_t code = encode(f, value);
    if (code != expected)
        fail_msg("%s: %a encodes to 0x%x; expected 0x%x", dtypes[f->type].name, (double)value, code,
                 expected);
}

static void test_table(void **state)
{
    (void)state;
    for (int t = 0; t < DTYPE_COUNT; t++) {
        const struct dtype_info *type = &dtypes[t];
        bool integers = type->kind == DTYPE_KIND_INTEGER;
        assert_int_equal(dtype_by_name(type->name, strlen(type->name)), t);
        assert_true(type->bits > 0 && type->largest > 0);
        assert_non_null(type->decode_run);
        assert_true(integers == (type->unpack_run != NULL));
        assert_true(integers == (type->encode == NULL));
        assert_true(integers == (type->decode == NULL));
        if (integers) {
            int steps = type->highest - type->lowest;
            assert_int_equal(steps, (1 << type->bits) - 1);
            assert_int_equal(type->largest, (1 << (type->bits - 1)) - 1);
            assert_int_equal(type->lowest + type->label_offset, 0);
            assert_true(type->symmetric_zero - (int)type->largest >= type->lowest);
            assert_true(type->symmetric_zero + (int)type->largest <= type->highest);
        }
        int described = t == DTYPE_FP32 || integers;
        for (int i = 0; i < FORMATS; i++)
            described += (int)formats[i].type == t;
        if (described != 1)
            fail_msg("%s has no row in `formats`: describe it there", type->name);
    }
    assert_int_equal(dtype_by_name("fp8", 3), DTYPE_FP8E4M3);
    assert_int_equal(dtype_by_name("fp8", 2), DTYPE_COUNT);
    assert_int_equal(dtype_by_name("", 0), DTYPE_COUNT);
    assert_int_equal(dtype_by_name("int8x", 5), DTYPE_COUNT);
    assert_int_equal(dtype_by_name("INT8", 4), DTYPE_COUNT);
    assert_int_equal(dtype_by_name("int8x", 4), DTYPE_INT8); /* n bytes and no more */
}

static void test_decode_every_code(void **state)
{
    (void)state;
    for (int i = 0; i < FORMATS; i++) {
        const struct float_format *f = &formats[i];
        for (uint32_t code = 0; code < 1u << dtypes[f->type].bits; code++) {
            float value = decode(f, code);
            double expected = slow_decode(f, code);
            bool same = isnan(expected)
                            ? isnan(value) && !signbit(value) == !(code & sign_bit(f))
                            : float_bits(value) == float_bits((float)expected);
            if (!same)
                fail_msg("%s: code 0x%x decodes to %a; expected %a", dtypes[f->type].name, code,
                         (double)value, expected);
        }
        assert_true(dtypes[f->type].largest == (float)slow_decode(f, first_special(f) - 1));
    }
}

static void test_encode_gives_every_code_back(void **state)
{
    (void)state;
    for (int i = 0; i < FORMATS; i++) {
        const struct float_format *f = &formats[i];
        for (uint32_t code = 0; code < 1u << dtypes[f->type].bits; code++) {
            float value = decode(f, code);
            uint32_t sign = code & sign_bit(f), back = encode(f, value);
            if (isnan(value)) {
                assert_true(isnan(decode(f, back)));
                assert_int_equal(back & sign_bit(f), sign);
            } else if (isinf(value) && f->saturates) {
                check_code(f, value, sign | (first_special(f) - 1));
            } else {
                check_code(f, value, code);
            }
        }
    }
}

static void test_nan_stays_nan(void **state)
{
    (void)state;
    for (int i = 0; i < FORMATS; i++)
        for (int bit = 0; bit < 23; bit++) /* also payloads that the narrow mantissa loses */
            for (uint32_t sign = 0; sign < 2; sign++) {
                uint32_t payloads[] = {1u << bit, (2u << bit) - 1, 0x7fffffu};
                for (size_t k = 0; k < 3; k++) {
                    uint32_t bits = sign << 31 | 0x7f800000u | payloads[k];
                    uint32_t code = encode(&formats[i], bits_float(bits));
                    assert_true(isnan(decode(&formats[i], code)));
                    assert_true(code < 1u << dtypes[formats[i].type].bits);
                }
            }
}

/* Around the middle between two neighbours: ties to even, everything else to the nearer. */
static void check_boundary(const struct float_format *f, uint32_t code, float middle,
                           uint32_t above) {
    for (uint32_t sign = 0; sign < 2; sign++) {
        float s = sign ? -1.0f : 1.0f;
        uint32_t bit = sign ? sign_bit(f) : 0;
        check_code(f, s * middle, bit | (code & 1 ? above : code));
        check_code(f, s * nextafterf(middle, 0), bit | code);
        check_code(f, s * nextafterf(middle, INFINITY), bit | above);
    }
}

static void test_rounding_boundaries(void **state)
{
    (void)state;
    for (int i = 0; i < FORMATS; i++) {
        const struct float_format *f = &formats[i];
        uint32_t largest = first_special(f) - 1;
        for (uint32_t code = 0; code < largest; code++) {
            double middle = (slow_decode(f, code) + slow_decode(f, code + 1)) / 2;
            assert_true((double)(float)middle == middle); /* else the test itself would round */
            check_boundary(f, code, (float)middle, code + 1);
        }
        /* What would be the next code's value, were it finite, sets the overflow boundary. */
        double step = slow_decode(f, largest) - slow_decode(f, largest - 1);
        float overflow = (float)(slow_decode(f, largest) + step / 2);
        uint32_t beyond = f->saturates ? largest : largest + 1;
        check_code(f, nextafterf(overflow, 0), largest);
        check_code(f, overflow, f->saturates || !(largest & 1) ? largest : beyond);
        check_code(f, nextafterf(overflow, INFINITY), beyond);
        check_code(f, FLT_MAX, beyond);
        check_code(f, INFINITY, beyond);
        check_code(f, -FLT_MAX, sign_bit(f) | beyond);
        check_code(f, -INFINITY, sign_bit(f) | beyond);
        check_code(f, 0x1p-149f, 0);
        check_code(f, -0.0f, sign_bit(f));
    }
}

/* fp32 values all over the range against a search for the nearest code. */
static void test_random_values_go_to_the_nearest(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (int i = 0; i < FORMATS; i++) {
        const struct float_format *f = &formats[i];
        uint32_t largest = first_special(f) - 1;
        for (int n = 0; n < 100000; n++) {
            float value = bits_float((uint32_t)random_bits(&seed) & 0x7fffffffu);
            if (!(value <= dtypes[f->type].largest))
                continue;
            uint32_t low = 0, high = largest; /* the codes of magnitudes are in order */
            while (high - low > 1) {
                uint32_t middle = (low + high) / 2;
                *(slow_decode(f, middle) <= (double)value ? &low : &high) = middle;
            }
            double down = value - slow_decode(f, low), up = slow_decode(f, high) - value;
            uint32_t nearest = down < up || (down == up && !(low & 1)) ? low : high;
            check_code(f, value, nearest);
        }
    }
}

static void test_fp32_is_itself(void **state)
{
    (void)state;
    const struct dtype_info *type = &dtypes[DTYPE_FP32];
    uint64_t seed = 7;
    assert_true(type->largest == FLT_MAX);
    for (int n = 0; n < 100000; n++) {
        uint32_t bits = (uint32_t)random_bits(&seed);
        assert_int_equal(float_bits(type->decode(bits)), bits);
        assert_int_equal(type->encode(bits_float(bits)), bits);
    }
}

/* ---- against another implementation ---------------------------------------------------------- */

/* The digests that fp8_digest.py prints, of ml_dtypes 0.6.0. */
static const struct {
    enum dtype type;
    int low, high; /* exponents drawn */
    uint64_t fp16_digest, random_digest;
} casts[] = {
    {DTYPE_FP8E4M3, -14, 8, 0x31f5baee00723e63u, 0xddf80b048a3eaa2cu},
    {DTYPE_FP8E5M2, -21, 15, 0xc0288ad3b2f45b73u, 0x144ac975af46141cu},
};
enum { CAST_VALUES = 1000000, CAST_SEED = 20240601 };

/* One fp32 value of the stream: any sign and mantissa, exponents low..high. */
static float make_input(uint64_t z, int low, int high, float largest)
{
    uint32_t exponent = (uint32_t)(z >> 32 & 0xffff) % (uint32_t)(high - low + 1);
    uint32_t bits = (uint32_t)(z >> 63) << 31 | (exponent + (uint32_t)(127 + low)) << 23 |
                    (uint32_t)(z & 0x7fffff);
    float value = bits_float(bits);
    return fabsf(value) > largest ? value / 2 : value;
}

static void test_fp8_is_the_cast_of_ml_dtypes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof casts / sizeof *casts; i++) {
        const struct dtype_info *type = &dtypes[casts[i].type];
        uint64_t digest = FNV_START;
        for (uint32_t code = 0; code < 1u << 16; code++) {
            float value = (float)slow_decode(&formats[0], code);
            uint8_t out = (uint8_t)type->encode(value);
            if (fabsf(value) <= type->largest)
                digest = fnv1a(digest, &out, 1);
        }
        assert_int_equal(digest, casts[i].fp16_digest);
        uint64_t seed = CAST_SEED;
        digest = FNV_START;
        for (int n = 0; n < CAST_VALUES; n++) {
            float value =
                make_input(random_bits(&seed), casts[i].low, casts[i].high, type->largest);
            uint8_t out = (uint8_t)type->encode(value);
            digest = fnv1a(digest, &out, 1);
        }
        assert_int_equal(digest, casts[i].random_digest);
    }
}

/* ---- runs of codes --------------------------------------------------------------------------- */

/* The stored code at an index, by the layout that dtype.h and matrix.h describe. */
static uint32_t stored_code(const struct dtype_info *type, const uint8_t *codes, size_t index)
{
    if (type->bits < 8)
        return (uint32_t)codes[index / 2] >> (index & 1 ? 4 : 0) & 15;
    uint32_t code = 0;
    for (size_t b = 0; b < type->bits / 8; b++)
        code |= (uint32_t)codes[index * (type->bits / 8) + b] << 8 * b;
    return code;
}

static int stored_integer(const struct dtype_info *type, const uint8_t *codes, size_t index)
{
    int code = (int)stored_code(type, codes, index);
    return code > type->highest ? code - (1 << type->bits) : code;
}

static void check_run(const struct dtype_info *type, uint64_t *seed, size_t first, size_t n)
{
    size_t bytes = ((first + n) * type->bits + 7) / 8;
    uint8_t *codes = make(bytes);
    float *out = make(n * sizeof *out);
    int8_t *unpacked = make(n);
    for (size_t i = 0; i < bytes; i++)
        codes[i] = (uint8_t)random_bits(seed);
    bool integers = type->kind == DTYPE_KIND_INTEGER;
    int zeros[] = {type->symmetric_zero, type->lowest, type->highest, 3};
    for (int z = 0; z < 4; z++) {
        type->decode_run(codes, first, n, zeros[z], out);
        for (size_t i = 0; i < n; i++) {
            float expected = integers
                                 ? (float)(stored_integer(type, codes, first + i) - zeros[z])
                                 : type->decode(stored_code(type, codes, first + i));
            if (float_bits(out[i]) != float_bits(expected))
                fail_msg("%s: decode_run(first %zu, n %zu) gives %a at %zu; expected %a",
                         type->name, first, n, (double)out[i], i, (double)expected);
        }
    }
    if (integers) {
        type->unpack_run(codes, first, n, unpacked);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(unpacked[i], stored_integer(type, codes, first + i));
    }
    free(codes);
    free(out);
    free(unpacked);
}

static void test_runs(void **state)
{
    (void)state;
    static const size_t longer[] = {255, 256, 257, 511, 513, 1000};
    uint64_t seed = 11;
    for (int t = 0; t < DTYPE_COUNT; t++)
        for (size_t first = 0; first < 10; first++) {
            for (size_t n = 0; n <= 40; n++)
                check_run(&dtypes[t], &seed, first, n);
            for (size_t i = 0; i < sizeof longer / sizeof *longer; i++)
                check_run(&dtypes[t], &seed, first, longer[i]);
        }
}

static void test_round_even(void **state)
{
    (void)state;
    uint64_t seed = 13;
    for (int i = -1000; i <= 1000; i++)
        assert_true(round_even((float)i / 2) == rintf((float)i / 2));
    for (int n = 0; n < 100000; n++) {
        float value = (float)((random_uniform(&seed) - 0.5) * 0x1p23);
        assert_true(round_even(value) == rintf(value));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_decode_every_code),
        cmocka_unit_test(test_encode_gives_every_code_back),
        cmocka_unit_test(test_nan_stays_nan),
        cmocka_unit_test(test_rounding_boundaries),
        cmocka_unit_test(test_random_values_go_to_the_nearest),
        cmocka_unit_test(test_fp32_is_itself),
        cmocka_unit_test(test_fp8_is_the_cast_of_ml_dtypes),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_round_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
