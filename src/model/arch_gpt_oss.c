/* gpt-oss: attention with sinks, and experts with biases whose gates and ups lie row by row in one matrix. */
#include "arch_rows.h"
#include "arrange.h"
#include "gguf_windows.h"
#include "mixture.h"

static role_names tensor_names = {
    LLAMA_NAMES,
    [ROLE_ATTN_SINKS] = "self_attn.sinks",
    [ROLE_FFN_NORM] = "post_attention_layernorm.weight",
    [ROLE_ROUTER] = "mlp.router.weight",
    [ROLE_ROUTER_BIAS] = "mlp.router.bias",
    [ROLE_GATE_EXPERTS] = "mlp.experts.gate_up_proj",
    [ROLE_GATE_EXPERTS_BIAS] = "mlp.experts.gate_up_proj_bias",
    [ROLE_UP_EXPERTS] = "mlp.experts.gate_up_proj",
    [ROLE_UP_EXPERTS_BIAS] = "mlp.experts.gate_up_proj_bias",
    [ROLE_DOWN_EXPERTS] = "mlp.experts.down_proj",
    [ROLE_DOWN_EXPERTS_BIAS] = "mlp.experts.down_proj_bias",
};

static const uint8_t arranged[ROLE_COUNT] = {
    [ROLE_GATE_EXPERTS] = ARRANGED_TRANSPOSED | ARRANGED_EVEN,
    [ROLE_GATE_EXPERTS_BIAS] = ARRANGED_EVEN,
    [ROLE_UP_EXPERTS] = ARRANGED_TRANSPOSED | ARRANGED_ODD,
    [ROLE_UP_EXPERTS_BIAS] = ARRANGED_ODD,
    [ROLE_DOWN_EXPERTS] = ARRANGED_TRANSPOSED,
};

static role_names gguf_names = {[ROLE_FFN_NORM] = "post_attention_norm.weight"};

static const float usual_alpha = 1.702f, usual_limit = 7;

static bool read_hf(const struct hf_config *c)
{
    static const struct mixture_keys keys = {
        .experts = "num_local_experts", .experts_other = "num_experts", .used = "num_experts_per_tok",
        .experts_default = 128, .used_default = 4, .router = ROUTER_SOFTMAX_CHOSEN};
    struct hyper *h = &c->model->hyper;
    if (c->rope.count == 0)
        return error_set(c->error, "config.json: rope_scaling is missing; expected that of the model, by default YaRN");
    return hf_number(c, &c->top, "swiglu_alpha", usual_alpha, 0, max_cap, &h->swiglu_alpha) &&
           hf_number(c, &c->top, "swiglu_limit", usual_limit, 0, max_cap, &h->swiglu_limit) &&
           mixture_read_hf(c, &keys);
}

static bool read_gguf(const struct gguf_metadata *d, struct model *m)
{
    m->hyper.swiglu_alpha = usual_alpha;
    m->hyper.swiglu_limit = usual_limit;
    return mixture_read_gguf(d, m, &(struct mixture){.router = ROUTER_SOFTMAX_CHOSEN});
}

static const char *unwritten(const struct model *m)
{
    const struct hyper *h = &m->hyper;
    bool usual = !(h->swiglu_alpha < usual_alpha || h->swiglu_alpha > usual_alpha || h->swiglu_limit < usual_limit ||
                   h->swiglu_limit > usual_limit);
    return usual ? NULL : "swiglu_alpha or swiglu_limit is not the usual one (1.702 and 7)";
}

const struct arch arch_gpt_oss = {
    .name = "gpt-oss",
    .title = "gpt-oss",
    .features = "attention with sinks, a window in every other layer, experts with biases and a clamped activation, "
                "in MXFP4 as published",
    .gguf = "gpt-oss",
    .hf = "gpt_oss",
    .hf_class = "GptOssForCausalLM",
    .reference = "OpenAI 2025",
    .steps = arch_llama_steps,
    .required = ATTENTION_ROLES | B(ATTN_SINKS),
    .optional = BIASES | B(ATTN_OUT_BIAS),
    .sparse = EXPERT_ROLES | EXPERT_BIASES | B(ROUTER_BIAS),
    .activation = ACTIVATION_SWIGLU_CLAMPED,
    .hf_activation = "silu",
    .hf_activation_key = "hidden_act",
    .gguf_rope = ROPE_HALVES,
    .hf_rope = ROPE_HALVES,
    .biased_default = true,
    .exact_yarn = true,
    .window_period = 2,
    .hf_window = HF_WINDOW_OWN,
    .gguf_window = GGUF_WINDOW_ALWAYS,
    .hf_prefix = "model.",
    .hf_block = "layers.",
    .hf_names = &tensor_names,
    .hf_arranged = &arranged,
    .hf_packed = EXPERT_ROLES & ~B(ROUTER),
    .gguf_names = &gguf_names,
    .hf_reads = "num_local_experts num_experts swiglu_limit quantization_config",
    .read_hf = read_hf,
    .gguf_reads = "expert_count expert_used_count attention.sliding_window_pattern",
    .read_gguf = read_gguf,
    .shape_gguf = gguf_windows_apply,
    .gguf_unwritten = unwritten,
    .defaults = {.dim = 2880, .hidden = 2880, .layers = 36, .heads = 64, .kv_heads = 8, .head_size = 64,
                 .vocab = 201088, .context = 131072, .window = 128, .epsilon = 1e-5f, .rope_base = 150000, .bos = -1,
                 .eos = -1},
};
