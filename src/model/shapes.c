/* The shapes of --synthetic: dimensions from the models' published configurations. */
#include "synthetic.h"

#include <stdio.h>
#include <string.h>

#define PARTS_OF_LLAMA3 .rope_base = 500000.0f, .norm_eps = 1e-5f, .vocab = 128256
#define PARTS_OF_LLAMA2 .rope_base = 10000.0f, .norm_eps = 1e-5f, .vocab = 32000

/* By size. */
const struct shape shapes[] = {
    {"smollm2-135m", "SmolLM2 135M",
     {.dim = 576, .hidden = 1536, .layers = 30, .heads = 9, .kv_heads = 3, .head_size = 64,
      .vocab = 49152, .trained_context = 8192, .rope_base = 100000.0f, .norm_eps = 1e-5f},
     true, 134.5e6},
    {"gpt2", "the matrices of GPT-2 124M; as a Llama it has a third feed-forward matrix, for the gate, "
             "and no learned positions or biases: 152M",
     {.dim = 768, .hidden = 3072, .layers = 12, .heads = 12, .kv_heads = 12, .head_size = 64,
      .vocab = 50257, .trained_context = 1024, .rope_base = 10000.0f, .norm_eps = 1e-5f},
     true, 0},
    {"qwen2.5-0.5b", "Qwen2.5 0.5B without its biases",
     {.dim = 896, .hidden = 4864, .layers = 24, .heads = 14, .kv_heads = 2, .head_size = 64,
      .vocab = 151936, .trained_context = 32768, .rope_base = 1000000.0f, .norm_eps = 1e-6f},
     true, 494.0e6},
    {"tinyllama-1.1b", "TinyLlama 1.1B",
     {.dim = 2048, .hidden = 5632, .layers = 22, .heads = 32, .kv_heads = 4, .head_size = 64,
      .trained_context = 2048, PARTS_OF_LLAMA2},
     false, 1100.0e6},
    {"llama3.2-1b", "Llama 3.2 1B, rotary frequencies unscaled",
     {.dim = 2048, .hidden = 8192, .layers = 16, .heads = 32, .kv_heads = 8, .head_size = 64,
      .trained_context = 131072, PARTS_OF_LLAMA3},
     true, 1235.8e6},
    {"llama3.2-3b", "Llama 3.2 3B, rotary frequencies unscaled",
     {.dim = 3072, .hidden = 8192, .layers = 28, .heads = 24, .kv_heads = 8, .head_size = 128,
      .trained_context = 131072, PARTS_OF_LLAMA3},
     true, 3212.7e6},
    {"llama2-7b", "Llama 2 7B",
     {.dim = 4096, .hidden = 11008, .layers = 32, .heads = 32, .kv_heads = 32, .head_size = 128,
      .trained_context = 4096, PARTS_OF_LLAMA2},
     false, 6738.4e6},
    {"mistral-7b", "Mistral 7B v0.1 without its sliding window",
     {.dim = 4096, .hidden = 14336, .layers = 32, .heads = 32, .kv_heads = 8, .head_size = 128,
      .trained_context = 32768, PARTS_OF_LLAMA2},
     false, 7241.7e6},
    {"llama3-8b", "Llama 3 8B",
     {.dim = 4096, .hidden = 14336, .layers = 32, .heads = 32, .kv_heads = 8, .head_size = 128,
      .trained_context = 8192, PARTS_OF_LLAMA3},
     false, 8030.3e6},
    {"llama2-13b", "Llama 2 13B",
     {.dim = 5120, .hidden = 13824, .layers = 40, .heads = 40, .kv_heads = 40, .head_size = 128,
      .trained_context = 4096, PARTS_OF_LLAMA2},
     false, 13015.9e6},
    {"llama3-70b", "Llama 3 70B",
     {.dim = 8192, .hidden = 28672, .layers = 80, .heads = 64, .kv_heads = 8, .head_size = 128,
      .trained_context = 8192, PARTS_OF_LLAMA3},
     false, 70553.7e6},
    {"llama3.1-405b", "Llama 3.1 405B, rotary frequencies unscaled",
     {.dim = 16384, .hidden = 53248, .layers = 126, .heads = 128, .kv_heads = 8, .head_size = 128,
      .trained_context = 131072, PARTS_OF_LLAMA3},
     false, 405853.4e6},
};
const size_t shape_count = sizeof shapes / sizeof *shapes;

const struct shape *shape_find(const char *name, struct error *error)
{
    char names[400];
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
