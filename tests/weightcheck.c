#include "weightcheck.h"

#include "support.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *weights_path(const char *name)
{
    return path_in(SRCDIR "/tests/data/weights", name);
}

static bool is_clean(const char *text)
{
    size_t n = strlen(text), length;
    for (size_t i = 0; i < n; i += length) {
        uint32_t c;
        bool cut;
        length = utf8_read(text + i, n - i, &c, &cut);
        if (length == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0))
            return false;
    }
    return n > 0;
}

void check_line(const struct error *error, const char *needle)
{
    if (!is_clean(error->text))
        fail_msg("not one clean line: '%s'", error->text);
    if (!strstr(error->text, needle))
        fail_msg("'%s' does not say '%s'", error->text, needle);
}

void refuse_span(parse_fn *parse, const void *data, size_t size, const char *needle)
{
    struct catalog catalog = {0};
    struct error error = {"(no message)"};
    uint8_t *copy = make(size); /* so that a sanitizer sees the first byte beyond */
    memcpy(copy, data, size);
    if (parse(&catalog, copy, size, &error))
        fail_msg("%zu bytes were accepted; expected a refusal that says '%s'", size, needle);
    check_line(&error, needle);
    catalog_close(&catalog);
    free(copy);
}

void refuse_prefixes(parse_fn *parse, const struct bytes *file)
{
    for (size_t n = 0; n < file->size; n++)
        refuse_span(parse, file->data, n, "");
}

/* Touches every byte that entries promise. */
static uint64_t sum_entries(const struct catalog *catalog)
{
    uint64_t sum = FNV_START;
    for (size_t i = 0; i < catalog->count; i++)
        sum = fnv1a(sum, catalog->entries[i].data, catalog->entries[i].bytes);
    return sum;
}

void mutate_span(parse_fn *parse, const struct bytes *file, size_t times, uint64_t seed)
{
    uint8_t *copy = make(file->size);
    volatile uint64_t sum = 0;
    for (size_t i = 0; i < times; i++) {
        struct catalog catalog = {0};
        struct error error = {"(no message)"};
        memcpy(copy, file->data, file->size);
        for (size_t n = 1 + random_below(&seed, 3); n > 0; n--)
            copy[random_below(&seed, file->size)] = (uint8_t)random_bits(&seed);
        if (parse(&catalog, copy, file->size, &error))
            sum += sum_entries(&catalog);
        else
            check_line(&error, "");
        catalog_close(&catalog);
    }
    free(copy);
}

void refuse_read(read_fn *read, const char *path, const char *needle)
{
    struct catalog catalog = {0};
    struct error error = {"(no message)"};
    if (read(&catalog, path, &error))
        fail_msg("'%s' was accepted; expected a refusal that says '%s'", path, needle);
    check_line(&error, needle);
    catalog_close(&catalog);
}

struct catalog accept_read(read_fn *read, const char *path)
{
    struct catalog catalog = {0};
    struct error error = {"(no message)"};
    if (!read(&catalog, path, &error))
        fail_msg("a valid file was refused: %s", error.text);
    return catalog;
}

static void check_shape(const struct entry *entry, const char *shape)
{
    char text[128] = "";
    for (size_t i = 0; i < entry->dimensions; i++) {
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, "%s%zu", i ? " " : "", entry->shape[i]);
    }
    assert_string_equal(text, shape);
}

void check_entry(const struct catalog *catalog, const char *name, enum dtype dtype,
                 const char *shape)
{
    const struct entry *entry = catalog_find(catalog, name);
    if (!entry)
        fail_msg("there is no '%s'", name);
    assert_int_equal(entry->dtype, dtype);
    check_shape(entry, shape);
    size_t bytes, n = entry->bytes * 8 / dtypes[dtype].bits;
    assert_true(entry_bytes(dtype, entry->dimensions, entry->shape, &bytes));
    assert_int_equal(bytes, entry->bytes);
    float *values = make(n * sizeof *values);
    dtypes[dtype].decode_run(entry->data, 0, n, 0, values);
    for (size_t i = 0; i < n; i++) {
        float expected = ((float)((7 * i + strlen(name)) % 8) - 4) / 4;
        if (!(values[i] == expected))
            fail_msg("%s[%zu] = %g; expected %g", name, i, (double)values[i], (double)expected);
    }
    free(values);
}
