/* archfolder.h - folders with a config.json and weights, made from those of tests/data/arch with something changed. */
#ifndef QTOP_TESTS_ARCHFOLDER_H
#define QTOP_TESTS_ARCHFOLDER_H

#include "formats/catalog.h"
#include "modelfile.h"

/* A file of a model of the reference data; the caller frees. */
char *arch_path(const char *model, const char *file);
struct bytes arch_config(const char *model);

void folder_write(const char *folder, const char *name, const void *data, size_t size);

/* The weights of a model of the reference data, under a name. */
void folder_link_weights(const char *folder, const char *model, const char *name);

/* A configuration with a key's value, which ends its line, replaced, or (null) without the key; the caller frees. */
char *config_with(const char *config, const char *key, const char *value);

/* A safetensors file as text and bytes, tensor by tensor. Begin with {0}. */
struct writing {
    char header[16384];
    size_t used, payload;
    uint8_t data[1 << 18];
};

/* Adds a tensor with the shape of an entry; type as the format spells it. */
void writing_put(struct writing *writing, const char *name, const char *type, const struct entry *shape,
                 const void *data, size_t bytes);

/* Writes FOLDER/model.safetensors. */
void writing_write(const char *folder, const struct writing *writing);

#endif
