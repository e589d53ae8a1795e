/* llmc.h - GPT-2 checkpoints of llm.c (Karpathy 2024, train_gpt2.py), versions 3 (fp32) and 5
 * (bf16). */
#ifndef QTOP_LLMC_H
#define QTOP_LLMC_H

#include "catalog.h"

/* What the header says of the model. */
struct llmc {
    size_t context; /* positions that wpe.weight has rows for */
    size_t vocab;   /* rows of wte.weight; the file pads them to more */
    size_t layers, heads, channels;
};

/* Whether bytes begin with the format's magic number. size is what can be seen of the file. */
bool llmc_probe(const uint8_t *data, size_t size);

/* Adds the tensors of one file's bytes, which must outlive the catalog, unsorted. Their names
 * are those that GPT-2 has at Hugging Face, without a prefix: wte.weight,
 * h.3.attn.c_attn.weight, ln_f.bias. Their shapes are not: every matrix here is out_features x
 * in_features as everywhere in qtop (c_attn 3C x C, c_fc 4C x C, mlp.c_proj C x 4C), while files
 * of Hugging Face hold the transposed ones of its Conv1D. wte.weight has `vocab` rows; the rows
 * of zeros after them are left out. */
bool llmc_parse(struct catalog *catalog, const uint8_t *data, size_t size, struct llmc *hyper,
                struct error *error);

/* Maps a file, reads it into an empty catalog and sorts it. Errors begin with the path. */
bool llmc_read(struct catalog *catalog, const char *path, struct llmc *hyper, struct error *error);

#endif
