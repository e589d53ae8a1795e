#include "gguf_internal.h"

const struct gguf_type_info gguf_types[GGUF_TYPES] = {
    [GGUF_UINT8] = {"uint8", 1, .integer = true},
    [GGUF_INT8] = {"int8", 1, .integer = true, .is_signed = true},
    [GGUF_UINT16] = {"uint16", 2, .integer = true},
    [GGUF_INT16] = {"int16", 2, .integer = true, .is_signed = true},
    [GGUF_UINT32] = {"uint32", 4, .integer = true},
    [GGUF_INT32] = {"int32", 4, .integer = true, .is_signed = true},
    [GGUF_FLOAT32] = {"float32", 4},
    [GGUF_BOOL] = {"bool", 1},
    [GGUF_STRING] = {"string", 0},
    [GGUF_ARRAY] = {"array", 0},
    [GGUF_UINT64] = {"uint64", 8, .integer = true},
    [GGUF_INT64] = {"int64", 8, .integer = true, .is_signed = true},
    [GGUF_FLOAT64] = {"float64", 8},
};

#define READ(NAME, DTYPE) {NAME, .supported = true, .dtype = DTYPE}
#define KNOWN(NAME) {NAME, .supported = false}
#define REMOVED(NAME) {NAME, .removed = true}

static const struct ggml_type_info tensor_types[] = {
    [0] = READ("F32", DTYPE_FP32),
    [1] = READ("F16", DTYPE_FP16),
    [2] = READ("Q4_0", DTYPE_Q4_0),
    [3] = READ("Q4_1", DTYPE_Q4_1),
    [4] = REMOVED("Q4_2"),
    [5] = REMOVED("Q4_3"),
    [6] = READ("Q5_0", DTYPE_Q5_0),
    [7] = READ("Q5_1", DTYPE_Q5_1),
    [8] = READ("Q8_0", DTYPE_Q8_0),
    [9] = KNOWN("Q8_1"),
    [10] = READ("Q2_K", DTYPE_Q2_K),
    [11] = READ("Q3_K", DTYPE_Q3_K),
    [12] = READ("Q4_K", DTYPE_Q4_K),
    [13] = READ("Q5_K", DTYPE_Q5_K),
    [14] = READ("Q6_K", DTYPE_Q6_K),
    [15] = KNOWN("Q8_K"),
    [16] = READ("IQ2_XXS", DTYPE_IQ2_XXS),
    [17] = READ("IQ2_XS", DTYPE_IQ2_XS),
    [18] = READ("IQ3_XXS", DTYPE_IQ3_XXS),
    [19] = READ("IQ1_S", DTYPE_IQ1_S),
    [20] = READ("IQ4_NL", DTYPE_IQ4_NL),
    [21] = READ("IQ3_S", DTYPE_IQ3_S),
    [22] = READ("IQ2_S", DTYPE_IQ2_S),
    [23] = READ("IQ4_XS", DTYPE_IQ4_XS),
    [24] = KNOWN("I8"),
    [25] = KNOWN("I16"),
    [26] = KNOWN("I32"),
    [27] = KNOWN("I64"),
    [28] = READ("F64", ENTRY_DOUBLES),
    [29] = READ("IQ1_M", DTYPE_IQ1_M),
    [30] = READ("BF16", DTYPE_BF16),
    [31] = REMOVED("Q4_0_4_4"),
    [32] = REMOVED("Q4_0_4_8"),
    [33] = REMOVED("Q4_0_8_8"),
    [34] = READ("TQ1_0", DTYPE_TQ1_0),
    [35] = READ("TQ2_0", DTYPE_TQ2_0),
    [36] = REMOVED("IQ4_NL_4_4"),
    [37] = REMOVED("IQ4_NL_4_8"),
    [38] = REMOVED("IQ4_NL_8_8"),
    [39] = READ("MXFP4", DTYPE_MXFP4),
    [40] = READ("NVFP4", DTYPE_NVFP4),
    [41] = READ("Q1_0", DTYPE_Q1_0),
    [42] = READ("Q2_0", DTYPE_Q2_0),
};
enum { TENSOR_TYPES = sizeof tensor_types / sizeof *tensor_types };

const struct ggml_type_info *ggml_type(uint32_t number)
{
    static const struct ggml_type_info unknown = {0};
    return number < TENSOR_TYPES ? &tensor_types[number] : &unknown;
}

const char *ggml_types_supported(void)
{
    return "F64, F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, IQ4_NL, IQ4_XS, IQ3_S, IQ3_XXS, IQ2_S, "
           "IQ2_XS, IQ2_XXS, IQ1_S, IQ1_M, MXFP4, NVFP4, TQ2_0, TQ1_0, Q1_0 or Q2_0";
}
