/* Exports to safetensors: plain tensors are read back as a model; quantized layers are decoded here by the
 * description of compressed-tensors' layout, bit for bit. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "exporting.h"
#include "modelfile.h"
#include "support.h"
#include "weightcheck.h"

#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#define BUILTIN SRCDIR "/data/stories.bin"

static char *folder, *target, *config; /* of one export: emptied after each */

static void make_folder(void)
{
    folder = folder_make();
    target = path_in(folder, "model.safetensors");
    config = path_in(folder, "config.json");
}

static void remove_folder(void)
{
    folder_remove(folder);
    free(target);
    free(config);
}

static int begin(void **state)
{
    (void)state;
    make_folder();
    return 0;
}

static int end(void **state)
{
    (void)state;
    remove_folder();
    return 0;
}

static void must_export_as(const struct subject *s, const char *format, const char *what)
{
    struct error error;
    remove_folder();
    make_folder();
    if (!subject_export(s, target, format, &error))
        fail_msg("%s: %s", what, error.text);
}

static void must_export(const struct subject *s, const char *what)
{
    must_export_as(s, NULL, what);
}

/* ---- plain ----------------------------------------------------------------------------------- */

static void round_trip(const char *model, const char *scheme, const char *except)
{
    char what[400];
    snprintf(what, sizeof what, "%s as %s", model, scheme ? scheme : "stored");
    struct subject s = subject_open(model, NULL, scheme);
    must_export(&s, what);
    struct subject back = subject_open(folder, NULL, NULL);
    check_weights(&s, &back, except, 1e-6, what);
    check_logits(&s, &back, 1e-4, what);
    assert_int_equal(s.session.model->bos, back.session.model->bos);
    subject_close(&back);
    subject_close(&s);
}

static void test_plain(void **state)
{
    (void)state;
    static const char *const names[] = {"llama", "llama3", "llama-linear", "mistral", "qwen2", "qwen3",
                                        "phi3", "phi3-long", "gemma", "gemma2", "gpt2"};
    static const char *const schemes[] = {NULL, "fp32", "fp16", "bf16"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = arch_folder(names[i]);
        for (size_t k = 0; k < 4; k++)
            round_trip(path, schemes[k], NULL);
        free(path);
    }
    for (size_t k = 0; k < 4; k++)
        round_trip(BUILTIN, schemes[k], NULL);
}

/* What GGUF says becomes a config.json; factors of unknown origin have no place there. */
static void test_from_gguf(void **state)
{
    (void)state;
    static const char *const names[] = {"llama", "llama-linear", "qwen2", "qwen3", "phi3", "gemma", "gemma2",
                                        "gpt2"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = arch_gguf(names[i]);
        round_trip(path, NULL, "*norm"); /* of Gemma, 1 is taken off and added */
        free(path);
    }
    struct error error;
    char *path = arch_gguf("llama3");
    struct subject s = subject_open(path, NULL, NULL);
    remove_folder();
    make_folder();
    assert_false(subject_export(&s, target, NULL, &error));
    check_line(&error, "rotary frequencies are scaled by factors");
    assert_int_not_equal(access(target, F_OK), 0);
    subject_close(&s);
    free(path);
}

/* ---- reading ---------------------------------------------------------------------------------- */

struct file {
    struct bytes bytes;
    json_t *header;
    const uint8_t *data;
};

static struct file open_file(void)
{
    struct file f = {.bytes = read_file(target)};
    uint64_t n;
    assert_non_null(f.bytes.data);
    memcpy(&n, f.bytes.data, 8);
    assert_int_equal(n % 8, 0);
    assert_true(n + 8 <= f.bytes.size);
    f.header = json_loadb((const char *)f.bytes.data + 8, n, 0, NULL);
    assert_non_null(f.header);
    f.data = f.bytes.data + 8 + n;
    return f;
}

static void close_file(struct file *f)
{
    json_decref(f->header);
    bytes_free(&f->bytes);
}

/* A tensor's bytes, of this type and shape ("2x3"). */
static const uint8_t *find(const struct file *f, const char *module, const char *suffix, const char *type,
                           size_t rows, size_t cols)
{
    char name[200];
    snprintf(name, sizeof name, "%s.%s", module, suffix);
    const json_t *t = json_object_get(f->header, name), *shape = json_object_get(t, "shape");
    if (!t)
        fail_msg("%s is not there", name);
    assert_string_equal(json_string_value(json_object_get(t, "dtype")), type);
    assert_int_equal(json_array_size(shape), cols ? 2 : 1);
    assert_int_equal(json_integer_value(json_array_get(shape, 0)), rows);
    if (cols)
        assert_int_equal(json_integer_value(json_array_get(shape, 1)), cols);
    size_t at = (size_t)json_integer_value(json_array_get(json_object_get(t, "data_offsets"), 0));
    size_t size = strcmp(type, "I64") == 0                             ? 8
                  : strcmp(type, "I32") == 0 || strcmp(type, "F32") == 0 ? 4
                  : strcmp(type, "F16") == 0                            ? 2
                                                                         : 1;
    assert_int_equal(((size_t)(f->data - f->bytes.data) + at) % size, 0);
    assert_true(f->data + at + size * rows * (cols ? cols : 1) <= f->bytes.data + f->bytes.size);
    return f->data + at;
}

static uint32_t word_at(const uint8_t *data, size_t i)
{
    uint32_t word;
    memcpy(&word, data + 4 * i, 4);
    return word;
}

static float number_at(const uint8_t *data, bool half, size_t i)
{
    uint16_t code;
    if (!half)
        return bits_float(word_at(data, i));
    memcpy(&code, data + 2 * i, 2);
    return fp16_decode(code);
}

/* ---- layouts --------------------------------------------------------------------------------- */

/* A layer with its module's name. */
struct exported_layer {
    const struct qmatrix *m;
    const char *module;
};

/* w = scale (code - zero): codes of `bits`, unsigned, packed along the columns; zeros down the rows. */
static float packed_value(const struct file *f, const struct exported_layer *l, size_t r, size_t c)
{
    const struct qmatrix *m = l->m;
    unsigned bits = dtypes[m->format.weight].bits, per = 32 / bits, mask = (1u << bits) - 1;
    size_t words = (m->cols + per - 1) / per, g = c / m->group;
    bool half = m->format.granularity == GRANULARITY_GROUP;
    const uint8_t *codes = find(f, l->module, "weight_packed", "I32", m->rows, words);
    const uint8_t *scales = find(f, l->module, "weight_scale", half ? "F16" : "F32", m->rows, m->groups);
    const uint8_t *shape = find(f, l->module, "weight_shape", "I64", 2, 0);
    assert_int_equal(word_at(shape, 0), m->rows);
    assert_int_equal(word_at(shape, 2), m->cols);
    int code = (int)(word_at(codes, r * words + c / per) >> (c % per * bits) & mask), zero = 1 << (bits - 1);
    if (m->format.asym) {
        const uint8_t *zeros = find(f, l->module, "weight_zero_point", "I32", (m->rows + per - 1) / per, m->groups);
        zero = (int)(word_at(zeros, r / per * m->groups + g) >> (r % per * bits) & mask);
    }
    return (float)(code - zero) * number_at(scales, half, r * m->groups + g);
}

static float byte_value(const struct file *f, const struct exported_layer *l, size_t r, size_t c)
{
    const struct qmatrix *m = l->m;
    bool integer = m->format.weight == DTYPE_INT8, tensor = m->format.granularity == GRANULARITY_TENSOR;
    const uint8_t *codes = find(f, l->module, "weight", integer ? "I8" : "F8_E4M3", m->rows, m->cols);
    const uint8_t *scales = find(f, l->module, "weight_scale", "F32", tensor ? 1 : m->rows, tensor ? 0 : 1);
    uint8_t code = codes[r * m->cols + c];
    return (integer ? (float)(int8_t)code : fp8e4m3_decode(code)) * number_at(scales, false, tensor ? 0 : r);
}

/* The same of GPTQ's layout: codes down the columns, zeros along the rows, stored less one where they are
 * symmetric. */
static float gptq_value(const struct file *f, const struct exported_layer *l, size_t r, size_t c)
{
    const struct qmatrix *m = l->m;
    unsigned bits = dtypes[m->format.weight].bits, per = 32 / bits, mask = (1u << bits) - 1;
    const uint8_t *codes = find(f, l->module, "qweight", "I32", m->cols / per, m->rows);
    const uint8_t *scales = find(f, l->module, "scales", "F16", m->groups, m->rows);
    const uint8_t *zeros = find(f, l->module, "qzeros", "I32", m->groups, m->rows / per);
    size_t g = word_at(find(f, l->module, "g_idx", "I32", m->cols, 0), c);
    assert_int_equal(g, c / m->format.group);
    unsigned code = word_at(codes, c / per * m->rows + r) >> (c % per * bits) & mask;
    unsigned zero = word_at(zeros, g * (m->rows / per) + r / per) >> (r % per * bits) & mask;
    return (float)((int)code - (int)(zero + !m->format.asym)) * number_at(scales, true, g * m->rows + r);
}

typedef float value_fn(const struct file *f, const struct exported_layer *l, size_t r, size_t c);

/* Where Hugging Face has row r of Q or K of a model whose pairs are neighbours. */
static size_t hf_row(const struct model *m, enum role role, size_t r)
{
    size_t size = m->hyper.head_size, at = r % size;
    bool turns = role == ROLE_ATTN_Q || role == ROLE_ATTN_K;
    return turns && m->hyper.rope == ROPE_NEIGHBOURS ? r - at + at % 2 * (size / 2) + at / 2 : r;
}

static void check_layer(const struct file *f, const struct subject *s, int t, value_fn *value)
{
    static const char *const modules[ROLE_COUNT] = {
        [ROLE_ATTN_Q] = "self_attn.q_proj", [ROLE_ATTN_K] = "self_attn.k_proj", [ROLE_ATTN_V] = "self_attn.v_proj",
        [ROLE_ATTN_OUT] = "self_attn.o_proj", [ROLE_FFN_GATE] = "mlp.gate_proj", [ROLE_FFN_UP] = "mlp.up_proj",
        [ROLE_FFN_DOWN] = "mlp.down_proj"};
    const struct tensor *tensor = &s->session.model->tensors[t];
    char module[100];
    snprintf(module, sizeof module, "model.layers.%d.%s", tensor->block, modules[tensor->role]);
    struct exported_layer l = {&s->set->layer[t]->matrix, module};
    uint64_t seed = (uint64_t)t;
    for (size_t i = 0; i < 300; i++) {
        size_t r = random_below(&seed, l.m->rows), c = random_below(&seed, l.m->cols);
        float live, file = value(f, &l, hf_row(s->session.model, tensor->role, r), c);
        qmatrix_decode_codes(l.m, r, c, 1, &live);
        if (live != file)
            fail_msg("%s[%zu][%zu] is %.9g, was %.9g", module, r, c, (double)file, (double)live);
    }
}

static json_t *read_config(void)
{
    json_t *j = json_load_file(config, 0, NULL);
    assert_non_null(j);
    return j;
}

static void check_config(const char *format, const struct scheme *s)
{
    json_t *j = read_config();
    const json_t *q = json_object_get(j, "quantization_config");
    const json_t *group = json_object_get(json_object_get(q, "config_groups"), "group_0");
    const json_t *weights = json_object_get(group, "weights"), *inputs = json_object_get(group, "input_activations");
    assert_string_equal(json_string_value(json_object_get(q, "quant_method")), "compressed-tensors");
    assert_string_equal(json_string_value(json_object_get(q, "format")), format);
    assert_int_equal(json_integer_value(json_object_get(weights, "num_bits")), dtypes[s->format.weight].bits);
    assert_int_equal(json_is_true(json_object_get(weights, "symmetric")), !s->format.asym);
    assert_int_equal(json_integer_value(json_object_get(weights, "group_size")), s->format.group);
    assert_int_equal(json_is_object(inputs), dtypes[s->format.act].bits == 8);
    if (json_is_object(inputs))
        assert_int_equal(json_is_true(json_object_get(inputs, "dynamic")), s->act_range == ACT_DYNAMIC);
    assert_true(json_array_size(json_object_get(group, "targets")) > 6);
    json_decref(j);
}

static void test_layouts(void **state)
{
    (void)state;
    static const struct {
        const char *scheme, *format;
        value_fn *value;
    } cases[] = {
        {"int4:g32", "pack-quantized", packed_value},      {"int4:g64:asym", "pack-quantized", packed_value},
        {"int4:channel", "pack-quantized", packed_value},  {"int4:channel:asym", "pack-quantized", packed_value},
        {"int8", "pack-quantized", packed_value},          {"int8:g32:asym", "pack-quantized", packed_value},
        {"w4a16:g32", "pack-quantized", packed_value},     {"w8a8", "int-quantized", byte_value},
        {"int8/int8:tensor", "int-quantized", byte_value}, {"int8/int8.asym", "int-quantized", byte_value},
        {"int8/int8.static", "int-quantized", byte_value}, {"fp8", "float-quantized", byte_value},
        {"fp8/fp8:tensor", "float-quantized", byte_value}, {"fp8/fp8.static", "float-quantized", byte_value},
    };
    char *llama = arch_folder("llama");
    const char *const models[] = {BUILTIN, llama};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < 2; k++) {
            bool divides = k == 0 || !strstr(cases[i].scheme, ":g"); /* llama's 44 columns */
            if (!divides)
                continue;
            struct subject s = subject_open(models[k], NULL, cases[i].scheme);
            must_export(&s, cases[i].scheme);
            struct file f = open_file();
            for (int t = 0; t < (int)s.set->count; t++)
                if (roles[s.session.model->tensors[t].role].linear && s.session.model->tensors[t].block >= 0)
                    check_layer(&f, &s, t, cases[i].value);
            int down = model_find(s.session.model, ROLE_FFN_DOWN, 0);
            const struct qmatrix *m = &s.set->layer[down]->matrix;
            struct scheme scheme = qtensor_scheme(s.set->layer[down]);
            check_config(cases[i].format, &scheme);
            if (scheme.act_range != ACT_DYNAMIC)
                assert_true(number_at(find(&f, "model.layers.0.mlp.down_proj", "input_scale", "F32", 1, 0), false, 0) ==
                            m->input_transform->act_scale);
            close_file(&f);
            subject_close(&s);
        }
    free(llama);
}

/* Two schemes are two groups, what is plain is named as left alone. */
static void test_groups(void **state)
{
    (void)state;
    struct subject s = subject_open_with(BUILTIN, NULL, "int4:g32", "blk.0.* int8\nblk.1.ffn_up stored\n");
    must_export(&s, "two schemes");
    json_t *j = read_config();
    const json_t *q = json_object_get(j, "quantization_config"), *ignore = json_object_get(q, "ignore");
    assert_int_equal(json_object_size(json_object_get(q, "config_groups")), 2);
    assert_int_equal(json_array_size(ignore), 1);
    assert_string_equal(json_string_value(json_array_get(ignore, 0)), "model.layers.1.mlp.up_proj");
    json_decref(j);
    subject_close(&s);
}

/* Input scales become part of norms and of rows, in plain tensors as well: fp32 weights take any scale. */
static void test_folding(void **state)
{
    (void)state;
    struct subject s = subject_open_with(BUILTIN, NULL, "int8:g32:smoothquant(alpha=0.5)",
                                         "blk.*.attn_output stored\n");
    must_export(&s, "smoothquant");
    struct file f = open_file();
    const struct model *m = s.session.model;
    int norm = model_find(m, ROLE_ATTN_NORM, 1), q = model_find(m, ROLE_ATTN_Q, 1);
    const struct qmatrix *n = &s.set->layer[norm]->matrix, *w = &s.set->layer[q]->matrix;
    const uint8_t *folded = find(&f, "model.layers.1.input_layernorm", "weight", "F32", n->cols, 0);
    for (size_t c = 0; c < n->cols; c++) {
        float live;
        qmatrix_decode(n, 0, c, 1, &live);
        assert_true(number_at(folded, false, c) == live / qmatrix_input_scale(w, c));
    }
    check_layer(&f, &s, q, packed_value);
    close_file(&f);
    subject_close(&s);
}

static void check_gptq_config(const struct qformat *s)
{
    json_t *j = read_config();
    const json_t *q = json_object_get(j, "quantization_config");
    assert_string_equal(json_string_value(json_object_get(q, "quant_method")), "gptq");
    assert_string_equal(json_string_value(json_object_get(q, "checkpoint_format")), s->asym ? "gptq_v2" : "gptq");
    assert_int_equal(json_integer_value(json_object_get(q, "bits")), dtypes[s->weight].bits);
    assert_int_equal(json_integer_value(json_object_get(q, "group_size")), s->group);
    assert_int_equal(json_is_true(json_object_get(q, "sym")), !s->asym);
    assert_true(json_is_false(json_object_get(q, "desc_act")));
    json_decref(j);
}

static void test_gptq(void **state)
{
    (void)state;
    static const char *const schemes[] = {"int4:g32", "int4:g64:asym", "int8:g32", "int8:g128:asym", "int4:g32:gptq"};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct subject s = subject_open(BUILTIN, NULL, schemes[i]);
        must_export_as(&s, "gptq", schemes[i]);
        struct file f = open_file();
        for (int t = 0; t < (int)s.set->count; t++)
            if (roles[s.session.model->tensors[t].role].linear && s.session.model->tensors[t].block >= 0)
                check_layer(&f, &s, t, gptq_value);
        check_gptq_config(&s.set->layer[model_find(s.session.model, ROLE_FFN_DOWN, 0)]->matrix.format);
        close_file(&f);
        subject_close(&s);
    }
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void refuse_as(const char *format, const char *model, const char *scheme, const char *recipe, const char *says)
{
    struct error error;
    remove_folder();
    make_folder();
    struct subject s = subject_open_with(model, NULL, scheme, recipe);
    if (subject_export(&s, target, format, &error))
        fail_msg("%s was accepted; expected a refusal that says '%s'", scheme, says);
    check_line(&error, says);
    assert_int_not_equal(access(target, F_OK), 0);
    assert_int_not_equal(access(config, F_OK), 0);
    subject_close(&s);
}

static void refuse(const char *model, const char *scheme, const char *recipe, const char *says)
{
    refuse_as(NULL, model, scheme, recipe, says);
}

static void test_gptq_refusals(void **state)
{
    (void)state;
    char *llama = arch_folder("llama"), *gpt2 = arch_folder("gpt2");
    refuse_as("gptq", BUILTIN, "int4:channel", NULL, "blk.0.attn_q: gptq cannot store int4:channel: its scales are fp32; "
                                                     "the nearest that it can is int4");
    refuse_as("gptq", BUILTIN, "int8/int8", NULL, "8-bit activations are not supported; the nearest that it can is int8:g128");
    refuse_as("gptq", BUILTIN, "fp8", NULL, "its codes are not integers; the nearest that it can is int8:g128");
    refuse_as("gptq", BUILTIN, "int4:g32", "blk.1.ffn_up int4:g64\n",
              "blk.1.ffn_up: gptq holds layers of one bit width");
    refuse_as("gptq", BUILTIN, "int4:g32", "blk.1.ffn_up stored\n", "blk.1.ffn_up: gptq holds models whose linear");
    refuse_as("gptq", BUILTIN, "int4:g32", "token_embd int4:g32\n",
              "outside of blocks; the nearest that it can is fp16");
    refuse_as("gptq", llama, "int8:g32", NULL, "blk.0.ffn_down: gptq cannot store int8:g32: its groups do not divide the "
                                               "columns; the nearest that it can is fp16");
    refuse_as("gptq", gpt2, "int8:g32", NULL, "the model has Conv1D layers");
    free(llama);
    free(gpt2);
}

static void test_refusals(void **state)
{
    (void)state;
    char *llama = arch_folder("llama"), *gpt2 = arch_folder("gpt2");
    refuse(BUILTIN, "fp8e5m2", NULL, "blk.0.attn_q: compressed-tensors cannot store fp8e5m2; the nearest that it can "
                                     "is fp8e4m3");
    refuse(BUILTIN, "fp8:g32", NULL, "is fp8e4m3");
    refuse(BUILTIN, "w4a8", NULL, "8-bit activations are not supported; the nearest that it can is int4");
    refuse(BUILTIN, "int8/int8:g32", NULL, "the nearest that it can is int8/int8");
    refuse(BUILTIN, "q4_0", NULL, "blk.0.attn_q: safetensors cannot store q4_0; the nearest that it can is int4:g32:asym");
    refuse(BUILTIN, "q8_0", NULL, "cannot store q8_0; the nearest that it can is int8:g32");
    refuse(BUILTIN, "nf4", NULL, "blk.0.attn_q: safetensors cannot store nf4; the nearest that it can is int4:g64:asym");
    refuse(BUILTIN, "int8:tensor", NULL, "the nearest that it can is int8");
    refuse(llama, "int8:g32", NULL, "blk.0.ffn_down: compressed-tensors cannot store int8:g32: its groups do not "
                                    "divide the columns; the nearest that it can is int8");
    refuse(llama, "int4:g128", NULL, "blk.0.attn_q: compressed-tensors cannot store int4: its groups do not divide "
                                     "the columns; the nearest that it can is int4:g32");
    refuse(BUILTIN, "w8a8:llmint8(threshold=0.5)", NULL, "columns in fp16 among integers");
    refuse(BUILTIN, NULL, "token_embd int8", "it is a lookup table; the nearest that it can is fp16");
    refuse(gpt2, "int8", NULL, "the model has Conv1D layers; the nearest that it can is fp16");
    refuse(BUILTIN, "int8", "blk.1.ffn_up w8a8\n", "activations in 8 bits in all quantized layers or in none");
    free(llama);
    free(gpt2);
}

/* Files of the tokenizer go along, but over no others. */
static void test_tokenizer_files(void **state)
{
    (void)state;
    static const char *const names[] = {"config.json", "model.safetensors"};
    char *source = folder_make(), *llama = arch_folder("llama");
    struct error error;
    for (size_t i = 0; i < 2; i++) {
        char *from = path_in(llama, names[i]), *to = path_in(source, names[i]);
        assert_int_equal(symlink(from, to), 0);
        free(from);
        free(to);
    }
    char *from = path_in(source, "tokenizer.json"), *more = path_in(source, "tokenizer_config.json");
    static const char json[] = "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}";
    write_file(from, json, sizeof json - 1);
    write_file(more, "{}", 2);
    remove_folder();
    make_folder();
    char *to = path_in(folder, "tokenizer.json"), *there = path_in(folder, "tokenizer_config.json");
    write_file(there, "{\"mine\":1}", 10);
    struct subject s = subject_open(source, NULL, "int8");
    assert_non_null(s.session.tokenizer);
    assert_true(subject_export(&s, target, NULL, &error));
    struct bytes copy = read_file(to), kept = read_file(there);
    assert_int_equal(copy.size, sizeof json - 1);
    assert_memory_equal(copy.data, json, copy.size);
    assert_string_equal((const char *)kept.data, "{\"mine\":1}");
    bytes_free(&copy);
    bytes_free(&kept);
    subject_close(&s);
    folder_remove(source);
    free(from);
    free(more);
    free(to);
    free(there);
    free(llama);
}

/* A config.json of somebody else is not written over, one of an export is. */
static void test_config_there(void **state)
{
    (void)state;
    struct error error;
    struct subject s = subject_open(BUILTIN, NULL, "int8");
    must_export(&s, "first");
    assert_true(subject_export(&s, target, NULL, &error));
    unlink(target);
    write_file(config, "{}", 2);
    assert_false(subject_export(&s, target, NULL, &error));
    check_line(&error, "was not written by an export");
    assert_int_not_equal(access(target, F_OK), 0);
    subject_close(&s);
}

/* Nor is that of the model itself, which an export wrote: the model would be another one. */
static void test_config_of_the_model(void **state)
{
    (void)state;
    struct error error;
    struct subject s = subject_open(BUILTIN, NULL, "fp16");
    unlink(config);
    must_export(&s, "a model to export again");
    subject_close(&s);
    struct bytes before = read_file(config);
    s = subject_open(target, NULL, "int4:channel");
    char *beside = path_in(folder, "small.safetensors");
    assert_false(subject_export(&s, beside, NULL, &error));
    check_line(&error, "configuration of the model itself");
    struct bytes after = read_file(config);
    assert_int_equal(before.size, after.size);
    assert_memory_equal(before.data, after.data, after.size);
    bytes_free(&before);
    bytes_free(&after);
    subject_close(&s);
    free(beside);
}

/* A file that an export wrote keeps its configuration as long as it is there. */
static void test_config_of_another(void **state)
{
    (void)state;
    struct error error;
    struct subject s = subject_open(BUILTIN, NULL, "fp16");
    must_export(&s, "a first model");
    char *beside = path_in(folder, "other.safetensors");
    struct bytes before = read_file(config);
    assert_false(subject_export(&s, beside, NULL, &error));
    check_line(&error, "is the configuration of ");
    struct bytes after = read_file(config);
    assert_int_equal(before.size, after.size);
    assert_memory_equal(before.data, after.data, after.size);
    bytes_free(&before);
    bytes_free(&after);
    if (!subject_export(&s, target, NULL, &error))
        fail_msg("%s", error.text);
    unlink(target);
    if (!subject_export(&s, beside, NULL, &error))
        fail_msg("%s", error.text);
    unlink(beside);
    unlink(config);
    subject_close(&s);
    free(beside);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),    cmocka_unit_test(test_from_gguf), cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_groups),   cmocka_unit_test(test_folding),
        cmocka_unit_test(test_gptq),      cmocka_unit_test(test_gptq_refusals),
        cmocka_unit_test(test_refusals),  cmocka_unit_test(test_config_there),
        cmocka_unit_test(test_tokenizer_files), cmocka_unit_test(test_config_of_the_model),
        cmocka_unit_test(test_config_of_another),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
