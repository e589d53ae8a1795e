/* rope.h - the scalings of rotary embeddings for contexts longer than the original training's. */
#ifndef QTOP_ROPE_H
#define QTOP_ROPE_H

#include "model.h"

/* Multiplies model->rope_factors, where there are none 1 each, by those of a scaling of the rotary
 * frequencies. */
enum rope_scaling { SCALING_LINEAR, SCALING_LLAMA3 };
struct rope_scale {
    enum rope_scaling type;
    float factor;
    float low, high; /* llama3: low_freq_factor, high_freq_factor (Llama 3.1, 2024) */
    size_t original; /* llama3: positions of the original training */
};
bool rope_scale(struct model *model, const struct rope_scale *scale, struct error *error);

/* Sets them to factors that a file holds. `what` begins the error. */
bool rope_set_factors(struct model *model, const float *factors, size_t count, const char *what,
                      struct error *error);

/* LongRoPE (Ding et al. 2024): sets the factors (rope_dims / 2) for contexts up to the original one, to which
 * it cuts the model's context, with a note. The cosines' magnitude is `magnitude`. `what` as above. */
bool rope_short(struct model *model, const float *factors, size_t count, const char *what,
                size_t original, float magnitude, struct error *error);

#endif
