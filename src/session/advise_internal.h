/* advise_internal.h - what the files of advise share. */
#ifndef QTOP_ADVISE_INTERNAL_H
#define QTOP_ADVISE_INTERNAL_H

#include "advise.h"

/* advise_candidates.c: the rows worth measuring, the caller's, each with schemes of its own; null with an error. */
struct advise_row *advise_candidates(const struct advise_plan *plan, size_t *count, struct error *error);
void advise_candidates_free(struct advise_row *rows, size_t count);

/* advise_timing.c: decode and prefill of a set, in samples of a few tokens. */
struct advise_timing;
struct advise_timing *advise_timing_open(const struct session *session, struct weights *set, struct error *error);
void advise_timing_close(struct advise_timing *timing);

/* Works for about `seconds`; true when all samples are taken. */
bool advise_timing_step(struct advise_timing *timing, double seconds);
void advise_timing_result(struct advise_timing *timing, struct stats *decode, struct stats *prefill);

#endif
