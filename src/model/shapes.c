/* The shapes of --synthetic: dimensions from the models' published configurations. */
#include "synthetic.h"

#include <stdio.h>
#include <string.h>

#define PARTS_OF_LLAMA3 .rope_base = 500000.0f, .norm_eps = 1e-5f, .vocab = 128256
#define PARTS_OF_LLAMA2 .rope_base = 10000.0f, .norm_eps = 1e-5f, .vocab = 32000
#define PARTS_OF_GEMMA3 .rope_base = 1000000.0f, .window_rope_base = 10000.0f, .norm_eps = 1e-6f, .vocab = 262144
#define PARTS_OF_QWEN3_MOE(HIDDEN)                                                                 \
    .vocab = 151936, .trained_context = 40960, .rope_base = 1000000.0f, .norm_eps = 1e-6f,          \
    .mixture = {.experts = 128, .used = 8, .hidden = (HIDDEN), .router = ROUTER_SOFTMAX, .normalized = true}

/* By size, dense Llamas first. */
const struct shape shapes[] = {
    {"smollm2-135m", NULL, "SmolLM2 135M",
     {.dim = 576, .hidden = 1536, .layers = 30, .heads = 9, .kv_heads = 3, .head_size = 64,
      .vocab = 49152, .trained_context = 8192, .rope_base = 100000.0f, .norm_eps = 1e-5f},
     true, 134.5e6},
    {"gpt2", NULL, "the matrices of GPT-2 124M; as a Llama it has a third feed-forward matrix, for the gate, "
             "and no learned positions or biases: 152M",
     {.dim = 768, .hidden = 3072, .layers = 12, .heads = 12, .kv_heads = 12, .head_size = 64,
      .vocab = 50257, .trained_context = 1024, .rope_base = 10000.0f, .norm_eps = 1e-5f},
     true, 0},
    {"qwen2.5-0.5b", NULL, "Qwen2.5 0.5B without its biases",
     {.dim = 896, .hidden = 4864, .layers = 24, .heads = 14, .kv_heads = 2, .head_size = 64,
      .vocab = 151936, .trained_context = 32768, .rope_base = 1000000.0f, .norm_eps = 1e-6f},
     true, 494.0e6},
    {"tinyllama-1.1b", NULL, "TinyLlama 1.1B",
     {.dim = 2048, .hidden = 5632, .layers = 22, .heads = 32, .kv_heads = 4, .head_size = 64,
      .trained_context = 2048, PARTS_OF_LLAMA2},
     false, 1100.0e6},
    {"llama3.2-1b", NULL, "Llama 3.2 1B, rotary frequencies unscaled",
     {.dim = 2048, .hidden = 8192, .layers = 16, .heads = 32, .kv_heads = 8, .head_size = 64,
      .trained_context = 131072, PARTS_OF_LLAMA3},
     true, 1235.8e6},
    {"llama3.2-3b", NULL, "Llama 3.2 3B, rotary frequencies unscaled",
     {.dim = 3072, .hidden = 8192, .layers = 28, .heads = 24, .kv_heads = 8, .head_size = 128,
      .trained_context = 131072, PARTS_OF_LLAMA3},
     true, 3212.7e6},
    {"llama2-7b", NULL, "Llama 2 7B",
     {.dim = 4096, .hidden = 11008, .layers = 32, .heads = 32, .kv_heads = 32, .head_size = 128,
      .trained_context = 4096, PARTS_OF_LLAMA2},
     false, 6738.4e6},
    {"mistral-7b", NULL, "Mistral 7B v0.1 without its sliding window",
     {.dim = 4096, .hidden = 14336, .layers = 32, .heads = 32, .kv_heads = 8, .head_size = 128,
      .trained_context = 32768, PARTS_OF_LLAMA2},
     false, 7241.7e6},
    {"llama3-8b", NULL, "Llama 3 8B",
     {.dim = 4096, .hidden = 14336, .layers = 32, .heads = 32, .kv_heads = 8, .head_size = 128,
      .trained_context = 8192, PARTS_OF_LLAMA3},
     false, 8030.3e6},
    {"llama2-13b", NULL, "Llama 2 13B",
     {.dim = 5120, .hidden = 13824, .layers = 40, .heads = 40, .kv_heads = 40, .head_size = 128,
      .trained_context = 4096, PARTS_OF_LLAMA2},
     false, 13015.9e6},
    {"llama3-70b", NULL, "Llama 3 70B",
     {.dim = 8192, .hidden = 28672, .layers = 80, .heads = 64, .kv_heads = 8, .head_size = 128,
      .trained_context = 8192, PARTS_OF_LLAMA3},
     false, 70553.7e6},
    {"llama3.1-405b", NULL, "Llama 3.1 405B, rotary frequencies unscaled",
     {.dim = 16384, .hidden = 53248, .layers = 126, .heads = 128, .kv_heads = 8, .head_size = 128,
      .trained_context = 131072, PARTS_OF_LLAMA3},
     false, 405853.4e6},
    {"gemma-3-270m", "gemma3", "Gemma 3 270M",
     {.dim = 640, .hidden = 2048, .layers = 18, .heads = 4, .kv_heads = 1, .head_size = 256, .window = 512,
      .trained_context = 32768, PARTS_OF_GEMMA3},
     true, 268.1e6},
    {"gemma-3-1b", "gemma3", "Gemma 3 1B",
     {.dim = 1152, .hidden = 6912, .layers = 26, .heads = 4, .kv_heads = 1, .head_size = 256, .window = 512,
      .trained_context = 32768, PARTS_OF_GEMMA3},
     true, 999.9e6},
    {"gemma-3-4b", "gemma3", "the text model of Gemma 3 4B, rotary frequencies unscaled",
     {.dim = 2560, .hidden = 10240, .layers = 34, .heads = 8, .kv_heads = 4, .head_size = 256, .window = 1024,
      .trained_context = 131072, PARTS_OF_GEMMA3},
     true, 3880.1e6},
    {"mixtral-8x7b", "mixtral", "Mixtral 8x7B",
     {.dim = 4096, .hidden = 14336, .layers = 32, .heads = 32, .kv_heads = 8, .head_size = 128,
      .vocab = 32000, .trained_context = 32768, .rope_base = 1000000.0f, .norm_eps = 1e-5f,
      .mixture = {.experts = 8, .used = 2, .hidden = 14336, .router = ROUTER_SOFTMAX, .normalized = true}},
     false, 46702.8e6},
    {"gemma-3-12b", "gemma3", "the text model of Gemma 3 12B, rotary frequencies unscaled",
     {.dim = 3840, .hidden = 15360, .layers = 48, .heads = 16, .kv_heads = 8, .head_size = 256, .window = 1024,
      .trained_context = 131072, PARTS_OF_GEMMA3},
     true, 11765.8e6},
    {"gemma-3-27b", "gemma3", "the text model of Gemma 3 27B, rotary frequencies unscaled",
     {.dim = 5376, .hidden = 21504, .layers = 62, .heads = 32, .kv_heads = 16, .head_size = 128, .window = 1024,
      .trained_context = 131072, PARTS_OF_GEMMA3},
     true, 27009.0e6},
    {"qwen3-30b-a3b", "qwen3moe", "Qwen3 30B-A3B",
     {.dim = 2048, .hidden = 6144, .layers = 48, .heads = 32, .kv_heads = 4, .head_size = 128,
      PARTS_OF_QWEN3_MOE(768)},
     false, 30532.1e6},
    {"qwen3-235b-a22b", "qwen3moe", "Qwen3 235B-A22B",
     {.dim = 4096, .hidden = 12288, .layers = 94, .heads = 64, .kv_heads = 4, .head_size = 128,
      PARTS_OF_QWEN3_MOE(1536)},
     false, 235093.6e6},
};
const size_t shape_count = sizeof shapes / sizeof *shapes;

const struct shape *shape_find(const char *name, struct error *error)
{
    char names[800];
    size_t n = 0;
    for (size_t i = 0; i < shape_count; i++) {
        if (strcmp(shapes[i].name, name) == 0)
            return &shapes[i];
        if (n < sizeof names)
            n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", shapes[i].name);
    }
    error_set(error, "--synthetic '%.40s': expected one of %s", name, names);
    return NULL;
}
