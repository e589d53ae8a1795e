#include "on_demand.h"

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

struct on_demand {
    struct weight_generator generator;
    uint8_t *memory;  /* address space; has pages where tensors are acquired */
    size_t size;      /* of memory, bytes */
    int *users;       /* of each tensor: acquisitions without a release yet */
    pthread_mutex_t lock; /* of users */
};

static size_t whole_pages(size_t bytes)
{
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

bool model_on_demand(const struct model *m, int tensor)
{
    const struct qmatrix *w = &m->tensors[tensor].stored;
    return m->on_demand && w->codes >= m->on_demand->memory &&
           w->codes < m->on_demand->memory + m->on_demand->size;
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool reserve(struct on_demand *d, size_t bytes, struct error *error)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return error_set(error, "%zu MiB of address space cannot be reserved: %s", bytes >> 20,
                         strerror(errno));
    d->memory = memory;
    d->size = bytes;
    madvise(memory, bytes, MADV_HUGEPAGE); /* where the system has none, small pages do */
    return true;
}

bool on_demand_open(struct model *m, const struct weight_generator *generator, struct error *error)
{
    struct on_demand *d = calloc(1, sizeof *d);
    size_t bytes = PAGE;
    if (!d) {
        generator->close(generator->arg);
        return error_set(error, "not enough memory");
    }
    m->on_demand = d;
    d->generator = *generator;
    pthread_mutex_init(&d->lock, NULL);
    d->users = calloc(m->tensor_count, sizeof *d->users);
    if (!d->users)
        return error_set(error, "not enough memory");
    for (size_t i = 0; i < m->tensor_count; i++)
        if (!m->tensors[i].stored.codes)
            bytes += whole_pages(m->tensors[i].stored.bytes);
    if (!reserve(d, bytes, error))
        return false;
    size_t at = whole_pages((uintptr_t)d->memory) - (uintptr_t)d->memory;
    for (size_t i = 0; i < m->tensor_count; i++) {
        struct qmatrix *w = &m->tensors[i].stored;
        if (w->codes)
            continue;
        w->codes = d->memory + at;
        at += whole_pages(w->bytes);
    }
    return true;
}

void on_demand_close(struct model *m)
{
    struct on_demand *d = m->on_demand;
    if (!d)
        return;
    if (d->memory)
        munmap(d->memory, d->size);
    d->generator.close(d->generator.arg);
    pthread_mutex_destroy(&d->lock);
    free(d->users);
    free(d);
    m->on_demand = NULL;
}

/* ---- materializing and dropping -------------------------------------------------------------- */

struct filling {
    const struct model *model;
    int tensor;
};

static void fill_rows(void *arg, size_t begin, size_t end, int thread)
{
    const struct filling *f = arg;
    const struct on_demand *d = f->model->on_demand;
    const struct qmatrix *w = &f->model->tensors[f->tensor].stored;
    uint8_t *codes = d->memory + (w->codes - d->memory);
    (void)thread;
    for (size_t row = begin; row < end; row++)
        d->generator.generate(d->generator.arg, f->tensor, row, 0, w->cols, codes + row * w->row_bytes);
}

bool model_acquire(const struct model *m, int tensor, struct pool *pool, struct error *error)
{
    if (!model_on_demand(m, tensor))
        return true;
    struct on_demand *d = m->on_demand;
    const struct tensor *t = &m->tensors[tensor];
    struct filling filling = {m, tensor};
    pthread_mutex_lock(&d->lock);
    bool first = d->users[tensor] == 0;
    bool ok = !first || memory_check(t->name, t->stored.bytes, error);
    if (ok && first && pool)
        pool_run(pool, t->stored.rows, fill_rows, &filling);
    else if (ok && first)
        fill_rows(&filling, 0, t->stored.rows, 0);
    d->users[tensor] += ok;
    pthread_mutex_unlock(&d->lock);
    return ok;
}

void model_release(const struct model *m, int tensor)
{
    if (!model_on_demand(m, tensor))
        return;
    struct on_demand *d = m->on_demand;
    const struct qmatrix *w = &m->tensors[tensor].stored;
    pthread_mutex_lock(&d->lock);
    if (--d->users[tensor] == 0)
        madvise(d->memory + (w->codes - d->memory), whole_pages(w->bytes), MADV_DONTNEED);
    pthread_mutex_unlock(&d->lock);
}

size_t model_absent_bytes(const struct model *m, int tensor)
{
    if (!model_on_demand(m, tensor))
        return 0;
    pthread_mutex_lock(&m->on_demand->lock);
    bool absent = m->on_demand->users[tensor] == 0;
    pthread_mutex_unlock(&m->on_demand->lock);
    return absent ? m->tensors[tensor].stored.bytes : 0;
}

void model_decode_row(const struct model *m, int tensor, size_t row, float *out)
{
    const struct qmatrix *w = &m->tensors[tensor].stored;
    if (!model_on_demand(m, tensor)) {
        qmatrix_decode_row(w, row, out);
        return;
    }
    const struct weight_generator *generator = &m->on_demand->generator;
    const struct dtype_info *type = &dtypes[w->format.weight];
    uint8_t codes[GENERATOR_RUN * sizeof(float)];
    for (size_t c = 0; c < w->cols; c += GENERATOR_RUN) {
        size_t n = w->cols - c < GENERATOR_RUN ? w->cols - c : GENERATOR_RUN;
        generator->generate(generator->arg, tensor, row, c, n, codes);
        type->decode_run(codes, 0, n, type->symmetric_zero, out + c);
    }
}
