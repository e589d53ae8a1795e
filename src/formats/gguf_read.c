/* GGUF files: one, or all parts of a split model. */
#include "gguf_internal.h"

#include "base/escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PARTS = UINT16_MAX, SUFFIX = sizeof "-00001-of-00001.gguf" - 1 };

bool gguf_add(const struct gguf *g, struct catalog *c, struct error *error)
{
    for (size_t i = 0; i < g->tensor_count; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        if (!catalog_add(c, &t->entry, t->name.data, t->name.size, error))
            return false;
    }
    return true;
}

/* One file of a model, and what it says about the parts. */
struct part {
    struct gguf *gguf;
    size_t number, count;  /* from 0; 0 of 1 where the model is in one piece */
    size_t tensors;        /* of all parts; SIZE_MAX where it is not said */
};

static bool read_numbers(struct part *p, struct error *error)
{
    if (!gguf_size(p->gguf, "split.count", 1, MAX_PARTS, 1, &p->count, error) ||
        !gguf_size(p->gguf, "split.no", 0, MAX_PARTS - 1, 0, &p->number, error) ||
        !gguf_size(p->gguf, "split.tensors.count", 0, INT64_MAX, SIZE_MAX, &p->tensors, error))
        return false;
    return p->number < p->count ||
           error_set(error, "GGUF key 'split.no' = %zu; expected less than split.count = %zu", p->number,
                     p->count);
}

/* Maps and parses a file; errors begin with its path. */
static bool open_part(struct catalog *c, const char *path, struct part *p, struct error *error)
{
    *p = (struct part){0};
    const struct mapped_file *file = catalog_map(c, path, error);
    if (!file)
        return false;
    struct error why;
    p->gguf = gguf_parse(file->data, file->size, &why);
    if (p->gguf && read_numbers(p, &why))
        return true;
    char shown[256];
    escape_text(shown, sizeof shown, path, strlen(path));
    gguf_close(p->gguf);
    p->gguf = NULL;
    return error_set(error, "%s: %.400s", shown, why.text);
}

/* ---- split models ---------------------------------------------------------------------------- */

static void part_suffix(char out[64], size_t number, size_t count)
{
    snprintf(out, 64, "-%05zu-of-%05zu.gguf", number + 1, count);
}

/* The path of part `number`, given that of another part. The caller frees. */
static char *part_path(const char *path, size_t number, size_t count)
{
    char suffix[64], *out;
    part_suffix(suffix, number, count);
    return asprintf(&out, "%.*s%s", (int)(strlen(path) - SUFFIX), path, suffix) < 0 ? NULL : out;
}

static bool check_name(const char *path, const struct part *p, struct error *error)
{
    char suffix[64], shown[256];
    part_suffix(suffix, p->number, p->count);
    size_t n = strlen(path);
    if (n >= SUFFIX && strcmp(path + n - SUFFIX, suffix) == 0)
        return true;
    escape_text(shown, sizeof shown, path, n);
    return error_set(error, "%s: part %zu of %zu by its keys split.no and split.count; expected a name "
                            "that ends in %s", shown, p->number + 1, p->count, suffix);
}

char *gguf_first_part(const struct gguf *g, const char *path)
{
    struct part p = {0};
    if (!gguf_size(g, "split.no", 0, MAX_PARTS - 1, 0, &p.number, NULL) ||
        !gguf_size(g, "split.count", 1, MAX_PARTS, 1, &p.count, NULL) || p.number == 0)
        return NULL;
    return check_name(path, &p, NULL) ? part_path(path, 0, p.count) : NULL;
}

/* One part after the others: the first one's metadata are the model's. */
static bool add_part(struct catalog *c, const char *path, size_t number, struct part *first,
                     struct error *error)
{
    struct part p;
    struct error why;
    size_t count = first->count;
    if (!open_part(c, path, &p, &why))
        return error_set(error, "part %zu of %zu: %.440s", number + 1, count, why.text);
    bool ok = true;
    if (p.count != count)
        ok = error_set(&why, "split.count = %zu; expected %zu as in the other parts", p.count, count);
    else if (p.number != number)
        ok = error_set(&why, "split.no = %zu; expected %zu", p.number, number);
    else if (number > 0 && p.tensors != first->tensors)
        ok = error_set(&why, "split.tensors.count differs from that of part 1");
    ok = ok && gguf_add(p.gguf, c, &why);
    if (number == 0)
        *first = p;
    else
        gguf_close(p.gguf);
    char shown[256];
    escape_text(shown, sizeof shown, path, strlen(path));
    return ok || error_set(error, "%s: %.240s", shown, why.text);
}

static bool add_parts(struct catalog *c, const char *path, struct part *first, struct error *error)
{
    for (size_t i = 0; i < first->count; i++) {
        char *name = part_path(path, i, first->count);
        bool ok = name ? add_part(c, name, i, first, error)
                       : error_set(error, "not enough memory for %zu parts", first->count);
        free(name);
        if (!ok)
            return false;
    }
    return true;
}

/* ---- the whole model ------------------------------------------------------------------------- */

static bool finish(struct catalog *c, const char *path, const struct part *p, struct error *error)
{
    struct error why;
    char shown[256];
    bool ok = catalog_sort(c, &why);
    if (ok && p->tensors != SIZE_MAX && p->tensors != c->count)
        ok = error_set(&why, "GGUF key 'split.tensors.count' = %zu; the %zu parts have %zu tensors",
                       p->tensors, p->count, c->count);
    escape_text(shown, sizeof shown, path, strlen(path));
    return ok || error_set(error, "%s: %.240s", shown, why.text);
}

struct gguf *gguf_read(struct catalog *c, const char *path, struct error *error)
{
    struct part p;
    if (!open_part(c, path, &p, error))
        return NULL;
    bool ok;
    if (p.count == 1) {
        ok = gguf_add(p.gguf, c, error);
    } else if ((ok = check_name(path, &p, error))) {
        gguf_close(p.gguf); /* again as one of all, in their order */
        p.gguf = NULL;
        catalog_close(c);
        ok = add_parts(c, path, &p, error);
    }
    if (ok && finish(c, path, &p, error))
        return p.gguf;
    gguf_close(p.gguf);
    return NULL;
}
