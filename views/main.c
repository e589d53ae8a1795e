/* qtop - an interactive profiler and explorer for quantized language models. */
#include "batch.h"

#include "interrupt.h"

#include <locale.h>

int main(int argc, char **argv)
{
    struct options options;
    struct error error;
    interrupt_begin();
    setlocale(LC_ALL, "");
    setlocale(LC_NUMERIC, "C"); /* numbers are for scripts, too */
    const struct subcommand *command = options_parse(argc, argv, &options, &error);
    if (!command)
        return complain(&error, EXIT_USAGE);
    int status = EXIT_DONE;
    if (options.help)
        options_help(stdout, command);
    else if (options.version)
        printf("qtop %s\n", PACKAGE_VERSION);
    else
        status = command->run(&options);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_DONE) {
        error_set(&error, "standard output cannot be written");
        return complain(&error, EXIT_FAILED);
    }
    return status;
}
