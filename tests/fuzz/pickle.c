/* PyTorch's archives: the directory, the pickle inside and the catalog that they fill. */
#include "weights.h"

#include "formats/pickle.h"
#include "../weightfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_catalog(pickle_parse, data, size);
    return 0;
}

static void seed_file(const char *path)
{
    struct bytes b = read_file(path);
    fuzz_seed(b.data, b.size);
    bytes_free(&b);
}

void fuzz_seeds(void)
{
    for (int wide = 0; wide < 2; wide++) {
        struct archive_bytes a = torch_bytes(pickle_words, 6, wide);
        fuzz_seed(a.file.data, a.file.size);
        bytes_free(&a.file);
    }
    seed_file(SRCDIR "/tests/data/weights/state.pt");
    seed_file(SRCDIR "/tests/data/weights/plain.pt");
}
