/* weights.h - what the targets for weight files promise of a catalog. */
#ifndef QTOP_TESTS_FUZZ_WEIGHTS_H
#define QTOP_TESTS_FUZZ_WEIGHTS_H

#include "fuzz.h"

#include "formats/catalog.h"

#include <string.h>

typedef bool fuzz_parse(struct catalog *catalog, const uint8_t *data, size_t size,
                        struct error *error);

/* Parses; then every entry lies inside the input and is as long as its shape asks for. */
static inline void fuzz_catalog(fuzz_parse *parse, const uint8_t *data, size_t size)
{
    struct catalog c = {0};
    struct error error = {""};
    bool accepted = parse(&c, data, size, &error);
    FUZZ_PROMISE(accepted || *error.text);
    fuzz_accepted(accepted, error.text);
    for (size_t i = 0; accepted && i < c.count; i++) {
        size_t bytes;
        const struct entry *e = &c.entries[i];
        FUZZ_PROMISE(*e->name && e->dimensions <= MAX_DIMENSIONS);
        FUZZ_PROMISE(entry_bytes(e->dtype, e->dimensions, e->shape, &bytes) && bytes == e->bytes);
        FUZZ_PROMISE(e->data >= data && (size_t)(e->data - data) <= size &&
                     bytes <= size - (size_t)(e->data - data));
        fuzz_touch(e->data, e->bytes);
    }
    if (accepted && !catalog_sort(&c, &error))
        FUZZ_PROMISE(strstr(error.text, "twice"));
    catalog_close(&c);
}

#endif
