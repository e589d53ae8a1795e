/* What two model files say of themselves. */
#include "against_internal.h"

#include "formats/gguf_differences.h"
#include "tokenizer/tokenizer_differences.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One file's metadata; null where it is no GGUF file, or cannot be read again. */
static struct gguf *read_metadata(struct catalog *files, const struct model *m, char reason[160])
{
    struct error error;
    if (strcmp(m->format, "GGUF") != 0) {
        snprintf(reason, 160, "not compared: only one or neither is a GGUF file");
        return NULL;
    }
    struct gguf *g = gguf_read(files, m->path, &error);
    if (!g)
        snprintf(reason, 160, "%.150s", error.text);
    return g;
}

static bool compare_metadata(const struct session *s, struct against_facts *f)
{
    struct catalog files[2] = {{0}, {0}};
    struct gguf *a = read_metadata(&files[0], s->model, f->metadata_reason);
    struct gguf *b = a ? read_metadata(&files[1], s->other_model, f->metadata_reason) : NULL;
    bool ok = !a || !b || gguf_differences(a, b, &f->metadata);
    gguf_close(a);
    gguf_close(b);
    catalog_close(&files[0]);
    catalog_close(&files[1]);
    return ok;
}

static void compare_tokenizers(const struct session *s, struct against_facts *f)
{
    struct tokenizer_differences found;
    struct error error;
    if (!s->tokenizer || !s->other_tokenizer) {
        snprintf(f->tokenizer_reason, sizeof f->tokenizer_reason, "%s has no tokenizer: %.120s",
                 s->tokenizer ? "b" : "a", s->tokenizer ? s->other_tokenizer_error.text : s->tokenizer_error.text);
        return;
    }
    if (!tokenizer_differences(s->tokenizer, s->other_tokenizer, &found, &error))
        snprintf(f->tokenizer_reason, sizeof f->tokenizer_reason, "%.150s", error.text);
    f->tokenizer = found.list;
    f->tokens = found.tokens;
}

static void compare_layers(const struct session *s, struct against_facts *f)
{
    for (size_t t = 0; t < s->model->tensor_count; t++) {
        const struct qmatrix *a = &s->model->tensors[t].stored, *b = &s->other_model->tensors[t].stored;
        f->types += a->format.weight != b->format.weight;
        f->changed_bytes += a->bytes != b->bytes;
    }
    f->bytes[0] = weights_size(s->stored);
    f->bytes[1] = weights_size(s->other);
}

struct against_facts *against_facts_find(const struct session *s, struct error *error)
{
    struct against_facts *f = calloc(1, sizeof *f);
    if (f)
        atomic_init(&f->refs, 1);
    if (f && compare_metadata(s, f)) {
        compare_tokenizers(s, f);
        compare_layers(s, f);
        return f;
    }
    against_facts_unref(f);
    error_set(error, "not enough memory to compare two files");
    return NULL;
}

struct against_facts *against_facts_ref(struct against_facts *f)
{
    if (f)
        atomic_fetch_add(&f->refs, 1);
    return f;
}

void against_facts_unref(struct against_facts *f)
{
    if (!f || atomic_fetch_sub(&f->refs, 1) > 1)
        return;
    value_differences_free(&f->metadata);
    value_differences_free(&f->tokenizer);
    free(f);
}
