#include "weightfile.h"

#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- bytes ----------------------------------------------------------------------------------- */

static void resize(struct bytes *b, size_t room)
{
    uint8_t *data = realloc(b->data, room);
    if (!data)
        abort();
    b->data = data;
}

/* The room that size bytes have while more may follow: under AddressSanitizer every realloc copies. */
static size_t room_of(size_t size)
{
    size_t room = 64;
    while (room < size)
        room *= 2;
    return room;
}

static void put(struct bytes *b, const void *data, size_t n)
{
    if (!b->data || b->size + n > room_of(b->size))
        resize(b, room_of(b->size + n));
    if (n)
        memcpy(b->data + b->size, data, n);
    b->size += n;
}

/* No room beyond the end, so that a sanitizer sees the first byte there. */
static struct bytes exactly(struct bytes b)
{
    resize(&b, b.size + !b.size);
    return b;
}

static void put_number(struct bytes *b, uint64_t v, size_t n)
{
    put(b, &v, n);
}

char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    if (!at) {
        fprintf(stderr, "'%s' is not in '%s'\n", from, text);
        abort();
    }
    size_t before = (size_t)(at - text), size = strlen(text) + strlen(to) + 1;
    char *out = make(size);
    snprintf(out, size, "%.*s%s%s", (int)before, text, to, at + strlen(from));
    return out;
}

struct bytes safetensors_bytes(const char *header, size_t payload)
{
    struct bytes b = {0};
    put_number(&b, strlen(header), 8);
    put(&b, header, strlen(header));
    for (size_t i = 0; i < payload; i++)
        put_number(&b, i & 255, 1);
    return exactly(b);
}

/* ---- pickles --------------------------------------------------------------------------------- */

#define STORAGE "( :storage @torch:FloatStorage :0 :cpu #6 t Q"
const char *const pickle_words =
    "x80 x02 } >0 ( :w @torch._utils:_rebuild_tensor_v2 ( " STORAGE
    " #0 #2 #3 x86 #3 #1 x86 x89 @collections:OrderedDict ) R t R >1 u .";

static void put_global(struct bytes *b, const char *word, size_t n)
{
    put(b, "c", 1);
    for (size_t i = 0; i < n; i++)
        put(b, word[i] == ':' ? "\n" : &word[i], 1);
    put(b, "\n", 1);
}

static void put_word(struct bytes *b, const char *word, size_t n)
{
    char first = n > 1 ? *word : ' ';
    if (*word == ':') {
        put(b, "X", 1);
        put_number(b, n - 1, 4);
        put(b, word + 1, n - 1);
    } else if (first == '@') {
        put_global(b, word + 1, n - 1);
    } else if (first == '#') {
        put(b, "J", 1);
        put_number(b, (uint64_t)strtol(word + 1, NULL, 10), 4);
    } else if (first == '=' || first == '>') {
        put(b, first == '=' ? "h" : "q", 1);
        put_number(b, strtoul(word + 1, NULL, 10), 1);
    } else if (first == 'x') {
        put_number(b, strtoul(word + 1, NULL, 16), 1);
    } else {
        put(b, word, 1);
    }
}

struct bytes pickle_bytes(const char *words)
{
    struct bytes b = {0};
    while (*words) {
        size_t n = strcspn(words, " ");
        if (n > 0)
            put_word(&b, words, n);
        words += n + (words[n] == ' ');
    }
    return exactly(b);
}

/* ---- archives -------------------------------------------------------------------------------- */

static void put_local(struct bytes *b, const struct zip_item *item)
{
    put_number(b, 0x04034b50, 4);
    put_number(b, 0, 8);
    put_number(b, 0, 6);
    put_number(b, item->data.size, 4);
    put_number(b, item->data.size, 4);
    put_number(b, strlen(item->name), 2);
    put_number(b, 0, 2);
    put(b, item->name, strlen(item->name));
    put(b, item->data.data, item->data.size);
}

static void put_central(struct bytes *b, const struct zip_item *item, size_t local, bool wide)
{
    put_number(b, 0x02014b50, 4);
    put_number(b, 0, 8);
    put_number(b, 0, 8);
    put_number(b, wide ? UINT32_MAX : item->data.size, 4);
    put_number(b, wide ? UINT32_MAX : item->data.size, 4);
    put_number(b, strlen(item->name), 2);
    put_number(b, wide ? 28 : 0, 2);
    put_number(b, 0, 8);
    put_number(b, 0, 2);
    put_number(b, wide ? UINT32_MAX : local, 4);
    put(b, item->name, strlen(item->name));
    if (wide) {
        put_number(b, 1 | 24 << 16, 4);
        put_number(b, item->data.size, 8);
        put_number(b, item->data.size, 8);
        put_number(b, local, 8);
    }
}

static void put_end64(struct archive_bytes *a, size_t count, size_t directory)
{
    struct bytes *b = &a->file;
    size_t size = b->size - directory;
    a->end64 = b->size;
    put_number(b, 0x06064b50, 4);
    put_number(b, 44, 8);
    put_number(b, 0, 4);
    put_number(b, 0, 8);
    put_number(b, count, 8);
    put_number(b, count, 8);
    put_number(b, size, 8);
    put_number(b, directory, 8);
    a->locator64 = b->size;
    put_number(b, 0x07064b50, 4);
    put_number(b, 0, 4);
    put_number(b, a->end64, 8);
    put_number(b, 1, 4);
}

static void put_end(struct archive_bytes *a, size_t count, size_t directory, bool wide)
{
    struct bytes *b = &a->file;
    size_t size = b->size - directory;
    if (wide)
        put_end64(a, count, directory);
    a->end = b->size;
    put_number(b, 0x06054b50, 4);
    put_number(b, 0, 4);
    put_number(b, wide ? UINT16_MAX : count, 2);
    put_number(b, wide ? UINT16_MAX : count, 2);
    put_number(b, wide ? UINT32_MAX : size, 4);
    put_number(b, wide ? UINT32_MAX : directory, 4);
    put_number(b, 0, 2);
}

struct archive_bytes zip_bytes(const struct zip_item *items, size_t count, bool wide)
{
    struct archive_bytes a = {0};
    for (size_t i = 0; i < count; i++) {
        a.local[i] = a.file.size;
        put_local(&a.file, &items[i]);
    }
    size_t directory = a.file.size;
    for (size_t i = 0; i < count; i++) {
        a.central[i] = a.file.size;
        put_central(&a.file, &items[i], a.local[i], wide);
    }
    put_end(&a, count, directory, wide);
    a.file = exactly(a.file);
    return a;
}

struct archive_bytes torch_bytes(const char *words, size_t elements, bool wide)
{
    struct bytes pickle = pickle_bytes(words), floats = {0};
    for (size_t i = 0; i < elements; i++) {
        float v = (float)i;
        put(&floats, &v, sizeof v);
    }
    struct zip_item items[] = {{"m/data.pkl", pickle},
                               {"m/byteorder", {(uint8_t *)(uintptr_t) "little", 6}},
                               {"m/data/0", floats}};
    struct archive_bytes a = zip_bytes(items, 3, wide);
    bytes_free(&pickle);
    bytes_free(&floats);
    return a;
}
