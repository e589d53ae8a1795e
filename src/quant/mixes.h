/* mixes.h - named mixes: the type that each tensor has in the file that llama-quantize calls so (llama.cpp,
 * src/llama-quant.cpp), as a recipe.
 *
 *   [@]NAME[/ACT][:METHOD]
 *
 * `@q4_k_m` is a mix; the @ may be left out where the name is no type's. Types belong to the mix, activations and
 * methods to all of them. Which type a tensor gets depends on what it is for, on its block, on heads and experts of the
 * model, and in some mixes on whether columns have an importance: here, whether a method looks at activations. */
#ifndef QTOP_MIXES_H
#define QTOP_MIXES_H

#include "fit.h"

struct mix;

/* What -s names: a scheme for the linear matrices inside blocks; or, where mix is not null, a mix for the whole model,
 * of which the scheme says activations and methods. */
struct scheme_choice {
    const struct mix *mix;
    struct scheme scheme;
};

/* The rows of the table; null past the last. */
const struct mix *mix_at(size_t i);
const char *mix_name(const struct mix *mix);

/* Parses either. The error says what was expected. */
bool scheme_choice_parse(const char *text, struct scheme_choice *out, struct error *error);

/* The canonical spelling, which parses back: "q4_k_m:gptq", "@iq4_xs". Returns buffer. */
char *scheme_choice_print(const struct scheme_choice *choice, char buffer[SCHEME_TEXT]);

/* Whether the mix says a type of a tensor: matrices of embedding, head and blocks, not routers, positions or vectors.
 */
bool mix_has(const struct model *model, int tensor);

/* The type of every tensor (tensor_count), before blocks have to divide rows; DTYPE_ALL: as stored. */
void mix_types(const struct model *model, const struct mix *mix, bool importance, enum dtype *types);

/* Gives each tensor that the mix has its scheme; a tensor that is stored in that very type remains stored, as
 * llama-quantize copies it. False where a type cannot be made; schemes (schemes_count) are then as they were. */
bool mix_apply(const struct model *model, const struct scheme_choice *choice, struct scheme *schemes,
               struct error *error);

#endif
