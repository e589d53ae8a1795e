/* What the keys of a config.json mean: each architecture's own defaults where one is missing, one value where a key may
 * stand in two places, and a refusal by name and value of what is asked for and not computed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/hf_config.h"
#include "support.h"
#include "weightcheck.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keys without which no shape is known. */
#define SHAPE                                                                                                      \
    "\"hidden_size\": 64, \"intermediate_size\": 96, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, "        \
    "\"vocab_size\": 256, \"num_key_value_heads\": 2, \"head_dim\": 16"

/* A model from keys; null where they are refused, with what is said. The caller closes it. */
static struct model *parse(const char *keys, struct hf_asked *asked, struct error *error)
{
    struct model *m = make(sizeof *m);
    *m = (struct model){.bos = -1};
    if (hf_config_parse(m, (const uint8_t *)keys, strlen(keys), asked, error))
        return m;
    model_close(m);
    return NULL;
}

static struct model *parse_type(const char *type, const char *keys, struct error *error)
{
    char text[2048];
    struct hf_asked asked = {0};
    snprintf(text, sizeof text, "{\"model_type\": \"%s\", " SHAPE "%s%s}", type, *keys ? ", " : "", keys);
    return parse(text, &asked, error);
}

static struct model *accept(const char *type, const char *keys)
{
    struct error error = {"(no message)"};
    struct model *m = parse_type(type, keys, &error);
    if (!m)
        fail_msg("%s with {%s} was refused: %s", type, keys, error.text);
    return m;
}

/* `says` null: it is accepted. */
static void check(const char *type, const char *keys, const char *says)
{
    struct error error = {"(no message)"};
    struct model *m = parse_type(type, keys, &error);
    if (m && says)
        fail_msg("%s with {%s} was accepted; expected a refusal that says '%s'", type, keys, says);
    if (!m && !says)
        fail_msg("%s with {%s} was refused: %s", type, keys, error.text);
    if (!m)
        check_line(&error, says);
    model_close(m);
}

/* ---- defaults -------------------------------------------------------------------------------- */

/* As transformers' configuration classes have them. */
static const struct {
    const char *type;
    size_t context, window, kv_heads, head_size;
    float epsilon, attention_cap, logit_cap, attention_scale;
    int32_t bos, eos;
    bool tied;
} defaults[] = {
    {"llama", 2048, 0, 4, 16, 1e-6f, 0, 0, 0, 1, 2, false},
    {"mistral", 131072, 4096, 8, 8, 1e-6f, 0, 0, 0, 1, 2, false},
    {"qwen2", 32768, 0, 32, 2, 1e-6f, 0, 0, 0, -1, -1, false},
    {"qwen3", 32768, 0, 32, 128, 1e-6f, 0, 0, 0, -1, -1, false},
    {"phi3", 4096, 0, 4, 16, 1e-5f, 0, 0, 0, 1, 32000, false},
    {"gemma", 8192, 0, 16, 256, 1e-6f, 0, 0, 0, 2, 1, true},
    {"gemma2", 8192, 4096, 4, 256, 1e-6f, 50, 30, 1 / 16.0f, 2, 1, true},
    {"arcee", 4096, 0, 4, 16, 1e-5f, 0, 0, 0, -1, -1, false}, /* whose ids are above the test's vocabulary */
    {"glm", 131072, 0, 2, 128, 0.00000015625f, 0, 0, 0, -1, -1, false},
    {"glm4", 131072, 0, 2, 128, 0.00000015625f, 0, 0, 0, -1, -1, false},
    {"granite", 2048, 0, 4, 16, 1e-6f, 0, 0, 1, 1, 2, false},
    {"ministral", 131072, 4096, 8, 8, 1e-6f, 0, 0, 0, 1, 2, false},
    {"nemotron", 4096, 0, 4, 16, 1e-5f, 0, 0, 0, 2, 3, false},
    {"cohere2", 8192, 4096, 4, 16, 1e-5f, 0, 0, 0, 5, -1, true},
    {"exaone4", 2048, 4096, 32, 2, 1e-5f, 0, 0, 0, 0, 2, false},
    {"falcon", 2048, 0, 1, 16, 1e-5f, 0, 0, 0, 11, 11, true},
    {"gpt_neo", 2048, 256, 4, 16, 1e-5f, 0, 0, 1, -1, -1, true},
    {"gpt_neox", 2048, 0, 4, 16, 1e-5f, 0, 0, 0, 0, 2, false},
    {"hunyuan_v1_dense", 2048, 0, 4, 16, 1e-6f, 0, 0, 0, 1, 2, false},
    {"olmo", 2048, 0, 4, 16, 1e-5f, 0, 0, 0, -1, -1, false},
    {"olmo2", 2048, 0, 4, 16, 1e-5f, 0, 0, 0, -1, -1, false},
    {"opt", 2048, 0, 4, 16, 1e-5f, 0, 0, 0, 2, 2, true},
    {"phi", 2048, 0, 4, 16, 1e-5f, 0, 0, 0, 1, 2, false},
    {"starcoder2", 4096, 0, 2, 16, 1e-5f, 0, 0, 0, -1, -1, true},
    {"vaultgemma", 8192, 4096, 4, 256, 1e-6f, 50, 30, 1 / 16.0f, 2, 1, true},
    {"seed_oss", 524288, 0, 8, 128, 1e-6f, 0, 0, 0, 0, 2, false},
};

static void check_defaults(size_t i)
{
    char text[512];
    struct error error = {"(no message)"};
    struct hf_asked asked = {0};
    size_t heads = defaults[i].kv_heads, dim = heads == 8 || heads == 32 ? 64 : 16 * heads;
    snprintf(text, sizeof text, "{\"model_type\": \"%s\", \"hidden_size\": %zu, \"intermediate_size\": 96, "
                                "\"num_hidden_layers\": 2, \"num_attention_heads\": %zu, \"vocab_size\": 40000}",
             defaults[i].type, dim, heads);
    struct model *m = parse(text, &asked, &error);
    if (!m)
        fail_msg("%s: %s", defaults[i].type, error.text);
    const struct hyper *h = &m->hyper;
    print_message("%s\n", defaults[i].type);
    assert_int_equal(h->trained_context, defaults[i].context);
    assert_int_equal(hyper_window(h, 0), defaults[i].window);
    assert_int_equal(h->kv_heads, defaults[i].kv_heads);
    assert_int_equal(h->head_size, defaults[i].head_size);
    assert_true(h->norm_eps == defaults[i].epsilon && h->rope_base == 10000);
    assert_true(h->attention_cap == defaults[i].attention_cap && h->logit_cap == defaults[i].logit_cap);
    assert_true(h->attention_scale == defaults[i].attention_scale);
    assert_int_equal(m->tied, defaults[i].tied);
    assert_int_equal(m->bos, defaults[i].bos);
    assert_int_equal(m->end_count > 0 ? m->ends[0] : -1, defaults[i].eos);
    assert_non_null(strstr(m->note, "config.json does not say max_position_embeddings"));
    model_close(m);
}

static void test_defaults(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
        check_defaults(i);
}

/* GPT-2's configuration may say nothing at all: it is the smallest one's. */
static void test_smallest(void **state)
{
    (void)state;
    struct error error = {"(no message)"};
    struct hf_asked asked = {0};
    struct model *m = parse("{\"model_type\": \"gpt2\"}", &asked, &error);
    if (!m)
        fail_msg("%s", error.text);
    assert_int_equal(m->hyper.dim, 768);
    assert_int_equal(m->hyper.hidden, 3072);
    assert_int_equal(m->hyper.layers, 12);
    assert_int_equal(m->hyper.trained_context, 1024);
    assert_int_equal(m->bos, 50256);
    assert_true(m->tied && m->hyper.norm_eps == 1e-5f);
    model_close(m);
}

/* Gemma 3's layers with a window have a rotary base of their own, which no scaling divides; which layers these are says
 * sliding_window_pattern, or layer by layer layer_types. */
static void test_windows(void **state)
{
    (void)state;
    struct model *m = accept("gemma3_text", "\"sliding_window\": 8, \"sliding_window_pattern\": 2, "
                                            "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 8}");
    assert_int_equal(m->layers[0].window, 8);
    assert_int_equal(m->layers[1].window, 0);
    assert_true(m->rotary[m->layers[0].rotary].base == 10000 && m->rotary[m->layers[1].rotary].base == 1000000);
    assert_true(!m->rotary[m->layers[0].rotary].factors && m->rotary[m->layers[1].rotary].factors[0] == 8);
    model_close(m);
    m = accept("gemma3_text", "\"layer_types\": [\"full_attention\", \"sliding_attention\"], "
                              "\"rope_parameters\": {\"sliding_attention\": {\"rope_theta\": 500}}");
    assert_int_equal(m->layers[0].window, 0);
    assert_int_equal(m->layers[1].window, 4096);
    assert_true(m->rotary[m->layers[0].rotary].base == 1000000 && m->rotary[m->layers[1].rotary].base == 500);
    model_close(m);
}

/* null is not the same as a key that is missing. */
static void test_null(void **state)
{
    (void)state;
    struct model *m = accept("gemma2", "\"attn_logit_softcapping\": null, \"final_logit_softcapping\": null");
    assert_true(m->hyper.attention_cap == 0 && m->hyper.logit_cap == 0);
    model_close(m);
    m = accept("mistral", "\"sliding_window\": null, \"bos_token_id\": null, \"eos_token_id\": [7, 8, 999]");
    assert_int_equal(m->hyper.window, 0);
    assert_int_equal(m->bos, -1);
    assert_int_equal(m->end_count, 2); /* the third is no token */
    assert_true(model_ends_text(m, 7) && model_ends_text(m, 8) && !model_ends_text(m, 2));
    model_close(m);
    check("gemma2", "\"final_logit_softcapping\": 0", "final_logit_softcapping = 0");
}

/* ---- what is asked for and not computed ------------------------------------------------------ */

/* Without the inputs that layers have of their own, whose table is as long as the vocabulary. */
#define GEMMA4 "\"hidden_size_per_layer_input\": 0"

#define OSS_ROPE "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 32, \"original_max_position_embeddings\": 64}"

static const struct {
    const char *type, *keys, *says;
} asked_cases[] = {
    {"llama", "\"mlp_bias\": true", NULL},
    {"llama", "\"mlp_bias\": 1", "mlp_bias is an integer; expected true or false"},
    {"mistral", "\"mlp_bias\": true", "mlp_bias = true is not supported in mistral models; expected false"},
    {"llama", "\"mlp_bias\": false, \"attention_dropout\": 0.1, \"pretraining_tp\": 2, \"use_cache\": false", NULL},
    {"llama", "\"logit_scale\": 0.25", "logit_scale = 0.25 is not supported"},
    {"llama", "\"logit_scale\": 1", NULL},
    {"llama", "\"logits_scaling\": 1.0", NULL},
    {"llama", "\"logits_scaling\": 8.0", "logits_scaling = 8.0"},
    {"llama", "\"embedding_multiplier\": 12", "embedding_multiplier = 12"},
    {"llama", "\"residual_multiplier\": 0.22", "residual_multiplier = 0.22"},
    {"llama", "\"attention_multiplier\": 0.015625", "attention_multiplier = 0.015625"},
    {"llama", "\"attention_multiplier\": null", NULL},
    {"llama", "\"num_local_experts\": 8", "num_local_experts = 8"},
    {"llama", "\"scale_attn_by_inverse_layer_idx\": true", "scale_attn_by_inverse_layer_idx = true"},
    {"llama", "\"final_logit_softcapping\": 30.0", "final_logit_softcapping = 30.0"},
    {"llama", "\"query_pre_attn_scalar\": 256", "query_pre_attn_scalar = 256"},
    {"llama", "\"sliding_window\": 16", "sliding_window = 16; expected null: no layer of a llama has a window"},
    {"llama", "\"sliding_window\": 16, \"use_sliding_window\": false", NULL},
    {"llama", "\"sliding_window\": 2048", NULL}, /* which is all of the context */
    {"llama", "\"no_rope_layers\": [1, 1]", NULL},
    {"llama", "\"no_rope_layers\": [1, 0]", "no_rope_layers = [1,0]"},
    {"llama", "\"partial_rotary_factor\": 0.5", "partial_rotary_factor = 0.5; expected 1: in llama"},
    {"llama", "\"is_causal\": false", "is_causal = false"},
    {"llama", "\"clip_qkv\": 8", "clip_qkv = 8"},
    {"llama", "\"quantization_config\": {\"quant_method\": \"gptq\"}",
     "quantization_config = {\"quant_method\":\"gptq\"} is not supported"},
    {"llama", "\"quantization_config\": {}", NULL},
    {"llama", "\"norm_type\": \"layernorm\"", "norm_type = \"layernorm\""},
    {"llama", "\"qkv_bias\": true", "qkv_bias = true"},
    {"qwen2", "\"qkv_bias\": true", NULL},
    {"mistral", "\"use_sliding_window\": false", "use_sliding_window = false beside sliding_window = 4096"},
    {"mistral", "\"use_sliding_window\": false, \"sliding_window\": null", NULL},
    {"qwen2", "\"use_qk_norm\": true", "use_qk_norm = true"},
    {"qwen3", "\"use_qk_norm\": true", NULL}, /* as any has */
    {"gemma", "\"use_bidirectional_attention\": true", "use_bidirectional_attention = true"},
    {"gemma", "\"hidden_act\": \"gelu\"", NULL}, /* by which Gemma's first files meant the approximation */
    {"gemma2", "\"hidden_activation\": \"gelu\"", "hidden_activation = 'gelu'; expected gelu_pytorch_tanh"},
    {"gemma2", "\"hidden_act\": \"gelu\", \"hidden_activation\": \"silu\"", "hidden_activation = 'silu'"},
    {"gemma3_text", "\"attn_logit_softcapping\": 50", "attn_logit_softcapping = 50 is not supported in gemma3"},
    {"gemma3_text", "\"sliding_window_pattern\": 0", "sliding_window_pattern = 0; expected 1"},
    {"gemma3_text", "\"rope_parameters\": {\"sliding_attention\": {\"rope_type\": \"linear\", \"factor\": 2}}",
     "rope_parameters.sliding_attention of type 'linear'; expected default"},
    {"gpt2", "\"n_head\": 4, \"activation_function\": \"relu\"", NULL},
    {"gpt2", "\"n_head\": 4, \"activation_function\": \"mish\"", "activation_function = 'mish'; expected silu, gelu"},
    {"gemma4_text", GEMMA4, NULL},
    {"gemma4_text", "\"hidden_size_per_layer_input\": null", NULL},
    {"gemma4_text", "\"hidden_size_per_layer_input\": 4", "vocab_size_per_layer_input = 262144; expected vocab_size = 256"},
    {"gemma4_text", "\"hidden_size_per_layer_input\": -1", "hidden_size_per_layer_input = -1 (an integer); expected 0 to"},
    {"gemma4_text", GEMMA4 ", \"use_bidirectional_attention\": \"vision\"", NULL},
    {"gemma4_text", GEMMA4 ", \"use_bidirectional_attention\": \"all\"",
     "use_bidirectional_attention = \"all\" is not supported in gemma4 models; expected null or \"vision\""},
    {"gemma4_text", GEMMA4 ", \"num_kv_shared_layers\": 2", "num_kv_shared_layers = 2 (an integer); expected 0 to 1"},
    {"gemma4_text", GEMMA4 ", \"num_kv_shared_layers\": 1",
     "num_kv_shared_layers = 1: no block before 1 has the window or not that block 1 has"},
    {"gemma4_text", GEMMA4 ", \"per_layer_config\": []", "per_layer_config is a list; expected an object"},
    {"gemma4_text", GEMMA4 ", \"per_layer_config\": {\"1\": {\"head_dim\": 32, \"num_key_value_heads\": 1}}", NULL},
    {"gemma4_text", GEMMA4 ", \"per_layer_config\": {\"0\": {\"head_dim\": 32}}",
     "layer 0 has 2 KV heads of 32; expected 2 of 16, as other layers of its kind"},
    {"gemma4_text", GEMMA4 ", \"per_layer_config\": {\"1\": {\"head_dim\": \"32\"}}",
     "per_layer_config: head_dim = 0 (a string); expected 1 to"},
    {"gemma4_text", GEMMA4 ", \"global_head_dim\": 33", "number"},
    {"gemma4_text", GEMMA4 ", \"attention_k_eq_v\": true, \"num_global_key_value_heads\": 3", "divisor of 4 heads"},
    {"gemma4_text", GEMMA4 ", \"enable_moe_block\": true", "num_experts = 0; expected 1 to 4096"},
    {"gemma4_text", GEMMA4 ", \"num_experts\": null, \"final_logit_softcapping\": null", NULL},
    {"gemma3_text", "\"attn_logit_softcapping\": 50", "attn_logit_softcapping = 50 is not supported in gemma3"},
    {"gemma3_text", "\"sliding_window_pattern\": 0", "sliding_window_pattern = 0; expected 1"},
    {"gemma3_text", "\"rope_parameters\": {\"sliding_attention\": {\"rope_type\": \"linear\", \"factor\": 2}}",
     "rope_parameters.sliding_attention of type 'linear'; expected default"},
    {"gpt2", "\"n_head\": 4, \"add_cross_attention\": true", "add_cross_attention = true"},
    {"granite", "\"logits_scaling\": 8.0, \"residual_multiplier\": 0.22, \"mlp_bias\": true", NULL},
    {"granite", "\"residual_multiplier\": 0", "residual_multiplier = 0; expected 1e-06"},
    {"granite", "\"embedding_multiplier\": \"12\"", "embedding_multiplier is a string; expected a number"},
    {"granite", "\"logit_scale\": 0.25", "logit_scale = 0.25 is not supported in granite models"},
    {"smollm3", "\"no_rope_layers\": [1, 0]", NULL},
    {"smollm3", "\"no_rope_layers\": [1]", "no_rope_layers is a list of 1; expected a list of 2"},
    {"smollm3", "\"no_rope_layers\": [1, 2]", "no_rope_layers[1] is another number; expected 0 or 1"},
    {"smollm3", "\"no_rope_layers\": 1", "no_rope_layers is an integer of 0; expected a list of 2"},
    {"smollm3", "\"no_rope_layer_interval\": 0", "no_rope_layer_interval = 0; expected 1 to"},
    {"smollm3", "\"sliding_window\": 16, \"use_sliding_window\": true", NULL},
    {"smollm3", "\"layer_types\": [\"full_attention\", \"sliding_attention\"]", "layer_types[1] = sliding_attention"},
    {"smollm3", "\"layer_types\": [\"full_attention\", 7]", "layer_types[1] = an integer; expected full_attention in a"},
    {"smollm3", "\"layer_types\": [\"full_attention\"]", "layer_types is a list of 1; expected a list of 2"},
    {"ministral", "\"layer_types\": [\"full_attention\"]", "layer_types is a list of 1; expected a list of 2"},
    {"ministral3", "\"rope_parameters\": {\"type\": \"yarn\", \"factor\": 4}",
     "rope_parameters without llama_4_scaling_beta; expected yarn with"},
    {"ministral3", "\"rope_parameters\": {\"llama_4_scaling_beta\": 0.1}", "rope_parameters without yarn; expected yarn"},
    {"ministral3", "\"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 4, \"llama_4_scaling_beta\": -1}",
     "rope_parameters.llama_4_scaling_beta = -1; expected 0 to"},
    {"nemotron", "\"norm_eps\": 0", "norm_eps = 0"},
    {"apertus", "\"rope_theta\": 1e6, \"rope_scaling\": {\"type\": \"default\"}, \"hidden_act\": \"relu2\"",
     "hidden_act = 'relu2'; expected xielu for apertus"},
    {"arcee", "\"hidden_act\": \"xielu\"", "hidden_act = 'xielu'; expected silu, gelu"},
    {"arcee", "\"hidden_act\": \"mish\"", "hidden_act = 'mish'; expected silu, gelu, gelu_new, relu or relu2"},
    {"helium", "\"attention_bias\": 1", "attention_bias is an integer; expected true or false"},
    {"olmo", "\"clip_qkv\": 8", NULL},
    {"olmo", "\"clip_qkv\": -1", "clip_qkv = -1; expected 0"},
    {"exaone4", "\"sliding_window_pattern\": \"LG\"", "sliding_window_pattern is a string"},
    {"stablelm", "\"qk_layernorm\": true, \"use_parallel_residual\": true", NULL},
    {"stablelm", "\"use_parallel_residual\": 1", "use_parallel_residual is an integer; expected true or false"},
    {"phi", "\"qk_layernorm\": true", "qk_layernorm = true is not supported in phi2 models"},
    {"phi", "\"partial_rotary_factor\": 0.1", "partial_rotary_factor = 0.1 makes 1 dimensions"},
    {"gpt_neox", "\"rotary_pct\": 0.5, \"use_parallel_residual\": false", NULL},
    {"gpt_neox", "\"rotary_pct\": 2", "rotary_pct = 2; expected 0 to 1"},
    {"gpt_neox", "\"hidden_act\": \"mish\"", "hidden_act = 'mish'"},
    {"gptj", "\"n_head\": 4, \"rotary_dim\": 4", NULL},
    {"gptj", "\"n_head\": 4, \"rotary_dim\": 3", "rotary embedding of 3 dimensions in heads of 16"},
    {"gptj", "\"n_head\": 4, \"rotary_dim\": null", "rotary_dim"},
    {"cohere", "\"logit_scale\": 0", "logit_scale = 0; expected 1e-06"},
    {"cohere", "\"use_qk_norm\": \"yes\"", "use_qk_norm is a string; expected true or false"},
    {"cohere2", "\"sliding_window_pattern\": 0", "sliding_window_pattern = 0; expected 1 to"},
    {"cohere2", "\"layer_types\": [\"full_attention\"]", "layer_types is a list of 1; expected a list of 2"},
    {"falcon", "\"alibi\": true", "alibi = true is not supported in falcon models"},
    {"falcon", "\"parallel_attn\": false", "parallel_attn = false; expected true"},
    {"falcon", "\"new_decoder_architecture\": true, \"num_kv_heads\": 3", "number of KV heads = 3; expected a divisor of 4"},
    {"falcon", "\"new_decoder_architecture\": true, \"num_ln_in_parallel_attn\": 3",
     "num_ln_in_parallel_attn = 3; expected 1 to 2"},
    {"opt", "\"word_embed_proj_dim\": 32", "word_embed_proj_dim = 32; expected hidden_size = 64"},
    {"opt", "\"do_layer_norm_before\": false", "do_layer_norm_before = false"},
    {"opt", "\"enable_bias\": false", "enable_bias = false"},
    {"gpt_neo", "\"attention_types\": [[[\"global\"], 3]]", "attention_types is of more than 2 layers"},
    {"gpt_neo", "\"attention_types\": [[[\"global\"], 1]]", "attention_types is of 1 layers; expected num_layers = 2"},
    {"gpt_neo", "\"attention_types\": [[[\"dilated\"], 2]]", "'dilated'; expected global or local"},
    {"gpt_neo", "\"attention_types\": [[\"global\", 2]]", "attention_types: expected lists of kinds"},
    {"gpt_bigcode", "\"n_head\": 4, \"multi_query\": 2", "multi_query is an integer; expected true or false"},
    {"bitnet", "\"quantization_config\": {\"quant_method\": \"bitnet\"}",
     "quantization_config.linear_class is missing or no string; expected autobitlinear"},
    {"bitnet", "\"quantization_config\": {\"quant_method\": \"bitnet\", \"linear_class\": \"autobitlinear\", "
               "\"quantization_mode\": \"offline\"}", "quantization_mode is offline; expected online"},
    {"bitnet", "\"quantization_config\": {\"quant_method\": \"bitnet\", \"linear_class\": \"autobitlinear\", "
               "\"quantization_mode\": \"online\"}", NULL},
    {"qwen2_moe", "\"num_experts\": 0", "num_experts = 0; expected 1 to 4096"},
    {"qwen2_moe", "\"num_experts\": 2", "num_experts_per_tok = 4; expected 1 to 2, which num_experts says"},
    {"qwen2_moe", "\"num_experts_per_tok\": 0", "num_experts_per_tok = 0; expected 1 to 60"},
    {"qwen2_moe", "\"num_experts\": 1e9", "num_experts"},
    {"qwen2_moe", "\"moe_intermediate_size\": 0", "feed-forward size of an expert = 0"},
    {"qwen2_moe", "\"decoder_sparse_step\": \"1\"", "decoder_sparse_step = 0 (a string)"},
    {"qwen2_moe", "\"mlp_only_layers\": 1", "mlp_only_layers is an integer; expected a list"},
    {"qwen2_moe", "\"use_sliding_window\": true", "use_sliding_window = true, but layer_types is missing"},
    {"qwen2_moe", "\"sliding_window\": 0", NULL}, /* which is not used */
    {"qwen2_moe", "\"use_sliding_window\": true, \"sliding_window\": 0, \"layer_types\": [\"full_attention\", "
                  "\"full_attention\"]", "sliding_window = 0; expected 1"},
    {"llama4_text", "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 16.0, \"low_freq_factor\": 1.0, "
                    "\"high_freq_factor\": 1.0, \"original_max_position_embeddings\": 64}", NULL},
    {"gpt_oss", "", "rope_scaling is missing"},
    {"gpt_oss", OSS_ROPE ", \"swiglu_limit\": -1", "swiglu_limit = -1; expected 0"},
    {"gpt_oss", OSS_ROPE ", \"quantization_config\": {\"quant_method\": \"mxfp4\"}", NULL},
    {"gpt_oss", OSS_ROPE ", \"quantization_config\": {\"quant_method\": \"mxfp4\", \"modules_to_not_convert\": "
                "[\"model.layers.*.mlp.router\", \"lm_head\"]}", NULL},
    {"gpt_oss", OSS_ROPE ", \"quantization_config\": {}", NULL},
    {"gpt_oss", OSS_ROPE ", \"quantization_config\": null", NULL},
    {"gpt_oss", OSS_ROPE ", \"quantization_config\": \"mxfp4\"", "quantization_config is a string; expected an object"},
    {"gpt_oss", OSS_ROPE ", \"quantization_config\": {\"bits\": 4}",
     "quantization_config.quant_method is nothing; expected mxfp4 in gpt-oss models"},
    {"gpt_oss", OSS_ROPE ", \"quantization_config\": {\"quant_method\": \"fp8\"}",
     "quantization_config.quant_method is fp8; expected mxfp4 in gpt-oss models"},
    {"gpt_oss", OSS_ROPE ", \"quantization_config\": {\"quant_method\": [\"mxfp4\"]}",
     "quantization_config.quant_method is a list; expected mxfp4"},
    {"gpt_oss", OSS_ROPE ", \"quantization_config\": {\"quant_method\": \"mxfp4\", \"modules_to_not_convert\": "
                "\"lm_head\"}", "quantization_config.modules_to_not_convert is a string; expected a list of names"},
    {"gpt_oss", OSS_ROPE ", \"quantization_config\": {\"quant_method\": \"mxfp4\", \"modules_to_not_convert\": "
                "[\"lm_head\", 7]}", "quantization_config.modules_to_not_convert[1] is an integer; expected a name"},
    {"gpt_oss", OSS_ROPE ", \"quantization_config\": {\"quant_method\": \"mxfp4\", \"modules_to_not_convert\": "
                "[\"model.layers.0.mlp.experts\"]}",
     "modules_to_not_convert[0] = 'model.layers.0.mlp.experts'; expected no experts"},
    {"llama", "\"quantization_config\": {\"quant_method\": \"mxfp4\"}",
     "quantization_config = {\"quant_method\":\"mxfp4\"} is not supported in llama models"},
    {"qwen3_moe", "\"quantization_config\": {\"quant_method\": \"mxfp4\"}",
     "quantization_config = {\"quant_method\":\"mxfp4\"} is not supported in qwen3moe models"},
    {"gpt_oss", OSS_ROPE ", \"layer_types\": [\"full_attention\"]", "layer_types is a list of 1; expected a list of 2"},
    {"glm4_moe", "\"n_group\": 3", "128 experts"},
    {"glm4_moe", "\"n_group\": 4, \"topk_group\": 5", "5 of 4 groups"},
    {"glm4_moe", "\"routed_scaling_factor\": \"2\"", "routed_scaling_factor is a string; expected a number"},
    {"glm4_moe", "\"first_k_dense_replace\": -1", "first_k_dense_replace = -1"},
    {"glm4_moe", "\"routed_scaling_factor\": 0", "routed_scaling_factor = 0; expected 1e-06"},
    {"glm4_moe", "\"use_qk_norm\": 1", "use_qk_norm is an integer; expected true or false"},
    {"dots1", "", "n_routed_experts = 0; expected 1"},
    {"minimax_m2", "\"rotary_dim\": 3", "rotary_dim = 3; expected an even number"},
    {"minimax_m2", "\"rotary_dim\": 32", "rotary_dim = 32; expected 1 to 16"},
    {"hy_v3", "\"mlp_layer_types\": [\"dense\"]", "mlp_layer_types is a list of 1; expected a list of 2"},
    {"hunyuan_v1_dense", "\"rope_scaling\": {\"type\": \"dynamic\", \"alpha\": 1000, \"factor\": 1}", NULL},
    {"hunyuan_v1_dense", "\"rope_scaling\": {\"type\": \"dynamic\", \"alpha\": -1, \"factor\": 1}", "alpha = -1"},
    {"hunyuan_v1_moe", "\"num_experts\": 4, \"moe_topk\": [2, 2]", NULL},
    {"hunyuan_v1_moe", "\"num_experts\": 4, \"moe_topk\": [2, 3]", "moe_topk is a list of values that differ"},
    {"hunyuan_v1_moe", "\"rope_scaling\": {\"type\": \"dynamic\", \"alpha\": 1e6, \"factor\": 1}", NULL},
    {"hunyuan_v1_moe", "\"rope_scaling\": {\"type\": \"dynamic\", \"alpha\": \"a\"}", "rope_scaling.alpha is a string"},
    {"ernie4_5_moe", "\"use_bias\": true", "use_bias = true is not supported in ernie4_5-moe models"},
    {"ernie4_5_moe", "\"moe_num_experts\": 8, \"num_experts\": 4", "moe_num_experts = 8, but num_experts = 4"},
    {"phimoe", "\"num_experts_per_tok\": 3", "num_experts_per_tok = 3; expected 2"},
    {"phimoe", "\"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1,1,1,1,1,1,1,1], \"long_factor\": "
               "[1,1,1,1,1,1,1,1], \"short_mscale\": 1.2, \"long_mscale\": 1.3, \"original_max_position_embeddings\": 64}, "
               "\"original_max_position_embeddings\": 64", "long_mscale = 1.3, but short_mscale = 1.2"},
    {"olmoe", "\"clip_qkv\": 8", NULL},
    {"olmoe", "\"clip_qkv\": -8", "clip_qkv = -8; expected 0"},
    {"llama4_text", "\"attn_temperature_tuning\": 4, \"no_rope_layers\": []", NULL},
    {"llama4_text", "\"attn_temperature_tuning\": \"yes\"", "attn_temperature_tuning is a string; expected true or false"},
    {"llama4_text", "\"no_rope_layers\": [1]", "no_rope_layers is a list of 1; expected a list of 2"},
    {"llama4_text", "\"layer_types\": [\"chunked_attention\"]", "layer_types is a list of 1; expected a list of 2"},
    {"llama4_text", "\"layer_types\": [\"chunked_attention\", \"sliding_attention\"]",
     "layer_types[1] = sliding_attention; expected chunked_attention or full_attention"},
    {"llama4_text", "\"attention_chunk_size\": 0", "attention_chunk_size = 0; expected 1"},
    {"llama4_text", "\"attention_chunk_size\": null", NULL},
    {"llama4_text", "\"floor_scale\": 0", "floor_scale = 0; expected 1"},
    {"llama4_text", "\"num_experts_per_tok\": 17", "num_experts_per_tok = 17; expected 1 to 16"},
    {"granitemoe", "\"num_local_experts\": 1", "num_experts_per_tok = 2; expected 1 to 1"},
    {"gpt2", "\"n_head\": 4, \"reorder_and_upcast_attn\": true", NULL}, /* the order of operations only */
};

static void test_asked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof asked_cases / sizeof *asked_cases; i++)
        check(asked_cases[i].type, asked_cases[i].keys, asked_cases[i].says);
}

/* ---- two places ------------------------------------------------------------------------------ */

static const struct {
    const char *type, *keys, *says;
} place_cases[] = {
    {"llama", "\"rope_theta\": 5e5, \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 500000}", NULL},
    {"llama", "\"rope_theta\": 10000, \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 500000}",
     "rope_parameters.rope_theta = 500000, but rope_theta = 10000; expected one value"},
    {"llama", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}, "
              "\"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": 2.0, \"rope_theta\": 1e4}", NULL},
    {"llama", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}, "
              "\"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": 4}",
     "rope_parameters.factor = 4, but rope_scaling.factor = 2"},
    {"llama", "\"rope_scaling\": {\"type\": \"linear\", \"rope_type\": \"llama3\", \"factor\": 2}",
     "rope_scaling.rope_type = \"llama3\", but rope_scaling.type = \"linear\""},
    {"qwen3", "\"rope_parameters\": {\"full_attention\": {\"rope_theta\": 1e6}, "
              "\"sliding_attention\": {\"rope_theta\": 1e6}}", NULL},
    {"qwen3", "\"rope_parameters\": {\"full_attention\": {\"rope_theta\": 1e6}, \"sliding_attention\": {}}",
     "rope_parameters.sliding_attention differs from rope_parameters.full_attention"},
    {"llama", "\"rope_parameters\": {\"full_attention\": {\"rope_theta\": 1e6}}",
     "rope_parameters.full_attention is there, but no layer_types"},
    {"phi3", "\"partial_rotary_factor\": 0.5, \"rope_parameters\": {\"partial_rotary_factor\": 0.75}",
     "rope_parameters.partial_rotary_factor = 0.75, but partial_rotary_factor = 0.5"},
    {"phi3", "\"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1, 1, 1, 1, 1, 1, 1, 1], "
             "\"original_max_position_embeddings\": 128}",
     "original_max_position_embeddings = 128 in its rope_scaling only"},
    {"gpt2", "\"n_head\": 4, \"n_embd\": 64", NULL},
    {"gpt2", "\"n_head\": 4, \"n_embd\": 32", "n_embd = 32, but hidden_size = 64"},
    {"llama", "\"architectures\": [\"LlamaForCausalLM\"]", NULL},
    {"llama", "\"architectures\": [\"LlamaModel\"]", NULL},
    {"llama", "\"architectures\": [\"MistralForCausalLM\"]",
     "model_type = 'llama', but architectures = 'MistralForCausalLM'"},
    {"llama", "\"text_config\": {\"rms_norm_eps\": 0.01}", NULL},
    {"llama", "\"text_config\": {\"hidden_size\": 32}", "text_config.hidden_size = 32, but hidden_size = 64"},
    {"llama", "\"text_config\": {\"model_type\": \"qwen2\"}", "text_config.model_type = 'qwen2'"},
    {"llama", "\"text_config\": 7", "text_config is an integer; expected an object"},
    {"llava", "\"text_config\": {\"model_type\": \"llama\"}", NULL},
    {"llava", "\"text_config\": {}", NULL},
    {"llava", "\"text_config\": {\"hidden_size\": 128}", NULL}, /* what is around it says nothing of it */
    {"llava", "\"quantization_config\": {\"quant_method\": \"awq\"}, \"text_config\": {}",
     "quantization_config = {\"quant_method\":\"awq\"} is not supported"},
    {"qwen2_5_vl", "\"rope_scaling\": {\"type\": \"mrope\", \"mrope_section\": [2, 3, 3]}", NULL}, /* without it */
    {"qwen2", "\"rope_scaling\": {\"type\": \"mrope\", \"mrope_section\": [2, 3, 3]}",
     "rotary embedding of type 'mrope'; expected default: in qwen2"},
    {"mistral3", "\"text_config\": {\"model_type\": \"mistral\", \"tie_word_embeddings\": false}, "
                 "\"tie_word_embeddings\": true", NULL},
    {"gemma3", "\"text_config\": {\"model_type\": \"gemma9_text\"}", "unknown architecture 'gemma9_text'"},
    {"paligemma", "\"text_config\": {\"model_type\": \"gemma\"}", "'paligemma', but text_config.model_type = 'gemma'"},
};

static void test_places(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof place_cases / sizeof *place_cases; i++)
        check(place_cases[i].type, place_cases[i].keys, place_cases[i].says);
}

/* Either place is read. */
static void test_either_place(void **state)
{
    (void)state;
    static const char *const theta[] = {"\"rope_theta\": 7000", "\"rope_scaling\": {\"rope_theta\": 7000}",
                                        "\"rope_parameters\": {\"rope_theta\": 7000}",
                                        "\"text_config\": {\"rope_parameters\": {\"rope_theta\": 7000}}",
                                        "\"layer_types\": [\"full_attention\", \"full_attention\"], "
                                        "\"rope_parameters\": {\"full_attention\": {\"rope_theta\": 7000}}"};
    for (size_t i = 0; i < sizeof theta / sizeof *theta; i++) {
        struct model *m = accept("llama", theta[i]);
        assert_true(m->hyper.rope_base == 7000);
        model_close(m);
    }
    struct model *m = accept("phi3", "\"rope_parameters\": {\"partial_rotary_factor\": 0.75}");
    assert_int_equal(rotary_dims(&m->hyper), 12);
    model_close(m);
}

/* One value a layer, all the same. */
static void test_lists(void **state)
{
    (void)state;
    static const char begin[] = "{\"model_type\": \"llama\", \"hidden_size\": 64, \"num_hidden_layers\": 2, "
                                "\"num_attention_heads\": 4, \"vocab_size\": 256, \"intermediate_size\": ";
    static const struct {
        const char *rest, *says;
    } cases[] = {{"[96, 96], \"num_key_value_heads\": [2, 2]}", NULL},
                 {"[96, 64]}", "intermediate_size is a list of values that differ from layer to layer"},
                 {"[]}", "intermediate_size is a list; expected an integer"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        struct error error = {"(no message)"};
        struct hf_asked asked = {0};
        snprintf(text, sizeof text, "%s%s", begin, cases[i].rest);
        struct model *m = parse(text, &asked, &error);
        assert_true((m != NULL) == !cases[i].says);
        if (m)
            assert_true(m->hyper.hidden == 96 && m->hyper.kv_heads == 2);
        else
            check_line(&error, cases[i].says);
        model_close(m);
    }
}

/* ---- scales ---------------------------------------------------------------------------------- */

static void test_rope_scales(void **state)
{
    (void)state;
    /* where Llama 3's scaling does not say what it was trained for, that is the context */
#define LLAMA3 "\"max_position_embeddings\": 64, \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, "        \
               "\"low_freq_factor\": 1, \"high_freq_factor\": 4"
    struct model *m = accept("llama", LLAMA3 "}");
    struct model *said = accept("llama", LLAMA3 ", \"original_max_position_embeddings\": 64}");
    for (size_t i = 0; i < 8; i++)
        assert_true(m->rope_factors[i] == said->rope_factors[i]);
    assert_true(m->rope_factors[7] == 8);
    model_close(m);
    model_close(said);
    /* LongRoPE's own factor says by how much attention is scaled, where there is one */
    m = accept("llama", "\"max_position_embeddings\": 512, \"rope_scaling\": {\"rope_type\": \"longrope\", "
                        "\"factor\": 16, \"short_factor\": [1, 1, 1, 1, 1, 1, 1, 1], "
                        "\"long_factor\": [2, 2, 2, 2, 2, 2, 2, 2], \"original_max_position_embeddings\": 128}");
    assert_true(fabs((double)m->hyper.rope_magnitude - sqrt(1 + log(16) / log(128))) < 1e-6);
    model_close(m);
}

/* The rate of a pair in a context of so many positions, in that of base 10000. */
static double relative_rate(const struct model *m, size_t pair, size_t positions)
{
    return rotary_rate(&m->rotary[ROTARY_ALL], pair, positions) / pow(10000, -(double)pair / 8);
}

/* Scalings that hold for contexts beyond the original one: LongRoPE's other factors, a growing base. */
static void test_long_contexts(void **state)
{
    (void)state;
    struct model *m = accept("llama", "\"max_position_embeddings\": 512, \"rope_scaling\": {\"rope_type\": \"longrope\", "
                                      "\"short_factor\": [1, 1, 1, 1, 1, 1, 1, 1], "
                                      "\"long_factor\": [2, 2, 2, 2, 2, 2, 2, 4], "
                                      "\"original_max_position_embeddings\": 128}");
    assert_true(m->hyper.trained_context == 512);
    assert_true(fabs(relative_rate(m, 7, 128) - 1) < 1e-6 && fabs(relative_rate(m, 7, 129) - 0.25) < 1e-6);
    model_close(m);
    m = accept("llama", "\"max_position_embeddings\": 64, \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2}");
    assert_true(fabs(relative_rate(m, 7, 64) - 1) < 1e-6);
    assert_true(fabs(relative_rate(m, 7, 128) - pow(3, -7.0 / 8 * 16 / 14)) < 1e-6);
    model_close(m);
}

/* Scalings that classes have for files that do not say any. */
static void test_usual_scalings(void **state)
{
    (void)state;
    struct model *m = accept("apertus", "\"rms_norm_eps\": 1e-5"), *none = accept("apertus", "\"rope_scaling\": {}");
    assert_true(m->hyper.rope_base == 12000000 && m->rope_factors[0] == 1 && m->rope_factors[7] == 8);
    assert_null(none->rope_factors);
    model_close(m);
    model_close(none);
    m = accept("ministral3", "\"rms_norm_eps\": 1e-5");
    assert_true(m->hyper.rope_base == 1000000 && m->hyper.yarn.factor == 16 && m->hyper.rope_original == 16384);
    assert_true(m->hyper.rope_magnitude == 1 && m->layers[1].query_growth == 0.1f && m->layers[1].query_span == 16384);
    model_close(m);
}

#define YARN(MORE) "\"max_position_embeddings\": 256, \"rope_scaling\": {\"rope_type\": \"yarn\", "                     \
                   "\"original_max_position_embeddings\": 64" MORE "}"

/* By what YaRN multiplies cosines and sines, and its factors from pair to pair. */
static void test_yarn(void **state)
{
    (void)state;
    static const struct {
        const char *keys;
        double magnitude;
    } cases[] = {
        {YARN(", \"factor\": 4"), 1.1386294361119891},
        {YARN(", \"factor\": null"), 1.1386294361119891},
        {YARN(", \"factor\": 8, \"attention_factor\": 0.5"), 0.5},
        {YARN(", \"factor\": 4, \"mscale\": 1, \"mscale_all_dim\": 1"), 1},
        {YARN(", \"factor\": 4, \"mscale\": 2, \"mscale_all_dim\": 0"), 1.1386294361119891},
        {YARN(", \"factor\": 4, \"mscale\": 2, \"mscale_all_dim\": 1"), 1.2772588722239782 / 1.1386294361119891},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model *m = accept("llama", cases[i].keys);
        assert_true(fabs((double)m->hyper.rope_magnitude - cases[i].magnitude) < 1e-6);
        model_close(m);
    }
    struct model *m = accept("llama", cases[0].keys), *exact = accept("llama", YARN(", \"factor\": 4, \"truncate\": false"));
    assert_true(m->rope_factors[0] == 1 && m->rope_factors[7] == 4 && m->rope_factors[3] == 4);
    assert_true(m->rope_factors[1] > 1 && exact->rope_factors[1] > m->rope_factors[1] && exact->rope_factors[7] == 4);
    model_close(m);
    model_close(exact);
    check("llama", YARN(""), "factor of yarn is missing");
    check("llama", YARN(", \"factor\": 0.5"), "YaRN: factor = 0.5; expected at least 1");
    check("llama", YARN(", \"factor\": 4, \"beta_fast\": 1"), "YaRN: beta_fast = 1, beta_slow = 1");
    check("llama", YARN(", \"factor\": 4, \"attention_factor\": 0"), "YaRN: attention factor = 0");
    check("llama", YARN(", \"factor\": 4, \"truncate\": 1"), "truncate is an integer; expected true or false");
    check("llama", "\"rope_scaling\": {\"rope_type\": \"dynamic\"}", "dynamic NTK: factor = 0");
}

static void test_attention_scales(void **state)
{
    (void)state;
    struct model *m = accept("gpt2", "\"n_head\": 4, \"scale_attn_by_inverse_layer_idx\": true");
    assert_true(hyper_attention_scale(&m->hyper, 0) == 0.25f && hyper_attention_scale(&m->hyper, 1) == 0.125f);
    model_close(m);
    m = accept("gpt2", "\"n_head\": 4, \"scale_attn_weights\": false");
    assert_true(hyper_attention_scale(&m->hyper, 0) == 1 && hyper_attention_scale(&m->hyper, 1) == 1);
    model_close(m);
}

/* Lists of kinds say more than the number of the first layer with a window. */
static void test_window_lists(void **state)
{
    (void)state;
    static const char use[] = "\"use_sliding_window\": true, \"sliding_window\": 16, \"layer_types\": ";
    static const struct {
        const char *types;
        size_t window;
    } cases[] = {{"[\"sliding_attention\", \"sliding_attention\"]", 16},
                 {"[\"full_attention\", \"full_attention\"]", 0}};
    for (size_t i = 0; i < 2; i++) {
        char keys[256];
        snprintf(keys, sizeof keys, "%s%s", use, cases[i].types);
        struct model *m = accept("qwen3", keys);
        assert_int_equal(hyper_window(&m->hyper, 1), cases[i].window);
        model_close(m);
    }
    struct model *m = accept("qwen3", "\"use_sliding_window\": true, \"sliding_window\": 16, \"layer_types\": "
                                      "[\"full_attention\", \"sliding_attention\"]");
    assert_int_equal(m->layers[0].window, 0);
    assert_int_equal(m->layers[1].window, 16);
    model_close(m);
    check("llama", "\"layer_types\": [\"full_attention\", \"sliding_attention\"]",
          "layer_types[1] = sliding_attention; expected full_attention in a model without a window");
    check("qwen3", "\"use_sliding_window\": true, \"sliding_window\": 16, \"layer_types\": [\"full_attention\", "
                   "\"linear_attention\"]", "layer_types[1] = linear_attention; expected full_attention or sliding_attention");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),     cmocka_unit_test(test_smallest),    cmocka_unit_test(test_windows),
        cmocka_unit_test(test_null),
        cmocka_unit_test(test_asked),        cmocka_unit_test(test_places),      cmocka_unit_test(test_either_place),
        cmocka_unit_test(test_rope_scales),
        cmocka_unit_test(test_long_contexts), cmocka_unit_test(test_usual_scalings), cmocka_unit_test(test_yarn),
        cmocka_unit_test(test_attention_scales),
        cmocka_unit_test(test_window_lists), cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
