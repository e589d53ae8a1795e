/* commands.h - the table of commands. */
#ifndef QTOP_LAB_COMMANDS_H
#define QTOP_LAB_COMMANDS_H

#include "state.h"

/* Does what one command asks for. */
void command_apply(struct lab *lab, const struct command *command);

#endif
