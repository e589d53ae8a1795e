/* Quantized layers as GPTQ's engines have them: see safetensors_types.h. */
#include "safetensors_types.h"

/* ---- encoders -------------------------------------------------------------------------------- */

/* Row k: of every row of the matrix the codes of columns k n .. k n + n - 1, which are of one group. */
static bool encode_codes(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                         struct error *error)
{
    const struct qmatrix *m = export_matrix(job, item);
    size_t n = codes_of_word(m);
    (void)error;
    for (size_t r = 0; r < m->rows; r++) {
        int8_t codes[8];
        uint32_t word = 0;
        qmatrix_unpack(m, export_source(job, item, r), row * n, n, codes);
        for (size_t i = 0; i < n; i++)
            word |= unsigned_code(m, codes[i]) << i * (32 / n);
        memcpy(out + 4 * r, &word, 4);
    }
    return true;
}

/* Row g: the zero points of all rows' groups g. Symmetric ones are stored less one, as the format `gptq` has it. */
static bool encode_zeros(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                         struct error *error)
{
    const struct qmatrix *m = export_matrix(job, item);
    size_t n = codes_of_word(m);
    (void)error;
    for (size_t r = 0; r < m->rows; r += n) {
        uint32_t word = 0;
        for (size_t i = 0; i < n; i++) {
            int zero = qmatrix_zero(m, export_source(job, item, r + i), row);
            word |= (unsigned_code(m, zero) - !m->format.asym) << i * (32 / n);
        }
        memcpy(out + 4 * (r / n), &word, 4);
    }
    return true;
}

static bool encode_scales(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                          struct error *error)
{
    size_t rows = export_matrix(job, item)->rows;
    (void)error;
    for (size_t r = 0; r < rows; r++)
        export_put_fp16(job, item, export_scale(job, item, export_source(job, item, r), row), out + 2 * r);
    return true;
}

static bool encode_groups(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                          struct error *error)
{
    const struct qmatrix *m = export_matrix(job, item);
    (void)row, (void)error;
    for (size_t c = 0; c < m->cols; c++)
        memcpy(out + 4 * c, &(int32_t){(int32_t)(c / m->group)}, 4);
    return true;
}

static const struct export_type codes = {"I32", 4, encode_codes}, zeros = {"I32", 4, encode_zeros},
                                scales = {"F16", 2, encode_scales}, groups = {"I32", 4, encode_groups};

/* ---- what it holds --------------------------------------------------------------------------- */

/* The nearest scheme that the layout has: integers in groups that divide the columns. */
static struct scheme nearest_of(const struct qmatrix *m)
{
    bool integer = dtypes[m->format.weight].kind == DTYPE_KIND_INTEGER;
    struct scheme s = scheme_default(integer ? m->format.weight : DTYPE_INT8);
    s.format.granularity = GRANULARITY_GROUP;
    s.format.asym = integer && m->format.asym;
    s.format.group = m->format.granularity == GRANULARITY_GROUP ? m->format.group : 128;
    return safetensors_narrow_group(&s, m->cols) ? s : scheme_default(DTYPE_FP16);
}

/* Why it does not hold a matrix; null where it does. */
static const char *obstacle(const struct qmatrix *m)
{
    const struct qformat *s = &m->format;
    if (dtypes[s->weight].kind != DTYPE_KIND_INTEGER)
        return "its codes are not integers";
    if (dtypes[s->act].bits == 8)
        return "8-bit activations are not supported";
    if (m->input_transform && m->input_transform->outliers)
        return "columns in fp16 among integers";
    if (s->granularity != GRANULARITY_GROUP)
        return "its scales are fp32";
    if (m->cols % s->group != 0)
        return "its groups do not divide the columns";
    if (s->group % codes_of_word(m) != 0 || m->rows % codes_of_word(m) != 0)
        return "its codes do not fill words of 32 bits";
    return NULL;
}

/* All layers have the bits, group and symmetry of the first. */
static bool agrees(struct export *job, int t, const struct qformat *s, struct error *error)
{
    json_t *q = job->quantized;
    json_int_t bits = (json_int_t)dtypes[s->weight].bits, group = (json_int_t)s->group;
    if (!json_object_get(q, "bits")) {
        json_object_set_new(q, "bits", json_integer(bits));
        json_object_set_new(q, "group_size", json_integer(group));
        json_object_set_new(q, "sym", json_boolean(!s->asym));
        json_object_set_new(q, "checkpoint_format", json_string(s->asym ? "gptq_v2" : "gptq"));
        return true;
    }
    bool same = json_integer_value(json_object_get(q, "bits")) == bits &&
                json_integer_value(json_object_get(q, "group_size")) == group &&
                json_is_true(json_object_get(q, "sym")) == !s->asym;
    return same || error_set(error, "%s: gptq holds layers of one bit width, group size and symmetry; expected those "
                                    "of the layers before", job->plan.model->tensors[t].name);
}

/* ---- the layout ------------------------------------------------------------------------------ */

static bool begin(struct export *job)
{
    job->quantized = json_pack("{s:s, s:b, s:b}", "quant_method", "gptq", "desc_act", 0, "lm_head", 0);
    return job->quantized;
}

static bool add_layer(struct export *job, const struct naming *naming, int t, struct error *error)
{
    const struct qmatrix *m = &job->plan.weights->layer[t]->matrix;
    const struct role_info *role = &roles[job->plan.model->tensors[t].role];
    struct scheme nearest = scheme_default(DTYPE_FP16);
    if (!role->linear || !role->in_block)
        return export_refuse(job, t, "gptq", &nearest, "outside of blocks", error);
    if (job->arch->transposed)
        return export_refuse(job, t, "gptq", &nearest, "the model has Conv1D layers", error);
    const char *why = obstacle(m);
    nearest = nearest_of(m);
    if (why)
        return export_refuse(job, t, "gptq", &nearest, why, error);
    size_t n = codes_of_word(m);
    return agrees(job, t, &m->format, error) &&
           safetensors_add_part(job, naming, t, &codes, "qweight", m->cols / n, m->rows, 4 * m->rows, error) &&
           safetensors_add_part(job, naming, t, &scales, "scales", m->groups, m->rows, 2 * m->rows, error) &&
           safetensors_add_part(job, naming, t, &zeros, "qzeros", m->groups, m->rows / n, 4 * (m->rows / n),
                                error) &&
           safetensors_add_vector(job, naming, t, &groups, "g_idx", m->cols, error);
}

/* Its engines take every linear layer inside blocks for a quantized one. */
static bool end(struct export *job, struct error *error)
{
    const struct model *m = job->plan.model;
    if (!json_object_get(job->quantized, "bits"))
        return error_set(error, "gptq holds models whose linear layers inside blocks are quantized, and none is; "
                                "expected a scheme such as int4:g128");
    for (size_t i = 0; i < job->count; i++) {
        const struct export_item *item = &job->items[i];
        const struct role_info *role = &roles[m->tensors[item->tensor].role];
        if (safetensors_is_plain(item) && role->linear && role->in_block)
            return error_set(error, "%s: gptq holds models whose linear layers inside blocks are all quantized; "
                                    "expected the scheme of the others", m->tensors[item->tensor].name);
    }
    return true;
}

const struct quantized_layout gptq_layout = {begin, add_layer, end};
