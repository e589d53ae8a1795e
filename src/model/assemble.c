#include "assemble.h"

#include "format.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = ASSEMBLE_NAME };

/* ---- names ----------------------------------------------------------------------------------- */

bool assemble_name(const struct arch *a, const struct naming *n, enum role role, int block,
                   char out[ASSEMBLE_NAME])
{
    bool in_block = roles[role].in_block, own = !n->gguf || (a->gguf_names && (*a->gguf_names)[role]);
    const char *name = !n->gguf ? (*a->hf_names)[role] : own ? (*a->gguf_names)[role] : roles[role].name;
    const char *suffix = own || roles[role].bias_of ? "" : ".weight";
    const char *before = n->gguf ? "blk." : a->hf_block;
    /* The head lies outside the model that the prefix names. */
    const char *head = n->head_prefix ? n->head_prefix : "";
    const char *prefix = n->gguf ? "" : role == ROLE_OUTPUT ? head : n->prefix;
    if (!name)
        return false;
    if (in_block)
        snprintf(out, NAME, "%s%s%d.%s%s", prefix, before, block, name, suffix);
    else
        snprintf(out, NAME, "%s%s%s", prefix, name, suffix);
    return true;
}

const struct entry *assemble_find(const struct model *m, const struct arch *a, const struct naming *n, enum role role,
                                  int block)
{
    char name[NAME];
    if (role == ROLE_EMBEDDING && n->head_embeds)
        role = ROLE_OUTPUT;
    const struct entry *e = assemble_name(a, n, role, block, name) ? catalog_find(&m->files, name) : NULL;
    return e && e->bytes > 0 ? e : NULL;
}

/* An entry's shape in so many dimensions where those beyond are 1: the outermost of a GGUF file, which its writers
 * leave as they pad to four, the last ones of others. */
static bool squeeze(const struct entry *e, const struct naming *n, size_t dimensions, size_t shape[2])
{
    size_t more = e->dimensions > dimensions ? e->dimensions - dimensions : 0, first = n->gguf ? more : 0;
    if (e->dimensions < dimensions)
        return false;
    for (size_t i = 0; i < more; i++)
        if (e->shape[n->gguf ? i : dimensions + i] != 1)
            return false;
    memcpy(shape, e->shape + first, dimensions * sizeof *shape);
    return true;
}

size_t assemble_vocab(const struct model *m, const struct arch *a, const struct naming *n)
{
    size_t shape[2];
    const struct entry *e = assemble_find(m, a, n, ROLE_EMBEDDING, -1);
    return e && squeeze(e, n, 2, shape) ? shape[0] : 0;
}

static bool is_there(const struct model *m, const struct arch *a, const struct naming *n, enum role role, int block)
{
    return assemble_find(m, a, n, role, block);
}

/* Optional tensors are there in all blocks or in none; the first tells. Varying ones each block has or not. */
static void find_roles(struct model *m, const struct arch *a, const struct naming *n)
{
    role_set all = a->required;
    for (enum role role = 0; role < ROLE_COUNT; role++)
        if ((a->optional | ROLE_BIT(ROLE_OUTPUT)) & ROLE_BIT(role) &&
            is_there(m, a, n, role, roles[role].in_block ? 0 : -1))
            all |= ROLE_BIT(role);
    m->has = all;
    for (size_t b = 0; b < m->hyper.layers; b++) {
        struct layer *l = &m->layers[b];
        l->has = 0;
        for (enum role role = 0; role < ROLE_COUNT; role++)
            if (roles[role].in_block && (all & ROLE_BIT(role) ||
                                         (a->varying & ROLE_BIT(role) && is_there(m, a, n, role, (int)b))))
                l->has |= ROLE_BIT(role);
        m->has |= l->has;
    }
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* A shape as files write it, for errors. */
static void print_shape(char out[96], const struct entry *e)
{
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < e->dimensions; i++)
        used += (size_t)snprintf(out + used, 96 - used, "%s%zu", i ? " x " : "", e->shape[i]);
}

static bool check_shape(const struct tensor *t, const struct entry *e, const struct naming *n, bool transposed,
                        struct error *error)
{
    size_t shape[2];
    size_t rows = transposed ? t->stored.cols : t->stored.rows;
    size_t cols = transposed ? t->stored.rows : t->stored.cols;
    bool vector = roles[t->role].vector;
    if (squeeze(e, n, vector ? 1 : 2, shape) &&
        (vector ? shape[0] == cols : shape[0] == rows && shape[1] == cols))
        return true;
    char found[96];
    print_shape(found, e);
    if (vector)
        return error_set(error, "tensor %.80s: shape %s; expected %zu", e->name, found, cols);
    return error_set(error, "tensor %.80s: shape %s; expected %zu x %zu", e->name, found, rows, cols);
}

/* Everything of a stored matrix but where its codes are. */
static void set_layout(struct qmatrix *w, const struct entry *e)
{
    const struct dtype_info *type = &dtypes[e->dtype];
    w->format = (struct qformat){.stored = true, .weight = e->dtype, .act = DTYPE_FP32,
                                 .granularity = GRANULARITY_TENSOR};
    w->group = w->cols;
    w->groups = 1;
    w->row_bytes = w->cols / type->block * type->block_bytes;
    w->bytes = e->bytes;
}

static float *alloc_floats(struct qmatrix *w, size_t n)
{
    w->owned = malloc(n * sizeof(float));
    return w->owned;
}

/* A norm whose weights count from 1, as fp32. */
static bool copy_norm_from_one(struct qmatrix *w, const struct entry *e)
{
    float *values = alloc_floats(w, w->cols);
    if (!values || !dtypes[e->dtype].decode_run)
        return false;
    dtypes[e->dtype].decode_run(e->data, 0, w->cols, 0, values);
    for (size_t i = 0; i < w->cols; i++)
        values[i] += 1;
    w->format.weight = DTYPE_FP32;
    w->row_bytes = w->bytes = w->cols * sizeof *values;
    w->codes = w->owned;
    return true;
}

/* A matrix that the file holds as columns x rows. */
static bool copy_transposed(struct qmatrix *w, const struct entry *e)
{
    size_t size = dtypes[e->dtype].block_bytes;
    uint8_t *codes = dtypes[e->dtype].block == 1 ? malloc(e->bytes) : NULL;
    if (!codes)
        return false;
    for (size_t r = 0; r < w->rows; r++)
        for (size_t c = 0; c < w->cols; c++)
            memcpy(codes + (r * w->cols + c) * size, e->data + (c * w->rows + r) * size, size);
    w->codes = w->owned = codes;
    return true;
}

/* Where the file does not align numbers of several bytes, they are copied. */
static bool point_to_entry(struct qmatrix *w, const struct entry *e)
{
    const struct dtype_info *type = &dtypes[e->dtype];
    w->codes = e->data;
    if (type->block > 1 || (uintptr_t)e->data % type->block_bytes == 0)
        return true;
    w->owned = malloc(e->bytes);
    if (w->owned)
        w->codes = memcpy(w->owned, e->data, e->bytes);
    return w->owned != NULL;
}

static bool fill_tensor(struct model *m, struct tensor *t, const struct arch *a,
                        const struct naming *n, struct error *error)
{
    char name[NAME];
    assemble_name(a, n, t->role, t->block, name);
    const struct entry *e = assemble_find(m, a, n, t->role, t->block);
    const struct role_info *role = &roles[t->role];
    if (!e)
        return error_set(error, "tensor %s is %s", name, catalog_find(&m->files, name) ? "empty" : "missing");
    bool transposed = n->transposed && role->linear && role->in_block;
    if (!check_shape(t, e, n, transposed, error))
        return false;
    set_layout(&t->stored, e);
    bool norm = role->norm, ok;
    if (norm && n->norms_from_one)
        ok = copy_norm_from_one(&t->stored, e);
    else
        ok = transposed ? copy_transposed(&t->stored, e) : point_to_entry(&t->stored, e);
    return ok || error_set(error, "tensor %s: not enough memory for a copy of %zu bytes", name,
                           e->bytes);
}

/* What GGUF files hold besides weights: factors that gguf_model.c reads. Readers of other formats leave
 * out what is none. */
static const char *const not_weights[] = {"rope_freqs.weight", "rope_factors_*.weight"};

static bool is_weight(const char *name)
{
    for (size_t i = 0; i < sizeof not_weights / sizeof *not_weights; i++)
        if (fnmatch(not_weights[i], name, 0) == 0)
            return false;
    return true;
}

static int by_address(const void *a, const void *b)
{
    const struct entry *const *p = a, *const *q = b;
    return (*p > *q) - (*p < *q);
}

/* Every weight must have found its use; a tensor without elements needs none. */
static bool check_unused(const struct model *m, const struct arch *a, const struct naming *n,
                         struct error *error)
{
    const struct entry **used = malloc((m->tensor_count + 1) * sizeof *used);
    size_t count = 0;
    if (!used)
        return error_set(error, "not enough memory");
    for (size_t i = 0; i < m->tensor_count; i++)
        used[count++] = assemble_find(m, a, n, m->tensors[i].role, m->tensors[i].block);
    qsort(used, count, sizeof *used, by_address);
    bool ok = true;
    for (size_t i = 0; ok && i < m->files.count; i++) {
        const struct entry *e = &m->files.entries[i];
        bool head = m->tied && assemble_find(m, a, n, ROLE_OUTPUT, -1) == e;
        if (!bsearch(&e, used, count, sizeof *used, by_address) && !head && e->bytes > 0 && is_weight(e->name))
            ok = error_set(error, "tensor %.100s is not part of the architecture %s with %zu layers",
                           e->name, a->name, m->hyper.layers);
    }
    free(used);
    return ok;
}

bool assemble(struct model *m, const struct arch *a, const struct naming *n, struct error *error)
{
    m->arch = a->name;
    size_t per_block = 0;
    for (enum role role = 0; role < ROLE_COUNT; role++)
        per_block += roles[role].in_block && a->required & ROLE_BIT(role);
    if (m->hyper.layers > m->files.count / per_block)
        return error_set(error, "%zu layers; the %zu tensors in the file suffice for %zu",
                         m->hyper.layers, m->files.count, m->files.count / per_block);
    if (!m->layers && !model_make_layers(m, error))
        return false;
    find_roles(m, a, n);
    m->tied |= !(m->has & ROLE_BIT(ROLE_OUTPUT));
    if (!model_make_tensors(m, error))
        return false;
    for (size_t i = 0; i < m->tensor_count; i++)
        if (!fill_tensor(m, &m->tensors[i], a, n, error))
            return false;
    if (!check_unused(m, a, n, error))
        return false;
    model_count(m);
    return true;
}
