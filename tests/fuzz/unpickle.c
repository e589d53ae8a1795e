/* The pickles of PyTorch's archives, by themselves: the machine that finds tensors in them. */
#include "fuzz.h"

#include "formats/unpickle.h"
#include "../weightfile.h"

#include <stdlib.h>

/* What the items of one input come to. */
struct sum {
    size_t items, names;
};

static bool see(void *arg, const struct pickle_tensor *t, struct error *error)
{
    (void)error;
    struct sum *sum = arg;
    FUZZ_PROMISE(t->name.size > 0 && t->dimensions <= MAX_DIMENSIONS && t->type->bytes > 0);
    fuzz_touch(t->name.data, t->name.size);
    fuzz_touch(t->storage.data, t->storage.size);
    sum->items++;
    sum->names += t->name.size;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = {""};
    struct sum sum = {0, 0};
    bool accepted = unpickle(data, size, see, &sum, &error);
    fuzz_accepted(accepted, error.text);
    FUZZ_PROMISE(accepted || *error.text);
    FUZZ_PROMISE(sum.items <= size && sum.names <= size);
    return 0;
}

static void seed(const char *from, const char *to)
{
    char *words = replaced(pickle_words, from, to);
    struct bytes b = pickle_bytes(words);
    fuzz_seed(b.data, b.size);
    bytes_free(&b);
    free(words);
}

void fuzz_seeds(void)
{
    seed("#6", "#6");
    seed("#6", "x8a x01 x06");
    seed("} >0", "@collections:OrderedDict ) R >0");
    seed("u .", "u } r x02 x00 x00 x00 :_metadata } :version K x01 s s b .");
    seed("R >1 u", "R >1 :v =1 :tied j x01 x00 x00 x00 u } :_metadata ] N a ( M x01 x00 e x85 N x86 s b");
    seed("R >1 u", "R >1 u } :_metadata x88 x89 } x87 x85 >2 s b");
}
