#include "merge.h"

#include <stdlib.h>

/* The symbols are a doubly linked list; merging takes the right one of a pair out of it. */
struct merge_link {
    int32_t previous, next; /* -1 at the ends */
    uint32_t version;       /* counts changes, so that stale candidates are known */
};

struct merge_candidate {
    double priority;
    int32_t left, merged;
    uint32_t left_version, right_version;
};

bool symbols_add(struct symbols *s, struct symbol symbol)
{
    if (s->count == s->room) {
        size_t room = s->room ? 2 * s->room : 64;
        struct symbol *items = realloc(s->items, room * sizeof *items);
        if (!items)
            return false;
        s->items = items;
        s->room = room;
    }
    s->items[s->count++] = symbol;
    return true;
}

static bool before(const struct merge_candidate *a, const struct merge_candidate *b)
{
    return a->priority > b->priority || (a->priority == b->priority && a->left < b->left);
}

static void swap_candidates(struct merge_candidate *a, struct merge_candidate *b)
{
    struct merge_candidate c = *a;
    *a = *b;
    *b = c;
}

static bool heap_push(struct merger *m, struct merge_candidate c)
{
    if (m->heap_count == m->heap_room) {
        size_t room = m->heap_room ? m->heap_room * 2 : 64;
        struct merge_candidate *heap = realloc(m->heap, room * sizeof *heap);
        if (!heap)
            return false;
        m->heap = heap;
        m->heap_room = room;
    }
    size_t i = m->heap_count++;
    m->heap[i] = c;
    for (; i > 0 && before(&m->heap[i], &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
        swap_candidates(&m->heap[i], &m->heap[(i - 1) / 2]);
    return true;
}

static struct merge_candidate heap_pop(struct merger *m)
{
    struct merge_candidate top = m->heap[0];
    m->heap[0] = m->heap[--m->heap_count];
    for (size_t i = 0;;) {
        size_t best = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < m->heap_count; child++)
            if (before(&m->heap[child], &m->heap[best]))
                best = child;
        if (best == i)
            return top;
        swap_candidates(&m->heap[i], &m->heap[best]);
        i = best;
    }
}

/* Adds the pair that begins at symbol `left`, if the rule has it. */
static bool consider(struct merger *m, const struct merge_rule *rule, const struct symbol *symbols,
                     int32_t left)
{
    struct merged_pair pair;
    if (left < 0 || m->links[left].next < 0)
        return true;
    int32_t right = m->links[left].next;
    if (!rule->pair(rule->context, &symbols[left], &symbols[right], &pair))
        return true;
    return heap_push(m, (struct merge_candidate){pair.priority, left, pair.id, m->links[left].version,
                                                 m->links[right].version});
}

static bool is_stale(const struct merger *m, const struct merge_candidate *c)
{
    const struct merge_link *left = &m->links[c->left];
    return left->version != c->left_version || left->next < 0 ||
           m->links[left->next].version != c->right_version;
}

static void join(struct merger *m, struct symbol *symbols, const struct merge_candidate *c)
{
    struct merge_link *left = &m->links[c->left], *right = &m->links[left->next];
    symbols[c->left].id = c->merged;
    symbols[c->left].size += symbols[left->next].size;
    left->version++;
    right->version++;
    left->next = right->next;
    if (right->next >= 0)
        m->links[right->next].previous = c->left;
}

static bool prepare(struct merger *m, size_t n)
{
    if (n > m->link_room) {
        struct merge_link *links = realloc(m->links, n * sizeof *links);
        if (!links)
            return false;
        m->links = links;
        m->link_room = n;
    }
    for (size_t i = 0; i < n; i++)
        m->links[i] = (struct merge_link){(int32_t)i - 1, i + 1 < n ? (int32_t)i + 1 : -1, 0};
    m->heap_count = 0;
    return true;
}

bool merge_symbols(struct merger *m, const struct merge_rule *rule, struct symbol *symbols,
                   size_t *count)
{
    size_t n = *count, kept = 0;
    if (n < 2)
        return true;
    if (n > INT32_MAX || !prepare(m, n))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!consider(m, rule, symbols, (int32_t)i))
            return false;
    while (m->heap_count > 0) {
        struct merge_candidate c = heap_pop(m);
        if (is_stale(m, &c))
            continue;
        join(m, symbols, &c);
        if (!consider(m, rule, symbols, m->links[c.left].previous) ||
            !consider(m, rule, symbols, c.left))
            return false;
    }
    for (int32_t i = 0; i >= 0; i = m->links[i].next)
        symbols[kept++] = symbols[i];
    *count = kept;
    return true;
}

void merger_free(struct merger *m)
{
    free(m->links);
    free(m->heap);
    *m = (struct merger){0};
}
