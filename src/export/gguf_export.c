/* GGUF, version 3. */
#include "gguf_put.h"
#include "gguf_types.h"

#include <fnmatch.h>
#include <stdlib.h>

enum { GGUF_VERSION = 3, GGUF_ALIGNMENT = 32 };

/* ---- tensors --------------------------------------------------------------------------------- */

/* Experts lie in one tensor, so that all have the type of the first. */
static bool same_type(const struct export *job, int t, const struct export_item *item, struct error *error)
{
    if (item == job->items || item[-1].type->number == item->type->number) /* alone: a search asks for its bytes */
        return true;
    int first = t - job->plan.model->tensors[t].expert;
    struct scheme nearest = qtensor_scheme(job->plan.weights->layer[first]);
    return export_refuse(job, t, "GGUF", &nearest, "the experts of a block lie in one tensor", error);
}

static bool add_tensor(struct export *job, int t, struct error *error)
{
    const struct naming naming = {.gguf = true, .prefix = ""};
    struct gguf_storage storage;
    struct export_item *item = gguf_storage_of(job, t, &storage, error)
                                   ? export_add(job, &naming, t, storage.type, storage.row_bytes, error)
                                   : NULL;
    return item && (!item->joined || same_type(job, t, item, error));
}

/* One line for all tensors whose columns are not whole blocks. */
static void note_widened(struct export *job)
{
    const struct model *m = job->plan.model;
    size_t count = 0, cols = 0;
    const char *first = "";
    for (int t = 0; t < (int)m->tensor_count; t++) {
        struct gguf_storage storage;
        if (gguf_storage_of(job, t, &storage, NULL) && storage.widened && count++ == 0) {
            first = m->tensors[t].name;
            cols = m->tensors[t].stored.cols;
        }
    }
    if (count > 0)
        export_note_add(job, "%s%s: %zu columns are not a multiple of %d, so %s written as F32", first,
                        count > 1 ? " and others" : "", cols, GGUF_BLOCK, count > 1 ? "they are" : "it is");
}

static struct export_item *add_vector(struct export *job, const char *name, const struct export_type *type,
                                      const void *bytes, size_t count, size_t size, struct error *error)
{
    struct export_item *item = export_add(job, NULL, -1, type, size, error);
    if (!item)
        return NULL;
    snprintf(item->name, sizeof item->name, "%s", name);
    item->bytes = bytes;
    item->dimensions = 1;
    item->shape[0] = count;
    return item;
}

/* The factors of rotary frequencies: as the model's GGUF file has them; else what the model runs with, unless
 * they are all the same or YaRN's, which keys say. Those of LongRoPE are two. */
static bool add_factors(struct export *job, struct error *error)
{
    const struct model *m = job->plan.model;
    const struct export_type *fp32 = gguf_stored_type(DTYPE_FP32);
    size_t half = rotary_dims(&m->hyper) / 2, bytes = half * sizeof *m->rope_factors;
    bool own = gguf_is_source(job);
    for (size_t i = 0; own && i < m->files.count; i++) {
        const struct entry *e = &m->files.entries[i];
        if (fnmatch("rope_f*s*.weight", e->name, 0) == 0 && e->dtype == DTYPE_FP32 && e->bytes > 0 &&
            !add_vector(job, e->name, fp32, e->data, e->bytes / sizeof(float), e->bytes, error))
            return false;
    }
    if (own || !m->rope_factors || gguf_linear_factor(job) != 1 || gguf_writes_yarn(job))
        return true;
    if (!m->rope_beyond)
        return add_vector(job, "rope_freqs.weight", fp32, m->rope_factors, half, bytes, error);
    return add_vector(job, "rope_factors_long.weight", fp32, m->rope_beyond, half, bytes, error) &&
           add_vector(job, "rope_factors_short.weight", fp32, m->rope_factors, half, bytes, error);
}

/* The scale beside a matrix whose blocks are copied, if it has one: of experts all, one after another. */
static bool add_output_scale(struct export *job, int t, struct error *error)
{
    const struct tensor *tensor = &job->plan.model->tensors[t];
    size_t count = tensor->expert < 0 ? 1 : job->plan.model->layers[tensor->block].mixture.experts;
    bool any = false;
    for (size_t e = 0; e < count && tensor->expert <= 0; e++) {
        float scale = job->plan.weights->layer[(size_t)t + e]->matrix.output_scale;
        job->scales[(size_t)t + e] = scale > 0 ? scale : 1;
        any |= scale > 0;
    }
    char name[NAMING_MAX];
    const struct naming naming = {.gguf = true, .prefix = ""};
    if (!any || !naming_name(arch_in_gguf(job->arch), &naming, tensor->role, tensor->block, tensor->expert, name))
        return true;
    snprintf(strrchr(name, '.'), sizeof ".scale", ".scale");
    return add_vector(job, name, gguf_stored_type(DTYPE_FP32), job->scales + t, count, count * sizeof *job->scales,
                      error);
}

static bool add_output_scales(struct export *job, struct error *error)
{
    size_t count = job->plan.model->tensor_count;
    job->scales = malloc(count * sizeof *job->scales);
    bool ok = job->scales || error_set(error, "not enough memory");
    for (size_t t = 0; ok && t < count; t++)
        ok = add_output_scale(job, (int)t, error);
    return ok;
}

/* The file type of those that hold the most weights; norms and biases are fp32 anywhere. */
static uint32_t file_type(const struct export *job)
{
    enum { MAX_FILE_TYPES = 64 };
    size_t weights[MAX_FILE_TYPES] = {0};
    uint32_t largest = 0;
    for (int t = 0; t < (int)job->plan.model->tensor_count; t++) {
        const struct qmatrix *m = &job->plan.weights->layer[t]->matrix;
        struct gguf_storage storage;
        if (roles[job->plan.model->tensors[t].role].vector || !gguf_storage_of(job, t, &storage, NULL))
            continue;
        weights[storage.file_type] += m->rows * m->cols;
        largest = weights[storage.file_type] > weights[largest] ? storage.file_type : largest;
    }
    return largest;
}

/* How activations run is the engine's business, whatever the scheme says. */
static void note_activations(struct export *job)
{
    for (size_t t = 0; t < job->plan.weights->count; t++) {
        struct scheme s = qtensor_scheme(job->plan.weights->layer[t]);
        char act[SCHEME_TEXT];
        bool blocks = dtypes[s.format.weight].kind == DTYPE_KIND_BLOCK; /* whose int8 is what engines do */
        if (s.format.stored || s.format.act == DTYPE_FP32 || blocks)
            continue;
        export_note_add(job, "%s and others have %s activations, which GGUF does not record: the engine "
                             "chooses its own", job->plan.model->tensors[t].name, scheme_print_act(&s, act));
        return;
    }
}

/* What GGUF has no key for; null: it can be written. */
static const char *unwritten(const struct export *job)
{
    const struct model *m = job->plan.model;
    const struct arch *a = arch_in_gguf(job->arch);
    if (gguf_is_source(job))
        return NULL;
    if (m->hyper.ternary)
        return "inputs of matrices are rounded";
    if (m->hyper.rope_growth > 0)
        return "rotary frequencies depend on the context (dynamic)";
    if (m->hyper.activation != a->activation)
        return "the activation is another than the architecture's";
    if (m->hyper.scale_by_layer)
        return "attention is scaled by the number of the layer (scale_attn_by_inverse_layer_idx)";
    const struct mixture *x = &m->hyper.mixture;
    if (x->experts && a->gguf_shares != GGUF_SHARES_READ && x->normalized != (a->gguf_shares == GGUF_SHARES_SUM))
        return "shares of experts add up to 1, or not, where the architecture's files mean the other (norm_topk_prob)";
    return a->gguf_unwritten ? a->gguf_unwritten(m) : NULL;
}

/* Tensors that GGUF files hold within others are read, and not written. */
static bool check_arranged(const struct export *job, struct error *error)
{
    const struct model *m = job->plan.model;
    const struct arch *a = arch_in_gguf(job->arch);
    for (size_t t = 0; a->gguf_arranged && t < m->tensor_count; t++)
        if ((*a->gguf_arranged)[m->tensors[t].role])
            return error_set(error, "%s: GGUF files of %s hold it together with another tensor, which is not written",
                             m->tensors[t].name, a->gguf);
    return true;
}

static bool begin(struct export *job, struct error *error)
{
    if (!arch_in_gguf(job->arch)->gguf)
        return error_set(error, "the architecture %s has no layout in GGUF files; expected the format safetensors",
                         job->arch->name);
    if (!check_arranged(job, error))
        return false;
    const char *what = unwritten(job);
    if (what)
        return error_set(error, "%s, for which GGUF has no key; expected the format safetensors", what);
    note_activations(job);
    return true;
}

static bool end(struct export *job, struct error *error)
{
    note_widened(job);
    return add_factors(job, error) && add_output_scales(job, error);
}

/* ---- the head -------------------------------------------------------------------------------- */

static void put_tensor(struct gguf_out *out, const struct export_item *item)
{
    gguf_put_text(out, item->name, strlen(item->name));
    gguf_put_u32(out, (uint32_t)item->dimensions);
    for (size_t i = item->dimensions; i > 0; i--)
        gguf_put_u64(out, item->shape[i - 1]);
    gguf_put_u32(out, item->type->number);
    gguf_put_u64(out, item->offset);
}

static size_t count_tensors(const struct export *job)
{
    size_t count = 0;
    for (size_t i = 0; i < job->count; i++)
        count += !job->items[i].joined;
    return count;
}

static bool head(struct export *job, FILE *file, struct error *error)
{
    static const char zeros[GGUF_ALIGNMENT] = {0};
    char *keys = NULL;
    size_t bytes = 0;
    struct gguf_out metadata = {open_memstream(&keys, &bytes), 0}, out = {file, 0};
    bool ok = metadata.file && gguf_put_metadata(job, &metadata, file_type(job), error);
    bool written = metadata.file && !ferror(metadata.file);
    written = metadata.file && fclose(metadata.file) == 0 && written;
    if (ok && written) {
        fwrite("GGUF", 1, 4, file);
        gguf_put_u32(&out, GGUF_VERSION);
        gguf_put_u64(&out, count_tensors(job));
        gguf_put_u64(&out, metadata.keys);
        fwrite(keys, 1, bytes, file);
        for (size_t i = 0; i < job->count; i++)
            if (!job->items[i].joined)
                put_tensor(&out, &job->items[i]);
        size_t over = (size_t)ftell(file) % GGUF_ALIGNMENT;
        fwrite(zeros, 1, over ? GGUF_ALIGNMENT - over : 0, file);
    }
    free(keys);
    return ok && (written || error_set(error, "not enough memory"));
}

const struct export_format gguf_export = {"gguf", ".gguf", GGUF_ALIGNMENT, true, begin, add_tensor, end, head, NULL};
