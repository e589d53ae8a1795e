/* What single files say about a model: each case is a valid GGUF model or llm.c checkpoint with one thing
 * changed. It is refused with a line that names what is wrong, or it opens and computes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "folderwork.h"
#include "formats/gguf_internal.h"
#include "session/session.h"
#include "gguffile.h"
#include "support.h"
#include "weightcheck.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- a model and what is changed ------------------------------------------------------------- */

enum { DIM = 32, HIDDEN = 64, HEADS = 4, KV_HEADS = 2, HEAD = 8, VOCAB = 40, CONTEXT = 64, BLOCKS = 2 };

enum kind { KIND_ABSENT, KIND_UINT, KIND_INT, KIND_FLOAT, KIND_TEXT, KIND_LIST, KIND_SAME, KIND_BOOL };

struct pair {
    const char *key;
    enum kind kind;
    double number;
    const char *text;
};

#define ABSENT(KEY)        {.key = (KEY), .kind = KIND_ABSENT}
#define LIST(KEY)          {.key = (KEY), .kind = KIND_LIST}
#define SAME(KEY, NUMBER)  {.key = (KEY), .kind = KIND_SAME, .number = (NUMBER)}
#define BOOL(KEY, NUMBER)  {.key = (KEY), .kind = KIND_BOOL, .number = (NUMBER)}
#define UINT(KEY, NUMBER)  {.key = (KEY), .kind = KIND_UINT, .number = (NUMBER)}
#define INT(KEY, NUMBER)   {.key = (KEY), .kind = KIND_INT, .number = (NUMBER)}
#define FLOAT(KEY, NUMBER) {.key = (KEY), .kind = KIND_FLOAT, .number = (NUMBER)}
#define TEXT(KEY, WORDS)   {.key = (KEY), .kind = KIND_TEXT, .text = (WORDS)}

static const struct pair usual_pairs[] = {
    TEXT("general.architecture", "llama"),
    UINT("llama.block_count", BLOCKS),
    UINT("llama.context_length", CONTEXT),
    UINT("llama.embedding_length", DIM),
    UINT("llama.feed_forward_length", HIDDEN),
    UINT("llama.attention.head_count", HEADS),
    UINT("llama.attention.head_count_kv", KV_HEADS),
    FLOAT("llama.attention.layer_norm_rms_epsilon", 1e-5),
};
enum { PAIRS = sizeof usual_pairs / sizeof *usual_pairs };

/* A tensor; of those in blocks the part after the number. `rows` 0: a vector. */
struct shape_of {
    const char *name;
    bool in_block;
    size_t rows, cols;
};

static const struct shape_of usual_tensors[] = {
    {"token_embd.weight", false, VOCAB, DIM},   {"attn_norm.weight", true, 0, DIM},
    {"attn_q.weight", true, DIM, DIM},          {"attn_k.weight", true, KV_HEADS * HEAD, DIM},
    {"attn_v.weight", true, KV_HEADS * HEAD, DIM}, {"attn_output.weight", true, DIM, DIM},
    {"ffn_norm.weight", true, 0, DIM},          {"ffn_gate.weight", true, HIDDEN, DIM},
    {"ffn_up.weight", true, HIDDEN, DIM},       {"ffn_down.weight", true, DIM, HIDDEN},
    {"output_norm.weight", false, 0, DIM},      {"output.weight", false, VOCAB, DIM},
};
enum { TENSORS = sizeof usual_tensors / sizeof *usual_tensors };

/* One tensor as a file has it; dimensions 0: it is left out. */
struct stored {
    const char *name;
    enum dtype dtype;
    size_t dimensions, shape[3];
    const float *values; /* null: some */
};

#define GONE(NAME) {.name = (NAME)}
#define TENSOR(NAME, TYPE, DIMENSIONS, ...)                                                        \
    {.name = (NAME), .dtype = (TYPE), .dimensions = (DIMENSIONS), .shape = {__VA_ARGS__}}
#define FACTORS(...)                                                                               \
    {.name = "rope_freqs.weight", .dimensions = 1, .shape = {HEAD / 2},                            \
     .values = (const float[]){__VA_ARGS__}}

struct spec {
    struct pair pair;          /* in the place of a usual one, or one more; key null: none */
    struct pair more;          /* one more */
    struct stored tensor;      /* the same */
    struct stored second;
    enum dtype matrices, vectors;
    size_t alignment;          /* 0: the usual one */
    size_t pieces;             /* of a vocabulary; 0: none */
};

static void put_pair(struct gguffile *f, const struct pair *p)
{
    static const uint32_t list[] = {2, 3};
    const uint32_t same[] = {(uint32_t)p->number, (uint32_t)p->number};
    int32_t negative = (int32_t)p->number;
    switch (p->kind) {
    case KIND_ABSENT:
        break;
    case KIND_UINT:
        gguffile_uint32(f, p->key, (uint32_t)p->number);
        break;
    case KIND_INT:
        gguffile_number(f, p->key, GGUF_INT32, &negative);
        break;
    case KIND_FLOAT:
        gguffile_float32(f, p->key, (float)p->number);
        break;
    case KIND_TEXT:
        gguffile_string(f, p->key, p->text);
        break;
    case KIND_LIST:
        gguffile_array(f, p->key, GGUF_UINT32, 2, list);
        break;
    case KIND_SAME:
        gguffile_array(f, p->key, GGUF_UINT32, 2, same);
        break;
    case KIND_BOOL:
        gguffile_bool(f, p->key, p->number != 0);
        break;
    }
}

static void put_pairs(struct gguffile *f, const struct pair *change)
{
    bool put = !change->key;
    for (size_t i = 0; i < PAIRS; i++) {
        bool same = change->key && strcmp(change->key, usual_pairs[i].key) == 0;
        put_pair(f, same ? change : &usual_pairs[i]);
        put |= same;
    }
    if (!put)
        put_pair(f, change);
}

/* Bytes of 0x3c are small numbers or 1.06 in every type. */
static void put_tensor(struct gguffile *f, const struct stored *t)
{
    size_t bytes;
    if (t->dimensions == 0)
        return;
    if (!entry_bytes(t->dtype, t->dimensions, t->shape, &bytes))
        bytes = 0; /* such a shape is part of no valid file */
    void *some = make(bytes);
    memset(some, 0x3c, bytes);
    gguffile_tensor(f, t->name, t->dtype, t->dimensions, t->shape, t->values ? (const void *)t->values : some);
    free(some);
}

/* Whether the spec changes a tensor: then its own is put. */
static bool put_changed(struct gguffile *f, const struct spec *spec, const char *name)
{
    const struct stored *changed[] = {&spec->tensor, &spec->second};
    for (size_t i = 0; i < 2; i++)
        if (changed[i]->name && strcmp(changed[i]->name, name) == 0) {
            put_tensor(f, changed[i]);
            return true;
        }
    return false;
}

static void print_name(char out[64], const struct shape_of *t, int block)
{
    if (t->in_block)
        snprintf(out, 64, "blk.%d.%s", block, t->name);
    else
        snprintf(out, 64, "%s", t->name);
}

static bool is_usual(const char *name)
{
    for (size_t i = 0; i < TENSORS; i++) {
        for (int b = 0; b < BLOCKS; b++) {
            char full[64];
            print_name(full, &usual_tensors[i], b);
            if (strcmp(full, name) == 0)
                return true;
        }
    }
    return false;
}

static void put_usual(struct gguffile *f, const struct spec *spec, const struct shape_of *t, int block)
{
    char name[64];
    print_name(name, t, block);
    struct stored stored = {name, t->rows ? spec->matrices : spec->vectors, 1, {t->cols}, NULL};
    if (t->rows)
        stored = (struct stored){name, spec->matrices, 2, {t->rows, t->cols}, NULL};
    if (!put_changed(f, spec, name))
        put_tensor(f, &stored);
}

static void put_vocabulary(struct gguffile *f, size_t pieces)
{
    char texts[VOCAB + 8][24];
    const char *list[VOCAB + 8];
    float scores[VOCAB + 8];
    int32_t types[VOCAB + 8];
    assert_true(pieces <= VOCAB + 8);
    for (size_t i = 0; i < pieces; i++) {
        snprintf(texts[i], sizeof texts[i], i < 3 ? "<s%zu>" : "p%zu", i);
        list[i] = texts[i];
        scores[i] = -(float)i;
        types[i] = i == 0 ? 2 : i < 3 ? 3 : 1;
    }
    gguffile_string(f, "tokenizer.ggml.model", "llama");
    gguffile_strings(f, "tokenizer.ggml.tokens", pieces, list);
    gguffile_array(f, "tokenizer.ggml.scores", GGUF_FLOAT32, pieces, scores);
    gguffile_array(f, "tokenizer.ggml.token_type", GGUF_INT32, pieces, types);
}

/* The file's path; the caller frees. */
static char *write_model(const struct spec *spec)
{
    struct gguffile f;
    gguffile_begin(&f, 3);
    if (spec->alignment) {
        f.alignment = spec->alignment;
        gguffile_uint32(&f, "general.alignment", (uint32_t)spec->alignment);
    }
    put_pairs(&f, &spec->pair);
    if (spec->more.key)
        put_pair(&f, &spec->more);
    if (spec->pieces)
        put_vocabulary(&f, spec->pieces);
    for (int b = -1; b < BLOCKS; b++)
        for (size_t i = 0; i < TENSORS; i++)
            if (usual_tensors[i].in_block == (b >= 0))
                put_usual(&f, spec, &usual_tensors[i], b);
    if (spec->tensor.name && !is_usual(spec->tensor.name))
        put_tensor(&f, &spec->tensor);
    if (spec->second.name && !is_usual(spec->second.name))
        put_tensor(&f, &spec->second);
    struct bytes b = gguffile_bytes(&f);
    char *path = path_in(folder, "model.gguf");
    write_file(path, b.data, b.size);
    bytes_free(&b);
    gguffile_free(&f);
    return path;
}

/* ---- what becomes of it ---------------------------------------------------------------------- */

/* Three tokens; the logits of the last are numbers. */
static void run_model(const struct session *s)
{
    static const int32_t ids[] = {1, 5, 3};
    struct error error = {""};
    struct context *c = context_open(s->model, s->pool, 8, &error);
    if (!c)
        fail_msg("%s", error.text);
    float *logits = make(s->model->hyper.vocab * sizeof *logits);
    context_run(c, s->stored, ids, 3, LOGITS_LAST, logits);
    for (size_t i = 0; i < s->model->hyper.vocab; i++)
        if (!isfinite(logits[i]))
            fail_msg("logit %zu is %g", i, (double)logits[i]);
    free(logits);
    context_close(c);
}

/* `says` null: the model opens and computes. */
static void check_path(const char *path, const char *says, const char *what)
{
    struct error error = {"(no message)"};
    struct session s;
    struct session_options options = {.model_path = path, .threads = 1};
    bool opened = session_open(&s, &options, &error);
    if (opened && says)
        fail_msg("%s was accepted; expected a refusal that says '%s'", what, says);
    if (!opened && !says)
        fail_msg("%s was refused: %s", what, error.text);
    if (opened)
        run_model(&s);
    else
        check_line(&error, says);
    if (!opened && !strstr(error.text, path))
        fail_msg("'%s' does not name the file", error.text);
    session_close(&s);
}

static void check_spec(const struct spec *spec, const char *says, const char *what)
{
    char *path = write_model(spec);
    check_path(path, says, what);
    free(path);
}

static void check_pair(struct pair pair, const char *says)
{
    char what[128];
    snprintf(what, sizeof what, "%s (%d) = %g %s", pair.key, (int)pair.kind, pair.number,
             pair.text ? pair.text : "");
    check_spec(&(struct spec){.pair = pair}, says, what);
}

/* ---- metadata -------------------------------------------------------------------------------- */

#define KEY(NAME) "llama." NAME
#define EPSILON   KEY("attention.layer_norm_rms_epsilon")

static const struct {
    struct pair pair;
    const char *says; /* null: accepted */
} pair_cases[] = {
    {ABSENT("general.architecture"), "general.architecture is missing"},
    {UINT("general.architecture", 3), "'general.architecture' has type uint32; expected string"},
    {TEXT("general.architecture", ""), "general.architecture: unknown architecture ''"},
    {TEXT("general.architecture", "mamba"), "'mamba'; expected one of the "},
    {TEXT("general.architecture", "lla\033[2Jma\n"), "unknown architecture 'lla"},
    {TEXT("general.architecture", "qwen2"), "metadata: qwen2."},
    {ABSENT(KEY("block_count")), "llama.block_count is missing"},
    {UINT(KEY("block_count"), 0), "'llama.block_count' = 0; expected 1 to"},
    {INT(KEY("block_count"), -1), "'llama.block_count' = -1; expected 1 to"},
    {FLOAT(KEY("block_count"), 2), "'llama.block_count' has type float32"},
    {UINT(KEY("block_count"), 4294967295.0), "'llama.block_count' = 4294967295"},
    {UINT(KEY("block_count"), 16384), "16384 layers"},
    {UINT(KEY("block_count"), 3), "3 layers"},
    {UINT(KEY("block_count"), 1), "tensor blk.1."},
    {ABSENT(KEY("embedding_length")), "llama.embedding_length is missing"},
    {UINT(KEY("embedding_length"), 0), "'llama.embedding_length' = 0"},
    {UINT(KEY("embedding_length"), 33), "llama.attention.head_count = 4 does not divide"},
    {UINT(KEY("embedding_length"), 64), "tensor token_embd.weight: shape 40 x 32; expected 40 x 64"},
    {UINT(KEY("embedding_length"), 4294967295.0), "'llama.embedding_length' = 4294967295"},
    {ABSENT(KEY("feed_forward_length")), "llama.feed_forward_length is missing"},
    {UINT(KEY("feed_forward_length"), 0), "'llama.feed_forward_length' = 0"},
    {LIST(KEY("feed_forward_length")), "'llama.feed_forward_length' is an array"},
    {UINT(KEY("feed_forward_length"), 65), "tensor blk.0.ffn_gate.weight: shape 64 x 32; expected 65 x"},
    {ABSENT(KEY("attention.head_count")), "llama.attention.head_count is missing"},
    {UINT(KEY("attention.head_count"), 0), "'llama.attention.head_count' = 0"},
    {UINT(KEY("attention.head_count"), 5), "llama.attention.head_count"},
    {UINT(KEY("attention.head_count"), 64), "llama.attention.head_count = 64 does not divide"},
    {UINT(KEY("attention.head_count"), 1e9), "'llama.attention.head_count' = 1000000000"},
    {LIST(KEY("attention.head_count")), "'llama.attention.head_count' is an array of uint32"},
    {ABSENT(KEY("attention.head_count_kv")), "tensor blk.0.attn_k.weight: shape 16 x 32; expected 32 x 32"},
    {UINT(KEY("attention.head_count_kv"), 0), "'llama.attention.head_count_kv' = 0"},
    {UINT(KEY("attention.head_count_kv"), 8), "llama.attention.head_count_kv = 8"},
    {UINT(KEY("attention.head_count_kv"), 3), "llama.attention.head_count_kv = 3"},
    {INT(KEY("attention.head_count_kv"), -2), "'llama.attention.head_count_kv' = -2"},
    {LIST(KEY("attention.head_count_kv")), "'llama.attention.head_count_kv' is an array of uint32"},
    {UINT(KEY("attention.key_length"), HEAD), NULL},
    {UINT(KEY("attention.key_length"), 0), "'llama.attention.key_length' = 0"},
    {UINT(KEY("attention.key_length"), 7), "llama.rope.dimension_count = 7"},
    {UINT(KEY("attention.key_length"), 1e6), "'llama.attention.key_length' = 1000000"},
    {UINT(KEY("attention.key_length"), 16), "tensor blk.0.attn_q.weight: shape 32 x 32; expected 64 x 32"},
    {UINT(KEY("attention.value_length"), HEAD), NULL},
    {UINT(KEY("attention.value_length"), 16), "llama.attention.value_length = 16"},
    {ABSENT(KEY("context_length")), "llama.context_length is missing"},
    {UINT(KEY("context_length"), 0), "'llama.context_length' = 0"},
    {UINT(KEY("context_length"), 4294967295.0), "'llama.context_length' = 4294967295"},
    {UINT(KEY("context_length"), 1 << 28), NULL},
    {ABSENT(EPSILON), EPSILON " is missing"},
    {FLOAT(EPSILON, 0), EPSILON " = 0"},
    {FLOAT(EPSILON, -1e-5), EPSILON " = -1e-05"},
    {FLOAT(EPSILON, 1e30), EPSILON " = 1e+30"},
    {FLOAT(EPSILON, (double)NAN), "'" EPSILON "' = nan"},
    {UINT(EPSILON, 1), "'" EPSILON "' has type uint32"},
    {FLOAT(KEY("rope.freq_base"), 500000), NULL},
    {FLOAT(KEY("rope.freq_base"), 0), "llama.rope.freq_base = 0"},
    {FLOAT(KEY("rope.freq_base"), -10000), "llama.rope.freq_base = -10000"},
    {FLOAT(KEY("rope.freq_base"), 1e-38), "llama.rope.freq_base = 1e-38"},
    {FLOAT(KEY("rope.freq_base"), (double)INFINITY), "'llama.rope.freq_base' = inf"},
    {FLOAT(KEY("rope.freq_base"), (double)NAN), "llama.rope.freq_base"},
    {UINT(KEY("rope.dimension_count"), 4), NULL},
    {UINT(KEY("rope.dimension_count"), 0), "'llama.rope.dimension_count' = 0"},
    {UINT(KEY("rope.dimension_count"), 7), "llama.rope.dimension_count = 7"},
    {UINT(KEY("rope.dimension_count"), 10), "llama.rope.dimension_count = 10"},
    {TEXT(KEY("rope.scaling.type"), "none"), NULL},
    {TEXT(KEY("rope.scaling.type"), "linear"), NULL},
    {TEXT(KEY("rope.scaling.type"), "yarn"), NULL},
    {TEXT(KEY("rope.scaling.type"), "ntk"), "llama.rope.scaling.type = 'ntk'"},
    {FLOAT(KEY("rope.scaling.attn_factor"), 1.5), NULL},
    {FLOAT(KEY("rope.scaling.attn_factor"), 0), "llama.rope.scaling.attn_factor = 0"},
    {FLOAT(KEY("rope.scaling.yarn_ext_factor"), 1), "llama.rope.scaling.yarn_ext_factor = 1 is not supported"},
    {FLOAT(KEY("rope.scaling.yarn_log_multiplier"), 1), "llama.rope.scaling.yarn_log_multiplier = 1"},
    {TEXT(KEY("rope.scaling.type"), ""), "llama.rope.scaling.type = ''"},
    {UINT(KEY("rope.scaling.type"), 1), "'llama.rope.scaling.type' has type uint32"},
    {FLOAT(KEY("rope.scaling.factor"), 4), NULL},
    {FLOAT(KEY("rope.scaling.factor"), -4), "llama.rope.scaling.factor = -4"},
    {FLOAT(KEY("rope.scaling.factor"), 0.5), "rope scaling: factor = 0.5"},
    {FLOAT(KEY("rope.scaling.factor"), (double)NAN), "'llama.rope.scaling.factor' = nan"},
    {FLOAT(KEY("rope.scale_linear"), 4), NULL},
    {FLOAT(KEY("rope.scale_linear"), 0), "llama.rope.scale_linear = 0"},
    {UINT(KEY("attention.sliding_window"), 2), NULL},
    {INT(KEY("attention.sliding_window"), -1), "'llama.attention.sliding_window' = -1"},
    {LIST(KEY("attention.sliding_window")), "'llama.attention.sliding_window' is an array"},
    {FLOAT(KEY("attention.scale"), -1), "llama.attention.scale = -1"},
    {FLOAT(KEY("attn_logit_softcapping"), -5), "llama.attn_logit_softcapping = -5"},
    {FLOAT(KEY("final_logit_softcapping"), (double)INFINITY), "'llama.final_logit_softcapping' = inf"},
    {UINT(KEY("expert_count"), 0), NULL},
    {UINT(KEY("expert_count"), 4), "llama.expert_used_count is missing"},
    {LIST(KEY("expert_count")), "'llama.expert_count' is an array"},
    /* one value a layer, and the same for all */
    {SAME(KEY("feed_forward_length"), HIDDEN), NULL},
    {SAME(KEY("attention.head_count"), HEADS), NULL},
    {SAME(KEY("attention.head_count_kv"), KV_HEADS), NULL},
    {SAME(KEY("attention.head_count_kv"), 0), "'llama.attention.head_count_kv' = 0"},
    {SAME(KEY("expert_used_count"), 0), NULL},
    {SAME(KEY("expert_used_count"), 2), "llama.expert_used_count = 2, but llama.expert_count is 0 or missing"},
    /* what would change the computation, and what does not */
    {FLOAT(KEY("logit_scale"), 0.25), "llama.logit_scale = 0.25 is not supported in llama models; expected 0 or 1"},
    {FLOAT(KEY("logit_scale"), 1), NULL},
    {FLOAT(KEY("residual_scale"), 0.22), "llama.residual_scale = 0.22"},
    {FLOAT(KEY("embedding_scale"), 12), "llama.embedding_scale = 12"},
    {FLOAT(KEY("attention.clamp_kqv"), 8), "llama.attention.clamp_kqv = 8"},
    {FLOAT(KEY("attention.max_alibi_bias"), 8), "llama.attention.max_alibi_bias = 8"},
    {FLOAT(KEY("attention.temperature_scale"), 0.1), "llama.attention.temperature_scale = 0.1"},
    {BOOL(KEY("attention.causal"), 0), "llama.attention.causal = false"},
    {BOOL(KEY("attention.causal"), 1), NULL},
    {BOOL(KEY("use_parallel_residual"), 1), "llama.use_parallel_residual = true"},
    {BOOL(KEY("swin_norm"), 1), "llama.swin_norm = true"},
    {TEXT(KEY("hidden_activation"), "relu"), "llama.hidden_activation = relu"},
    {TEXT(KEY("hidden_activation"), "silu"), NULL},
    {FLOAT(KEY("rope.scaling.alpha"), 1000), "llama.rope.scaling.alpha = 1000"},
    {FLOAT(KEY("rope.freq_base_swa"), 1e6), "llama.rope.freq_base_swa = 1e+06; expected that of all layers, 10000"},
    {UINT(KEY("attention.key_length_swa"), 16), "heads of 16 and 8"},
    {LIST(KEY("rope.dimension_sections")), "llama.rope.dimension_sections = (values that differ)"},
    {UINT(KEY("nextn_predict_layers"), 1), "llama.nextn_predict_layers = 1"},
    {UINT(KEY("pooling_type"), 3), NULL},
    /* files that are none of a model's */
    {TEXT("general.type", "model"), NULL},
    {TEXT("general.type", "adapter"), "is an adapter (LoRA), not a model"},
    {TEXT("general.type", "imatrix"), "is an importance matrix (imatrix)"},
    {TEXT("general.type", "mmproj"), "(mmproj): open the model of text"},
    {TEXT("general.architecture", "clip"), "(mmproj): open the model of text"},
    {TEXT("adapter.type", "lora"), "is an adapter (LoRA), not a model"},
};

static void test_metadata(void **state)
{
    (void)state;
    check_spec(&(struct spec){0}, NULL, "the usual model");
    for (size_t i = 0; i < sizeof pair_cases / sizeof *pair_cases; i++)
        check_pair(pair_cases[i].pair, pair_cases[i].says);
}

/* As many tokens as the embedding has rows, whatever else the file says. */
static void test_size_of_the_vocabulary(void **state)
{
    static const struct {
        double said;
        const char *note; /* null: none */
    } cases[] = {{VOCAB, NULL},
                 {VOCAB - 1, "llama.vocab_size = 39, but token_embd.weight has 40 rows, which count"},
                 {VOCAB + 5, "llama.vocab_size = 45, but token_embd.weight has 40 rows, which count"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error = {"(no message)"};
        char *path = write_model(&(struct spec){.pair = UINT(KEY("vocab_size"), cases[i].said)});
        struct model *m = model_open(path, &error);
        if (!m)
            fail_msg("%s", error.text);
        assert_int_equal(m->hyper.vocab, VOCAB);
        assert_int_equal(strstr(m->note, "vocab_size") != NULL, cases[i].note != NULL);
        if (cases[i].note)
            assert_non_null(strstr(m->note, cases[i].note));
        model_close(m);
        free(path);
    }
}

/* ---- tensors --------------------------------------------------------------------------------- */

static const struct {
    struct stored tensor;
    const char *says;
} tensor_cases[] = {
    {GONE("token_embd.weight"), "tensor token_embd.weight is missing"},
    {TENSOR("token_embd.weight", DTYPE_FP32, 1, VOCAB * DIM), "tensor token_embd.weight is missing or not a matrix"},
    {TENSOR("token_embd.weight", DTYPE_FP32, 2, DIM, VOCAB), "tensor token_embd.weight: shape 32 x 40"},
    {TENSOR("token_embd.weight", DTYPE_FP32, 2, VOCAB - 1, DIM), "tensor output.weight: shape 40 x 32; expected 39 x"},
    {GONE("output.weight"), NULL}, /* the embedding is the head */
    {TENSOR("output.weight", DTYPE_FP32, 2, DIM, VOCAB), "tensor output.weight: shape 32 x 40; expected 40 x 32"},
    {GONE("output_norm.weight"), "tensor output_norm.weight is missing"},
    {GONE("blk.1.attn_v.weight"), "tensor blk.1.attn_v.weight is missing"},
    {TENSOR("blk.1.attn_v.weight", DTYPE_FP32, 2, DIM, 16), "tensor blk.1.attn_v.weight: shape 32 x 16; expected 16"},
    {TENSOR("blk.1.attn_v.weight", DTYPE_FP32, 1, DIM * 16), "tensor blk.1.attn_v.weight: shape 512; expected 16 x"},
    {TENSOR("blk.1.attn_v.weight", DTYPE_FP32, 3, 1, 16, DIM), NULL},
    {TENSOR("blk.1.attn_v.weight", DTYPE_FP32, 3, 16, DIM, 1), "blk.1.attn_v.weight: shape 16 x 32 x 1; expected"},
    {TENSOR("blk.1.attn_v.weight", DTYPE_FP32, 3, 2, 8, DIM), "tensor blk.1.attn_v.weight: shape 2 x 8 x 32; expected"},
    {TENSOR("blk.0.attn_norm.weight", DTYPE_FP32, 2, 1, DIM), NULL},
    {TENSOR("blk.0.attn_norm.weight", DTYPE_FP32, 3, 1, 1, DIM), NULL},
    {TENSOR("token_embd.weight", DTYPE_FP32, 3, 1, VOCAB, DIM), NULL},
    {TENSOR("blk.0.attn_q.bias", DTYPE_FP32, 1, 0), NULL}, /* nothing is in it, and nothing uses it */
    {TENSOR("whatever.weight", DTYPE_FP32, 2, 4, 0), NULL},
    {TENSOR("blk.1.attn_v.weight", DTYPE_FP32, 2, 0, DIM), "tensor blk.1.attn_v.weight is empty"},
    {TENSOR("output.weight", DTYPE_FP32, 2, 0, DIM), NULL},
    {TENSOR("blk.0.attn_norm.weight", DTYPE_FP32, 1, DIM - 1), "tensor blk.0.attn_norm.weight: shape 31; expected 32"},
    {TENSOR("blk.0.attn_norm.weight", DTYPE_Q8_0, 1, DIM), NULL},
    {TENSOR("blk.0.attn_norm.weight", DTYPE_FP16, 1, DIM), NULL},
    {TENSOR("blk.0.ffn_gate.bias", DTYPE_FP32, 1, HIDDEN), "tensor blk.1.ffn_gate.bias is missing"},
    {TENSOR("blk.2.attn_norm.weight", DTYPE_FP32, 1, DIM), "tensor blk.2.attn_norm.weight is not part of"},
    {TENSOR("blk.0.attn_q.lora_a", DTYPE_FP32, 1, DIM), "tensor blk.0.attn_q.lora_a is not part of"},
    {TENSOR("blk.0.attn_q.bias", DTYPE_FP32, 1, DIM), "tensor blk.1.attn_q.bias is missing"},
    {TENSOR("blk.1.attn_q.bias", DTYPE_FP32, 1, DIM), "tensor blk.1.attn_q.bias is not part of"},
    {TENSOR("rope_freqs.weight", DTYPE_FP32, 1, HEAD / 2), NULL},
    {TENSOR("rope_freqs.weight", DTYPE_FP32, 1, HEAD / 2 + 1), "rope_freqs.weight: 5 factors; expected 4"},
    {TENSOR("rope_freqs.weight", DTYPE_FP32, 2, 1, HEAD / 2), NULL},
    {TENSOR("rope_freqs.weight", DTYPE_FP32, 2, 2, HEAD / 4), "tensor rope_freqs.weight: fp32 in 2 dimensions"},
    {TENSOR("rope_freqs.weight", DTYPE_FP16, 1, HEAD / 2), "tensor rope_freqs.weight: fp16"},
    {FACTORS(1, 0, 1, 1), "rope_freqs.weight: a factor"},
    {FACTORS(1, 1, 1, NAN), "rope_freqs.weight: a factor"},
    {FACTORS(-1, 1, 1, 1), "rope_freqs.weight: a factor"},
    {TENSOR("rope_factors_short.weight", DTYPE_FP32, 1, 3), "rope_factors_short.weight: 3 factors; expected 4"},
    {TENSOR("rope_factors_long.weight", DTYPE_FP32, 1, HEAD / 2), "tensor rope_factors_short.weight is missing"},
};

static void test_tensors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof tensor_cases / sizeof *tensor_cases; i++)
        check_spec(&(struct spec){.tensor = tensor_cases[i].tensor}, tensor_cases[i].says,
                   tensor_cases[i].tensor.name);
}

/* Optional tensors in all blocks are used; factors and a linear scaling work together. */
static void test_together(void **state)
{
    (void)state;
    struct spec biases = {.tensor = TENSOR("blk.0.attn_q.bias", DTYPE_FP32, 1, DIM),
                          .second = TENSOR("blk.1.attn_q.bias", DTYPE_FP32, 1, DIM)};
    check_spec(&biases, NULL, "biases in both blocks");
    struct spec scaled = {.tensor = FACTORS(1, 2, 3, 4),
                          .pair = FLOAT(KEY("rope.scaling.factor"), 2)};
    struct error error;
    char *path = write_model(&scaled);
    struct model *m = model_open(path, &error);
    assert_non_null(m);
    for (size_t i = 0; i < HEAD / 2; i++)
        assert_true(m->rope_factors[i] == 2 * (float)(i + 1));
    model_close(m);
    free(path);
}

/* Two keys for one number. */
static void test_factors(void **state)
{
    (void)state;
    struct spec spec = {.pair = FLOAT(KEY("rope.scaling.factor"), 2), .more = FLOAT(KEY("rope.scale_linear"), 2)};
    check_spec(&spec, NULL, "the same factor twice");
    spec.more.number = 4;
    check_spec(&spec, "llama.rope.scaling.factor = 2, but llama.rope.scale_linear = 4; expected one value", "two factors");
}

/* LongRoPE's factors, with nothing else that scales. */
static void test_longrope(void **state)
{
    (void)state;
    static const struct {
        struct pair pair;
        const char *says;
    } cases[] = {
        {{0}, NULL},
        {TEXT(KEY("rope.scaling.type"), "longrope"), NULL},
        {TEXT(KEY("rope.scaling.type"), "yarn"), "llama.rope.scaling.type = 'yarn'"},
        {FLOAT(KEY("rope.scaling.factor"), 1), NULL},
        {FLOAT(KEY("rope.scaling.factor"), 4), "rope.scaling.factor = 4 beside factors in tensors; expected 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct spec spec = {.pair = cases[i].pair,
                            .tensor = TENSOR("rope_factors_short.weight", DTYPE_FP32, 1, HEAD / 2),
                            .second = TENSOR("rope_factors_long.weight", DTYPE_FP32, 1, HEAD / 2)};
        check_spec(&spec, cases[i].says, cases[i].says ? cases[i].says : "short factors");
    }
}

/* YaRN's keys, beside its type. */
static void test_yarn(void **state)
{
    (void)state;
    static const struct {
        struct pair pair;
        const char *says;
    } cases[] = {
        {FLOAT(KEY("rope.scaling.factor"), 4), NULL},
        {FLOAT(KEY("rope.scaling.factor"), 0.5), "YaRN: factor = 0.5; expected at least 1"},
        {UINT(KEY("rope.scaling.original_context_length"), 0), "'llama.rope.scaling.original_context_length' = 0"},
        {FLOAT(KEY("rope.scaling.yarn_beta_fast"), 0.5), "YaRN: beta_fast = 0.5, beta_slow = 1"},
        {FLOAT(KEY("rope.scaling.yarn_beta_slow"), 2), NULL},
        {FLOAT(KEY("rope.scaling.yarn_attn_factor"), 0), "YaRN: attention factor = 0"},
        {FLOAT(KEY("rope.scaling.yarn_ext_factor"), 1), NULL},
        {FLOAT(KEY("rope.scaling.yarn_ext_factor"), 0.5), "llama.rope.scaling.yarn_ext_factor = 0.5 is not supported"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct spec spec = {.pair = TEXT(KEY("rope.scaling.type"), "yarn"), .more = cases[i].pair};
        check_spec(&spec, cases[i].says, cases[i].says ? cases[i].says : "YaRN");
    }
}

/* Types of whole models, and data that no number is aligned in. */
static void test_types(void **state)
{
    (void)state;
    static const struct {
        enum dtype matrices, vectors;
        size_t alignment;
    } cases[] = {
        {DTYPE_FP16, DTYPE_FP32, 0}, {DTYPE_BF16, DTYPE_BF16, 0}, {DTYPE_Q8_0, DTYPE_Q8_0, 0},
        {DTYPE_Q4_0, DTYPE_FP32, 0}, {DTYPE_FP32, DTYPE_FP32, 1}, {DTYPE_FP16, DTYPE_FP32, 2},
        {DTYPE_Q8_0, DTYPE_FP32, 1}, {DTYPE_FP32, DTYPE_FP32, 4096},
        {ENTRY_DOUBLES, ENTRY_DOUBLES, 0}, {DTYPE_Q8_0, ENTRY_DOUBLES, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct spec spec = {.matrices = cases[i].matrices, .vectors = cases[i].vectors,
                            .alignment = cases[i].alignment};
        check_spec(&spec, NULL, entry_type_name(cases[i].matrices));
        spec.tensor = (struct stored)TENSOR("rope_freqs.weight", DTYPE_FP32, 1, HEAD / 2);
        check_spec(&spec, NULL, "the same with factors");
    }
}

/* ---- what a missing key means ---------------------------------------------------------------- */

/* Copies a file's numbers, texts and tensors, but no key that ends so. */
static void copy_without(struct gguffile *f, const struct bytes *from, const char *const *endings)
{
    struct error error;
    struct catalog c = {0};
    struct gguf *g = gguf_parse(from->data, from->size, &error);
    assert_true(g && gguf_add(g, &c, &error));
    for (size_t i = 0; i < g->pair_count; i++) {
        const struct gguf_pair *p = &g->pairs[i];
        char key[128], text[128];
        bool left_out = p->type == GGUF_ARRAY;
        snprintf(key, sizeof key, "%.*s", (int)p->key.size, p->key.data);
        snprintf(text, sizeof text, "%.*s", (int)p->text.size, p->text.data ? p->text.data : "");
        for (size_t k = 0; endings[k]; k++)
            left_out |= strstr(key, endings[k]) != NULL;
        if (!left_out && p->type == GGUF_STRING)
            gguffile_string(f, key, text);
        else if (!left_out)
            gguffile_number(f, key, p->type, p->data);
    }
    for (size_t i = 0; i < c.count; i++)
        gguffile_tensor(f, c.entries[i].name, c.entries[i].dtype, c.entries[i].dimensions, c.entries[i].shape,
                        c.entries[i].data);
    catalog_close(&c);
    gguf_close(g);
}

/* Gemma 2 has caps and a window where its file does not say so, as in llama.cpp. */
static void test_defaults(void **state)
{
    (void)state;
    static const char *const endings[] = {"softcapping", "sliding_window", "attention.scale", NULL};
    struct bytes from = read_file(SRCDIR "/tests/data/arch/gemma2/gemma2.gguf"), b;
    struct gguffile f;
    struct error error = {"(no message)"};
    char *path = path_in(folder, "gemma2.gguf");
    gguffile_begin(&f, 3);
    copy_without(&f, &from, endings);
    b = gguffile_bytes(&f);
    write_file(path, b.data, b.size);
    struct model *m = model_open(path, &error);
    if (!m)
        fail_msg("%s", error.text);
    assert_true(m->hyper.attention_cap == 50 && m->hyper.logit_cap == 30);
    assert_int_equal(hyper_window(&m->hyper, 0), 4096);
    assert_int_equal(hyper_window(&m->hyper, 1), 0);
    model_close(m);
    free(path);
    bytes_free(&b);
    bytes_free(&from);
    gguffile_free(&f);
}

/* ---- sizes of each layer --------------------------------------------------------------------- */

/* Gemma 4's file with another integer: of a list (type, number and then values), or by itself (type and value). */
static const struct {
    const char *key;
    bool listed;
    uint32_t value;
    const char *says;
} layer_cases[] = {
    {"gemma4.block_count", false, 3, "attention.sliding_window_pattern has 2 values; expected 3, one a layer"},
    {"gemma4.attention.head_count_kv", true, 3, "gemma4.attention.head_count_kv[0] = 3; expected a divisor of head_count"},
    {"gemma4.attention.head_count_kv", true, 0, "gemma4.attention.head_count_kv[0] = 0; expected 1 to"},
    {"gemma4.attention.shared_kv_layers", false, 1, "no block before 1 has the window or not that block 1 has"},
    {"gemma4.attention.shared_kv_layers", false, 2, "shared_kv_layers' = 2; expected 0 to 1"},
    {"gemma4.attention.key_length_swa", false, 6, "heads of 6 and 4 with a window"},
    {"gemma4.embedding_length_per_layer_input", false, 4, "per_layer_token_embd.weight is missing"},
    {"gemma4.expert_used_count", false, 4, "expert_used_count = 4; expected 1 to 3"},
};

static void test_layer_sizes(void **state)
{
    (void)state;
    static const char source[] = SRCDIR "/tests/data/families/gemma4_moe/gemma4_moe.gguf";
    for (size_t i = 0; i < sizeof layer_cases / sizeof *layer_cases; i++) {
        struct bytes b = read_file(source);
        const char *key = layer_cases[i].key;
        struct error error = {"(no message)"};
        char *path = path_in(folder, "gemma4.gguf");
        uint8_t *at = memmem(b.data, b.size, key, strlen(key));
        assert_non_null(at);
        memcpy(at + strlen(key) + (layer_cases[i].listed ? 16 : 4), &layer_cases[i].value, 4);
        write_file(path, b.data, b.size);
        struct model *m = model_open(path, &error);
        if (m)
            fail_msg("%s = %u was accepted", key, layer_cases[i].value);
        check_line(&error, layer_cases[i].says);
        free(path);
        bytes_free(&b);
    }
}

/* ---- vocabularies ---------------------------------------------------------------------------- */

static void check_vocabulary(size_t pieces, const char *reason)
{
    char *path = write_model(&(struct spec){.pieces = pieces});
    struct session_options options = {.model_path = path, .threads = 1};
    struct error error;
    struct session s;
    if (!session_open(&s, &options, &error))
        fail_msg("%zu pieces: %s", pieces, error.text);
    assert_true((s.tokenizer != NULL) == (reason == NULL));
    if (reason)
        check_line(&s.tokenizer_error, reason);
    run_model(&s);
    session_close(&s);
    free(path);
}

/* A model whose own vocabulary has another length than its embedding opens, with ids and the reason. */
static void test_vocabulary(void **state)
{
    (void)state;
    check_vocabulary(VOCAB, NULL);
    check_vocabulary(VOCAB + 1, "41 tokens");
    check_vocabulary(0, "tokenizer.ggml.model is missing");
}

/* A model in two parts, whose first has all metadata; *paths are the caller's. */
static void write_split(char *paths[2])
{
    for (uint16_t part = 0; part < 2; part++) {
        struct gguffile f;
        char name[64];
        gguffile_begin(&f, 3);
        gguffile_split(&f, part, 2, TENSORS + (BLOCKS - 1) * 9);
        if (part == 0) {
            put_pairs(&f, &(struct pair){0});
            put_vocabulary(&f, VOCAB);
        }
        for (int b = -1; b < BLOCKS; b++)
            for (size_t i = 0; i < TENSORS; i++)
                if (usual_tensors[i].in_block == (b >= 0) && (b == 1) == (part == 1))
                    put_usual(&f, &(struct spec){0}, &usual_tensors[i], b);
        struct bytes b = gguffile_bytes(&f);
        snprintf(name, sizeof name, "split-0000%d-of-00002.gguf", part + 1);
        paths[part] = path_in(folder, name);
        write_file(paths[part], b.data, b.size);
        bytes_free(&b);
        gguffile_free(&f);
    }
}

/* It is the same model by whichever part it is opened, and so is a tokenizer that is named. */
static void test_parts(void **state)
{
    (void)state;
    char *paths[2];
    write_split(paths);
    for (size_t i = 0; i < 2; i++) {
        struct error error = {"(no message)"};
        struct session s;
        struct session_options options = {.model_path = paths[i], .threads = 1};
        if (!session_open(&s, &options, &error))
            fail_msg("%s", error.text);
        if (!s.tokenizer)
            fail_msg("part %zu: %s", i + 1, s.tokenizer_error.text);
        assert_int_equal(tokenizer_vocab(s.tokenizer), VOCAB);
        assert_int_equal(session_bos(&s), 1);
        run_model(&s);
        session_close(&s);
        struct tokenizer *t = tokenizer_open(paths[i], &error);
        assert_non_null(t);
        tokenizer_close(t);
    }
    free(paths[0]), free(paths[1]);
}

/* Without a tokenizer ids begin with what the file says of its tokens. */
static void test_beginning(void **state)
{
    (void)state;
    static const struct {
        struct pair pair;
        int32_t bos;
    } cases[] = {{UINT("tokenizer.ggml.bos_token_id", 7), 7},
                 {UINT("tokenizer.ggml.bos_token_id", VOCAB), -1},
                 {INT("tokenizer.ggml.bos_token_id", -1), -1},
                 {BOOL("tokenizer.ggml.add_bos_token", 0), -1},
                 {TEXT("tokenizer.ggml.model", "llama"), 1},
                 {UINT("general.file_type", 1), -1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error = {"(no message)"};
        struct session s;
        char *path = write_model(&(struct spec){.pair = cases[i].pair});
        struct session_options options = {.model_path = path, .threads = 1};
        if (!session_open(&s, &options, &error))
            fail_msg("%s", error.text);
        assert_null(s.tokenizer);
        assert_int_equal(session_bos(&s), cases[i].bos);
        session_close(&s);
        free(path);
    }
}

static void test_only_a_vocabulary(void **state)
{
    (void)state;
    struct gguffile f;
    gguffile_begin(&f, 3);
    put_pairs(&f, &(struct pair){0});
    put_vocabulary(&f, VOCAB);
    struct bytes b = gguffile_bytes(&f);
    char *path = path_in(folder, "vocabulary.gguf");
    write_file(path, b.data, b.size);
    check_path(path, "no tensors: it holds a vocabulary only", "a vocabulary");
    free(path);
    bytes_free(&b);
    gguffile_free(&f);
}

/* A Llama's file that asks for experts. */
static void test_mixture(void **state)
{
    static const struct {
        struct pair used, more;
        const char *says;
    } cases[] = {
        {UINT(KEY("expert_used_count"), 0), UINT(KEY("expert_count"), 4), "'llama.expert_used_count' = 0; expected 1"},
        {UINT(KEY("expert_used_count"), 5), UINT(KEY("expert_count"), 4), "expert_used_count = 5; expected 1 to 4"},
        {UINT(KEY("expert_used_count"), 2), UINT(KEY("expert_count"), 1e6), "'llama.expert_count' = 1000000"},
        {UINT(KEY("expert_used_count"), 2), UINT(KEY("expert_count"), 4),
         "4 experts, but no block has a router: tensor blk.0.ffn_gate_inp.weight is missing"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_spec(&(struct spec){.pair = cases[i].used, .more = cases[i].more}, cases[i].says, "experts");
    struct spec lone = {.tensor = TENSOR("blk.0.ffn_gate_inp.weight", DTYPE_FP32, 2, 4, DIM)};
    check_spec(&lone, "tensor blk.0.ffn_gate_inp.weight is there, but no number of experts", "a router");
    check_path(SRCDIR "/tests/data/arch/mixtral/mixtral.gguf", NULL, "a mixture");
}

/* ---- llm.c ----------------------------------------------------------------------------------- */

static void test_llmc(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int32_t value;
    } cases[] = {{"max_seq_len", 3}, {"vocab_size", 5}, {"num_layers", 2},
                 {"num_heads", 2},   {"channels", 4},   {"padded_vocab_size", 8}};
    static const int32_t values[] = {0, -1, INT32_MIN, INT32_MAX, 3};
    char *valid = weights_path("gpt2_bf16.bin"), *path = path_in(folder, "gpt2.bin");
    struct bytes b = read_file(valid);
    assert_non_null(b.data);
    check_path(valid, NULL, "a valid checkpoint");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
            int32_t old;
            size_t at = 8 + 4 * i;
            memcpy(&old, b.data + at, sizeof old);
            if (values[k] == old)
                continue;
            put_int(&b, at, values[k]);
            write_file(path, b.data, b.size);
            bool less = values[k] == 3 && strcmp(cases[i].name, "vocab_size") == 0; /* more padding */
            check_path(path, less ? NULL : values[k] == 3 ? "llm.c" : cases[i].name, cases[i].name);
            put_int(&b, at, old);
        }
    put_int(&b, 8 + 4 * 3, 4); /* heads of one element, which turns nowhere: positions are learned */
    write_file(path, b.data, b.size);
    check_path(path, NULL, "heads of one");
    bytes_free(&b);
    free(valid);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_size_of_the_vocabulary),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_factors),
        cmocka_unit_test(test_longrope),
        cmocka_unit_test(test_yarn),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_layer_sizes),
        cmocka_unit_test(test_vocabulary),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_beginning),
        cmocka_unit_test(test_only_a_vocabulary),
        cmocka_unit_test(test_mixture),
        cmocka_unit_test(test_llmc),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
