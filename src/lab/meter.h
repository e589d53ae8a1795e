/* meter.h - decode tokens/s over steps that no job disturbed. */
#ifndef QTOP_LAB_METER_H
#define QTOP_LAB_METER_H

#include "frame.h"

struct meter {
    double seconds;          /* of the steps counted since the last reading */
    size_t steps;            /* their number */
    double rate;             /* tokens per second of the last reading; 0: none */
    bool skip_next;          /* a job ran since the last step: the next one does not count */
    float history[HISTORY];  /* readings in tokens per second, newest last */
    size_t history_count;
};

/* No reading; the history stays. */
void meter_reset(struct meter *meter);

/* One more decode step. */
void meter_add(struct meter *meter, double seconds);

#endif
