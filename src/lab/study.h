/* study.h - the texts that jobs measure, calibrate, train and search on (session/text_source.h), made once when the
 * first job needs one. */
#ifndef QTOP_LAB_STUDY_H
#define QTOP_LAB_STUDY_H

#include "state.h"

/* With the text of the options, where there is one, to evaluate on. study_close may follow a failure. */
bool study_open(struct lab *lab, struct error *error);
void study_close(struct lab *lab);

/* Works on one of the texts for about `seconds`: true when it is there; else false, with an error (an empty one:
 * more slices are needed). One that failed stays so until study_retry. */
bool study_text(struct lab *lab, enum text_kind kind, double seconds, struct error *error);
bool study_is_ready(const struct lab *lab, enum text_kind kind);

/* A person asks again: what failed may be tried again. */
void study_retry(struct lab *lab);

/* The length of the text to train on, in tokens; another one is another text. */
void study_set_training(struct lab *lab, size_t tokens);

/* Makes what the next text to evaluate on is from a command (COMMAND_STUDY): one that is too short is an error, and all
 * is as it was. Nothing may work on the text that it takes the place of (jobs_leave_text). */
bool study_check(const struct lab *lab, const struct command *command, struct error *error);
bool study_exchange(struct lab *lab, const struct command *command, struct error *error);

/* The text to evaluate on for frames; null before it is there. */
struct study_frame *study_frame_of(struct lab *lab);

/* Tokens of the text to evaluate on: of one that the model has yet to write, what it will have. */
size_t study_evaluation_tokens(const struct lab *lab);

/* How quality is measured on the text to evaluate on, which must be there. */
struct quality_plan study_quality_plan(const struct lab *lab);

#endif
