/* Llama and what differs from it in nothing but a window: Mistral. */
#include "arch_rows.h"
#include "mixture.h"

role_names arch_llama_names = {LLAMA_NAMES, [ROLE_FFN_NORM] = "post_attention_layernorm.weight"};

const struct step arch_llama_steps[] = {
    NORM(NORMED, X, ATTN_NORM),
    ATTENTION_STEPS(NORMED),
    NORM(ATTN, ATTN, ATTN_POST_NORM),
    SCALE(ATTN, RESIDUAL),
    ADD(X, ATTN),
    NORM(NORMED, X, FFN_NORM),
    FFN_STEPS(NORMED),
    EXPERT_STEPS(NORMED),
    SHARED_STEPS(NORMED),
    NORM(FFN, FFN, FFN_POST_NORM),
    SCALE(FFN, RESIDUAL),
    ADD(X, FFN),
    END_OF_STEPS,
};

void arch_turn_windowed(struct model *m)
{
    for (size_t b = 0; b < m->hyper.layers; b++)
        if (!m->layers[b].window)
            m->layers[b].rotary = ROTARY_NONE;
}

const struct step arch_parallel_steps[] = {
    NORM(NORMED, X, ATTN_NORM),
    ATTENTION_STEPS(NORMED),
    NORM(NORMED, X, FFN_NORM),
    FFN_STEPS(NORMED),
    ADD(X, ATTN),
    ADD(X, FFN),
    END_OF_STEPS,
};

const struct step arch_post_norm_steps[] = {
    ATTENTION_STEPS(X),
    NORM(ATTN, ATTN, ATTN_POST_NORM),
    ADD(X, ATTN),
    FFN_STEPS(X),
    NORM(FFN, FFN, FFN_POST_NORM),
    ADD(X, FFN),
    END_OF_STEPS,
};

/* Mixtral's GGUF files call themselves so, too. */
static bool read_gguf(const struct gguf_metadata *d, struct model *m)
{
    size_t experts, used;
    char key[128];
    if (!gguf_size(d->gguf, gguf_key(d, "expert_count", key), 0, MAX_EXPERTS, 0, &experts, d->error) ||
        !gguf_size(d->gguf, gguf_key(d, "expert_used_count", key), 0, MAX_EXPERTS, 0, &used, d->error))
        return false;
    if (experts == 0 && used > 0)
        return error_set(d->error, "metadata: %s = %zu, but %s.expert_count is 0 or missing", key, used, d->arch);
    return experts == 0 || mixture_read_gguf(d, m, &(struct mixture){.router = ROUTER_SOFTMAX, .normalized = true});
}

/* Converters to GGUF reorder the rows of a Llama's Q and K so that rotary pairs are neighbours. */
const struct arch arch_llama = {
    .name = "llama",
    .title = "Llama 1 to 3.x",
    .features = "grouped-query attention, biases; rotary scalings linear, dynamic, llama3, YaRN and LongRoPE",
    .gguf = "llama",
    .hf = "llama",
    .hf_class = "LlamaForCausalLM",
    .reference = "Touvron et al. 2023; Llama 3: Grattafiori et al. 2024",
    .steps = arch_llama_steps,
    .required = ATTENTION_ROLES,
    .dense = GATED,
    .sparse = EXPERT_ROLES,
    .gguf_reads = "expert_count expert_used_count",
    .read_gguf = read_gguf,
    .optional = BIASES | B(ATTN_OUT_BIAS) | GATED_BIASES,
    .hf_reads = "mlp_bias",
    .activation = ACTIVATION_SILU,
    .hf_activation = "silu",
    .hf_activation_key = "hidden_act",
    .gguf_rope = ROPE_NEIGHBOURS,
    .hf_rope = ROPE_HALVES,
    .gguf_window = GGUF_WINDOW_IGNORED,
    .hf_prefix = "model.",
    .hf_block = "layers.",
    .hf_names = &arch_llama_names,
    .defaults = {.dim = 4096, .hidden = 11008, .layers = 32, .heads = 32, .vocab = 32000, .context = 2048,
                 .epsilon = 1e-6f, .bos = 1, .eos = 2},
};

/* One of 2024 whose layers may differ in their windows. */
const struct arch arch_ministral = {
    .name = "ministral",
    .title = "Ministral",
    .features = "a sliding window in some layers",
    .in_gguf = &arch_llama,
    .hf = "ministral",
    .hf_class = "MinistralForCausalLM",
    .reference = "Mistral AI 2024",
    .required = LLAMA,
    LLAMA_LIKE,
    .hf_activation_free = true,
    .hf_window = HF_WINDOW_OWN,
    .defaults = {.dim = 4096, .hidden = 14336, .layers = 32, .heads = 32, .kv_heads = 8, .vocab = 32000,
                 .context = 131072, .window = 4096, .epsilon = 1e-6f, .bos = 1, .eos = 2},
};

const struct arch arch_mistral = {
    .name = "mistral",
    .title = "Mistral",
    .features = "sliding window, in all layers or in those of `layer_types`",
    .in_gguf = &arch_llama,
    .hf = "mistral",
    .hf_class = "MistralForCausalLM",
    .reference = "Jiang et al. 2023",
    .required = LLAMA,
    LLAMA_LIKE,
    .hf_window = HF_WINDOW_OWN,
    .defaults = {.dim = 4096, .hidden = 14336, .layers = 32, .heads = 32, .kv_heads = 8, .vocab = 32000,
                 .context = 131072, .window = 4096, .epsilon = 1e-6f, .bos = 1, .eos = 2},
};
