#include "reference.h"

#include <stddef.h>
#include <string.h>

#define AT(member) offsetof(struct hyper, member)

static const struct {
    const char *words;
    size_t offset; /* of a size_t in struct hyper */
} sizes[] = {
    {"layers", AT(layers)},       {"dimensions", AT(dim)},        {"hidden units", AT(hidden)},
    {"heads", AT(heads)},         {"KV heads", AT(kv_heads)},     {"elements a head", AT(head_size)},
    {"tokens of vocabulary", AT(vocab)},
};

static const char *const pairings[] = {
    [ROPE_NEIGHBOURS] = "as GGUF has those of a Llama (rotary pairs are neighbours)",
    [ROPE_HALVES] = "as Hugging Face has them (rotary pairs are half a head apart)",
    [ROPE_NONE] = "without rotary positions",
};

/* Begins every refusal with who does not fit whom. */
#define REFUSE(MODEL, REFERENCE, ERROR, FORMAT, ...)                                                \
    error_set(ERROR, "%.160s cannot be the reference of %.160s: " FORMAT, (REFERENCE)->path,        \
              (MODEL)->path ? (MODEL)->path : "the model", __VA_ARGS__)

static bool same_sizes(const struct model *m, const struct model *r, struct error *error)
{
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t found, expected;
        memcpy(&found, (const char *)&r->hyper + sizes[i].offset, sizeof found);
        memcpy(&expected, (const char *)&m->hyper + sizes[i].offset, sizeof expected);
        if (found != expected)
            return REFUSE(m, r, error, "it has %zu %s; expected %zu", found, sizes[i].words, expected);
    }
    return true;
}

/* The file of a Llama in GGUF holds the rows of queries and keys in another order than Hugging Face's. */
static bool same_order(const struct model *m, const struct model *r, struct error *error)
{
    if (m->hyper.rope == r->hyper.rope)
        return true;
    return REFUSE(m, r, error,
                  "its rows of attn_q and attn_k lie %s; expected %s: convert it to the other's format first",
                  pairings[r->hyper.rope], pairings[m->hyper.rope]);
}

static bool same_head(const struct model *m, const struct model *r, struct error *error)
{
    static const char *const heads[] = {"is a tensor of its own", "is token_embd (tied)"};
    if (m->tied == r->tied)
        return true;
    return REFUSE(m, r, error, "its head, output, %s; expected that it %s", heads[r->tied],
                  heads[m->tied]);
}

/* Both lists are in the order of the forward pass: where they first differ, one lacks a tensor. */
static bool same_tensor(const struct model *m, const struct model *r, size_t t, struct error *error)
{
    const struct tensor *found = t < r->tensor_count ? &r->tensors[t] : NULL;
    const struct tensor *expected = t < m->tensor_count ? &m->tensors[t] : NULL;
    if (expected && model_find_name(r, expected->name) < 0)
        return REFUSE(m, r, error, "it has no tensor %s", expected->name);
    if (!expected || !found || strcmp(found->name, expected->name) != 0)
        return REFUSE(m, r, error, "it has a tensor %s, which the other has not",
                      found ? found->name : "more");
    const struct qmatrix *a = &found->stored, *b = &expected->stored;
    if (a->rows != b->rows || a->cols != b->cols)
        return REFUSE(m, r, error, "%s is %zu x %zu; expected %zu x %zu", found->name, a->rows, a->cols,
                      b->rows, b->cols);
    return true;
}

bool reference_fits(const struct model *m, const struct model *r, struct error *error)
{
    bool ok = same_sizes(m, r, error) && same_head(m, r, error) && same_order(m, r, error);
    for (size_t t = 0; ok && (t < m->tensor_count || t < r->tensor_count); t++)
        ok = same_tensor(m, r, t, error);
    return ok;
}
