#include "safetensors_types.h"

#include <stdio.h>

/* Of a type the size of an element is its number. */
static const struct export_type f32 = {"F32", 4, encode_fp32}, f16 = {"F16", 2, encode_fp16},
                                bf16 = {"BF16", 2, encode_bf16};

bool safetensors_is_plain(const struct export_item *item)
{
    return item->type == &f32 || item->type == &f16 || item->type == &bf16;
}

bool safetensors_narrow_group(struct scheme *s, size_t cols)
{
    while (s->format.group >= 2 * GROUP_MIN && cols % s->format.group != 0)
        s->format.group /= 2;
    return cols % s->format.group == 0;
}

/* ---- names ----------------------------------------------------------------------------------- */

/* NAME.weight to NAME.suffix. */
static void rename_item(struct export_item *item, const char *suffix)
{
    size_t n = strlen(item->name);
    if (n > 7 && strcmp(item->name + n - 7, ".weight") == 0)
        n -= 7;
    snprintf(item->name + n, sizeof item->name - n, ".%s", suffix);
}

void safetensors_module(const struct export_item *item, char out[NAMING_MAX])
{
    memcpy(out, item->name, NAMING_MAX);
    char *dot = strrchr(out, '.');
    if (dot)
        *dot = 0;
}

struct export_item *safetensors_add_part(struct export *job, const struct naming *naming, int tensor,
                                         const struct export_type *type, const char *suffix, size_t rows,
                                         size_t cols, size_t row_bytes, struct error *error)
{
    struct export_item *item = export_add(job, naming, tensor, type, row_bytes, error);
    if (!item)
        return NULL;
    rename_item(item, suffix);
    item->rows = rows;
    item->dimensions = cols ? 2 : 1;
    item->shape[0] = rows;
    item->shape[1] = cols;
    return item;
}

struct export_item *safetensors_add_vector(struct export *job, const struct naming *naming, int tensor,
                                           const struct export_type *type, const char *suffix, size_t n,
                                           struct error *error)
{
    struct export_item *item = safetensors_add_part(job, naming, tensor, type, suffix, 1, 0, n * type->number, error);
    if (item)
        item->shape[0] = n;
    return item;
}

/* ---- a tensor -------------------------------------------------------------------------------- */

static bool refuse_blocks(const struct export *job, int t, struct error *error)
{
    const struct qformat *s = &job->plan.weights->layer[t]->matrix.format;
    const struct dtype_info *type = &dtypes[s->weight];
    struct scheme nearest = scheme_default(type->bits > 5 ? DTYPE_INT8 : DTYPE_INT4);
    nearest.format.granularity = GRANULARITY_GROUP;
    nearest.format.group = type->scale_columns > 32 ? (uint32_t)type->scale_columns : 32;
    nearest.format.asym = nearest.format.weight == DTYPE_INT4;
    if (!roles[job->plan.model->tensors[t].role].in_block)
        nearest = scheme_default(DTYPE_FP16);
    return export_refuse(job, t, "safetensors", &nearest, s->stored ? "as the model's file stores it" : NULL, error);
}

static bool add_plain(struct export *job, const struct naming *naming, int t, struct error *error)
{
    const struct tensor *tensor = &job->plan.model->tensors[t];
    const struct qmatrix *m = &job->plan.weights->layer[t]->matrix;
    const struct role_info *role = &roles[tensor->role];
    bool norm = role->norm;
    const struct export_type *type = m->format.weight == DTYPE_FP16   ? &f16
                                     : m->format.weight == DTYPE_BF16 ? &bf16
                                                                      : &f32;
    if (job->folding.divisor[t] || (norm && job->arch->norms_from_one))
        type = &f32;
    struct export_item *item = export_add(job, naming, t, type, m->cols * type->number, error);
    if (!item)
        return false;
    item->from_one = norm && job->arch->norms_from_one;
    item->transposed = job->arch->transposed && role->linear && role->in_block;
    if (item->transposed) {
        item->rows = item->shape[0] = m->cols;
        item->shape[1] = m->rows;
        item->row_bytes = m->rows * type->number;
    }
    return true;
}

bool safetensors_add(struct export *job, const struct naming *naming, int t, struct error *error)
{
    const struct qmatrix *m = &job->plan.weights->layer[t]->matrix;
    const struct role_info *role = &roles[job->plan.model->tensors[t].role];
    const struct arch *a = job->arch;
    if (!(*a->hf_names)[job->plan.model->tensors[t].role])
        return error_set(error, "%s: files of %s have no name for it; expected the format gguf",
                         job->plan.model->tensors[t].name, a->name);
    if (a->hf_arranged && (*a->hf_arranged)[job->plan.model->tensors[t].role])
        return error_set(error, "%s: files of %s hold it in another order, which is not written; expected the format gguf",
                         job->plan.model->tensors[t].name, a->name);
    if (role->norm && strchr((*a->hf_names)[job->plan.model->tensors[t].role], '%'))
        return error_set(error, "%s: files of %s hold it in a tensor a head, which is not written; expected the format gguf",
                         job->plan.model->tensors[t].name, a->name);
    if (role->vector || (dtypes[m->format.weight].kind == DTYPE_KIND_FLOAT))
        return add_plain(job, naming, t, error);
    if (dtypes[m->format.weight].kind == DTYPE_KIND_BLOCK)
        return refuse_blocks(job, t, error);
    return job->layout->add(job, naming, t, error);
}
