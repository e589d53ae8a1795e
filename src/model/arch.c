#include "arch.h"

#include "base/edit_distance.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *name_in(const struct arch *a, bool gguf)
{
    return gguf ? a->gguf : a->hf;
}

static const struct arch *find(const char *name, size_t n, bool gguf, const char *field,
                               struct error *error)
{
    char word[64];
    const char *nearest = "";
    size_t known = 0, least = SIZE_MAX;
    snprintf(word, sizeof word, "%.*s", (int)(n < 40 ? n : 40), name);
    for (size_t i = 0; archs[i]; i++) {
        const char *own = name_in(archs[i], gguf);
        if (own && strlen(own) == n && memcmp(own, name, n) == 0)
            return archs[i];
        bool again = i > 0 && own && name_in(archs[i - 1], gguf) == own; /* a variant's name */
        known += own && !again;
        size_t distance = own ? edit_distance(word, own) : SIZE_MAX;
        if (distance < least) {
            least = distance;
            nearest = own;
        }
    }
    error_set(error, "%s: unknown architecture '%s'; expected one of the %zu that the man page lists (MODELS), such as %s",
              field, word, known, nearest);
    return NULL;
}

const struct arch *arch_by_gguf(const char *name, size_t n, struct error *error)
{
    return find(name, n, true, "general.architecture", error);
}

const struct arch *arch_by_hf(const char *name, struct error *error)
{
    return find(name, strlen(name), false, "config.json: model_type", error);
}

const struct arch *arch_of(const struct model *m)
{
    for (size_t i = 0; archs[i]; i++)
        if (strcmp(archs[i]->name, m->arch) == 0)
            return archs[i];
    return archs[0];
}

const struct arch *arch_in_gguf(const struct arch *a)
{
    return a->in_gguf ? a->in_gguf : a;
}

void arch_apply(const struct arch *a, bool gguf, struct hyper *h)
{
    h->norm = a->norm;
    h->activation = a->activation;
    h->rope = gguf ? a->gguf_rope : a->hf_rope;
    if (a->attention_scale > 0)
        h->attention_scale = a->attention_scale;
    h->window_period = a->window_period;
    if (gguf)
        h->yarn.exact = a->exact_yarn;
    h->embedding_scale = a->scaled_embedding ? sqrtf((float)h->dim) : 0;
}
