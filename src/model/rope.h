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

/* What YaRN multiplies cosines and sines by for a factor (Peng et al. 2023, equation 22), m times as much of its
 * logarithm. */
float yarn_magnitude(float factor, float m);

/* YaRN (Peng et al. 2023): the factors, kept in hyper.yarn, for an original training of so many positions; cosines and
 * sines are multiplied by `magnitude`. */
bool rope_yarn(struct model *model, const struct yarn *yarn, size_t original, float magnitude, struct error *error);

/* Dynamic NTK: in a context of more positions than the model was trained for its base grows with the context. */
bool rope_dynamic(struct model *model, float factor, struct error *error);

/* Sets them to factors that a file holds. `what` begins the error. */
bool rope_set_factors(struct model *model, const float *factors, size_t count, const char *what,
                      struct error *error);

/* Sets them where only `part` of a head's frequencies are there and the others stand still (Gemma 4, 2026); those that
 * are there are divided by `factor`. All of a head counts as rotary. */
bool rope_proportional(struct model *model, float part, float factor, struct error *error);

/* LongRoPE (Ding et al. 2024): the same for contexts up to the original one, and others (null: none) for longer ones. */
struct longrope {
    const float *factors, *beyond;
    size_t count, beyond_count; /* of each: rope_dims / 2 */
    const char *what, *what_beyond; /* begin the errors */
    size_t original;            /* positions */
    float magnitude;            /* of cosines and sines */
};
bool rope_long(struct model *model, const struct longrope *longrope, struct error *error);

#endif
