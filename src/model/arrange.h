/* arrange.h - rows that a file holds in another order, or between others, than a model's tensor has them. */
#ifndef QTOP_ARRANGE_H
#define QTOP_ARRANGE_H

#include "model.h"

/* How a file's matrix holds a tensor's. At most one of the halves, the parities and the heads. */
enum arrangement {
    ARRANGED_TRANSPOSED = 1,  /* as columns x rows */
    ARRANGED_FIRST_HALF = 2,  /* as the first half of its rows */
    ARRANGED_SECOND_HALF = 4,
    ARRANGED_EVEN = 8,        /* as its even rows, from 0 */
    ARRANGED_ODD = 16,
    ARRANGED_ROW = 64,        /* a vector as a matrix of one row */
    ARRANGED_BY_HEAD = 32     /* queries, keys and values together for each head of keys and values */
};

/* Rows that the file's matrix has for `rows` of the tensor's. */
size_t arranged_rows(unsigned how, size_t rows);

/* The file's row that holds a tensor's row r of `rows`. layer: of a tensor by head. */
size_t arranged_row(unsigned how, const struct layer *layer, size_t rows, size_t r);

/* Whether `arrange` copies an entry's data rather than pointing to it. */
bool arrange_copies(const struct qmatrix *w, const struct entry *entry, unsigned how);

/* Points w, whose shape and type are there, to an entry's data, or to a copy in the tensor's order, which w owns. Of a
 * vector its elements are arranged as rows are. False when memory is short, or where blocks would have to be taken
 * apart. */
bool arrange(struct qmatrix *w, const struct entry *entry, unsigned how, bool vector, const struct layer *layer);

#endif
