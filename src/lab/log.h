/* log.h - what was done and said, in order. The message that follows a change describes the step of the history that
 * the change made. */
#ifndef QTOP_LAB_LOG_H
#define QTOP_LAB_LOG_H

#include "state.h"

/* Of the current step, if nothing has described it yet; else of none. The oldest entry goes where there is no room. */
void log_add(struct lab *lab, bool is_error, const char *text);

/* The entries, with a reference for the caller; null when memory is short. */
struct log_frame *log_publish(struct lab *lab);

void log_close(struct lab *lab);

#endif
