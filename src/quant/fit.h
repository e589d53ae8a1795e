/* fit.h - a scheme as a tensor can have it. */
#ifndef QTOP_FIT_H
#define QTOP_FIT_H

#include "model/model.h"
#include "scheme.h"

/* The type that llama-quantize takes for rows of so many columns instead of a block type whose blocks do not divide
 * them (llama.cpp, tensor_type_fallback): a type of smaller blocks, or fp16 where those do not divide them either. The
 * type itself where its blocks do; DTYPE_ALL where nothing takes its place. */
enum dtype block_fallback(enum dtype type, size_t cols);

/* Whether a tensor's stored weights can have such activations: int8 ones multiply blocks (stored/int8). */
bool stored_takes_act(const struct model *model, int tensor, enum dtype act);

/* Whether the tensor (or kv_index) can have the scheme; if not the error says what it can have. */
bool scheme_fits(const struct model *model, int tensor, const struct scheme *scheme, struct error *error);

/* A scheme that fits as this tensor has it: what is not a matrix product takes no activation dtype, nor do stored floats
 * that of stored/int8; the KV cache as stored is fp32; rows that blocks do not divide have their fallback, which the
 * scheme then remembers (scheme.substituted). */
struct scheme scheme_for_tensor(const struct model *model, int tensor, struct scheme scheme);

/* Fallbacks in an array of schemes (schemes_count). The i-th kind of them as one line, "q5_0 instead of q4_k: its
 * blocks of 256 do not divide the 576 columns of blk.0.attn_q and 179 more"; then, as a line of its own, which stored
 * matrices keep fp32 activations beside some of stored/int8; false past the last. */
bool fallback_note(const struct model *model, const struct scheme *schemes, size_t i, char *out, size_t size);

#endif
