/* output_scale.h - the scale that a GGUF file may hold beside a matrix: its products are multiplied by it.
 *
 * Beside NAME.weight there may be NAME.scale, one number in fp32, or one an expert. Weights of NVFP4 need it, whose
 * blocks have scales of a small range; llama.cpp reads it beside weights of any type in blocks of layers, and beside
 * those of the head in NVFP4. Its converter also writes NAME.input_scale, for engines that quantize activations by it:
 * llama.cpp reads it and computes nothing with it. */
#ifndef QTOP_OUTPUT_SCALE_H
#define QTOP_OUTPUT_SCALE_H

#include "naming.h"

/* The catalog's NAME.scale and NAME.input_scale of a tensor; null where there is none, or none of its role. */
struct output_scales {
    const struct entry *scale, *input_scale;
};
struct output_scales output_scales_find(const struct model *model, const struct arch *arch, const struct naming *naming,
                                        const struct tensor *tensor);

/* Gives all matrices their scales. False with an error that names the scale that is no positive finite number, has
 * another shape or type, or stands beside what llama.cpp scales otherwise. Adds a note of those of inputs, which are
 * not used. */
bool output_scales_read(struct model *model, const struct arch *arch, const struct naming *naming, struct error *error);

#endif
