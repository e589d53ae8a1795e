/* unpickle.h - the tensors of a pickled state dictionary, found without running the pickle.
 *
 * A pickle is a program for a stack machine that may call anything. The machine here knows only
 * what torch.save writes for a dictionary of tensors (protocol 2; Python's Lib/pickletools.py
 * describes the opcodes): every other opcode, every other global and every other way of calling
 * one is an error that names it. It has no recursion, and its memory is bounded by a small
 * multiple of the pickle's bytes. */
#ifndef QTOP_UNPICKLE_H
#define QTOP_UNPICKLE_H

#include "kernels/dtype.h"
#include "base/error.h"

#include "catalog.h"

/* The class of a tensor's storage: such as torch.FloatStorage. */
struct storage_type {
    const char *name;
    size_t bytes;     /* of an element */
    enum dtype dtype; /* or ENTRY_DOUBLES; DTYPE_ALL: known, but no weights come in it */
};

struct pickle_text {
    const char *data; /* into the pickle, no NUL at the end; may contain anything */
    size_t size;
};

/* One item of the dictionary. Numbers are in elements and as the pickle has them, not negative. */
struct pickle_tensor {
    struct pickle_text name;
    struct pickle_text storage; /* the name of the record that holds it */
    const struct storage_type *type;
    size_t elements; /* of the storage */
    size_t offset;   /* of the tensor in its storage */
    size_t dimensions, shape[MAX_DIMENSIONS], stride[MAX_DIMENSIONS];
};

/* Called for each item as it is found; false ends the run. */
typedef bool pickle_see(void *arg, const struct pickle_tensor *tensor, struct error *error);

/* Runs a pickle whose value is a dictionary (dict or OrderedDict) of tensors and parameters. */
bool unpickle(const uint8_t *data, size_t size, pickle_see *see, void *arg, struct error *error);

#endif
