#include "internal.h"

const struct export_format *const export_formats[] = {&gguf_export, &safetensors_export, &gptq_export, NULL};
