/* BigCode's: StarCoder (GPTBigCode), a GPT-2 whose queries share one head of keys and values, and StarCoder 2. */
#include "arch_rows.h"
#include "arrange.h"
#include "hf_values.h"

/* ---- GPTBigCode ------------------------------------------------------------------------------ */

static const struct hf_names bigcode_sizes = {.dim = "n_embd", .layers = "n_layer", .heads = "n_head",
                                              .context = "n_positions", .hidden = "n_inner", .alike = true};
static const uint8_t bigcode_arranged[ROLE_COUNT] = {[ROLE_ATTN_QKV] = ARRANGED_BY_HEAD,
                                                     [ROLE_ATTN_QKV_BIAS] = ARRANGED_BY_HEAD};

static bool read_bigcode(const struct hf_config *c)
{
    bool shared;
    if (!hf_flag(c, "multi_query", true, &shared))
        return false;
    if (shared)
        c->model->hyper.kv_heads = 1;
    return true;
}

const struct arch arch_gpt_bigcode = {
    .name = "starcoder",
    .gguf = "starcoder",
    .hf = "gpt_bigcode",
    .hf_class = "GPTBigCodeForCausalLM",
    .hf_unwritten = true,
    .reference = "Li et al. 2023 (StarCoder)",
    .title = "StarCoder",
    .features = "a GPT-2 whose queries share one head of keys and values",
    .steps = arch_llama_steps,
    .required = OUTSIDE | NORMS | LAYER_NORM_BIASES | B(POSITIONS) | B(ATTN_QKV) | B(ATTN_QKV_BIAS) | B(ATTN_OUT) |
                B(ATTN_OUT_BIAS) | PLAIN | PLAIN_BIASES,
    .norm = NORM_LAYER,
    .activation = ACTIVATION_GELU_TANH,
    .hf_activation = "gelu_pytorch_tanh",
    .hf_activation_key = "activation_function",
    .hf_activation_free = true,
    .gguf_rope = ROPE_NONE,
    .hf_rope = ROPE_NONE,
    .hf_sizes = &bigcode_sizes,
    .hf_scaled_by_choice = true,
    .hf_arranged = &bigcode_arranged,
    .hf_reads = "multi_query",
    .read_hf = read_bigcode,
    .hf_prefix = "transformer.",
    .hf_block = "h.",
    .hf_names = &arch_gpt2_names,
    .tied_default = true,
    .defaults = {.dim = 768, .layers = 12, .heads = 12, .vocab = 50257, .context = 1024, .epsilon = 1e-5f,
                 .bos = 50256, .eos = 50256},
};

/* ---- StarCoder 2 ----------------------------------------------------------------------------- */

static role_names names = {
    LLAMA_NAMES_BUT_FFN,
    [ROLE_ATTN_NORM_BIAS] = "input_layernorm.bias",
    [ROLE_FFN_NORM] = "post_attention_layernorm.weight",
    [ROLE_FFN_NORM_BIAS] = "post_attention_layernorm.bias",
    [ROLE_FFN_UP] = "mlp.c_fc.weight",
    [ROLE_FFN_UP_BIAS] = "mlp.c_fc.bias",
    [ROLE_FFN_DOWN] = "mlp.c_proj.weight",
    [ROLE_FFN_DOWN_BIAS] = "mlp.c_proj.bias",
    [ROLE_OUTPUT_NORM_BIAS] = "norm.bias",
};

static const struct hf_names sizes = {.epsilon = "norm_epsilon"};

const struct arch arch_starcoder2 = {
    .name = "starcoder2",
    .gguf = "starcoder2",
    .hf = "starcoder2",
    .hf_class = "Starcoder2ForCausalLM",
    .hf_unwritten = true,
    .reference = "Lozhkov et al. 2024",
    .title = "StarCoder 2",
    .features = "layer norms, biases, a sliding window (folder)",
    .required = OUTSIDE | NORMS | LAYER_NORM_BIASES | QKV_ROLES | B(ATTN_OUT) | PLAIN,
    .optional = BIASES | B(ATTN_OUT_BIAS) | PLAIN_BIASES,
    .norm = NORM_LAYER,
    LLAMA_FOLDER(names),
    .steps = arch_llama_steps,
    .activation = ACTIVATION_GELU_TANH,
    .hf_activation = "gelu_pytorch_tanh",
    .hf_activation_key = "hidden_act",
    .hf_activation_free = true,
    .hf_rope = ROPE_HALVES,
    .gguf_rope = ROPE_HALVES,
    .hf_window = HF_WINDOW_OWN,
    .gguf_window = GGUF_WINDOW_IGNORED,
    .hf_biased = "use_bias",
    .biased_default = true,
    .tied_default = true,
    .hf_sizes = &sizes,
    .hf_reads = "use_bias",
    .defaults = {.dim = 3072, .hidden = 12288, .layers = 30, .heads = 24, .kv_heads = 2, .vocab = 49152,
                 .context = 4096, .epsilon = 1e-5f, .bos = 50256, .eos = 50256},
};
