#include "timed_prompt.h"

#include "base/clock.h"
#include "engine/forward.h"

bool timed_prompt_step(struct timed_prompt *p, struct context *c, const struct weights *w, const int32_t *tokens,
                       size_t n, float *logits)
{
    size_t left = n - p->done, pass = left < CONTEXT_CHUNK ? left : CONTEXT_CHUNK;
    double begin = clock_seconds();
    if (p->part < forward_parts(c->model)) {
        forward_part(c, w, p->part++, tokens + p->done, pass);
    } else {
        forward_finish(c, w, pass, pass == left ? LOGITS_LAST : LOGITS_NONE, logits);
        p->done += pass;
        p->part = 0;
    }
    p->seconds += clock_seconds() - begin;
    return p->done == n;
}
