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
    const char *suffix = own || strchr(roles[role].name, '.') ? "" : ".weight";
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
    const struct entry *e = assemble_find(m, a, n, ROLE_EMBEDDING, -1);
    return e && squeeze(e, n->gguf, 2, shape) ? shape[0] : 0;
}

/* Optional tensors are there in all blocks or in none; the first tells. */
static role_set common_roles(const struct model *m, const struct arch *a, const struct naming *n)
{
    role_set all = (a->required | m->has) & ~m->without;
    for (enum role role = 0; role < ROLE_COUNT; role++)
        if ((a->optional | ROLE_BIT(ROLE_OUTPUT)) & ~m->without & ROLE_BIT(role) &&
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

/* Those of a mixture, without the ones of experts that every token uses where there are none. */
static const role_set shared_roles = ROLE_BIT(ROLE_SHARED_SCALE) | ROLE_BIT(ROLE_GATE_SHARED) |
                                     ROLE_BIT(ROLE_UP_SHARED) | ROLE_BIT(ROLE_DOWN_SHARED);

static role_set sparse_roles(const struct model *m, const struct arch *a)
{
    return m->hyper.mixture.shared_hidden ? a->sparse : a->sparse & ~shared_roles;
}

/* A router tells a mixture from dense layers; of a block that has neither its number tells what is missing. */
static bool is_sparse(const struct model *m, const struct arch *a, const struct naming *n, int block)
{
    if (!a->sparse || assemble_find(m, a, n, ROLE_ROUTER, block))
        return a->sparse;
    return m->hyper.mixture.experts > 0 && (size_t)block >= m->hyper.dense_layers &&
           !assemble_find(m, a, n, ROLE_FFN_DOWN, block);
}

/* The roles of a block. */
static bool find_block_roles(struct model *m, const struct arch *a, const struct naming *n, int block, role_set common,
                             struct error *error)
{
    struct layer *l = &m->layers[block];
    bool sparse = is_sparse(m, a, n, block);
    l->has |= of_blocks(common | (sparse ? sparse_roles(m, a) : a->dense) | (m->hyper.parallel ? 0 : a->serial));
    for (enum role role = 0; role < ROLE_COUNT; role++)
        if (a->varying & ROLE_BIT(role) && assemble_find(m, a, n, role, block))
            l->has |= ROLE_BIT(role);
    l->has &= ~l->without;
    if (sparse && m->hyper.mixture.experts == 0)
        return error_set(error, "tensor %s is there, but no number of experts",
                         assemble_find(m, a, n, ROLE_ROUTER, block)->name);
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

enum { SHAPE_TEXT = MAX_DIMENSIONS * 24 };

/* A shape as files write it, for errors. */
static void print_shape(char out[SHAPE_TEXT], const struct entry *e)
{
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < e->dimensions; i++)
        used += (size_t)snprintf(out + used, SHAPE_TEXT - used, "%s%zu", i ? " x " : "", e->shape[i]);
}

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
    char found[SHAPE_TEXT];
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

/* Entries that hold norms of heads which files keep apart, one a head; 0: one holds the tensor. */
static size_t parts_of(const struct model *m, const struct tensor *t, const struct arch *a, const struct naming *n)
{
    bool apart = !n->gguf && roles[t->role].norm && strchr((*a->hf_names)[t->role], '%');
    return apart ? t->stored.cols / m->layers[t->block].head_size : 0;
}

/* The first of them says the type. */
static bool gather_parts(struct model *m, struct tensor *t, const struct arch *a, const struct naming *n, size_t parts,
                         struct error *error)
{
    char name[NAME];
    size_t size = t->stored.cols / parts;
    for (size_t i = 0; i < parts; i++) {
        const struct entry *e = find_entry(m, a, n, t->role, t->block, (int)i);
        assemble_name(a, n, t->role, t->block, (int)i, name);
        if (!e)
            return error_set(error, "tensor %s is missing", name);
        if (e->dimensions != 1 || e->shape[0] != size)
            return error_set(error, "tensor %s: %zu in %zu dimensions; expected %zu", name, e->shape[0], e->dimensions, size);
        if (i == 0) {
            set_layout(&t->stored, e);
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

static bool fill_tensor(struct model *m, struct tensor *t, const struct arch *a,
                        const struct naming *n, struct error *error)
{
    char name[NAME];
    struct entry part;
    size_t parts = parts_of(m, t, a, n);
    if (parts > 0)
        return gather_parts(m, t, a, n, parts, error);
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
    if (!ok)
        return error_set(error, "tensor %s: not enough memory for a copy of %zu bytes, or it is in blocks, which cannot be "
                                "put into another order", name, e->bytes);
    bool rounded = m->hyper.ternary && roles[t->role].linear && roles[t->role].in_block;
    return !rounded || make_ternary(&t->stored, name, error);
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

/* Whether a tensor is of a block behind the last one. */
static bool is_beyond(const struct model *m, const struct arch *a, const struct naming *n, const char *name)
{
    char before[NAME], *end;
    snprintf(before, sizeof before, "%s%s", n->gguf ? "" : n->prefix, n->gguf ? "blk." : a->hf_block);
    size_t length = strlen(before);
    if (strncmp(name, before, length) != 0)
        return false;
    unsigned long block = strtoul(name + length, &end, 10);
    return end > name + length && *end == '.' && block >= m->hyper.layers;
}

/* What predicts further tokens than the next. */
static bool is_spare(const struct model *m, const struct arch *a, const struct naming *n, const char *name)
{
    return (a->predicts_more && is_beyond(m, a, n, name)) || (a->unused && fnmatch(a->unused, name, 0) == 0);
}

/* Parts of models around one that writes text; and what guesses further tokens beside it. */
static const char *const other_parts[] = {"audio_tower", "connector",    "embed_audio",  "embed_vision",
                                          "image_newline", "mm_projector", "mtp",        "multi_modal_projector",
                                          "vision_model", "vision_tower", "visual"};

/* Of which of them a tensor is; null: of none. */
static const char *other_part(const char *name)
{
    const char *at = strncmp(name, "model.", 6) == 0 ? name + 6 : name;
    size_t length = strcspn(at, ".");
    for (size_t i = 0; i < sizeof other_parts / sizeof *other_parts; i++)
        if (strlen(other_parts[i]) == length && strncmp(at, other_parts[i], length) == 0)
            return other_parts[i];
    return NULL;
}

/* The number of the block that a tensor's name begins with, or the number of blocks. */
static size_t block_of(const struct model *m, const struct arch *a, const struct naming *n, const char *name)
{
    char before[NAME], *end;
    int length = snprintf(before, sizeof before, "%s%s", n->gguf ? "" : n->prefix, n->gguf ? "blk." : a->hf_block);
    if (strncmp(name, before, (size_t)length) != 0)
        return m->hyper.layers;
    unsigned long block = strtoul(name + length, &end, 10);
    return *end == '.' && block < m->hyper.layers ? block : m->hyper.layers;
}

/* Whether a tensor has a role that its block does without. */
static bool is_without(const struct model *m, const struct arch *a, const struct naming *n, const struct entry *e)
{
    size_t block = block_of(m, a, n, e->name);
    role_set without = block < m->hyper.layers ? m->layers[block].without : 0;
    for (enum role role = 0; role < ROLE_COUNT && without; role++)
        if (without & ROLE_BIT(role) && assemble_find(m, a, n, role, (int)block) == e)
            return true;
    return false;
}

/* Tensors that are left out, and of what. */
struct left_out {
    size_t count;
    char parts[120];
};

static void leave_out(struct left_out *l, const char *part)
{
    size_t used = strlen(l->parts);
    l->count++;
    if (!strstr(l->parts, part) && used + strlen(part) + 3 < sizeof l->parts)
        snprintf(l->parts + used, sizeof l->parts - used, "%s%s", used ? ", " : "", part);
}

static int by_address(const void *a, const void *b)
{
    const struct entry *const *p = a, *const *q = b;
    return (*p > *q) - (*p < *q);
}

/* Those of all tensors; the caller frees. Null when memory is short. */
static const struct entry **used_entries(const struct model *m, const struct arch *a, const struct naming *n,
                                         size_t *count)
{
    size_t all = 1;
    for (size_t i = 0; i < m->tensor_count; i++)
        all += parts_of(m, &m->tensors[i], a, n) + 1;
    const struct entry **used = malloc(all * sizeof *used);
    for (size_t i = 0; used && i < m->tensor_count; i++) {
        const struct tensor *t = &m->tensors[i];
        size_t parts = parts_of(m, t, a, n);
        for (size_t k = 0; k < parts; k++)
            used[(*count)++] = find_entry(m, a, n, t->role, t->block, (int)k);
        if (parts == 0)
            used[(*count)++] = find_entry(m, a, n, t->role, t->block, t->expert);
    }
    return used;
}

/* Every weight must have found its use; a tensor without elements needs none. Those of other parts are left out, and the
 * model's note says how many. */
static bool check_unused(struct model *m, const struct arch *a, const struct naming *n,
                         struct error *error)
{
    size_t count = 0;
    const struct entry **used = used_entries(m, a, n, &count);
    if (!used)
        return error_set(error, "not enough memory");
    qsort(used, count, sizeof *used, by_address);
    struct left_out left = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < m->files.count; i++) {
        const struct entry *e = &m->files.entries[i];
        bool head = m->tied && assemble_find(m, a, n, ROLE_OUTPUT, -1) == e;
        if (bsearch(&e, used, count, sizeof *used, by_address) || head || e->bytes == 0 || !is_weight(a, n, e->name))
            continue;
        if (is_spare(m, a, n, e->name))
            leave_out(&left, "what predicts further tokens");
        else if (other_part(e->name))
            leave_out(&left, other_part(e->name));
        else if (is_without(m, a, n, e))
            leave_out(&left, "keys and values of blocks that use another's");
        else
            ok = error_set(error, "tensor %.100s is not part of the architecture %s with %zu layers",
                           e->name, a->name, m->hyper.layers);
    }
    free(used);
    if (ok && left.count > 0)
        model_add_note(m, "%zu tensors that the model of text does not use are left out (%s)", left.count, left.parts);
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
    for (size_t i = 0; i < m->tensor_count; i++)
        if (!fill_tensor(m, &m->tensors[i], a, n, error))
            return false;
    if (!check_unused(m, a, n, error))
        return false;
    model_count(m);
    return true;
}
