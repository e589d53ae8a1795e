/* GGUF: the parser, every accessor on every key, and the catalog of its tensors. */
#include "fuzz.h"

#include "formats/gguf_internal.h"
#include "../gguffile.h"

#include <stdlib.h>
#include <string.h>

static void use_array(const struct gguf_array *a, size_t whole)
{
    FUZZ_PROMISE(a->count <= whole);
    if (a->type == GGUF_STRING)
        for (size_t i = 0; i < a->count; i++)
            fuzz_touch(a->texts[i].data, a->texts[i].size);
    else
        fuzz_touch(a->data, a->count * gguf_types[a->type].bytes);
}

static void use_key(const struct gguf *g, const char *key, size_t whole)
{
    struct error error;
    size_t n;
    float f;
    bool b;
    struct gguf_text text;
    struct gguf_array array;
    FUZZ_PROMISE(gguf_has(g, key));
    FUZZ_PROMISE(!gguf_size(g, key, 3, 1000, 5, &n, &error) || (n >= 3 && n <= 1000));
    FUZZ_PROMISE(!gguf_float(g, key, 1, &f, &error) || (f - f == 0));
    gguf_bool(g, key, true, &b, &error);
    if (gguf_string(g, key, &text, &error))
        fuzz_touch(text.data, text.size);
    for (int t = 0; t < GGUF_TYPES; t++)
        if (gguf_array(g, key, (enum gguf_type)t, &array, &error))
            use_array(&array, whole);
}

static void use_tensors(const struct gguf *g)
{
    struct catalog c = {0};
    struct error error;
    FUZZ_PROMISE(gguf_add(g, &c, &error) && catalog_sort(&c, &error));
    for (size_t i = 0; i < c.count; i++) {
        size_t bytes;
        const struct entry *e = &c.entries[i];
        FUZZ_PROMISE(catalog_find(&c, e->name) == e);
        FUZZ_PROMISE(entry_bytes(e->dtype, e->dimensions, e->shape, &bytes) && bytes == e->bytes);
        fuzz_touch(e->data, e->bytes);
    }
    catalog_close(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = {""};
    struct gguf *g = gguf_parse(data, size, &error);
    fuzz_accepted(g, error.text);
    if (!g) {
        FUZZ_PROMISE(*error.text);
        return 0;
    }
    for (size_t i = 0; i < g->pair_count; i++) {
        char *key = strndup(g->pairs[i].key.data, g->pairs[i].key.size);
        use_key(g, key, size);
        free(key);
    }
    use_tensors(g);
    gguf_close(g);
    return 0;
}

static void seed(struct gguffile *f)
{
    struct bytes b = gguffile_bytes(f);
    fuzz_seed(b.data, b.size);
    bytes_free(&b);
    gguffile_free(f);
}

void fuzz_seeds(void)
{
    struct gguffile f;
    for (uint32_t version = 2; version <= 3; version++) {
        gguffile_usual(&f, version);
        seed(&f);
    }
    gguffile_begin(&f, 3);
    f.alignment = 8;
    gguffile_uint32(&f, "general.alignment", 8);
    gguffile_split(&f, 0, 2, 3);
    gguffile_tensor(&f, "a", DTYPE_BF16, 4, (const size_t[]){1, 2, 1, 3}, NULL);
    gguffile_tensor(&f, "b", DTYPE_IQ4_NL, 1, (const size_t[]){32}, NULL);
    seed(&f);
    gguffile_begin(&f, 3);
    gguffile_strings(&f, "t", 3, (const char *const[]){"a", "", "bc"});
    seed(&f);
}
