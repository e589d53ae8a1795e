#include "tokenizer.h"

const struct tokenizer_format *const tokenizer_formats[] = {
    &gguf_tokenizer_format, &json_tokenizer_format, &sentencepiece_tokenizer_format, &llama2c_tokenizer_format, NULL,
};
