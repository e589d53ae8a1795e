#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "child.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_ARGS = 32 };

pid_t child_start(const char *const *words, const char *out, const char *err, void (*prepare)(void))
{
    const char *program = getenv("QTOP_BIN") ? getenv("QTOP_BIN") : "./qtop", *args[MAX_ARGS] = {program};
    for (size_t i = 0; words[i]; i++) {
        assert_true(i + 2 < MAX_ARGS);
        args[i + 1] = words[i];
    }
    pid_t child = fork();
    if (child != 0)
        return child;
    if (!freopen(out, "w", stdout) || !freopen(err, "w", stderr) || !freopen("/dev/null", "r", stdin))
        _exit(99);
    if (prepare)
        prepare();
    execv(program, (char *const *)args);
    _exit(98);
}

bool child_runs(pid_t child)
{
    siginfo_t info = {.si_pid = 0};
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    return info.si_pid == 0;
}

int child_status(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int child_wait(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return child_status(status);
}
