/* safetensors_types.h - how safetensors holds a layer, for engines that read the layouts of compressed-tensors
 * (github.com/vllm-project/compressed-tensors) or of GPTQ (GPTQModel's wiki, Packing Formats). Private to
 * src/export.
 *
 * Of a layer NAME, rows x cols, with groups of columns:
 *
 *   plain            NAME.weight F32, F16 or BF16, rows x cols
 *
 * compressed-tensors:
 *
 *   pack-quantized   NAME.weight_packed I32, rows x ceil(cols / n): n = 32 / bits unsigned codes a word, the first
 *                    in the lowest bits; NAME.weight_scale F16 rows x groups, or F32 rows x 1;
 *                    NAME.weight_shape I64: rows, cols; of asymmetric ones NAME.weight_zero_point I32,
 *                    ceil(rows / n) x groups, packed down the rows
 *   int-quantized    NAME.weight I8, NAME.weight_scale F32 rows x 1, or 1
 *   float-quantized  NAME.weight F8_E4M3, scales likewise
 *
 * The last two may have NAME.input_scale F32, of static activations. w = scale (code - zero point), where
 * symmetric codes count from the middle of their range.
 *
 * GPTQ, of int8 and int4 in groups:
 *
 *   NAME.qweight I32, cols / n x rows: n unsigned codes a word, packed down the columns; NAME.scales F16, groups x
 *   rows; NAME.qzeros I32, groups x rows / n: unsigned zero points packed along the rows, in the format `gptq` less
 *   one, in `gptq_v2` as they are; NAME.g_idx I32, cols: each column's group */
#ifndef QTOP_EXPORT_SAFETENSORS_TYPES_H
#define QTOP_EXPORT_SAFETENSORS_TYPES_H

#include "internal.h"

/* How quantized layers lie in the file; what says so in config.json is begun, and ended, with it: job->quantized,
 * null where nothing is quantized. add: a layer that is neither plain nor a vector. */
struct quantized_layout {
    bool (*begin)(struct export *job);
    bool (*add)(struct export *job, const struct naming *naming, int tensor, struct error *error);
    bool (*end)(struct export *job, struct error *error);
};
extern const struct quantized_layout compressed_tensors_layout, gptq_layout;

/* Adds the parts of a tensor, and notes its scheme where it is quantized. */
bool safetensors_add(struct export *job, const struct naming *naming, int tensor, struct error *error);

/* For layouts: a part of a layer, NAME.suffix; with 0 columns a vector of `rows` elements. Null when memory is
 * short. */
struct export_item *safetensors_add_part(struct export *job, const struct naming *naming, int tensor,
                                         const struct export_type *type, const char *suffix, size_t rows,
                                         size_t cols, size_t row_bytes, struct error *error);

/* The same of a vector of n elements, in one row. */
struct export_item *safetensors_add_vector(struct export *job, const struct naming *naming, int tensor,
                                           const struct export_type *type, const char *suffix, size_t n,
                                           struct error *error);

/* Codes in a word of 32 bits. A code or zero point as an unsigned number: int4 is held so, int8 as a signed byte. */
static inline size_t codes_of_word(const struct qmatrix *m)
{
    return 32 / dtypes[m->format.weight].bits;
}
static inline uint32_t unsigned_code(const struct qmatrix *m, int code)
{
    return (uint32_t)(code - dtypes[m->format.weight].lowest);
}

/* Halves a scheme's group until it divides the columns; false where none does. */
bool safetensors_narrow_group(struct scheme *scheme, size_t cols);

/* Whether it is a tensor of floats; the layer that it belongs to: its name up to the last dot. */
bool safetensors_is_plain(const struct export_item *item);
void safetensors_module(const struct export_item *item, char out[NAMING_MAX]);

/* config.json, and the tokenizer's files where there are some, beside the weights. */
bool safetensors_beside(struct export *job, struct error *error);

/* Whether files may be written beside the path: before anything else is. Notes where no tokenizer will be. */
bool safetensors_check_beside(struct export *job, struct error *error);

#endif
