/* folding.h - input scales folded into what comes before: a matrix W with input scale s is held as W s
 * for activations x / s (AWQ: Lin et al. 2024; SmoothQuant: Xiao et al. 2023, section 4), and a file has no place
 * for s. Where x is a norm's output, the norm's weights are divided by it. The input of attn_output is made of
 * rows of V, that of ffn_down (behind a gate) of rows of up, which are divided instead. */
#ifndef QTOP_FOLDING_H
#define QTOP_FOLDING_H

#include "engine/weights.h"
#include "quant/scheme.h"

struct folding {
    const struct model *model;
    float **divisor; /* a tensor: of each row of a matrix, each element of a vector; or null */
};

/* Fails where scales cannot be folded: siblings behind one norm that have others, heads that share values and
 * have others, a head that is the embedding table, a non-linearity in between. The error names the layer. */
bool folding_open(struct folding *folding, const struct model *model, const struct weights *weights,
                  struct error *error);

/* Whether input scales that methods will choose for schemes can be folded, wherever that does not depend on
 * the data: siblings get the same ones where their schemes are the same, heads get their own. */
bool folding_foresee(const struct model *model, const struct scheme *schemes, struct error *error);
void folding_close(struct folding *folding);

/* What element c of row r of a tensor is divided by; 1 where nothing is. */
float folding_divisor(const struct folding *folding, int tensor, size_t r, size_t c);

#endif
