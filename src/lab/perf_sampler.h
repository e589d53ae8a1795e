/* perf_sampler.h - what the processor counts while tokens are decoded: intervals of decode steps that nothing else
 * shares are added up, and from time to time become a frame. */
#ifndef QTOP_LAB_PERF_SAMPLER_H
#define QTOP_LAB_PERF_SAMPLER_H

#include "state.h"

enum { MAX_EVENTS = 24 };

/* perf_sampler_close may follow a failure. */
bool perf_sampler_open(struct lab *lab, struct error *error);
void perf_sampler_close(struct lab *lab);

/* Counts the default events, on the thread that runs the model. */
void perf_sampler_begin(struct lab *lab);

/* Around decode steps: before one that counts, after it, and before anything else. */
void perf_sampler_start(struct lab *lab);
void perf_sampler_step(struct lab *lab);
void perf_sampler_stop(struct lab *lab);

/* The set has changed: what was counted is of another one. */
void perf_sampler_reset(struct lab *lab);

/* Begins to count an event, or leaves it out. */
void perf_sampler_toggle(struct lab *lab, const char *event);

/* Makes the list of all events, which frames then have. */
void perf_sampler_list(struct lab *lab);

/* The newest frame of counters and the list, each with a reference for the caller, or null. */
struct counters_frame *perf_sampler_frame(struct lab *lab);
struct event_list *perf_sampler_events(const struct lab *lab);

#endif
