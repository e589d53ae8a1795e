/* qtop logits: float32 little-endian, one row of vocabulary for each token of a text, BOS first where the
 * model's own tokenizer puts it there. */
#include "batch.h"

#include "base/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool write_logits(const struct batch *b, const struct tokens *tokens, FILE *out,
                         struct error *error)
{
    const struct session *s = &b->session;
    size_t vocab = s->model->hyper.vocab;
    struct context *c = context_open_kv(s->model, s->pool, b->weights->kv, tokens->count, error);
    float *logits = malloc(CONTEXT_CHUNK * vocab * sizeof *logits);
    bool ok = c && (logits || error_set(error, "not enough memory"));
    for (size_t done = 0; ok && done < tokens->count;) {
        size_t left = tokens->count - done, n = left < CONTEXT_CHUNK ? left : CONTEXT_CHUNK;
        context_run(c, b->weights, tokens->ids + done, n, LOGITS_ALL, logits);
        ok = fwrite(logits, vocab * sizeof *logits, n, out) == n ||
             error_set(error, "the logits cannot be written: %s", strerror(errno));
        done += n;
    }
    context_close(c);
    free(logits);
    return ok;
}

/* Tokens that a text may have at most. Where no context was asked for, rotary frequencies that depend on the context
 * reach further than it. */
static size_t most_tokens(const struct options *o, const struct session *s)
{
    const struct hyper *h = &s->model->hyper;
    size_t reach = (size_t)(h->rope_growth * (float)h->trained_context);
    return o->context == 0 && reach > s->context ? reach : s->context;
}

static bool collect_tokens(const struct options *o, const struct session *s, struct tokens *tokens,
                           struct error *error)
{
    if (!session_begin(s, true, tokens))
        return error_set(error, "not enough memory");
    size_t n = o->prompt ? strlen(o->prompt) : 0;
    char *text = o->prompt ? strdup(o->prompt) : read_text(o->text, &n, error);
    bool ok = text && tokenize_text(s, text, n, o->special, tokens, error);
    free(text);
    if (ok && tokens->count == 0)
        return error_set(error, "the text has no tokens; expected at least 1");
    if (ok && tokens->count > most_tokens(o, s))
        return error_set(error, "the text has %zu tokens; the context holds %zu", tokens->count, most_tokens(o, s));
    return ok;
}

int run_logits(const struct options *o)
{
    struct batch batch;
    struct error error;
    int status;
    if (!o->output || !(o->text || o->prompt) || (o->text && o->prompt)) {
        error_set(&error, "qtop logits needs -o FILE and one of --text FILE and -p TEXT");
        return complain(&error, EXIT_USAGE);
    }
    if (!batch_open(&batch, o, &status, &error))
        return complain(&error, status);
    struct tokens tokens = {0};
    struct output out;
    bool ok = batch_check_output(&batch, o, &error) &&
              collect_tokens(o, &batch.session, &tokens, &error) && batch_pack(&batch, &error) &&
              output_open(&out, o->output, &error);
    if (ok) {
        ok = write_logits(&batch, &tokens, out.file, &error);
        ok = output_close(&out, ok, &error);
    }
    free(tokens.ids);
    batch_close(&batch);
    return ok ? EXIT_DONE : complain(&error, EXIT_FAILED);
}
