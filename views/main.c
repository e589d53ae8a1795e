/* qtop - an interactive profiler and explorer for quantized language models. */
#include "batch.h"

#include "interrupt.h"
#include "sys/thread.h"

#include <locale.h>

struct invocation {
    int argc;
    char **argv;
    int status;
};

static int run_command(const struct subcommand *command, const struct options *options)
{
    struct error error;
    int status = EXIT_DONE;
    if (options->help)
        options_help(stdout, command);
    else if (options->version)
        printf("qtop %s\n", PACKAGE_VERSION);
    else
        status = command->run(options);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_DONE) {
        error_set(&error, "standard output cannot be written");
        return complain(&error, EXIT_FAILED);
    }
    return status;
}

static void run(void *arg)
{
    struct invocation *i = arg;
    struct options options;
    struct error error;
    const struct subcommand *command = options_parse(i->argc, i->argv, &options, &error);
    i->status = command ? run_command(command, &options) : complain(&error, EXIT_USAGE);
}

int main(int argc, char **argv)
{
    struct invocation invocation = {argc, argv, EXIT_FAILED};
    struct error error;
    interrupt_begin();
    setlocale(LC_ALL, "");
    setlocale(LC_NUMERIC, "C"); /* numbers are for scripts, too */
    if (thread_with_stack(run, &invocation))
        return invocation.status;
    error_set(&error, "not enough memory for a stack");
    return complain(&error, EXIT_FAILED);
}
