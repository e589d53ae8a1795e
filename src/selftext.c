#include "selftext.h"

#include "engine/hold.h"
#include "engine/sampler.h"
#include "measure/clock.h"

#include <stdlib.h>

struct selftext {
    const struct session *session;
    struct hold hold;
    struct context *context;
    struct sampler sampler;
    size_t windows, window; /* window: tokens, the first of which is not written */
    size_t done;            /* tokens of every window */
    int32_t *tokens;        /* windows x window */
    int32_t *last;          /* of each window */
    float *logits;          /* windows x vocab */
    int32_t *order;
};

static void choose_windows(struct selftext *w, size_t most)
{
    const struct session *s = w->session;
    w->window = s->context < CALIBRATION_WINDOW ? s->context : CALIBRATION_WINDOW;
    size_t cache = kv_bytes_per_position(s->model, DTYPE_FP32) * w->window;
    w->windows = SELFTEXT_CACHES / cache;
    w->windows = w->windows < most ? w->windows : most;
    size_t least = (CALIBRATION_LEAST + w->window - 1) / w->window;
    w->windows = w->windows > least ? w->windows : least;
    w->windows = w->windows < MOST_SEQUENCES ? w->windows : MOST_SEQUENCES;
}

static bool take_memory(struct selftext *w, struct error *error)
{
    size_t vocab = w->session->model->hyper.vocab;
    w->tokens = malloc(w->windows * w->window * sizeof *w->tokens);
    w->last = malloc(w->windows * sizeof *w->last);
    w->logits = malloc(w->windows * vocab * sizeof *w->logits);
    w->order = malloc(vocab * sizeof *w->order);
    return (w->tokens && w->last && w->logits && w->order) ||
           error_set(error, "not enough memory to write a text");
}

struct selftext *selftext_open(const struct session *s, struct error *error)
{
    return selftext_open_of(s, SELFTEXT_WINDOWS, SELF_TEXT_CALIBRATION_SEED, error);
}

struct selftext *selftext_open_of(const struct session *s, size_t windows, uint64_t seed, struct error *error)
{
    struct selftext *w = calloc(1, sizeof *w);
    if (!w) {
        error_set(error, "not enough memory");
        return NULL;
    }
    w->session = s;
    choose_windows(w, windows);
    w->sampler = (struct sampler){.temperature = 1, .top_p = 1};
    sampler_seed(&w->sampler, seed);
    bool ok = take_memory(w, error) && (w->context = context_open(s->model, s->pool, w->window, error)) &&
              context_sequences(w->context, w->windows, error) && hold_open(&w->hold, s->model, error) &&
              hold_set(&w->hold, s->stored, s->pool, error);
    for (size_t i = 0; ok && i < w->windows; i++)
        w->last[i] = w->tokens[i * w->window] = session_start(s);
    w->done = 1;
    if (ok)
        return w;
    selftext_close(w);
    return NULL;
}

void selftext_close(struct selftext *w)
{
    if (!w)
        return;
    hold_close(&w->hold);
    context_close(w->context);
    free(w->tokens);
    free(w->last);
    free(w->logits);
    free(w->order);
    free(w);
}

static void write_token(struct selftext *w)
{
    const struct session *s = w->session;
    size_t vocab = s->model->hyper.vocab;
    context_step(w->context, s->stored, w->last, w->logits);
    for (size_t i = 0; i < w->windows; i++) {
        int32_t next = (int32_t)sampler_choose(&w->sampler, w->logits + i * vocab, vocab, w->order);
        w->tokens[i * w->window + w->done] = next;
        w->last[i] = session_ends_text(s, next) ? session_start(s) : next;
    }
    w->done++;
}

bool selftext_step(struct selftext *w, double seconds)
{
    double begin = clock_seconds();
    while (w->done < w->window) {
        write_token(w);
        if (clock_seconds() - begin > seconds)
            break;
    }
    return w->done == w->window;
}

double selftext_fraction(const struct selftext *w)
{
    return (double)w->done / (double)w->window;
}

void selftext_take(struct selftext *w, struct calibration_text *out)
{
    *out = (struct calibration_text){w->tokens, w->windows * w->window, w->window};
    w->tokens = NULL;
}
