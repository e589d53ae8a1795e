/* Parsing of one file's bytes: nothing is believed, and nothing is allocated that the bytes which were
 * read so far do not justify. */
#include "gguf_internal.h"

#include "base/array.h"

#include <stdlib.h>
#include <string.h>

enum {
    OLDEST_VERSION = 2, NEWEST_VERSION = 3,
    LONGEST_KEY = 65535,
    SMALLEST_PAIR = 8 + 1 + 4 + 1, /* a key of one letter, a value of one byte */
    DEFAULT_ALIGNMENT = 32, MAX_ALIGNMENT = 1 << 24
};

/* ---- metadata -------------------------------------------------------------------------------- */

static bool take_key(struct reader *r, size_t index, struct gguf_text *key, struct error *error)
{
    if (!gguf_take_text(r, key))
        return CUT_OFF(r, error, "key %zu", index);
    if (key->size == 0)
        return error_set(error, "GGUF key %zu is empty; expected a name", index);
    if (key->size > LONGEST_KEY)
        return error_set(error, "GGUF key %zu ('%.*s...') has %zu bytes; expected at most %d", index,
                         GGUF_SHOWN(*key), key->size, LONGEST_KEY);
    if (memchr(key->data, 0, key->size))
        return error_set(error, "GGUF key %zu ('%.*s...') contains a NUL; expected none", index,
                         GGUF_SHOWN(*key));
    return true;
}

static bool take_type(struct reader *r, const struct gguf_text *key, const char *of,
                      enum gguf_type *type, struct error *error)
{
    uint32_t number;
    if (!gguf_take_u32(r, &number))
        return CUT_OFF(r, error, "key '%.*s', %s type", GGUF_SHOWN(*key), of);
    if (number >= GGUF_TYPES)
        return error_set(error, "GGUF key '%.*s': %s type %" PRIu32 " is unknown; expected 0 to %d",
                         GGUF_SHOWN(*key), of, number, GGUF_TYPES - 1);
    *type = (enum gguf_type)number;
    return true;
}

/* The strings of an array are read once to check them, then once more for the index. */
static bool take_texts(struct reader *r, struct gguf_pair *p, struct error *error)
{
    struct reader begin = *r;
    struct gguf_text text;
    for (size_t i = 0; i < p->count; i++)
        if (!gguf_take_text(r, &text))
            return CUT_OFF(r, error, "key '%.*s', string %zu", GGUF_SHOWN(p->key), i);
    if (p->count == 0)
        return true;
    p->texts = calloc(p->count, sizeof *p->texts);
    if (!p->texts)
        return error_set(error, "GGUF key '%.*s': not enough memory for %zu strings",
                         GGUF_SHOWN(p->key), p->count);
    for (size_t i = 0; i < p->count; i++)
        gguf_take_text(&begin, &p->texts[i]);
    return true;
}

static bool take_array(struct reader *r, struct gguf_pair *p, struct error *error)
{
    uint64_t count;
    if (!take_type(r, &p->key, "element", &p->element, error))
        return false;
    if (p->element == GGUF_ARRAY)
        return error_set(error, "GGUF key '%.*s' is an array of arrays; expected one of numbers, bools "
                                "or strings", GGUF_SHOWN(p->key));
    if (!gguf_take_u64(r, &count))
        return CUT_OFF(r, error, "key '%.*s', count", GGUF_SHOWN(p->key));
    bool strings = p->element == GGUF_STRING;
    size_t element = strings ? sizeof(uint64_t) : gguf_types[p->element].bytes;
    if (count > reader_left(r) / element)
        return error_set(error, "GGUF key '%.*s': count = %" PRIu64 " elements of %s; the %zu bytes that "
                                "are left hold at most %zu", GGUF_SHOWN(p->key), count,
                         gguf_types[p->element].name, reader_left(r), reader_left(r) / element);
    p->count = (size_t)count;
    if (strings)
        return take_texts(r, p, error);
    p->data = gguf_take(r, p->count * element);
    return true;
}

static bool take_value(struct reader *r, struct gguf_pair *p, struct error *error)
{
    p->count = 1;
    if (p->type == GGUF_ARRAY)
        return take_array(r, p, error);
    bool ok = p->type == GGUF_STRING
                  ? gguf_take_text(r, &p->text)
                  : (p->data = gguf_take(r, gguf_types[p->type].bytes)) != NULL;
    return ok || CUT_OFF(r, error, "key '%.*s', value", GGUF_SHOWN(p->key));
}

static int by_key(const void *a, const void *b)
{
    return gguf_text_compare(&((const struct gguf_pair *)a)->key, &((const struct gguf_pair *)b)->key);
}

static bool take_pairs(struct reader *r, struct gguf *g, uint64_t count, struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        struct gguf_pair p = {0};
        if (!take_key(r, i, &p.key, error) || !take_type(r, &p.key, "value", &p.type, error))
            return false;
        struct gguf_pair *pairs = array_grow(g->pairs, i, sizeof p), *kept;
        if (!pairs)
            return error_set(error, "not enough memory for %" PRIu64 " GGUF keys", count);
        g->pairs = pairs;
        *(kept = &pairs[g->pair_count++]) = p;
        if (!take_value(r, kept, error))
            return false;
    }
    if (g->pair_count > 0)
        qsort(g->pairs, g->pair_count, sizeof *g->pairs, by_key);
    for (size_t i = 1; i < g->pair_count; i++)
        if (by_key(&g->pairs[i - 1], &g->pairs[i]) == 0)
            return error_set(error, "GGUF key '%.*s' appears twice; expected each key once",
                             GGUF_SHOWN(g->pairs[i].key));
    return true;
}

static bool set_alignment(struct gguf *g, struct error *error)
{
    if (!gguf_size(g, "general.alignment", 1, MAX_ALIGNMENT, DEFAULT_ALIGNMENT, &g->alignment, error))
        return false;
    return (g->alignment & (g->alignment - 1)) == 0 ||
           error_set(error, "GGUF key 'general.alignment' = %zu; expected a power of two", g->alignment);
}

/* ---- the file -------------------------------------------------------------------------------- */

static bool take_version(struct reader *r, struct error *error)
{
    uint32_t version;
    const uint8_t *magic = gguf_take(r, 4);
    if (!magic)
        return CUT_OFF(r, error, "header, %s", "magic");
    if (memcmp(magic, "FUGG", 4) == 0)
        return error_set(error, "GGUF header: the magic 'FUGG' is that of a big-endian file; expected "
                                "a little-endian one");
    if (memcmp(magic, "GGUF", 4) != 0)
        return error_set(error, "GGUF header: magic '%.4s'; expected 'GGUF'", (const char *)magic);
    if (!gguf_take_u32(r, &version))
        return CUT_OFF(r, error, "header, %s", "version");
    if (version != 0 && (version & 0xffff) == 0)
        return error_set(error, "GGUF header: version = 0x%08" PRIx32 ", which is %" PRIu32
                                " in big-endian order; expected a little-endian file",
                         version, __builtin_bswap32(version));
    return (version >= OLDEST_VERSION && version <= NEWEST_VERSION) ||
           error_set(error, "GGUF header: version = %" PRIu32 "; expected %d or %d", version,
                     OLDEST_VERSION, NEWEST_VERSION);
}

static bool check_count(const struct reader *r, const char *name, uint64_t count, size_t smallest,
                        struct error *error)
{
    return count <= reader_left(r) / smallest ||
           error_set(error, "GGUF header: %s = %" PRId64 "; the %zu bytes that follow hold at most %zu",
                     name, (int64_t)count, reader_left(r), reader_left(r) / smallest);
}

static bool parse(struct reader *r, struct gguf *g, struct error *error)
{
    uint64_t tensors, pairs;
    if (!take_version(r, error))
        return false;
    if (!gguf_take_u64(r, &tensors))
        return CUT_OFF(r, error, "header, %s", "tensor_count");
    if (!gguf_take_u64(r, &pairs))
        return CUT_OFF(r, error, "header, %s", "metadata_kv_count");
    return check_count(r, "tensor_count", tensors, SMALLEST_TENSOR, error) &&
           check_count(r, "metadata_kv_count", pairs, SMALLEST_PAIR, error) &&
           take_pairs(r, g, pairs, error) && set_alignment(g, error) &&
           check_count(r, "tensor_count", tensors, SMALLEST_TENSOR, error) &&
           gguf_take_tensors(r, g, tensors, error);
}

struct gguf *gguf_parse(const uint8_t *data, size_t size, struct error *error)
{
    struct reader r = {.data = data, .size = size};
    struct gguf *g = calloc(1, sizeof *g);
    if (!g)
        error_set(error, "not enough memory to read a GGUF file");
    if (g && parse(&r, g, error))
        return g;
    gguf_close(g);
    return NULL;
}

void gguf_close(struct gguf *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->pair_count; i++)
        free(g->pairs[i].texts);
    free(g->pairs);
    free(g->tensors);
    free(g);
}
