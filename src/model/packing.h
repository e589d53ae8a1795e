/* packing.h - tensors that a file holds in two parts, codes and scales, and that become blocks of a stored type.
 *
 * In the place of a tensor NAME such a file has NAME_blocks and NAME_scales, say. A packing is a row of a table: how
 * the parts are called, what they hold, and how a block is made of them. Codes are put into another order once, and
 * never decoded. */
#ifndef QTOP_PACKING_H
#define QTOP_PACKING_H

#include "model.h"

struct packing {
    const char *method;         /* quant_method in config.json's quantization_config */
    const char *codes, *scales; /* what follows a tensor's name in those of its parts, which are of bytes */
    enum dtype dtype;           /* the stored type of the blocks */
    size_t code_bytes;          /* of a block; its scale is one byte */
    void (*join)(const uint8_t *codes, uint8_t scale, uint8_t *block); /* one block */
};

/* The table, which a row without a method ends: "mxfp4" (gpt-oss as OpenAI published it: codes of a byte are those of
 * two neighbours, the first in the low nibble; the scale's byte is the exponent of 2 plus 127). */
extern const struct packing packings[];

/* The packing with this name, or null. */
const struct packing *packing_by_method(const char *method);

/* Whether all entries of bytes have names that end as those of a packing's parts do (null: none may be there). False
 * with an error that names the first other one. */
bool packing_check_bytes(const struct catalog *files, const struct packing *packing, struct error *error);

/* A tensor's two parts; of experts that lie together those of one. */
struct packing_parts {
    struct entry codes;  /* rows x blocks of a row x code_bytes */
    struct entry scales; /* rows x blocks of a row */
};

/* Whether the parts are of bytes and have the shape of a matrix of rows x cols. False with an error that names the
 * part. */
bool packing_check(const struct packing *packing, const struct packing_parts *parts, size_t rows, size_t cols,
                   struct error *error);

/* Joins parts that were checked in a copy that w, whose shape and layout are there, owns. Rows are arranged as `how`
 * says (arrange.h), but never transposed; of a tensor by head the layer is needed. False when memory is short. */
bool packing_join(struct qmatrix *w, const struct packing *packing, const struct packing_parts *parts, unsigned how,
                  const struct layer *layer);

#endif
