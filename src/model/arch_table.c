/* The table of architectures: one row each, in a file of its own or beside a relative's. */
#include "arch_rows.h"

const struct arch *const archs[] = {
    &arch_llama,  &arch_mistral, &arch_mixtral, &arch_qwen2, &arch_qwen3, &arch_qwen3_moe, &arch_phi3,
    &arch_gemma,  &arch_gemma2,  &arch_gemma3,  &arch_gpt2,
    &arch_apertus, &arch_arcee, &arch_glm, &arch_glm4, &arch_granite, &arch_helium, &arch_ministral, &arch_ministral3, &arch_nemotron,
    &arch_seed_oss, &arch_smollm3,
    &arch_olmo,   &arch_olmo2,   &arch_olmo3,   &arch_exaone4,
    NULL,
};
