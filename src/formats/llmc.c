#include "llmc.h"

#include <stdio.h>
#include <string.h>

enum { MAGIC = 20240326, HEADER = 1024, VERSION_FP32 = 3, VERSION_BF16 = 5 };

/* The header's integers that follow magic and version. */
enum { F_CONTEXT, F_VOCAB, F_LAYERS, F_HEADS, F_CHANNELS, F_PADDED, FIELDS };
static const struct {
    const char *name;
    int32_t max;
} fields[FIELDS] = {
    {"max_seq_len", 1 << 28}, {"vocab_size", 1 << 28}, {"num_layers", 1 << 16},
    {"num_heads", 1 << 28},   {"channels", 1 << 28},   {"padded_vocab_size", 1 << 28},
};

/* The tensors in file order; one in a block is there once for each layer, all layers
 * together. A dimension is a multiple of a field. */
static const struct {
    const char *name;
    bool in_block;
    size_t dimensions;
    struct {
        int times, field;
    } shape[2];
} tensors[] = {
    {"wte.weight", false, 2, {{1, F_PADDED}, {1, F_CHANNELS}}},
    {"wpe.weight", false, 2, {{1, F_CONTEXT}, {1, F_CHANNELS}}},
    {"ln_1.weight", true, 1, {{1, F_CHANNELS}}},
    {"ln_1.bias", true, 1, {{1, F_CHANNELS}}},
    {"attn.c_attn.weight", true, 2, {{3, F_CHANNELS}, {1, F_CHANNELS}}},
    {"attn.c_attn.bias", true, 1, {{3, F_CHANNELS}}},
    {"attn.c_proj.weight", true, 2, {{1, F_CHANNELS}, {1, F_CHANNELS}}},
    {"attn.c_proj.bias", true, 1, {{1, F_CHANNELS}}},
    {"ln_2.weight", true, 1, {{1, F_CHANNELS}}},
    {"ln_2.bias", true, 1, {{1, F_CHANNELS}}},
    {"mlp.c_fc.weight", true, 2, {{4, F_CHANNELS}, {1, F_CHANNELS}}},
    {"mlp.c_fc.bias", true, 1, {{4, F_CHANNELS}}},
    {"mlp.c_proj.weight", true, 2, {{1, F_CHANNELS}, {4, F_CHANNELS}}},
    {"mlp.c_proj.bias", true, 1, {{1, F_CHANNELS}}},
    {"ln_f.weight", false, 1, {{1, F_CHANNELS}}},
    {"ln_f.bias", false, 1, {{1, F_CHANNELS}}},
};
enum { TENSORS = sizeof tensors / sizeof *tensors };

static int32_t int_at(const uint8_t *data, size_t index)
{
    int32_t v;
    memcpy(&v, data + index * sizeof v, sizeof v);
    return v;
}

bool llmc_probe(const uint8_t *data, size_t size)
{
    return size >= 4 && int_at(data, 0) == MAGIC;
}

/* ---- header ---------------------------------------------------------------------------------- */

static bool check_fields(const int32_t f[FIELDS], struct error *error)
{
    for (int i = 0; i < FIELDS; i++)
        if (f[i] < 1 || f[i] > fields[i].max)
            return error_set(error, "llm.c header: %s = %d; expected 1 to %d", fields[i].name, f[i],
                             fields[i].max);
    if (f[F_CHANNELS] % f[F_HEADS] != 0)
        return error_set(error, "llm.c header: num_heads = %d does not divide channels = %d",
                         f[F_HEADS], f[F_CHANNELS]);
    if (f[F_PADDED] < f[F_VOCAB])
        return error_set(error,
                         "llm.c header: padded_vocab_size = %d; expected at least vocab_size = "
                         "%d",
                         f[F_PADDED], f[F_VOCAB]);
    return true;
}

static bool read_header(const uint8_t *data, size_t size, enum dtype *dtype, int32_t f[FIELDS],
                        struct error *error)
{
    if (size < HEADER)
        return error_set(error, "llm.c header: %zu bytes; expected %d", size, HEADER);
    if (!llmc_probe(data, size))
        return error_set(error, "llm.c header: magic number = %d; expected %d", int_at(data, 0),
                         MAGIC);
    int32_t version = int_at(data, 1);
    if (version != VERSION_FP32 && version != VERSION_BF16)
        return error_set(error, "llm.c header: version = %d; expected %d (fp32) or %d (bf16)",
                         version, VERSION_FP32, VERSION_BF16);
    *dtype = version == VERSION_FP32 ? DTYPE_FP32 : DTYPE_BF16;
    for (size_t i = 0; i < FIELDS; i++)
        f[i] = int_at(data, 2 + i);
    return check_fields(f, error);
}

/* ---- tensors --------------------------------------------------------------------------------- */

static size_t copies(size_t tensor, const int32_t f[FIELDS])
{
    return tensors[tensor].in_block ? (size_t)f[F_LAYERS] : 1;
}

/* The entry of a tensor, still without data. */
static bool describe(size_t tensor, const int32_t f[FIELDS], enum dtype dtype, struct entry *entry)
{
    *entry = (struct entry){.dtype = dtype, .dimensions = tensors[tensor].dimensions};
    for (size_t i = 0; i < entry->dimensions; i++)
        entry->shape[i] =
            (size_t)tensors[tensor].shape[i].times * (size_t)f[tensors[tensor].shape[i].field];
    return entry_bytes(dtype, entry->dimensions, entry->shape, &entry->bytes);
}

/* Before anything is allocated: the file must be as long as its header says. */
static bool check_size(size_t size, const int32_t f[FIELDS], enum dtype dtype, struct error *error)
{
    size_t expected = HEADER;
    for (size_t i = 0; i < TENSORS; i++) {
        struct entry entry;
        size_t all;
        if (!describe(i, f, dtype, &entry) ||
            __builtin_mul_overflow(entry.bytes, copies(i, f), &all) ||
            __builtin_add_overflow(expected, all, &expected))
            return error_set(error, "llm.c header: the tensors' sizes overflow at %s; expected "
                                    "dimensions that fit in memory", tensors[i].name);
    }
    if (expected != size)
        return error_set(error, "llm.c payload: the file has %zu bytes; its header asks for %zu",
                         size, expected);
    return true;
}

static bool add_tensor(struct catalog *catalog, size_t tensor, struct entry entry,
                       const int32_t f[FIELDS], size_t layer, struct error *error)
{
    char name[64];
    if (tensors[tensor].in_block)
        snprintf(name, sizeof name, "h.%zu.%s", layer, tensors[tensor].name);
    else
        snprintf(name, sizeof name, "%s", tensors[tensor].name);
    if (tensors[tensor].shape[0].field == F_PADDED) {
        entry.bytes = entry.bytes / entry.shape[0] * (size_t)f[F_VOCAB];
        entry.shape[0] = (size_t)f[F_VOCAB];
    }
    return catalog_add(catalog, &entry, name, strlen(name), error);
}

bool llmc_parse(struct catalog *catalog, const uint8_t *data, size_t size, struct llmc *hyper,
                struct error *error)
{
    int32_t f[FIELDS];
    enum dtype dtype = DTYPE_ALL;
    if (!read_header(data, size, &dtype, f, error) || !check_size(size, f, dtype, error))
        return false;
    *hyper = (struct llmc){.context = (size_t)f[F_CONTEXT], .vocab = (size_t)f[F_VOCAB],
                           .layers = (size_t)f[F_LAYERS], .heads = (size_t)f[F_HEADS],
                           .channels = (size_t)f[F_CHANNELS]};
    const uint8_t *at = data + HEADER;
    for (size_t i = 0; i < TENSORS; i++) {
        struct entry entry;
        describe(i, f, dtype, &entry);
        for (size_t layer = 0; layer < copies(i, f); layer++, at += entry.bytes) {
            entry.data = at;
            if (!add_tensor(catalog, i, entry, f, layer, error))
                return false;
        }
    }
    return true;
}

bool llmc_read(struct catalog *catalog, const char *path, struct llmc *hyper, struct error *error)
{
    const struct mapped_file *map = catalog_map(catalog, path, error);
    struct error inner = {""};
    if (!map)
        return false;
    if (!llmc_parse(catalog, map->data, map->size, hyper, &inner))
        return error_set(error, "%s: %s", path, inner.text);
    return catalog_sort(catalog, error);
}
