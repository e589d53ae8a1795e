#include "assemble.h"

#include "arrange.h"
#include "format.h"
#include "output_scale.h"
#include "packing.h"
#include "sys/memory.h"
#include "unused.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An entry's shape in so many dimensions, where those beyond are 1: the first where it is padded, as GGUF files are to
 * four, or else the last ones. */
static bool squeeze(const struct entry *e, bool padded, size_t dimensions, size_t shape[2])
{
    size_t first = 0, end = e->dimensions;
    while (padded && end - first > dimensions && e->shape[first] == 1)
        first++;
    while (!padded && end - first > dimensions && e->shape[end - 1] == 1)
        end--;
    memcpy(shape, e->shape + first, (end - first == dimensions ? dimensions : 0) * sizeof *shape);
    return end - first == dimensions;
}

size_t assemble_vocab(const struct model *m, const struct arch *a, const struct naming *n)
{
    size_t shape[2];
    const struct entry *e = naming_find(m, a, n, ROLE_EMBEDDING, -1);
    return e && squeeze(e, n->gguf, 2, shape) ? shape[0] : 0;
}

/* Optional tensors are there in all blocks or in none; the first tells. */
static role_set common_roles(const struct model *m, const struct arch *a, const struct naming *n)
{
    role_set all = (a->required | m->has) & ~m->without;
    for (enum role role = 0; role < ROLE_COUNT; role++)
        if ((a->optional | ROLE_BIT(ROLE_OUTPUT)) & ~m->without & ROLE_BIT(role) &&
            naming_find(m, a, n, role, roles[role].in_block ? 0 : -1))
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

/* Those of a mixture, without the ones of experts that every token uses where there are none. */
static const role_set shared_roles = ROLE_BIT(ROLE_SHARED_SCALE) | ROLE_BIT(ROLE_GATE_SHARED) |
                                     ROLE_BIT(ROLE_UP_SHARED) | ROLE_BIT(ROLE_DOWN_SHARED);

role_set assemble_roles(const struct model *m, const struct arch *a, bool sparse)
{
    role_set of_experts = m->hyper.mixture.shared_hidden ? a->sparse : a->sparse & ~shared_roles;
    return (sparse ? of_experts : a->dense) | (m->hyper.parallel ? 0 : a->serial);
}

/* A router tells a mixture from dense layers; of a block that has neither its number tells what is missing. */
static bool is_sparse(const struct model *m, const struct arch *a, const struct naming *n, int block)
{
    if (!a->sparse || naming_find(m, a, n, ROLE_ROUTER, block))
        return a->sparse;
    return m->hyper.mixture.experts > 0 && (size_t)block >= m->hyper.dense_layers &&
           !naming_find(m, a, n, ROLE_FFN_DOWN, block);
}

/* The roles of a block. */
static bool find_block_roles(struct model *m, const struct arch *a, const struct naming *n, int block, role_set common,
                             struct error *error)
{
    struct layer *l = &m->layers[block];
    bool sparse = is_sparse(m, a, n, block);
    l->has |= of_blocks(common | assemble_roles(m, a, sparse));
    for (enum role role = 0; role < ROLE_COUNT; role++)
        if (a->varying & ROLE_BIT(role) && naming_find(m, a, n, role, block))
            l->has |= ROLE_BIT(role);
    l->has &= ~l->without;
    if (sparse && m->hyper.mixture.experts > 0 && (size_t)block < m->hyper.dense_layers)
        return error_set(error, "tensor %s is there, but the first %zu blocks have no experts",
                         naming_find(m, a, n, ROLE_ROUTER, block)->name, m->hyper.dense_layers);
    if (sparse && m->hyper.mixture.experts == 0)
        return error_set(error, "tensor %s is there, but no number of experts",
                         naming_find(m, a, n, ROLE_ROUTER, block)->name);
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
    char name[NAMING_MAX];
    if (!ok || m->hyper.mixture.experts == 0 || m->has & ROLE_BIT(ROLE_ROUTER))
        return ok;
    naming_name(a, n, ROLE_ROUTER, 0, -1, name);
    return error_set(error, "%zu experts, but no block has a router: tensor %s is missing", m->hyper.mixture.experts,
                     name);
}

/* ---- tensors --------------------------------------------------------------------------------- */

static unsigned arrangement_of(const struct arch *a, const struct naming *n, enum role role)
{
    unsigned whole = n->transposed && roles[role].linear && roles[role].in_block ? ARRANGED_TRANSPOSED : 0;
    const uint8_t(*held)[ROLE_COUNT] = n->gguf ? a->gguf_arranged : a->hf_arranged;
    return whole | (held ? (*held)[role] : 0);
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
    if (!vector && rows == 1 && e->dimensions == 1 && e->shape[0] == cols) /* whose 1 is left out */
        return true;
    if (vector && e->dimensions == 2 && is_of_heads(m, t->role) && e->shape[0] * e->shape[1] == cols &&
        e->shape[1] == m->layers[t->block].head_size)
        return true;
    if (squeeze(e, n->gguf || how & ARRANGED_ROW, vector ? 1 : 2, shape) &&
        (vector ? shape[0] == rows : shape[transposed] == rows && shape[!transposed] == cols))
        return true;
    char found[ENTRY_SHAPE_TEXT];
    shape_print(found, e->dimensions, e->shape);
    if (vector)
        return error_set(error, "tensor %.80s: shape %s; expected %zu", e->name, found, rows);
    return error_set(error, "tensor %.80s: shape %s; expected %zu x %zu", e->name, found, transposed ? cols : rows,
                     transposed ? rows : cols);
}

/* Everything of a stored matrix but where its codes are. */
static void set_layout(struct qmatrix *w, enum dtype dtype)
{
    const struct dtype_info *type = &dtypes[dtype];
    w->format = (struct qformat){.stored = true, .weight = dtype, .act = DTYPE_FP32,
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

static void put_float(uint8_t *out, enum dtype dtype, size_t i, float value)
{
    uint32_t code = dtype == DTYPE_FP32 ? 0 : dtypes[dtype].encode(value);
    if (dtype == DTYPE_FP32)
        memcpy(out + i * sizeof value, &value, sizeof value);
    else
        memcpy(out + i * sizeof(uint16_t), &(uint16_t){(uint16_t)code}, sizeof(uint16_t));
}

/* Rounds a matrix to -s, 0 and s, where s is the mean magnitude (Ma et al. 2024, "The Era of 1-bit LLMs", section 2). */
static bool make_ternary(struct qmatrix *w, const char *name, struct error *error)
{
    enum dtype dtype = w->format.weight;
    if (dtype != DTYPE_FP32 && dtype != DTYPE_FP16 && dtype != DTYPE_BF16)
        return error_set(error, "tensor %s: %s; expected fp32, fp16 or bf16, which are then rounded to three values", name,
                         dtypes[dtype].name);
    size_t n = w->rows * w->cols;
    float *values = malloc(w->cols * sizeof *values);
    uint8_t *out = malloc(w->bytes + 1);
    double sum = 0;
    for (size_t r = 0; values && r < w->rows; r++) {
        dtypes[dtype].decode_run(w->codes, r * w->cols, w->cols, 0, values);
        for (size_t i = 0; i < w->cols; i++)
            sum += fabs((double)values[i]);
    }
    float mean = (float)(sum / (double)n), scale = 1 / (mean < 1e-5f ? 1e-5f : mean);
    for (size_t r = 0; values && out && r < w->rows; r++) {
        dtypes[dtype].decode_run(w->codes, r * w->cols, w->cols, 0, values);
        for (size_t i = 0; i < w->cols; i++)
            put_float(out, dtype, r * w->cols + i, fminf(fmaxf(rintf(values[i] * scale), -1), 1) / scale);
    }
    bool ok = values && out;
    free(values);
    free(w->owned);
    w->codes = w->owned = out;
    return ok || error_set(error, "not enough memory for a copy of %s", name);
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

/* The first of them says the type. */
static bool gather_parts(struct model *m, struct tensor *t, const struct arch *a, const struct naming *n, size_t parts,
                         struct error *error)
{
    char name[NAMING_MAX];
    size_t size = t->stored.cols / parts;
    for (size_t i = 0; i < parts; i++) {
        const struct entry *e = naming_find_part(m, a, n, t->role, t->block, (int)i);
        naming_name(a, n, t->role, t->block, (int)i, name);
        if (!e)
            return error_set(error, "tensor %s is missing", name);
        if (e->dimensions != 1 || e->shape[0] != size)
            return error_set(error, "tensor %s: %zu in %zu dimensions; expected %zu", name, e->shape[0], e->dimensions, size);
        if (i == 0) {
            set_layout(&t->stored, e->dtype);
            t->stored.bytes = t->stored.row_bytes;
            t->stored.codes = t->stored.owned = malloc(t->stored.bytes + 1);
        }
        if (!t->stored.owned)
            return error_set(error, "not enough memory");
        if (e->dtype != t->stored.format.weight || e->bytes != t->stored.bytes / parts)
            return error_set(error, "tensor %s: %s; expected %s as the first", name, dtypes[e->dtype].name,
                             dtypes[t->stored.format.weight].name);
        memcpy((uint8_t *)t->stored.owned + i * e->bytes, e->data, e->bytes);
    }
    return true;
}

/* Where a tensor lies, and how. */
struct place {
    struct tensor *tensor;
    const struct packing *packing; /* null: one entry holds it */
    struct packing_parts at;              /* `codes` is the entry where it is one */
    unsigned how;
    size_t copied;                 /* bytes of memory of its own; 0: it is used where it lies */
};

static bool is_rounded(const struct model *m, const struct tensor *t)
{
    return m->hyper.ternary && roles[t->role].linear && roles[t->role].in_block;
}

static bool is_counted_from_one(const struct naming *n, const struct tensor *t)
{
    return roles[t->role].norm && n->norms_from_one;
}

/* An entry that was found (null: it was not), or of one that holds all experts the part of one. */
static bool take_entry(const struct model *m, const struct place *p, const struct naming *n, bool joined,
                       const struct entry *e, const char *name, struct entry *out, struct error *error)
{
    if (!e && p->packing && !catalog_find(&m->files, name))
        return error_set(error, "config.json: quantization_config.quant_method = %s, but tensor %s is missing",
                         n->packing->method, name);
    if (!e)
        return error_set(error, "tensor %s is %s", name, catalog_find(&m->files, name) ? "empty" : "missing");
    *out = *e;
    return !joined || take_expert(m, p->tensor, e, out, error);
}

static bool take_scales(const struct model *m, struct place *p, const struct arch *a, const struct naming *n,
                        bool joined, struct error *error)
{
    char name[NAMING_MAX];
    const struct tensor *t = p->tensor;
    const struct entry *e = naming_find_scales(m, a, n, t->role, t->block, t->expert);
    return naming_scales_name(a, n, t->role, t->block, t->expert, name) &&
           take_entry(m, p, n, joined, e, name, &p->at.scales, error) &&
           packing_check(p->packing, &p->at, arranged_rows(p->how, t->stored.rows), t->stored.cols, error);
}

/* Finds a tensor, checks its shape and sets its layout. What lies in parts, one a head, is not looked for. */
static bool find_place(const struct model *m, struct tensor *t, const struct arch *a, const struct naming *n,
                       struct place *p, struct error *error)
{
    char name[NAMING_MAX];
    bool joined = naming_joins(a, n, t->role);
    *p = (struct place){.tensor = t, .packing = naming_packs(a, n, t->role) ? n->packing : NULL,
                        .how = arrangement_of(a, n, t->role)};
    if (naming_parts(m, a, n, t) > 0)
        return true;
    naming_name(a, n, t->role, t->block, t->expert, name);
    const struct entry *e = naming_find_part(m, a, n, t->role, t->block, t->expert), *found = &p->at.codes;
    if (!take_entry(m, p, n, joined, e, name, &p->at.codes, error) ||
        !(p->packing ? take_scales(m, p, a, n, joined, error) : check_shape(m, t, found, n, p->how, error)))
        return false;
    set_layout(&t->stored, p->packing ? p->packing->dtype : found->dtype);
    bool own = p->packing || is_rounded(m, t) || arrange_copies(&t->stored, found, p->how);
    p->copied = own ? t->stored.rows * t->stored.row_bytes : 0;
    return true;
}

static bool fill_tensor(struct model *m, const struct place *p, const struct arch *a, const struct naming *n,
                        struct error *error)
{
    struct tensor *t = p->tensor;
    size_t parts = naming_parts(m, a, n, t);
    if (parts > 0)
        return gather_parts(m, t, a, n, parts, error);
    const struct layer *l = t->block < 0 ? NULL : &m->layers[t->block];
    const struct entry *e = &p->at.codes;
    bool ok = p->packing                  ? packing_join(&t->stored, p->packing, &p->at, p->how, l)
              : is_counted_from_one(n, t) ? copy_norm_from_one(&t->stored, e)
                                          : arrange(&t->stored, e, p->how, roles[t->role].vector, l);
    if (!ok)
        return error_set(error, "tensor %s: not enough memory for a copy of %zu bytes, or it is in blocks, which cannot be "
                                "put into another order", e->name, e->bytes);
    return !is_rounded(m, t) || make_ternary(&t->stored, e->name, error);
}

/* Copies must fit before the first is made. */
static bool check_memory(const struct place *places, size_t count, struct error *error)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        if (__builtin_add_overflow(sum, places[i].copied, &sum))
            return error_set(error, "the tensors do not fit in any memory");
    return sum == 0 || memory_check("to put the weights into another order", sum, error);
}

static int by_address(const void *a, const void *b)
{
    const struct place *p = a, *q = b;
    uintptr_t x = (uintptr_t)p->at.codes.data, y = (uintptr_t)q->at.codes.data;
    return (x > y) - (x < y);
}

/* In the order of the files, so that what two tensors share, as rows of gates and ups, is read once. */
static bool fill_tensors(struct model *m, const struct arch *a, const struct naming *n, struct error *error)
{
    size_t count = m->tensor_count;
    struct place *places = calloc(count + 1, sizeof *places);
    bool ok = places || error_set(error, "not enough memory for %zu tensors", count);
    for (size_t i = 0; ok && i < count; i++)
        ok = find_place(m, &m->tensors[i], a, n, &places[i], error);
    ok = ok && check_memory(places, count, error);
    if (ok)
        qsort(places, count, sizeof *places, by_address);
    for (size_t i = 0; ok && i < count; i++)
        ok = fill_tensor(m, &places[i], a, n, error);
    free(places);
    return ok;
}

/* Tensors that a file has for a block, at least: gate and up of experts may be one. */
static size_t tensors_of_block(const struct model *m, const struct arch *a)
{
    role_set maybe = shared_roles | ROLE_BIT(ROLE_UP_EXPERTS) | ROLE_BIT(ROLE_UP_EXPERTS_BIAS);
    role_set common = of_blocks(a->required & ~m->without);
    for (size_t b = 0; m->layers && b < m->hyper.layers; b++)
        common &= ~m->layers[b].without;
    int dense = __builtin_popcountll(common | a->dense), sparse = __builtin_popcountll(common | (a->sparse & ~maybe));
    bool both = a->dense || common & ROLE_BIT(ROLE_FFN_DOWN); /* some blocks may have no experts */
    return (size_t)(a->sparse && (!both || sparse < dense) ? sparse : dense);
}

bool assemble(struct model *m, const struct arch *a, const struct naming *n, struct error *error)
{
    m->arch = a->name;
    size_t per_block = tensors_of_block(m, a);
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
    if (!fill_tensors(m, a, n, error) || !output_scales_read(m, a, n, error) || !unused_check(m, a, n, error))
        return false;
    if (m->files.rounded > 0)
        model_add_note(m, "%zu tensors of F64 are read as fp32", m->files.rounded);
    model_count(m);
    return true;
}
