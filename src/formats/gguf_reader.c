/* The bytes of a GGUF file, taken one after another. */
#include "gguf_internal.h"

#include <string.h>

const uint8_t *gguf_take(struct reader *r, uint64_t n)
{
    r->needed = n;
    if (n > reader_left(r))
        return NULL;
    const uint8_t *bytes = r->data + r->at;
    r->at += (size_t)n;
    return bytes;
}

bool gguf_take_u32(struct reader *r, uint32_t *out)
{
    const uint8_t *bytes = gguf_take(r, sizeof *out);
    if (bytes)
        memcpy(out, bytes, sizeof *out);
    return bytes;
}

bool gguf_take_u64(struct reader *r, uint64_t *out)
{
    const uint8_t *bytes = gguf_take(r, sizeof *out);
    if (bytes)
        memcpy(out, bytes, sizeof *out);
    return bytes;
}

bool gguf_take_text(struct reader *r, struct gguf_text *out)
{
    uint64_t size;
    const uint8_t *bytes = gguf_take_u64(r, &size) ? gguf_take(r, size) : NULL;
    if (bytes)
        *out = (struct gguf_text){(const char *)bytes, (size_t)size};
    return bytes;
}
