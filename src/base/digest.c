#include "digest.h"

#include <string.h>

uint64_t digest_bytes(uint64_t digest, const void *bytes, size_t n)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < n; i++)
        digest = (digest ^ at[i]) * 0x100000001b3u;
    return digest;
}

uint64_t digest_number(uint64_t digest, uint64_t number)
{
    return digest_bytes(digest, &number, sizeof number);
}

uint64_t digest_text(uint64_t digest, const char *text)
{
    return digest_bytes(digest, text, strlen(text) + 1);
}
