#include "hyper.h"

#include <math.h>

size_t rotary_dims(const struct hyper *h)
{
    return h->rope_dims ? h->rope_dims : h->head_size;
}

size_t hyper_window(const struct hyper *h, size_t layer)
{
    bool sees_all = h->window_period && layer % h->window_period == h->window_period - 1;
    return sees_all ? 0 : h->window;
}

float hyper_attention_scale(const struct hyper *h, size_t layer)
{
    float scale = h->attention_scale > 0 ? h->attention_scale : 1.0f / sqrtf((float)h->head_size);
    return h->scale_by_layer ? scale / (float)(layer + 1) : scale;
}

static bool check_numbers(const struct hyper *h, const char *where, struct error *error)
{
    const struct {
        const char *name;
        float value, min, max;
    } numbers[] = {
        {"epsilon of the norms", h->norm_eps, min_epsilon, max_epsilon},
        {"scale of attention", h->attention_scale, 0, max_cap},
        {"cap of attention", h->attention_cap, 0, max_cap},
        {"cap of the logits", h->logit_cap, 0, max_cap},
        {"rope base", h->rope_base, min_rope_base, max_rope_base}, /* last: not all have it */
    };
    size_t count = sizeof numbers / sizeof *numbers - (h->rope == ROPE_NONE);
    for (size_t i = 0; i < count; i++)
        if (!(numbers[i].value >= numbers[i].min && numbers[i].value <= numbers[i].max))
            return error_set(error, "%s: %s = %g; expected %g to %g", where, numbers[i].name,
                             (double)numbers[i].value, (double)numbers[i].min,
                             (double)numbers[i].max);
    return true;
}

bool hyper_check(const struct hyper *h, const char *where, struct error *error)
{
    const struct {
        const char *name;
        size_t value, max;
    } sizes[] = {
        {"embedding size", h->dim, MAX_DIM},         {"feed-forward size", h->hidden, MAX_HIDDEN},
        {"number of layers", h->layers, MAX_LAYERS}, {"number of heads", h->heads, MAX_HEADS},
        {"number of KV heads", h->kv_heads, MAX_HEADS}, {"head size", h->head_size, MAX_HEAD_SIZE},
        {"vocabulary", h->vocab, MAX_VOCAB},         {"context", h->trained_context, MAX_POSITIONS},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < 1 || sizes[i].value > sizes[i].max)
            return error_set(error, "%s: %s = %zu; expected 1 to %zu", where, sizes[i].name,
                             sizes[i].value, sizes[i].max);
    if (h->heads % h->kv_heads != 0)
        return error_set(error, "%s: number of KV heads = %zu; expected a divisor of %zu heads", where,
                         h->kv_heads, h->heads);
    if (h->window_kv_heads && h->heads % h->window_kv_heads != 0)
        return error_set(error, "%s: number of KV heads in layers with a window = %zu; expected a divisor of %zu heads",
                         where, h->window_kv_heads, h->heads);
    if (h->window_head_size % 2 != 0)
        return error_set(error, "%s: head size in layers with a window = %zu; expected an even number", where,
                         h->window_head_size);
    size_t rotary = rotary_dims(h);
    if (h->rope != ROPE_NONE && (rotary % 2 != 0 || rotary > h->head_size))
        return error_set(error, "%s: rotary embedding of %zu dimensions in heads of %zu; expected an "
                                "even number, at most the head's size", where, rotary, h->head_size);
    return check_numbers(h, where, error);
}

bool mixture_check(const struct mixture *m, const char *where, struct error *error)
{
    if (m->experts < 1)
        return error_set(error, "%s: number of experts = 0; expected 1 to %d", where, MAX_EXPERTS);
    if (m->used < 1 || m->used > m->experts)
        return error_set(error, "%s: %zu experts used by a token; expected 1 to %zu, as many as there are", where, m->used,
                         m->experts);
    if (m->hidden < 1)
        return error_set(error, "%s: feed-forward size of an expert = 0; expected 1 to %d", where, MAX_HIDDEN);
    if (m->groups && (m->experts % m->groups || m->groups_used < 1 || m->groups_used > m->groups ||
                      m->groups_used * (m->experts / m->groups) < m->used))
        return error_set(error, "%s: %zu of %zu groups of %zu experts, of which a token uses %zu; expected groups that "
                                "divide the experts and leave enough", where, m->groups_used, m->groups, m->experts,
                         m->used);
    return true;
}
