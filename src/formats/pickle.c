#include "pickle.h"

#include "unpickle.h"
#include "weightfiles.h"
#include "zip.h"

#include <stdio.h>
#include <string.h>

/* An archive of torch: all its records are in one folder, which has any name. */
struct archive {
    struct zip zip;
    const char *folder; /* ends in a slash */
    size_t folder_size;
    struct catalog *catalog;
};

/* A pickle of protocol 2 whose value is the magic number of the format without an archive. */
static const uint8_t legacy_mark[] = {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c,
                                      0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

static bool is_legacy(const uint8_t *data, size_t size)
{
    return size >= sizeof legacy_mark && memcmp(data, legacy_mark, sizeof legacy_mark) == 0;
}

bool pickle_probe(const uint8_t *data, size_t size)
{
    return zip_probe(data, size) || is_legacy(data, size);
}

/* ---- records --------------------------------------------------------------------------------- */

static bool ends_with(const struct zip_entry *entry, const char *ending)
{
    size_t n = strlen(ending);
    return entry->name_size >= n && memcmp(entry->name + entry->name_size - n, ending, n) == 0;
}

/* The only entry FOLDER/data.pkl; the folder becomes the archive's. */
static const struct zip_entry *find_pickle(struct archive *a, struct error *error)
{
    static const char name[] = "/data.pkl";
    const struct zip_entry *found = NULL;
    for (size_t i = 0; i < a->zip.count; i++) {
        const struct zip_entry *entry = &a->zip.entries[i];
        if (!ends_with(entry, name))
            continue;
        if (found) {
            error_set(error, "zip: two entries are called data.pkl; expected one");
            return NULL;
        }
        found = entry;
    }
    if (!found) {
        error_set(error, "zip: no entry is called data.pkl; expected an archive that torch.save "
                         "wrote");
        return NULL;
    }
    a->folder = found->name;
    a->folder_size = found->name_size - (sizeof name - 2);
    return found;
}

/* The record FOLDER/PREFIXNAME, or null. */
static const struct zip_entry *find_record(const struct archive *a, const char *prefix,
                                           struct pickle_text name)
{
    char path[1024];
    size_t n = strlen(prefix);
    if (name.size > sizeof path || a->folder_size > sizeof path ||
        a->folder_size + n + name.size > sizeof path)
        return NULL;
    memcpy(path, a->folder, a->folder_size);
    memcpy(path + a->folder_size, prefix, n);
    memcpy(path + a->folder_size + n, name.data, name.size);
    return zip_find(&a->zip, path, a->folder_size + n + name.size);
}

static bool check_byteorder(const struct archive *a, struct error *error)
{
    const struct zip_entry *record = find_record(a, "", (struct pickle_text){"byteorder", 9});
    if (!record || (record->size == 6 && memcmp(record->data, "little", 6) == 0))
        return true;
    return error_set(error, "byteorder: is '%.*s'; expected 'little'",
                     record->size > 32 ? 32 : (int)record->size, (const char *)record->data);
}

/* ---- tensors --------------------------------------------------------------------------------- */

static int shown(struct pickle_text text)
{
    return text.size > 128 ? 128 : (int)text.size;
}

/* Row-major without gaps; a dimension of one element may have any stride. */
static bool is_contiguous(const struct pickle_tensor *t)
{
    size_t expected = 1;
    for (size_t i = t->dimensions; i-- > 0; expected *= t->shape[i])
        if (t->shape[i] != 1 && t->stride[i] != expected)
            return false;
    return true;
}

static const uint8_t *find_storage(const struct archive *a, const struct pickle_tensor *t,
                                   struct error *error)
{
    size_t bytes;
    const struct zip_entry *record = find_record(a, "data/", t->storage);
    if (!record) {
        error_set(error, "%.*s: its storage 'data/%.*s' is not in the archive", shown(t->name),
                  t->name.data, shown(t->storage), t->storage.data);
        return NULL;
    }
    if (__builtin_mul_overflow(t->elements, t->type->bytes, &bytes) || bytes != record->size) {
        error_set(error, "%.*s: its storage 'data/%.*s' has %zu bytes; %zu elements of %s ask for "
                         "others", shown(t->name), t->name.data, shown(t->storage), t->storage.data,
                  record->size, t->elements, t->type->name);
        return NULL;
    }
    return record->data;
}

static bool check_extent(const struct pickle_tensor *t, size_t *elements, struct error *error)
{
    if (!shape_elements(t->shape, t->dimensions, elements))
        return error_set(error,
                         "%.*s: shape overflows; expected one that fits in the file",
                         shown(t->name), t->name.data);
    if (t->offset > t->elements || *elements > t->elements - t->offset)
        return error_set(error, "%.*s: %zu elements from %zu on; its storage has %zu",
                         shown(t->name), t->name.data, *elements, t->offset, t->elements);
    if (*elements > 0 && !is_contiguous(t))
        return error_set(error, "%.*s: its strides are not row-major; save it with .contiguous()",
                         shown(t->name), t->name.data);
    return true;
}

static bool see_tensor(void *arg, const struct pickle_tensor *t, struct error *error)
{
    struct archive *a = arg;
    size_t elements;
    const uint8_t *data = find_storage(a, t, error);
    if (!data || !check_extent(t, &elements, error))
        return false;
    if (tensor_is_buffer(t->name.data, t->name.size, t->shape, t->dimensions))
        return true;
    if (t->type->dtype == DTYPE_ALL)
        return error_set(error, "%.*s: is in a %s; expected a DoubleStorage, FloatStorage, HalfStorage "
                                "or BFloat16Storage", shown(t->name), t->name.data, t->type->name);
    struct entry entry = {.dtype = t->type->dtype, .dimensions = t->dimensions,
                          .data = data + t->offset * t->type->bytes,
                          .bytes = elements * t->type->bytes};
    memcpy(entry.shape, t->shape, sizeof entry.shape);
    return catalog_add(a->catalog, &entry, t->name.data, t->name.size, error);
}

/* ---- one file -------------------------------------------------------------------------------- */

static bool read_archive(struct archive *a, struct error *error)
{
    const struct zip_entry *pickle = find_pickle(a, error);
    return pickle && check_byteorder(a, error) &&
           unpickle(pickle->data, pickle->size, see_tensor, a, error);
}

bool pickle_parse(struct catalog *catalog, const uint8_t *data, size_t size, struct error *error)
{
    struct archive a = {.catalog = catalog};
    if (is_legacy(data, size))
        return error_set(error,
                         "is of torch before 1.6, without an archive; load it and save it again "
                         "with a newer torch");
    if (!zip_probe(data, size))
        return error_set(error, "does not begin with a ZIP entry; expected an archive that torch.save "
                                "wrote");
    bool ok = zip_parse(&a.zip, data, size, error) && read_archive(&a, error);
    zip_close(&a.zip);
    return ok;
}

bool pickle_read(struct catalog *catalog, const char *path, struct error *error)
{
    static const struct weight_files files = {"pytorch_model.bin", "pytorch_model.bin.index.json",
                                              pickle_parse};
    return weight_files_read(catalog, path, &files, error);
}
