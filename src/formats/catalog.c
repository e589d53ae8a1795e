#include "catalog.h"

#include "doubles.h"
#include "foreign.h"

#include "base/escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void catalog_close(struct catalog *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free(c->entries[i].name);
        free(c->entries[i].owned);
    }
    free(c->entries);
    for (size_t i = 0; i < c->file_count; i++)
        mapped_file_close(&c->files[i]);
    free(c->files);
    *c = (struct catalog){0};
}

const struct mapped_file *catalog_map(struct catalog *c, const char *path, struct error *error)
{
    char shown[256];
    struct mapped_file *files = realloc(c->files, (c->file_count + 1) * sizeof *files);
    if (!files) {
        error_set(error, "not enough memory to open a file");
        return NULL;
    }
    c->files = files;
    if (!mapped_file_open(&files[c->file_count], path, error))
        return NULL;
    const struct mapped_file *file = &files[c->file_count++];
    struct error why;
    if (foreign_check(file->data, file->size, &why))
        return file;
    escape_text(shown, sizeof shown, path, strlen(path));
    error_set(error, "%s: %s", shown, why.text);
    return NULL;
}

size_t catalog_bytes(const struct catalog *c)
{
    size_t bytes = 0;
    for (size_t i = 0; i < c->file_count; i++)
        bytes += c->files[i].size;
    return bytes;
}

size_t entry_block(enum dtype dtype)
{
    return dtype < DTYPE_ALL ? dtypes[dtype].block : 1;
}

const char *entry_type_name(enum dtype dtype)
{
    return dtype < DTYPE_ALL ? dtypes[dtype].name : dtype == ENTRY_BYTES ? "U8" : "F64";
}

bool entry_bytes(enum dtype dtype, size_t dimensions, const size_t *shape, size_t *bytes)
{
    size_t block = entry_block(dtype), weights = 1, block_bytes = dtype < DTYPE_ALL ? dtypes[dtype].block_bytes
                                                             : dtype == ENTRY_BYTES ? 1 : sizeof(double);
    for (size_t i = 0; i < dimensions; i++)
        if (__builtin_mul_overflow(weights, shape[i], &weights))
            return false;
    size_t columns = dimensions ? shape[dimensions - 1] : 1;
    return columns % block == 0 && !__builtin_mul_overflow(weights / block, block_bytes, bytes);
}

void shape_print(char out[ENTRY_SHAPE_TEXT], size_t dimensions, const size_t *shape)
{
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < dimensions; i++)
        used += (size_t)snprintf(out + used, ENTRY_SHAPE_TEXT - used, "%s%zu", i ? " x " : "", shape[i]);
}

static bool make_room(struct catalog *c)
{
    if (c->count < c->room)
        return true;
    size_t room = c->room ? c->room * 2 : 64;
    struct entry *entries = realloc(c->entries, room * sizeof *entries);
    if (!entries)
        return false;
    c->entries = entries;
    c->room = room;
    return true;
}

static bool round_entry(struct catalog *c, struct entry *e, struct error *error)
{
    size_t n = e->bytes / sizeof(double);
    e->owned = doubles_round(e->data, n, e->name, error);
    e->dtype = DTYPE_FP32;
    e->data = e->owned;
    e->bytes = n * sizeof(float);
    c->rounded++;
    return e->owned;
}

bool catalog_add(struct catalog *c, const struct entry *entry, const char *name, size_t name_size,
                 struct error *error)
{
    if (memchr(name, 0, name_size))
        return error_set(error, "tensor '%.64s...': its name contains a NUL; expected none", name);
    char *copy = strndup(name, name_size);
    if (!copy || !make_room(c)) {
        free(copy);
        return error_set(error, "not enough memory for the list of %zu tensors", c->count + 1);
    }
    struct entry *e = &c->entries[c->count++];
    *e = *entry;
    e->name = copy;
    return e->dtype != ENTRY_DOUBLES || round_entry(c, e, error);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

bool catalog_sort(struct catalog *c, struct error *error)
{
    if (c->count > 0)
        qsort(c->entries, c->count, sizeof *c->entries, by_name);
    for (size_t i = 1; i < c->count; i++)
        if (strcmp(c->entries[i - 1].name, c->entries[i].name) == 0)
            return error_set(error, "tensor '%.64s' appears twice; expected each name once",
                             c->entries[i].name);
    return true;
}

const struct entry *catalog_find(const struct catalog *c, const char *name)
{
    struct entry wanted = {.name = (char *)(uintptr_t)name}; /* only read */
    return c->count ? bsearch(&wanted, c->entries, c->count, sizeof wanted, by_name) : NULL;
}
