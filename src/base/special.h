/* special.h - opening what may be a pipe or a device. */
#ifndef QTOP_SPECIAL_H
#define QTOP_SPECIAL_H

#include <stdio.h>

/* Opens without waiting for the other end of a FIFO: to write (O_WRONLY, "w") that fails where nobody reads, to read
 * (O_RDONLY, "r") nothing is there where nobody writes. Null with errno. */
FILE *special_open(const char *path, int flags, const char *mode);

/* A stream of a descriptor, which is closed where there is none; -1 is allowed. */
FILE *stream_of(int fd, const char *mode);

#endif
