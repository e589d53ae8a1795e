/* qtop - an interactive profiler and explorer for quantized language models. */
#include "batch.h"

#include <locale.h>
#include <signal.h>
#include <unistd.h>

/* A mapped file that is cut short while it is read raises SIGBUS. Say so, then die of it. */
static void explain_sigbus(int number)
{
    static const char line[] = "qtop: the model file was cut short or became unreadable while it was "
                               "in use\n";
    ssize_t ignored = write(STDERR_FILENO, line, sizeof line - 1);
    (void)ignored;
    raise(number); /* comes when this handler returns */
}

int main(int argc, char **argv)
{
    struct options options;
    struct error error;
    sigaction(SIGBUS, &(struct sigaction){.sa_handler = explain_sigbus, .sa_flags = (int)SA_RESETHAND},
              NULL);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like a full disk */
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
