/* Hugging Face's dialect follows added_vocabulary.rs of the tokenizers library, SentencePiece's prefix_matcher,
 * llama.cpp's tokenizer_st_partition. */
#include "added.h"

#include "longest_first.h"

#include <stdlib.h>
#include <string.h>

/* ---- the tokens ------------------------------------------------------------------------------ */

static bool is_taken(const struct vocabulary *v, size_t id, enum added_stage stage)
{
    const struct vocabulary_piece *p = &v->pieces[id];
    bool behind = vocabulary_added(v, id) & ADDED_NORMALIZED, with_control = stage == ADDED_WITH_CONTROL;
    bool control = p->type == TOKEN_CONTROL && (with_control || v->dialect == DIALECT_HUGGING_FACE);
    bool defined = p->type == TOKEN_USER_DEFINED && !(with_control && v->dialect == DIALECT_SENTENCEPIECE);
    bool here = behind == (stage == ADDED_IN_NORMALIZED) || (control && with_control);
    return (control || defined) && p->size > 0 && here;
}

/* The texts into the arena, where they stay when it has grown. */
static bool copy_texts(struct added *a, const struct vocabulary *v, enum added_stage stage)
{
    struct text_buffer all = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < a->count; i++) {
        const struct vocabulary_piece *p = &v->pieces[a->ids[i]];
        size_t before = all.size;
        ok = stage == ADDED_IN_NORMALIZED
                 ? normalize(v->steps, v->step_count, p->text, p->size, NULL, NULL, &all, NULL)
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

bool added_open(struct added *a, const struct vocabulary *v, enum added_stage stage)
{
    *a = (struct added){.dialect = v->dialect};
    size_t count = 0;
    for (size_t i = 0; i < v->count; i++)
        count += is_taken(v, i, stage);
    if (count == 0)
        return true;
    a->patterns = calloc(count, sizeof *a->patterns);
    a->ids = calloc(count, sizeof *a->ids);
    a->bits = calloc(count, sizeof *a->bits);
    for (size_t i = 0; a->patterns && a->ids && a->bits && i < v->count; i++)
        if (is_taken(v, i, stage))
            a->ids[a->count++] = (int32_t)i;
    bool ok = a->patterns && a->ids && a->bits && copy_texts(a, v, stage) &&
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

/* A match of pattern k; *done is what is cut already, with the white space that the token before took. As in the
 * library, a token may begin in that white space, and is dropped where its own is all taken. */
static bool take(const struct added *a, const char *text, size_t n, const struct plain_ranges *plain, size_t start,
                 int32_t k, size_t *done, struct sections *out)
{
    size_t end = start + a->patterns[k].size;
    bool is_text = a->patterns[k].type == TOKEN_CONTROL && touches_plain(plain, start, end);
    bool alone = !(a->bits[k] & ADDED_SINGLE_WORD) || stands_alone(text, n, start, end);
    if (is_text || !alone)
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

/* Pattern k or, where that is a control token with an end in plain text, a shorter one at the same place; or -1. */
static int32_t whole_pattern(const struct added *a, const char *text, const struct plain_ranges *plain, size_t start,
                             int32_t k)
{
    while (k >= 0 && a->patterns[k].type == TOKEN_CONTROL) {
        size_t size = a->patterns[k].size;
        if (!touches_plain(plain, start, start + size) || inside_plain(plain, start, start + size))
            break;
        k = size > 1 ? matcher_longest(&a->matcher, text + start, size - 1) : -1;
    }
    return k;
}

static bool cut_from_left(const struct added *a, const char *text, size_t n, const struct plain_ranges *plain,
                          struct sections *out)
{
    size_t done = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < n;) {
        int32_t k;
        i += matcher_next(&a->matcher, text + i, n - i, &k);
        if (k < 0)
            break;
        k = whole_pattern(a, text, plain, i, k);
        ok = k < 0 || take(a, text, n, plain, i, k, &done, out);
        i += k < 0 ? 1 : a->patterns[k].size;
    }
    return ok && (done >= n || sections_add(out, done, n, -1));
}

/* ---- both ------------------------------------------------------------------------------------ */

bool added_cut(const struct added *a, const char *text, size_t n, const struct plain_ranges *plain,
               struct sections *out)
{
    if (!a->matcher.pieces)
        return n == 0 || sections_add(out, 0, n, -1);
    if (a->dialect == DIALECT_LLAMA_CPP)
        return cut_longest_first(&a->matcher, a->bits, a->ids, text, n, plain, out);
    return cut_from_left(a, text, n, plain, out);
}

size_t added_at(const void *added, const char *text, size_t n)
{
    const struct added *a = added;
    int32_t k = a->matcher.pieces ? matcher_longest(&a->matcher, text, n) : -1;
    return k < 0 ? 0 : a->patterns[k].size;
}
