/* BitNet b1.58: norms before the last matrix of attention and of feed-forward layers; matrices of three values, and
 * inputs of 8 bits, to which the weights that training left are rounded where config.json says "online". */
#include "arch_rows.h"
#include "formats/jsontext.h"
#include "hf_values.h"

#include <string.h>

static const struct step steps[] = {
    NORM(NORMED, X, ATTN_NORM),
    ROUND(NORMED, STEPS),
    LINEAR(Q, NORMED, ATTN_Q),
    LINEAR(K, NORMED, ATTN_K),
    LINEAR(V, NORMED, ATTN_V),
    ROTATE(Q, 0),
    ROTATE(K, 0),
    STEP(ATTEND, ATTENDED, Q, NONE, NONE, 0, 0),
    NORM(ATTENDED, ATTENDED, ATTN_SUB_NORM),
    ROUND(ATTENDED, STEPS),
    LINEAR(ATTN, ATTENDED, ATTN_OUT),
    ADD(X, ATTN),
    NORM(NORMED, X, FFN_NORM),
    ROUND(NORMED, STEPS),
    LINEAR(GATE, NORMED, FFN_GATE),
    LINEAR(UP, NORMED, FFN_UP),
    STEP(ACTIVATE, GATE, GATE, UP, NONE, 0, 0),
    NORM(GATE, GATE, FFN_SUB_NORM),
    ROUND(GATE, STEPS),
    LINEAR(FFN, GATE, FFN_DOWN),
    ADD(X, FFN),
    END_OF_STEPS,
};

/* What quantization_config has to say, all of it. */
static const struct {
    const char *key, *value;
} online[] = {{"quant_method", "bitnet"}, {"linear_class", "autobitlinear"}, {"quantization_mode", "online"}};

static bool check_online(const struct hf_config *c, const json_t *config)
{
    for (size_t i = 0; i < sizeof online / sizeof *online; i++) {
        const char *value = json_string_value(json_object_get(config, online[i].key));
        if (!value || strcmp(value, online[i].value) != 0)
            return error_set(c->error, "config.json: quantization_config.%s is %.40s; expected %s: packed weights are not "
                                       "read, open those that training left (bf16)", online[i].key,
                             value ? value : "missing or no string", online[i].value);
    }
    if (json_is_true(json_object_get(config, "use_rms_norm")))
        return error_set(c->error, "config.json: quantization_config.use_rms_norm = true; expected false");
    const json_t *left = json_object_get(config, "modules_to_not_convert");
    return !left || json_is_null(left) ||
           error_set(c->error, "config.json: quantization_config.modules_to_not_convert is there; expected null");
}

static bool read_hf(const struct hf_config *c)
{
    struct hf_value config;
    if (!hf_find(c, &c->top, "quantization_config", NULL, &config))
        return false;
    c->model->hyper.ternary = config.json && json_object_size(config.json) > 0;
    return !c->model->hyper.ternary || check_online(c, config.json);
}

static role_names names = {
    LLAMA_NAMES,
    [ROLE_FFN_NORM] = "post_attention_layernorm.weight",
    [ROLE_ATTN_SUB_NORM] = "self_attn.attn_sub_norm.weight",
    [ROLE_FFN_SUB_NORM] = "mlp.ffn_sub_norm.weight",
};

/* llama.cpp computes SiLU in files that call themselves so. */
const struct arch arch_bitnet = {
    .name = "bitnet",
    .gguf = "bitnet",
    .hf = "bitnet",
    .hf_class = "BitNetForCausalLM",
    .reference = "Ma et al. 2024, 2025",
    .title = "BitNet b1.58",
    .features = "norms before the last matrix of attention and of feed-forward; weights as they are stored, not "
                "packed",
    .required = LLAMA | B(ATTN_SUB_NORM) | B(FFN_SUB_NORM),
    .optional = BIASES | B(ATTN_OUT_BIAS),
    LLAMA_FOLDER(names),
    .steps = steps,
    .activation = ACTIVATION_SILU,
    .hf_activation = "relu2",
    .hf_activation_key = "hidden_act",
    .hf_activation_free = true,
    .hf_rope = ROPE_HALVES,
    .gguf_rope = ROPE_HALVES,
    .hf_reads = "quantization_config",
    .read_hf = read_hf,
    .defaults = {.dim = 2560, .hidden = 6912, .layers = 30, .heads = 20, .kv_heads = 5, .vocab = 128256,
                 .context = 2048, .epsilon = 1e-5f, .rope_base = 500000, .bos = 128000, .eos = 128001},
};
