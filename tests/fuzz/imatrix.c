/* Importance matrices in both formats: what is accepted keeps its promises, and is found in a model's tensors or not.
 */
#include "fuzz.h"

#include "kernels/dispatch.h"
#include "model/format.h"
#include "quant/importance.h"
#include "../gguffile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct model *tiny_model(void)
{
    static struct model *m;
    static struct bytes bytes; /* which the model points into */
    struct model_spec spec = spec_tiny(1, true);
    if (m)
        return m;
    m = calloc(1, sizeof *m);
    bytes = model_bytes(&spec);
    if (!m || !isa_select("c", NULL) || !llama2c_parse(m, bytes.data, bytes.size, NULL))
        abort();
    return m;
}

static void use_entry(const struct imatrix *m, const struct imatrix_entry *e)
{
    FUZZ_PROMISE(imatrix_find(m, e->name) == e);
    FUZZ_PROMISE(e->rows > 0 && e->values > 0 && e->values % e->rows == 0);
    for (size_t i = 0; i < e->values; i++)
        FUZZ_PROMISE(e->sums[i] >= 0 && isfinite(e->sums[i]));
    for (size_t i = 0; i < e->rows; i++)
        FUZZ_PROMISE(e->counts[i] >= 0 && isfinite(e->counts[i]));
}

static void use_model(const struct imatrix *m)
{
    const struct model *model = tiny_model();
    struct error error = {""};
    struct importance *i = importance_open(m, model, "file", &error);
    FUZZ_PROMISE(i || *error.text);
    for (int t = 0; i && t < (int)model->tensor_count; t++) {
        const float *mean = importance_of(i, t);
        FUZZ_PROMISE(!mean == (importance_lack(i, t) != NULL));
        if (mean)
            fuzz_touch(mean, model->tensors[t].stored.cols * sizeof *mean);
    }
    importance_close(i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct imatrix m;
    struct error error = {""};
    bool accepted = imatrix_parse(&m, data, size, "file", &error);
    fuzz_accepted(accepted, error.text);
    FUZZ_PROMISE(accepted || *error.text);
    for (size_t i = 0; accepted && i < m.count; i++)
        use_entry(&m, &m.entries[i]);
    if (accepted)
        use_model(&m);
    imatrix_free(&m);
    return 0;
}

static void seed_gguf(const char *name, size_t rows, size_t cols)
{
    struct gguffile f;
    char tensor[80];
    float *ones = calloc(rows * cols, sizeof *ones);
    for (size_t i = 0; ones && i < rows * cols; i++)
        ones[i] = 1;
    gguffile_begin(&f, 3);
    gguffile_string(&f, "general.type", "imatrix");
    gguffile_strings(&f, "imatrix.datasets", 1, (const char *const[]){"a"});
    gguffile_uint32(&f, "imatrix.chunk_count", 1);
    gguffile_uint32(&f, "imatrix.chunk_size", 8);
    snprintf(tensor, sizeof tensor, "%s.in_sum2", name);
    gguffile_tensor(&f, tensor, DTYPE_FP32, 2, (const size_t[]){rows, cols}, ones);
    snprintf(tensor, sizeof tensor, "%s.counts", name);
    gguffile_tensor(&f, tensor, DTYPE_FP32, 2, (const size_t[]){rows, 1}, ones);
    struct bytes b = gguffile_bytes(&f);
    fuzz_seed(b.data, b.size);
    bytes_free(&b);
    gguffile_free(&f);
    free(ones);
}

static void put_i32(uint8_t *out, size_t *at, int32_t value)
{
    memcpy(out + *at, &value, sizeof value);
    *at += sizeof value;
}

static void seed_dat(const char *name, int32_t cols, bool end)
{
    uint8_t bytes[1024];
    size_t at = 0;
    float one = 1;
    put_i32(bytes, &at, 1);
    put_i32(bytes, &at, (int32_t)strlen(name));
    memcpy(bytes + at, name, strlen(name));
    at += strlen(name);
    put_i32(bytes, &at, 1);
    put_i32(bytes, &at, cols);
    for (int32_t i = 0; i < cols; i++, at += sizeof one)
        memcpy(bytes + at, &one, sizeof one);
    if (end) {
        put_i32(bytes, &at, 1);
        put_i32(bytes, &at, 1);
        bytes[at++] = 'a';
    }
    fuzz_seed(bytes, at);
}

void fuzz_seeds(void)
{
    size_t dim = tiny_model()->hyper.dim;
    seed_gguf("blk.0.attn_q.weight", 1, dim);
    seed_gguf("blk.0.ffn_up_exps.weight", 2, 4);
    seed_dat("blk.0.attn_q.weight", (int32_t)dim, true);
    seed_dat("x", 1, false);
}
