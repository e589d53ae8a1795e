#include "arrange.h"

#include <stdlib.h>
#include <string.h>

static bool takes_half(unsigned how)
{
    return how & (ARRANGED_FIRST_HALF | ARRANGED_SECOND_HALF | ARRANGED_EVEN | ARRANGED_ODD);
}

size_t arranged_rows(unsigned how, size_t rows)
{
    return takes_half(how) ? 2 * rows : rows;
}

/* Row r of queries, keys and values, one after another, among those of each head of keys and values (GPT-NeoX, Falcon). */
static size_t row_by_head(const struct layer *l, size_t r)
{
    size_t size = l->head_size, shared = l->heads / l->kv_heads, group = (shared + 2) * size;
    size_t q = l->heads * size, kv = l->kv_heads * size;
    if (r < q)
        return r / (shared * size) * group + r % (shared * size);
    size_t at = (r - q) % kv;
    return at / size * group + (shared + (r - q) / kv) * size + at % size;
}

size_t arranged_row(unsigned how, const struct layer *l, size_t rows, size_t r)
{
    if (how & ARRANGED_BY_HEAD)
        return row_by_head(l, r);
    if (how & ARRANGED_SECOND_HALF)
        return rows + r;
    if (how & (ARRANGED_EVEN | ARRANGED_ODD))
        return 2 * r + (how & ARRANGED_ODD ? 1 : 0);
    return r;
}

/* What is copied: rows of a matrix, elements of a vector. */
struct copying {
    const uint8_t *from;
    uint8_t *to;
    size_t rows, cols, size; /* cols elements of `size` bytes a row, or one row of so many bytes where it stays whole */
    unsigned how;
    const struct layer *layer;
};

static void copy_rows(const struct copying *c)
{
    for (size_t r = 0; r < c->rows; r++)
        memcpy(c->to + r * c->size, c->from + arranged_row(c->how, c->layer, c->rows, r) * c->size, c->size);
}

static void copy_transposed(const struct copying *c)
{
    size_t all = arranged_rows(c->how, c->rows);
    for (size_t r = 0; r < c->rows; r++) {
        size_t row = arranged_row(c->how, c->layer, c->rows, r);
        for (size_t k = 0; k < c->cols; k++)
            memcpy(c->to + (r * c->cols + k) * c->size, c->from + (k * all + row) * c->size, c->size);
    }
}

bool arrange_copies(const struct qmatrix *w, const struct entry *e, unsigned how)
{
    const struct dtype_info *type = &dtypes[e->dtype];
    bool in_order = !(how & ~(unsigned)(ARRANGED_FIRST_HALF | ARRANGED_SECOND_HALF | ARRANGED_ROW));
    size_t skipped = how & ARRANGED_SECOND_HALF ? w->rows * w->row_bytes : 0;
    return !in_order || (type->block == 1 && ((uintptr_t)e->data + skipped) % type->block_bytes != 0);
}

bool arrange(struct qmatrix *w, const struct entry *e, unsigned how, bool vector, const struct layer *layer)
{
    const struct dtype_info *type = &dtypes[e->dtype];
    bool transposed = how & ARRANGED_TRANSPOSED;
    w->bytes = w->rows * w->row_bytes;
    if (!arrange_copies(w, e, how)) {
        w->codes = e->data + (how & ARRANGED_SECOND_HALF ? w->bytes : 0);
        return true;
    }
    if ((transposed || (vector && how)) && type->block > 1)
        return false;
    struct copying c = {e->data, malloc(w->bytes + 1), vector ? w->cols : w->rows, vector ? 1 : w->cols,
                        vector || transposed ? type->block_bytes : w->row_bytes, how, layer};
    if (!c.to)
        return false;
    (transposed ? copy_transposed : copy_rows)(&c);
    w->codes = w->owned = c.to;
    return true;
}
