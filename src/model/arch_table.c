/* The table of architectures: one row each, in a file of its own or beside a relative's. */
#include "arch_rows.h"

const struct arch *const archs[] = {
    &arch_llama,  &arch_mistral, &arch_mixtral, &arch_qwen2, &arch_qwen3, &arch_qwen3_moe, &arch_qwen2_vl,
    &arch_qwen2_5_vl, &arch_qwen3_vl, &arch_qwen2vl,  &arch_qwen3vl,  &arch_phi3,
    &arch_gemma,  &arch_gemma2,  &arch_gemma3,  &arch_gemma4,  &arch_gpt2,
    &arch_dots1, &arch_ernie_moe, &arch_glm_moe, &arch_gpt_oss, &arch_granite_moe,
    &arch_granite_shared, &arch_hunyuan_moe, &arch_hy_v3, &arch_llama4, &arch_minimax_m2,
    &arch_olmoe, &arch_phimoe, &arch_qwen2_moe,
    &arch_apertus,
    &arch_arcee, &arch_glm, &arch_glm4, &arch_granite, &arch_helium, &arch_ministral, &arch_ministral3, &arch_nemotron,
    &arch_seed_oss, &arch_smollm3,
    &arch_olmo,   &arch_olmo2,   &arch_olmo3,   &arch_exaone4,
    &arch_stablelm, &arch_phi,
    &arch_gpt_neox, &arch_gptj,  &arch_gpt_neo, &arch_cohere, &arch_cohere2, &arch_falcon, &arch_falcon_two_norms,
    &arch_opt,    &arch_gpt_bigcode, &arch_starcoder2, &arch_bitnet, &arch_ernie4_5, &arch_vaultgemma,
    &arch_hunyuan_dense,
    NULL,
};
