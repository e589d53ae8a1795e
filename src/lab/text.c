/* The text being generated, the reference's beside it, and the meters of their decode steps.
 *
 * The text advances at reading speed. In between the engine repeats the decode step of the newest
 * token at the same position: the same bytes and the same arithmetic, with the same result, so that
 * the meters never rest. A model slower than reading speed never repeats. */
#include "internal.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { METER_STEPS = 3 };
static const double METER_SECONDS = 0.1; /* of counted steps in one reading */
static const double PAUSE_SECONDS = 2;   /* between the end of a text and the next */

/* ---- one generation -------------------------------------------------------------------------- */

static bool generation_open(struct generation *g, const struct model *model, struct lab *lab,
                            enum dtype kv, struct error *error)
{
    size_t vocab = model->hyper.vocab;
    g->context = context_open_kv(model, lab->session->pool, kv, lab->session->context, error);
    g->logits = malloc(vocab * sizeof *g->logits);
    g->probabilities = malloc(vocab * sizeof *g->probabilities);
    g->order = malloc(vocab * sizeof *g->order);
    if (!g->context)
        return false;
    return (g->logits && g->probabilities && g->order) || error_set(error, "not enough memory");
}

static void generation_close(struct generation *g)
{
    context_close(g->context);
    free(g->tokens.ids);
    free(g->candidates);
    free(g->logits);
    free(g->probabilities);
    free(g->order);
    *g = (struct generation){0};
}

/* Back to the prompt, which the caller has put into g->tokens up to `prompt`. */
static void generation_rewind(struct generation *g, const struct lab *lab, size_t prompt)
{
    g->tokens.count = prompt;
    g->context->length = 0;
    g->ended = false;
    g->sampler = (struct sampler){lab->options.temperature, lab->options.top_p, 0};
    sampler_seed(&g->sampler, lab->seed);
}

/* The most probable tokens, by insertion: there are few. */
static void top_candidates(const float *p, size_t n, struct candidate_token *out)
{
    for (size_t k = 0; k < CANDIDATES; k++)
        out[k] = (struct candidate_token){-1, 0};
    for (size_t i = 0; i < n; i++) {
        size_t at = CANDIDATES;
        while (at > 0 && p[i] > out[at - 1].probability)
            at--;
        if (at == CANDIDATES)
            continue;
        memmove(out + at + 1, out + at, (CANDIDATES - 1 - at) * sizeof *out);
        out[at] = (struct candidate_token){(int32_t)i, p[i]};
    }
}

static bool remember_candidates(struct generation *g, const struct lab *lab)
{
    size_t vocab = lab->session->model->hyper.vocab, needed = g->tokens.count + 1;
    if (needed > g->candidate_room) {
        size_t room = needed * 2;
        struct candidate_token *more =
            realloc(g->candidates, room * CANDIDATES * sizeof *g->candidates);
        if (!more)
            return false;
        g->candidates = more;
        g->candidate_room = room;
    }
    memcpy(g->probabilities, g->logits, vocab * sizeof *g->logits);
    operators_current()->softmax(g->probabilities, vocab);
    top_candidates(g->probabilities, vocab, g->candidates + g->tokens.count * CANDIDATES);
    return true;
}

/* Chooses the next token from the logits of the newest, whose position is now kept, and appends it. */
static void generation_advance(struct generation *g, const struct lab *lab)
{
    size_t vocab = lab->session->model->hyper.vocab;
    if (g->context->length + 1 == g->context->capacity || !remember_candidates(g, lab)) {
        g->ended = true;
        return;
    }
    int32_t next = (int32_t)sampler_choose(&g->sampler, g->logits, vocab, g->order);
    if (session_ends_text(lab->session, next) || !tokens_add(&g->tokens, next))
        g->ended = true;
    else
        g->context->length++;
}

/* Runs what is before the newest token, so that the decode steps stand at the newest: chunks for about
 * `seconds`. Returns the tokens run. */
static size_t generation_prefill(struct generation *g, const struct weights *w, double seconds)
{
    double begin = clock_seconds();
    size_t before = g->context->length, end = g->tokens.count - 1;
    while (g->context->length < end && clock_seconds() - begin < seconds) {
        size_t left = end - g->context->length, n = left < CONTEXT_SLICE ? left : CONTEXT_SLICE;
        context_prefill(g->context, w, g->tokens.ids + g->context->length, n, NULL);
    }
    return g->context->length - before;
}

/* Whether a decode step would stand at the newest token. */
static bool generation_ready(const struct generation *g)
{
    return g->context->length + 1 == g->tokens.count;
}

/* The decode step of the newest token; its position is given back, so that it can be repeated. */
static void generation_decode(struct generation *g, const struct weights *w)
{
    context_run(g->context, w, &g->tokens.ids[g->tokens.count - 1], 1, LOGITS_LAST, g->logits);
    g->context->length--;
}

/* ---- the meter ------------------------------------------------------------------------------- */

void meter_reset(struct lab *lab)
{
    struct meter *m = &lab->meter;
    m->seconds = 0;
    m->steps = 0;
    m->rate = 0;
    m->cold = true;
    lab->sampled_tokens = 0;
    memset(lab->tensor_seconds, 0, schemes_count(lab->session->model) * sizeof *lab->tensor_seconds);
    lab->output = (struct output_error){0};
}

static void meter_add(struct meter *m, double seconds)
{
    if (m->cold) {
        m->cold = false;
        return;
    }
    m->seconds += seconds;
    m->steps++;
    bool first = m->rate == 0;
    if (m->steps < METER_STEPS || m->seconds < (first ? METER_SECONDS / 4 : METER_SECONDS))
        return;
    m->rate = (double)m->steps / m->seconds;
    m->seconds = 0;
    m->steps = 0;
    if (m->history_count == HISTORY)
        memmove(m->history, m->history + 1, (HISTORY - 1) * sizeof *m->history);
    else
        m->history_count++;
    m->history[m->history_count - 1] = (float)m->rate;
}

/* ---- sampled tokens, timed tensor by tensor and compared --------------------------------------- */

static bool sample_due(struct lab *lab)
{
    double now = clock_seconds();
    if (++lab->unsampled < SAMPLE_EVERY || now - lab->sampled_at < SAMPLE_SECONDS)
        return false;
    lab->unsampled = 0;
    lab->sampled_at = now;
    return true;
}

/* The inputs of the selected layer in the set in use. */
static void see_columns(struct lab *lab, int tensor, const float *x, size_t tokens)
{
    struct qtensor *w = lab->set->layer[tensor];
    if (!lab->columns || lab->columns->q != w) {
        columns_unref(lab->columns);
        lab->columns = columns_new(w);
    }
    if (lab->columns)
        columns_add(lab->columns, x, tokens);
    columns_unref(lab->columns_frame);
    lab->columns_frame = NULL;
}

static void see_output(void *arg, const struct qtensor *w, const float *x, const float *y,
                       size_t tokens)
{
    struct lab *lab = arg;
    const struct tensor *reference = &model_reference(lab->session->model)->tensors[w->tensor];
    see_columns(lab, w->tensor, x, tokens);
    output_error_add(&lab->output, lab->session->pool, &reference->stored, x, y, tokens,
                     lab->output_scratch);
}

/* Times every tensor on one token, then repeats it to compare the selected layer's output: two runs,
 * so that the comparison is in no timing. Neither counts on the meter. */
static void sample_step(struct lab *lab)
{
    struct context *c = lab->text.context;
    const struct model *m = lab->session->model;
    size_t n = schemes_count(m);
    memset(lab->sampled, 0, n * sizeof *lab->sampled);
    c->tensor_seconds = lab->sampled;
    generation_decode(&lab->text, lab->set);
    c->tensor_seconds = NULL;
    lab->sampled_tokens++;
    for (size_t i = 0; i < n; i++)
        lab->tensor_seconds[i] += lab->sampled[i];
    if (tensor_multiplies(m, lab->selected) && making_compared(lab)) {
        c->hook = (struct hook){lab->selected, see_output, lab};
        generation_decode(&lab->text, lab->set);
        c->hook.tensor = HOOK_NONE;
    }
    lab->meter.cold = true;
}

/* ---- the text -------------------------------------------------------------------------------- */

static void forget_frame(struct lab *lab)
{
    text_frame_unref(lab->text_frame);
    lab->text_frame = NULL;
}

bool texts_begin(struct lab *lab, struct error *error)
{
    size_t n = schemes_count(lab->session->model);
    lab->seed = lab->options.seed;
    lab->tensor_seconds = calloc(n, sizeof *lab->tensor_seconds);
    lab->sampled = calloc(n, sizeof *lab->sampled);
    lab->output_scratch = output_error_scratch(lab->session->model);
    if (!lab->tensor_seconds || !lab->sampled || !lab->output_scratch)
        return error_set(error, "not enough memory");
    if (!generation_open(&lab->text, lab->session->model, lab, lab->set->kv, error))
        return false;
    lab->prefill = metric_absent("not measured yet");
    meter_reset(lab);
    if (texts_prompt(lab, lab->options.prompt ? lab->options.prompt : ""))
        return true;
    return error_set(error, "%s", lab->status);
}

void texts_end(struct lab *lab)
{
    generation_close(&lab->text);
    generation_close(&lab->reference);
    forget_frame(lab);
    free(lab->tensor_seconds);
    free(lab->sampled);
    free(lab->output_scratch);
    columns_unref(lab->columns);
    columns_unref(lab->columns_frame);
    free(lab->prompt);
}

bool texts_prompt(struct lab *lab, const char *text)
{
    struct session *s = lab->session;
    struct tokens tokens = {0};
    struct error error = {"not enough memory"};
    bool ok = session_begin(s, *text, &tokens);
    size_t begin = tokens.count;
    if (ok && *text && !s->tokenizer)
        ok = error_set(&error, "no tokenizer, so no prompt: %.300s", s->tokenizer_error.text);
    ok = ok && (!*text || tokenizer_encode(s->tokenizer, text, strlen(text), &tokens, &error));
    if (ok && tokens.count == 0) /* a vocabulary may drop all that a text has */
        ok = session_begin(s, false, &tokens) && (begin = 1);
    if (ok && tokens.count >= s->context)
        ok = error_set(&error, "the prompt has %zu tokens; the context holds %zu", tokens.count,
                       s->context);
    char *copy = ok ? strdup(text) : NULL;
    if (!copy) {
        free(tokens.ids);
        lab_say(lab, true, "%s", error.text);
        return false;
    }
    free(lab->prompt);
    free(lab->text.tokens.ids);
    lab->prompt = copy;
    lab->text.tokens = tokens;
    lab->prompt_tokens = tokens.count;
    lab->text_begin = begin;
    texts_restart(lab);
    return true;
}

void texts_restart(struct lab *lab)
{
    generation_rewind(&lab->text, lab, lab->prompt_tokens);
    if (lab->reference.context)
        lab->reference.tokens.count = 0;
    lab->next_token_due = clock_seconds();
    lab->text_over_at = 0;
    forget_frame(lab);
}

/* The cache in another datatype: empty, so that every position of the text is encoded from what it
 * really is, not from what the last datatype left of it. */
bool texts_change_kv(struct lab *lab, enum dtype kv, struct error *error)
{
    lab->meter.cold = true;
    return context_change_kv(lab->text.context, kv, error);
}

/* After a text is over and was read: the next one, from the next seed. */
static bool rest_is_over(struct lab *lab)
{
    double now = clock_seconds();
    double pause = lab->options.tokens_per_second > 0 ? PAUSE_SECONDS : 0;
    if (lab->text_over_at == 0)
        lab->text_over_at = now;
    return now - lab->text_over_at >= pause;
}

/* Appends a token when reading speed asks for one. */
static void advance_if_due(struct lab *lab)
{
    double now = clock_seconds(), rate = lab->options.tokens_per_second;
    if (lab->text.ended) {
        if (rest_is_over(lab)) {
            lab->seed++;
            texts_restart(lab);
        }
        return;
    }
    if (now < lab->next_token_due)
        return;
    bool late = now > lab->next_token_due + 1; /* after a pause, do not hurry */
    lab->next_token_due = rate <= 0 ? now : (late ? now : lab->next_token_due) + 1 / rate;
    generation_advance(&lab->text, lab);
    lab->meter.cold |= lab->text.ended;
    forget_frame(lab);
}

static void prefill_text(struct lab *lab, double seconds)
{
    double begin = clock_seconds();
    size_t n = generation_prefill(&lab->text, lab->set, seconds);
    if (n >= 8) { /* fewer would time the overheads */
        lab->prefill = metric_value((double)n / (clock_seconds() - begin));
        lab->prefill_tokens = n;
    }
    if (n > 1)
        lab->meter.cold = true;
}

void texts_step(struct lab *lab, double seconds)
{
    double begin = clock_seconds();
    do {
        if (!generation_ready(&lab->text))
            counting_stop(lab);
        prefill_text(lab, seconds);
        if (!generation_ready(&lab->text))
            return;
        if (sample_due(lab)) {
            counting_stop(lab);
            sample_step(lab);
        } else {
            counting_start(lab);
            double start = clock_seconds();
            generation_decode(&lab->text, lab->set);
            meter_add(&lab->meter, clock_seconds() - start);
            counting_step(lab);
        }
        advance_if_due(lab);
    } while (clock_seconds() - begin < seconds);
    counting_stop(lab);
}

/* ---- the reference's text -------------------------------------------------------------------- */

/* The reference runs as far as the text, a few tokens at a time. */
bool texts_follow_reference(struct lab *lab, double seconds)
{
    struct generation *g = &lab->reference;
    struct error error;
    if (!lab->watch_text)
        return false;
    const struct model *m = model_reference(lab->session->model);
    if (!g->context && !generation_open(g, m, lab, DTYPE_FP32, &error)) {
        generation_close(g);
        lab->watch_text = false;
        lab_say(lab, true, "no reference text: %s", error.text);
        return false;
    }
    if (g->tokens.count == 0) {
        for (size_t i = 0; i < lab->prompt_tokens; i++)
            if (!tokens_add(&g->tokens, lab->text.tokens.ids[i]))
                return false;
        generation_rewind(g, lab, lab->prompt_tokens);
    }
    if (g->ended || g->tokens.count >= lab->text.tokens.count || !lab->ready)
        return false;
    if (!making_reference(lab, seconds, &error)) {
        lab->watch_text = !*error.text;
        if (*error.text)
            lab_say(lab, true, "no reference text: %s", error.text);
        return lab->watch_text;
    }
    bool any = false;
    double begin = clock_seconds();
    while (g->tokens.count < lab->text.tokens.count && !g->ended &&
           clock_seconds() - begin < seconds) {
        generation_prefill(g, lab->session->reference, seconds);
        if (!generation_ready(g))
            return true;
        generation_decode(g, lab->session->reference);
        generation_advance(g, lab);
        any = true;
    }
    if (any)
        forget_frame(lab);
    return any;
}

/* ---- the frame ------------------------------------------------------------------------------- */

/* Tokens from..to as UTF-8, or their ids where there is no tokenizer. */
static char *text_of(const struct lab *lab, const struct tokens *t, size_t from, size_t to)
{
    const struct tokenizer *tokenizer = lab->session->tokenizer;
    struct stream stream = {0};
    size_t used = 0, room = 256;
    char *out = malloc(room), byte, number[16];
    for (size_t i = from; out && i < to; i++) {
        size_t n;
        const char *piece = number;
        if (tokenizer)
            piece = tokenizer_piece(tokenizer, i > from ? t->ids[i - 1] : TOKEN_FIRST, t->ids[i], &n,
                                    &byte);
        else
            n = (size_t)snprintf(number, sizeof number, "%d ", t->ids[i]);
        size_t most = STREAM_GROWTH * (n + 4) + 1;
        if (used + most > room) {
            char *more = realloc(out, room = 2 * (used + most));
            if (!more) {
                free(out);
                return NULL;
            }
            out = more;
        }
        used += stream_add(&stream, piece, n, out + used);
    }
    if (out)
        out[used] = 0;
    return out;
}

static size_t length_of(const struct lab *lab, const struct tokens *t, size_t to)
{
    char *text = text_of(lab, t, lab->text_begin, to);
    size_t n = text ? strlen(text) : 0;
    free(text);
    return n;
}

static void find_divergence(const struct lab *lab, struct text_frame *f)
{
    const struct generation *a = &lab->text, *b = &lab->reference;
    size_t n = a->tokens.count < b->tokens.count ? a->tokens.count : b->tokens.count, i = 0;
    while (i < n && a->tokens.ids[i] == b->tokens.ids[i])
        i++;
    if (i == n)
        return;
    f->diverged = true;
    f->divergence = i;
    f->text_offset = length_of(lab, &a->tokens, i);
    f->reference_offset = length_of(lab, &b->tokens, i);
    memcpy(f->here, a->candidates + i * CANDIDATES, sizeof f->here);
    memcpy(f->there, b->candidates + i * CANDIDATES, sizeof f->there);
}

struct text_frame *texts_frame(struct lab *lab)
{
    if (!lab->text_frame) {
        struct text_frame *f = calloc(1, sizeof *f);
        if (!f)
            return NULL;
        atomic_init(&f->refs, 1);
        f->seed = lab->seed;
        f->temperature = lab->options.temperature;
        f->prompt_tokens = lab->prompt_tokens;
        f->tokens = lab->text.tokens.count;
        f->ended = lab->text.ended;
        f->text = text_of(lab, &lab->text.tokens, lab->text_begin, lab->text.tokens.count);
        if (lab->watch_text && lab->reference.tokens.count > 0) {
            f->reference_tokens = lab->reference.tokens.count;
            f->reference = text_of(lab, &lab->reference.tokens, lab->text_begin, lab->reference.tokens.count);
            find_divergence(lab, f);
        }
        lab->text_frame = f;
    }
    atomic_fetch_add(&lab->text_frame->refs, 1);
    return lab->text_frame;
}
