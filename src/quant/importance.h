/* importance.h - an importance matrix (formats/imatrix_file.h) as a model's tensors see it: of each the mean of its
 * squared inputs, and the other way round the entries of a model's tensors. The one place that maps the names of such
 * files to tensors. */
#ifndef QTOP_IMPORTANCE_H
#define QTOP_IMPORTANCE_H

#include "formats/imatrix_file.h"
#include "model/model.h"

/* Immutable; belongs to one model. */
struct importance {
    size_t tensor_count;
    float **mean;           /* of each tensor: mean squared input of each column (cols), or null */
    const char **lacks;     /* of each tensor without: what it lacks, a static text */
    size_t known, linear;   /* tensors with data; those that multiply activations inside blocks */
    size_t unused;          /* entries that name no tensor of the model, */
    char first_unused[80];  /* and the first of them */
    char *file, *dataset;   /* as export and screens say them; dataset "": the file does not say */
    size_t entries, chunks; /* of the file; chunks 0: not said */
};

/* Finds each tensor's entry by its name in GGUF files: of experts a row of one entry; of matrices that take the same
 * input and that another file holds in one (attn_qkv, ffn_gate_up) that one's, and the other way round; of a tied head
 * token_embd's or output's. Fails where an entry's size is another than its tensor's and where no entry names a tensor:
 * it is another model's. `file` is what errors and exports call it. Null with an error; free with importance_close. */
struct importance *importance_open(const struct imatrix *matrix, const struct model *model, const char *file,
                                   struct error *error);
void importance_close(struct importance *importance); /* null is fine */

/* The mean squared input of each column (cols), or null: what it lacks then is a static text. */
const float *importance_of(const struct importance *importance, int tensor);
const char *importance_lack(const struct importance *importance, int tensor);

/* What llama.cpp calls a tensor's entry; of experts that of all. Returns out. */
enum { IMPORTANCE_NAME = 128 };
const char *importance_name(const struct model *model, int tensor, char out[IMPORTANCE_NAME]);

/* Matrices that lie in a tensor's entry: experts of its block, else 1. */
size_t importance_rows(const struct model *model, int tensor);

#endif
