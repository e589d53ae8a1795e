#include "resident.h"

#include "sys/memory.h"
#include "sys/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Tensors begin on the boundary of a huge page: fewer faults while they are filled, fewer misses of
 * the address cache while they are read, and dropping one never cuts a page of another. */
enum { PAGE = 2 << 20 };

struct resident {
    struct weight_generator maker;
    uint8_t *memory;  /* address space; has pages where tensors are acquired */
    size_t size;
    int *holders;     /* one a tensor */
    pthread_mutex_t lock; /* of the holders */
};

static size_t whole_pages(size_t bytes)
{
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

bool model_on_demand(const struct model *m, int tensor)
{
    const struct qmatrix *w = &m->tensors[tensor].stored;
    return m->resident && w->codes >= m->resident->memory &&
           w->codes < m->resident->memory + m->resident->size;
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool reserve(struct resident *r, size_t bytes, struct error *error)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return error_set(error, "%zu MiB of address space cannot be reserved: %s", bytes >> 20,
                         strerror(errno));
    r->memory = memory;
    r->size = bytes;
    madvise(memory, bytes, MADV_HUGEPAGE); /* where the system has none, small pages do */
    return true;
}

bool resident_open(struct model *m, const struct weight_generator *maker, struct error *error)
{
    struct resident *r = calloc(1, sizeof *r);
    size_t bytes = PAGE;
    if (!r) {
        maker->close(maker->arg);
        return error_set(error, "not enough memory");
    }
    m->resident = r;
    r->maker = *maker;
    pthread_mutex_init(&r->lock, NULL);
    r->holders = calloc(m->tensor_count, sizeof *r->holders);
    if (!r->holders)
        return error_set(error, "not enough memory");
    for (size_t i = 0; i < m->tensor_count; i++)
        if (!m->tensors[i].stored.codes)
            bytes += whole_pages(m->tensors[i].stored.bytes);
    if (!reserve(r, bytes, error))
        return false;
    size_t at = whole_pages((uintptr_t)r->memory) - (uintptr_t)r->memory;
    for (size_t i = 0; i < m->tensor_count; i++) {
        struct qmatrix *w = &m->tensors[i].stored;
        if (w->codes)
            continue;
        w->codes = r->memory + at;
        at += whole_pages(w->bytes);
    }
    return true;
}

void resident_close(struct model *m)
{
    struct resident *r = m->resident;
    if (!r)
        return;
    if (r->memory)
        munmap(r->memory, r->size);
    r->maker.close(r->maker.arg);
    pthread_mutex_destroy(&r->lock);
    free(r->holders);
    free(r);
    m->resident = NULL;
}

/* ---- making and dropping ---------------------------------------------------------------------- */

struct filling {
    const struct model *model;
    int tensor;
};

static void fill_rows(void *arg, size_t begin, size_t end, int thread)
{
    const struct filling *f = arg;
    const struct resident *r = f->model->resident;
    const struct qmatrix *w = &f->model->tensors[f->tensor].stored;
    uint8_t *codes = r->memory + (w->codes - r->memory);
    (void)thread;
    for (size_t row = begin; row < end; row++)
        r->maker.make(r->maker.arg, f->tensor, row, 0, w->cols, codes + row * w->row_bytes);
}

bool model_acquire(const struct model *m, int tensor, struct pool *pool, struct error *error)
{
    if (!model_on_demand(m, tensor))
        return true;
    struct resident *r = m->resident;
    const struct tensor *t = &m->tensors[tensor];
    struct filling filling = {m, tensor};
    pthread_mutex_lock(&r->lock);
    bool first = r->holders[tensor] == 0;
    bool ok = !first || memory_check(t->name, t->stored.bytes, error);
    if (ok && first && pool)
        pool_run(pool, t->stored.rows, fill_rows, &filling);
    else if (ok && first)
        fill_rows(&filling, 0, t->stored.rows, 0);
    r->holders[tensor] += ok;
    pthread_mutex_unlock(&r->lock);
    return ok;
}

void model_release(const struct model *m, int tensor)
{
    if (!model_on_demand(m, tensor))
        return;
    struct resident *r = m->resident;
    const struct qmatrix *w = &m->tensors[tensor].stored;
    pthread_mutex_lock(&r->lock);
    if (--r->holders[tensor] == 0)
        madvise(r->memory + (w->codes - r->memory), whole_pages(w->bytes), MADV_DONTNEED);
    pthread_mutex_unlock(&r->lock);
}

size_t model_absent_bytes(const struct model *m, int tensor)
{
    if (!model_on_demand(m, tensor))
        return 0;
    pthread_mutex_lock(&m->resident->lock);
    bool absent = m->resident->holders[tensor] == 0;
    pthread_mutex_unlock(&m->resident->lock);
    return absent ? m->tensors[tensor].stored.bytes : 0;
}

void model_decode_row(const struct model *m, int tensor, size_t row, float *out)
{
    const struct qmatrix *w = &m->tensors[tensor].stored;
    if (!model_on_demand(m, tensor)) {
        qmatrix_decode_row(w, row, out);
        return;
    }
    const struct weight_generator *maker = &m->resident->maker;
    const struct dtype_info *type = &dtypes[w->format.weight];
    uint8_t codes[MAKER_RUN * sizeof(float)];
    for (size_t c = 0; c < w->cols; c += MAKER_RUN) {
        size_t n = w->cols - c < MAKER_RUN ? w->cols - c : MAKER_RUN;
        maker->make(maker->arg, tensor, row, c, n, codes);
        type->decode_run(codes, 0, n, type->symmetric_zero, out + c);
    }
}
