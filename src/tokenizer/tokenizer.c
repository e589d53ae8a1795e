#include "tokenizer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool tokens_add(struct tokens *t, int32_t id)
{
    if (t->count == t->room) {
        size_t room = t->room ? t->room * 2 : 64;
        int32_t *ids = realloc(t->ids, room * sizeof *ids);
        if (!ids)
            return false;
        t->ids = ids;
        t->room = room;
    }
    t->ids[t->count++] = id;
    return true;
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t)
        return;
    if (t->kind)
        t->kind->close(t);
    free(t->path);
    free(t->note);
    free(t);
}

bool tokenizer_add_note(struct tokenizer *t, const char *format, ...)
{
    char line[400], *longer;
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    if (asprintf(&longer, "%s%s%s", t->note ? t->note : "", t->note ? "; " : "", line) < 0)
        return false;
    free(t->note);
    t->note = longer;
    return true;
}

size_t tokenizer_vocab(const struct tokenizer *t)
{
    return t->vocab;
}

bool tokenizer_fits(const struct tokenizer *t, size_t vocab)
{
    return t->kind->exact ? t->vocab == vocab : t->vocab <= vocab;
}

const char *tokenizer_note(const struct tokenizer *t)
{
    return t->note;
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
    return t->adds_bos;
}

bool tokenizer_adds_eos(const struct tokenizer *t)
{
    return t->adds_eos;
}

bool tokenizer_ends_text(const struct tokenizer *t, int32_t id)
{
    bool ends = id >= 0 && id == t->eos;
    for (size_t i = 0; i < t->end_count; i++)
        ends = ends || id == t->ends[i];
    return ends;
}

const char *tokenizer_path(const struct tokenizer *t)
{
    return t->path;
}

int32_t tokenizer_bos(const struct tokenizer *t)
{
    return t->bos;
}

int32_t tokenizer_eos(const struct tokenizer *t)
{
    return t->eos;
}

bool tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, struct tokens *out,
                      struct error *error)
{
    return t->kind->encode(t, text, n, out, error);
}

/* ---- texts in parts -------------------------------------------------------------------------- */

/* Parts of bytes, one behind the other, with the ranges of those that are not special. */
static bool join(const struct text_part *parts, size_t count, struct special_text *x)
{
    struct plain_range *plain = calloc(count + 1, sizeof *plain);
    size_t all = 0;
    for (size_t i = 0; i < count; i++)
        all += parts[i].size; /* of bytes in memory */
    char *text = malloc(all + 1);
    *x = (struct special_text){.text = text, .plain.items = plain};
    for (size_t i = 0; text && plain && i < count; i++) {
        if (!parts[i].special)
            plain[x->plain.count++] = (struct plain_range){x->size, x->size + parts[i].size};
        memcpy(text + x->size, parts[i].text, parts[i].size);
        x->size += parts[i].size;
    }
    return text && plain;
}

static bool encode_joined(const struct tokenizer *t, const struct text_part *parts, size_t count, bool first,
                          struct tokens *out, struct error *error)
{
    struct special_text x;
    bool ok = join(parts, count, &x) || error_set(error, "not enough memory to tokenize a text");
    x.first = first;
    if (ok && t->kind->encode_special)
        ok = t->kind->encode_special(t, &x, out, error);
    else if (ok)
        ok = t->kind->encode(t, x.text, x.size, out, error);
    free((void *)x.text);
    free((void *)x.plain.items);
    return ok;
}

bool tokenizer_encode_parts(const struct tokenizer *t, const struct text_part *parts, size_t count, struct tokens *out,
                            struct error *error)
{
    bool ok = true;
    for (size_t i = 0, end; ok && i < count; i = end) {
        end = i + 1;
        if (!parts[i].text) {
            ok = tokens_add(out, parts[i].id) || error_set(error, "not enough memory");
            continue;
        }
        while (end < count && parts[end].text)
            end++;
        ok = encode_joined(t, parts + i, end - i, i == 0, out, error);
    }
    return ok;
}

const struct chat *tokenizer_chat(const struct tokenizer *t)
{
    return &t->chat;
}

const char *tokenizer_piece(const struct tokenizer *t, int32_t previous, int32_t id, size_t *n,
                            char buffer[1])
{
    if (id < 0 || (size_t)id >= t->vocab)
        return *n = 0, "";
    return t->kind->piece(t, previous, id, n, buffer);
}
