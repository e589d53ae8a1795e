/* sampled_steps.h - decode steps that are timed tensor by tensor, with what the selected layer's input and output
 * were. */
#ifndef QTOP_LAB_SAMPLED_STEPS_H
#define QTOP_LAB_SAMPLED_STEPS_H

#include "generation.h"
#include "state.h"

/* sampled_steps_close may follow a failure. */
bool sampled_steps_open(struct lab *lab, struct error *error);
void sampled_steps_close(struct lab *lab);

/* Whether the next step is to be sampled; to be asked before each. */
bool sampled_steps_due(struct sampled_steps *sampled);

/* Times every tensor on the decode step of a generation's newest token, then repeats it to compare the selected
 * layer's output, or that of every layer where somebody watches: two runs, so that the comparison is in no timing. Neither counts on the meter. */
void sampled_steps_add(struct lab *lab, struct generation *g);

/* The set has changed: all figures begin again; those of the output alone do, for another selected layer. */
void sampled_steps_reset(struct lab *lab);
void sampled_steps_reset_output(struct lab *lab);

/* Fills seconds a layer, the selected layer's inputs and its output error. */
void sampled_steps_publish(struct lab *lab, struct frame *frame);

#endif
