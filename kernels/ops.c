/* The choice among the builds of the operators. */
#include "ops.h"

#include "cpu.h"
#include "dispatch.h"

#include <string.h>

/* By prefixes of the names of instruction sets, the longest first. */
static const struct {
    struct operators_build build;
    bool (*available)(void);
} builds[] = {
#ifdef __x86_64__
    {{"avx512", &operators_avx512}, cpu_has_avx512},
    {{"avx", &operators_avx2}, cpu_has_avx2},
#endif
    {{"", &operators_c}, cpu_always},
};
enum { BUILDS = sizeof builds / sizeof *builds };

const struct operators *operators_current(void)
{
    const char *isa = isa_current()->name;
    size_t i = 0;
    while (strncmp(isa, builds[i].build.isa, strlen(builds[i].build.isa)) != 0)
        i++;
    return builds[i].build.operators;
}

const struct operators_build *operators_at(size_t n)
{
    for (size_t i = 0; i < BUILDS; i++)
        if (builds[i].available() && n-- == 0)
            return &builds[i].build;
    return NULL;
}

size_t attention_scratch(size_t tokens, size_t heads, size_t head_size)
{
    return KV_BLOCK * head_size + tokens * heads * (ATTENTION_SPAN + 3);
}
