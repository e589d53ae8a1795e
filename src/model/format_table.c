#include "format.h"

const struct format *const model_formats[] = {
    &gguf_format, &safetensors_format, &pytorch_format, &llmc_format, &llama2c_format, NULL,
};
