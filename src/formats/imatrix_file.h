/* imatrix_file.h - importance matrices of llama.cpp: of a tensor's columns the sums of their squared inputs, and over
 * how many tokens they were taken. Two formats are read, told apart by content:
 *
 *   imatrix.gguf (since 2025): of each tensor two of fp32, NAME.in_sum2 (one row a matrix: of experts one an expert)
 *   and NAME.counts (tokens of each row), with the keys imatrix.datasets, imatrix.chunk_count and imatrix.chunk_size.
 *
 *   .dat, before that: int32 entries; of each int32 length, the name, int32 chunks, int32 values, then as many floats:
 *   means times chunks; at the end int32 chunks, int32 length and the name of the text, which may be missing. How many
 *   rows the values are does not stand there. */
#ifndef QTOP_IMATRIX_FILE_H
#define QTOP_IMATRIX_FILE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct imatrix_entry {
    char *name;          /* as GGUF calls the tensor: "blk.0.attn_q.weight" */
    size_t values, rows; /* values is a multiple of rows; rows may be 1 where the tensor has several matrices */
    float *sums;         /* values: of squared inputs over the row's count, not negative and finite */
    float *counts;       /* rows: tokens (.dat: chunks); 0: the row has no data */
};

/* A matrix is a value: it owns all that it points to. */
struct imatrix {
    struct imatrix_entry *entries; /* sorted by name, each once */
    size_t count, room;
    char *dataset; /* the text that it was computed on, as the file calls it; "" where it does not say */
    size_t chunk_count, chunk_size; /* chunks of the text, and tokens in one; 0: not said */
    bool legacy;                    /* read from a .dat */
};

/* Parses a file's bytes, which need not outlive it; `name` is what errors call it. They name the entry, what was found
 * and what was expected. Free with imatrix_free, also after a failure. */
bool imatrix_parse(struct imatrix *out, const uint8_t *data, size_t size, const char *name, struct error *error);

/* The same of a regular file. */
bool imatrix_read(struct imatrix *out, const char *path, struct error *error);

void imatrix_free(struct imatrix *matrix);

/* By name, or null. */
const struct imatrix_entry *imatrix_find(const struct imatrix *matrix, const char *name);

/* Adds an entry, all of it 0; the matrix is no longer sorted until imatrix_sort, before which nothing is found. Null
 * when memory is short. The entry's address is good until the next is added. */
struct imatrix_entry *imatrix_add(struct imatrix *matrix, const char *name, size_t name_size, size_t rows, size_t cols);

/* Sorts by name. False with the name of one that is there twice. */
bool imatrix_sort(struct imatrix *matrix, const char **twice);

#endif
