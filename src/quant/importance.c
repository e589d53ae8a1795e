#include "importance.h"

#include "model/arch.h"
#include "model/input_group.h"
#include "model/naming.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names --------------------------------------------------------------------------------------- */

static const struct naming gguf_naming = {.gguf = true, .prefix = ""};

static void name_role(const struct model *m, const struct tensor *t, enum role role, char out[IMPORTANCE_NAME])
{
    naming_name(arch_in_gguf(arch_of(m)), &gguf_naming, role, t->block, t->expert, out);
}

const char *importance_name(const struct model *m, int tensor, char out[IMPORTANCE_NAME])
{
    _Static_assert((int)IMPORTANCE_NAME == (int)NAMING_MAX, "names of files fit");
    name_role(m, &m->tensors[tensor], m->tensors[tensor].role, out);
    return out;
}

size_t importance_rows(const struct model *m, int tensor)
{
    const struct tensor *t = &m->tensors[tensor];
    return t->expert >= 0 ? m->layers[t->block].mixture.experts : 1;
}

/* Roles that take the same input, one of which another file of the same model may hold instead. */
static const struct {
    enum role role, instead;
} same_input[] = {
    {ROLE_ATTN_Q, ROLE_ATTN_QKV},    {ROLE_ATTN_K, ROLE_ATTN_QKV},         {ROLE_ATTN_V, ROLE_ATTN_QKV},
    {ROLE_ATTN_QKV, ROLE_ATTN_Q},    {ROLE_FFN_GATE, ROLE_FFN_UP},         {ROLE_FFN_UP, ROLE_FFN_GATE_UP},
    {ROLE_FFN_GATE_UP, ROLE_FFN_UP}, {ROLE_GATE_EXPERTS, ROLE_UP_EXPERTS}, {ROLE_EMBEDDING, ROLE_OUTPUT},
};

/* A matrix whose entries are to be found, and which of them were. */
struct search {
    const struct imatrix *matrix;
    bool *used;
};

static const struct imatrix_entry *find(const struct search *s, const char *name)
{
    const struct imatrix_entry *e = imatrix_find(s->matrix, name);
    if (e)
        s->used[e - s->matrix->entries] = true;
    return e;
}

static const struct imatrix_entry *entry_of(const struct search *s, const struct model *m, int tensor)
{
    const struct tensor *t = &m->tensors[tensor];
    char name[IMPORTANCE_NAME];
    const struct imatrix_entry *e = find(s, importance_name(m, tensor, name));
    for (size_t i = 0; i < sizeof same_input / sizeof *same_input; i++)
        if (same_input[i].role == t->role && input_group_of(m, tensor) >= 0) {
            name_role(m, t, same_input[i].instead, name);
            const struct imatrix_entry *other = find(s, name);
            e = e ? e : other;
        }
    return e;
}

/* ---- from a file --------------------------------------------------------------------------------- */

static bool no_memory(struct error *error)
{
    return error_set(error, "not enough memory for an importance matrix");
}

static bool check_size(const struct imatrix_entry *e, const struct model *m, int tensor, const char *file,
                       struct error *error)
{
    size_t cols = m->tensors[tensor].stored.cols, rows = importance_rows(m, tensor);
    if (e->values == cols * rows && (e->rows == 1 || e->rows == rows))
        return true;
    if (e->values == cols * rows)
        return error_set(error,
                         "%.160s: %.80s has %zu counts; this model has %zu experts: it is another model's imatrix",
                         file, e->name, e->rows, rows);
    return error_set(error, "%.160s: %.80s has %zu values; this model's has %zu%s: it is another model's imatrix", file,
                     e->name, e->values, cols * rows, rows > 1 ? ", a column of each expert" : ", one a column");
}

/* Means from a row's sums; null, with *lacks, where there is nothing to weigh with. */
static bool take_row(struct importance *out, const struct imatrix_entry *e, size_t cols, size_t row, int tensor)
{
    const float *sums = e->sums + row * cols;
    double count = (double)e->counts[e->rows > 1 ? row : 0];
    bool any = false;
    for (size_t c = 0; c < cols; c++)
        any |= sums[c] > 0;
    out->lacks[tensor] = count == 0 ? "no token of the imatrix reached it" : !any ? "all its sums are 0" : NULL;
    if (out->lacks[tensor])
        return true;
    float *mean = out->mean[tensor] = malloc(cols * sizeof *mean);
    for (size_t c = 0; mean && c < cols; c++)
        mean[c] = (float)((double)sums[c] / count);
    out->known += mean != NULL;
    return mean;
}

static bool take_tensor(struct importance *out, const struct search *s, const struct model *m, int tensor,
                        struct error *error)
{
    const struct tensor *t = &m->tensors[tensor];
    const struct imatrix_entry *e = entry_of(s, m, tensor);
    out->lacks[tensor] = "the imatrix has no entry of it";
    if (!e || roles[t->role].vector)
        return true;
    if (!check_size(e, m, tensor, out->file, error))
        return false;
    return take_row(out, e, t->stored.cols, t->expert >= 0 ? (size_t)t->expert : 0, tensor) || no_memory(error);
}

static bool judge_unused(struct importance *out, const struct search *s, struct error *error)
{
    const struct imatrix *m = s->matrix;
    for (size_t i = 0; i < m->count; i++)
        if (!s->used[i] && out->unused++ == 0)
            snprintf(out->first_unused, sizeof out->first_unused, "%.79s", m->entries[i].name);
    return out->unused < m->count ||
           error_set(error,
                     "%.200s: none of its %zu entries names a tensor of this model (the first is %.80s): it is "
                     "another model's imatrix",
                     out->file, m->count, m->entries[0].name);
}

static bool take_all(struct importance *out, const struct search *s, const struct model *m, struct error *error)
{
    bool ok = true;
    for (int t = 0; ok && t < (int)m->tensor_count; t++) {
        out->linear += roles[m->tensors[t].role].linear && m->tensors[t].block >= 0;
        ok = take_tensor(out, s, m, t, error);
    }
    return ok && judge_unused(out, s, error);
}

struct importance *importance_open(const struct imatrix *matrix, const struct model *m, const char *file,
                                   struct error *error)
{
    struct importance *out = calloc(1, sizeof *out);
    struct search search = {matrix, calloc(matrix->count + 1, sizeof *search.used)};
    if (out) {
        *out = (struct importance){
            .tensor_count = m->tensor_count, .entries = matrix->count, .chunks = matrix->chunk_count};
        out->mean = calloc(m->tensor_count, sizeof *out->mean);
        out->lacks = calloc(m->tensor_count, sizeof *out->lacks);
        out->file = strdup(file);
        out->dataset = strdup(matrix->dataset ? matrix->dataset : "");
    }
    bool there = out && search.used && out->mean && out->lacks && out->file && out->dataset;
    bool ok = there ? take_all(out, &search, m, error) : no_memory(error);
    free(search.used);
    if (ok)
        return out;
    importance_close(out);
    return NULL;
}

void importance_close(struct importance *i)
{
    if (!i)
        return;
    for (size_t t = 0; i->mean && t < i->tensor_count; t++)
        free(i->mean[t]);
    free(i->mean);
    free(i->lacks);
    free(i->file);
    free(i->dataset);
    free(i);
}

const float *importance_of(const struct importance *i, int tensor)
{
    return i->mean[tensor];
}

const char *importance_lack(const struct importance *i, int tensor)
{
    return i->lacks[tensor];
}
