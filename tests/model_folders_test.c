/* What a folder's config.json says about a model, and which weights lie beside it: each case is one of the
 * folders of tests/data/arch with one thing changed. It is refused with a line that names what is wrong, or
 * it opens and computes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/context.h"
#include "model/model.h"
#include "formats/safetensors.h"
#include "archfolder.h"
#include "modelfile.h"
#include "support.h"
#include "weightcheck.h"
#include "weightfile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct pool *pool;

static int begin(void **state)
{
    struct error error;
    (void)state;
    pool = pool_create(1, &error);
    return pool ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    pool_destroy(pool);
    return 0;
}

/* ---- folders --------------------------------------------------------------------------------- */

/* The logits after three tokens, which are numbers; the caller frees. */
static float *run_model(const struct model *m)
{
    static const int32_t ids[] = {1, 5, 3};
    struct error error = {""};
    struct weights *w = weights_stored(m);
    struct context *c = context_open(m, pool, 8, &error);
    if (!c)
        fail_msg("%s", error.text);
    float *logits = make(m->hyper.vocab * sizeof *logits);
    context_run(c, w, ids, 3, LOGITS_LAST, logits);
    for (size_t i = 0; i < m->hyper.vocab; i++)
        if (!isfinite(logits[i]))
            fail_msg("logit %zu is %g", i, (double)logits[i]);
    context_close(c);
    weights_unref(w);
    return logits;
}

/* `says` null: the model opens and computes. */
static void check_folder(const char *folder, const char *says, const char *what)
{
    struct error error = {"(no message)"};
    struct model *m = model_open(folder, &error);
    if (m && says)
        fail_msg("%s was accepted; expected a refusal that says '%s'", what, says);
    if (!m && !says)
        fail_msg("%s was refused: %s", what, error.text);
    if (m)
        free(run_model(m));
    else
        check_line(&error, says);
    if (!m && !strstr(error.text, folder))
        fail_msg("'%s' does not name the folder", error.text);
    model_close(m);
}

/* Weights of a model beside other bytes for its configuration. */
static void check_config(const char *model, const void *config, size_t size, const char *says,
                         const char *what)
{
    char *folder = folder_make();
    folder_link_weights(folder, model, "model.safetensors");
    folder_write(folder, "config.json", config, size);
    check_folder(folder, says, what);
    folder_remove(folder);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void check_value(const char *model, const char *key, const char *value, const char *says)
{
    struct bytes config = arch_config(model);
    char *changed = config_with((const char *)config.data, key, value), what[128];
    snprintf(what, sizeof what, "%s: %s = %s", model, key, value ? value : "(missing)");
    check_config(model, changed, strlen(changed), says, what);
    free(changed);
    bytes_free(&config);
}

/* Numbers that a model cannot do without, or that are there: each wrong value is refused by name. */
static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *model, *key;
        bool needed;
    } keys[] = {
        {"llama", "hidden_size", true},          {"llama", "intermediate_size", true},
        {"llama", "num_hidden_layers", true},    {"llama", "num_attention_heads", true},
        {"llama", "vocab_size", true},           {"llama", "max_position_embeddings", false},
        {"llama", "num_key_value_heads", false}, {"qwen3", "head_dim", false},
        {"gpt2", "n_embd", true},                {"gpt2", "n_layer", true},
        {"gpt2", "n_head", true},                {"gpt2", "n_positions", true},
        {"gpt2", "n_inner", false},              {"mistral", "sliding_window", false},
    };
    static const char *const wrong[] = {"0",  "-1",   "1.5", "\"8\"",      "true",
                                        "[]", "{\"a\": 1}", "-9223372036854775808", "9223372036854775807"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++)
            check_value(keys[i].model, keys[i].key, wrong[k], keys[i].key);
        check_value(keys[i].model, keys[i].key, "1e400", "config.json: not JSON");
        check_value(keys[i].model, keys[i].key, "9223372036854775808", "config.json: not JSON");
        if (keys[i].needed) {
            check_value(keys[i].model, keys[i].key, NULL, keys[i].key);
            check_value(keys[i].model, keys[i].key, "null", keys[i].key);
        }
    }
}

static void test_fractions(void **state)
{
    (void)state;
    static const struct {
        const char *model, *key;
    } keys[] = {{"llama", "rms_norm_eps"},        {"llama", "rope_theta"},
                {"gpt2", "layer_norm_epsilon"},   {"gemma2", "rope_theta"},
                {"gemma2", "attn_logit_softcapping"}, {"gemma2", "final_logit_softcapping"},
                {"gemma2", "query_pre_attn_scalar"}};
    static const char *const wrong[] = {"-1", "-1e300", "1e300", "\"NaN\"", "[1]", "false"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++)
            check_value(keys[i].model, keys[i].key, wrong[k], keys[i].key);
        check_value(keys[i].model, keys[i].key, "1e400", "config.json: not JSON");
        check_value(keys[i].model, keys[i].key, "NaN", "config.json: not JSON");
    }
    check_value("llama", "rms_norm_eps", "0", "rms_norm_eps = 0");
    check_value("llama", "rms_norm_eps", "2", "rms_norm_eps = 2");
    check_value("llama", "rope_theta", "0", "rope_theta = 0");
    check_value("llama", "rope_theta", "0.5", "rope_theta = 0.5");
    check_value("llama", "rope_theta", "500000", NULL);
    check_value("llama", "rope_theta", NULL, NULL);
    check_value("llama", "rms_norm_eps", "null", NULL);
}

static const struct {
    const char *model, *key, *value, *says;
} value_cases[] = {
    {"llama", "model_type", NULL, "model_type is missing"},
    {"llama", "model_type", "7", "model_type is missing or not a string"},
    {"llama", "model_type", "\"mamba\"", "model_type: unknown architecture 'mamba'; expected one of the "},
    {"llama", "model_type", "\"gpt2\"", "model_type = 'gpt2', but architectures = 'LlamaForCausalLM'"},
    {"llama", "hidden_act", "\"relu\"", "hidden_act = 'relu'; expected silu"},
    {"llama", "hidden_act", "3", "hidden_act = 'an integer'"},
    {"llama", "hidden_act", NULL, NULL},
    {"gpt2", "activation_function", "\"gelu\"", NULL},
    {"gemma2", "hidden_activation", "\"silu\"", "hidden_activation = 'silu'"},
    /* numbers against shapes */
    {"llama", "hidden_size", "40", "tensor model.embed_tokens.weight: shape 64 x 32; expected 64 x 40"},
    {"llama", "vocab_size", "65", "tensor model.embed_tokens.weight: shape 64 x 32; expected 65 x 32"},
    {"llama", "vocab_size", "63", "tensor model.embed_tokens.weight: shape 64 x 32; expected 63 x 32"},
    {"llama", "intermediate_size", "45", "tensor model.layers.0.mlp.gate_proj.weight: shape 44 x 32"},
    {"llama", "num_hidden_layers", "1", "tensor model.layers.1."},
    {"llama", "num_hidden_layers", "3", "3 layers"},
    {"llama", "num_hidden_layers", "16384", "16384 layers"},
    {"llama", "num_attention_heads", "3", "num_attention_heads"},
    {"llama", "num_attention_heads", "8", "tensor model.layers.0.self_attn.k_proj.weight"},
    {"llama", "num_attention_heads", "64", "num_attention_heads = 64 does not divide hidden_size = 32"},
    {"llama", "num_key_value_heads", "3", "num_key_value_heads = 3"},
    {"llama", "num_key_value_heads", "8", "num_key_value_heads = 8"},
    {"llama", "num_key_value_heads", NULL, "tensor model.layers.0.self_attn.k_proj.weight: shape 16 x 32"},
    {"llama", "num_key_value_heads", "null", "tensor model.layers.0.self_attn.k_proj.weight: shape 16 x 32"},
    {"qwen3", "head_dim", "15", "head_dim = 15; expected an even number"},
    {"qwen3", "head_dim", "8", "tensor model.layers.0.self_attn.q_proj.weight: shape 48 x 32; expected 24 x"},
    {"gpt2", "n_positions", "127", "wpe.weight: shape 128 x 32; expected 127 x 32"},
    {"gpt2", "n_inner", "100", "h.0.mlp.c_fc.weight"},
    /* heads */
    {"qwen3", "tie_word_embeddings", "true", NULL},
    {"qwen2", "tie_word_embeddings", "false", "tensor lm_head.weight is missing, and config.json does not tie"},
    {"qwen2", "tie_word_embeddings", NULL, "(tie_word_embeddings)"},
    {"qwen2", "tie_word_embeddings", "\"yes\"", "tie_word_embeddings is a string; expected true or false"},
    {"gpt2", "tie_word_embeddings", "false", "tensor lm_head.weight is missing"},
    {"gpt2", "tie_word_embeddings", NULL, NULL},
    /* rotary scaling */
    {"llama3", "rope_type", "\"yarn\"", NULL},
    {"llama3", "rope_type", "\"dynamic\"", NULL},
    {"llama3", "rope_type", "\"ntk\"", "rope_scaling of type 'ntk'; expected default, linear, llama3"},
    {"llama3", "rope_type", "\"longrope\"", "short_factor: 0 factors; expected 8"},
    {"llama3", "rope_type", "8", "rope_scaling: rope_type is an integer; expected a string"},
    {"llama3", "rope_type", NULL, "rope_scaling: rope_type is nothing"},
    {"llama3", "rope_type", "\"default\"", NULL},
    {"llama3", "factor", NULL, "rope scaling: factor = 0"},
    {"llama3", "factor", "0", "rope scaling: factor = 0"},
    {"llama3", "factor", "-8", "factor = -8"},
    {"llama3", "factor", "\"NaN\"", "factor is a string; expected a number"},
    {"llama3", "factor", "NaN", "config.json: not JSON"},
    {"llama3", "low_freq_factor", "0", "low_freq_factor = 0"},
    {"llama3", "low_freq_factor", "5", "low_freq_factor = 5"},
    {"llama3", "high_freq_factor", "-1", "high_freq_factor = -1"},
    {"llama3", "original_max_position_embeddings", "0", "original_max_position_embeddings = 0"},
    {"llama", "rope_scaling", "[]", "rope_scaling is a list; expected an object"},
    {"llama", "rope_scaling", "\"linear\"", "rope_scaling is a string; expected an object"},
    {"llama", "rope_scaling", "{}", NULL},
    {"llama", "rope_scaling", "{\"type\": \"linear\", \"factor\": 2}", NULL},
    {"phi3", "rope_scaling", "{\"type\": \"longrope\", \"short_factor\": [1, 0, 1, 1]}", "short_factor: a factor"},
    {"phi3", "rope_scaling", "{\"type\": \"longrope\", \"short_factor\": [1, 1, 1, \"x\"]}", "short_factor: a factor"},
    {"phi3", "rope_scaling", "{\"type\": \"longrope\", \"short_factor\": [1, 1, 1]}", "3 factors; expected 4"},
    {"phi3", "rope_scaling", "{\"type\": \"longrope\", \"short_factor\": [1, 1.5, 2, 3]}",
     "long_factor: 0 factors; expected 4"},
    {"phi3", "rope_scaling", "{\"type\": \"longrope\", \"short_factor\": [1, 1.5, 2, 3], "
                             "\"long_factor\": [1, 2, 3, 4]}", NULL},
    /* parts of a head */
    {"phi3", "rope_scaling", "null, \"partial_rotary_factor\": 0.5", NULL},
    {"phi3", "rope_scaling", "null, \"partial_rotary_factor\": 0.4", "partial_rotary_factor = 0.4 makes 3"},
    {"phi3", "rope_scaling", "null, \"partial_rotary_factor\": 0.01", "partial_rotary_factor = 0.01 makes 0"},
    {"phi3", "rope_scaling", "null, \"partial_rotary_factor\": 0", "partial_rotary_factor = 0 makes 0"},
    {"phi3", "rope_scaling", "null, \"partial_rotary_factor\": 1.5", "partial_rotary_factor = 1.5"},
    /* windows */
    {"mistral", "sliding_window", "null", NULL},
    {"mistral", "sliding_window", "16, \"layer_types\": [\"sliding_attention\", \"sliding_attention\"]", NULL},
    {"mistral", "sliding_window", "null, \"layer_types\": [\"sliding_attention\", \"full_attention\"]",
     "layer_types[0] = sliding_attention; expected full_attention"},
    {"mistral", "sliding_window", "null, \"layer_types\": [\"chunked_attention\", \"full_attention\"]",
     "layer_types[0] = chunked_attention"},
    {"mistral", "sliding_window", "16, \"layer_types\": [\"sliding_attention\"]", "layer_types is a list of 1"},
    {"mistral", "sliding_window", "16, \"layer_types\": [1, 2]", "layer_types[0] = an integer"},
    {"mistral", "sliding_window", "16, \"layer_types\": \"all\"", "layer_types is a string"},
    {"qwen2", "use_sliding_window", "\"no\"", "use_sliding_window is a string"},
    {"qwen2", "use_sliding_window", NULL, NULL},
    {"qwen2", "use_sliding_window", "true", NULL}, /* max_window_layers = 1: of the second layer */
    {"qwen2", "max_window_layers", "\"1\"", NULL}, /* nobody asks: there are no windows */
};

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof value_cases / sizeof *value_cases; i++)
        check_value(value_cases[i].model, value_cases[i].key, value_cases[i].value, value_cases[i].says);
}

/* Windows by use_sliding_window, of the layers from max_window_layers on. */
static void test_windows_on_demand(void **state)
{
    (void)state;
    static const struct {
        const char *used, *first;
        size_t windows[2];
    } cases[] = {{"true", "0", {16, 16}}, {"true", "1", {0, 16}}, {"true", "2", {0, 0}}, {"false", "0", {0, 0}},
                 {"true", NULL, {0, 0}}};
    struct bytes config = arch_config("qwen2");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error = {"(no message)"};
        char *folder = folder_make();
        char *used = config_with((const char *)config.data, "use_sliding_window", cases[i].used);
        char *first = config_with(used, "max_window_layers", cases[i].first);
        folder_link_weights(folder, "qwen2", "model.safetensors");
        folder_write(folder, "config.json", first, strlen(first));
        struct model *m = model_open(folder, &error);
        if (!m)
            fail_msg("%s", error.text);
        assert_int_equal(m->layers[0].window, cases[i].windows[0]);
        assert_int_equal(m->layers[1].window, cases[i].windows[1]);
        model_close(m);
        free(used);
        free(first);
        folder_remove(folder);
    }
    bytes_free(&config);
}

/* ---- files that are no configuration --------------------------------------------------------- */

static void test_text(void **state)
{
    (void)state;
    enum { DEEP = 100000 };
    struct bytes config = arch_config("llama");
    const char *text = (const char *)config.data;
    char *deep = make(DEEP), *cases[3];
    memset(deep, '[', DEEP);
    cases[0] = replaced(text, "\"hidden_size\": 32,", "\"hidden_size\": 32, \"hidden_size\": 32,");
    cases[1] = replaced(text, "\"silu\"", "\"\xff\"");
    cases[2] = replaced(text, "\"silu\"", "\"\\ud800\"");
    check_config("llama", "", 0, "config.json", "an empty file");
    check_config("llama", "hello", 5, "config.json: not JSON", "a word");
    check_config("llama", "[]", 2, "config.json: is a list; expected an object", "a list");
    check_config("llama", "{}", 2, "config.json: model_type is missing", "an empty object");
    check_config("llama", deep, DEEP, "config.json: nested 33 deep", "deep nesting");
    check_config("llama", cases[0], strlen(cases[0]), "config.json: not JSON", "a duplicate key");
    check_config("llama", cases[1], strlen(cases[1]), "config.json: not JSON", "bytes that are not UTF-8");
    check_config("llama", cases[2], strlen(cases[2]), "config.json: not JSON", "half of a pair");
    for (size_t n = 1; n < config.size - 2; n += 7)
        check_config("llama", text, n, "config.json: not JSON", "a file cut short");
    char *junk;
    if (asprintf(&junk, "%s x", text) < 0)
        abort();
    check_config("llama", junk, strlen(junk), "config.json: not JSON", "trailing junk");
    free(junk);
    free(deep);
    for (size_t i = 0; i < 3; i++)
        free(cases[i]);
    bytes_free(&config);
}

static void test_missing_files(void **state)
{
    (void)state;
    char *folder = folder_make(), *config = path_in(folder, "config.json");
    check_folder(folder, "is a directory without a model; expected model.safetensors", "an empty folder");
    folder_write(folder, "config.json", "{}", 2);
    check_folder(folder, "is a directory without a model", "a folder without weights");
    folder_link_weights(folder, "llama", "model.safetensors");
    assert_int_equal(unlink(config), 0);
    check_folder(folder, "config.json", "weights without a configuration");
    assert_int_equal(mkdir(config, 0700), 0);
    check_folder(folder, "config.json", "a configuration that is a folder");
    assert_int_equal(rmdir(config), 0);
    assert_int_equal(mkfifo(config, 0600), 0);
    check_folder(folder, "config.json", "a configuration that is a FIFO");
    free(config);
    folder_remove(folder);
}

/* ---- weights --------------------------------------------------------------------------------- */

/* Matrices of blocks in fp8, or (coded false) the same values in fp32; the rest in fp32. */
static void put_as_fp8(struct writing *w, const struct entry *e, enum dtype fp8, bool coded)
{
    size_t n = e->bytes / dtypes[e->dtype].block_bytes;
    float *values = make(n * sizeof *values);
    uint8_t *codes = make(n);
    dtypes[e->dtype].decode_run(e->data, 0, n, 0, values);
    bool chosen = e->dimensions == 2 && strstr(e->name, ".layers.");
    for (size_t i = 0; i < n && chosen; i++) {
        codes[i] = (uint8_t)dtypes[fp8].encode(values[i]);
        values[i] = dtypes[fp8].decode(codes[i]);
    }
    if (chosen && coded)
        writing_put(w, e->name, fp8 == DTYPE_FP8E4M3 ? "F8_E4M3" : "F8_E5M2", e, codes, n);
    else
        writing_put(w, e->name, "F32", e, values, n * sizeof *values);
    free(values);
    free(codes);
}

/* What was put there, with the configuration of a family; the writing is freed. */
static struct model *open_written(const char *folder, struct writing *w, const char *family)
{
    struct error error = {"(no message)"};
    struct bytes config = arch_config(family);
    writing_write(folder, w);
    folder_write(folder, "config.json", config.data, config.size);
    struct model *m = model_open(folder, &error);
    if (!m)
        fail_msg("%s", error.text);
    bytes_free(&config);
    free(w);
    return m;
}

static float *logits_of_fp8(enum dtype fp8, bool coded, size_t *count)
{
    struct catalog c = {0};
    struct error error = {"(no message)"};
    char *path = arch_path("llama", "model.safetensors"), *folder = folder_make();
    struct writing *w = calloc(1, sizeof *w);
    assert_true(w && safetensors_read(&c, path, &error));
    for (size_t i = 0; i < c.count; i++)
        put_as_fp8(w, &c.entries[i], fp8, coded);
    catalog_close(&c);
    struct model *m = open_written(folder, w, "llama");
    int q = model_find(m, ROLE_ATTN_Q, 1);
    assert_int_equal(m->tensors[q].stored.format.weight, coded ? fp8 : DTYPE_FP32);
    float *logits = run_model(m);
    *count = m->hyper.vocab;
    model_close(m);
    free(path);
    folder_remove(folder);
    return logits;
}

static void test_fp8_weights(void **state)
{
    (void)state;
    static const enum dtype types[] = {DTYPE_FP8E4M3, DTYPE_FP8E5M2};
    for (size_t k = 0; k < 2; k++) {
        size_t n;
        float *coded = logits_of_fp8(types[k], true, &n), *plain = logits_of_fp8(types[k], false, &n);
        for (size_t i = 0; i < n; i++)
            if (!(fabsf(coded[i] - plain[i]) <= 1e-4f))
                fail_msg("%s: logit %zu = %g; in fp32 %g", dtypes[types[k]].name, i, (double)coded[i],
                         (double)plain[i]);
        free(coded);
        free(plain);
    }
}

/* The same values as F64, or as F32. */
static void put_as_doubles(struct writing *w, const struct entry *e, bool doubles)
{
    size_t n = e->bytes / dtypes[e->dtype].block_bytes;
    float *values = make(n * sizeof *values);
    double *wide = make(n * sizeof *wide);
    dtypes[e->dtype].decode_run(e->data, 0, n, 0, values);
    for (size_t i = 0; i < n; i++)
        wide[i] = (double)values[i];
    if (doubles)
        writing_put(w, e->name, "F64", e, wide, n * sizeof *wide);
    else
        writing_put(w, e->name, "F32", e, values, n * sizeof *values);
    free(values);
    free(wide);
}

static float *logits_of_doubles(const char *name, bool doubles, size_t *count)
{
    struct catalog c = {0};
    struct error error = {"(no message)"};
    char *path = arch_path(name, "model.safetensors"), *folder = folder_make(), note[80];
    struct writing *w = calloc(1, sizeof *w);
    assert_true(w && safetensors_read(&c, path, &error));
    for (size_t i = 0; i < c.count; i++)
        put_as_doubles(w, &c.entries[i], doubles);
    snprintf(note, sizeof note, "%zu tensors of F64 are read as fp32", c.count);
    catalog_close(&c);
    struct model *m = open_written(folder, w, name);
    assert_int_equal(strstr(m->note, note) != NULL, doubles);
    for (size_t i = 0; i < m->tensor_count; i++)
        assert_int_equal(m->tensors[i].stored.format.weight, DTYPE_FP32);
    float *logits = run_model(m);
    *count = m->hyper.vocab;
    model_close(m);
    free(path);
    folder_remove(folder);
    return logits;
}

static void test_double_weights(void **state)
{
    (void)state;
    static const char *const names[] = {"llama", "gpt2", "gemma2"}; /* as it lies, transposed, norms counted from 1 */
    for (size_t k = 0; k < 3; k++) {
        size_t n;
        float *wide = logits_of_doubles(names[k], true, &n), *plain = logits_of_doubles(names[k], false, &n);
        assert_memory_equal(wide, plain, n * sizeof *wide);
        free(wide);
        free(plain);
    }
}

/* The weights of a model with one entry left out, renamed, in another shape or of another type. */
struct entry_change {
    const char *model;           /* null: llama */
    const char *name, *renamed; /* renamed null: left out */
    size_t dimensions, shape[3]; /* dimensions 0: as it is */
    const char *type;            /* null: as it is, F16 */
    const char *added;           /* the name of a tensor of one number that is there, too; or null */
    const char *says;
};

static void check_change(const struct entry_change *change)
{
    struct catalog c = {0};
    struct error error = {"(no message)"};
    const char *model = change->model ? change->model : "llama";
    char *path = arch_path(model, "model.safetensors"), *folder = folder_make();
    struct writing *w = calloc(1, sizeof *w);
    struct bytes config = arch_config(model);
    assert_true(w && safetensors_read(&c, path, &error));
    for (size_t i = 0; i < c.count; i++) {
        struct entry e = c.entries[i];
        bool it = strcmp(e.name, change->name) == 0;
        if (it && !change->renamed)
            continue;
        if (it && change->dimensions) {
            e.dimensions = change->dimensions;
            memcpy(e.shape, change->shape, sizeof change->shape);
        }
        writing_put(w, it ? change->renamed : e.name, it && change->type ? change->type : "F16", &e, e.data,
                  e.bytes);
    }
    if (change->added)
        writing_put(w, change->added, "F32", &(struct entry){.dimensions = 1, .shape = {1}}, &(float){1}, 4);
    catalog_close(&c);
    writing_write(folder, w);
    folder_write(folder, "config.json", config.data, config.size);
    check_folder(folder, change->says, change->name);
    bytes_free(&config);
    free(w);
    free(path);
    folder_remove(folder);
}

#define UP   "model.layers.1.mlp.up_proj.weight"
#define NORM "model.layers.0.input_layernorm.weight"
#define SAME(NAME) .name = (NAME), .renamed = (NAME)

#define GLM "../families/glm4_moe"
#define EXPERT "model.layers.1.mlp.experts.2.up_proj.weight"
#define ROUTER "model.layers.1.mlp.gate.weight"
#define CHOICE "model.layers.1.mlp.gate.e_score_correction_bias"
#define SHARED "model.layers.1.mlp.shared_experts.down_proj.weight"
#define OSS "../families/gpt_oss_usual"
#define FUSED "model.layers.0.mlp.experts.gate_up_proj"

static const struct entry_change entry_cases[] = {
    {GLM, SAME(EXPERT), .says = NULL},
    {GLM, .name = EXPERT, .says = "tensor " EXPERT " is missing"},
    {GLM, .name = ROUTER, .says = "tensor " ROUTER " is missing"},
    {GLM, .name = SHARED, .says = "tensor " SHARED " is missing"},
    {GLM, .name = EXPERT, .renamed = "model.layers.1.mlp.experts.4.up_proj.weight",
     .says = "tensor " EXPERT " is missing"},
    {GLM, .name = EXPERT, .renamed = "model.layers.2.mlp.experts.2.up_proj.weight",
     .says = "tensor " EXPERT " is missing"},
    {GLM, SAME(ROUTER), .dimensions = 2, .shape = {8, 8}, .says = "tensor " ROUTER ": shape 8 x 8; expected 4 x 16"},
    {GLM, SAME(EXPERT), .dimensions = 2, .shape = {16, 8}, .says = "tensor " EXPERT ": shape 16 x 8; expected 8 x 16"},
    {GLM, SAME(CHOICE), .dimensions = 2, .shape = {2, 2}, .says = "tensor " CHOICE ": shape 2 x 2; expected 4"},
    {GLM, .name = "model.layers.0.mlp.up_proj.weight", .says = "tensor model.layers.0.mlp.up_proj.weight is missing"},
    {GLM, .name = "model.layers.1.self_attn.q_norm.weight",
     .says = "tensor model.layers.1.self_attn.q_norm.weight is missing"},
    {GLM, SAME(EXPERT), .added = "model.layers.2.eh_proj.weight", .says = NULL}, /* predicts the token after the next */
    {GLM, SAME(EXPERT), .added = "model.layers.1.eh_proj.weight",
     .says = "tensor model.layers.1.eh_proj.weight is not part of the architecture glm4moe with 2 layers"},
    {SAME(UP), .added = "model.layers.2.eh_proj.weight",
     .says = "tensor model.layers.2.eh_proj.weight is not part of the architecture llama with 2 layers"},
    {"../families/ernie4_5_moe", SAME(UP), .added = "model.mtp_block.0.norm.weight", .says = NULL},
    {OSS, .name = FUSED, .says = "tensor " FUSED " is missing"},
    {OSS, .name = FUSED "_bias", .says = "tensor " FUSED "_bias is missing"},
    {OSS, .name = FUSED, .renamed = FUSED "_blocks", .says = "tensor " FUSED " is missing"},
    {OSS, SAME(FUSED), .dimensions = 3, .shape = {2, 16, 64}, .says = "tensor " FUSED ": 2 experts in 3 dimensions"},
    {OSS, SAME(FUSED), .dimensions = 3, .shape = {4, 32, 16},
     .says = "tensor " FUSED ": shape 32 x 16; expected 16 x 32"},
    {OSS, SAME(FUSED), .dimensions = 2, .shape = {64, 32}, .says = "tensor " FUSED ": 64 experts in 2 dimensions"},
    {OSS, .name = "model.layers.0.self_attn.sinks", .says = "tensor model.layers.0.self_attn.sinks is missing"},
    {SAME(UP), .says = NULL},
    {.name = UP, .says = "tensor " UP " is missing"},
    {.name = "model.embed_tokens.weight", .says = "tensor model.embed_tokens.weight is missing"},
    {.name = "lm_head.weight", .says = "tensor lm_head.weight is missing"},
    {.name = UP, .renamed = UP "_scale", .says = "is missing"},
    {.name = NORM, .renamed = "model.layers.0.input_layernorm.bias", .says = "tensor " NORM " is missing"},
    {SAME(UP), .dimensions = 2, .shape = {32, 44}, .says = "tensor " UP ": shape 32 x 44; expected 44 x 32"},
    {SAME(UP), .dimensions = 1, .shape = {32 * 44}, .says = "tensor " UP ": shape 1408; expected 44 x 32"},
    {SAME(UP), .dimensions = 3, .shape = {1, 44, 32}, .says = "tensor " UP ": shape 1 x 44 x 32"},
    {SAME(NORM), .dimensions = 2, .shape = {1, 32}, .says = "tensor " NORM ": shape 1 x 32; expected 32"},
    {SAME(UP), .type = "I16", .says = UP},
    {SAME(UP), .type = "U8", .dimensions = 2, .shape = {44, 64},
     .says = "tensor " UP ": dtype is U8; expected F64, F32, F16, BF16, F8_E4M3 or F8_E5M2, since config.json has no "
             "quantization_config"},
    {SAME(UP), .type = "F32", .says = UP},
    {SAME(UP), .type = "BF16", .says = NULL},
};

static void test_entries(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof entry_cases / sizeof *entry_cases; i++)
        check_change(&entry_cases[i]);
}

/* A tensor more than the architecture has, such as the scales of another program's quantization. */
static void test_unknown_entry(void **state)
{
    (void)state;
    struct catalog c = {0};
    struct error error = {"(no message)"};
    char *path = arch_path("llama", "model.safetensors"), *folder = folder_make();
    struct writing *w = calloc(1, sizeof *w);
    struct bytes config = arch_config("llama");
    assert_true(w && safetensors_read(&c, path, &error));
    for (size_t i = 0; i < c.count; i++)
        writing_put(w, c.entries[i].name, "F16", &c.entries[i], c.entries[i].data, c.entries[i].bytes);
    struct entry scale = {.dimensions = 1, .shape = {1}};
    writing_put(w, UP "_scale_inv", "F32", &scale, &(float){1}, 4);
    catalog_close(&c);
    writing_write(folder, w);
    folder_write(folder, "config.json", config.data, config.size);
    check_folder(folder, "tensor " UP "_scale_inv is not part of the architecture llama", "a scale");
    bytes_free(&config);
    free(w);
    free(path);
    folder_remove(folder);
}

static void check_index(const char *index, const char *says)
{
    char *folder = folder_make();
    struct bytes config = arch_config("llama");
    folder_write(folder, "config.json", config.data, config.size);
    folder_write(folder, "model.safetensors.index.json", index, strlen(index));
    folder_link_weights(folder, "llama", "part.safetensors");
    check_folder(folder, says, index);
    bytes_free(&config);
    folder_remove(folder);
}

static void test_index(void **state)
{
    (void)state;
    check_index("{\"weight_map\": {\"lm_head.weight\": \"part.safetensors\"}}", NULL);
    check_index("{\"weight_map\": {\"lm_head.weight\": \"absent.safetensors\"}}", "absent.safetensors");
    check_index("{\"weight_map\": {\"lm_head.weight\": \"../part.safetensors\"}}", "../part.safetensors");
    check_index("{\"weight_map\": {\"lm_head.weight\": \"/etc/passwd\"}}", "/etc/passwd");
    check_index("{\"weight_map\": {\"lm_head.weight\": 7}}", "lm_head.weight");
    check_index("{\"weight_map\": {}}", "weight_map: is empty");
    check_index("[]", "index: is a list");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),       cmocka_unit_test(test_fractions),
        cmocka_unit_test(test_values),        cmocka_unit_test(test_windows_on_demand),
        cmocka_unit_test(test_text),          cmocka_unit_test(test_missing_files),
        cmocka_unit_test(test_fp8_weights),
        cmocka_unit_test(test_double_weights),   cmocka_unit_test(test_entries),
        cmocka_unit_test(test_unknown_entry), cmocka_unit_test(test_index),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
