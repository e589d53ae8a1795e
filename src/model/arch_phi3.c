#include "arch_rows.h"

static role_names gguf_names = {[ROLE_FFN_GATE_UP] = "ffn_up.weight"};

const struct arch arch_phi3 = {
    .name = "phi3",
    .title = "Phi-3",
    .features = "fused matrices, LongRoPE",
    .gguf = "phi3",
    .hf = "phi3",
    .hf_class = "Phi3ForCausalLM",
    .reference = "Abdin et al. 2024",
    .required = OUTSIDE | NORMS | B(ATTN_QKV) | B(ATTN_OUT) | B(FFN_GATE_UP) | B(FFN_DOWN),
    LLAMA_LIKE,
    .gguf_window = GGUF_WINDOW_ALWAYS,
    .gguf_names = &gguf_names,
    .hf_window = HF_WINDOW_OWN,
    .hf_partial_rope = true,
    .defaults = {.dim = 3072, .hidden = 8192, .layers = 32, .heads = 32, .vocab = 32064, .context = 4096,
                 .original_context = 4096, .epsilon = 1e-5f, .bos = 1, .eos = 32000},
};
