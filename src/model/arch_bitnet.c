/* BitNet b1.58: norms before the last matrix of attention and of feed-forward layers. */
#include "arch_rows.h"

static role_names names = {
    LLAMA_NAMES,
    [ROLE_FFN_NORM] = "post_attention_layernorm.weight",
    [ROLE_ATTN_SUB_NORM] = "self_attn.attn_sub_norm.weight",
    [ROLE_FFN_SUB_NORM] = "mlp.ffn_sub_norm.weight",
};

/* llama.cpp computes SiLU in files that call themselves so. */
const struct arch arch_bitnet = {
    .name = "bitnet",
    .gguf = "bitnet",
    .hf = "bitnet",
    .hf_class = "BitNetForCausalLM",
    .reference = "Ma et al. 2024, 2025",
    .title = "BitNet b1.58",
    .features = "norms before the last matrix of attention and of feed-forward; weights as they are stored, not "
                "packed",
    .required = LLAMA | B(ATTN_SUB_NORM) | B(FFN_SUB_NORM),
    .optional = BIASES | B(ATTN_OUT_BIAS),
    LLAMA_FOLDER(names),
    .steps = arch_llama_steps,
    .activation = ACTIVATION_SILU,
    .hf_activation = "relu2",
    .hf_activation_key = "hidden_act",
    .hf_activation_free = true,
    .hf_rope = ROPE_HALVES,
    .gguf_rope = ROPE_HALVES,
    .defaults = {.dim = 2560, .hidden = 6912, .layers = 30, .heads = 20, .kv_heads = 5, .vocab = 128256,
                 .context = 2048, .epsilon = 1e-5f, .rope_base = 500000, .bos = 128000, .eos = 128001},
};
