/* config.json of Hugging Face's models: to hyper-parameters that hold together. */
#include "fuzz.h"

#include "model/hf_config.h"
#include "../modelfile.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = {""};
    struct model *m = calloc(1, sizeof *m);
    if (!m)
        return 0;
    struct hf_asked asked;
    bool accepted = hf_config_parse(m, data, size, &asked, &error);
    fuzz_accepted(accepted, error.text);
    if (accepted) {
        FUZZ_PROMISE(hyper_check(&m->hyper, "", NULL));
        FUZZ_PROMISE(rotary_dims(&m->hyper) <= m->hyper.head_size);
        if (m->rope_factors)
            fuzz_touch(m->rope_factors, rotary_dims(&m->hyper) / 2 * sizeof(float));
    } else {
        FUZZ_PROMISE(*error.text);
    }
    model_close(m);
    return 0;
}

void fuzz_seeds(void)
{
    static const char *const models[] = {"llama", "llama3", "mistral", "qwen2",  "qwen3",
                                         "phi3",  "gemma",  "gemma2",  "gpt2", "llama-linear"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/tests/data/arch/%s/config.json", SRCDIR, models[i]);
        struct bytes b = read_file(path);
        if (b.data)
            fuzz_seed(b.data, b.size);
        bytes_free(&b);
    }
}
