/* arch_rows.h - what rows of the table of architectures have in common. Private to them. */
#ifndef QTOP_ARCH_ROWS_H
#define QTOP_ARCH_ROWS_H

#include "arch.h"

extern const struct arch arch_llama, arch_mistral, arch_qwen2, arch_qwen3, arch_phi3, arch_gemma, arch_gemma2,
    arch_gpt2, arch_gemma3, arch_gemma4, arch_mixtral, arch_qwen3_moe, arch_qwen2_vl, arch_qwen2_5_vl,
    arch_qwen3_vl, arch_qwen2vl, arch_qwen3vl;
extern const struct arch arch_dots1, arch_ernie_moe, arch_glm_moe, arch_gpt_oss, arch_granite_moe,
    arch_granite_shared, arch_hunyuan_moe, arch_hy_v3, arch_llama4, arch_minimax_m2, arch_olmoe, arch_phimoe, arch_qwen2_moe;
extern const struct arch arch_apertus;
extern const struct arch arch_arcee, arch_glm, arch_glm4, arch_granite, arch_helium, arch_ministral, arch_ministral3,
    arch_nemotron, arch_seed_oss, arch_smollm3;
extern const struct arch arch_olmo, arch_olmo2, arch_olmo3, arch_exaone4;
extern const struct arch arch_bitnet, arch_cohere, arch_cohere2, arch_ernie4_5, arch_falcon, arch_falcon_two_norms,
    arch_gpt_bigcode, arch_gpt_neo, arch_gpt_neox, arch_gptj, arch_hunyuan_dense, arch_opt, arch_phi,
    arch_stablelm, arch_starcoder2, arch_vaultgemma;

/* ---- sets of roles --------------------------------------------------------------------------- */

#define B(ROLE) ROLE_BIT(ROLE_##ROLE)
#define OUTSIDE (B(EMBEDDING) | B(OUTPUT_NORM))
#define NORMS   (B(ATTN_NORM) | B(FFN_NORM))
#define QKV_ROLES (B(ATTN_Q) | B(ATTN_K) | B(ATTN_V))
#define BIASES  (B(ATTN_Q_BIAS) | B(ATTN_K_BIAS) | B(ATTN_V_BIAS))
#define FFN_BIASES (B(FFN_UP_BIAS) | B(FFN_DOWN_BIAS))
#define GATED_BIASES (B(FFN_GATE_BIAS) | FFN_BIASES)
#define GATED   (B(FFN_GATE) | B(FFN_UP) | B(FFN_DOWN))
#define ATTENTION_ROLES (OUTSIDE | NORMS | QKV_ROLES | B(ATTN_OUT))
#define LLAMA   (OUTSIDE | NORMS | QKV_ROLES | B(ATTN_OUT) | GATED)
#define PLAIN   (B(FFN_UP) | B(FFN_DOWN))
#define PLAIN_BIASES (B(FFN_UP_BIAS) | B(FFN_DOWN_BIAS))
#define LAYER_NORM_BIASES (B(ATTN_NORM_BIAS) | B(FFN_NORM_BIAS) | B(OUTPUT_NORM_BIAS))

/* ---- names of Hugging Face's files ----------------------------------------------------------- */

#define LLAMA_NAMES NAMES_BUT_HEAD_NORMS, HEAD_NORM_NAMES
#define LLAMA_NAMES_BUT_FFN LLAMA_NAMES_BUT_BOTH, HEAD_NORM_NAMES
#define NAMES_BUT_HEAD_NORMS                                                                      \
    LLAMA_NAMES_BUT_BOTH, [ROLE_FFN_GATE_UP] = "mlp.gate_up_proj.weight",                          \
    [ROLE_FFN_GATE] = "mlp.gate_proj.weight", [ROLE_FFN_UP] = "mlp.up_proj.weight",                \
    [ROLE_FFN_DOWN] = "mlp.down_proj.weight", [ROLE_FFN_GATE_BIAS] = "mlp.gate_proj.bias",         \
    [ROLE_FFN_UP_BIAS] = "mlp.up_proj.bias", [ROLE_FFN_DOWN_BIAS] = "mlp.down_proj.bias"
#define HEAD_NORM_NAMES                                                                            \
    [ROLE_ATTN_Q_NORM] = "self_attn.q_norm.weight", [ROLE_ATTN_K_NORM] = "self_attn.k_norm.weight"
#define LLAMA_NAMES_BUT_BOTH                                                                       \
    [ROLE_EMBEDDING] = "embed_tokens.weight", [ROLE_ATTN_NORM] = "input_layernorm.weight",         \
    [ROLE_ATTN_Q] = "self_attn.q_proj.weight", [ROLE_ATTN_Q_BIAS] = "self_attn.q_proj.bias",       \
    [ROLE_ATTN_K] = "self_attn.k_proj.weight", [ROLE_ATTN_K_BIAS] = "self_attn.k_proj.bias",       \
    [ROLE_ATTN_V] = "self_attn.v_proj.weight", [ROLE_ATTN_V_BIAS] = "self_attn.v_proj.bias",       \
    [ROLE_ATTN_OUT] = "self_attn.o_proj.weight",                                                   \
    [ROLE_ATTN_OUT_BIAS] = "self_attn.o_proj.bias", [ROLE_ATTN_QKV] = "self_attn.qkv_proj.weight", \
    [ROLE_OUTPUT_NORM] = "norm.weight", [ROLE_OUTPUT] = "lm_head.weight"

extern role_names arch_llama_names, arch_gpt2_names;

/* Of experts that are tensors of their own. */
#define MLP_EXPERT_NAMES [ROLE_ROUTER] = "mlp.gate.weight", MLP_EXPERTS_BUT_ROUTER
#define MLP_EXPERTS_BUT_ROUTER                                                                     \
    [ROLE_GATE_EXPERTS] = "mlp.experts.%.gate_proj.weight",                                        \
    [ROLE_UP_EXPERTS] = "mlp.experts.%.up_proj.weight",                                            \
    [ROLE_DOWN_EXPERTS] = "mlp.experts.%.down_proj.weight"
#define W_EXPERT_NAMES                                                                             \
    [ROLE_ROUTER] = "block_sparse_moe.gate.weight",                                                \
    [ROLE_GATE_EXPERTS] = "block_sparse_moe.experts.%.w1.weight",                                  \
    [ROLE_UP_EXPERTS] = "block_sparse_moe.experts.%.w3.weight",                                    \
    [ROLE_DOWN_EXPERTS] = "block_sparse_moe.experts.%.w2.weight"

/* And of those that every token uses, the folder's name before them. */
#define SHARED_EXPERT_NAMES(FOLDER)                                                                \
    [ROLE_GATE_SHARED] = FOLDER ".gate_proj.weight", [ROLE_UP_SHARED] = FOLDER ".up_proj.weight",  \
    [ROLE_DOWN_SHARED] = FOLDER ".down_proj.weight"

/* ---- steps of blocks -------------------------------------------------------------------------- */

#define STEP(OP, OUT, IN, WITH, ROLE, NEEDS, LACKS) \
    {STEP_##OP, REG_##OUT, REG_##IN, REG_##WITH, ROLE_##ROLE, NEEDS, LACKS, 0, 0}
#define NORM(OUT, IN, ROLE)     STEP(NORM, OUT, IN, NONE, ROLE, 0, 0)
#define LINEAR(OUT, IN, ROLE)   STEP(LINEAR, OUT, IN, NONE, ROLE, 0, 0)
#define EXPERTS(OUT, IN, ROLE)  STEP(EXPERTS, OUT, IN, NONE, ROLE, 0, 0)
#define SPLIT(OUT, IN, NEEDS)   STEP(SPLIT, OUT, IN, NONE, NONE, NEEDS, 0)
#define ROTATE(REG, NEEDS)      STEP(ROTATE, REG, NONE, NONE, NONE, NEEDS, 0)
#define UNIT(REG)               STEP(UNIT, REG, NONE, NONE, NONE, 0, 0)
#define TEMPER(REG)             STEP(TEMPER, REG, NONE, NONE, NONE, 0, 0)
#define ADD(OUT, IN)            STEP(ADD, OUT, IN, NONE, NONE, 0, 0)
#define SCALE(REG, SCALAR)      {STEP_SCALE, REG_##REG, REG_NONE, REG_NONE, ROLE_NONE, 0, 0, SCALAR_##SCALAR, 0}
#define CLAMP(REG, SCALAR)      {STEP_CLAMP, REG_##REG, REG_NONE, REG_NONE, ROLE_NONE, 0, 0, SCALAR_##SCALAR, 0}
#define ROUND(REG, SCALAR)      {STEP_ROUND, REG_##REG, REG_NONE, REG_NONE, ROLE_NONE, 0, 0, SCALAR_##SCALAR, 0}
#define END_OF_STEPS          {.op = STEP_END}

/* From the input IN of queries, keys and values to what attention adds. */
#define ATTENTION_STEPS(IN)                                                                        \
    LINEAR(QKV, IN, ATTN_QKV), SPLIT(Q, QKV, B(ATTN_QKV)), SPLIT(K, QKV, B(ATTN_QKV)),             \
    SPLIT(V, QKV, B(ATTN_QKV)), LINEAR(Q, IN, ATTN_Q), LINEAR(K, IN, ATTN_K), LINEAR(V, IN, ATTN_V), \
    NORM(Q, Q, ATTN_Q_NORM), NORM(K, K, ATTN_K_NORM), CLAMP(Q, QKV_CLIP), CLAMP(K, QKV_CLIP),      \
    CLAMP(V, QKV_CLIP), ROTATE(Q, 0), ROTATE(K, B(ATTN_QKV) | B(ATTN_K)),                          \
    TEMPER(Q),                                                                                     \
    STEP(ATTEND, ATTENDED, Q, NONE, NONE, 0, 0), NORM(ATTENDED, ATTENDED, ATTN_SUB_NORM),          \
    LINEAR(ATTN, ATTENDED, ATTN_OUT)

#define GATED_ROLES (B(FFN_GATE) | B(FFN_GATE_UP))

/* From the input IN of gate and up to what the dense feed-forward layers add. */
#define FFN_STEPS(IN)                                                                              \
    LINEAR(GATE_UP, IN, FFN_GATE_UP), SPLIT(GATE, GATE_UP, B(FFN_GATE_UP)), SPLIT(UP, GATE_UP, B(FFN_GATE_UP)), \
    LINEAR(GATE, IN, FFN_GATE), STEP(LINEAR, UP, IN, NONE, FFN_UP, B(FFN_GATE), 0),                \
    STEP(LINEAR, GATE, IN, NONE, FFN_UP, 0, GATED_ROLES),                                          \
    STEP(ACTIVATE, GATE, GATE, UP, NONE, GATED_ROLES, 0),                                          \
    STEP(ACTIVATE, GATE, GATE, NONE, NONE, B(FFN_UP), GATED_ROLES),                                \
    NORM(GATE, GATE, FFN_SUB_NORM), LINEAR(FFN, GATE, FFN_DOWN)

/* From the input IN of a router to what its experts add, without those that every token uses. */
#define EXPERT_STEPS(IN)                                                                           \
    LINEAR(ROUTER, IN, ROUTER), STEP(ROUTE, NONE, ROUTER, NONE, NONE, B(ROUTER), 0),               \
    EXPERTS(EXPERT_GATE, IN, GATE_EXPERTS), EXPERTS(EXPERT_UP, IN, UP_EXPERTS),                    \
    STEP(ACTIVATE, EXPERT_GATE, EXPERT_GATE, EXPERT_UP, NONE, B(GATE_EXPERTS), 0),                 \
    EXPERTS(EXPERT_OUT, EXPERT_GATE, DOWN_EXPERTS),                                                \
    STEP(COMBINE, FFN, EXPERT_OUT, NONE, NONE, B(DOWN_EXPERTS), 0)

/* Those that every token uses, added to what the others add. */
#define SHARED_STEPS(IN)                                                                           \
    LINEAR(GATE, IN, GATE_SHARED), LINEAR(UP, IN, UP_SHARED),                                      \
    STEP(ACTIVATE, GATE, GATE, UP, NONE, B(GATE_SHARED), 0), LINEAR(SHARED, GATE, DOWN_SHARED),    \
    LINEAR(SHARED_GATE, IN, SHARED_SCALE), STEP(SIGMOID, SHARED_GATE, NONE, NONE, NONE, B(SHARED_SCALE), 0), \
    STEP(MULTIPLY, SHARED, SHARED_GATE, NONE, NONE, B(SHARED_SCALE), 0),                           \
    STEP(ADD, FFN, SHARED, NONE, NONE, B(DOWN_SHARED), 0)

#define EXPERT_ROLES (B(ROUTER) | B(GATE_EXPERTS) | B(UP_EXPERTS) | B(DOWN_EXPERTS))
#define EXPERT_BIASES (B(GATE_EXPERTS_BIAS) | B(UP_EXPERTS_BIAS) | B(DOWN_EXPERTS_BIAS))
#define SHARED_ROLES (B(GATE_SHARED) | B(UP_SHARED) | B(DOWN_SHARED))

/* A block of a Llama and its relatives: norms before, and where a model has them behind; dense feed-forward layers or
 * experts, with those that every token uses. */
extern const struct step arch_llama_steps[];

/* One with norms of queries and keys behind their rotation (Hunyuan). */
extern const struct step arch_late_norm_steps[];
/* Gives rotary embeddings to the layers that no_rope_layers or no_rope_layer_interval of a config.json says, by default
 * to three of four. */
bool arch_read_rotary(const struct hf_config *config);

/* Takes the rotary embedding from layers without a window (NoPE: Yang et al. 2025, "Rope to Nope and Back Again"). */
void arch_turn_windowed(struct model *model);

/* One whose attention and feed-forward layers read the hidden state before both, through one norm or one each. */
extern const struct step arch_parallel_steps[];

/* One with norms behind attention and feed-forward layers only. */
extern const struct step arch_post_norm_steps[];

/* ---- families -------------------------------------------------------------------------------- */

#define SILU .activation = ACTIVATION_SILU, .hf_activation = "silu", .hf_activation_key = "hidden_act"
#define LLAMA_FOLDER(NAMES) .hf_prefix = "model.", .hf_block = "layers.", .hf_names = &NAMES
#define LLAMA_FILES SILU, .hf_prefix = "model.", .hf_block = "layers.", .steps = arch_llama_steps
#define LLAMA_LIKE LLAMA_LIKE_NAMED(arch_llama_names)
#define LLAMA_LIKE_NAMED(NAMES) LLAMA_LIKE_WITH(arch_llama_steps, NAMES)
#define LLAMA_LIKE_WITH(STEPS, NAMES)                                                               \
    SILU, LLAMA_FOLDER(NAMES), .gguf_rope = ROPE_HALVES, .hf_rope = ROPE_HALVES, .steps = STEPS
#define GEMMA_LIKE                                                                                  \
    .steps = arch_llama_steps, .activation = ACTIVATION_GELU_TANH, .hf_activation = "gelu_pytorch_tanh",                       \
    .hf_activation_key = "hidden_activation", .hf_gelu_is_tanh = true, .gguf_rope = ROPE_HALVES,    \
    .hf_rope = ROPE_HALVES, .hf_prefix = "model.", .hf_block = "layers.", .scaled_embedding = true,                  \
    .norms_from_one = true, .tied_default = true

#endif
