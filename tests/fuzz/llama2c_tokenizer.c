/* llama2.c tokenizers. */
#include "tokenizers.h"

#include "../modelfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_tokenizer(&llama2c_tokenizer_format, data, size, false);
    return 0;
}

static void seed(const struct vocabulary_spec *v, const char *text)
{
    struct bytes b = vocabulary_bytes(v);
    fuzz_tokenizer_seed(text, b.data, b.size);
    bytes_free(&b);
}

void fuzz_seeds(void)
{
    static const char *const pieces[] = {" ", "t", "h", "e", "th", " the", "\xc3\xa9"};
    struct vocabulary_spec v = {0};
    vocabulary_begin(&v, false);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        vocabulary_add(&v, pieces[i], -1, (float)i);
    seed(&v, "the thee\xc3\xa9");
    vocabulary_free(&v);
    vocabulary_begin(&v, true);
    vocabulary_add(&v, "ab", -1, 1);
    seed(&v, "abcab\xff");
    vocabulary_free(&v);
}
