#include "columns.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct columns *allocate(size_t count)
{
    struct columns *c = calloc(1, sizeof *c + count * sizeof *c->of);
    if (c)
        atomic_init(&c->refs, 1);
    return c;
}

struct columns *columns_new(struct qtensor *q)
{
    struct columns *c = allocate(q->matrix.cols);
    if (!c)
        return NULL;
    c->q = qtensor_ref(q);
    c->count = q->matrix.cols;
    return c;
}

struct columns *columns_copy(const struct columns *from)
{
    struct columns *c = allocate(from->count);
    if (!c)
        return NULL;
    c->q = qtensor_ref(from->q);
    c->count = from->count;
    c->tokens = from->tokens;
    memcpy(c->of, from->of, from->count * sizeof *c->of);
    return c;
}

struct columns *columns_ref(struct columns *c)
{
    if (c)
        atomic_fetch_add(&c->refs, 1);
    return c;
}

void columns_unref(struct columns *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) > 1)
        return;
    qtensor_unref(c->q);
    free(c);
}

void columns_add(struct columns *c, const float *x, size_t tokens)
{
    for (size_t t = 0; t < tokens; t++, c->tokens++)
        for (size_t i = 0; i < c->count; i++) {
            float size = fabsf(x[t * c->count + i]);
            if (!isfinite(size))
                continue;
            c->of[i].largest = size > c->of[i].largest ? size : c->of[i].largest;
            c->of[i].sum += (double)size;
        }
}

/* By insertion: few are asked for. */
size_t columns_salient(const struct columns *c, size_t n, size_t *out)
{
    size_t found = 0;
    for (size_t i = 0; i < c->count && n > 0; i++) {
        size_t at = found;
        while (at > 0 && c->of[i].sum > c->of[out[at - 1]].sum)
            at--;
        if (at == n)
            continue;
        size_t last = found < n ? found : n - 1;
        memmove(out + at + 1, out + at, (last - at) * sizeof *out);
        out[at] = i;
        found = last + 1;
    }
    return found;
}
