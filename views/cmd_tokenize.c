/* qtop tokenize: standard input to token ids, one a line, with BOS and EOS where the model's own tokenizer
 * adds them. Needs no weights. */
#include "batch.h"

#include <stdlib.h>
#include <sys/stat.h>

static bool is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static struct tokenizer *find_tokenizer(const struct options *o, struct error *error)
{
    if (o->tokenizer)
        return tokenizer_open(o->tokenizer, error);
    char *builtin = o->model ? NULL : builtin_model_path(error);
    if (!o->model && !builtin)
        return NULL;
    const char *path = o->model ? o->model : builtin;
    bool alone = tokenizer_is_inside(path) || is_folder(path); /* weights need not be there */
    struct model *model = model_open(path, error);
    struct tokenizer *t = NULL;
    if (model || alone) /* its vocabulary tells which one fits */
        t = tokenizer_beside(path, model ? model->hyper.vocab : 0, error);
    model_close(model);
    free(builtin);
    return t;
}

static bool tokenize(const struct tokenizer *t, const struct text_part *text, struct tokens *out, struct error *error)
{
    bool ok = !tokenizer_adds_bos(t) || tokens_add(out, tokenizer_bos(t)) ||
              error_set(error, "not enough memory");
    ok = ok && tokenizer_encode_parts(t, text, 1, out, error);
    return ok && (!tokenizer_adds_eos(t) || tokens_add(out, tokenizer_eos(t)) ||
                  error_set(error, "not enough memory"));
}

int run_tokenize(const struct options *o)
{
    struct error error;
    size_t n;
    struct tokens tokens = {0};
    struct tokenizer *t = find_tokenizer(o, &error);
    char *text = t ? read_text("-", &n, &error) : NULL;
    struct text_part part = {.text = text, .size = text ? n : 0, .special = o->special};
    bool ok = text && tokenize(t, &part, &tokens, &error);
    if (ok && tokenizer_note(t))
        note(tokenizer_note(t));
    for (size_t i = 0; ok && i < tokens.count; i++)
        printf("%d\n", tokens.ids[i]);
    free(tokens.ids);
    free(text);
    tokenizer_close(t);
    return ok ? EXIT_DONE : complain(&error, EXIT_FAILED);
}
