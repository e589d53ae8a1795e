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
};

static const char *const pairings[] = {
    [ROPE_NEIGHBOURS] = "as in GGUF (rotary pairs are neighbours)",
    [ROPE_HALVES] = "as in Hugging Face files (rotary pairs are half a head apart)",
    [ROPE_NONE] = "without rotary positions",
};

/* Every reason is about the other model: `who`, in a sentence. */
static bool same_sizes(const struct model *m, const struct model *r, const char *who, struct error *reason)
{
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t found, expected;
        memcpy(&found, (const char *)&r->hyper + sizes[i].offset, sizeof found);
        memcpy(&expected, (const char *)&m->hyper + sizes[i].offset, sizeof expected);
        if (found != expected)
            return error_set(reason, "%s has %zu %s, the model %zu", who, found, sizes[i].words, expected);
    }
    return true;
}

/* The file of a Llama in GGUF holds the rows of queries and keys in another order than Hugging Face's. */
static bool same_order(const struct model *m, const struct model *r, const char *who, struct error *reason)
{
    if (m->hyper.rope == r->hyper.rope)
        return true;
    return error_set(reason, "in %s rows of attn_q and attn_k lie %s, in the model %s", who,
                     pairings[r->hyper.rope], pairings[m->hyper.rope]);
}

static bool same_head(const struct model *m, const struct model *r, const char *who, struct error *reason)
{
    static const char *const heads[] = {"a tensor of its own", "token_embd (tied)"};
    if (m->tied == r->tied)
        return true;
    return error_set(reason, "the head of %s is %s, the model's %s", who, heads[r->tied], heads[m->tied]);
}

/* Both lists are in the order of the forward pass: where they first differ, one lacks a tensor. */
static bool same_tensor(const struct model *m, const struct model *r, size_t t, const char *who, struct error *reason)
{
    const struct tensor *found = t < r->tensor_count ? &r->tensors[t] : NULL;
    const struct tensor *expected = t < m->tensor_count ? &m->tensors[t] : NULL;
    if (expected && model_find_name(r, expected->name) < 0)
        return error_set(reason, "%s has no tensor %s", who, expected->name);
    if (!expected || !found || strcmp(found->name, expected->name) != 0)
        return error_set(reason, "%s has a tensor %s, which the model has not", who,
                         found ? found->name : "more");
    const struct qmatrix *a = &found->stored, *b = &expected->stored;
    if (a->rows != b->rows || a->cols != b->cols)
        return error_set(reason, "%s of %s is %zu x %zu, the model's %zu x %zu", found->name, who, a->rows,
                         a->cols, b->rows, b->cols);
    return true;
}

static bool same_places(const struct model *m, const struct model *r, const char *who, struct error *reason)
{
    bool ok = same_sizes(m, r, who, reason) && same_head(m, r, who, reason) && same_order(m, r, who, reason);
    for (size_t t = 0; ok && (t < m->tensor_count || t < r->tensor_count); t++)
        ok = same_tensor(m, r, t, who, reason);
    return ok;
}

bool reference_compares(const struct model *m, const struct model *r, struct error *reason)
{
    return same_places(m, r, "the reference", reason);
}

bool models_compare(const struct model *m, const struct model *other, struct error *error)
{
    struct error why;
    bool same = strcmp(m->arch, other->arch) == 0;
    if (!same)
        error_set(&why, "its architecture is %s, that of the model %s", other->arch, m->arch);
    else if (!(same = other->hyper.vocab == m->hyper.vocab))
        error_set(&why, "it has %zu tokens of vocabulary, the model %zu", other->hyper.vocab, m->hyper.vocab);
    else
        same = same_places(m, other, "it", &why);
    return same || error_set(error, "%.140s cannot be compared with %.140s: %.200s; expected the same", other->path,
                             m->path ? m->path : "the model", why.text);
}

bool reference_fits(const struct model *m, const struct model *r, size_t positions, struct error *error)
{
    const char *name = m->path ? m->path : "the model";
    size_t found = r->hyper.vocab, expected = m->hyper.vocab, learned = r->hyper.trained_context;
    if (found != expected)
        return error_set(error, "%.160s cannot be the reference of %.160s: it has %zu tokens of vocabulary; "
                                "expected %zu", r->path, name, found, expected);
    if (r->hyper.rope == ROPE_NONE && learned < positions)
        return error_set(error, "%.160s cannot be the reference of %.160s: it has learned %zu positions; expected %zu "
                                "(-c %zu takes fewer)", r->path, name, learned, positions, learned);
    return true;
}
