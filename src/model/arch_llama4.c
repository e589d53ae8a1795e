/* The text model of Llama 4: mixtures whose shares multiply what experts read; layers with a rotary embedding attend
 * within chunks and normalize heads behind it, those without grow their queries with the position. */
#include "arch_rows.h"
#include "arrange.h"
#include "mixture.h"

#include "formats/jsontext.h"

#include <string.h>

static const struct step steps[] = {
    NORM(NORMED, X, ATTN_NORM),
    LINEAR(Q, NORMED, ATTN_Q),
    LINEAR(K, NORMED, ATTN_K),
    LINEAR(V, NORMED, ATTN_V),
    ROTATE(Q, 0),
    ROTATE(K, 0),
    UNIT(Q),
    UNIT(K),
    TEMPER(Q),
    STEP(ATTEND, ATTENDED, Q, NONE, NONE, 0, 0),
    LINEAR(ATTN, ATTENDED, ATTN_OUT),
    ADD(X, ATTN),
    NORM(NORMED, X, FFN_NORM),
    FFN_STEPS(NORMED),
    EXPERT_STEPS(NORMED),
    SHARED_STEPS(NORMED),
    ADD(X, FFN),
    END_OF_STEPS,
};

static role_names tensor_names = {
    [ROLE_EMBEDDING] = "embed_tokens.weight",
    [ROLE_ATTN_NORM] = "input_layernorm.weight",
    [ROLE_ATTN_Q] = "self_attn.q_proj.weight",
    [ROLE_ATTN_Q_BIAS] = "self_attn.q_proj.bias",
    [ROLE_ATTN_K] = "self_attn.k_proj.weight",
    [ROLE_ATTN_K_BIAS] = "self_attn.k_proj.bias",
    [ROLE_ATTN_V] = "self_attn.v_proj.weight",
    [ROLE_ATTN_V_BIAS] = "self_attn.v_proj.bias",
    [ROLE_ATTN_OUT] = "self_attn.o_proj.weight",
    [ROLE_ATTN_OUT_BIAS] = "self_attn.o_proj.bias",
    [ROLE_FFN_NORM] = "post_attention_layernorm.weight",
    [ROLE_FFN_GATE] = "feed_forward.gate_proj.weight",
    [ROLE_FFN_UP] = "feed_forward.up_proj.weight",
    [ROLE_FFN_DOWN] = "feed_forward.down_proj.weight",
    [ROLE_ROUTER] = "feed_forward.router.weight",
    [ROLE_GATE_EXPERTS] = "feed_forward.experts.gate_up_proj",
    [ROLE_UP_EXPERTS] = "feed_forward.experts.gate_up_proj",
    [ROLE_DOWN_EXPERTS] = "feed_forward.experts.down_proj",
    SHARED_EXPERT_NAMES("feed_forward.shared_expert"),
    [ROLE_OUTPUT_NORM] = "norm.weight",
    [ROLE_OUTPUT] = "lm_head.weight",
};

static const uint8_t arranged[ROLE_COUNT] = {
    [ROLE_GATE_EXPERTS] = ARRANGED_TRANSPOSED | ARRANGED_FIRST_HALF,
    [ROLE_UP_EXPERTS] = ARRANGED_TRANSPOSED | ARRANGED_SECOND_HALF,
    [ROLE_DOWN_EXPERTS] = ARRANGED_TRANSPOSED,
};

/* What files mean that do not say it, and all of GGUF. */
enum { USUAL_CHUNK = 8192, USUAL_SPAN = 8192, USUAL_INTERVAL = 4, DENSE_HIDDEN = 16384, UNNORMED_EXPERTS = 128 };
static const float usual_growth = 0.1f;

/* ---- config.json ----------------------------------------------------------------------------- */

static bool read_hf(const struct hf_config *c)
{
    static const struct mixture_keys keys = {
        .experts = "num_local_experts", .experts_other = "num_experts", .used = "num_experts_per_tok",
        .experts_default = 16, .used_default = 1, .router = ROUTER_SIGMOID_CHOSEN};
    struct hyper *h = &c->model->hyper;
    if (!mixture_read_hf(c, &keys))
        return false;
    h->mixture.shared_hidden = h->hidden;
    h->mixture.shares_scale_input = true;
    return hf_size(c, &c->top, &(struct hf_size_key){"intermediate_size_mlp", NULL, DENSE_HIDDEN, DENSE_HIDDEN,
                                                     MAX_HIDDEN}, &h->hidden);
}

/* Whether a layer attends within chunks: by default those with a rotary embedding do. */
static bool read_kind(const struct hf_config *c, const json_t *types, size_t block, bool *chunked)
{
    const char *type = json_string_value(json_array_get(types, block));
    *chunked = types ? type && strcmp(type, "chunked_attention") == 0 : c->model->layers[block].rotary != ROTARY_NONE;
    return !types || *chunked || (type && strcmp(type, "full_attention") == 0) ||
           error_set(c->error, "config.json: layer_types[%zu] = %.40s; expected chunked_attention or full_attention", block,
                     type ? type : json_text_kind(json_array_get(types, block)));
}

static bool read_chunks(const struct hf_config *c)
{
    struct model *m = c->model;
    struct hf_value types;
    size_t chunk;
    const struct hf_size_key key = {"attention_chunk_size", NULL, USUAL_CHUNK, SIZE_MAX, MAX_POSITIONS};
    if (!hf_size(c, &c->top, &key, &chunk) || !hf_find(c, &c->top, "layer_types", NULL, &types))
        return false;
    if (types.json && json_array_size(types.json) != m->hyper.layers)
        return error_set(c->error, "config.json: layer_types is %s of %zu; expected a list of %zu",
                         json_text_kind(types.json), json_array_size(types.json), m->hyper.layers);
    for (size_t b = 0; b < m->hyper.layers; b++) {
        bool chunked;
        if (!read_kind(c, types.json, b, &chunked))
            return false;
        m->layers[b].chunk = chunked && chunk != SIZE_MAX ? chunk : 0;
    }
    return true;
}

/* Older files say how much of a number where others say true. */
static bool read_tuned(const struct hf_config *c, bool *tuned)
{
    struct hf_value value;
    if (!hf_find(c, &c->top, "attn_temperature_tuning", NULL, &value))
        return false;
    *tuned = !value.json || json_is_true(value.json) || json_integer_value(value.json) > 0;
    return !value.json || json_is_boolean(value.json) || json_is_integer(value.json) ||
           error_set(c->error, "config.json: attn_temperature_tuning is %s; expected true or false",
                     json_text_kind(value.json));
}

static void finish(struct model *m, bool normed, float growth, size_t span)
{
    for (size_t b = 0; b < m->hyper.layers; b++) {
        struct layer *l = &m->layers[b];
        bool turns = l->rotary != ROTARY_NONE;
        l->unit_heads = normed && turns;
        l->query_growth = turns ? 0 : growth;
        l->query_span = span;
        l->query_first = 1;
    }
}

static bool shape_hf(const struct hf_config *c)
{
    bool normed, tuned;
    float growth;
    size_t span;
    const struct hf_size_key key = {"floor_scale", NULL, USUAL_SPAN, USUAL_SPAN, MAX_POSITIONS};
    if (!arch_read_rotary(c) || !read_chunks(c) || !read_tuned(c, &tuned) || !hf_flag(c, "use_qk_norm", true, &normed) ||
        !hf_number(c, &c->top, "attn_scale", usual_growth, 0, max_cap, &growth) || !hf_size(c, &c->top, &key, &span))
        return false;
    finish(c->model, normed, tuned ? growth : 0, span);
    return true;
}

/* ---- GGUF ------------------------------------------------------------------------------------ */

static bool read_gguf(const struct gguf_metadata *d, struct model *m)
{
    struct mixture fixed = {.router = ROUTER_SIGMOID_CHOSEN, .shares_scale_input = true};
    bool ok = gguf_read_size(d, "expert_feed_forward_length", m->hyper.hidden, MAX_HIDDEN, &fixed.hidden);
    fixed.shared_hidden = fixed.hidden;
    return ok && mixture_read_gguf(d, m, &fixed);
}

/* A window of 0 says that all layers are alike, with a rotary embedding; its size is not asked. */
static bool shape_gguf(const struct gguf_metadata *d, struct model *m)
{
    char key[128];
    bool alike = gguf_has(d->gguf, gguf_key(d, "attention.sliding_window", key)) && m->hyper.window == 0;
    m->hyper.window = 0;
    for (size_t b = 0; b < m->hyper.layers; b++) {
        bool turns = alike || (b + 1) % USUAL_INTERVAL != 0;
        m->layers[b].window = 0;
        m->layers[b].rotary = turns ? ROTARY_ALL : ROTARY_NONE;
        m->layers[b].chunk = turns && !alike ? USUAL_CHUNK : 0;
    }
    finish(m, m->hyper.mixture.experts != UNNORMED_EXPERTS, usual_growth, USUAL_SPAN);
    return true;
}

/* Whether a layer is what GGUF files mean. */
static bool is_usual(const struct model *m, size_t block)
{
    const struct layer *l = &m->layers[block];
    bool turns = (block + 1) % USUAL_INTERVAL != 0, normed = m->hyper.mixture.experts != UNNORMED_EXPERTS;
    bool grows = !(l->query_growth < usual_growth || l->query_growth > usual_growth) && l->query_span == USUAL_SPAN;
    return turns ? l->rotary != ROTARY_NONE && l->chunk == USUAL_CHUNK && l->unit_heads == normed
                 : l->rotary == ROTARY_NONE && l->chunk == 0 && grows;
}

static const char *unwritten(const struct model *m)
{
    for (size_t b = 0; b < m->hyper.layers; b++)
        if (!is_usual(m, b))
            return "layers differ from those of Llama 4's own models (chunks of 8192 positions in three of four, the fourth "
                   "without a rotary embedding)";
    return NULL;
}

const struct arch arch_llama4 = {
    .name = "llama4",
    .title = "Llama 4",
    .features = "experts whose shares multiply what they read; attention in chunks, every fourth layer "
                "without a rotary embedding",
    .gguf = "llama4",
    .hf = "llama4_text",
    .hf_class = "Llama4ForCausalLM",
    .reference = "Meta 2025",
    .steps = steps,
    .required = ATTENTION_ROLES,
    .optional = BIASES | B(ATTN_OUT_BIAS),
    .dense = GATED,
    .sparse = EXPERT_ROLES | SHARED_ROLES,
    SILU,
    LLAMA_FOLDER(tensor_names),
    .hf_arranged = &arranged,
    .hf_rope = ROPE_NEIGHBOURS,
    .gguf_rope = ROPE_NEIGHBOURS,
    .hf_layer_kinds = true,
    .hf_reads = "num_local_experts num_experts attention_chunk_size attn_scale attn_temperature_tuning "
                "no_rope_layers no_rope_layer_interval",
    .read_hf = read_hf,
    .shape_hf = shape_hf,
    .gguf_reads = "expert_count expert_used_count interleave_moe_layer_step",
    .read_gguf = read_gguf,
    .shape_gguf = shape_gguf,
    .gguf_unwritten = unwritten,
    .defaults = {.dim = 5120, .hidden = 8192, .layers = 48, .heads = 40, .kv_heads = 8, .head_size = 128,
                 .vocab = 202048, .context = 131072, .epsilon = 1e-5f, .rope_base = 500000, .bos = 1, .eos = 2},
};
