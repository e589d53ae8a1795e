#include "gguf_put.h"

static void put(struct gguf_out *out, const void *data, size_t n)
{
    fwrite(data, 1, n, out->file);
}

void gguf_put_u32(struct gguf_out *out, uint32_t value)
{
    put(out, &value, sizeof value);
}

void gguf_put_u64(struct gguf_out *out, uint64_t value)
{
    put(out, &value, sizeof value);
}

void gguf_put_text(struct gguf_out *out, const char *text, size_t n)
{
    gguf_put_u64(out, n);
    put(out, text, n);
}

static void begin_key(struct gguf_out *out, const char *key, size_t n, enum gguf_type type)
{
    out->keys++;
    gguf_put_text(out, key, n);
    gguf_put_u32(out, (uint32_t)type);
}

void gguf_key_u32(struct gguf_out *out, const char *key, uint32_t value)
{
    begin_key(out, key, strlen(key), GGUF_UINT32);
    gguf_put_u32(out, value);
}

void gguf_key_float(struct gguf_out *out, const char *key, float value)
{
    begin_key(out, key, strlen(key), GGUF_FLOAT32);
    put(out, &value, sizeof value);
}

void gguf_key_bool(struct gguf_out *out, const char *key, bool value)
{
    begin_key(out, key, strlen(key), GGUF_BOOL);
    put(out, &(uint8_t){value}, 1);
}

void gguf_key_text(struct gguf_out *out, const char *key, const char *text)
{
    begin_key(out, key, strlen(key), GGUF_STRING);
    gguf_put_text(out, text, strlen(text));
}

void gguf_key_array(struct gguf_out *out, const char *key, enum gguf_type element, uint64_t count)
{
    begin_key(out, key, strlen(key), GGUF_ARRAY);
    gguf_put_u32(out, (uint32_t)element);
    gguf_put_u64(out, count);
}

void gguf_key_copy(struct gguf_out *out, const struct gguf_pair *pair)
{
    begin_key(out, pair->key.data, pair->key.size, pair->type);
    enum gguf_type type = pair->type;
    if (type == GGUF_STRING) {
        gguf_put_text(out, pair->text.data, pair->text.size);
        return;
    }
    if (type == GGUF_ARRAY) {
        type = pair->element;
        gguf_put_u32(out, (uint32_t)type);
        gguf_put_u64(out, pair->count);
    }
    if (type == GGUF_STRING)
        for (size_t i = 0; i < pair->count; i++)
            gguf_put_text(out, pair->texts[i].data, pair->texts[i].size);
    else
        put(out, pair->data, pair->count * gguf_types[type].bytes);
}
