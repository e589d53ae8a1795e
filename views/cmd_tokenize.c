/* qtop tokenize: standard input to token ids, one a line, BOS first. Needs no weights. */
#include "batch.h"

#include <stdlib.h>

static struct tokenizer *find_tokenizer(const struct options *o, struct error *error)
{
    if (o->tokenizer)
        return tokenizer_open(o->tokenizer, error);
    char *builtin = o->model ? NULL : builtin_model_path(error);
    if (!o->model && !builtin)
        return NULL;
    const char *path = o->model ? o->model : builtin;
    struct model *model = model_open(path, error); /* whose vocabulary tells which one fits */
    struct tokenizer *t = model ? tokenizer_beside(path, model->hyper.vocab, error) : NULL;
    model_close(model);
    free(builtin);
    return t;
}

int run_tokenize(const struct options *o)
{
    struct error error;
    size_t n;
    struct tokens tokens = {0};
    struct tokenizer *t = find_tokenizer(o, &error);
    char *text = t ? read_text("-", &n, &error) : NULL;
    bool ok = text && (tokenizer_bos(t) < 0 || tokens_add(&tokens, tokenizer_bos(t))) &&
              tokenizer_encode(t, text, n, &tokens, &error);
    for (size_t i = 0; ok && i < tokens.count; i++)
        printf("%d\n", tokens.ids[i]);
    free(tokens.ids);
    free(text);
    tokenizer_close(t);
    return ok ? EXIT_DONE : complain(&error, EXIT_FAILED);
}
