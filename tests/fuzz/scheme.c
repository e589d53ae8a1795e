/* Schemes: what parses prints, and what is printed parses to the same scheme. */
#include "fuzz.h"

#include "quant/scheme.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scheme scheme, again;
    struct error error = {""};
    char printed[SCHEME_TEXT], twice[SCHEME_TEXT], field[SCHEME_TEXT];
    char *text = strndup((const char *)data, size);
    if (!text)
        abort();
    bool accepted = scheme_parse(text, &scheme, &error);
    fuzz_accepted(accepted, error.text);
    if (!accepted) {
        FUZZ_PROMISE(*error.text);
        free(text);
        return 0;
    }
    scheme_print(&scheme, printed);
    FUZZ_PROMISE(scheme_parse(printed, &again, &error));
    FUZZ_PROMISE(scheme_equal(&scheme, &again));
    FUZZ_PROMISE(strcmp(scheme_print(&again, twice), printed) == 0);
    size_t bytes;
    scheme_print_act(&scheme, field);
    scheme_print_granularity(&scheme, field);
    scheme_check(&scheme, &error);
    scheme_bytes(&scheme, 3, 1000, &bytes);
    scheme_bytes(&scheme, SIZE_MAX / 2, 3, &bytes);
    free(text);
    return 0;
}

void fuzz_seeds(void)
{
    static const char *const texts[] = {"stored",  "int4/int8.asym:g32:asym:rtn", "w8a8", "w4a16:g64",
                                        "fp8e4m3/fp8:tensor", "bf16/fp16", "int8:channel:sym",
                                        "int4:g64:awq(alpha=0.5)+clip+gptq(damp=0.02,actorder=0)",
                                        "w8a8:llmint8(threshold=6)", "int8/int8.static.kl.asym:smoothquant"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        fuzz_seed_text(texts[i]);
}
