/* lockstep.h - a lab that waits for its client: no frame is missed, however seldom the client gets to run.
 *
 * For programs that are linked with -Wl,--wrap of jobs_step, mailbox_put, mailbox_newest and mailbox_quit, and of one
 * lab at a time. */
#ifndef QTOP_TESTS_LOCKSTEP_H
#define QTOP_TESTS_LOCKSTEP_H

/* A case of a list whose lab ends every round, of a few milliseconds, with a frame, and begins the next when that was
 * taken: of what a job does in two rounds at least, a frame is seen that shows it under way. */
#define IN_STEP(test) cmocka_unit_test_setup_teardown(test, lockstep_begin, lockstep_end)

int lockstep_begin(void **state);
int lockstep_end(void **state);

#endif
