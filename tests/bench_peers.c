#include "bench_peers.h"

#include "measure/speed.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PEERS = 2, SCHEMES_MOST = 8, ROUNDS_MOST = 64, LINE = 1 << 16 };

/* Tokens a second. */
struct rates {
    double prefill, decode;
};

struct plan {
    const char *qtop;
    const char *peer[PEERS];                   /* paths, or null */
    const char *threads, *prompt, *generated, *depth;
    const char *scheme[SCHEMES_MOST];
    size_t schemes, rounds;
};

static const char *const peer_names[PEERS] = {"llama.cpp", "ik_llama.cpp"};

/* The lines that a program writes, each given to `take`. False where it cannot be run or fails. */
static bool run(const char *const argv[], void (*take)(const json_t *line, struct rates *out), struct rates *out)
{
    int pipes[2], status = 0;
    char line[LINE];
    if (pipe(pipes) != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipes[1], STDOUT_FILENO);
        close(pipes[0]);
        FILE *quiet = freopen("/dev/null", "w", stderr);
        (void)quiet;
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    close(pipes[1]);
    FILE *f = fdopen(pipes[0], "r");
    while (f && fgets(line, sizeof line, f)) {
        json_t *j = json_loads(line, 0, NULL);
        if (j)
            take(j, out);
        json_decref(j);
    }
    if (f)
        fclose(f);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 && out->prefill > 0 && out->decode > 0;
}

static double member(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}

/* A line a test: of a prompt, or of generated tokens. */
static void take_theirs(const json_t *j, struct rates *out)
{
    *(member(j, "n_gen") > 0 ? &out->decode : &out->prefill) = member(j, "avg_ts");
}

static void take_ours(const json_t *j, struct rates *out)
{
    *out = (struct rates){member(j, "prefill_tokens_per_second"), member(j, "decode_tokens_per_second")};
}

static bool run_theirs(const struct plan *p, size_t peer, const char *model, struct rates *out)
{
    const char *argv[] = {p->peer[peer], "-m", model,    "-t", p->threads, "-p", p->prompt, "-n", p->generated,
                          "-d",          p->depth, "-r", "3",  "-o",       "jsonl", NULL};
    *out = (struct rates){0};
    return run(argv, take_theirs, out);
}

static bool run_ours(const struct plan *p, const char *scheme, const char *model, struct rates *out)
{
    const char *argv[] = {p->qtop, "bench",        "--json",   "--kv", "fp16",       "-c", "16384",  "-s", scheme,
                          "-t",    p->threads, "--prompt-tokens", p->prompt, "-n", p->generated, "--depth", p->depth, model,
                          NULL};
    *out = (struct rates){0};
    return run(argv, take_ours, out);
}

static void print_ratio(const double *ours, const double *theirs, size_t n)
{
    struct ratio r = ratio_of(ours, theirs, n);
    printf("  %5.3f (%5.3f-%5.3f)", r.median, r.low, r.high);
}

/* The faster of the peers in each round. */
static struct rates faster(const struct rates *theirs)
{
    struct rates best = theirs[0];
    for (size_t i = 1; i < PEERS; i++) {
        best.prefill = fmax(best.prefill, theirs[i].prefill);
        best.decode = fmax(best.decode, theirs[i].decode);
    }
    return best;
}

static bool bench_model(const struct plan *p, const char *model)
{
    static double ours[2][SCHEMES_MOST][ROUNDS_MOST], best[2][ROUNDS_MOST];
    const char *name = strrchr(model, '/') ? strrchr(model, '/') + 1 : model;
    struct rates theirs[PEERS] = {0}, r;
    for (size_t i = 0; i < p->rounds; i++) {
        for (size_t k = 0; k < PEERS; k++)
            if (p->peer[k] && !run_theirs(p, k, model, &theirs[k])) {
                fprintf(stderr, "%s: %s cannot be measured with it\n", model, p->peer[k]);
                return false;
            }
        r = faster(theirs);
        best[0][i] = r.prefill;
        best[1][i] = r.decode;
        for (size_t s = 0; s < p->schemes; s++) {
            if (!run_ours(p, p->scheme[s], model, &r)) {
                fprintf(stderr, "%s: qtop cannot measure %s\n", model, p->scheme[s]);
                return false;
            }
            ours[0][s][i] = r.prefill;
            ours[1][s][i] = r.decode;
        }
    }
    for (size_t k = 0; k < PEERS; k++)
        if (p->peer[k])
            printf("%-36.36s %-14s %9.1f %9.1f\n", name, peer_names[k], theirs[k].prefill, theirs[k].decode);
    for (size_t s = 0; s < p->schemes; s++) {
        size_t last = p->rounds - 1;
        printf("%-36.36s %-14s %9.1f %9.1f", name, p->scheme[s], ours[0][s][last], ours[1][s][last]);
        print_ratio(ours[0][s], best[0], p->rounds);
        print_ratio(ours[1][s], best[1], p->rounds);
        putchar('\n');
    }
    fflush(stdout);
    return true;
}

static bool read_options(struct plan *p, int *argc, char ***argv)
{
    const struct {
        const char *name;
        const char **value;
    } options[] = {{"--llama-bench", &p->peer[0]}, {"--ik", &p->peer[1]}, {"-t", &p->threads}, {"-p", &p->prompt},
                   {"-n", &p->generated},          {"-d", &p->depth}};
    for (; *argc > 1 && **argv[0] == '-'; *argc -= 2, *argv += 2) {
        const char *name = (*argv)[0], *value = (*argv)[1];
        size_t i = 0, count = sizeof options / sizeof *options;
        while (i < count && strcmp(options[i].name, name) != 0)
            i++;
        if (i < count)
            *options[i].value = value;
        else if (strcmp(name, "-s") == 0 && p->schemes < SCHEMES_MOST)
            p->scheme[p->schemes++] = value;
        else if (strcmp(name, "-r") == 0)
            p->rounds = (size_t)atoi(value);
        else
            return false;
    }
    return *argc > 0 && (p->peer[0] || p->peer[1]) && p->rounds > 0 && p->rounds <= ROUNDS_MOST;
}

bool bench_peers(const char *qtop, int argc, char **argv)
{
    struct plan p = {.qtop = qtop, .threads = "2", .prompt = "64", .generated = "24", .depth = "0", .rounds = 7};
    bool ok = true;
    if (!read_options(&p, &argc, &argv)) {
        fprintf(stderr, "bench peers: expected --llama-bench PATH or --ik PATH, -t -p -n -d -s -r, and model files\n");
        return false;
    }
    if (p.schemes == 0) {
        p.scheme[p.schemes++] = "stored";
        p.scheme[p.schemes++] = "stored/int8";
    }
    printf("%s threads, prompt %s, %s generated, depth %s, KV cache fp16, %zu rounds in turns; ratios to the faster of the "
           "others\n", p.threads, p.prompt, p.generated, p.depth, p.rounds);
    printf("%-36s %-14s %9s %9s %22s %22s\n", "FILE", "SCHEME", "PREFILL/s", "DECODE/s", "PREFILL RATIO", "DECODE RATIO");
    for (int i = 0; i < argc; i++)
        ok &= bench_model(&p, argv[i]);
    return ok;
}
