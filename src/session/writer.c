#include "selftext.h"

#include "base/clock.h"
#include "engine/pin.h"
#include "engine/sampler.h"

#include <stdlib.h>

struct writer {
    const struct session *session;
    struct pin pin; /* of the reference's weights */
    struct context *context;
    struct sampler sampler;
    struct tokens tokens;
    float *logits;
    int32_t *order;
    size_t count;
    int32_t last;
};

struct writer *writer_open(const struct session *s, size_t count, uint64_t seed,
                           struct error *error)
{
    size_t vocab = s->model->hyper.vocab;
    struct writer *w = calloc(1, sizeof *w);
    if (!w) {
        error_set(error, "not enough memory");
        return NULL;
    }
    *w = (struct writer){.session = s, .count = count, .last = session_start(s)};
    w->sampler = (struct sampler){.temperature = 1, .top_p = 1};
    sampler_seed(&w->sampler, seed);
    w->logits = malloc(vocab * sizeof *w->logits);
    w->order = malloc(vocab * sizeof *w->order);
    bool ok = w->logits && w->order ? true : error_set(error, "not enough memory");
    const struct model *m = model_reference(s->model);
    if (ok && (w->context = context_open(m, s->pool, s->context, error)) &&
        pin_open(&w->pin, m, error) && pin_set(&w->pin, s->reference, s->pool, error))
        return w;
    writer_close(w);
    return NULL;
}

bool writer_step(struct writer *w, double seconds)
{
    const struct session *s = w->session;
    double begin = clock_seconds();
    while (w->tokens.count < w->count) {
        context_run(w->context, s->reference, &w->last, 1, LOGITS_LAST, w->logits);
        w->last = (int32_t)sampler_choose(&w->sampler, w->logits, s->model->hyper.vocab, w->order);
        if (!tokens_add(&w->tokens, w->last))
            w->count = w->tokens.count; /* what there is will have to do */
        if (session_ends_text(s, w->last) || w->context->length == w->context->capacity) {
            w->context->length = 0;
            w->last = session_start(s);
        }
        if (clock_seconds() - begin > seconds)
            break;
    }
    return w->tokens.count >= w->count;
}

const struct tokens *writer_tokens(const struct writer *w)
{
    return &w->tokens;
}

void writer_take(struct writer *w, struct tokens *out)
{
    *out = w->tokens;
    w->tokens = (struct tokens){0};
}

void writer_close(struct writer *w)
{
    if (!w)
        return;
    pin_close(&w->pin);
    context_close(w->context);
    free(w->tokens.ids);
    free(w->logits);
    free(w->order);
    free(w);
}

static bool step_writer(void *job, double seconds, bool *done, struct error *error)
{
    (void)error; /* nothing fails once it is open */
    *done = writer_step(job, seconds);
    return true;
}

static double fraction_of_writer(const void *job)
{
    const struct writer *w = job;
    return w->count ? (double)w->tokens.count / (double)w->count : 1;
}

static void close_writer(void *job)
{
    writer_close(job);
}

const struct job_class writer_class = {
    .name = "generating a text",
    .step = step_writer,
    .fraction = fraction_of_writer,
    .close = close_writer,
};
