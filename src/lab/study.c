#include "study.h"

#include "pins.h"
#include "quant/tune.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

enum { EVALUATION_TOKENS = 1024 }; /* that the model writes */

static bool take_given(struct lab *lab, struct error *error)
{
    const struct session *s = lab->session;
    struct text_source *t = &lab->study[TEXT_EVALUATION].source;
    const char *name = lab->options.text_name ? lab->options.text_name : "";
    if (lab->options.text_ids)
        return text_source_give(t, lab->options.text_ids, lab->options.text_tokens, name) ||
               error_set(error, "not enough memory");
    if (!lab->options.text)
        return true;
    if (!s->tokenizer)
        return error_set(error, "--text needs a tokenizer: %.300s", s->tokenizer_error.text);
    struct tokens all = {0};
    bool ok = tokenizer_encode(s->tokenizer, lab->options.text, lab->options.text_size, &all, error) &&
              (text_source_give(t, &all, lab->options.text_tokens, name) || error_set(error, "not enough memory"));
    free(all.ids);
    return ok;
}

bool study_open(struct lab *lab, struct error *error)
{
    static const size_t counts[TEXT_KINDS] = {
        [TEXT_EVALUATION] = EVALUATION_TOKENS,
        [TEXT_SEARCH] = TUNE_SEARCH_TOKENS,
    };
    for (int kind = 0; kind < TEXT_KINDS; kind++)
        text_source_open(&lab->study[kind].source, lab->session, (enum text_kind)kind, counts[kind]);
    return take_given(lab, error);
}

void study_close(struct lab *lab)
{
    for (int kind = 0; kind < TEXT_KINDS; kind++)
        text_source_close(&lab->study[kind].source);
    study_frame_unref(lab->study_frame);
}

bool study_is_ready(const struct lab *lab, enum text_kind kind)
{
    return lab->study[kind].source.ready;
}

/* One slice of what is not there; false with an error when it cannot be. */
static bool make_some(struct lab *lab, struct study_text *t, double seconds, struct error *error)
{
    struct text_source *source = &t->source;
    bool done, pinned = source->writer || !text_source_is_written(source) || pins_reference(lab, seconds, error);
    if (!pinned)
        return !*error->text;
    bool ok = text_source_class.step(source, seconds, &done, error);
    if (ok && !done)
        lab->activity = (struct activity){job_phase(&text_source_class, source), text_source_class.fraction(source)};
    return ok;
}

bool study_text(struct lab *lab, enum text_kind kind, double seconds, struct error *error)
{
    struct study_text *t = &lab->study[kind];
    error->text[0] = 0;
    if (!t->failed && !t->source.ready && !make_some(lab, t, seconds, error)) {
        t->failed = true;
        t->error = *error;
    }
    if (t->failed)
        *error = t->error;
    else
        error->text[0] = 0;
    return t->source.ready;
}

void study_retry(struct lab *lab)
{
    for (int kind = 0; kind < TEXT_KINDS; kind++)
        lab->study[kind].failed = false;
}

void study_set_training(struct lab *lab, size_t tokens)
{
    struct text_source *t = &lab->study[TEXT_TRAINING].source;
    if (t->count == tokens)
        return;
    text_source_close(t);
    text_source_open(t, lab->session, TEXT_TRAINING, tokens);
}

size_t study_evaluation_tokens(const struct lab *lab)
{
    const struct text_source *t = &lab->study[TEXT_EVALUATION].source;
    return t->ready ? t->tokens.count : t->count;
}

static struct quality_plan plan_of(const struct lab *lab, const int32_t *ids, size_t count, const char *name)
{
    struct quality_plan plan = {.tokens = ids,
                                .count = count,
                                .text = name,
                                .bos = session_bos(lab->session),
                                .protocol = lab->options.protocol,
                                .window = lab->options.window};
    if (plan.window == 0)
        plan.window = quality_default_window(lab->session->context);
    return plan;
}

struct quality_plan study_quality_plan(const struct lab *lab)
{
    const struct text_source *t = &lab->study[TEXT_EVALUATION].source;
    return plan_of(lab, t->tokens.ids, t->tokens.count, t->name);
}

/* ---- another text ---------------------------------------------------------------------------- */

bool study_check(const struct lab *lab, const struct command *c, struct error *error)
{
    struct error why;
    struct quality_plan plan = plan_of(lab, c->ids, c->id_count, c->text);
    if (c->id_count == 0 || quality_predictions(&plan, &why) > 0)
        return true;
    return error_set(error, "%.100s: %.300s", c->text ? c->text : "", why.text);
}

bool study_exchange(struct lab *lab, const struct command *c, struct error *error)
{
    struct study_text next = {0}, *now = &lab->study[TEXT_EVALUATION];
    struct tokens ids = {(int32_t *)(uintptr_t)c->ids, c->id_count, c->id_count}; /* only read */
    text_source_open(&next.source, lab->session, TEXT_EVALUATION, EVALUATION_TOKENS);
    if (c->id_count > 0 && !text_source_give(&next.source, &ids, c->row, c->text ? c->text : ""))
        return error_set(error, "not enough memory for a text of %zu tokens", c->id_count);
    text_source_close(&now->source);
    *now = next;
    lab->text_serial++;
    study_frame_unref(lab->study_frame);
    lab->study_frame = NULL;
    return true;
}

struct study_frame *study_frame_of(struct lab *lab)
{
    const struct text_source *t = &lab->study[TEXT_EVALUATION].source;
    size_t count = t->tokens.count < STUDY_SHOWN ? t->tokens.count : STUDY_SHOWN;
    if (lab->study_frame || !t->ready)
        return lab->study_frame;
    struct study_frame *f = malloc(sizeof *f + count * sizeof *f->ids);
    if (!f)
        return NULL;
    *f = (struct study_frame){.serial = lab->text_serial, .tokens = t->tokens.count, .count = count};
    atomic_init(&f->refs, 1);
    memcpy(f->name, t->name, sizeof f->name);
    if (count > 0)
        memcpy(f->ids, t->tokens.ids, count * sizeof *f->ids);
    return lab->study_frame = f;
}
