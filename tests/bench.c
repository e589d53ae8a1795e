/* bench - timing figures, printed and never asserted: `make bench`.
 *
 * Kernels: matrix-vector products over packed weights larger than the last-level cache, each beside
 * a read sweep just before it. Terminal: how soon a key shows its effect while the model generates,
 * how often the screen is drawn and what drawing costs, through a pseudo-terminal. */
#include "../kernels/dispatch.h"
#include "../kernels/quantize.h"
#include "../src/measure/bandwidth.h"
#include "../src/measure/clock.h"
#include "../src/measure/topology.h"
#include "pty.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- kernels --------------------------------------------------------------------------------- */

static const char *const schemes[] = {"fp32", "fp16", "bf16",     "int8",     "w8a16", "w8a8",
                                      "int4", "w4a16", "int4:g32", "w4a8", "fp8",   "fp8e5m2",
                                      "fp8/fp8"};
enum { ROUNDS = 7, COLS = 2048 };

struct product {
    const struct qmatrix *m;
    const struct activations *x;
    float *y;
};

static void multiply(void *arg, size_t begin, size_t end, int thread)
{
    const struct product *p = arg;
    (void)thread;
    isa_current()->matmul(p->m, p->x, begin, end, p->y);
}

/* Rows that make the packed matrix as large as the probe's buffer, filled with one pattern of rows. */
static bool make_matrix(struct qmatrix *m, const struct scheme *s, size_t bytes, struct error *error)
{
    size_t one;
    float row[COLS];
    if (!scheme_bytes(s, 64, COLS, &one) || !qmatrix_init(m, s, bytes / one * 64, COLS, error))
        return false;
    quantize_tensor_scale(m, (struct value_range){-1, 1});
    for (size_t r = 0; r < m->rows; r++) {
        for (size_t c = 0; c < COLS; c++)
            row[c] = (float)((r * 31 + c * 17) % 255) / 127.0f - 1;
        quantize_row(m, r, row);
    }
    return true;
}

static void time_scheme(const char *text, const struct bandwidth_probe *probe)
{
    struct scheme s;
    struct error error;
    struct qmatrix m;
    float x[COLS];
    double rates[ROUNDS], shares[ROUNDS];
    for (size_t c = 0; c < COLS; c++)
        x[c] = (float)(c % 13) - 6;
    if (!scheme_parse(text, &s, &error) || !make_matrix(&m, &s, probe->size, &error)) {
        printf("%-10s %s\n", text, error.text);
        return;
    }
    void *scratch = aligned_alloc(64, activations_scratch(COLS, 1) + 64);
    struct activations prepared;
    struct product p = {&m, &prepared, malloc(m.rows * sizeof(float))};
    activations_prepare(&m, x, 1, scratch, &prepared);
    for (int i = 0; i < ROUNDS; i++) {
        double roof = bandwidth_sweep(probe), begin = clock_seconds();
        pool_run(probe->pool, m.rows, multiply, &p);
        double seconds = clock_seconds() - begin;
        rates[i] = (double)m.bytes / seconds;
        shares[i] = rates[i] / roof;
    }
    struct spread rate = spread_of(rates, ROUNDS), share = spread_of(shares, ROUNDS);
    double macs = (double)m.rows * COLS / ((double)m.bytes / rate.median);
    printf("%-10s %8.2f %9.2f %8.3f  %.3f..%.3f\n", text, rate.median / 1e9, macs / 1e9,
           share.median, share.least, share.most);
    free(p.y);
    free(scratch);
    qmatrix_free(&m);
}

static int bench_kernels(void)
{
    struct error error;
    struct bandwidth_probe probe;
    struct pool *pool = pool_create(topology()->threads, &error);
    if (!pool || !bandwidth_open(&probe, pool, &error)) {
        fprintf(stderr, "bench: %s\n", error.text);
        return 1;
    }
    printf("kernels '%s', %d threads, %zu MiB of packed weights; share of adjacent read sweeps\n",
           isa_current()->name, pool_threads(pool), probe.size >> 20);
    pool_bind_caller(pool);
    printf("bringing the threads together costs %.0f ns\n", pool_cost(pool));
    printf("%-10s %8s %9s %8s  %s\n", "scheme", "GB/s", "GMAC/s", "share", "spread");
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        time_scheme(schemes[i], &probe);
    bandwidth_close(&probe);
    pool_destroy(pool);
    return 0;
}

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

int main(void)
{
    const char *binary = getenv("QTOP_BIN");
    int failed = bench_kernels();
    return bench_terminal(binary ? binary : "./qtop") || failed;
}
