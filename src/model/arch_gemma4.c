/* Gemma 4: heads of two sizes, keys and values that several blocks share, an input of every block's own, and in its
 * largest model experts beside dense layers. */
#include "arch_rows.h"
#include "arrange.h"
#include "formats/jsontext.h"
#include "format.h"
#include "gguf_windows.h"
#include "hf_values.h"
#include "mixture.h"
#include "rope.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- tensors and steps ----------------------------------------------------------------------- */

static role_names names = {
    LLAMA_NAMES,
    [ROLE_LAYERS_EMBEDDING] = "embed_tokens_per_layer.weight",
    [ROLE_LAYERS_PROJECTION] = "per_layer_model_projection.weight",
    [ROLE_LAYERS_NORM] = "per_layer_projection_norm.weight",
    [ROLE_ATTN_POST_NORM] = "post_attention_layernorm.weight",
    [ROLE_FFN_NORM] = "pre_feedforward_layernorm.weight",
    [ROLE_DENSE_POST_NORM] = "post_feedforward_layernorm_1.weight",
    [ROLE_ROUTER_NORM] = "router.scale",
    [ROLE_ROUTER] = "router.proj.weight",
    [ROLE_ROUTER_SCALE] = "router.per_expert_scale",
    [ROLE_EXPERTS_NORM] = "pre_feedforward_layernorm_2.weight",
    [ROLE_GATE_EXPERTS] = "experts.gate_up_proj",
    [ROLE_UP_EXPERTS] = "experts.gate_up_proj",
    [ROLE_DOWN_EXPERTS] = "experts.down_proj",
    [ROLE_EXPERTS_POST_NORM] = "post_feedforward_layernorm_2.weight",
    [ROLE_FFN_POST_NORM] = "post_feedforward_layernorm.weight",
    [ROLE_INPUT_GATE] = "per_layer_input_gate.weight",
    [ROLE_INPUT_PROJECTION] = "per_layer_projection.weight",
    [ROLE_INPUT_POST_NORM] = "post_per_layer_input_norm.weight",
    [ROLE_LAYER_SCALE] = "layer_scalar",
};

static role_names gguf_names = {
    [ROLE_GATE_EXPERTS] = "ffn_gate_up_exps.weight",
    [ROLE_UP_EXPERTS] = "ffn_gate_up_exps.weight",
};

static const uint8_t arranged[ROLE_COUNT] = {
    [ROLE_GATE_EXPERTS] = ARRANGED_FIRST_HALF,
    [ROLE_UP_EXPERTS] = ARRANGED_SECOND_HALF,
};

#define KEY_ROLES (B(ATTN_K) | B(ATTN_QKV))
#define INPUT_ROLES (B(INPUT_GATE) | B(INPUT_PROJECTION) | B(INPUT_POST_NORM))
#define INPUTS_ROLES (B(LAYERS_EMBEDDING) | B(LAYERS_PROJECTION) | B(LAYERS_NORM))

/* A router's input is divided by the root of its elements. */
#define ROUTER_SCALE \
    {STEP_SCALE, REG_NORMED, REG_NONE, REG_NONE, ROLE_NONE, B(ROUTER_NORM), 0, SCALAR_ROUTER_INPUT, 0}

/* Where there is no matrix of values, keys before their norm are the values. */
static const struct step steps[] = {
    NORM(NORMED, X, ATTN_NORM), LINEAR(Q, NORMED, ATTN_Q), LINEAR(K, NORMED, ATTN_K), LINEAR(V, NORMED, ATTN_V),
    STEP(SPLIT, V, K, NONE, NONE, B(ATTN_K), B(ATTN_V)), NORM(Q, Q, ATTN_Q_NORM), NORM(K, K, ATTN_K_NORM),
    STEP(NORM, V, V, NONE, NONE, B(ATTN_K), 0), ROTATE(Q, 0), ROTATE(K, B(ATTN_K)),
    STEP(ATTEND, ATTENDED, Q, NONE, NONE, 0, 0), LINEAR(ATTN, ATTENDED, ATTN_OUT), NORM(ATTN, ATTN, ATTN_POST_NORM),
    ADD(X, ATTN),

    NORM(NORMED, X, FFN_NORM), FFN_STEPS(NORMED), NORM(SHARED, FFN, DENSE_POST_NORM),
    NORM(NORMED, X, ROUTER_NORM), ROUTER_SCALE, LINEAR(ROUTER, NORMED, ROUTER),
    STEP(ROUTE, NONE, ROUTER, NONE, NONE, B(ROUTER), 0), NORM(NORMED, X, EXPERTS_NORM),
    EXPERTS(EXPERT_GATE, NORMED, GATE_EXPERTS), EXPERTS(EXPERT_UP, NORMED, UP_EXPERTS),
    STEP(ACTIVATE, EXPERT_GATE, EXPERT_GATE, EXPERT_UP, NONE, B(GATE_EXPERTS), 0),
    EXPERTS(EXPERT_OUT, EXPERT_GATE, DOWN_EXPERTS), STEP(COMBINE, FFN, EXPERT_OUT, NONE, NONE, B(DOWN_EXPERTS), 0),
    NORM(FFN, FFN, EXPERTS_POST_NORM), STEP(ADD, FFN, SHARED, NONE, NONE, B(DENSE_POST_NORM), 0),
    NORM(FFN, FFN, FFN_POST_NORM), ADD(X, FFN),

    STEP(SPLIT, LAYER_INPUT, LAYER_INPUTS, NONE, NONE, B(INPUT_GATE), 0), LINEAR(INPUT_GATE, X, INPUT_GATE),
    STEP(ACTIVATE, INPUT_GATE, INPUT_GATE, LAYER_INPUT, NONE, B(INPUT_GATE), 0),
    LINEAR(FFN, INPUT_GATE, INPUT_PROJECTION), NORM(FFN, FFN, INPUT_POST_NORM),
    STEP(ADD, X, FFN, NONE, NONE, B(INPUT_GATE), 0),

    STEP(WEIGH, X, NONE, NONE, LAYER_SCALE, 0, 0), END_OF_STEPS,
};

/* ---- what both kinds of files say ------------------------------------------------------------ */

static void leave_out(struct model *m, bool inputs, bool experts)
{
    m->hyper.layer_input = inputs ? m->hyper.layer_input : 0;
    m->without |= inputs ? 0 : INPUTS_ROLES | INPUT_ROLES;
    if (!experts)
        m->hyper.mixture = (struct mixture){0};
}

/* The blocks from `first` on use keys and values of the last one before them of their kind. */
static bool share(struct model *m, size_t first, const char *key, struct error *error)
{
    for (size_t b = first; b < m->hyper.layers; b++) {
        struct layer *l = &m->layers[b];
        size_t from = first;
        while (from > 0 && !m->layers[from - 1].window != !l->window)
            from--;
        if (from == 0)
            return error_set(error, "%s = %zu: no block before %zu has the window or not that block %zu has; expected "
                                    "one whose keys and values it uses", key, m->hyper.layers - first, first, b);
        l->kv_from = from - 1;
        l->without |= B(ATTN_K) | B(ATTN_V) | B(ATTN_K_NORM);
    }
    return true;
}

/* Numbers of a layer that are known now. */
static void set_numbers(struct model *m)
{
    for (size_t b = 0; b < m->hyper.layers; b++)
        m->layers[b].scalar[SCALAR_ROUTER_INPUT] = 1 / sqrtf((float)m->hyper.dim);
}

/* ---- config.json ----------------------------------------------------------------------------- */

/* What per_layer_config says of a layer: null where it is not there, or says nothing of it. */
static bool find_overrides(const struct hf_config *c, size_t layer, bool *there, const json_t **overrides)
{
    struct hf_value all;
    char number[24];
    if (!hf_find(c, &c->top, "per_layer_config", NULL, &all))
        return false;
    snprintf(number, sizeof number, "%zu", layer);
    *there = all.json;
    *overrides = json_object_get(all.json, number);
    return !all.json || json_is_object(all.json) ||
           error_set(c->error, "config.json: %s is %s; expected an object", all.name, json_text_kind(all.json));
}

static bool take_override(const struct hf_config *c, const json_t *overrides, const char *key, size_t max, size_t *size)
{
    const json_t *value = json_object_get(overrides, key);
    json_int_t n = json_integer_value(value);
    if (!value)
        return true;
    *size = (size_t)n;
    return (json_is_integer(value) && n >= 1 && n <= (json_int_t)max) ||
           error_set(c->error, "config.json: per_layer_config: %s = %lld (%s); expected 1 to %zu", key, (long long)n,
                     json_text_kind(value), max);
}

/* Heads of the blocks that see all. Those with a window have num_key_value_heads and head_dim. */
static bool read_global_heads(const struct hf_config *c, bool shared_values)
{
    enum { GLOBAL_SIZE = 512 };
    struct hyper *h = &c->model->hyper;
    size_t size = 0, kv_heads = 0;
    bool there = false;
    h->window_head_size = h->head_size;
    h->window_kv_heads = h->kv_heads;
    for (size_t b = 0; b < h->layers && b < MAX_LAYERS; b++) {
        const json_t *overrides;
        if (!find_overrides(c, b, &there, &overrides) ||
            !take_override(c, overrides, "head_dim", MAX_HEAD_SIZE, &size) ||
            !take_override(c, overrides, "num_key_value_heads", MAX_HEADS, &kv_heads))
            return false;
    }
    if (!there && (!hf_count(c, "global_head_dim", NULL, GLOBAL_SIZE, MAX_HEAD_SIZE, &size) ||
                   (shared_values && !hf_count(c, "num_global_key_value_heads", NULL, 0, MAX_HEADS, &kv_heads))))
        return false;
    h->head_size = size ? size : h->head_size;
    h->kv_heads = kv_heads ? kv_heads : h->kv_heads;
    return true;
}

/* Whether every block's own sizes are those of its kind. */
static bool check_overrides(const struct hf_config *c)
{
    const struct hyper *h = &c->model->hyper;
    for (size_t b = 0; b < h->layers; b++) {
        const struct layer *l = &c->model->layers[b];
        size_t size = h->window_head_size, kv_heads = h->window_kv_heads;
        const json_t *overrides;
        bool there;
        if (!find_overrides(c, b, &there, &overrides) ||
            !take_override(c, overrides, "head_dim", MAX_HEAD_SIZE, &size) ||
            !take_override(c, overrides, "num_key_value_heads", MAX_HEADS, &kv_heads))
            return false;
        if (there && (size != l->head_size || kv_heads != l->kv_heads))
            return error_set(c->error, "config.json: per_layer_config: layer %zu has %zu KV heads of %zu; expected %zu "
                                       "of %zu, as other layers of its kind", b, kv_heads, size, l->kv_heads,
                             l->head_size);
    }
    return true;
}

static bool read_experts(const struct hf_config *c, bool enabled)
{
    static const struct mixture_keys keys = {
        .experts = "num_experts", .used = "top_k_experts", .hidden = "moe_intermediate_size",
        .router = ROUTER_SOFTMAX, .normalized = true};
    return !enabled || mixture_read_hf(c, &keys);
}

/* Text never looks ahead where only what is seen may. */
static bool check_direction(const struct hf_config *c)
{
    struct hf_value value;
    if (!hf_find(c, &c->top, "use_bidirectional_attention", NULL, &value))
        return false;
    const char *said = json_string_value(value.json);
    char shown[64];
    return !value.json || (said && strcmp(said, "vision") == 0) ||
           error_set(c->error, "config.json: %s = %s is not supported in %s models; expected null or \"vision\"",
                     value.name, hf_show(value.json, shown), c->arch->name);
}

static bool read_inputs(const struct hf_config *c)
{
    enum { SIZE = 256, VOCABULARY = 262144 };
    struct hyper *h = &c->model->hyper;
    size_t vocab;
    struct hf_value size;
    if (!hf_find(c, &c->top, "hidden_size_per_layer_input", NULL, &size) ||
        !hf_count(c, "hidden_size_per_layer_input", NULL, size.is_null ? 0 : SIZE, MAX_DIM, &h->layer_input) ||
        !hf_count(c, "vocab_size_per_layer_input", NULL, VOCABULARY, MAX_VOCAB, &vocab))
        return false;
    return h->layer_input == 0 || vocab == h->vocab ||
           error_set(c->error, "config.json: vocab_size_per_layer_input = %zu; expected vocab_size = %zu", vocab,
                     h->vocab);
}

static bool read_gemma4(const struct hf_config *c)
{
    static const float window_base = 10000, part = 0.25f;
    struct model *m = c->model;
    struct hyper *h = &m->hyper;
    bool experts, shared_values;
    if (!hf_flag(c, "enable_moe_block", false, &experts) || !hf_flag(c, "attention_k_eq_v", false, &shared_values) ||
        !check_direction(c) || !read_inputs(c) || !read_global_heads(c, shared_values) || !read_experts(c, experts))
        return false;
    leave_out(m, h->layer_input > 0, experts);
    h->rope_dims = 0;
    h->window_rope_base = window_base;
    return hf_number(c, &c->window_rope, "rope_theta", window_base, min_rope_base, max_rope_base,
                     &h->window_rope_base) &&
           (c->rope.count > 0 || rope_proportional(m, part, 1, c->error));
}

static bool shape_gemma4(const struct hf_config *c)
{
    struct model *m = c->model;
    size_t layers = m->hyper.layers, shared;
    bool wide, shared_values;
    if (!hf_count(c, "num_kv_shared_layers", NULL, 0, layers - 1, &shared) ||
        !hf_flag(c, "use_double_wide_mlp", false, &wide) || !hf_flag(c, "attention_k_eq_v", false, &shared_values))
        return false;
    model_set_window(m, layers - 1, 0);
    for (size_t b = 0; shared_values && b < layers; b++)
        m->layers[b].without |= m->layers[b].window ? 0 : B(ATTN_V);
    for (size_t b = layers - shared; wide && b < layers; b++)
        m->layers[b].hidden *= 2;
    set_numbers(m);
    return check_overrides(c) && share(m, layers - shared, "config.json: num_kv_shared_layers", c->error);
}

/* ---- GGUF ------------------------------------------------------------------------------------ */

static bool read_gemma4_gguf(const struct gguf_metadata *d, struct model *m)
{
    static const float window_base = 10000;
    struct hyper *h = &m->hyper;
    size_t dims, value_size, experts;
    char key[128];
    bool ok = gguf_read_size(d, "attention.key_length_swa", 0, MAX_HEAD_SIZE, &h->window_head_size) &&
              gguf_read_size(d, "attention.value_length_swa", h->window_head_size, MAX_HEAD_SIZE, &value_size) &&
              gguf_read_size(d, "rope.dimension_count_swa", h->window_head_size, MAX_HEAD_SIZE, &dims) &&
              gguf_read_float(d, "rope.freq_base_swa", window_base, min_rope_base, max_rope_base,
                              &h->window_rope_base) &&
              gguf_size(d->gguf, gguf_key(d, "embedding_length_per_layer_input", key), 0, MAX_DIM, 0, &h->layer_input,
                        d->error) &&
              gguf_size(d->gguf, gguf_key(d, "expert_count", key), 0, MAX_EXPERTS, 0, &experts, d->error);
    if (!ok)
        return false;
    if (value_size != h->window_head_size || dims != h->window_head_size || h->rope_dims != h->head_size)
        return error_set(d->error, "metadata: %s: heads of %zu and %zu with a window, %zu of it rotary, and %zu of %zu "
                                   "in the others; expected all of a head", d->arch, h->window_head_size, value_size, dims,
                         h->rope_dims, h->head_size);
    if (experts > 0 && !mixture_read_gguf(d, m, &(struct mixture){.router = ROUTER_SOFTMAX, .normalized = true}))
        return false;
    leave_out(m, h->layer_input > 0, experts > 0);
    return true;
}

/* The sizes that differ from layer to layer. */
static bool read_lists(const struct gguf_metadata *d, struct model *m, size_t *kv_heads, size_t *hidden)
{
    struct hyper *h = &m->hyper;
    if (!gguf_read_each(d, "attention.head_count_kv", h->layers, MAX_HEADS, kv_heads) ||
        !gguf_read_each(d, "feed_forward_length", h->layers, MAX_HIDDEN, hidden))
        return false;
    h->hidden = hidden[0];
    for (size_t b = 0; b < h->layers; b++) {
        if (h->heads % kv_heads[b] != 0)
            return error_set(d->error, "metadata: %s.attention.head_count_kv[%zu] = %zu; expected a divisor of "
                                       "head_count = %zu", d->arch, b, kv_heads[b], h->heads);
        *(m->layers[b].window ? &h->window_kv_heads : &h->kv_heads) = m->layers[b].kv_heads = kv_heads[b];
        m->layers[b].hidden = hidden[b];
    }
    return true;
}

static bool shape_gemma4_gguf(const struct gguf_metadata *d, struct model *m)
{
    size_t layers = m->hyper.layers, shared, *lists = malloc(2 * layers * sizeof *lists);
    char key[128], name[64];
    if (!lists)
        return error_set(d->error, "not enough memory");
    bool ok = gguf_windows_apply(d, m) && read_lists(d, m, lists, lists + layers) &&
              gguf_size(d->gguf, gguf_key(d, "attention.shared_kv_layers", key), 0, layers - 1, 0, &shared, d->error);
    free(lists);
    for (size_t b = 0; ok && b < layers; b++) {
        snprintf(name, sizeof name, "blk.%zu.attn_v.weight", b);
        m->layers[b].without |= catalog_find(&m->files, name) ? 0 : B(ATTN_V);
    }
    set_numbers(m);
    return ok && share(m, layers - shared, key, d->error);
}

const struct arch arch_gemma4 = {
    .name = "gemma4",
    .title = "Gemma 4",
    .features = "heads of two sizes, shared keys and values, an input of each layer's own, experts beside dense layers",
    .gguf = "gemma4",
    .hf = "gemma4_text",
    .hf_class = "Gemma4ForCausalLM",
    .reference = "Gemma Team 2026",
    .required = LLAMA | B(ATTN_POST_NORM) | B(FFN_POST_NORM) | B(ATTN_Q_NORM) | B(ATTN_K_NORM) | INPUTS_ROLES |
                INPUT_ROLES,
    .optional = BIASES | B(ATTN_OUT_BIAS) | B(LAYER_SCALE),
    .sparse = EXPERT_ROLES | B(DENSE_POST_NORM) | B(ROUTER_NORM) | B(ROUTER_SCALE) | B(EXPERTS_NORM) |
              B(EXPERTS_POST_NORM),
    .steps = steps,
    .activation = ACTIVATION_GELU_TANH,
    .hf_activation = "gelu_pytorch_tanh",
    .hf_activation_key = "hidden_activation",
    .gguf_rope = ROPE_HALVES,
    .hf_rope = ROPE_HALVES,
    .hf_prefix = "model.",
    .hf_block = "layers.",
    .attention_scale = 1,
    .scaled_embedding = true,
    .tied_default = true,
    .hf_names = &names,
    .hf_arranged = &arranged,
    .gguf_names = &gguf_names,
    .gguf_arranged = &arranged,
    .hf_window = HF_WINDOW_OWN,
    .window_rope = true,
    .hf_partial_rope = true,
    .hf_reads = "attention_k_eq_v final_logit_softcapping hidden_size_per_layer_input num_experts num_kv_shared_layers "
                "use_bidirectional_attention use_double_wide_mlp",
    .read_hf = read_gemma4,
    .shape_hf = shape_gemma4,
    .gguf_reads = "attention.head_count_kv attention.key_length_swa attention.shared_kv_layers "
                  "attention.sliding_window_pattern embedding_length_per_layer_input expert_count expert_used_count "
                  "feed_forward_length",
    .read_gguf = read_gemma4_gguf,
    .shape_gguf = shape_gemma4_gguf,
    .defaults = {.dim = 2304, .hidden = 9216, .layers = 30, .heads = 8, .kv_heads = 4, .head_size = 256,
                 .vocab = 262144, .context = 131072, .window = 512, .epsilon = 1e-6f, .rope_base = 1000000,
                 .bos = 2, .eos = 1},
    .window_period = 6,
    .gguf_window = GGUF_WINDOW_READ,
};
