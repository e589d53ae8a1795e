#include "generation.h"

#include "base/clock.h"
#include "kernels/ops.h"

#include <stdlib.h>
#include <string.h>

bool generation_open(struct generation *g, const struct session *session, const struct model *model, enum dtype kv,
                     struct error *error)
{
    size_t vocab = model->hyper.vocab;
    *g = (struct generation){.session = session};
    g->context = context_open_kv(model, session->pool, kv, session->context, error);
    g->logits = malloc(vocab * sizeof *g->logits);
    g->probabilities = malloc(vocab * sizeof *g->probabilities);
    g->order = malloc(vocab * sizeof *g->order);
    if (!g->context)
        return false;
    return (g->logits && g->probabilities && g->order) || error_set(error, "not enough memory");
}

void generation_close(struct generation *g)
{
    context_close(g->context);
    free(g->tokens.ids);
    free(g->candidates);
    free(g->logits);
    free(g->probabilities);
    free(g->order);
    *g = (struct generation){0};
}

void generation_rewind(struct generation *g, size_t prompt, float temperature, float top_p, uint64_t seed)
{
    g->tokens.count = prompt;
    g->context->length = 0;
    g->ended = false;
    g->sampler = (struct sampler){temperature, top_p, 0};
    sampler_seed(&g->sampler, seed);
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

static bool remember_candidates(struct generation *g)
{
    size_t vocab = g->session->model->hyper.vocab, needed = g->tokens.count + 1;
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

void generation_advance(struct generation *g)
{
    size_t vocab = g->session->model->hyper.vocab;
    if (g->context->length + 1 == g->context->capacity || !remember_candidates(g)) {
        g->ended = true;
        return;
    }
    int32_t next = (int32_t)sampler_choose(&g->sampler, g->logits, vocab, g->order);
    if (session_ends_text(g->session, next) || !tokens_add(&g->tokens, next))
        g->ended = true;
    else
        g->context->length++;
}

size_t generation_prefill(struct generation *g, const struct weights *w, double seconds)
{
    double begin = clock_seconds();
    size_t before = g->context->length, end = g->tokens.count - 1;
    while (g->context->length < end && clock_seconds() - begin < seconds) {
        size_t left = end - g->context->length, n = left < CONTEXT_SLICE ? left : CONTEXT_SLICE;
        context_prefill(g->context, w, g->tokens.ids + g->context->length, n, NULL);
    }
    return g->context->length - before;
}

bool generation_ready(const struct generation *g)
{
    return g->context->length + 1 == g->tokens.count;
}

void generation_decode(struct generation *g, const struct weights *w)
{
    context_run(g->context, w, &g->tokens.ids[g->context->length], 1, LOGITS_LAST, g->logits);
    g->context->length--;
}
