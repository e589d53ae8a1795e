#include "gguf_differences.h"

#include "gguf_internal.h"

#include <stdio.h>
#include <string.h>

static const char *const by_token[] = {"tokenizer.ggml.tokens", "tokenizer.ggml.merges", "tokenizer.ggml.scores",
                                       "tokenizer.ggml.token_type"};

static bool is_by_token(const struct gguf_text *key)
{
    bool any = false;
    for (size_t i = 0; i < sizeof by_token / sizeof *by_token; i++)
        any = any || (key->size == strlen(by_token[i]) && memcmp(key->data, by_token[i], key->size) == 0);
    return any;
}

static enum gguf_type element_of(const struct gguf_pair *p)
{
    return p->type == GGUF_ARRAY ? p->element : p->type;
}

static struct gguf_text text_at(const struct gguf_pair *p, size_t i)
{
    return p->type == GGUF_ARRAY ? p->texts[i] : p->text;
}

static bool same_at(const struct gguf_pair *a, const struct gguf_pair *b, size_t i)
{
    if (element_of(a) == GGUF_STRING) {
        struct gguf_text x = text_at(a, i), y = text_at(b, i);
        return gguf_text_compare(&x, &y) == 0;
    }
    size_t bytes = gguf_types[element_of(a)].bytes;
    return memcmp(a->data + i * bytes, b->data + i * bytes, bytes) == 0;
}

/* The first of the values that both have and that differs; the smaller count where none does. */
static size_t first_other(const struct gguf_pair *a, const struct gguf_pair *b)
{
    size_t n = a->count < b->count ? a->count : b->count, i = 0;
    while (i < n && same_at(a, b, i))
        i++;
    return i;
}

static bool same_value(const struct gguf_pair *a, const struct gguf_pair *b)
{
    return a->type == b->type && element_of(a) == element_of(b) && a->count == b->count &&
           first_other(a, b) == a->count;
}

/* A long text by its beginning, with its length. */
static void print_text(struct gguf_text text, char *out, size_t size)
{
    enum { MOST = 40 };
    if (text.size <= MOST)
        snprintf(out, size, "%.*s", (int)text.size, text.size ? text.data : "");
    else
        snprintf(out, size, "%.*s.. (%zu bytes)", MOST - 10, text.data, text.size);
}

/* One value: `i` counts in arrays. */
static void print_at(const struct gguf_pair *p, size_t i, char *out, size_t size)
{
    if (element_of(p) == GGUF_STRING)
        print_text(text_at(p, i), out, size);
    else
        gguf_print_number(p, i, out, size);
}

/* Arrays by their length and the value at `at`, where they first differ. */
static void print(const struct gguf_pair *p, size_t at, char out[DIFFERENCE_VALUE])
{
    char one[DIFFERENCE_VALUE];
    if (p->type != GGUF_ARRAY) {
        print_at(p, 0, out, DIFFERENCE_VALUE);
    } else if (at < p->count) {
        print_at(p, at, one, sizeof one);
        snprintf(out, DIFFERENCE_VALUE, "%zu values, [%zu] %.44s", p->count, at, one);
    } else {
        snprintf(out, DIFFERENCE_VALUE, "%zu values", p->count);
    }
    if (!*out)
        snprintf(out, DIFFERENCE_VALUE, "(empty)");
}

/* One of the two may be null. */
static bool add(const struct gguf_pair *a, const struct gguf_pair *b, struct value_differences *out)
{
    const struct gguf_text *name = a ? &a->key : &b->key;
    char key[DIFFERENCE_WHAT], values[2][DIFFERENCE_VALUE] = {"", ""};
    size_t at = a && b && element_of(a) == element_of(b) ? first_other(a, b) : 0;
    if (is_by_token(name) || (a && b && same_value(a, b)))
        return true;
    snprintf(key, sizeof key, "%.*s", (int)(name->size < sizeof key ? name->size : sizeof key - 1), name->data);
    if (a)
        print(a, at, values[0]);
    if (b)
        print(b, at, values[1]);
    return value_differences_add(out, key, values[0], values[1]);
}

/* Both lists are sorted by key. */
bool gguf_differences(const struct gguf *a, const struct gguf *b, struct value_differences *out)
{
    size_t i = 0, k = 0;
    bool ok = true;
    while (ok && (i < a->pair_count || k < b->pair_count)) {
        int order = i == a->pair_count   ? 1
                    : k == b->pair_count ? -1
                                         : gguf_text_compare(&a->pairs[i].key, &b->pairs[k].key);
        ok = add(order <= 0 ? &a->pairs[i] : NULL, order >= 0 ? &b->pairs[k] : NULL, out);
        i += order <= 0;
        k += order >= 0;
    }
    return ok;
}
