#include "gguf_windows.h"

#include "format.h"

#include <string.h>

static const char pattern_name[] = "attention.sliding_window_pattern";

/* One number a layer in any type of integer, or bools. */
static bool read_list(const struct gguf_metadata *d, const struct gguf_array *list, struct model *m)
{
    char key[128];
    if (list->count != m->hyper.layers)
        return error_set(d->error, "metadata: %s has %zu values; expected %zu, one a layer",
                         gguf_key(d, pattern_name, key), list->count, m->hyper.layers);
    size_t bytes = list->type == GGUF_BOOL ? 1 : 4;
    for (size_t b = 0; b < m->hyper.layers; b++) {
        uint32_t value = 0;
        memcpy(&value, list->data + b * bytes, bytes);
        if (value > 1)
            return error_set(d->error, "metadata: %s[%zu] = %u; expected 0 or 1", gguf_key(d, pattern_name, key), b,
                             value);
        model_set_window(m, b, value ? m->hyper.window : 0);
    }
    return true;
}

/* Where every n-th layer sees all. */
static bool read_period(const struct gguf_metadata *d, struct model *m)
{
    char key[128];
    struct hyper *h = &m->hyper;
    if (!gguf_size(d->gguf, gguf_key(d, pattern_name, key), 0, MAX_LAYERS, h->window_period, &h->window_period,
                   d->error))
        return false;
    for (size_t b = 0; b < h->layers; b++)
        model_set_window(m, b, hyper_window(h, b));
    return true;
}

bool gguf_windows_apply(const struct gguf_metadata *d, struct model *m)
{
    static const enum gguf_type types[] = {GGUF_BOOL, GGUF_UINT32, GGUF_INT32};
    char key[128];
    struct gguf_array list;
    gguf_key(d, pattern_name, key);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (gguf_array(d->gguf, key, types[i], &list, NULL))
            return list.count > 0 ? read_list(d, &list, m) : read_period(d, m);
    return read_period(d, m);
}
