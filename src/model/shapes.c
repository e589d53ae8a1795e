/* The shapes of --synthetic: published configurations of models, as far as they say what is computed. */
#include "synthetic.h"

#include "base/edit_distance.h"

#include <stdio.h>
#include <string.h>

/* Here they are words of JSON. */
#undef true
#undef false

/* The text of a config.json, from what stands here as it stands there. */
#define CONFIG(...) CONFIG_TEXT(__VA_ARGS__)
#define CONFIG_TEXT(...) #__VA_ARGS__

#define PARTS_OF_LLAMA2 "model_type": "llama", "rope_theta": 10000, "rms_norm_eps": 1e-5, "vocab_size": 32000
#define PARTS_OF_LLAMA3 "model_type": "llama", "rope_theta": 500000, "rms_norm_eps": 1e-5, "vocab_size": 128256
#define SCALED_ROPE_OF_LLAMA3(FACTOR)                                                              \
    "max_position_embeddings": 131072, "rope_scaling": {                                           \
        "rope_type": "llama3", "factor": FACTOR, "low_freq_factor": 1, "high_freq_factor": 4,      \
        "original_max_position_embeddings": 8192                                                   \
    }
#define PARTS_OF_GEMMA3                                                                            \
    "model_type": "gemma3_text", "rope_theta": 1000000, "rope_local_base_freq": 10000, "rms_norm_eps": 1e-6, \
    "sliding_window_pattern": 6
#define SCALED_ROPE_OF_GEMMA3                                                                      \
    "vocab_size": 262208, "max_position_embeddings": 131072, "sliding_window": 1024,               \
    "rope_scaling": {"rope_type": "linear", "factor": 8}
#define PARTS_OF_GEMMA4                                                                            \
    "model_type": "gemma4_text", "vocab_size": 262144, "rms_norm_eps": 1e-6, "head_dim": 256, "global_head_dim": 512, \
    "final_logit_softcapping": 30, "rope_parameters": {                                            \
        "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1000000}, \
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000}                         \
    }
#define WINDOW_AND_ALL                                                                             \
    "sliding_attention", "sliding_attention", "sliding_attention", "sliding_attention", "full_attention"
#define PARTS_OF_QWEN3_MOE                                                                         \
    "model_type": "qwen3_moe", "vocab_size": 151936, "max_position_embeddings": 40960, "rope_theta": 1000000, \
    "rms_norm_eps": 1e-6, "head_dim": 128, "num_experts": 128, "num_experts_per_tok": 8, "norm_topk_prob": true, \
    "decoder_sparse_step": 1
#define PARTS_OF_GPT_OSS                                                                           \
    "model_type": "gpt_oss", "hidden_size": 2880, "intermediate_size": 2880, "num_attention_heads": 64, \
    "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 201088, "sliding_window": 128,         \
    "max_position_embeddings": 131072, "rope_theta": 150000, "rms_norm_eps": 1e-5, "swiglu_limit": 7, \
    "num_experts_per_tok": 4, "attention_bias": true, "rope_scaling": {                            \
        "rope_type": "yarn", "factor": 32, "beta_fast": 32, "beta_slow": 1, "truncate": false,     \
        "original_max_position_embeddings": 4096                                                   \
    }

/* Dense ones, then mixtures of experts, by size. */
const struct shape shapes[] = {
    {"gpt2", "GPT-2 124M", 124.4e6,
     CONFIG({"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024,
             "vocab_size": 50257})},
    {"smollm2-135m", "SmolLM2 135M", 134.5e6,
     CONFIG({"model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
             "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152, "max_position_embeddings": 8192,
             "rope_theta": 100000, "rms_norm_eps": 1e-5, "tie_word_embeddings": true})},
    {"gemma-3-270m", "Gemma 3 270M", 268.1e6,
     CONFIG({PARTS_OF_GEMMA3, "hidden_size": 640, "intermediate_size": 2048, "num_hidden_layers": 18,
             "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 262144,
             "max_position_embeddings": 32768, "sliding_window": 512, "query_pre_attn_scalar": 256})},
    {"qwen2.5-0.5b", "Qwen2.5 0.5B", 494.0e6,
     CONFIG({"model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
             "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151936,
             "max_position_embeddings": 32768, "rope_theta": 1000000, "rms_norm_eps": 1e-6,
             "tie_word_embeddings": true})},
    {"gemma-3-1b", "Gemma 3 1B", 999.9e6,
     CONFIG({PARTS_OF_GEMMA3, "hidden_size": 1152, "intermediate_size": 6912, "num_hidden_layers": 26,
             "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 262144,
             "max_position_embeddings": 32768, "sliding_window": 512, "query_pre_attn_scalar": 256})},
    {"tinyllama-1.1b", "TinyLlama 1.1B", 1100.0e6,
     CONFIG({PARTS_OF_LLAMA2, "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22,
             "num_attention_heads": 32, "num_key_value_heads": 4, "max_position_embeddings": 2048})},
    {"llama3.2-1b", "Llama 3.2 1B", 1235.8e6,
     CONFIG({PARTS_OF_LLAMA3, SCALED_ROPE_OF_LLAMA3(32), "hidden_size": 2048, "intermediate_size": 8192,
             "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8,
             "tie_word_embeddings": true})},
    {"smollm3-3b", "SmolLM3 3B", 3075.1e6,
     CONFIG({"model_type": "smollm3", "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
             "num_attention_heads": 16, "num_key_value_heads": 4, "vocab_size": 128256,
             "max_position_embeddings": 65536, "no_rope_layer_interval": 4, "rope_theta": 5000000,
             "rms_norm_eps": 1e-6, "tie_word_embeddings": true})},
    {"llama3.2-3b", "Llama 3.2 3B", 3212.7e6,
     CONFIG({PARTS_OF_LLAMA3, SCALED_ROPE_OF_LLAMA3(32), "hidden_size": 3072, "intermediate_size": 8192,
             "num_hidden_layers": 28, "num_attention_heads": 24, "num_key_value_heads": 8,
             "tie_word_embeddings": true})},
    {"gemma-3-4b", "the text model of Gemma 3 4B", 3880.1e6,
     CONFIG({PARTS_OF_GEMMA3, SCALED_ROPE_OF_GEMMA3, "hidden_size": 2560, "intermediate_size": 10240,
             "num_hidden_layers": 34, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
             "query_pre_attn_scalar": 256})},
    {"gemma-4-e2b", "the text model of Gemma 4 E2B, which has an input of its own in every layer", 4.65e9,
     CONFIG({PARTS_OF_GEMMA4, "hidden_size": 1536, "intermediate_size": 6144, "num_hidden_layers": 35,
             "num_attention_heads": 8, "num_key_value_heads": 1, "max_position_embeddings": 131072,
             "sliding_window": 512, "hidden_size_per_layer_input": 256, "num_kv_shared_layers": 20,
             "use_double_wide_mlp": true, "layer_types": [WINDOW_AND_ALL, WINDOW_AND_ALL, WINDOW_AND_ALL,
             WINDOW_AND_ALL, WINDOW_AND_ALL, WINDOW_AND_ALL, WINDOW_AND_ALL]})},
    {"llama2-7b", "Llama 2 7B", 6738.4e6,
     CONFIG({PARTS_OF_LLAMA2, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
             "num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 4096})},
    {"mistral-7b", "Mistral 7B v0.1", 7241.7e6,
     CONFIG({"model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
             "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32000,
             "max_position_embeddings": 32768, "sliding_window": 4096, "rope_theta": 10000, "rms_norm_eps": 1e-5})},
    {"olmo2-7b", "OLMo 2 7B", 7298.9e6,
     CONFIG({"model_type": "olmo2", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
             "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 100352,
             "max_position_embeddings": 4096, "rope_theta": 500000, "rms_norm_eps": 1e-6})},
    {"gemma-4-e4b", "the text model of Gemma 4 E4B, likewise", 7.5e9,
     CONFIG({PARTS_OF_GEMMA4, "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 42,
             "num_attention_heads": 8, "num_key_value_heads": 2, "max_position_embeddings": 131072,
             "sliding_window": 512, "hidden_size_per_layer_input": 256, "num_kv_shared_layers": 18})},
    {"llama3-8b", "Llama 3 8B", 8030.3e6,
     CONFIG({PARTS_OF_LLAMA3, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
             "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 8192})},
    {"ministral-3-8b", "the text model of Ministral 3 8B", 8.4e9,
     CONFIG({"model_type": "ministral3", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 34,
             "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 131072,
             "max_position_embeddings": 262144, "rms_norm_eps": 1e-5, "rope_parameters": {"rope_type": "yarn",
             "rope_theta": 1000000, "factor": 16, "beta_fast": 32, "beta_slow": 1, "mscale": 1, "mscale_all_dim": 1,
             "original_max_position_embeddings": 16384, "llama_4_scaling_beta": 0.1}, "tie_word_embeddings": false})},
    {"gemma-3-12b", "the text model of Gemma 3 12B", 11765.8e6,
     CONFIG({PARTS_OF_GEMMA3, SCALED_ROPE_OF_GEMMA3, "hidden_size": 3840, "intermediate_size": 15360,
             "num_hidden_layers": 48, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 256,
             "query_pre_attn_scalar": 256})},
    {"llama2-13b", "Llama 2 13B", 13015.9e6,
     CONFIG({PARTS_OF_LLAMA2, "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40,
             "num_attention_heads": 40, "num_key_value_heads": 40, "max_position_embeddings": 4096})},
    {"gemma-3-27b", "the text model of Gemma 3 27B", 27009.0e6,
     CONFIG({PARTS_OF_GEMMA3, SCALED_ROPE_OF_GEMMA3, "hidden_size": 5376, "intermediate_size": 21504,
             "num_hidden_layers": 62, "num_attention_heads": 32, "num_key_value_heads": 16, "head_dim": 128,
             "query_pre_attn_scalar": 168})},
    {"gemma-4-31b", "the text model of Gemma 4 31B", 30.7e9,
     CONFIG({PARTS_OF_GEMMA4, "hidden_size": 5376, "intermediate_size": 21504, "num_hidden_layers": 60,
             "num_attention_heads": 32, "num_key_value_heads": 16, "num_global_key_value_heads": 4,
             "attention_k_eq_v": true, "max_position_embeddings": 262144, "sliding_window": 1024,
             "hidden_size_per_layer_input": 0})},
    {"llama3-70b", "Llama 3 70B", 70553.7e6,
     CONFIG({PARTS_OF_LLAMA3, "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
             "num_attention_heads": 64, "num_key_value_heads": 8, "max_position_embeddings": 8192})},
    {"llama3.1-405b", "Llama 3.1 405B", 405853.4e6,
     CONFIG({PARTS_OF_LLAMA3, SCALED_ROPE_OF_LLAMA3(8), "hidden_size": 16384, "intermediate_size": 53248,
             "num_hidden_layers": 126, "num_attention_heads": 128, "num_key_value_heads": 8})},
    {"gpt-oss-20b", "gpt-oss 20B", 20.9e9,
     CONFIG({PARTS_OF_GPT_OSS, "num_hidden_layers": 24, "num_local_experts": 32})},
    {"gemma-4-26b-a4b", "the text model of Gemma 4 26B-A4B", 25.2e9,
     CONFIG({PARTS_OF_GEMMA4, "hidden_size": 2816, "intermediate_size": 2112, "num_hidden_layers": 30,
             "num_attention_heads": 16, "num_key_value_heads": 8, "num_global_key_value_heads": 2,
             "attention_k_eq_v": true, "max_position_embeddings": 262144, "sliding_window": 1024,
             "hidden_size_per_layer_input": 0, "enable_moe_block": true, "num_experts": 128, "top_k_experts": 8,
             "moe_intermediate_size": 704})},
    {"qwen3-30b-a3b", "Qwen3 30B-A3B", 30532.1e6,
     CONFIG({PARTS_OF_QWEN3_MOE, "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 48,
             "num_attention_heads": 32, "num_key_value_heads": 4, "moe_intermediate_size": 768})},
    {"mixtral-8x7b", "Mixtral 8x7B", 46702.8e6,
     CONFIG({"model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
             "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32000,
             "max_position_embeddings": 32768, "rope_theta": 1000000, "rms_norm_eps": 1e-5, "num_local_experts": 8,
             "num_experts_per_tok": 2})},
    {"glm-4.5-air", "GLM-4.5-Air", 106.85e9,
     CONFIG({"model_type": "glm4_moe", "hidden_size": 4096, "intermediate_size": 10944, "num_hidden_layers": 46,
             "num_attention_heads": 96, "num_key_value_heads": 8, "head_dim": 128, "attention_bias": true,
             "use_qk_norm": false, "vocab_size": 151552, "max_position_embeddings": 131072, "rope_theta": 1000000,
             "partial_rotary_factor": 0.5, "rms_norm_eps": 1e-5, "moe_intermediate_size": 1408,
             "n_routed_experts": 128, "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 1,
             "norm_topk_prob": true, "routed_scaling_factor": 1, "n_group": 1, "topk_group": 1})},
    {"gpt-oss-120b", "gpt-oss 120B", 116.8e9,
     CONFIG({PARTS_OF_GPT_OSS, "num_hidden_layers": 36, "num_local_experts": 128})},
    {"qwen3-235b-a22b", "Qwen3 235B-A22B", 235093.6e6,
     CONFIG({PARTS_OF_QWEN3_MOE, "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 94,
             "num_attention_heads": 64, "num_key_value_heads": 4, "moe_intermediate_size": 1536})},
};
const size_t shape_count = sizeof shapes / sizeof *shapes;

const struct shape *shape_find(const char *name, struct error *error)
{
    size_t nearest = 0, least = SIZE_MAX;
    for (size_t i = 0; i < shape_count; i++) {
        size_t distance = edit_distance(name, shapes[i].name);
        if (distance == 0)
            return &shapes[i];
        if (distance < least) {
            least = distance;
            nearest = i;
        }
    }
    error_set(error, "--synthetic '%.40s': expected one of the man page's %zu shapes; the nearest is %s", name, shape_count,
              shapes[nearest].name);
    return NULL;
}
