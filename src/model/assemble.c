#include "assemble.h"

#include "arrange.h"
#include "format.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = ASSEMBLE_NAME };

/* ---- names ----------------------------------------------------------------------------------- */

bool assemble_name(const struct arch *a, const struct naming *n, enum role role, int block, int expert, char out[NAME])
{
    bool in_block = roles[role].in_block, own = !n->gguf || (a->gguf_names && (*a->gguf_names)[role]);
    const char *name = !n->gguf ? (*a->hf_names)[role] : own ? (*a->gguf_names)[role] : roles[role].name;
    const char *suffix = own || strstr(roles[role].name, ".bias") ? "" : ".weight";
    const char *before = n->gguf ? "blk." : a->hf_block;
    /* The head lies outside the model that the prefix names. */
    const char *head = n->head_prefix ? n->head_prefix : "";
    const char *prefix = n->gguf ? "" : role == ROLE_OUTPUT || role == ROLE_OUTPUT_BIAS ? head : n->prefix;
    if (!name)
        return false;
    const char *number = strchr(name, '%');
    int first = number ? (int)(number - name) : (int)strlen(name);
    char digits[16] = "";
    if (number)
        snprintf(digits, sizeof digits, "%d", expert);
    if (in_block)
        snprintf(out, NAME, "%s%s%d.%.*s%s%s%s", prefix, before, block, first, name, digits, number ? number + 1 : "",
                 suffix);
    else
        snprintf(out, NAME, "%s%s%s", prefix, name, suffix);
    return true;
}

static const struct entry *find_entry(const struct model *m, const struct arch *a, const struct naming *n, enum role role,
                                      int block, int expert)
{
    char name[NAME];
    if (role == ROLE_EMBEDDING && n->head_embeds)
        role = ROLE_OUTPUT;
    const struct entry *e = assemble_name(a, n, role, block, expert, name) ? catalog_find(&m->files, name) : NULL;
    return e && e->bytes > 0 ? e : NULL;
}

const struct entry *assemble_find(const struct model *m, const struct arch *a, const struct naming *n, enum role role,
                                  int block)
{
    return find_entry(m, a, n, role, block, 0);
}

bool assemble_joins(const struct arch *a, const struct naming *n, enum role role)
{
    const char *name = n->gguf ? NULL : (*a->hf_names)[role];
    return roles[role].of_expert && (n->gguf || !strchr(name, '%'));
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

/* Optional tensors are there in all blocks or in none; the first tells. */
static role_set common_roles(const struct model *m, const struct arch *a, const struct naming *n)
{
    role_set all = a->required;
    for (enum role role = 0; role < ROLE_COUNT; role++)
        if ((a->optional | ROLE_BIT(ROLE_OUTPUT)) & ROLE_BIT(role) &&
            assemble_find(m, a, n, role, roles[role].in_block ? 0 : -1))
            all |= ROLE_BIT(role);
    return all;
}

static role_set of_blocks(role_set all)
{
    for (enum role role = 0; role < ROLE_COUNT; role++)
        if (!roles[role].in_block)
            all &= ~ROLE_BIT(role);
    return all;
}

/* The roles of a block: a router tells a mixture from dense layers. */
static bool find_block_roles(struct model *m, const struct arch *a, const struct naming *n, int block, role_set common,
                             struct error *error)
{
    struct layer *l = &m->layers[block];
    bool sparse = a->sparse && assemble_find(m, a, n, ROLE_ROUTER, block);
    l->has = of_blocks(common | (sparse ? a->sparse : a->dense) | (m->hyper.parallel ? 0 : a->serial));
    for (enum role role = 0; role < ROLE_COUNT; role++)
        if (a->varying & ROLE_BIT(role) && assemble_find(m, a, n, role, block))
            l->has |= ROLE_BIT(role);
    if (sparse && m->hyper.mixture.experts == 0)
        return error_set(error, "tensor %s is there, but no number of experts", assemble_find(m, a, n, ROLE_ROUTER, block)->name);
    l->mixture = sparse ? m->hyper.mixture : (struct mixture){0};
    return true;
}

static bool find_roles(struct model *m, const struct arch *a, const struct naming *n, struct error *error)
{
    bool ok = true;
    role_set common = common_roles(m, a, n);
    m->has = common;
    for (size_t b = 0; ok && b < m->hyper.layers; b++) {
        ok = find_block_roles(m, a, n, (int)b, common, error);
        m->has |= m->layers[b].has;
    }
    char name[NAME];
    if (!ok || m->hyper.mixture.experts == 0 || m->has & ROLE_BIT(ROLE_ROUTER))
        return ok;
    assemble_name(a, n, ROLE_ROUTER, 0, -1, name);
    return error_set(error, "%zu experts, but no block has a router: tensor %s is missing", m->hyper.mixture.experts,
                     name);
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

static unsigned arrangement_of(const struct arch *a, const struct naming *n, enum role role)
{
    unsigned whole = n->transposed && roles[role].linear && roles[role].in_block ? ARRANGED_TRANSPOSED : 0;
    return whole | (!n->gguf && a->hf_arranged ? (*a->hf_arranged)[role] : 0);
}

/* Norms with one row of weights a head. */
static bool is_of_heads(const struct model *m, enum role role)
{
    return m->hyper.norm_each_head && (role == ROLE_ATTN_Q_NORM || role == ROLE_ATTN_K_NORM);
}

static bool check_shape(const struct model *m, const struct tensor *t, const struct entry *e, const struct naming *n, unsigned how,
                        struct error *error)
{
    size_t shape[2];
    bool vector = roles[t->role].vector, transposed = how & ARRANGED_TRANSPOSED;
    size_t rows = arranged_rows(how, vector ? t->stored.cols : t->stored.rows), cols = t->stored.cols;
    if (vector && e->dimensions == 2 && is_of_heads(m, t->role) && e->shape[0] * e->shape[1] == cols &&
        e->shape[1] == m->layers[t->block].head_size)
        return true;
    if (squeeze(e, n, vector ? 1 : 2, shape) &&
        (vector ? shape[0] == rows : shape[transposed] == rows && shape[!transposed] == cols))
        return true;
    char found[96];
    print_shape(found, e);
    if (vector)
        return error_set(error, "tensor %.80s: shape %s; expected %zu", e->name, found, rows);
    return error_set(error, "tensor %.80s: shape %s; expected %zu x %zu", e->name, found, transposed ? cols : rows,
                     transposed ? rows : cols);
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
}

/* A norm whose weights count from 1, as fp32. */
static bool copy_norm_from_one(struct qmatrix *w, const struct entry *e)
{
    float *values = malloc(w->cols * sizeof *values);
    w->owned = values;
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

/* Of an entry that holds all experts the part of one. */
static bool take_expert(const struct model *m, const struct tensor *t, const struct entry *e, struct entry *part,
                        struct error *error)
{
    size_t experts = m->layers[t->block].mixture.experts;
    if (e->dimensions < 2 || e->shape[0] != experts)
        return error_set(error, "tensor %.80s: %zu experts in %zu dimensions; expected %zu experts first", e->name,
                         e->shape[0], e->dimensions, experts);
    *part = *e;
    part->dimensions--;
    memmove(part->shape, e->shape + 1, part->dimensions * sizeof *part->shape);
    part->bytes = e->bytes / experts;
    part->data = e->data + (size_t)t->expert * part->bytes;
    return true;
}

static bool fill_tensor(struct model *m, struct tensor *t, const struct arch *a,
                        const struct naming *n, struct error *error)
{
    char name[NAME];
    struct entry part;
    assemble_name(a, n, t->role, t->block, t->expert, name);
    const struct entry *e = find_entry(m, a, n, t->role, t->block, t->expert);
    if (!e)
        return error_set(error, "tensor %s is %s", name, catalog_find(&m->files, name) ? "empty" : "missing");
    if (assemble_joins(a, n, t->role)) {
        if (!take_expert(m, t, e, &part, error))
            return false;
        e = &part;
    }
    unsigned how = arrangement_of(a, n, t->role);
    if (!check_shape(m, t, e, n, how, error))
        return false;
    set_layout(&t->stored, e);
    const struct layer *l = t->block < 0 ? NULL : &m->layers[t->block];
    bool ok = roles[t->role].norm && n->norms_from_one ? copy_norm_from_one(&t->stored, e)
                                                        : arrange(&t->stored, e, how, roles[t->role].vector, l);
    return ok || error_set(error, "tensor %s: not enough memory for a copy of %zu bytes, or it is in blocks, which "
                                  "cannot be put into another order", name, e->bytes);
}

/* What GGUF files hold besides weights: factors that gguf_model.c reads. Readers of other formats leave
 * out what is none. */
static const char *const not_weights[] = {"rope_freqs.weight", "rope_factors_*.weight"};

static bool is_weight(const struct arch *a, const struct naming *n, const char *name)
{
    if (!n->gguf && a->hf_numbers && fnmatch(a->hf_numbers, name, 0) == 0)
        return false;
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
        used[count++] = find_entry(m, a, n, m->tensors[i].role, m->tensors[i].block, m->tensors[i].expert);
    qsort(used, count, sizeof *used, by_address);
    bool ok = true;
    for (size_t i = 0; ok && i < m->files.count; i++) {
        const struct entry *e = &m->files.entries[i];
        bool head = m->tied && assemble_find(m, a, n, ROLE_OUTPUT, -1) == e;
        if (!bsearch(&e, used, count, sizeof *used, by_address) && !head && e->bytes > 0 && is_weight(a, n, e->name))
            ok = error_set(error, "tensor %.100s is not part of the architecture %s with %zu layers",
                           e->name, a->name, m->hyper.layers);
    }
    free(used);
    return ok;
}

/* Tensors that a file has for a block, at least. */
static size_t tensors_of_block(const struct arch *a)
{
    role_set common = of_blocks(a->required);
    int dense = __builtin_popcountll(common | a->dense), sparse = __builtin_popcountll(common | a->sparse);
    return (size_t)(a->sparse && (!a->dense || sparse < dense) ? sparse : dense);
}

bool assemble(struct model *m, const struct arch *a, const struct naming *n, struct error *error)
{
    m->arch = a->name;
    size_t per_block = tensors_of_block(a);
    if (m->hyper.layers > m->files.count / per_block)
        return error_set(error, "%zu layers; the %zu tensors in the file suffice for %zu",
                         m->hyper.layers, m->files.count, m->files.count / per_block);
    if (!m->layers && !model_make_layers(m, error))
        return false;
    if (!find_roles(m, a, n, error))
        return false;
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
