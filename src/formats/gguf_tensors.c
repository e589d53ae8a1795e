/* The list of tensors, and where in the file each lies. */
#include "gguf_internal.h"

#include "base/array.h"

#include <stdlib.h>
#include <string.h>

enum { LONGEST_NAME = 63 }; /* ggml keeps names in 64 bytes with a NUL */

/* ---- descriptions ---------------------------------------------------------------------------- */

static bool take_name(struct reader *r, size_t index, struct gguf_text *name, struct error *error)
{
    if (!gguf_take_text(r, name))
        return CUT_OFF(r, error, "tensor %zu, name", index);
    if (name->size < 1 || name->size > LONGEST_NAME)
        return error_set(error, "GGUF tensor %zu: its name '%.*s' has %zu bytes; expected 1 to %d",
                         index, GGUF_SHOWN(*name), name->size, LONGEST_NAME);
    if (memchr(name->data, 0, name->size))
        return error_set(error, "GGUF tensor %zu: its name '%.*s...' contains a NUL; expected none",
                         index, GGUF_SHOWN(*name));
    return true;
}

/* The file's ne[0] varies fastest; an entry's last dimension does. */
static bool take_shape(struct reader *r, struct gguf_tensor *t, struct error *error)
{
    enum { GGUF_DIMENSIONS = 4 };
    uint32_t dimensions;
    if (!gguf_take_u32(r, &dimensions))
        return CUT_OFF(r, error, "tensor '%.*s', n_dims", GGUF_SHOWN(t->name));
    if (dimensions < 1 || dimensions > GGUF_DIMENSIONS)
        return error_set(error, "GGUF tensor '%.*s': n_dims = %" PRIu32 "; expected 1 to %d",
                         GGUF_SHOWN(t->name), dimensions, GGUF_DIMENSIONS);
    t->entry.dimensions = dimensions;
    for (uint32_t i = 0; i < dimensions; i++) {
        uint64_t n;
        if (!gguf_take_u64(r, &n))
            return CUT_OFF(r, error, "tensor '%.*s', ne[%" PRIu32 "]", GGUF_SHOWN(t->name), i);
        if (n > INT64_MAX || n > SIZE_MAX)
            return error_set(error, "GGUF tensor '%.*s': ne[%" PRIu32 "] = %" PRId64
                                    "; expected at least 0", GGUF_SHOWN(t->name), i, (int64_t)n);
        t->entry.shape[dimensions - 1 - i] = (size_t)n;
    }
    return true;
}

static bool take_tensor_type(struct reader *r, struct gguf_tensor *t, struct error *error)
{
    uint32_t number;
    if (!gguf_take_u32(r, &number))
        return CUT_OFF(r, error, "tensor '%.*s', type", GGUF_SHOWN(t->name));
    const struct ggml_type_info *type = ggml_type(number);
    if (!type->supported)
        return error_set(error, "GGUF tensor '%.*s': type %" PRIu32 "%s%s%s %s; expected %s",
                         GGUF_SHOWN(t->name), number, type->name ? " (" : "",
                         type->name ? type->name : "", type->name ? ")" : "",
                         !type->name     ? "is unknown"
                         : type->removed ? "was removed from the format"
                                         : "is not supported",
                         ggml_types_supported());
    t->entry.dtype = type->dtype;
    size_t columns = t->entry.shape[t->entry.dimensions - 1], block = entry_block(type->dtype);
    if (columns % block != 0)
        return error_set(error, "GGUF tensor '%.*s': ne[0] = %zu is not a multiple of %zu, the block of %s",
                         GGUF_SHOWN(t->name), columns, block, type->name);
    if (!entry_bytes(type->dtype, t->entry.dimensions, t->entry.shape, &t->entry.bytes))
        return error_set(error, "GGUF tensor '%.*s': the product of ne[] and the size of %s overflows; "
                                "expected what fits in the file", GGUF_SHOWN(t->name), type->name);
    return true;
}

/* The offset counts from where the tensors' data begins, which is not known yet. */
struct span {
    uint64_t offset;
    size_t bytes, tensor;
};

static bool keep_tensor(struct gguf *g, struct span **spans, const struct gguf_tensor *t,
                        const struct span *span)
{
    size_t i = g->tensor_count;
    struct gguf_tensor *tensors = array_grow(g->tensors, i, sizeof *t);
    g->tensors = tensors ? tensors : g->tensors;
    struct span *all = array_grow(*spans, i, sizeof *span);
    *spans = all ? all : *spans;
    if (!tensors || !all)
        return false;
    tensors[g->tensor_count++] = *t;
    all[i] = *span;
    return true;
}

static bool take_tensors(struct reader *r, struct gguf *g, uint64_t count, struct span **spans,
                         struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        struct gguf_tensor t = {0};
        struct span span = {.tensor = i};
        if (!take_name(r, i, &t.name, error) || !take_shape(r, &t, error) ||
            !take_tensor_type(r, &t, error))
            return false;
        if (!gguf_take_u64(r, &span.offset))
            return CUT_OFF(r, error, "tensor '%.*s', offset", GGUF_SHOWN(t.name));
        if (span.offset % g->alignment != 0)
            return error_set(error, "GGUF tensor '%.*s': offset = %" PRIu64 "; expected a multiple of "
                                    "the alignment %zu", GGUF_SHOWN(t.name), span.offset, g->alignment);
        span.bytes = t.entry.bytes;
        if (!keep_tensor(g, spans, &t, &span))
            return error_set(error, "not enough memory for %" PRIu64 " GGUF tensors", count);
    }
    return true;
}

/* ---- offsets --------------------------------------------------------------------------------- */

static int by_offset(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    int order = (x->offset > y->offset) - (x->offset < y->offset);
    return order ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes); /* those without a byte first */
}

static bool locate_tensors(struct reader *r, struct gguf *g, struct span *spans, struct error *error)
{
    size_t padding = (g->alignment - r->at % g->alignment) % g->alignment;
    size_t room = reader_left(r) > padding ? reader_left(r) - padding : 0; /* of all data */
    if (g->tensor_count > 0)
        qsort(spans, g->tensor_count, sizeof *spans, by_offset);
    uint64_t end = 0; /* of the tensor before */
    for (size_t i = 0; i < g->tensor_count; i++) {
        struct gguf_tensor *t = &g->tensors[spans[i].tensor];
        uint64_t offset = spans[i].offset;
        if (offset > room || t->entry.bytes > room - offset)
            return error_set(error, "GGUF tensor '%.*s': offset = %" PRIu64 " and %zu bytes; the file has "
                                    "%zu bytes of tensor data", GGUF_SHOWN(t->name), offset,
                             t->entry.bytes, room);
        if (offset < end)
            return error_set(error, "GGUF tensor '%.*s': offset = %" PRIu64 " overlaps '%.*s', which ends "
                                    "at %" PRIu64, GGUF_SHOWN(t->name), offset,
                             GGUF_SHOWN(g->tensors[spans[i - 1].tensor].name), end);
        t->entry.data = r->data + r->at + padding + offset;
        end = offset + t->entry.bytes;
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    return gguf_text_compare(&((const struct gguf_tensor *)a)->name,
                             &((const struct gguf_tensor *)b)->name);
}

bool gguf_take_tensors(struct reader *r, struct gguf *g, uint64_t count, struct error *error)
{
    struct span *spans = NULL;
    bool ok = take_tensors(r, g, count, &spans, error) && locate_tensors(r, g, spans, error);
    free(spans);
    if (ok && g->tensor_count > 0)
        qsort(g->tensors, g->tensor_count, sizeof *g->tensors, by_name);
    for (size_t i = 1; ok && i < g->tensor_count; i++)
        if (by_name(&g->tensors[i - 1], &g->tensors[i]) == 0)
            ok = error_set(error, "GGUF tensor '%.*s' appears twice; expected each name once",
                           GGUF_SHOWN(g->tensors[i].name));
    return ok;
}
