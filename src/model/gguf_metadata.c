#include "gguf_metadata.h"

#include <stdio.h>
#include <string.h>

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

static bool take_list(const struct gguf_metadata *d, const char *key, const struct gguf_array *list, size_t max,
                      size_t *each)
{
    for (size_t b = 0; b < list->count; b++) {
        uint32_t value;
        memcpy(&value, list->data + b * sizeof value, sizeof value);
        each[b] = value;
        if (value < 1 || value > max)
            return error_set(d->error, "metadata: %s[%zu] = %u; expected 1 to %zu", key, b, value, max);
    }
    return true;
}

bool gguf_read_each(const struct gguf_metadata *d, const char *name, size_t layers, size_t max, size_t *each)
{
    char key[128];
    struct gguf_array list;
    bool listed = gguf_array(d->gguf, gguf_key(d, name, key), GGUF_UINT32, &list, NULL) ||
                  gguf_array(d->gguf, key, GGUF_INT32, &list, NULL);
    if (listed && list.count > 0)
        return list.count == layers ? take_list(d, key, &list, max, each)
                                    : error_set(d->error, "metadata: %s has %zu values; expected %zu, one a layer", key,
                                                list.count, layers);
    if (!gguf_read_size(d, name, 0, max, each))
        return false;
    for (size_t b = 1; b < layers; b++)
        each[b] = each[0];
    return true;
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
