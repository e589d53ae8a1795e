#include "arch_rows.h"

#define QWEN_DEFAULTS                                                                                              \
    .dim = 4096, .hidden = 22016, .layers = 32, .heads = 32, .kv_heads = 32, .vocab = 151936, .context = 32768,    \
    .window = 4096, .epsilon = 1e-6f, .bos = -1, .eos = -1

const struct arch arch_qwen2 = {
    .name = "qwen2",
    .title = "Qwen2",
    .features = "biases; a sliding window where `use_sliding_window` is true",
    .gguf = "qwen2",
    .hf = "qwen2",
    .hf_class = "Qwen2ForCausalLM",
    .reference = "Yang et al. 2024",
    .required = LLAMA,
    .optional = BIASES,
    LLAMA_LIKE,
    .hf_window = HF_WINDOW_ASKED,
    .defaults = {QWEN_DEFAULTS},
};

const struct arch arch_qwen3 = {
    .name = "qwen3",
    .title = "Qwen3",
    .features = "norms of each head's queries and keys; windows as in Qwen2",
    .gguf = "qwen3",
    .hf = "qwen3",
    .hf_class = "Qwen3ForCausalLM",
    .reference = "Yang et al. 2025",
    .required = LLAMA | B(ATTN_Q_NORM) | B(ATTN_K_NORM),
    .optional = BIASES | B(ATTN_OUT_BIAS),
    LLAMA_LIKE,
    .hf_window = HF_WINDOW_ASKED,
    .defaults = {QWEN_DEFAULTS, .head_size = 128},
};

/* ---- the models of text of those that see ---------------------------------------------------- */

/* Their rotary embedding turns sections of a head by time, height and width of what is seen: for text all three are the
 * position, and the sections make no difference. As GGUF files of Qwen2 and Qwen3 they are what they are. */
#define SEEING .hf_reads = "mrope_section"
#define QWEN2_VL_DEFAULTS                                                                                          \
    .dim = 8192, .hidden = 29568, .layers = 80, .heads = 64, .kv_heads = 8, .vocab = 152064, .context = 32768,     \
    .window = 4096, .windowed_from = 80, .epsilon = 1e-5f, .rope_base = 1000000, .bos = 151643, .eos = 151645

const struct arch arch_qwen2_vl = {
    .name = "qwen2-vl",
    .title = "Qwen2-VL",
    .features = "the text of a model that sees; as Qwen2",
    .in_gguf = &arch_qwen2,
    .hf = "qwen2_vl_text",
    .hf_class = "Qwen2VLForConditionalGeneration",
    .reference = "Wang et al. 2024",
    .required = LLAMA,
    .optional = BIASES,
    LLAMA_LIKE,
    SEEING,
    .hf_window = HF_WINDOW_ASKED,
    .defaults = {QWEN2_VL_DEFAULTS},
};

const struct arch arch_qwen2_5_vl = {
    .name = "qwen2.5-vl",
    .title = "Qwen2.5-VL",
    .features = "the same",
    .in_gguf = &arch_qwen2,
    .hf = "qwen2_5_vl_text",
    .hf_class = "Qwen2_5_VLForConditionalGeneration",
    .reference = "Bai et al. 2025",
    .required = LLAMA,
    .optional = BIASES,
    LLAMA_LIKE,
    SEEING,
    .hf_window = HF_WINDOW_ASKED,
    .defaults = {QWEN2_VL_DEFAULTS},
};

const struct arch arch_qwen3_vl = {
    .name = "qwen3-vl",
    .title = "Qwen3-VL",
    .features = "the text of a model that sees; as Qwen3",
    .in_gguf = &arch_qwen3,
    .hf = "qwen3_vl_text",
    .hf_class = "Qwen3VLForConditionalGeneration",
    .reference = "Bai et al. 2025 (Qwen3-VL)",
    .required = LLAMA | B(ATTN_Q_NORM) | B(ATTN_K_NORM),
    .optional = BIASES | B(ATTN_OUT_BIAS),
    LLAMA_LIKE,
    SEEING,
    .defaults = {.dim = 4096, .hidden = 22016, .layers = 32, .heads = 32, .kv_heads = 32, .head_size = 128,
                 .vocab = 151936, .context = 128000, .epsilon = 1e-6f, .rope_base = 500000, .bos = -1, .eos = -1},
};

/* GGUF files of the first two are one kind. */
const struct arch arch_qwen2vl = {
    .name = "qwen2vl",
    .title = "Qwen2-VL and Qwen2.5-VL",
    .features = "the same in GGUF files",
    .gguf = "qwen2vl",
    .reference = "Wang et al. 2024",
    .required = LLAMA,
    .optional = BIASES,
    LLAMA_LIKE,
    .gguf_reads = "rope.dimension_sections",
    .defaults = {QWEN2_VL_DEFAULTS},
};

const struct arch arch_qwen3vl = {
    .name = "qwen3vl",
    .title = "Qwen3-VL",
    .features = "the same in GGUF files",
    .gguf = "qwen3vl",
    .reference = "Bai et al. 2025 (Qwen3-VL)",
    .required = LLAMA | B(ATTN_Q_NORM) | B(ATTN_K_NORM),
    .optional = BIASES | B(ATTN_OUT_BIAS),
    LLAMA_LIKE,
    .gguf_reads = "rope.dimension_sections",
    .defaults = {QWEN_DEFAULTS, .head_size = 128},
};
