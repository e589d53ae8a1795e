#include "longest_first.h"

#include <stdlib.h>

/* A place where a token could be, by its number in the matcher. */
struct place {
    uint32_t start;
    int32_t token;
};

/* A heap of places, at most one for each byte: the longest not yet ruled out. */
struct search {
    const struct matcher *matcher;
    const uint8_t *bits;
    const char *text;
    size_t n;
    const struct plain_ranges *plain;
    bool *taken; /* by byte */
    struct place *heap;
    size_t count;
};

static uint32_t size_of(const struct search *s, const struct place *p)
{
    return s->matcher->pieces[p->token].size;
}

static bool before(const struct search *s, const struct place *a, const struct place *b)
{
    if (size_of(s, a) != size_of(s, b))
        return size_of(s, a) > size_of(s, b);
    return a->token != b->token ? a->token < b->token : a->start < b->start;
}

static void swap(struct place *a, struct place *b)
{
    struct place c = *a;
    *a = *b;
    *b = c;
}

static void push(struct search *s, struct place place)
{
    size_t i = s->count++;
    s->heap[i] = place;
    for (; i > 0 && before(s, &s->heap[i], &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&s->heap[i], &s->heap[(i - 1) / 2]);
}

static struct place pop(struct search *s)
{
    struct place top = s->heap[0];
    s->heap[0] = s->heap[--s->count];
    for (size_t i = 0;;) {
        size_t best = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < s->count; child++)
            if (before(s, &s->heap[child], &s->heap[best]))
                best = child;
        if (best == i)
            return top;
        swap(&s->heap[i], &s->heap[best]);
        i = best;
    }
}

/* The longest token of at most `limit` bytes at a place, if there is one. */
static void consider(struct search *s, size_t start, size_t limit)
{
    const struct vocabulary_piece *pieces = s->matcher->pieces;
    int32_t token = limit > 0 ? matcher_longest(s->matcher, s->text + start, limit) : -1;
    while (token >= 0 && pieces[token].type == TOKEN_CONTROL &&
           touches_plain(s->plain, start, start + pieces[token].size)) {
        limit = pieces[token].size - 1; /* it is text, but a shorter token may be none */
        token = limit > 0 ? matcher_longest(s->matcher, s->text + start, limit) : -1;
    }
    if (token >= 0)
        push(s, (struct place){(uint32_t)start, token});
}

/* isspace() of the C locale, as llama.cpp asks. */
static bool is_white(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Takes a token with the white space that it asks for, up to what others took. */
static bool take(struct search *s, const struct place *p, int32_t id, struct sections *out)
{
    size_t start = p->start, end = start + size_of(s, p);
    if (s->bits[p->token] & ADDED_LSTRIP)
        while (start > 0 && !s->taken[start - 1] && is_white(s->text[start - 1]))
            start--;
    if (s->bits[p->token] & ADDED_RSTRIP)
        while (end < s->n && !s->taken[end] && is_white(s->text[end]))
            end++;
    for (size_t i = start; i < end; i++)
        s->taken[i] = true;
    return sections_add(out, start, end, id);
}

static int by_start(const void *a, const void *b)
{
    const struct section *p = a, *q = b;
    return (p->start > q->start) - (p->start < q->start);
}

/* The tokens that are found, in the order of the text. What was taken before is no shorter, so that a token which
 * overlaps it has an end in it. */
static bool find_tokens(struct search *s, const int32_t *ids, struct sections *found)
{
    bool ok = true;
    for (size_t i = 0; i < s->n; i++)
        consider(s, i, s->n - i);
    while (ok && s->count > 0) {
        struct place p = pop(s);
        uint32_t size = size_of(s, &p);
        if (s->taken[p.start])
            continue;
        if (s->taken[p.start + size - 1])
            consider(s, p.start, size - 1);
        else
            ok = take(s, &p, ids[p.token], found);
    }
    if (found->count > 0)
        qsort(found->items, found->count, sizeof *found->items, by_start);
    return ok;
}

bool cut_longest_first(const struct matcher *matcher, const uint8_t *bits, const int32_t *ids, const char *text,
                       size_t n, const struct plain_ranges *plain, struct sections *out)
{
    struct search s = {matcher, bits, text, n, plain, calloc(n + 1, 1), malloc((n + 1) * sizeof *s.heap), 0};
    struct sections found = {0};
    size_t done = 0;
    bool ok = n <= UINT32_MAX && s.taken && s.heap && find_tokens(&s, ids, &found);
    for (size_t i = 0; ok && i < found.count; i++) {
        const struct section *f = &found.items[i];
        ok = (f->start == done || sections_add(out, done, f->start, -1)) &&
             sections_add(out, f->start, f->start + f->size, f->id);
        done = f->start + f->size;
    }
    ok = ok && (done == n || sections_add(out, done, n, -1));
    free(found.items);
    free(s.taken);
    free(s.heap);
    return ok;
}
