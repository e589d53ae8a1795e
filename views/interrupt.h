/* interrupt.h - signals that end a subcommand, put off until its job has tidied up. */
#ifndef QTOP_INTERRUPT_H
#define QTOP_INTERRUPT_H

#include "session/session.h"

/* From now on a signal that would end the program cancels the job that the session runs (session_run). Signals that
 * were ignored from outside stay so. */
void interrupt_catch(struct session *session);

/* Back to what was before; the program then dies of the signal that came meanwhile, if one did. */
void interrupt_release(void);

#endif
