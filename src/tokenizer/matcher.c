#include "matcher.h"

#include <stdlib.h>
#include <string.h>

static int by_bytes(const void *a, const void *b, void *pieces)
{
    const struct vocabulary_piece *all = pieces;
    int32_t i = *(const int32_t *)a, k = *(const int32_t *)b;
    const struct vocabulary_piece *p = &all[i], *q = &all[k];
    int order = memcmp(p->text, q->text, p->size < q->size ? p->size : q->size);
    if (order == 0)
        order = (p->size > q->size) - (p->size < q->size);
    return order ? order : (i > k) - (i < k);
}

bool matcher_open(struct matcher *m, const struct vocabulary_piece *pieces, size_t count,
                  enum token_type type)
{
    *m = (struct matcher){.pieces = pieces};
    for (size_t i = 0; i < count; i++)
        m->count += pieces[i].type == type && pieces[i].size > 0;
    m->sorted = malloc((m->count + 1) * sizeof *m->sorted);
    if (!m->sorted)
        return false;
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (pieces[i].type == type && pieces[i].size > 0) {
            m->sorted[n++] = (int32_t)i;
            m->begins[(uint8_t)pieces[i].text[0]] = true;
        }
    qsort_r(m->sorted, n, sizeof *m->sorted, by_bytes, (void *)(uintptr_t)pieces);
    return true;
}

void matcher_close(struct matcher *m)
{
    free(m->sorted);
    *m = (struct matcher){0};
}

/* Of sorted[low..high), which agree in `depth` bytes, the first whose next byte is not below `byte`. */
static size_t lower(const struct matcher *m, size_t low, size_t high, size_t depth, int byte)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct vocabulary_piece *p = &m->pieces[m->sorted[middle]];
        int here = p->size > depth ? (uint8_t)p->text[depth] : -1;
        if (here < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int32_t matcher_longest(const struct matcher *m, const char *text, size_t n)
{
    int32_t best = -1;
    size_t low = 0, high = m->count;
    if (n == 0 || !m->begins[(uint8_t)text[0]])
        return -1;
    for (size_t depth = 0; depth < n && low < high; depth++) {
        size_t first = lower(m, low, high, depth, (uint8_t)text[depth]);
        high = lower(m, first, high, depth, (uint8_t)text[depth] + 1);
        low = first;
        if (low < high && m->pieces[m->sorted[low]].size == depth + 1)
            best = m->sorted[low];
    }
    return best;
}

size_t matcher_next(const struct matcher *m, const char *text, size_t n, int32_t *id)
{
    size_t i = 0;
    for (*id = -1; i < n; i++)
        if ((*id = matcher_longest(m, text + i, n - i)) >= 0)
            break;
    return i;
}
