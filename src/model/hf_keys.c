/* What a config.json may ask for and nothing here computes, from the configuration classes of transformers: each row
 * has the values that ask for nothing. Keys that are read are in hf_config.c and hf_rope.c; every other key has to do
 * with training, with generating, with other programs or with nothing. */
#include "hf_keys.h"

#include "base/words.h"

#include <stdlib.h>

#define QUANTIZED "the model before it was quantized, or a GGUF file of it"

static const struct key {
    const char *name;
    const char *neutral; /* words: JSON without spaces; null always is */
    const char *archs;   /* of which models this holds; null: all */
    const char *advice;  /* what to do about another value; null: to have one of these */
} keys[] = {
    /* attention */
    {"add_cross_attention", "false", NULL, NULL},
    {"alibi", "false", NULL, NULL},
    {"attention_chunk_size", "0", NULL, NULL},
    {"attention_in_multiplier", "1", NULL, NULL},
    {"attention_k_eq_v", "false", NULL, NULL},
    {"attention_multiplier", "", NULL, NULL},
    {"attention_out_multiplier", "1", NULL, NULL},
    {"attention_window", "0", NULL, NULL},
    {"attn_config", "{}", NULL, NULL},
    {"attn_output_gate", "false", NULL, NULL},
    {"attn_scale", "", NULL, NULL},
    {"attn_temperature_tuning", "false 0", NULL, NULL},
    {"clip_qkv", "0", NULL, NULL},
    {"is_causal", "true", NULL, NULL},
    {"is_encoder_decoder", "false", NULL, NULL},
    {"key_multiplier", "1", NULL, NULL},
    {"kv_lora_rank", "0", NULL, NULL},
    {"local_attention", "false", NULL, NULL},
    {"multi_query", "false", NULL, NULL},
    {"no_rope_layer_interval", "0", NULL, NULL},
    {"no_rope_layers", "[] 1", NULL, NULL},
    {"num_kv_shared_layers", "0", NULL, NULL},
    {"position_embedding_type", "\"rope\" \"rotary\" \"absolute\"", NULL, NULL},
    {"prefix_lm", "false", NULL, NULL},
    {"pruned_heads", "{}", NULL, NULL},
    {"q_lora_rank", "0", NULL, NULL},
    {"qk_layernorm", "false", NULL, NULL},
    {"qkv_bias", "false", "llama mistral qwen3 phi3 gemma gemma2", NULL},
    {"qkv_bias", "true", "qwen2 gpt2", NULL},
    {"qk_norm", "false", "llama mistral qwen2 phi3 gemma gemma2 gpt2", NULL},
    {"rope_interleave", "false", NULL, NULL},
    {"rope_interleaved", "false", NULL, NULL},
    {"global_rope_theta", "", NULL, NULL},
    {"local_rope_theta", "", NULL, NULL},
    {"logits_soft_cap", "0", NULL, NULL},
    {"rope_local_base_freq", "", NULL, NULL},
    {"rope_pct", "1", NULL, NULL},
    {"rope_ratio", "1", NULL, NULL},
    {"rotary_dim", "0", NULL, NULL},
    {"rotary_emb_base", "", NULL, NULL},
    {"rotary_emb_fraction", "1", NULL, NULL},
    {"rotary_emb_interleaved", "false", NULL, NULL},
    {"rotary_embedding_base", "", NULL, NULL},
    {"rotary_pct", "1", NULL, NULL},
    {"rotary_scaling_factor", "1", NULL, NULL},
    {"softmax_scale", "", NULL, NULL},
    {"use_attention_sinks", "false", NULL, NULL},
    {"use_dynamic_ntk", "false", NULL, NULL},
    {"use_logn_attn", "false", NULL, NULL},
    {"scale_attn_by_inverse_layer_idx", "false", "llama mistral qwen2 qwen3 phi3 gemma gemma2", NULL},
    {"scale_attn_weights", "true", "llama mistral qwen2 qwen3 phi3 gemma gemma2", NULL},
    {"scale_qk_dot_by_d", "false", NULL, NULL},
    {"sliding_window_pattern", "0", "llama mistral qwen2 qwen3 phi3 gemma gpt2", NULL},
    {"sliding_window_pattern", "2", "gemma2", NULL},
    {"swa_head_dim", "0", NULL, NULL},
    {"use_alibi", "false", NULL, NULL},
    {"use_bidirectional_attention", "false", NULL, NULL},
    {"use_qk_norm", "false", "llama mistral qwen2 phi3 gemma gemma2 gpt2", NULL},
    {"use_rope", "true", "llama mistral qwen2 qwen3 phi3 gemma gemma2", NULL},
    {"v_head_dim", "0", NULL, NULL},
    {"attn_logit_softcapping", "0 false", NULL, NULL},
    {"query_pre_attn_scalar", "0", NULL, NULL},
    /* what is added to or multiplied with hidden states and logits */
    {"norm_type", "\"rmsnorm\" \"rms_norm\" \"RMSNorm\"", "llama mistral qwen2 qwen3 phi3 gemma gemma2", NULL},
    {"post_norm", "false", NULL, NULL},
    {"sandwich_norm", "false", NULL, NULL},
    {"use_post_norm", "false", NULL, NULL},
    {"apply_residual_connection_post_layernorm", "false", NULL, NULL},
    {"_remove_final_layer_norm", "false", NULL, NULL},
    {"do_layer_norm_before", "true", NULL, NULL},
    {"enable_bias", "true", NULL, NULL},
    {"layer_norm_elementwise_affine", "true", NULL, NULL},
    {"embedding_multiplier", "1", NULL, NULL},
    {"embedding_scale", "1", NULL, NULL},
    {"dim_model_base", "0", NULL, NULL},
    {"final_logit_softcapping", "0 false", NULL, NULL},
    {"hidden_size_per_layer_input", "0", NULL, NULL},
    {"laurel_rank", "0", NULL, NULL},
    {"lm_head_bias", "false", NULL, NULL},
    {"lm_head_multiplier", "1", NULL, NULL},
    {"logit_scale", "1", NULL, NULL},
    {"logits_scaling", "1", NULL, NULL},
    {"mup_width_scale", "1", NULL, NULL},
    {"output_multiplier", "1", NULL, NULL},
    {"parallel_attn", "false", NULL, NULL},
    {"residual_multiplier", "1", NULL, NULL},
    {"scale_depth", "", NULL, NULL},
    {"scale_emb", "1", NULL, NULL},
    {"scale_embedding", "false", NULL, NULL},
    {"type_vocab_size", "0", NULL, NULL},
    {"use_mup", "false", NULL, NULL},
    {"use_parallel_residual", "false", NULL, NULL},
    {"width_scale", "1", NULL, NULL},
    {"word_embed_proj_dim", "", NULL, NULL},
    /* feed-forward layers */
    {"activation_sparsity_pattern", "[] 0", NULL, NULL},
    {"bias", "false", NULL, NULL},
    {"decoder_sparse_step", "0 1", NULL, NULL},
    {"first_k_dense_replace", "0", NULL, NULL},
    {"mlp_bias", "false", NULL, NULL},
    {"mlp_gate_softcap", "0", NULL, NULL},
    {"mlp_multipliers", "[] 1", NULL, NULL},
    {"moe_num_experts", "0 1", NULL, NULL},
    {"n_routed_experts", "0", NULL, NULL},
    {"num_experts", "0", NULL, NULL},
    {"num_local_experts", "0 1", NULL, NULL},
    {"swiglu_limit", "0", NULL, NULL},
    {"use_gated_mlp", "true", "llama mistral qwen2 qwen3 phi3 gemma gemma2", NULL},
    {"use_bias", "false", NULL, NULL},
    {"use_double_wide_mlp", "false", NULL, NULL},
    /* layers */
    {"attn_layer_period", "0 1", NULL, NULL},
    {"block_types", "[]", NULL, NULL},
    {"full_attention_interval", "0 1", NULL, NULL},
    {"hybrid_override_pattern", "\"\"", NULL, NULL},
    {"layers_block_type", "[] \"attention\"", NULL, NULL},
    {"num_loops", "0 1", NULL, NULL},
    /* weights of another program: what they stand for is in tensors that are not here */
    {"compression_config", "{}", NULL, QUANTIZED},
    {"quantization", "{}", NULL, QUANTIZED},
    {"quantization_config", "{}", NULL, QUANTIZED},
};

static bool is_one_of(const json_t *value, const char *words)
{
    for (const char *at = words; *at; at += strspn(at, " ")) {
        size_t n = strcspn(at, " ");
        json_t *word = json_loadb(at, n, JSON_DECODE_ANY, NULL);
        bool same = json_is_number(word) && json_is_number(value)
                        ? !(json_number_value(word) < json_number_value(value)) &&
                              !(json_number_value(word) > json_number_value(value))
                        : json_equal(word, value);
        json_decref(word);
        if (same)
            return true;
        at += n;
    }
    return false;
}

/* A list asks for nothing where none of its values does. */
static bool is_neutral(const json_t *value, const char *words)
{
    if (!value || is_one_of(value, words))
        return true;
    size_t neutral = 0, count = json_array_size(value);
    for (size_t i = 0; i < count; i++)
        neutral += is_one_of(json_array_get(value, i), words);
    return count > 0 && neutral == count;
}

static bool check_key(const struct hf_config *c, const struct hf_places *places, const struct key *k)
{
    struct hf_value value;
    char shown[64], words[96];
    if (!hf_find(c, places, k->name, NULL, &value))
        return false;
    return is_neutral(value.json, k->neutral) ||
           error_set(c->error, "config.json: %s = %s is not supported in %s models; expected %s", value.name,
                     hf_show(value.json, shown), c->arch->name,
                     k->advice ? k->advice : *k->neutral ? words_join(k->neutral, words) : "null");
}

bool hf_keys_check(const struct hf_config *c)
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct key *k = &keys[i];
        bool read = c->arch->hf_reads && words_have(c->arch->hf_reads, k->name);
        if (read || (k->archs && !words_have(k->archs, c->arch->name)))
            continue;
        if (!check_key(c, &c->top, k) || (k->advice && !check_key(c, &c->around, k)))
            return false;
    }
    return true;
}
