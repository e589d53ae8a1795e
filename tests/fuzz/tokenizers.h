/* tokenizers.h - what the targets for files of tokenizers share: an input is the length of a text, the text,
 * and the file that encodes it. */
#ifndef QTOP_TESTS_FUZZ_TOKENIZERS_H
#define QTOP_TESTS_FUZZ_TOKENIZERS_H

#include "fuzz.h"

#include "tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

/* Encodes, and looks at every byte that the tokens spell. Where `may_fail`, an expression of the file may take
 * too many steps. */
static inline void fuzz_encode(const struct tokenizer *t, const char *text, size_t n, bool may_fail)
{
    struct tokens tokens = {0};
    struct error error = {""};
    bool ok = tokenizer_encode(t, text, n, &tokens, &error);
    FUZZ_PROMISE(ok || (may_fail && *error.text));
    for (size_t i = 0; i < tokens.count; i++) {
        char buffer[1];
        size_t bytes;
        FUZZ_PROMISE(tokens.ids[i] >= 0 && (size_t)tokens.ids[i] < tokenizer_vocab(t));
        const char *piece =
            tokenizer_piece(t, i ? tokens.ids[i - 1] : TOKEN_FIRST, tokens.ids[i], &bytes, buffer);
        fuzz_touch(piece, bytes);
        (void)tokenizer_ends_text(t, tokens.ids[i]);
    }
    struct text_part parts[] = {{.text = text, .size = n / 2, .special = true},
                                {.text = text + n / 2, .size = n - n / 2}, {.text = text, .size = n, .special = true}};
    tokens.count = 0;
    ok = tokenizer_encode_parts(t, parts, 3, &tokens, &error); /* the same for what may spell control tokens */
    FUZZ_PROMISE(ok || (may_fail && *error.text));
    for (size_t i = 0; i < tokens.count; i++)
        FUZZ_PROMISE(tokens.ids[i] >= 0 && (size_t)tokens.ids[i] < tokenizer_vocab(t));
    FUZZ_PROMISE(tokenizer_bos(t) < (int32_t)tokenizer_vocab(t));
    FUZZ_PROMISE(tokenizer_eos(t) < (int32_t)tokenizer_vocab(t));
    free(tokens.ids);
}

static inline void fuzz_tokenizer(const struct tokenizer_format *format, const uint8_t *data, size_t size,
                                  bool may_fail)
{
    if (size < 1 || data[0] >= size)
        return;
    size_t n = data[0], rest = size - 1 - n;
    struct error error = {""};
    uint8_t *file = malloc(rest ? rest : 1); /* of its own, so that reads beyond are seen */
    if (!file)
        abort();
    memcpy(file, data + 1 + n, rest);
    (void)format->probe(file, rest);
    struct tokenizer *t = tokenizer_read(format, file, rest, NULL, &error);
    free(file);
    fuzz_accepted(t, error.text);
    if (t)
        fuzz_encode(t, (const char *)data + 1, n, may_fail);
    else
        FUZZ_PROMISE(*error.text);
    tokenizer_close(t);
}

static inline void fuzz_tokenizer_seed(const char *text, const void *file, size_t size)
{
    size_t n = strlen(text);
    uint8_t *input = malloc(1 + n + size);
    if (!input)
        abort();
    input[0] = (uint8_t)n;
    memcpy(input + 1, text, n);
    memcpy(input + 1 + n, file, size);
    fuzz_seed(input, 1 + n + size);
    free(input);
}

#endif
