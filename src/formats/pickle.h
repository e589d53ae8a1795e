/* pickle.h - what torch.save writes of a state dictionary (pytorch_model.bin): a ZIP archive of
 * a pickle and of a record for each storage. The pickle is never run; see unpickle.h. */
#ifndef QTOP_PICKLE_H
#define QTOP_PICKLE_H

#include "catalog.h"

/* Whether bytes begin as such an archive does, or as what torch wrote before version 1.6, which
 * pickle_parse refuses with advice. size is what can be seen of the file. */
bool pickle_probe(const uint8_t *data, size_t size);

/* Adds the tensors of one file's bytes, which must outlive the catalog, under their keys and
 * unsorted. Float, half and bfloat16 storages hold weights; a tensor of another type is refused
 * unless it is a known buffer (tensor_is_buffer), and buffers of any type are left out. Only
 * contiguous row-major tensors are taken. Tensors may share a storage. */
bool pickle_parse(struct catalog *catalog, const uint8_t *data, size_t size, struct error *error);

/* Reads a file, an index (pytorch_model.bin.index.json) with its parts, or a folder that holds
 * either, into an empty catalog, and sorts it. See weight_files_read. */
bool pickle_read(struct catalog *catalog, const char *path, struct error *error);

#endif
