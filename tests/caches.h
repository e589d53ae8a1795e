/* caches.h - caches that make tests quick. */
#ifndef QTOP_TESTS_CACHES_H
#define QTOP_TESTS_CACHES_H

/* Read roofs sweep four times the last-level cache, which is more than 1 GiB on some servers. From here on, for
 * this program and those that it starts, no cache of the machine counts more than 1 MiB; everything else of the
 * topology stays as it is. To be called in main, before anything asks for the topology. Nothing changes where
 * hwloc cannot do it. */
void caches_shrink(void);

/* For a process that simulates another machine: takes it back. */
void caches_restore(void);

#endif
