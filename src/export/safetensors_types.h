/* safetensors_types.h - how safetensors holds a layer, for engines that read the layout of compressed-tensors
 * (github.com/vllm-project/compressed-tensors). Private to src/export.
 *
 * Of a layer NAME, rows x cols, with groups of columns:
 *
 *   plain            NAME.weight F32, F16 or BF16, rows x cols
 *   pack-quantized   NAME.weight_packed I32, rows x ceil(cols / n): n = 32 / bits unsigned codes a word, the first
 *                    in the lowest bits; NAME.weight_scale F16 rows x groups, or F32 rows x 1;
 *                    NAME.weight_shape I64: rows, cols; of asymmetric ones NAME.weight_zero_point I32,
 *                    ceil(rows / n) x groups, packed down the rows
 *   int-quantized    NAME.weight I8, NAME.weight_scale F32 rows x 1, or 1
 *   float-quantized  NAME.weight F8_E4M3, scales likewise
 *
 * The last two may have NAME.input_scale F32, of static activations. w = scale (code - zero point), where
 * symmetric codes count from the middle of their range. */
#ifndef QTOP_EXPORT_SAFETENSORS_TYPES_H
#define QTOP_EXPORT_SAFETENSORS_TYPES_H

#include "internal.h"

/* Adds what stands for a tensor, and notes its scheme where it is quantized. */
bool safetensors_add(struct export *job, const struct naming *naming, int tensor, struct error *error);

/* Begins config.json's quantization_config; ends it, null where nothing is quantized. */
bool safetensors_begin(struct export *job);
bool safetensors_end(struct export *job, struct error *error);

/* config.json, and the tokenizer's files where there are some, beside the weights. */
bool safetensors_beside(struct export *job, struct error *error);

/* Whether files may be written beside the path: before anything else is. Notes where no tokenizer will be. */
bool safetensors_check_beside(struct export *job, struct error *error);

#endif
