/* llama2.c tokenizers: an input is the length of a text, the text, and the tokenizer that encodes it. */
#include "fuzz.h"

#include "../../src/text/tokenizer.h"
#include "../modelfile.h"

#include <stdlib.h>
#include <string.h>

static void use(const struct tokenizer *t, const char *text, size_t n)
{
    struct tokens tokens = {0};
    struct error error;
    FUZZ_PROMISE(tokenizer_encode(t, text, n, &tokens, &error));
    for (size_t i = 0; i < tokens.count; i++) {
        char buffer[1];
        size_t bytes;
        FUZZ_PROMISE(tokens.ids[i] >= 0 && (size_t)tokens.ids[i] < tokenizer_vocab(t));
        const char *piece =
            tokenizer_piece(t, i ? tokens.ids[i - 1] : -1, tokens.ids[i], &bytes, buffer);
        fuzz_touch(piece, bytes);
    }
    free(tokens.ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || data[0] >= size)
        return 0;
    size_t n = data[0], rest = size - 1 - n;
    struct error error = {""};
    uint8_t *file = malloc(rest ? rest : 1); /* of its own, so that reads beyond are seen */
    struct tokenizer *t = calloc(1, sizeof *t);
    if (!file || !t)
        abort();
    memcpy(file, data + 1 + n, rest);
    t->kind = &llama2c_tokenizer;
    bool ok = t->kind->open(t, file, rest, &error);
    free(file);
    if (ok)
        use(t, (const char *)data + 1, n);
    else
        FUZZ_PROMISE(*error.text);
    tokenizer_close(t);
    return 0;
}

static void seed(const struct vocabulary_spec *v, const char *text)
{
    struct bytes b = vocabulary_bytes(v);
    size_t n = strlen(text);
    uint8_t *input = malloc(1 + n + b.size);
    if (!input)
        abort();
    input[0] = (uint8_t)n;
    memcpy(input + 1, text, n);
    memcpy(input + 1 + n, b.data, b.size);
    fuzz_seed(input, 1 + n + b.size);
    free(input);
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
