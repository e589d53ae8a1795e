#include "naming.h"

#include <stdio.h>
#include <string.h>

/* `ending` follows the whole. */
static bool spell(const struct arch *a, const struct naming *n, enum role role, int block, int part, const char *ending,
                  char out[NAMING_MAX])
{
    bool in_block = roles[role].in_block, own = !n->gguf || (a->gguf_names && (*a->gguf_names)[role]);
    const char *name = !n->gguf ? (*a->hf_names)[role] : own ? (*a->gguf_names)[role] : roles[role].name;
    const char *suffix = own || strchr(roles[role].name, '.') ? "" : ".weight";
    const char *before = n->gguf ? "blk." : a->hf_block;
    /* The head lies outside the model that the prefix names. */
    const char *head = n->head_prefix ? n->head_prefix : "";
    const char *prefix = n->gguf ? "" : role == ROLE_OUTPUT || role == ROLE_OUTPUT_BIAS ? head : n->prefix;
    if (!name)
        return false;
    const char *number = strchr(name, '%');
    int first = number ? (int)(number - name) : (int)strlen(name);
    char digits[16] = "";
    if (number)
        snprintf(digits, sizeof digits, "%d", part);
    if (in_block)
        snprintf(out, NAMING_MAX, "%s%s%d.%.*s%s%s%s%s", prefix, before, block, first, name, digits,
                 number ? number + 1 : "", suffix, ending);
    else
        snprintf(out, NAMING_MAX, "%s%s%s%s", prefix, name, suffix, ending);
    return true;
}

bool naming_packs(const struct arch *a, const struct naming *n, enum role role)
{
    return n->packing && a->hf_packed & ROLE_BIT(role);
}

bool naming_name(const struct arch *a, const struct naming *n, enum role role, int block, int part,
                 char out[NAMING_MAX])
{
    return spell(a, n, role, block, part, naming_packs(a, n, role) ? n->packing->codes : "", out);
}

bool naming_scales_name(const struct arch *a, const struct naming *n, enum role role, int block, int part,
                        char out[NAMING_MAX])
{
    return naming_packs(a, n, role) && spell(a, n, role, block, part, n->packing->scales, out);
}

static const struct entry *find_filled(const struct model *m, const char *name)
{
    const struct entry *e = catalog_find(&m->files, name);
    return e && e->bytes > 0 ? e : NULL;
}

const struct entry *naming_find_part(const struct model *m, const struct arch *a, const struct naming *n,
                                     enum role role, int block, int part)
{
    char name[NAMING_MAX];
    if (role == ROLE_EMBEDDING && n->head_embeds)
        role = ROLE_OUTPUT;
    return naming_name(a, n, role, block, part, name) ? find_filled(m, name) : NULL;
}

const struct entry *naming_find_scales(const struct model *m, const struct arch *a, const struct naming *n,
                                       enum role role, int block, int part)
{
    char name[NAMING_MAX];
    return naming_scales_name(a, n, role, block, part, name) ? find_filled(m, name) : NULL;
}

const struct entry *naming_find(const struct model *m, const struct arch *a, const struct naming *n, enum role role,
                                int block)
{
    return naming_find_part(m, a, n, role, block, 0);
}

bool naming_joins(const struct arch *a, const struct naming *n, enum role role)
{
    const char *name = n->gguf ? NULL : (*a->hf_names)[role];
    return roles[role].of_expert && (n->gguf || !strchr(name, '%'));
}

size_t naming_parts(const struct model *m, const struct arch *a, const struct naming *n, const struct tensor *t)
{
    bool apart = !n->gguf && roles[t->role].norm && strchr((*a->hf_names)[t->role], '%');
    return apart ? t->stored.cols / m->layers[t->block].head_size : 0;
}
