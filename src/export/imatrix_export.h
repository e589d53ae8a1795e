/* imatrix_export.h - writing importance matrices (formats/imatrix_file.h says the formats). */
#ifndef QTOP_IMATRIX_EXPORT_H
#define QTOP_IMATRIX_EXPORT_H

#include "formats/imatrix_file.h"

/* Writes a sorted matrix, whole or not at all: as llama.cpp's older .dat where the path ends so, else as imatrix.gguf.
 * A .dat has one number of chunks an entry, those of the row with the most tokens, and 1 for the means of rows without
 * data. *bytes: of the file. False with an error that names the path. */
bool imatrix_write(const struct imatrix *matrix, const char *path, size_t *bytes, struct error *error);

#endif
