/* options.h - the command line: one table of options, one of subcommands. The tables feed parsing,
 * --help, the man page and the completions of shells. */
#ifndef QTOP_OPTIONS_H
#define QTOP_OPTIONS_H

#include "base/error.h"
#include "measure/quality.h"

#include <stdio.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

enum { MAX_CANDIDATES = 16, MAX_LENGTHS = 16 };

/* The numbers of an option that takes several, separated by commas. */
struct lengths {
    long values[MAX_LENGTHS];
    size_t count; /* 0: the option was not given */
};

struct options {
    const char *model;     /* null: the built-in model */
    const char *scheme, *recipe, *tokenizer, *text, *prompt, *output, *isa, *protocol, *roof,
        *kv, *synthetic, *reference, *calibration, *outliers, *versus, *format,
        *imatrix, *system, *from, *against;
    /* Every -s and -r in the order of the command line, for commands that compare; `scheme` and `recipe` are the
     * last ones. */
    struct candidate {
        const char *scheme, *recipe; /* one of them */
    } candidates[MAX_CANDIDATES];
    size_t candidate_count;
    struct lengths prompts, generated, depths; /* of bench: all of --prompt-tokens, --tokens and --depth */
    long batch, depth, threads, context, window, tokens, prompt_tokens, seed;
    double temperature, top_p, max_bits, max_kl, min_rate;
    const char *max_size, *max_memory, *for_format;
    double idle;                  /* seconds without a key, after which the program sleeps; 0: never */
    double seconds;               /* that a search may take to make its choice better; 0: not said */
    bool json, csv, help, version, ascii, no_color, no_mouse, no_run, fresh, alone, readonly, allow_overflow, resume,
        process_output, chat, special;
    int argc;             /* of the command line, */
    char *const *argv;    /* whose options may come before other words */
    long positions; /* no option: that a context by default must have, for what a command does */
    bool quiet; /* no option: nothing is written to standard error while a model is opened, nor is a kernel chosen */
    bool given_tokens, given_temperature; /* -n, --temperature were on the command line */
};

enum option_kind { OPTION_FLAG, OPTION_STRING, OPTION_INTEGER, OPTION_REAL };

/* Which subcommands take an option: a bit each, in the order of the subcommand table. */
enum {
    FOR_TUI = 1 << 0,
    FOR_BENCH = 1 << 1,
    FOR_EVAL = 1 << 2,
    FOR_INSPECT = 1 << 3,
    FOR_PLAN = 1 << 4,
    FOR_GENERATE = 1 << 5,
    FOR_LOGITS = 1 << 6,
    FOR_TOKENIZE = 1 << 7,
    FOR_ADVISE = 1 << 8,
    FOR_TUNE = 1 << 9,
    FOR_EXPORT = 1 << 10,
    FOR_CALIBRATE = 1 << 11,
    FOR_REPORT = 1 << 12,
    FOR_MACHINE = 1 << 13,
    FOR_ALL = (1 << 14) - 1
};

struct option_info {
    char letter;           /* 0: none */
    const char *name;
    const char *argument;  /* what --help calls it; null for a flag */
    enum option_kind kind;
    size_t offset;         /* into struct options */
    double min, max;    /* of numbers */
    unsigned commands;
    const char *help;
};

extern const struct option_info option_table[];
extern const size_t option_count;

struct subcommand {
    const char *name;      /* "" is the terminal program */
    const char *arguments;
    const char *summary;
    int (*run)(const struct options *options); /* returns the exit status */
};

extern const struct subcommand subcommands[];
extern const size_t subcommand_count;

/* Parses a command line. Returns the subcommand, or null with a usage error. */
const struct subcommand *options_parse(int argc, char **argv, struct options *out,
                                       struct error *error);

/* Writes the help of one subcommand (the terminal program's lists them all). */
void options_help(FILE *out, const struct subcommand *command);

int run_tui(const struct options *options);
int run_bench(const struct options *options);
int run_eval(const struct options *options);
int run_inspect(const struct options *options);
int run_plan(const struct options *options);
int run_generate(const struct options *options);
int run_logits(const struct options *options);
int run_tokenize(const struct options *options);
int run_advise(const struct options *options);
int run_tune(const struct options *options);
int run_export(const struct options *options);
int run_calibrate(const struct options *options);
int run_report(const struct options *options);
int run_machine(const struct options *options);

#endif
