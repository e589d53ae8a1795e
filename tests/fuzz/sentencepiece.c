/* tokenizer.model of SentencePiece. */
#include "tokenizers.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_tokenizer(&sentencepiece_tokenizer_format, data, size, false);
    return 0;
}

/* Pieces of all bytes, before a model with bytes to fall back on. */
static void seed_of_bytes(const char *model, size_t size)
{
    char file[4096];
    size_t n = 0;
    for (unsigned i = 0; i < 256; i++)
        n += (size_t)snprintf(file + n, sizeof file - n, "\x0a\x0a\x0a\x06<0x%02X>\x18\x06", i);
    memcpy(file + n, model, size);
    memcpy(file + n + size, "\x12\x03\x98\x02\x01", 5);
    fuzz_tokenizer_seed("a xya\xff A", file, n + size + 5);
}

void fuzz_seeds(void)
{
    /* pieces "u" (unknown), "a" (score 1), U+2581, "z" (unused), "xy" (user-defined); BPE, no BOS; a normalizer called
     * "id" */
    static const char model[] =
        "\x0a\x05\x0a\x01u\x18\x02" "\x0a\x08\x0a\x01" "a\x15\0\0\x80\x3f" "\x0a\x05\x0a\x03\xe2\x96\x81"
        "\x0a\x05\x0a\x01z\x18\x05" "\x0a\x06\x0a\x02xy\x18\x04" "\x12\x11\x18\x02\xc0\x02\0"
        "\xc8\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" "\x1a\x08\x0a\x02id\x18\x01\x20\0";
    fuzz_tokenizer_seed("a xya\xff A", model, sizeof model - 1);
    seed_of_bytes(model, sizeof model - 1);
}
