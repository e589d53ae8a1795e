/* change.h - the next scheme in a cycle: what one keypress does to a tensor. */
#ifndef QTOP_CHANGE_H
#define QTOP_CHANGE_H

#include "model/model.h"
#include "scheme.h"

enum change {
    CHANGE_WEIGHT,      /* stored, and round about from the nearest to it in bits: fp32, fp16, bf16, int8, int4,
                         * fp8e4m3, fp8e5m2; of the KV cache (kv_index) fp32, fp16, int8, fp8e4m3, fp8e5m2 and
                         * nothing else */
    CHANGE_ACT,         /* fp32, fp16, bf16, int8, int8.asym, fp8e4m3, fp8e5m2, as far as they fit */
    CHANGE_GRANULARITY, /* tensor, channel, g256 ... g16, as far as the columns allow */
    CHANGE_SYMMETRY,    /* sym, asym */
    CHANGE_METHOD       /* rtn, the methods of the table and what people compose of them, as far as they fit */
};

/* What somebody chose of a tensor's scales, for schemes to come: a datatype without scales cannot keep it. */
struct scales_choice {
    bool granular; /* a granularity other than a datatype's default was chosen */
    enum granularity granularity;
    uint32_t group;
    bool asym;
};

/* Takes over what a scheme says of it. */
void scales_choice_note(struct scales_choice *choice, const struct scheme *scheme);

/* The scheme that follows `from` (direction 1) or comes before it (-1); never one that trains. `chosen`, or null, is
 * the tensor's: another datatype gets its granularity and symmetry where it can, groups begin with its size, and it
 * takes over what `from` says. Fails with the reason when the field does not apply. */
bool scheme_cycle(const struct model *model, int tensor, const struct scheme *from, enum change change,
                  int direction, struct scales_choice *chosen, struct scheme *to, struct error *why);

/* What a change of one field to its value in `to` makes of another tensor's scheme: the others of its fields stay. A
 * weight datatype that the tensor does not offer becomes what scheme_for_tensor makes of it. False, and *out is `from`,
 * where the field does not apply to the tensor, or cannot have that value there. */
bool scheme_follow(const struct model *model, int tensor, const struct scheme *from, enum change change,
                   const struct scheme *to, const struct scales_choice *chosen, struct scheme *out);

/* A field's value as screens show it: "q4_k", "int8.asym", "g128", "asym", "gptq". Returns buffer. */
const char *scheme_print_field(const struct scheme *scheme, enum change change, char buffer[SCHEME_TEXT]);

/* Every choice of a field for this tensor, given the others: for an editor. Returns how many (at most `max`). */
size_t scheme_choices(const struct model *model, int tensor, const struct scheme *from,
                      enum change change, struct scheme *out, size_t max);

#endif
