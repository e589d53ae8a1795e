/* command_line.h - the command that a person gave, as a line for a shell. */
#ifndef QTOP_VIEWS_COMMAND_LINE_H
#define QTOP_VIEWS_COMMAND_LINE_H

#include "options.h"

/* "qtop report -s q4_k -o r.html model.gguf": the arguments, quoted (POSIX sh) where they need it. The caller frees;
 * null when memory is short. */
char *command_line(const struct options *options);

#endif
