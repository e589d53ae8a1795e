/* What the metadata of a GGUF file may ask for and nothing here computes, from llama.cpp's list of keys
 * (src/llama-arch.cpp): each row has the values that ask for nothing. Keys that are read are in gguf_model.c; the
 * others are of models with tensors that none here has, of the tokenizer, or say nothing about what is computed. */
#include "gguf_keys.h"

#include "base/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct key {
    const char *name;    /* after the architecture's */
    const char *neutral; /* words: numbers, true and false, texts */
    const char *archs;   /* of which models this holds; null: all */
} keys[] = {
    {"activation_sparsity_scale", "0", NULL},
    {"attention.causal", "true", NULL},
    {"attention.clamp_kqv", "0", NULL},
    {"attention.kv_lora_rank", "0", NULL},
    {"attention.max_alibi_bias", "0", NULL},
    {"attention.output_scale", "0 1", NULL},
    {"attention.q_lora_rank", "0", NULL},
    {"attention.recurrent_layers", "0 false", NULL},
    {"attention.rope_pattern", "1 true", NULL},
    {"attention.shared_kv_layers", "0", NULL},
    {"attention.sliding_window_pattern", "2", "gemma2"},
    {"attention.sliding_window_pattern", "0 1", "llama qwen2 qwen3 phi3 gemma gpt2"},
    {"attention.temperature_length", "0", NULL},
    {"attention.temperature_scale", "0 1", NULL},
    {"attention.value_scale", "0 1", NULL},
    {"embedding_length_per_layer_input", "0", NULL},
    {"embedding_scale", "0 1", NULL},
    {"expert_count", "0", NULL},
    {"expert_used_count", "0", NULL},
    {"full_attention_interval", "0 1", NULL},
    {"hidden_activation", "silu swish", "llama qwen2 qwen3 phi3"},
    {"hidden_activation", "gelu gelu_new gelu_pytorch_tanh", "gemma gemma2 gpt2"},
    {"hyper_connection.count", "0", NULL},
    {"interleave_moe_layer_step", "0", NULL},
    {"leading_dense_block_count", "0", NULL},
    {"logit_scale", "0 1", NULL},
    {"nextn_predict_layers", "0", NULL},
    {"num_loops", "0 1", NULL},
    {"rescale_every_n_layers", "0", NULL},
    {"residual_scale", "0 1", NULL},
    {"rope.dimension_sections", "0", NULL},
    {"rope.scaling.alpha", "0 1", NULL},
    {"rope.scaling.finetuned", "true", "granite"},
    {"rope.scaling.yarn_log_multiplier", "0", NULL},
    {"swiglu_clamp_exp", "0", NULL},
    {"swin_norm", "false", NULL},
    {"tensor_data_layout", "reference", NULL},
    {"use_parallel_residual", "false", NULL},
};

/* What general.type says of files that are no models. */
static const struct {
    const char *type, *says;
} types[] = {
    {"adapter", "is an adapter (LoRA), not a model: merge it into its base model and open the result"},
    {"controlvector", "is a control vector, not a model: open the model that it is for"},
    {"dataset", "is a data set, not a model"},
    {"imatrix", "is an importance matrix (imatrix), which says how to quantize a model: open the model itself"},
    {"mmproj", "is the projector of a model that sees or hears (mmproj): open the model of text that it belongs to"},
    {"clip", "is the projector of a model that sees or hears (mmproj): open the model of text that it belongs to"},
};

static bool is_type(const struct gguf *gguf, const char *key, const char *type)
{
    struct gguf_text text;
    return gguf_string(gguf, key, &text, NULL) && text.size == strlen(type) &&
           memcmp(text.data, type, text.size) == 0;
}

bool gguf_check_type(const struct gguf *gguf, struct error *error)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (is_type(gguf, "general.type", types[i].type) || is_type(gguf, "general.architecture", types[i].type))
            return error_set(error, "%s", types[i].says);
    if (gguf_has(gguf, "imatrix.chunk_count") || gguf_has(gguf, "adapter.type"))
        return error_set(error, "%s", types[gguf_has(gguf, "adapter.type") ? 0 : 3].says);
    return true;
}

bool gguf_keys_check(const struct gguf *gguf, const struct arch *a, struct error *error)
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char key[128], shown[64], words[96];
        if ((keys[i].archs && !words_have(keys[i].archs, a->gguf)) ||
            (a->gguf_reads && words_have(a->gguf_reads, keys[i].name)))
            continue;
        snprintf(key, sizeof key, "%s.%s", a->gguf, keys[i].name);
        if (gguf_has(gguf, key) && !words_have(keys[i].neutral, gguf_show(gguf, key, shown)))
            return error_set(error, "metadata: %s = %s is not supported in %s models; expected %s", key, shown, a->name,
                             words_join(keys[i].neutral, words));
    }
    return true;
}
