/* Checkpoints that hold the same model in other words: bare ones, with dimensions of 1 or tensors of nothing, with a
 * head that config.json ties or a bias that it does not know. The model is the same, or what is said twice is resolved
 * as transformers does, with a note, or refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "archfolder.h"
#include "session/session.h"
#include "formats/safetensors.h"
#include "support.h"
#include "weightcheck.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the weights of a model, changed --------------------------------------------------------- */

/* How one tensor is written; null: as it is. */
struct change {
    const char *from, *to;     /* what names begin with, and with what instead */
    const char *gone;          /* a tensor that is left out */
    const char *longer;        /* one that gets a dimension of 1 at its end */
    const char *added;         /* one more, of `added_size` fp16 ones (0: of no element) */
    size_t added_size;
    float head_scale;          /* of lm_head.weight, a copy of the embedding; 0: none is added */
    float queries_of_layer_1;  /* what GPT-2's queries of layer 1 are multiplied by; 0: nothing */
    float queries;             /* the same of all layers */
    const char *key, *value;   /* of config.json */
};

static void scale_fp16(uint8_t *data, size_t first, size_t count, float factor)
{
    for (size_t i = first; i < first + count; i++) {
        uint16_t code;
        memcpy(&code, data + 2 * i, 2);
        code = (uint16_t)dtypes[DTYPE_FP16].encode(fp16_decode(code) * factor);
        memcpy(data + 2 * i, &code, 2);
    }
}

/* The queries' part of GPT-2's fused matrix (columns x rows) or bias: of each row of 3 n the first n. */
static void scale_queries(uint8_t *data, const struct entry *e, float factor)
{
    size_t all = e->shape[e->dimensions - 1], rows = e->bytes / 2 / all;
    for (size_t r = 0; r < rows; r++)
        scale_fp16(data, r * all, all / 3, factor);
}

static void put_changed(struct writing *w, const struct entry *e, const struct change *c)
{
    char name[256];
    size_t n = c->from ? strlen(c->from) : 0;
    struct entry shape = *e;
    uint8_t *data = make(e->bytes);
    memcpy(data, e->data, e->bytes);
    if (c->gone && strcmp(c->gone, e->name) == 0) {
        free(data);
        return;
    }
    bool renamed = c->from && strncmp(e->name, c->from, n) == 0;
    snprintf(name, sizeof name, "%s%s", renamed ? c->to : "", renamed ? e->name + n : e->name);
    if (c->longer && strcmp(c->longer, e->name) == 0)
        shape.shape[shape.dimensions++] = 1;
    if (strstr(e->name, "attn.c_attn.")) {
        bool second = strstr(e->name, "h.1.");
        scale_queries(data, e, (c->queries > 0 ? c->queries : 1) *
                                   (second && c->queries_of_layer_1 > 0 ? c->queries_of_layer_1 : 1));
    }
    writing_put(w, name, "F16", &shape, data, e->bytes);
    if (c->head_scale > 0 && strstr(e->name, "embed_tokens.weight")) {
        if (c->head_scale != 1)
            scale_fp16(data, 0, e->bytes / 2, c->head_scale);
        writing_put(w, "lm_head.weight", "F16", e, data, e->bytes);
    }
    free(data);
}

/* A folder with the weights and the configuration of a model of the reference data, changed. */
static char *write_folder(const char *model, const struct change *c)
{
    static const uint16_t ones[64] = {0x3c00, 0x3c00, 0x3c00, 0x3c00};
    struct catalog files = {0};
    struct error error = {"(no message)"};
    char *path = arch_path(model, "model.safetensors"), *folder = folder_make();
    struct writing *w = calloc(1, sizeof *w);
    struct bytes config = arch_config(model);
    char *text = c->key ? config_with((const char *)config.data, c->key, c->value) : strdup((const char *)config.data);
    assert_true(w && text && safetensors_read(&files, path, &error));
    for (size_t i = 0; i < files.count; i++)
        put_changed(w, &files.entries[i], c);
    if (c->added)
        writing_put(w, c->added, "F16", &(struct entry){.dimensions = 1, .shape = {c->added_size}}, ones,
                    2 * c->added_size);
    writing_write(folder, w);
    folder_write(folder, "config.json", text, strlen(text));
    catalog_close(&files);
    bytes_free(&config);
    free(text), free(path), free(w);
    return folder;
}

/* ---- what becomes of it ---------------------------------------------------------------------- */

enum { TOKENS = 6 };
static const int32_t ids[TOKENS] = {1, 5, 3, 9, 40, 17};

/* The logits of all tokens; the caller frees. */
static float *run_folder(const char *folder, char note[400], size_t *count)
{
    struct error error = {"(no message)"};
    struct session s;
    struct session_options options = {.model_path = folder, .threads = 1};
    if (!session_open(&s, &options, &error))
        fail_msg("%s", error.text);
    struct context *c = context_open(s.model, s.pool, 8, &error);
    *count = TOKENS * s.model->hyper.vocab;
    float *logits = make(*count * sizeof *logits);
    assert_non_null(c);
    context_run(c, s.stored, ids, TOKENS, LOGITS_ALL, logits);
    snprintf(note, 400, "%s", s.model->note);
    context_close(c);
    session_close(&s);
    return logits;
}

/* Rounding of weights in fp16. */
static const float TOLERANCE = 1e-2f;

/* Two changes of a model make the same logits; the second one's note says something ("" : is empty). */
static void check_same(const char *model, struct change first, struct change second, const char *says)
{
    char *folders[] = {write_folder(model, &first), write_folder(model, &second)}, notes[2][400];
    size_t n[2];
    float *logits[2];
    for (size_t i = 0; i < 2; i++)
        logits[i] = run_folder(folders[i], notes[i], &n[i]);
    assert_int_equal(n[0], n[1]);
    for (size_t i = 0; i < n[0]; i++)
        if (!(fabsf(logits[0][i] - logits[1][i]) <= TOLERANCE))
            fail_msg("%s: logit %zu = %g and %g", model, i, (double)logits[0][i], (double)logits[1][i]);
    if (*says ? !strstr(notes[1], says) : *notes[1])
        fail_msg("the note is '%s'; expected '%s'", notes[1], says);
    for (size_t i = 0; i < 2; i++) {
        free(logits[i]);
        folder_remove(folders[i]);
    }
}

static bool differ(const char *model, struct change first, struct change second)
{
    char *folders[] = {write_folder(model, &first), write_folder(model, &second)}, note[400];
    size_t n[2], others = 0;
    float *a = run_folder(folders[0], note, &n[0]), *b = run_folder(folders[1], note, &n[1]);
    for (size_t i = 0; i < n[0]; i++)
        others += !(fabsf(a[i] - b[i]) <= TOLERANCE);
    free(a), free(b);
    folder_remove(folders[0]), folder_remove(folders[1]);
    return others > n[0] / 2;
}

static void check_refused(const char *model, struct change change, const char *says)
{
    struct error error = {"(no message)"};
    char *folder = write_folder(model, &change);
    struct model *m = model_open(folder, &error);
    if (m)
        fail_msg("%s was opened; expected a refusal that says '%s'", model, says);
    check_line(&error, says);
    folder_remove(folder);
}

/* ---- names ----------------------------------------------------------------------------------- */

static void test_prefixes(void **state)
{
    (void)state;
    static const struct change same = {0};
    static const char *const bare[] = {"llama", "mistral", "phi3", "qwen3"};
    for (size_t i = 0; i < sizeof bare / sizeof *bare; i++)
        check_same(bare[i], same, (struct change){.from = "model.", .to = ""}, "");
    check_same("gemma2", same, (struct change){.from = "model.", .to = ""}, "");
    check_same("qwen2", same, (struct change){.from = "model.", .to = "model.language_model."}, "");
    check_same("qwen2", same, (struct change){.from = "model.", .to = "language_model.model."}, "");
    check_same("gpt2", same, (struct change){.from = "transformer.", .to = ""}, "");
    check_same("gpt2", same, (struct change){.from = "h.", .to = "h."}, "");
    check_refused("llama", (struct change){.from = "model.", .to = "encoder."},
                  "tensor model.embed_tokens.weight is missing");
    check_refused("llama", (struct change){.from = "model.", .to = "", .gone = "lm_head.weight"},
                  "tensor lm_head.weight is missing, and config.json does not tie it");
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static void test_dimensions_of_one(void **state)
{
    (void)state;
    static const struct change same = {0};
    check_same("llama", same, (struct change){.longer = "model.layers.1.mlp.up_proj.weight"}, "");
    check_same("llama", same, (struct change){.longer = "model.norm.weight"}, "");
    check_same("llama", same, (struct change){.longer = "model.embed_tokens.weight"}, "");
}

static void test_nothing(void **state)
{
    (void)state;
    check_same("llama", (struct change){0}, (struct change){.added = "model.whatever"}, "");
    check_refused("llama", (struct change){.added = "model.whatever", .added_size = 2},
                  "tensor model.whatever is not part of the architecture llama");
    check_refused("llama", (struct change){.gone = "model.norm.weight", .added = "model.norm.weight"},
                  "tensor model.norm.weight is empty");
}

/* ---- what is said twice ---------------------------------------------------------------------- */

static void test_heads(void **state)
{
    (void)state;
    static const struct change same = {0};
    check_same("qwen2", same, (struct change){.head_scale = 1}, "");
    assert_true(differ("qwen2", same, (struct change){.head_scale = 2}));
    check_same("qwen2", (struct change){.head_scale = 2, .key = "tie_word_embeddings", .value = "false"},
               (struct change){.head_scale = 2},
               "lm_head.weight is not the embedding that config.json ties it to: both are used");
    check_same("qwen2", same, (struct change){.from = "model.embed_tokens.weight", .to = "lm_head.weight"}, "");
}

static void test_biases(void **state)
{
    (void)state;
    check_refused("llama", (struct change){.key = "attention_bias", .value = "true"},
                  "attention_bias = true, but tensor model.layers.0.self_attn.q_proj.bias is missing");
    check_refused("llama", (struct change){.added = "model.layers.0.self_attn.q_proj.bias", .added_size = 32},
                  "q_proj.bias is there, but config.json does not say attention_bias = true");
}

/* A refusal says what was assumed of a key that is missing. */
static void test_assumed(void **state)
{
    (void)state;
    check_refused("llama", (struct change){.key = "hidden_size", .value = NULL},
                  "config.json does not say hidden_size: 4096, the default of llama");
}

/* ---- scales of attention --------------------------------------------------------------------- */

/* Dividing scores by a number is dividing the queries by it. */
static void test_scales(void **state)
{
    (void)state;
    static const char by_layer[] = "\"float16\", \"scale_attn_by_inverse_layer_idx\": true";
    static const char unscaled[] = "\"float16\", \"scale_attn_weights\": false";
    const struct change halved = {.queries_of_layer_1 = 0.5f}, whole = {.queries = sqrtf(8)};
    check_same("gpt2", halved, (struct change){.key = "torch_dtype", .value = by_layer}, "");
    assert_true(differ("gpt2", (struct change){0}, halved));
    check_same("gpt2", whole, (struct change){.key = "torch_dtype", .value = unscaled}, "");
    assert_true(differ("gpt2", (struct change){0}, whole));
}

/* ---- ids without a tokenizer ----------------------------------------------------------------- */

static void check_begin(const char *model, struct change change, int32_t bos, int32_t start)
{
    struct error error = {"(no message)"};
    struct session s;
    char *folder = write_folder(model, &change);
    struct session_options options = {.model_path = folder, .threads = 1};
    if (!session_open(&s, &options, &error))
        fail_msg("%s", error.text);
    assert_null(s.tokenizer);
    assert_int_equal(session_bos(&s), bos);
    assert_int_equal(session_start(&s), start);
    assert_int_equal(session_ends_text(&s, bos), bos >= 0);
    assert_false(session_ends_text(&s, -1));
    session_close(&s);
    folder_remove(folder);
}

static void test_beginning(void **state)
{
    (void)state;
    check_begin("llama", (struct change){0}, 1, 1);
    check_begin("gemma", (struct change){0}, 2, 2);
    check_begin("gpt2", (struct change){0}, 63, 63);
    check_begin("llama", (struct change){.key = "bos_token_id", .value = "9"}, 9, 9);
    check_begin("llama", (struct change){.key = "bos_token_id", .value = "null"}, -1, 2);
    check_begin("qwen2", (struct change){.key = "bos_token_id", .value = NULL}, -1, 63);
    check_begin("llama", (struct change){.key = "bos_token_id", .value = "64"}, -1, 2); /* no token of this model */
}

/* Of 64 characters, none of which ends a text. */
static void write_tokenizer(const char *folder)
{
    char text[2048];
    int n = snprintf(text, sizeof text, "{\"model\":{\"type\":\"BPE\",\"merges\":[[\"A\",\"B\"]],\"vocab\":{\"AB\":0");
    for (int i = 1; i < 64; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, ",\"%c\":%d", i < 58 ? '"' + i : ']' + i - 58, i);
    n += snprintf(text + n, sizeof text - (size_t)n, "}}}");
    folder_write(folder, "tokenizer.json", text, (size_t)n);
}

/* A text ends where generate of transformers ends it, with a tokenizer or without: at the tokens of config.json and
 * those of generation_config.json. */
static void check_ends(const char *generation, const char *ends, bool tokenizer, const char *says)
{
    struct error error = {"(no message)"};
    struct session s;
    char *folder = write_folder("llama", &(struct change){.key = "eos_token_id", .value = "5"}), found[256] = "";
    struct session_options options = {.model_path = folder, .threads = 1};
    if (generation)
        folder_write(folder, "generation_config.json", generation, strlen(generation));
    if (tokenizer)
        write_tokenizer(folder);
    if (!session_open(&s, &options, &error))
        fail_msg("%s", error.text);
    if ((s.tokenizer != NULL) != tokenizer)
        fail_msg("%s", s.tokenizer_error.text);
    for (int32_t i = 3; i < 64; i++) /* the model's BOS is before */
        if (session_ends_text(&s, i))
            snprintf(found + strlen(found), sizeof found - strlen(found), "%d ", i);
    assert_string_equal(found, ends);
    if (!strstr(s.model->note, says))
        fail_msg("'%s' does not say '%s'", s.model->note, says);
    session_close(&s);
    folder_remove(folder);
}

static void test_ends(void **state)
{
    (void)state;
    for (int tokenizer = 0; tokenizer < 2; tokenizer++) {
        check_ends(NULL, "5 ", tokenizer, "");
        check_ends("{\"eos_token_id\": 9}", "5 9 ", tokenizer, "");
        check_ends("{\"eos_token_id\": [5, 9, 11, 64, -1]}", "5 9 11 ", tokenizer, "");
        check_ends("{\"eos_token_id\": null}", "5 ", tokenizer, "");
        check_ends("{\"eos_token_id\": [\"x\"]}", "5 ", tokenizer, "eos_token_id is a string and not used");
        check_ends("[", "5 ", tokenizer, "generation_config.json: not");
        check_ends("{\"eos_token_id\": [10,11,12,13,14,15,16,17]}", "5 10 11 12 13 14 15 16 ", tokenizer,
                   "more than 8 tokens end a text");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefixes), cmocka_unit_test(test_dimensions_of_one), cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_heads),    cmocka_unit_test(test_biases),            cmocka_unit_test(test_assumed),
        cmocka_unit_test(test_scales),   cmocka_unit_test(test_beginning),
        cmocka_unit_test(test_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
