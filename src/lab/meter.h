/* meter.h - decode tokens/s over steps that no job disturbed; until there are enough of those, a rough figure over
 * whatever steps there were, from the first one on. */
#ifndef QTOP_LAB_METER_H
#define QTOP_LAB_METER_H

#include "frame.h"

struct meter {
    double seconds;          /* of the steps counted since the last reading */
    size_t steps;            /* their number */
    double rough_seconds, rough_steps; /* of the newest steps, disturbed or not, that a rough figure is of */
    double rate;             /* tokens per second of the last reading, or rough; 0: none */
    bool is_rough;           /* the rate is of few steps, or of steps right after a job */
    bool skip_next;          /* a job ran since the last step: the next one does not count in a reading */
    float history[HISTORY];  /* readings in tokens per second, newest last */
    size_t history_count;
};

/* No reading; the history stays. */
void meter_reset(struct meter *meter);

/* One more decode step. */
void meter_add(struct meter *meter, double seconds);

/* Whether the rate is of enough steps that no job disturbed. */
bool meter_has_reading(const struct meter *meter);

#endif
