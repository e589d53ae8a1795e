#include "text.h"

#include "base/clock.h"
#include "generation.h"
#include "model/reference.h"
#include "perf_sampler.h"
#include "pins.h"
#include "sampled_steps.h"
#include "text_frame.h"
#include "tokenizer/chat.h"

#include <stdlib.h>
#include <string.h>

static const double PAUSE_SECONDS = 2; /* between the end of a text and the next */

struct text {
    struct generation own, reference;
    char *prompt;
    size_t prompt_tokens;     /* with those before the text */
    size_t begin;             /* tokens before the text: BOS, or what an empty prompt starts from; a whole turn */
    bool chat;                /* the prompt is what a user says in that turn */
    size_t earlier_tokens;    /* when the set last changed during this text; 0: it has not */
    bool watched;             /* the reference's text is wanted, too */
    uint64_t asked_seed;      /* the first text's */
    uint64_t seed;            /* of the text: one more after each that has ended */
    double next_token_due, over_at; /* clock_seconds */
    struct text_frame *frame; /* of the texts as they are; null when they changed */
};

static void forget_frame(struct text *t)
{
    text_frame_unref(t->frame);
    t->frame = NULL;
}

bool text_open(struct lab *lab, struct error *error)
{
    struct text *t = lab->text = calloc(1, sizeof *t);
    if (!t)
        return error_set(error, "not enough memory");
    t->asked_seed = lab->options.seed;
    t->chat = session_chat(lab->session).family;
    if (!generation_open(&t->own, lab->session, lab->session->model, lab->set->kv, error))
        return false;
    lab->prefill.rate = metric_absent("not measured yet");
    meter_reset(&lab->meter);
    if (text_prompt(lab, lab->options.prompt ? lab->options.prompt : ""))
        return true;
    t->chat = false; /* a context may be too small for a whole turn */
    if (!lab->options.prompt && text_prompt(lab, ""))
        return true;
    return error_set(error, "%s", lab->status.text);
}

void text_close(struct lab *lab)
{
    struct text *t = lab->text;
    if (!t)
        return;
    generation_close(&t->own);
    generation_close(&t->reference);
    forget_frame(t);
    free(t->prompt);
    free(t);
}

/* The tokens of a text to continue, with what stands before it; *begin: how many those are. */
static bool encode_text(const struct session *s, const char *text, struct tokens *out, size_t *begin,
                        struct error *error)
{
    bool ok = session_begin(s, *text, out) || error_set(error, "not enough memory");
    *begin = out->count;
    if (ok && *text && !s->tokenizer)
        ok = error_set(error, "no tokenizer, so no prompt: %.300s", s->tokenizer_error.text);
    ok = ok && (!*text || tokenizer_encode(s->tokenizer, text, strlen(text), out, error));
    if (ok && out->count == 0) /* a vocabulary may drop all that a text has */
        ok = (session_begin(s, false, out) && (*begin = 1)) || error_set(error, "not enough memory");
    return ok;
}

/* The tokens of a prompt, which a model with a chat template is asked unless a person wants otherwise. */
static bool encode_prompt(const struct lab *lab, const char *text, bool chat, struct tokens *out, size_t *begin,
                          struct error *error)
{
    const struct session *s = lab->session;
    bool ok;
    if (chat) {
        ok = chat_prompt(s->tokenizer, lab->options.system, *text ? text : CHAT_QUESTION, false, out, error);
        *begin = out->count;
    } else {
        ok = encode_text(s, text, out, begin, error);
    }
    if (ok && out->count >= s->context)
        ok = error_set(error, "the prompt has %zu tokens; the context holds %zu", out->count, s->context);
    return ok;
}

static void rewind_to_prompt(const struct lab *lab, struct generation *g)
{
    generation_rewind(g, lab->text->prompt_tokens, lab->options.temperature, lab->options.top_p, lab->text->seed);
}

/* False: why not has been said, and all is as it was. */
static bool change_prompt(struct lab *lab, const char *text, bool chat)
{
    struct text *t = lab->text;
    struct tokens tokens = {0};
    struct error error = {"not enough memory"};
    size_t begin;
    bool ok = encode_prompt(lab, text, chat, &tokens, &begin, &error);
    char *copy = ok ? strdup(text) : NULL;
    if (!copy) {
        free(tokens.ids);
        lab_say(lab, true, "%s", ok ? "not enough memory" : error.text);
        return false;
    }
    free(t->prompt);
    free(t->own.tokens.ids);
    t->prompt = copy;
    t->own.tokens = tokens;
    t->prompt_tokens = tokens.count;
    t->begin = begin;
    t->chat = chat;
    text_restart(lab);
    return true;
}

bool text_prompt(struct lab *lab, const char *text)
{
    return change_prompt(lab, text, lab->text->chat);
}

void text_toggle_chat(struct lab *lab)
{
    struct text *t = lab->text;
    struct chat chat = session_chat(lab->session);
    if (!chat.family)
        lab_say(lab, true, "%s: prompts are texts to continue", chat.why);
    else if (change_prompt(lab, t->prompt, !t->chat))
        lab_say(lab, false, t->chat ? "chat: %s" : "prompts are texts to continue, not asked as %s", chat.family->name);
}

/* From the prompt on, with a seed. */
static void begin_text(struct lab *lab, uint64_t seed)
{
    struct text *t = lab->text;
    t->seed = seed;
    rewind_to_prompt(lab, &t->own);
    if (t->reference.context)
        t->reference.tokens.count = 0;
    t->next_token_due = clock_seconds();
    t->over_at = 0;
    t->earlier_tokens = 0;
    forget_frame(t);
}

void text_set_changed(struct lab *lab)
{
    struct text *t = lab->text;
    if (t->own.context->length == 0)
        return;
    t->earlier_tokens = t->own.tokens.count;
    forget_frame(t);
}

void text_restart(struct lab *lab)
{
    begin_text(lab, lab->text->asked_seed);
}

bool text_change_kv(struct lab *lab, enum dtype kv, struct error *error)
{
    struct text *t = lab->text;
    lab->meter.skip_next = true;
    return context_change_kv(t->own.context, kv, error);
}

/* After a text is over and was read: the next one, from the next seed. */
static bool rest_is_over(struct lab *lab)
{
    struct text *t = lab->text;
    double now = clock_seconds();
    double pause = lab->options.tokens_per_second > 0 ? PAUSE_SECONDS : 0;
    if (t->over_at == 0)
        t->over_at = now;
    return now - t->over_at >= pause;
}

/* Appends a token when reading speed asks for one. */
static void advance_if_due(struct lab *lab)
{
    struct text *t = lab->text;
    double now = clock_seconds(), rate = lab->options.tokens_per_second;
    if (t->own.ended) {
        if (rest_is_over(lab))
            begin_text(lab, t->seed + 1);
        return;
    }
    if (now < t->next_token_due)
        return;
    bool late = now > t->next_token_due + 1; /* after a pause, do not hurry */
    t->next_token_due = rate <= 0 ? now : (late ? now : t->next_token_due) + 1 / rate;
    generation_advance(&t->own);
    lab->meter.skip_next |= t->own.ended;
    forget_frame(t);
}

static void prefill_text(struct lab *lab, double seconds)
{
    struct text *t = lab->text;
    double begin = clock_seconds();
    size_t n = generation_prefill(&t->own, lab->set, seconds);
    bool timed = lab->prefill.is_timed && lab->prefill.set_serial == lab->set_serial;
    if (n >= 8 && !timed) { /* fewer would time the overheads; one of fixed length compares with others */
        lab->prefill.rate = metric_value((double)n / (clock_seconds() - begin));
        lab->prefill.tokens = n;
        lab->prefill.set_serial = lab->set_serial;
    }
    if (n > 1)
        lab->meter.skip_next = true;
}

/* A prompt may take long: before it has run, the meter gets a step at its first token, which then runs again with the
 * others. */
static void time_first_step(struct lab *lab)
{
    struct generation *g = &lab->text->own;
    if (lab->meter.rate > 0 || generation_ready(g))
        return;
    double start = clock_seconds();
    generation_decode(g, lab->set);
    meter_add(&lab->meter, clock_seconds() - start);
}

void text_step(struct lab *lab, double seconds)
{
    struct text *t = lab->text;
    double begin = clock_seconds();
    do {
        if (!generation_ready(&t->own))
            perf_sampler_stop(lab);
        time_first_step(lab);
        prefill_text(lab, seconds);
        if (!generation_ready(&t->own))
            return;
        if (lab->meter.rate > 0 && sampled_steps_due(lab->sampled)) {
            perf_sampler_stop(lab);
            sampled_steps_add(lab, &t->own);
        } else {
            perf_sampler_start(lab);
            double start = clock_seconds();
            generation_decode(&t->own, lab->set);
            meter_add(&lab->meter, clock_seconds() - start);
            perf_sampler_step(lab);
        }
        advance_if_due(lab);
    } while (clock_seconds() - begin < seconds);
    perf_sampler_stop(lab);
}

/* ---- the reference's text -------------------------------------------------------------------- */

/* Its generation, once it was asked for, at the prompt of the text; false where it cannot run. */
static bool reference_is_open(struct lab *lab)
{
    struct text *t = lab->text;
    struct generation *g = &t->reference;
    struct error error;
    const struct model *m = model_reference(lab->session->model);
    if (!g->context && !generation_open(g, lab->session, m, DTYPE_FP32, &error)) {
        generation_close(g);
        t->watched = false;
        lab_say(lab, true, "no reference text: %s", error.text);
        return false;
    }
    if (g->tokens.count > 0)
        return true;
    for (size_t i = 0; i < t->prompt_tokens; i++)
        if (!tokens_add(&g->tokens, t->own.tokens.ids[i]))
            return false;
    rewind_to_prompt(lab, g);
    return true;
}

/* A few tokens of it, as far as the text is; whether any was added or is under way. */
static bool advance_reference(struct lab *lab, double seconds)
{
    struct text *t = lab->text;
    struct generation *g = &t->reference;
    bool any = false;
    double begin = clock_seconds();
    while (g->tokens.count < t->own.tokens.count && !g->ended && clock_seconds() - begin < seconds) {
        generation_prefill(g, lab->session->reference, seconds);
        if (!generation_ready(g))
            return true;
        generation_decode(g, lab->session->reference);
        generation_advance(g);
        any = true;
    }
    if (any)
        forget_frame(t);
    return any;
}

bool text_follow_reference(struct lab *lab, double seconds)
{
    struct text *t = lab->text;
    struct generation *g = &t->reference;
    struct error error;
    if (!t->watched || !reference_is_open(lab))
        return false;
    if (g->ended || g->tokens.count >= t->own.tokens.count || !lab->pins.ready)
        return false;
    if (pins_reference(lab, seconds, &error))
        return advance_reference(lab, seconds);
    t->watched = !*error.text;
    if (*error.text)
        lab_say(lab, true, "no reference text: %s", error.text);
    return t->watched;
}

/* ---- for others -------------------------------------------------------------------------------- */

void text_watch_reference(struct lab *lab, bool wanted)
{
    lab->text->watched = wanted;
}

bool text_watches_reference(const struct lab *lab)
{
    return lab->text->watched;
}

void text_sampling(struct lab *lab, float temperature, uint64_t seed)
{
    lab->options.temperature = temperature;
    lab->text->asked_seed = seed;
    text_restart(lab);
}

uint64_t text_seed(const struct lab *lab)
{
    return lab->text->seed;
}

size_t text_prompt_tokens(const struct lab *lab)
{
    return lab->text->prompt_tokens;
}

/* How often each expert was used, by the tokens of all texts. */
static void publish_uses(const struct context *c, struct frame *f)
{
    const struct model *m = f->model;
    for (size_t i = 0; c->expert_uses && i < m->tensor_count; i++) {
        const struct tensor *t = &m->tensors[i];
        if (t->expert < 0)
            continue;
        size_t counted = (size_t)(m->layers[t->block].tensor[ROLE_DOWN_EXPERTS] + t->expert);
        f->layers[i].used = c->routed > 0 ? metric_value((double)c->expert_uses[counted] / (double)c->routed)
                                          : metric_absent("no token has been routed yet");
    }
}

void text_publish(struct lab *lab, struct frame *f)
{
    struct text *t = lab->text;
    publish_uses(t->own.context, f);
    f->position = t->own.tokens.count;
    f->capacity = t->own.context->capacity;
    if (!t->frame) {
        const char *asked = !t->chat ? NULL : *t->prompt ? t->prompt : CHAT_QUESTION;
        struct text_of own = {&t->own, t->begin, asked};
        struct text_of reference = {&t->reference, t->begin, asked};
        bool beside = t->watched && t->reference.tokens.count > 0;
        t->frame = text_frame_new(&own, beside ? &reference : NULL);
        if (t->frame) {
            t->frame->chat = t->chat;
            t->frame->seed = t->seed;
            t->frame->temperature = lab->options.temperature;
            t->frame->prompt_tokens = t->prompt_tokens;
            t->frame->earlier_tokens = t->earlier_tokens;
        }
    }
    f->text = text_frame_ref(t->frame);
}
