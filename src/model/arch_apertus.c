/* Apertus: norms of each head's queries and keys, two feed-forward layers with xIELU between them, whose numbers are
 * learned: tensors of Hugging Face's files, keys of GGUF's. */
#include "arch_rows.h"
#include "gguf_metadata.h"
#include "hf_values.h"
#include "rope.h"

#include <stdio.h>
#include <string.h>

static role_names hf_names = {
    [ROLE_EMBEDDING] = "embed_tokens.weight",
    [ROLE_ATTN_NORM] = "attention_layernorm.weight",
    [ROLE_ATTN_Q] = "self_attn.q_proj.weight",
    [ROLE_ATTN_Q_BIAS] = "self_attn.q_proj.bias",
    [ROLE_ATTN_K] = "self_attn.k_proj.weight",
    [ROLE_ATTN_K_BIAS] = "self_attn.k_proj.bias",
    [ROLE_ATTN_V] = "self_attn.v_proj.weight",
    [ROLE_ATTN_V_BIAS] = "self_attn.v_proj.bias",
    [ROLE_ATTN_Q_NORM] = "self_attn.q_norm.weight",
    [ROLE_ATTN_K_NORM] = "self_attn.k_norm.weight",
    [ROLE_ATTN_OUT] = "self_attn.o_proj.weight",
    [ROLE_ATTN_OUT_BIAS] = "self_attn.o_proj.bias",
    [ROLE_FFN_NORM] = "feedforward_layernorm.weight",
    [ROLE_FFN_UP] = "mlp.up_proj.weight",
    [ROLE_FFN_DOWN] = "mlp.down_proj.weight",
    [ROLE_OUTPUT_NORM] = "norm.weight",
    [ROLE_OUTPUT] = "lm_head.weight",
};

static const struct number {
    const char *hf, *gguf;
    size_t member;
} numbers[] = {
    {"alpha_p", "xielu.alpha_p", offsetof(struct xielu, positive)},
    {"alpha_n", "xielu.alpha_n", offsetof(struct xielu, negative)},
    {"beta", "xielu.beta", offsetof(struct xielu, beta)},
    {"eps", "xielu.eps", offsetof(struct xielu, eps)},
};
enum { NUMBERS = sizeof numbers / sizeof *numbers };

static float *member(struct model *m, size_t block, const struct number *n)
{
    return (float *)(void *)((char *)&m->layers[block].xielu + n->member);
}

static bool check(float value, const char *name, struct error *error)
{
    return (value > -max_cap && value < max_cap) ||
           error_set(error, "%s = %g; expected a number of at most %g", name, (double)value, (double)max_cap);
}

/* One number, in no dimension or in one. */
static bool read_tensor(struct model *m, size_t block, const struct number *n, const char *prefix, struct error *error)
{
    char name[128];
    snprintf(name, sizeof name, "%slayers.%zu.mlp.act_fn.%s", prefix, block, n->hf);
    const struct entry *e = catalog_find(&m->files, name);
    if (!e)
        return error_set(error, "tensor %s is missing", name);
    const struct dtype_info *type = &dtypes[e->dtype];
    if (!type->decode_run || type->block != 1 || e->bytes != type->block_bytes)
        return error_set(error, "tensor %s: %zu bytes of %s; expected one number", name, e->bytes, type->name);
    type->decode_run(e->data, 0, 1, 0, member(m, block, n));
    return check(*member(m, block, n), name, error);
}

static bool complete_hf(struct model *m, const char *prefix, struct error *error)
{
    for (size_t b = 0; b < m->hyper.layers; b++)
        for (size_t i = 0; i < NUMBERS; i++)
            if (!read_tensor(m, b, &numbers[i], prefix, error))
                return false;
    return true;
}

/* One value for all layers, or a list of them. */
static bool read_list(const struct gguf_metadata *d, struct model *m, const struct number *n)
{
    struct gguf_array list = {0};
    float same;
    if (!gguf_has(d->gguf, n->gguf))
        return error_set(d->error, "metadata: %s is missing", n->gguf);
    bool is_list = gguf_array(d->gguf, n->gguf, GGUF_FLOAT32, &list, NULL);
    if (!is_list && !gguf_float(d->gguf, n->gguf, 0, &same, d->error))
        return false;
    if (is_list && list.count != m->hyper.layers)
        return error_set(d->error, "metadata: %s has %zu values; expected %zu, one a layer", n->gguf, list.count,
                         m->hyper.layers);
    for (size_t b = 0; b < m->hyper.layers; b++) {
        memcpy(member(m, b, n), is_list ? (const void *)(list.data + b * sizeof same) : &same, sizeof same);
        if (!check(*member(m, b, n), n->gguf, d->error))
            return false;
    }
    return true;
}

static bool shape_gguf(const struct gguf_metadata *d, struct model *m)
{
    for (size_t i = 0; i < NUMBERS; i++)
        if (!read_list(d, m, &numbers[i]))
            return false;
    return true;
}

/* Its class has a scaling of its own for files without one. */
static bool read_hf(const struct hf_config *c)
{
    static const struct rope_scale usual = {SCALING_LLAMA3, .factor = 8, .low = 1, .high = 4, .original = 8192};
    return c->rope.count > 0 || rope_scale(c->model, &usual, c->error);
}

const struct arch arch_apertus = {
    .name = "apertus",
    .title = "Apertus",
    .features = "norms of each head's queries and keys; xIELU, whose numbers each layer has",
    .gguf = "apertus",
    .hf = "apertus",
    .hf_class = "ApertusForCausalLM",
    .reference = "Apertus Team 2025; xIELU: Huang and Schlag 2024",
    .steps = arch_llama_steps,
    .required = ATTENTION_ROLES | B(ATTN_Q_NORM) | B(ATTN_K_NORM) | B(FFN_UP) | B(FFN_DOWN),
    .optional = BIASES | B(ATTN_OUT_BIAS),
    .activation = ACTIVATION_XIELU,
    .hf_activation = "xielu",
    .hf_activation_key = "hidden_act",
    .gguf_rope = ROPE_HALVES,
    .hf_rope = ROPE_HALVES,
    .hf_prefix = "model.",
    .hf_block = "layers.",
    .hf_names = &hf_names,
    .read_hf = read_hf,
    .hf_numbers = "*.mlp.act_fn.*",
    .complete_hf = complete_hf,
    .shape_gguf = shape_gguf,
    .defaults = {.dim = 4096, .hidden = 14336, .layers = 32, .heads = 32, .vocab = 131072, .context = 65536,
                 .epsilon = 1e-5f, .rope_base = 12000000, .bos = 1, .eos = 2},
};
