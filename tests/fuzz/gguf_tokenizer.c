/* Vocabularies of GGUF files. */
#include "tokenizers.h"

#include "../gguffile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_tokenizer(&gguf_tokenizer_format, data, size, false);
    return 0;
}

static void seed(const char *model, const char *pre, const char *const *tokens, const int32_t *types)
{
    static const float scores[] = {0, 0, 0, -3, -4, -1};
    struct gguffile f;
    gguffile_begin(&f, 3);
    gguffile_string(&f, "tokenizer.ggml.model", model);
    gguffile_string(&f, "tokenizer.ggml.pre", pre);
    gguffile_strings(&f, "tokenizer.ggml.tokens", 6, tokens);
    gguffile_array(&f, "tokenizer.ggml.scores", GGUF_FLOAT32, 6, scores);
    gguffile_array(&f, "tokenizer.ggml.token_type", GGUF_INT32, 6, types);
    gguffile_strings(&f, "tokenizer.ggml.merges", 1, (const char *const[]){"a b"});
    gguffile_uint32(&f, "tokenizer.ggml.eos_token_id", 2);
    gguffile_bool(&f, "tokenizer.ggml.add_bos_token", true);
    struct bytes b = gguffile_bytes(&f);
    fuzz_tokenizer_seed("ab a\xff 12 b", b.data, b.size);
    bytes_free(&b);
    gguffile_free(&f);
}

void fuzz_seeds(void)
{
    static const char *const spm[] = {"<unk>", "<s>", "</s>", "\xe2\x96\x81", "a", "\xe2\x96\x81" "a"};
    static const char *const bpe[] = {"a", "b", "ab", "\xc4\xa0", "<|endoftext|>", "12"};
    seed("llama", "default", spm, (const int32_t[]){2, 3, 3, 1, 1, 6});
    seed("gpt2", "llama-bpe", bpe, (const int32_t[]){1, 1, 1, 1, 3, 4});
}
