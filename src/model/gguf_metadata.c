#include "gguf_metadata.h"

#include <stdio.h>

const char *gguf_key(const struct gguf_metadata *d, const char *name, char key[128])
{
    snprintf(key, 128, "%s.%s", d->arch, name);
    return key;
}

bool gguf_read_size(const struct gguf_metadata *d, const char *name, size_t otherwise, size_t max,
                      size_t *out)
{
    char key[128];
    gguf_key(d, name, key);
    if (!otherwise && !gguf_has(d->gguf, key))
        return error_set(d->error, "metadata: %s is missing", key);
    return gguf_size(d->gguf, key, 1, max, otherwise, out, d->error);
}

bool gguf_read_float(const struct gguf_metadata *d, const char *name, float otherwise, float min,
                       float max, float *out)
{
    char key[128];
    if (!gguf_float(d->gguf, gguf_key(d, name, key), otherwise, out, d->error))
        return false;
    return (*out >= min && *out <= max) ||
           error_set(d->error, "metadata: %s = %g; expected %g to %g", key, (double)*out, (double)min,
                     (double)max);
}
