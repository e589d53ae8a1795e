#include "text_frame.h"

#include "tokenizer/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What stands before the tokens, and tokens from..to as UTF-8, or their ids where there is no tokenizer. */
static char *words_of(const struct text_of *x, size_t to)
{
    const struct tokenizer *tokenizer = x->of->session->tokenizer;
    const struct tokens *t = &x->of->tokens;
    size_t from = x->begin;
    struct stream stream = {0};
    size_t before = x->before ? strlen(x->before) : 0, used = 0, room = 256 + STREAM_GROWTH * (before + 1);
    char *out = malloc(room), byte, number[16];
    if (out && x->before)
        used = stream_add(&stream, x->before, before, out);
    if (out && x->before)
        used += stream_add(&stream, "\n", 1, out + used);
    for (size_t i = from; out && i < to; i++) {
        size_t n;
        const char *piece = number;
        if (tokenizer)
            piece = tokenizer_piece(tokenizer, i > from ? t->ids[i - 1] : TOKEN_FIRST, t->ids[i], &n,
                                    &byte);
        else
            n = (size_t)snprintf(number, sizeof number, "%d ", t->ids[i]);
        size_t needed = used + STREAM_GROWTH * (n + 4) + 1;
        if (needed > room) {
            char *more = realloc(out, room = 2 * needed);
            if (!more) {
                free(out);
                return NULL;
            }
            out = more;
        }
        used += stream_add(&stream, piece, n, out + used);
    }
    if (out)
        out[used] = 0;
    return out;
}

static size_t length_of(const struct text_of *x, size_t to)
{
    char *text = words_of(x, to);
    size_t n = text ? strlen(text) : 0;
    free(text);
    return n;
}

static void find_divergence(const struct text_of *own, const struct text_of *reference, struct text_frame *f)
{
    const struct generation *a = own->of, *b = reference->of;
    size_t n = a->tokens.count < b->tokens.count ? a->tokens.count : b->tokens.count, i = 0;
    while (i < n && a->tokens.ids[i] == b->tokens.ids[i])
        i++;
    if (i == n)
        return;
    f->diverged = true;
    f->divergence = i;
    f->text_offset = length_of(own, i);
    f->reference_offset = length_of(reference, i);
    memcpy(f->here, a->candidates + i * CANDIDATES, sizeof f->here);
    memcpy(f->there, b->candidates + i * CANDIDATES, sizeof f->there);
}

struct text_frame *text_frame_new(const struct text_of *own, const struct text_of *reference)
{
    struct text_frame *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    atomic_init(&f->refs, 1);
    f->tokens = own->of->tokens.count;
    f->ended = own->of->ended;
    f->text = words_of(own, f->tokens);
    if (reference) {
        f->reference_tokens = reference->of->tokens.count;
        f->reference = words_of(reference, f->reference_tokens);
        find_divergence(own, reference, f);
    }
    return f;
}
