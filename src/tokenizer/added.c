/* Hugging Face's dialect follows added_vocabulary.rs of the tokenizers library, SentencePiece's prefix_matcher,
 * llama.cpp's tokenizer_st_partition. */
#include "added.h"

#include "base/escape.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

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
        ok = normalized ? normalize(v->steps, v->step_count, p->text, p->size, NULL, NULL, &all)
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

/* ---- characters around a token --------------------------------------------------------------- */

static size_t character_before(const char *text, size_t end)
{
    size_t start = end - 1;
    while (start > 0 && end - start < 4 && ((uint8_t)text[start] & 0xc0) == 0x80)
        start--;
    return start;
}

static bool is_white(uint32_t c)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return (c >= 9 && c <= 13) || c == 0x85 || category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
           category == UTF8PROC_CATEGORY_ZP;
}

/* llama.cpp asks isspace(). */
static bool is_ascii_white(uint32_t c)
{
    return c == ' ' || (c >= 9 && c <= 13);
}

/* A character of words: alphabetic, a mark, a decimal digit, connecting punctuation, a joiner (Unicode Technical
 * Standard 18, Annex C). */
static bool is_of_word(uint32_t c)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    bool circled = (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
                   (c >= 0x1f170 && c <= 0x1f189); /* symbols that are alphabetic */
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) ||
           category == UTF8PROC_CATEGORY_PC || c == 0x200c || c == 0x200d || circled;
}

static bool has_white(const struct added *a, const char *text, size_t n, size_t *length)
{
    uint32_t c;
    bool cut;
    *length = utf8_read(text, n, &c, &cut);
    return *length > 0 && (a->dialect == DIALECT_LLAMA_CPP ? is_ascii_white(c) : is_white(c));
}

static size_t white_behind(const struct added *a, const char *text, size_t n)
{
    size_t at = 0, length;
    while (at < n && has_white(a, text + at, n - at, &length))
        at += length;
    return at;
}

/* Where the white space that ends at `end` begins. */
static size_t white_before(const struct added *a, const char *text, size_t end)
{
    size_t length;
    while (end > 0) {
        size_t start = character_before(text, end);
        if (!has_white(a, text + start, end - start, &length))
            break;
        end = start;
    }
    return end;
}

static bool word_at(const char *text, size_t n)
{
    uint32_t c;
    bool cut;
    return n > 0 && utf8_read(text, n, &c, &cut) > 0 && is_of_word(c);
}

static bool stands_alone(const char *text, size_t n, size_t start, size_t end)
{
    size_t before = start > 0 ? character_before(text, start) : 0;
    return !(start > 0 && word_at(text + before, start - before)) && !word_at(text + end, n - end);
}

/* ---- cutting from the left ------------------------------------------------------------------- */

static bool add(struct sections *s, size_t start, size_t end, int32_t id)
{
    if (s->count == s->room) {
        size_t room = s->room ? 2 * s->room : 16;
        struct section *items = realloc(s->items, room * sizeof *items);
        if (!items)
            return false;
        s->items = items;
        s->room = room;
    }
    s->items[s->count++] = (struct section){start, end - start, id};
    return true;
}

/* A match at [start, end); *done is what is cut already, with the white space that the token before took. As in the
 * library, a token may begin in that white space, and is dropped where its own is all taken. */
static bool take(const struct added *a, const char *text, size_t n, size_t start, size_t end, int32_t k, size_t *done,
                 struct sections *out)
{
    bool alone = !(a->bits[k] & ADDED_SINGLE_WORD) || stands_alone(text, n, start, end);
    if (a->patterns[k].type == TOKEN_CONTROL || !alone)
        return true;
    if (a->bits[k] & ADDED_LSTRIP) {
        size_t white = white_before(a, text, start);
        start = white > *done ? white : *done;
    }
    if (a->bits[k] & ADDED_RSTRIP)
        end += white_behind(a, text + end, n - end);
    bool ok = start <= *done || add(out, *done, start, -1);
    *done = end;
    return ok && (start >= end || add(out, start, end, a->ids[k]));
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
    return ok && (done >= n || add(out, done, n, -1));
}

/* ---- cutting by length ----------------------------------------------------------------------- */

struct found {
    size_t start, size;
    int32_t k;
};

static int longest_first(const void *a, const void *b)
{
    const struct found *p = a, *q = b;
    int order = (p->size < q->size) - (p->size > q->size);
    order = order ? order : (p->k > q->k) - (p->k < q->k);
    return order ? order : (p->start > q->start) - (p->start < q->start);
}

static int by_start(const void *a, const void *b)
{
    const struct found *p = a, *q = b;
    return (p->start > q->start) - (p->start < q->start);
}

/* Every place where a token could be; the caller frees. */
static struct found *find_all(const struct added *a, const char *text, size_t n, size_t *count)
{
    struct found *list = malloc(sizeof *list);
    size_t room = 1;
    *count = 0;
    for (size_t i = 0; list && i < n; i++)
        for (size_t limit = n - i; limit > 0;) {
            int32_t k = matcher_longest(&a->matcher, text + i, limit);
            if (k < 0)
                break;
            if (*count == room) {
                struct found *longer = realloc(list, 2 * room * sizeof *list);
                if (!longer) {
                    free(list);
                    return NULL;
                }
                list = longer;
                room *= 2;
            }
            list[(*count)++] = (struct found){i, a->patterns[k].size, k};
            limit = a->patterns[k].size - 1;
        }
    return list;
}

/* The white space that a token takes ends where a longer one has taken its own. */
static struct found stripped(const struct added *a, const char *text, size_t n, struct found f, const bool *taken)
{
    size_t start = f.start, end = f.start + f.size, length;
    if (a->bits[f.k] & ADDED_LSTRIP)
        while (start > 0 && !taken[start - 1] && has_white(a, text + start - 1, 1, &length))
            start--;
    if (a->bits[f.k] & ADDED_RSTRIP)
        while (end < n && !taken[end] && has_white(a, text + end, 1, &length))
            end++;
    return (struct found){start, end - start, f.k};
}

/* Keeps those that overlap none that came before, by their order; returns how many. */
static size_t keep_apart(const struct added *a, struct found *list, size_t count, const char *text, size_t n,
                         bool *taken)
{
    size_t kept = 0;
    memset(taken, 0, n);
    for (size_t i = 0; i < count; i++) {
        struct found f = list[i]; /* those before it are no shorter: its ends tell */
        if (taken[f.start] || taken[f.start + f.size - 1])
            continue;
        list[kept] = stripped(a, text, n, f, taken);
        memset(taken + list[kept].start, 1, list[kept].size);
        kept++;
    }
    return kept;
}

static bool cut_by_length(const struct added *a, const char *text, size_t n, struct sections *out)
{
    size_t count, done = 0;
    struct found *list = find_all(a, text, n, &count);
    bool *taken = malloc(n + 1), ok = list && taken;
    if (ok) {
        qsort(list, count, sizeof *list, longest_first);
        count = keep_apart(a, list, count, text, n, taken);
        qsort(list, count, sizeof *list, by_start);
    }
    for (size_t i = 0; ok && i < count; i++) {
        size_t end = list[i].start + list[i].size;
        ok = (list[i].start == done || add(out, done, list[i].start, -1)) &&
             add(out, list[i].start, end, a->ids[list[i].k]);
        done = end;
    }
    ok = ok && (done >= n || add(out, done, n, -1));
    free(list);
    free(taken);
    return ok;
}

/* ---- both ------------------------------------------------------------------------------------ */

bool added_cut(const struct added *a, const char *text, size_t n, struct sections *out)
{
    if (!a->matcher.pieces)
        return n == 0 || add(out, 0, n, -1);
    return a->dialect == DIALECT_LLAMA_CPP ? cut_by_length(a, text, n, out) : cut_from_left(a, text, n, out);
}

size_t added_at(const void *added, const char *text, size_t n)
{
    const struct added *a = added;
    int32_t k = a->matcher.pieces ? matcher_longest(&a->matcher, text, n) : -1;
    return k < 0 ? 0 : a->patterns[k].size;
}
