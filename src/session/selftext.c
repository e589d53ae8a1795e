#include "selftext.h"

#include "engine/pin.h"
#include "engine/sampler.h"
#include "base/clock.h"

#include <stdlib.h>

struct selftext {
    const struct session *session;
    struct pin pin;
    struct context *context;
    struct sampler sampler;
    bool swapped;
    size_t windows, window; /* window: tokens, the first of which is not written */
    size_t first, batch;    /* of the round: its first window, and how many windows are written together */
    size_t done;            /* tokens of every window of it */
    int32_t *tokens;        /* windows x window */
    int32_t *last;          /* of each window of a round */
    float *logits;          /* windows of a round x vocab */
    int32_t *order;
};

static size_t window_of(const struct session *s)
{
    return s->context < CALIBRATION_WINDOW ? s->context : CALIBRATION_WINDOW;
}

/* The windows that are written together, at most. */
static size_t batch_max(const struct selftext *w)
{
    const struct session *s = w->session;
    size_t max = SELFTEXT_CACHES / (kv_bytes_per_position(s->model, DTYPE_FP32) * w->window);
    size_t min = (CALIBRATION_MIN + w->window - 1) / w->window;
    max = max > min ? max : min;
    max = max < MAX_SEQUENCES ? max : MAX_SEQUENCES;
    return max < w->windows ? max : w->windows;
}

static bool take_memory(struct selftext *w, size_t batch, struct error *error)
{
    size_t vocab = w->session->model->hyper.vocab;
    w->tokens = malloc(w->windows * w->window * sizeof *w->tokens);
    w->last = malloc(batch * sizeof *w->last);
    w->logits = malloc(batch * vocab * sizeof *w->logits);
    w->order = malloc(vocab * sizeof *w->order);
    return (w->tokens && w->last && w->logits && w->order) ||
           error_set(error, "not enough memory to write a text");
}

/* Every round has a seed of its own, so that a longer text begins with the shorter one. */
static bool begin_round(struct selftext *w, struct error *error)
{
    size_t left = w->windows - w->first, batch = batch_max(w);
    w->batch = left < batch ? left : batch;
    w->done = 1;
    sampler_seed(&w->sampler, SELF_TEXT_CALIBRATION_SEED + w->first / batch);
    for (size_t i = 0; i < w->batch; i++)
        w->last[i] = w->tokens[(w->first + i) * w->window] = session_start(w->session);
    w->context->length = 0;
    return context_sequences(w->context, w->batch, error);
}

static struct selftext *open_text(const struct session *s, size_t windows, size_t window, bool swapped,
                                  struct error *error)
{
    struct selftext *w = calloc(1, sizeof *w);
    if (!w) {
        error_set(error, "not enough memory");
        return NULL;
    }
    *w = (struct selftext){.session = s, .swapped = swapped, .windows = windows, .window = window};
    w->sampler = (struct sampler){.temperature = 1, .top_p = 1};
    if (take_memory(w, batch_max(w), error) && (w->context = context_open(s->model, s->pool, w->window, error)) &&
        pin_open(&w->pin, s->model, error) && pin_set(&w->pin, s->stored, s->pool, error) &&
        begin_round(w, error))
        return w;
    selftext_close(w);
    return NULL;
}

struct selftext *selftext_open(const struct session *s, struct error *error)
{
    struct selftext wanted = {.session = s, .windows = SELFTEXT_WINDOWS, .window = window_of(s)};
    size_t min = (CALIBRATION_MIN + wanted.window - 1) / wanted.window;
    wanted.windows = wanted.windows > min ? wanted.windows : min;
    return open_text(s, batch_max(&wanted), wanted.window, false, error);
}

struct selftext *selftext_open_to_train(const struct session *s, size_t tokens, struct error *error)
{
    size_t window = window_of(s);
    return open_text(s, (tokens + window - 1) / window, window, true, error);
}

void selftext_close(struct selftext *w)
{
    if (!w)
        return;
    pin_close(&w->pin);
    context_close(w->context);
    free(w->tokens);
    free(w->last);
    free(w->logits);
    free(w->order);
    free(w);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_token(struct selftext *w)
{
    const struct session *s = w->session;
    size_t vocab = s->model->hyper.vocab;
    context_step(w->context, s->stored, w->last, w->logits);
    for (size_t i = 0; i < w->batch; i++) {
        int32_t next = (int32_t)sampler_choose(&w->sampler, w->logits + i * vocab, vocab, w->order);
        w->tokens[(w->first + i) * w->window + w->done] = next;
        w->last[i] = session_ends_text(s, next) ? session_start(s) : next;
    }
    w->done++;
}

static void reverse(int32_t *tokens, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        int32_t kept = tokens[i];
        tokens[i] = tokens[n - 1 - i];
        tokens[n - 1 - i] = kept;
    }
}

/* Behind its first token a window's halves change places. */
static void swap_halves(int32_t *window, size_t n)
{
    int32_t *tokens = window + 1;
    size_t rest = n - 1, half = rest / 2;
    reverse(tokens, half);
    reverse(tokens + half, rest - half);
    reverse(tokens, rest);
}

bool selftext_step(struct selftext *w, double seconds)
{
    struct error error;
    double begin = clock_seconds();
    if (w->first == w->windows)
        return true;
    while (w->done < w->window) {
        write_token(w);
        if (clock_seconds() - begin > seconds)
            break;
    }
    if (w->done < w->window)
        return false;
    for (size_t i = w->first; w->swapped && i < w->first + w->batch; i++)
        if (i % 2 == 1)
            swap_halves(w->tokens + i * w->window, w->window);
    w->first += w->batch;
    if (w->first < w->windows && begin_round(w, &error))
        return false;
    w->windows = w->first; /* without memory for more, what there is will have to do */
    return true;
}

double selftext_fraction(const struct selftext *w)
{
    if (w->first == w->windows)
        return 1;
    return ((double)w->first + (double)w->batch * (double)w->done / (double)w->window) / (double)w->windows;
}

void selftext_take(struct selftext *w, struct calibration_text *out)
{
    *out = (struct calibration_text){w->tokens, w->windows * w->window, w->window};
    w->tokens = NULL;
}

static bool step_selftext(void *job, double seconds, bool *done, struct error *error)
{
    (void)error; /* nothing fails once it is open */
    *done = selftext_step(job, seconds);
    return true;
}

static double fraction_of_selftext(const void *job)
{
    return selftext_fraction(job);
}

static void close_selftext(void *job)
{
    selftext_close(job);
}

const struct job_class selftext_class = {
    .name = "generating a text",
    .step = step_selftext,
    .fraction = fraction_of_selftext,
    .close = close_selftext,
};
