/* safetensors: the parser and the catalog that it fills. */
#include "weights.h"

#include "formats/safetensors.h"
#include "../weightfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_catalog(safetensors_parse, data, size);
    return 0;
}

static void seed(const char *header, size_t payload)
{
    struct bytes b = safetensors_bytes(header, payload);
    fuzz_seed(b.data, b.size);
    bytes_free(&b);
}

void fuzz_seeds(void)
{
    seed("{\"__metadata__\":{\"format\":\"pt\"},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
         "\"b\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[24,32]}}", 32);
    seed("{\"a\":{\"dtype\":\"F8_E5M2\",\"shape\":[],\"data_offsets\":[0,1]}}", 1);
    seed("{\"h.0.attn.bias\":{\"dtype\":\"U8\",\"shape\":[1,1,2,2],\"data_offsets\":[0,4]}}", 4);
    seed("{}", 0);
}
