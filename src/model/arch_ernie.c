#include "arch_rows.h"

const struct arch arch_ernie4_5 = {
    .name = "ernie4_5",
    .gguf = "ernie4_5",
    .hf = "ernie4_5",
    .hf_class = "Ernie4_5ForCausalLM",
    .hf_unwritten = true,
    .reference = "Baidu 2025",
    .title = "ERNIE 4.5",
    .features = "rotary pairs are neighbours, biases",
    .required = LLAMA,
    .optional = BIASES | B(ATTN_OUT_BIAS) | B(FFN_GATE_BIAS) | B(FFN_UP_BIAS) | B(FFN_DOWN_BIAS),
    SILU,
    LLAMA_FOLDER(arch_llama_names),
    .steps = arch_llama_steps,
    .hf_rope = ROPE_NEIGHBOURS,
    .gguf_rope = ROPE_NEIGHBOURS,
    .tied_default = true,
    .hf_biased = "use_bias",
    .hf_reads = "use_bias",
    .defaults = {.dim = 1024, .hidden = 3072, .layers = 18, .heads = 16, .kv_heads = 2, .head_size = 128,
                 .vocab = 103424, .context = 131072, .epsilon = 1e-5f, .rope_base = 500000, .bos = 1, .eos = 2},
};
