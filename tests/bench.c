/* bench - timing figures, printed and never asserted: `make bench`.
 *
 * Kernels: see bench_kernels.c. Terminal: how soon a key shows its effect while the model generates,
 * how often the screen is drawn and what drawing costs, through a pseudo-terminal. */
#include "base/clock.h"
#include "base/stats.h"
#include "measure/bandwidth.h"
#include "bench_attention.h"
#include "bench_engine.h"
#include "bench_kernels.h"
#include "bench_peers.h"
#include "pty.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the terminal ---------------------------------------------------------------------------- */

enum { KEYS = 300 };

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool row_shows(struct pty *p, void *text)
{
    int row, col;
    return pty_find(p, "attn_q", &row, &col) && strstr(pty_row(p, row), text);
}

/* Processor seconds of a program's first thread, which draws. */
static double view_seconds(pid_t pid)
{
    char path[64], line[1024];
    unsigned long user = 0, kernel = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)pid);
    FILE *f = fopen(path, "r");
    if (f && fgets(line, sizeof line, f)) {
        const char *after = strrchr(line, ')');
        if (after)
            sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel);
    }
    if (f)
        fclose(f);
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

/* Output arrives in pieces: a drawing begins after a pause. */
struct drawings {
    int count;
    double last;
};

static bool count_drawings(struct pty *p, void *arg)
{
    struct drawings *d = arg;
    size_t n;
    pty_raw(p, &n);
    if (n > 0) {
        double now = clock_seconds();
        d->count += now - d->last > 0.02;
        d->last = now;
        pty_raw_clear(p);
    }
    return false;
}

static int bench_terminal(const char *binary)
{
    static const char *const kinds[] = {"fp16 ", "fp32*"};
    double latency[KEYS];
    const char *argv[] = {binary, NULL};
    struct pty *p = pty_start(24, 80, argv, NULL);
    if (!p || !pty_wait_for(p, "attn_q", 20))
        return 1;
    while (!row_shows(p, "fp32*"))
        if (!pty_wait_for(p, "fp32*", 5))
            return 1;
    pty_send(p, PTY_KEY_DOWN PTY_KEY_DOWN PTY_KEY_DOWN);
    pty_wait_for(p, "tok/s", 20);
    int measured = 0;
    for (int i = 0; i < KEYS; i++) { /* d to fp16, u back */
        double seconds = pty_latency(p, i % 2 ? "u" : "d", row_shows, (void *)(uintptr_t)kinds[i % 2], 5);
        if (seconds >= 0)
            latency[measured++] = seconds;
    }
    struct drawings draws = {0};
    double begin = clock_seconds(), used = view_seconds(pty_pid(p));
    pty_raw_clear(p);
    pty_wait_until(p, count_drawings, &draws, 5);
    double seconds = clock_seconds() - begin, share = (view_seconds(pty_pid(p)) - used) / seconds;
    pty_send(p, "q");
    pty_wait_exit(p, 5);
    pty_stop(p);
    if (measured == 0)
        return 1;
    qsort(latency, (size_t)measured, sizeof *latency, ascending);
    printf("\nterminal, 80x24, while the built-in model generates\n");
    printf("key to effect   median %.1f ms, p99 %.1f ms, worst %.1f ms (%d keys)\n",
           1e3 * latency[measured / 2], 1e3 * latency[measured * 99 / 100],
           1e3 * latency[measured - 1], measured);
    printf("drawings        %.1f a second, %.2f %% of a core for the view thread\n", draws.count / seconds,
           100 * share);
    return 0;
}

/* ---- the probe of the read roof ------------------------------------------------------------------ */

/* Bytes a second of one thread. Four places at once: one alone leaves the core waiting. */
static double plain_loop(const unsigned char *buffer, size_t bytes)
{
    const uint64_t *data = (const uint64_t *)(const void *)buffer;
    size_t part = bytes / sizeof *data / 4;
    uint64_t sum[4] = {0};
    double begin = clock_seconds();
    for (size_t i = 0; i < part; i += 8)
        for (size_t k = 0; k < 4; k++)
            sum[k] += data[k * part + i];
    volatile uint64_t used = sum[0] + sum[1] + sum[2] + sum[3];
    (void)used;
    return (double)bytes / (clock_seconds() - begin);
}

/* A sweep of one thread beside a plain loop over the same memory, in pairs. */
static bool bench_sweep(void)
{
    enum { PAIRS = 31 };
    double ratios[PAIRS];
    struct error error;
    struct bandwidth_probe probe;
    struct pool *pool = pool_create(1, &error);
    if (!pool || !bandwidth_open(&probe, pool, &error))
        return false;
    for (int i = 0; i < PAIRS; i++) {
        double sweep = bandwidth_sweep(&probe);
        ratios[i] = sweep / plain_loop(probe.buffer, probe.size);
    }
    struct stats ratio = stats_of(ratios, PAIRS);
    printf("\nsweep / plain loop, one thread: %.3f (%.3f-%.3f)\n", ratio.median, ratio.min, ratio.max);
    bandwidth_close(&probe);
    pool_destroy(pool);
    return true;
}

/* bench [kernels | matmul | attention | engine | evaluation | sweep | terminal [ISA [SCHEME]]]: without arguments all of them, every
 * instruction set and scheme. bench peers: see bench_peers.h. */
int main(int argc, char **argv)
{
    const char *binary = getenv("QTOP_BIN"), *only = argc > 1 ? argv[1] : "";
    const char *isa = argc > 2 ? argv[2] : NULL, *scheme = argc > 3 ? argv[3] : NULL;
    bool failed = false;
    if (strcmp(only, "peers") == 0)
        return !bench_peers(binary ? binary : "./qtop", argc - 2, argv + 2);
    if (!*only || strcmp(only, "kernels") == 0)
        failed |= !bench_decode(isa, scheme);
    if (!*only || strcmp(only, "matmul") == 0)
        failed |= !bench_matmul(isa, scheme);
    if (!*only || strcmp(only, "attention") == 0)
        failed |= !bench_attention();
    if (!*only || strcmp(only, "engine") == 0) {
        const char *data = getenv("QTOP_DATA");
        char model[4096];
        snprintf(model, sizeof model, "%s/stories.bin", data ? data : "data");
        failed |= !bench_telemetry(model) || !bench_requantize();
    }
    if (!*only || strcmp(only, "evaluation") == 0)
        failed |= !bench_evaluation();
    if (!*only || strcmp(only, "sweep") == 0)
        failed |= !bench_sweep();
    if (!*only || strcmp(only, "terminal") == 0)
        failed |= bench_terminal(binary ? binary : "./qtop") != 0;
    return failed;
}
