/* text_source.h - the texts that measuring and methods need: a person's own where one is given, else one that the
 * model writes (selftext.h). The same model and session give the same text. */
#ifndef QTOP_TEXT_SOURCE_H
#define QTOP_TEXT_SOURCE_H

#include "measure/quality.h"
#include "session.h"

enum text_kind {
    TEXT_EVALUATION,  /* to measure quality on: tokens */
    TEXT_SEARCH,      /* to search on, neither of the others: tokens */
    TEXT_CALIBRATION, /* to calibrate on: windows */
    TEXT_TRAINING,    /* to train on: windows */
    TEXT_KINDS
};

struct text_source {
    const struct session *session;
    enum text_kind kind;
    char name[TEXT_NAME];            /* what figures on it call the text */
    size_t count;                    /* tokens that are wanted; of calibration 0: as many as it takes */
    bool ready;
    struct tokens tokens;            /* of evaluation and search, without BOS */
    struct calibration_text windows; /* of calibration and training */
    void *writer;                    /* while the model writes; of the kind's class */
};

/* Nothing is done before the first step. */
void text_source_open(struct text_source *source, const struct session *session, enum text_kind kind, size_t count);

/* Frees the text and what writes it; {0} is allowed. */
void text_source_close(struct text_source *source);

/* How a struct text_source runs as a job; closing it is text_source_close. */
extern const struct job_class text_source_class;

/* What figures call a text that the model wrote itself. */
#define SELF_TEXT_NAME "self"

/* Whether the model has to write it, for which the reference's weights are run. */
bool text_source_is_written(const struct text_source *source);

#endif
