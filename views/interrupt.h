/* interrupt.h - signals that end the program: it then leaves no unfinished file and the terminal as it was. */
#ifndef QTOP_INTERRUPT_H
#define QTOP_INTERRUPT_H

#include "session/session.h"

/* From now on every signal whose default is to end the program removes temporary files, gives the terminal back and
 * then ends it all the same. Signals that were ignored from outside stay so. */
void interrupt_begin(void);

/* How the terminal is given back: a function that is safe in a signal handler; null: there is nothing to give back. */
void interrupt_restores(void (*restore)(void));

/* From now on the first SIGINT cancels the job that the session runs (session_run), so that what was finished can be
 * shown; a second one ends the program. */
void interrupt_catch(struct session *session);

/* Back to what was before; the program then dies of the signal, if it came meanwhile. */
void interrupt_release(void);

#endif
