/* llama2.c checkpoints of every version. */
#include "fuzz.h"

#include "model/format.h"
#include "../modelfile.h"

#include <stdlib.h>

static void use(const struct model *m)
{
    for (size_t i = 0; i < m->tensor_count; i++) {
        const struct qmatrix *w = &m->tensors[i].stored;
        FUZZ_PROMISE(w->rows > 0 && w->cols > 0 && w->groups * w->group == w->cols);
        fuzz_touch(w->codes, w->rows * w->row_bytes);
        if (w->scales)
            fuzz_touch(w->scales, w->rows * w->groups * sizeof(float));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = {""};
    struct model *m = calloc(1, sizeof *m);
    if (!m || !llama2c_format.probe("", data, size)) {
        free(m);
        return 0;
    }
    bool accepted = llama2c_parse(m, data, size, &error);
    fuzz_accepted(accepted, error.text);
    if (accepted)
        use(m);
    else
        FUZZ_PROMISE(*error.text);
    model_close(m);
    return 0;
}

void fuzz_seeds(void)
{
    for (int version = 0; version <= 2; version++)
        for (int tied = 0; tied <= 1; tied++) {
            struct model_spec spec = spec_tiny(version, tied);
            struct bytes b = model_bytes(&spec);
            fuzz_seed(b.data, b.size);
            bytes_free(&b);
        }
}
