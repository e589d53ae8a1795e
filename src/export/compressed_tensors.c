/* Quantized layers as compressed-tensors has them: see safetensors_types.h. */
#include "safetensors_types.h"

#include <stdio.h>

/* ---- encoders -------------------------------------------------------------------------------- */

static unsigned bits_of(const struct qmatrix *m)
{
    return dtypes[m->format.weight].bits;
}

static bool encode_packed(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                          struct error *error)
{
    const struct qmatrix *m = export_matrix(job, item);
    size_t r = export_source(job, item, row), per_word = codes_of_word(m);
    (void)error;
    memset(out, 0, item->row_bytes);
    for (size_t c = 0; c < m->cols;) {
        int8_t codes[256];
        size_t group_end = (c / m->group + 1) * m->group, end = group_end < m->cols ? group_end : m->cols;
        size_t n = end - c < sizeof codes ? end - c : sizeof codes;
        qmatrix_unpack(m, r, c, n, codes);
        for (size_t i = 0; i < n; i++) {
            size_t bit = (c + i) % per_word * bits_of(m);
            out[(c + i) / per_word * 4 + bit / 8] |= (uint8_t)(unsigned_code(m, codes[i]) << bit % 8);
        }
        c += n;
    }
    return true;
}

static bool encode_packed_zeros(const struct export *job, const struct export_item *item, size_t row,
                                uint8_t *out, struct error *error)
{
    const struct qmatrix *m = export_matrix(job, item);
    size_t per_word = codes_of_word(m);
    (void)error;
    for (size_t g = 0; g < m->groups; g++) {
        uint32_t word = 0;
        for (size_t i = 0; i < per_word && row * per_word + i < m->rows; i++) {
            size_t r = export_source(job, item, row * per_word + i);
            word |= unsigned_code(m, qmatrix_zero(m, r, g)) << i * bits_of(m);
        }
        memcpy(out + 4 * g, &word, 4);
    }
    return true;
}

static bool encode_scales16(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                            struct error *error)
{
    size_t r = export_source(job, item, row);
    (void)error;
    for (size_t g = 0; g < item->row_bytes / 2; g++)
        export_put_fp16(job, item, export_scale(job, item, r, g), out + 2 * g);
    return true;
}

static bool encode_scales32(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                            struct error *error)
{
    size_t r = export_source(job, item, row);
    (void)error;
    export_put_fp32(job, item, export_scale(job, item, r, 0), out);
    return true;
}

static bool encode_shape(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                         struct error *error)
{
    const struct qmatrix *m = export_matrix(job, item);
    (void)row, (void)error;
    memcpy(out, (int64_t[2]){(int64_t)m->rows, (int64_t)m->cols}, 16);
    return true;
}

/* int8 and fp8: a byte a weight. */
static bool encode_codes(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                         struct error *error)
{
    const struct qmatrix *m = export_matrix(job, item);
    size_t r = export_source(job, item, row);
    (void)error;
    for (size_t c = 0; c < m->cols; c++)
        out[c] = (uint8_t)qmatrix_code(m, r, c);
    return true;
}

static bool encode_input_scale(const struct export *job, const struct export_item *item, size_t row,
                               uint8_t *out, struct error *error)
{
    (void)row, (void)error;
    memcpy(out, &export_matrix(job, item)->input_transform->act_scale, 4);
    return true;
}

static const struct export_type packed = {"I32", 4, encode_packed}, packed_zeros = {"I32", 4, encode_packed_zeros},
                                shape = {"I64", 8, encode_shape}, int8 = {"I8", 1, encode_codes},
                                fp8 = {"F8_E4M3", 1, encode_codes}, scales16 = {"F16", 2, encode_scales16},
                                scales32 = {"F32", 4, encode_scales32},
                                input_scale = {"F32", 4, encode_input_scale};

/* ---- layouts --------------------------------------------------------------------------------- */

enum layout { LAYOUT_PACKED, LAYOUT_INT, LAYOUT_FLOAT, LAYOUTS };
static const char *const layout_names[LAYOUTS] = {"pack-quantized", "int-quantized", "float-quantized"};

static bool eight_bit_activations(const struct scheme *s)
{
    return dtypes[s->format.act].bits == 8;
}

/* The layout of a quantized layer, or LAYOUTS and the nearest scheme that has one. */
static enum layout layout_of(const struct qmatrix *m, const struct scheme *s, struct scheme *nearest,
                             const char **why)
{
    bool grouped = s->format.granularity == GRANULARITY_GROUP;
    *nearest = *s;
    *why = NULL;
    if (s->format.weight == DTYPE_FP8E5M2) {
        nearest->format.weight = DTYPE_FP8E4M3;
        nearest->format.act = s->format.act == DTYPE_FP8E5M2 ? DTYPE_FP8E4M3 : s->format.act;
    } else if (s->format.weight == DTYPE_FP8E4M3 && grouped) {
        nearest->format.granularity = GRANULARITY_CHANNEL;
        nearest->format.group = 0;
    } else if (s->format.weight == DTYPE_FP8E4M3) {
        return LAYOUT_FLOAT;
    } else if (eight_bit_activations(s) && (s->format.weight == DTYPE_INT4 || grouped || s->format.asym)) {
        *nearest = scheme_default(s->format.weight);
        nearest->format.act = s->format.weight == DTYPE_INT8 ? DTYPE_INT8 : DTYPE_FP32;
        *why = "8-bit activations are not supported";
    } else if (s->format.act_asym && s->act_range != ACT_DYNAMIC) {
        nearest->format.act_asym = false;
    } else if (eight_bit_activations(s)) {
        return LAYOUT_INT;
    } else if (s->format.granularity == GRANULARITY_TENSOR) {
        nearest->format.granularity = GRANULARITY_CHANNEL;
    } else if (grouped && m->cols % s->format.group != 0) {
        if (!safetensors_narrow_group(nearest, m->cols)) {
            nearest->format.granularity = GRANULARITY_CHANNEL;
            nearest->format.group = 0;
        }
        *why = "its groups do not divide the columns";
    } else {
        return LAYOUT_PACKED;
    }
    return LAYOUTS;
}

/* ---- quantized layers ------------------------------------------------------------------------ */

static bool add_packed(struct export *job, const struct naming *naming, int t, const struct qmatrix *m,
                       struct error *error)
{
    size_t per_word = codes_of_word(m), words = (m->cols + per_word - 1) / per_word;
    size_t zero_rows = (m->rows + per_word - 1) / per_word;
    const struct export_type *scales = m->scale_type == SCALE_FP16 ? &scales16 : &scales32;
    return safetensors_add_part(job, naming, t, &packed, "weight_packed", m->rows, words, 4 * words, error) &&
           safetensors_add_part(job, naming, t, scales, "weight_scale", m->rows, m->groups,
                                m->groups * scales->number, error) &&
           (!m->format.asym || safetensors_add_part(job, naming, t, &packed_zeros, "weight_zero_point", zero_rows,
                                                    m->groups, 4 * m->groups, error)) &&
           safetensors_add_vector(job, naming, t, &shape, "weight_shape", 2, error);
}

static bool add_bytes(struct export *job, const struct naming *naming, int t, const struct qmatrix *m,
                      const struct export_type *type, struct error *error)
{
    bool tensor = m->format.granularity == GRANULARITY_TENSOR;
    struct scheme scheme = qtensor_scheme(job->plan.weights->layer[t]);
    bool fixed = scheme.act_range != ACT_DYNAMIC;
    return safetensors_add_part(job, naming, t, type, "weight", m->rows, m->cols, m->cols, error) &&
           safetensors_add_part(job, naming, t, &scales32, "weight_scale", tensor ? 1 : m->rows, tensor ? 0 : 1, 4,
                                error) &&
           (!fixed || safetensors_add_vector(job, naming, t, &input_scale, "input_scale", 1, error));
}

/* What compressed-tensors calls a set of arguments. */
static json_t *arguments(enum dtype dtype, bool symmetric, const char *strategy, size_t group, bool dynamic)
{
    bool integer = dtypes[dtype].kind == DTYPE_KIND_INTEGER;
    json_t *j = json_pack("{s:i, s:s, s:b, s:s, s:n, s:b, s:n, s:n}", "num_bits", (int)dtypes[dtype].bits, "type",
                          integer ? "int" : "float", "symmetric", symmetric, "strategy", strategy, "group_size",
                          "dynamic", dynamic, "actorder", "block_structure");
    if (j && group)
        json_object_set_new(j, "group_size", json_integer((json_int_t)group));
    return j;
}

static json_t *scheme_arguments(const struct scheme *s)
{
    static const char *const strategies[] = {[GRANULARITY_TENSOR] = "tensor", [GRANULARITY_CHANNEL] = "channel",
                                             [GRANULARITY_GROUP] = "group"};
    bool dynamic = s->act_range == ACT_DYNAMIC;
    json_t *weights = arguments(s->format.weight, !s->format.asym, strategies[s->format.granularity],
                                s->format.group, false);
    json_t *inputs = eight_bit_activations(s)
                         ? arguments(s->format.act, !s->format.act_asym, dynamic ? "token" : "tensor", 0, dynamic)
                         : json_null();
    return json_pack("{s:o, s:o, s:n, s:[]}", "weights", weights, "input_activations", inputs,
                     "output_activations", "targets");
}

/* The group with these arguments, made where there is none. */
static json_t *group_of(json_t *groups, const struct scheme *s)
{
    json_t *mine = scheme_arguments(s), *group;
    const char *name;
    char next[32];
    json_object_foreach(groups, name, group)
        if (json_equal(json_object_get(group, "weights"), json_object_get(mine, "weights")) &&
            json_equal(json_object_get(group, "input_activations"),
                       json_object_get(mine, "input_activations"))) {
            json_decref(mine);
            return group;
        }
    snprintf(next, sizeof next, "group_%zu", json_object_size(groups));
    return json_object_set_new(groups, next, mine) == 0 ? mine : NULL;
}

static bool remember(struct export *job, int tensor, enum layout layout, const struct scheme *s,
                     struct error *error)
{
    json_t *q = job->quantized;
    const char *format = json_string_value(json_object_get(q, "format"));
    char module[NAMING_MAX];
    if (format && strcmp(format, layout_names[layout]) != 0)
        return error_set(error, "%s: its layout would be %s, that of others is %s; expected one for all: "
                                "activations in 8 bits in all quantized layers or in none",
                         job->plan.model->tensors[tensor].name, layout_names[layout], format);
    json_t *group = group_of(json_object_get(q, "config_groups"), s);
    safetensors_module(&job->items[job->count - 1], module);
    bool ok = group && json_object_set_new(q, "format", json_string(layout_names[layout])) == 0 &&
              json_array_append_new(json_object_get(group, "targets"), json_string(module)) == 0;
    return ok || error_set(error, "not enough memory");
}

static bool add_layer(struct export *job, const struct naming *naming, int t, struct error *error)
{
    const struct qmatrix *m = &job->plan.weights->layer[t]->matrix;
    const struct role_info *role = &roles[job->plan.model->tensors[t].role];
    struct scheme scheme = qtensor_scheme(job->plan.weights->layer[t]), nearest = scheme_default(DTYPE_FP16);
    const char *why;
    if (!role->linear || job->arch->transposed)
        return export_refuse(job, t, "compressed-tensors", &nearest,
                             role->linear ? "the model has Conv1D layers" : "it is a lookup table", error);
    if (m->input_transform && m->input_transform->outliers) {
        nearest = scheme_default(DTYPE_INT8);
        nearest.format.act = DTYPE_INT8;
        return export_refuse(job, t, "compressed-tensors", &nearest, "columns in fp16 among integers", error);
    }
    enum layout layout = layout_of(m, &scheme, &nearest, &why);
    if (layout == LAYOUTS)
        return export_refuse(job, t, "compressed-tensors", &nearest, why, error);
    bool ok = layout == LAYOUT_PACKED ? add_packed(job, naming, t, m, error)
                                      : add_bytes(job, naming, t, m, layout == LAYOUT_INT ? &int8 : &fp8, error);
    return ok && remember(job, t, layout, &scheme, error);
}

/* ---- the configuration ----------------------------------------------------------------------- */

static bool begin(struct export *job)
{
    job->quantized = json_pack("{s:s, s:s, s:{}, s:[], s:n}", "quant_method", "compressed-tensors",
                               "quantization_status", "compressed", "config_groups", "ignore", "kv_cache_scheme");
    return job->quantized;
}

/* Layers that are not quantized are named as what is left alone. */
static bool end(struct export *job, struct error *error)
{
    const struct model *m = job->plan.model;
    json_t *ignore = json_object_get(job->quantized, "ignore");
    if (json_object_size(json_object_get(job->quantized, "config_groups")) == 0) {
        json_decref(job->quantized);
        job->quantized = NULL;
        return true;
    }
    bool ok = true;
    for (size_t i = 0; ok && i < job->count; i++) {
        struct export_item *item = &job->items[i];
        if (!safetensors_is_plain(item) || !roles[m->tensors[item->tensor].role].linear)
            continue;
        char module[NAMING_MAX];
        safetensors_module(item, module);
        ok = json_array_append_new(ignore, json_string(module)) == 0;
    }
    return ok || error_set(error, "not enough memory");
}

const struct quantized_layout compressed_tensors_layout = {begin, add_layer, end};
