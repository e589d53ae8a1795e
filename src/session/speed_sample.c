#include "speed_sample.h"

#include "base/clock.h"

#include <stdlib.h>

bool speed_sample_open(struct speed_sample *s, const struct session *session, enum dtype kv, size_t decoded,
                       struct error *error)
{
    size_t vocab = session->model->hyper.vocab, half = session->context / 2;
    *s = (struct speed_sample){.logits = malloc(vocab * sizeof *s->logits)};
    if (!s->logits)
        return error_set(error, "not enough memory to measure speed");
    s->prompt = half < 1 ? 1 : half < SAMPLE_PROMPT ? half : SAMPLE_PROMPT;
    size_t left = session->context - s->prompt, most = left < decoded ? left : decoded;
    s->decoded = most < 1 ? 1 : most;
    for (size_t i = 0; i < s->prompt; i++)
        s->ids[i] = i == 0 ? session_start(session) : (int32_t)(i * 7919 % vocab);
    s->context = context_open_kv(session->model, session->pool, kv, s->prompt + most, error);
    return s->context;
}

void speed_sample_close(struct speed_sample *s)
{
    context_close(s->context);
    free(s->logits);
    *s = (struct speed_sample){0};
}

static void run_step(struct speed_sample *s, struct weights *set)
{
    if (s->context->length == s->context->capacity) /* a context of one position: the step is repeated */
        s->context->length--;
    double begin = clock_seconds();
    context_run(s->context, set, &s->ids[s->steps % s->prompt], 1, LOGITS_LAST, s->logits);
    s->decode_seconds += clock_seconds() - begin;
    s->steps++;
}

bool speed_sample_step(struct speed_sample *s, struct weights *set, double *prefill, double *decode)
{
    if (s->timed.done < s->prompt) {
        timed_prompt_step(&s->timed, s->context, set, s->ids, s->prompt, s->logits);
        return false;
    }
    run_step(s, set);
    if (s->steps < s->decoded)
        return false;
    *prefill = (double)s->prompt / s->timed.seconds;
    *decode = (double)s->steps / s->decode_seconds;
    s->timed = (struct timed_prompt){0};
    s->decode_seconds = 0;
    s->context->length = s->steps = 0;
    return true;
}
