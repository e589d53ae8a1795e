/* against_internal.h - the parts of against.h. */
#ifndef QTOP_AGAINST_INTERNAL_H
#define QTOP_AGAINST_INTERNAL_H

#include "against.h"

/* What the files say. Null with an error. */
struct against_facts *against_facts_find(const struct session *session, struct error *error);

/* How fast both run, in samples between which a job may pause; figures go into *out, which outlives it. */
struct against_timing;
struct against_timing *against_timing_open(const struct session *session, struct against_speed *out, struct error *error);
void against_timing_close(struct against_timing *timing);
bool against_timing_step(struct against_timing *timing, double seconds); /* true: all rounds are done */

#endif
