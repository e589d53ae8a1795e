#include "rivals.h"

#include "mixes.h"

#include <stdlib.h>
#include <string.h>

static size_t count_mixes(void)
{
    size_t n = 0;
    while (mix_at(n))
        n++;
    return n;
}

/* Schemes of a mix; false where a type cannot be made. */
static bool make_schemes(const struct model *model, const struct mix *mix, struct scheme *out)
{
    struct scheme_choice choice = {.mix = mix, .scheme = scheme_default(DTYPE_FP32)};
    methods_add(&choice.scheme.methods, method_find("imatrix", strlen("imatrix")));
    for (size_t i = 0; i < model->tensor_count; i++)
        out[i] = scheme_stored(&model->tensors[i].stored);
    out[kv_index(model)] = scheme_default(DTYPE_FP32);
    return mix_apply(model, &choice, out, NULL);
}

void rivals_open(struct rivals *r, const struct model *model)
{
    size_t mixes = count_mixes(), n = schemes_count(model);
    *r = (struct rivals){.of = calloc(mixes, sizeof *r->of), .schemes = calloc(mixes * n, sizeof *r->schemes)};
    for (size_t i = 0; r->of && r->schemes && i < mixes; i++) {
        struct scheme *schemes = r->schemes + r->count * n;
        if (make_schemes(model, mix_at(i), schemes))
            r->of[r->count++] = (struct tune_rival){mix_name(mix_at(i)), schemes};
    }
}

void rivals_close(struct rivals *r)
{
    free(r->of);
    free(r->schemes);
    *r = (struct rivals){0};
}
