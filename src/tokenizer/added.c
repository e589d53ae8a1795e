/* Hugging Face's dialect follows added_vocabulary.rs of the tokenizers library, SentencePiece's prefix_matcher,
 * llama.cpp's tokenizer_st_partition. */
#include "added.h"

#include "longest_first.h"

#include <stdlib.h>
#include <string.h>

/* ---- the tokens ------------------------------------------------------------------------------ */

static bool is_taken(const struct vocabulary *v, size_t id, bool normalized)
{
    const struct vocabulary_piece *p = &v->pieces[id];
    bool behind = vocabulary_added(v, id) & ADDED_NORMALIZED;
    bool control = p->type == TOKEN_CONTROL && v->dialect == DIALECT_HUGGING_FACE;
    return (control || p->type == TOKEN_USER_DEFINED) && p->size > 0 && behind == normalized;
}

/* The texts into the arena, where they stay when it has grown. */
static bool copy_texts(struct added *a, const struct vocabulary *v, bool normalized)
{
    struct text_buffer all = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < a->count; i++) {
        const struct vocabulary_piece *p = &v->pieces[a->ids[i]];
        size_t before = all.size;
        ok = normalized ? normalize(v->steps, v->step_count, p->text, p->size, NULL, NULL, &all, NULL)
                        : text_add(&all, p->text, p->size);
        a->patterns[i] = *p;
        a->bits[i] = (uint8_t)vocabulary_added(v, (size_t)a->ids[i]);
        a->patterns[i].type = TOKEN_USER_DEFINED;
        a->patterns[i].size = (uint32_t)(all.size - before);
    }
    a->arena = all.bytes;
    for (size_t i = 0, at = 0; ok && i < a->count; at += a->patterns[i++].size)
        a->patterns[i].text = a->arena + at;
    return ok;
}

bool added_open(struct added *a, const struct vocabulary *v, bool normalized)
{
    *a = (struct added){.dialect = v->dialect};
    size_t count = 0;
    for (size_t i = 0; i < v->count; i++)
        count += is_taken(v, i, normalized);
    if (count == 0)
        return true;
    a->patterns = calloc(count, sizeof *a->patterns);
    a->ids = calloc(count, sizeof *a->ids);
    a->bits = calloc(count, sizeof *a->bits);
    for (size_t i = 0; a->patterns && a->ids && a->bits && i < v->count; i++)
        if (is_taken(v, i, normalized))
            a->ids[a->count++] = (int32_t)i;
    bool ok = a->patterns && a->ids && a->bits && copy_texts(a, v, normalized) &&
              matcher_open(&a->matcher, a->patterns, count, TOKEN_USER_DEFINED);
    for (size_t i = 0; ok && i < count; i++)
        a->patterns[i].type = v->pieces[a->ids[i]].type;
    return ok;
}

void added_close(struct added *a)
{
    matcher_close(&a->matcher);
    free(a->patterns);
    free(a->ids);
    free(a->bits);
    free(a->arena);
    *a = (struct added){0};
}

/* ---- cutting from the left ------------------------------------------------------------------- */

/* A match at [start, end); *done is what is cut already, with the white space that the token before took. As in the
 * library, a token may begin in that white space, and is dropped where its own is all taken. */
static bool take(const struct added *a, const char *text, size_t n, size_t start, size_t end, int32_t k, size_t *done,
                 struct sections *out)
{
    bool alone = !(a->bits[k] & ADDED_SINGLE_WORD) || stands_alone(text, n, start, end);
    if (a->patterns[k].type == TOKEN_CONTROL || !alone)
        return true;
    if (a->bits[k] & ADDED_LSTRIP) {
        size_t white = white_before(text, start);
        start = white > *done ? white : *done;
    }
    if (a->bits[k] & ADDED_RSTRIP)
        end += white_behind(text + end, n - end);
    bool ok = start <= *done || sections_add(out, *done, start, -1);
    *done = end;
    return ok && (start >= end || sections_add(out, start, end, a->ids[k]));
}

static bool cut_from_left(const struct added *a, const char *text, size_t n, struct sections *out)
{
    size_t done = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < n;) {
        int32_t k;
        i += matcher_next(&a->matcher, text + i, n - i, &k);
        if (k < 0)
            break;
        ok = take(a, text, n, i, i + a->patterns[k].size, k, &done, out);
        i += a->patterns[k].size;
    }
    return ok && (done >= n || sections_add(out, done, n, -1));
}

/* ---- both ------------------------------------------------------------------------------------ */

bool added_cut(const struct added *a, const char *text, size_t n, struct sections *out)
{
    if (!a->matcher.pieces)
        return n == 0 || sections_add(out, 0, n, -1);
    if (a->dialect == DIALECT_LLAMA_CPP)
        return cut_longest_first(&a->matcher, a->bits, a->ids, text, n, out);
    return cut_from_left(a, text, n, out);
}

size_t added_at(const void *added, const char *text, size_t n)
{
    const struct added *a = added;
    int32_t k = a->matcher.pieces ? matcher_longest(&a->matcher, text, n) : -1;
    return k < 0 ? 0 : a->patterns[k].size;
}
