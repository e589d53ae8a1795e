/* tokenizer.json of Hugging Face's tokenizers. */
#include "tokenizers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_tokenizer(&json_tokenizer_format, data, size, true);
    return 0;
}

void fuzz_seeds(void)
{
    static const char *const files[] = {
        "{\"added_tokens\":[{\"id\":4,\"content\":\"<s>\",\"special\":true},{\"id\":5,\"content\":\"ab ab\"}],\"normalizer\":null,"
        "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true},\"post_processor\":{\"type\":\"TemplateProcessing\","
        "\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}},{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"<s>\":{\"ids\":[4]}}},"
        "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"\\u0120\":3},\"merges\":[\"a b\"]}}",
        "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\\u2581\"},{\"type\":\"Replace\","
        "\"pattern\":{\"String\":\" \"},\"content\":\"\\u2581\"}]},\"model\":{\"type\":\"BPE\",\"unk_token\":\"u\",\"byte_fallback\":true,"
        "\"fuse_unk\":true,\"vocab\":{\"u\":0,\"<0x41>\":1,\"\\u2581\":2,\"a\":3,\"\\u2581a\":4},\"merges\":[[\"\\u2581\",\"a\"]]}}",
        "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[^\\\\s\\\\p{L}]+|\\\\s+(?!\\\\S)\"},"
        "\"behavior\":\"MergedWithNext\",\"invert\":true},{\"type\":\"Digits\",\"individual_digits\":true},{\"type\":\"Punctuation\",\"behavior\":"
        "\"Contiguous\"},{\"type\":\"Whitespace\"},{\"type\":\"WhitespaceSplit\"},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]},\"decoder\":{\"type\":\"ByteLevel\"},"
        "\"model\":{\"ignore_merges\":true,\"vocab\":{\"a\":0,\"b\":1,\"1\":2},\"merges\":[]}}",
        "{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":\"first\",\"split\":true},"
        "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"\\u2581\":1},\"merges\":[]}}"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        fuzz_tokenizer_seed("ab ab<s>\xc3\xa9 1!2 a\xff A", files[i], strlen(files[i]));
}
