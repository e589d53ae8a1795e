/* Recipes: parsed, then applied to a small model. */
#include "fuzz.h"

#include "model/format.h"
#include "quant/recipe.h"
#include "../modelfile.h"

#include <stdlib.h>

static struct model *small_model(void)
{
    static struct model *m;
    static struct bytes bytes; /* which the model points into */
    struct model_spec spec = spec_tiny(1, true);
    if (m)
        return m;
    m = calloc(1, sizeof *m);
    bytes = model_bytes(&spec);
    if (!m || !llama2c_parse(m, bytes.data, bytes.size, NULL))
        abort();
    return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct recipe recipe;
    struct error error = {""};
    bool accepted = recipe_parse(&recipe, "recipe", (const char *)data, size, &error);
    fuzz_accepted(accepted, error.text);
    if (!accepted) {
        FUZZ_PROMISE(*error.text);
        return 0;
    }
    struct model *m = small_model();
    size_t n = schemes_count(m);
    struct scheme *schemes = calloc(n, sizeof *schemes);
    if (!schemes)
        abort();
    for (int i = 0; i < (int)n; i++)
        schemes[i] = scheme_for_tensor(m, i, (struct scheme){.format.stored = true});
    if (recipe_apply(&recipe, m, schemes, &error))
        for (size_t i = 0; i < n; i++)
            FUZZ_PROMISE(scheme_fits(m, (int)i, &schemes[i], &error));
    else
        FUZZ_PROMISE(*error.text);
    free(schemes);
    recipe_free(&recipe);
    return 0;
}

void fuzz_seeds(void)
{
    fuzz_seed_text("*  int4/fp32:g128:asym\nblk.*.attn_* w8a8\noutput fp16\n");
    fuzz_seed_text("# nothing\n\n\tkv int8 # the cache\r\n");
    fuzz_seed_text("blk.0.ffn_[a-d]* fp8e5m2:tensor\ntoken_embd stored");
    fuzz_seed_text("output_norm fp32\nblk.[!1].ffn_up w4a8:g32\nb?k.0.attn_q int8/int8.asym:channel");
}
