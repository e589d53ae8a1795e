/* GPT-2 checkpoints of llm.c. */
#include "weights.h"

#include "formats/llmc.h"
#include "../modelfile.h"

static bool parse(struct catalog *catalog, const uint8_t *data, size_t size, struct error *error)
{
    struct llmc hyper;
    bool ok = llmc_parse(catalog, data, size, &hyper, error);
    FUZZ_PROMISE(!ok || (hyper.heads > 0 && hyper.channels % hyper.heads == 0));
    FUZZ_PROMISE(!ok || catalog->count == 4 + 12 * hyper.layers);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_catalog(parse, data, size);
    return 0;
}

void fuzz_seeds(void)
{
    struct bytes b = read_file(SRCDIR "/tests/data/weights/gpt2_bf16.bin");
    fuzz_seed(b.data, b.size);
    bytes_free(&b);
}
