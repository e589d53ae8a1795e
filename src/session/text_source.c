#include "text_source.h"

#include "quant/tune.h"
#include "selftext.h"

#include <stdio.h>
#include <stdlib.h>

struct kind {
    const char *phase;
    bool windows;
    uint64_t seed; /* of tokens */
};

static const struct kind kinds[TEXT_KINDS] = {
    [TEXT_EVALUATION] = {"generating the evaluation text", false, SELF_TEXT_EVALUATION_SEED},
    [TEXT_SEARCH] = {"generating the search text", false, SELF_TEXT_SEARCH_SEED},
    [TEXT_CALIBRATION] = {"generating the calibration text", true, 0},
    [TEXT_TRAINING] = {"generating the training text", true, 0},
};

void text_source_open(struct text_source *t, const struct session *session, enum text_kind kind, size_t count)
{
    *t = (struct text_source){.session = session, .kind = kind, .name = SELF_TEXT_NAME, .count = count};
    if (!text_source_is_written(t))
        snprintf(t->name, sizeof t->name, "%s", session->calibration_name);
}

/* What writes texts of this kind. */
static const struct job_class *class_of(const struct text_source *t)
{
    return kinds[t->kind].windows ? &selftext_class : &writer_class;
}

void text_source_close(struct text_source *t)
{
    if (t->writer)
        class_of(t)->close(t->writer);
    free(t->tokens.ids);
    free(t->windows.tokens);
    *t = (struct text_source){0};
}

bool text_source_is_written(const struct text_source *t)
{
    return !kinds[t->kind].windows || t->session->calibration.count == 0;
}

/* A person's own text in windows. */
static bool cut_given(struct text_source *t, struct error *error)
{
    const struct session *s = t->session;
    size_t count = t->kind == TEXT_TRAINING ? t->count : CALIBRATION_MAX;
    t->ready = calibration_text_make_of(&t->windows, s->calibration.ids, s->calibration.count, count, session_bos(s),
                                        s->context, error);
    return t->ready;
}

static bool open_writer(struct text_source *t, struct error *error)
{
    const struct session *s = t->session;
    if (t->kind == TEXT_CALIBRATION)
        t->writer = selftext_open(s, error);
    else if (t->kind == TEXT_TRAINING)
        t->writer = selftext_open_to_train(s, t->count, error);
    else
        t->writer = writer_open(s, t->count, kinds[t->kind].seed, error);
    return t->writer != NULL;
}

static void take_text(struct text_source *t)
{
    if (kinds[t->kind].windows)
        selftext_take(t->writer, &t->windows);
    else
        writer_take(t->writer, &t->tokens);
    class_of(t)->close(t->writer);
    t->writer = NULL;
    t->ready = true;
}

/* ---- as a job ---------------------------------------------------------------------------------- */

static bool step_job(void *job, double seconds, bool *done, struct error *error)
{
    struct text_source *t = job;
    if (!t->ready && !text_source_is_written(t) && !cut_given(t, error))
        return false;
    if (!t->ready && !t->writer && !open_writer(t, error))
        return false;
    bool written = false;
    if (!t->ready && !class_of(t)->step(t->writer, seconds, &written, error))
        return false;
    if (written)
        take_text(t);
    *done = t->ready;
    return true;
}

static double job_fraction(const void *job)
{
    const struct text_source *t = job;
    return t->ready ? 1 : t->writer ? class_of(t)->fraction(t->writer) : 0;
}

static const char *job_phase_now(const void *job)
{
    return kinds[((const struct text_source *)job)->kind].phase;
}

static void close_job(void *job)
{
    text_source_close(job);
}

const struct job_class text_source_class = {
    .name = "generating a text",
    .step = step_job,
    .fraction = job_fraction,
    .phase = job_phase_now,
    .close = close_job,
};
