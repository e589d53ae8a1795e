#include "gguf_types.h"

#include "quant/fit.h"

/* ---- blocks of 32 ---------------------------------------------------------------------------- */

/* d, and 32 signed bytes: w = d q. */
static bool encode_q8_0(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                        struct error *error)
{
    const struct qmatrix *m = export_matrix(job, item);
    size_t r = export_source(job, item, row);
    (void)error;
    for (size_t g = 0; g < m->groups; g++, out += 2 + GGUF_BLOCK) {
        export_put_fp16(job, item, export_scale(job, item, r, g), out);
        qmatrix_unpack(m, r, g * GGUF_BLOCK, GGUF_BLOCK, (int8_t *)out + 2);
    }
    return true;
}

/* 16 bytes: columns 0 to 15 in their low halves, 16 to 31 in the high ones. */
static void put_nibbles(const struct qmatrix *m, size_t r, size_t g, uint8_t *out)
{
    int8_t codes[GGUF_BLOCK];
    qmatrix_unpack(m, r, g * GGUF_BLOCK, GGUF_BLOCK, codes);
    for (size_t i = 0; i < GGUF_BLOCK / 2; i++)
        out[i] = (uint8_t)(codes[i] | codes[i + GGUF_BLOCK / 2] << 4);
}

/* d, and 32 codes around 8: w = d (q - 8). */
static bool encode_q4_0(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                        struct error *error)
{
    const struct qmatrix *m = export_matrix(job, item);
    size_t r = export_source(job, item, row);
    (void)error;
    for (size_t g = 0; g < m->groups; g++, out += 2 + GGUF_BLOCK / 2) {
        export_put_fp16(job, item, export_scale(job, item, r, g), out);
        put_nibbles(m, r, g, out + 2);
    }
    return true;
}

/* d, the minimum m = -zero d, and 32 codes: w = d q + m. */
static bool encode_q4_1(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                        struct error *error)
{
    const struct qmatrix *m = export_matrix(job, item);
    size_t r = export_source(job, item, row);
    (void)error;
    for (size_t g = 0; g < m->groups; g++, out += 4 + GGUF_BLOCK / 2) {
        float scale = export_scale(job, item, r, g);
        export_put_fp16(job, item, scale, out);
        export_put_fp16(job, item, -scale * (float)qmatrix_zero(m, r, g), out + 2);
        put_nibbles(m, r, g, out + 4);
    }
    return true;
}

/* ---- the tables ------------------------------------------------------------------------------ */

/* Files of these types are copied. */
static const struct stored_type {
    struct export_type type;
    uint32_t file_type;
} stored_types[DTYPE_ALL] = {
    [DTYPE_FP32] = {{"F32", 0, encode_stored}, 0},   [DTYPE_FP16] = {{"F16", 1, encode_stored}, 1},
    [DTYPE_BF16] = {{"BF16", 30, encode_stored}, 32}, [DTYPE_Q4_0] = {{"Q4_0", 2, encode_stored}, 2},
    [DTYPE_Q4_1] = {{"Q4_1", 3, encode_stored}, 3},  [DTYPE_Q5_0] = {{"Q5_0", 6, encode_stored}, 8},
    [DTYPE_Q5_1] = {{"Q5_1", 7, encode_stored}, 9},  [DTYPE_Q8_0] = {{"Q8_0", 8, encode_stored}, 7},
    [DTYPE_Q2_K] = {{"Q2_K", 10, encode_stored}, 10}, [DTYPE_Q3_K] = {{"Q3_K", 11, encode_stored}, 12},
    [DTYPE_Q4_K] = {{"Q4_K", 12, encode_stored}, 15}, [DTYPE_Q5_K] = {{"Q5_K", 13, encode_stored}, 17},
    [DTYPE_Q6_K] = {{"Q6_K", 14, encode_stored}, 18}, [DTYPE_IQ4_NL] = {{"IQ4_NL", 20, encode_stored}, 25},
    [DTYPE_IQ4_XS] = {{"IQ4_XS", 23, encode_stored}, 30}, [DTYPE_MXFP4] = {{"MXFP4", 39, encode_stored}, 38},
    [DTYPE_TQ2_0] = {{"TQ2_0", 35, encode_stored}, 37}, [DTYPE_TQ1_0] = {{"TQ1_0", 34, encode_stored}, 36},
    [DTYPE_IQ3_S] = {{"IQ3_S", 21, encode_stored}, 26}, [DTYPE_IQ3_XXS] = {{"IQ3_XXS", 18, encode_stored}, 23},
    [DTYPE_IQ2_S] = {{"IQ2_S", 22, encode_stored}, 28}, [DTYPE_IQ2_XS] = {{"IQ2_XS", 17, encode_stored}, 20},
    [DTYPE_IQ2_XXS] = {{"IQ2_XXS", 16, encode_stored}, 19}, [DTYPE_IQ1_S] = {{"IQ1_S", 19, encode_stored}, 24},
    [DTYPE_IQ1_M] = {{"IQ1_M", 29, encode_stored}, 31}, [DTYPE_NVFP4] = {{"NVFP4", 40, encode_stored}, 39},
    [DTYPE_Q1_0] = {{"Q1_0", 41, encode_stored}, 40}, [DTYPE_Q2_0] = {{"Q2_0", 42, encode_stored}, 41},
};

/* Schemes, and what becomes of them. */
static const struct packed_type {
    enum dtype weight;
    bool blocks, asym;
    struct export_type type;
    uint32_t file_type;
    size_t block_bytes; /* of 32 columns */
} packed_types[] = {
    {DTYPE_FP32, false, false, {"F32", 0, encode_fp32}, 0, 4 * GGUF_BLOCK},
    {DTYPE_FP16, false, false, {"F16", 1, encode_fp16}, 1, 2 * GGUF_BLOCK},
    {DTYPE_BF16, false, false, {"BF16", 30, encode_bf16}, 32, 2 * GGUF_BLOCK},
    {DTYPE_INT8, true, false, {"Q8_0", 8, encode_q8_0}, 7, 2 + GGUF_BLOCK},
    {DTYPE_INT4, true, false, {"Q4_0", 2, encode_q4_0}, 2, 2 + GGUF_BLOCK / 2},
    {DTYPE_INT4, true, true, {"Q4_1", 3, encode_q4_1}, 3, 4 + GGUF_BLOCK / 2},
};
enum { PACKED = sizeof packed_types / sizeof *packed_types, AS_FP32 = 0 };

const struct export_type *gguf_stored_type(enum dtype dtype)
{
    return stored_types[dtype].type.name ? &stored_types[dtype].type : NULL;
}

/* ---- choosing -------------------------------------------------------------------------------- */

static bool in_blocks(const struct qmatrix *m)
{
    return m->format.granularity == GRANULARITY_GROUP && m->format.group == GGUF_BLOCK &&
           m->scale_type == SCALE_FP16;
}

static const struct packed_type *find(const struct qmatrix *m)
{
    const struct qformat *s = &m->format;
    for (size_t i = 0; i < PACKED; i++) {
        const struct packed_type *p = &packed_types[i];
        if (p->weight == s->weight && (!p->blocks || (p->asym == s->asym && in_blocks(m))))
            return p;
    }
    return NULL;
}

static struct gguf_storage held_as(const struct packed_type *p, const struct qmatrix *m, bool widened)
{
    size_t bytes = p->blocks ? m->cols / GGUF_BLOCK * p->block_bytes : m->cols * (p->block_bytes / GGUF_BLOCK);
    return (struct gguf_storage){&p->type, p->file_type, bytes, widened};
}

/* The integers of as many bits, in groups of 32, made the same way; of blocks that no file has others of 32. */
static struct scheme nearest(const struct scheme *s)
{
    struct scheme n = *s;
    n.format.stored = false;
    if (dtypes[s->format.weight].kind == DTYPE_KIND_BLOCK && !gguf_stored_type(s->format.weight)) {
        n.format.weight = block_fallback(s->format.weight, GGUF_BLOCK);
        return n;
    }
    n.format.weight = s->format.weight == DTYPE_INT4 ? DTYPE_INT4 : DTYPE_INT8;
    n.format.asym = s->format.asym && n.format.weight == DTYPE_INT4;
    n.format.granularity = GRANULARITY_GROUP;
    n.format.group = GGUF_BLOCK;
    if (methods_of_phase(&s->methods, PHASE_SPLIT) || s->format.stored)
        n.methods = (struct methods){0};
    if (s->format.stored || !scheme_check(&n, NULL)) {
        n.format.act = DTYPE_FP32;
        n.act_range = ACT_DYNAMIC;
        n.format.act_asym = false;
    }
    return n;
}

static bool refuse(const struct export *job, int tensor, const char *why, struct error *error)
{
    struct scheme own = qtensor_scheme(job->plan.weights->layer[tensor]), n = nearest(&own);
    return export_refuse(job, tensor, "GGUF", &n, why, error);
}

static bool store_as_is(const struct export *job, int tensor, struct gguf_storage *out, struct error *error)
{
    const struct qmatrix *m = &job->plan.weights->layer[tensor]->matrix;
    const struct stored_type *stored = &stored_types[m->format.weight];
    bool divided = job->folding.divisor[tensor];
    if (!stored->type.name)
        return refuse(job, tensor, m->format.stored ? "as the model's file stores it" : NULL, error);
    if (divided && dtypes[m->format.weight].kind == DTYPE_KIND_BLOCK)
        return refuse(job, tensor, "with the input scale of the layer behind it folded in", error);
    *out = divided ? held_as(find(m), m, false)
                   : (struct gguf_storage){&stored->type, stored->file_type, m->row_bytes, false};
    return true;
}

bool gguf_storage_of(const struct export *job, int tensor, struct gguf_storage *out, struct error *error)
{
    const struct qmatrix *m = &job->plan.weights->layer[tensor]->matrix;
    const struct packed_type *wide = &packed_types[AS_FP32], *p = find(m);
    if (roles[job->plan.model->tensors[tensor].role].vector) {
        *out = held_as(wide, m, false); /* llama.cpp reads norms and biases in fp32 only; all are exact in it */
        return true;
    }
    if (m->input_transform && m->input_transform->outliers)
        return refuse(job, tensor, "columns in fp16 among integers", error);
    if (dtypes[m->format.weight].kind == DTYPE_KIND_BLOCK || (m->format.stored && !(p && p->blocks)))
        return store_as_is(job, tensor, out, error);
    if (!p)
        return refuse(job, tensor, NULL, error);
    bool widened = p->blocks && m->cols % GGUF_BLOCK != 0;
    *out = held_as(widened ? wide : p, m, widened);
    return true;
}
