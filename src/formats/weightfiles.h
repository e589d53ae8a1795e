/* weightfiles.h - what the formats of weight files that come in parts have in common. */
#ifndef QTOP_WEIGHTFILES_H
#define QTOP_WEIGHTFILES_H

#include "catalog.h"

struct weight_files {
    const char *single; /* the name of a model's only file */
    const char *index;  /* and of the JSON file that lists the parts of a larger one */
    /* Adds the tensors of one file's bytes to the catalog, unsorted. */
    bool (*parse)(struct catalog *catalog, const uint8_t *data, size_t size, struct error *error);
};

/* Reads into an empty catalog, and sorts it: path is a file, an index (its name ends in .json),
 * or a folder that holds one of them. An index's parts lie beside it and are all mapped; every
 * tensor that it lists must be in the part that it names. Errors begin with the file's path. */
bool weight_files_read(struct catalog *catalog, const char *path, const struct weight_files *files,
                       struct error *error);

/* Whether a tensor is not a weight but a buffer that old files carry along and that is computed
 * again from the hyper-parameters: attention masks, rotary frequencies, position numbers. Readers
 * leave these out. By name and shape, since a bias may have a mask's name. */
bool tensor_is_buffer(const char *name, size_t name_size, const size_t *shape, size_t dimensions);

/* The same by name alone: true where some shape makes it a buffer. */
bool tensor_may_be_buffer(const char *name, size_t name_size);

/* Elements of a shape; false where the product overflows. */
bool shape_elements(const size_t *shape, size_t dimensions, size_t *elements);

#endif
