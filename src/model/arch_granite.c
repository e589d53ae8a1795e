/* Granite 3: a Llama with four multipliers (maximal update parametrization: Yang et al. 2022). */
#include "arch_rows.h"
#include "gguf_metadata.h"
#include "hf_values.h"

/* A number that logits are divided by, as what they are multiplied with; 1 is none. */
static void divide_logits(struct hyper *h, float divisor)
{
    h->logit_scale = divisor < 1 || divisor > 1 ? 1 / divisor : 0;
}

static bool read_hf(const struct hf_config *c)
{
    struct hyper *h = &c->model->hyper;
    float divisor;
    if (!hf_number(c, &c->top, "embedding_multiplier", 1, min_cap, max_cap, &h->embedding_scale) ||
        !hf_number(c, &c->top, "residual_multiplier", 1, min_cap, max_cap, &h->residual_scale) ||
        !hf_number(c, &c->top, "attention_multiplier", 1, min_cap, max_cap, &h->attention_scale) ||
        !hf_number(c, &c->top, "logits_scaling", 1, min_cap, max_cap, &divisor))
        return false;
    divide_logits(h, divisor);
    return true;
}

static bool read_gguf(const struct gguf_metadata *d, struct model *m)
{
    struct hyper *h = &m->hyper;
    char key[128];
    float divisor;
    if (!gguf_has(d->gguf, gguf_key(d, "logit_scale", key)))
        return error_set(d->error, "metadata: %s is missing", key);
    if (!gguf_read_float(d, "embedding_scale", 0, 0, max_cap, &h->embedding_scale) ||
        !gguf_read_float(d, "residual_scale", 0, 0, max_cap, &h->residual_scale) ||
        !gguf_read_float(d, "logit_scale", 1, min_cap, max_cap, &divisor))
        return false;
    divide_logits(h, divisor);
    return true;
}

const struct arch arch_granite = {
    .name = "granite",
    .title = "Granite 3",
    .features = "multipliers of embedding, residuals, attention and logits",
    .gguf = "granite",
    .hf = "granite",
    .hf_class = "GraniteForCausalLM",
    .reference = "Granite Team, IBM 2024",
    .required = LLAMA,
    .optional = BIASES | B(ATTN_OUT_BIAS) | GATED_BIASES,
    LLAMA_FILES,
    .hf_activation_free = true,
    .hf_names = &arch_llama_names,
    .gguf_rope = ROPE_NEIGHBOURS,
    .hf_rope = ROPE_HALVES,
    .hf_reads = "embedding_multiplier residual_multiplier attention_multiplier logits_scaling mlp_bias",
    .read_hf = read_hf,
    .gguf_reads = "embedding_scale residual_scale logit_scale",
    .read_gguf = read_gguf,
    .gguf_divides_logits = true,
    .defaults = {.dim = 4096, .hidden = 11008, .layers = 32, .heads = 32, .vocab = 32000, .context = 2048,
                 .epsilon = 1e-6f, .bos = 1, .eos = 2},
};
