/* requant_rows.h - what each pass of a requantization does to a row. Private to requant.c. `row` has room for two rows;
 * the first begins as the weights that codes are to stand for. */
#ifndef QTOP_REQUANT_ROWS_H
#define QTOP_REQUANT_ROWS_H

#include "requant.h"

/* REQUANT_SCAN: the row's range. */
void requant_scan_row(struct requant *job, size_t r, float *row);

/* REQUANT_CLIP: what the row is off by on the grid of each trial, for the scale of the whole tensor. */
void requant_clip_row(struct requant *job, size_t r, float *row);

/* REQUANT_LOAD: its scales; then it is the solver's. */
void requant_load_row(struct requant *job, size_t r, float *row);

/* REQUANT_PACK: its codes and errors; of the stored scheme, errors alone. */
void requant_pack_row(struct requant *job, size_t r, float *row);
void requant_compare_row(struct requant *job, size_t r, float *row);

/* When all are packed: keeps what the rows that a walk over the weights begins at were rounded from, where that is not
 * in the file (struct targets); where memory is short, of none. */
void requant_keep_targets(struct requant *job);

#endif
