/* hf_rope.h - what a config.json says of rotary embeddings. Private to hf_*.c. */
#ifndef QTOP_HF_ROPE_H
#define QTOP_HF_ROPE_H

#include "hf_values.h"

/* Fills config->rope and config->both from config->top: rope_parameters (since transformers 5), rope_scaling (before),
 * and of those that have a part for each kind of layer, one part. Parts that differ are refused. */
bool hf_rope_places(struct hf_config *config);

/* The base and how many dimensions of a head turn. */
bool hf_rope_read(const struct hf_config *config, struct hyper *hyper);

/* The scaling of frequencies: model->rope_factors. After hyper_check. */
bool hf_rope_scale(const struct hf_config *config);

#endif
