#include "options.h"

#include "base/edit_distance.h"

#include <getopt.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT(member) offsetof(struct options, member)

enum {
    FOR_FILES = FOR_ALL & ~FOR_MACHINE,
    FOR_MODEL = FOR_FILES & ~FOR_TOKENIZE,
    FOR_SCHEME = FOR_MODEL & ~(FOR_PLAN | FOR_ADVISE | FOR_TUNE | FOR_CALIBRATE | FOR_REPORT),
    FOR_KERNELS = FOR_MODEL | FOR_MACHINE
};

const struct option_info option_table[] = {
    {'s', "scheme", "SCHEME", OPTION_STRING, AT(scheme), 0, 0, FOR_SCHEME | FOR_REPORT,
     "scheme of the linear matrices inside blocks, such as int8, int4:g64:asym or w8a8; or a mix for all, such as "
     "q4_k_m; report: measure this one (several times: these) instead of those worth considering"},
    {'r', "recipe", "FILE", OPTION_STRING, AT(recipe), 0, 0, FOR_SCHEME,
     "recipe, a file of PATTERN SCHEME lines and mixes; applied after -s"},
    {0, "synthetic", "SHAPE", OPTION_STRING, AT(synthetic), 0, 0, FOR_MODEL,
     "random weights in this shape instead of MODEL, such as llama2-7b"},
    {0, "reference", "FILE", OPTION_STRING, AT(reference), 0, 0,
     FOR_TUI | FOR_EVAL | FOR_INSPECT | FOR_ADVISE | FOR_TUNE | FOR_REPORT,
     "model file or folder that errors, KL and perplexity are measured against"},
    {0, "against", "FILE", OPTION_STRING, AT(against), 0, 0, FOR_TUI | FOR_EVAL | FOR_INSPECT,
     "another model file or folder of the same shape, to hold side by side with MODEL"},
    {0, "text", "FILE", OPTION_STRING, AT(text), 0, 0,
     FOR_TUI | FOR_EVAL | FOR_LOGITS | FOR_ADVISE | FOR_TUNE | FOR_INSPECT | FOR_REPORT,
     "text that quality is measured on; self: one that the model writes"},
    {0, "inject-outliers", "K:FACTOR", OPTION_STRING, AT(outliers), 0, 0, FOR_SCHEME,
     "activation outliers: scale K channels of every norm up, the weights behind them down"},
    {0, "calibration", "FILE", OPTION_STRING, AT(calibration), 0, 0,
     FOR_SCHEME | FOR_ADVISE | FOR_TUNE | FOR_CALIBRATE | FOR_REPORT,
     "text that methods calibrate on; self: one that the model writes; report: schemes that calibrate are measured, "
     "too"},
    {0, "imatrix", "FILE", OPTION_STRING, AT(imatrix), 0, 0, FOR_SCHEME | FOR_ADVISE | FOR_TUNE | FOR_REPORT,
     "importance matrix of llama.cpp: what columns weigh for the method imatrix"},
    {'z', "tokenizer", "FILE", OPTION_STRING, AT(tokenizer), 0, 0, FOR_FILES,
     "tokenizer file (default: one beside the model)"},
    {'t', "threads", "N", OPTION_INTEGER, AT(threads), 1, 1024, FOR_KERNELS,
     "threads (default: one per usable physical core)"},
    {0, "isa", "NAME", OPTION_STRING, AT(isa), 0, 0, FOR_KERNELS, "instruction set of the kernels"},
    {0, "kv", "DTYPE", OPTION_STRING, AT(kv), 0, 0, FOR_MODEL & ~(FOR_EXPORT | FOR_TUNE | FOR_CALIBRATE),
     "datatype of the KV cache: fp32 (default), fp16, int8, fp8 (fp8e4m3) or fp8e5m2"},
    {'c', "context", "N", OPTION_INTEGER, AT(context), 1, 1 << 28, FOR_MODEL,
     "context in positions (default: the trained one, at most 4096)"},
    {'p', "prompt-tokens", "N", OPTION_INTEGER, AT(prompt_tokens), 1, 1 << 28, FOR_BENCH | FOR_PLAN,
     "tokens of the prompt whose prefill is timed (64); bench: several, such as 64,512, are timed one after the other"},
    {'d', "depth", "N", OPTION_INTEGER, AT(depth), 0, 1 << 28, FOR_BENCH,
     "positions in the KV cache before what is timed (0), or several, such as 0,4096"},
    {0, "batch", "N", OPTION_INTEGER, AT(batch), 1, MAX_SEQUENCES, FOR_BENCH,
     "independent sequences decoded as one batch (1)"},
    {'w', "window", "N", OPTION_INTEGER, AT(window), 2, 1 << 28,
     FOR_TUI | FOR_EVAL | FOR_ADVISE | FOR_TUNE | FOR_CALIBRATE | FOR_REPORT,
     "evaluation window in tokens (default: the context, at most 512)"},
    {0, "protocol", "NAME", OPTION_STRING, AT(protocol), 0, 0,
     FOR_TUI | FOR_EVAL | FOR_ADVISE | FOR_TUNE | FOR_CALIBRATE | FOR_REPORT,
     "how texts are cut and perplexity is scored: full (default) or llamacpp"},
    {'p', "prompt", "TEXT", OPTION_STRING, AT(prompt), 0, 0, FOR_TUI | FOR_GENERATE | FOR_LOGITS,
     "text that the model continues; with --chat what a user says"},
    {0, "chat", NULL, OPTION_FLAG, AT(chat), 0, 0, FOR_GENERATE,
     "ask the model as its chat template says, and let it answer"},
    {0, "system", "TEXT", OPTION_STRING, AT(system), 0, 0, FOR_TUI | FOR_GENERATE,
     "system's text in front of what a user says (default: the template's own, if it has one)"},
    {0, "special", NULL, OPTION_FLAG, AT(special), 0, 0, FOR_GENERATE | FOR_LOGITS | FOR_TOKENIZE,
     "what spells a control token in a text is that token"},
    {'n', "tokens", "N", OPTION_INTEGER, AT(tokens), 1, 1 << 28,
     FOR_GENERATE | FOR_BENCH | FOR_EVAL | FOR_ADVISE | FOR_TUNE | FOR_CALIBRATE | FOR_REPORT,
     "tokens to generate (256), to time per sample (32; bench: or several, such as 32,128), to evaluate on (all of --text; 2048 without it; advise and "
     "report: 2048, fewer where the machine would take long) or to "
     "calibrate on (all of --calibration; 16384 without it)"},
    {0, "seed", "N", OPTION_INTEGER, AT(seed), 0, 9007199254740992.0, FOR_TUI | FOR_GENERATE,
     "seed of the random numbers (1)"},
    {0, "temperature", "T", OPTION_REAL, AT(temperature), 0, 100, FOR_TUI | FOR_GENERATE,
     "sampling temperature (1); 0 takes the most probable token"},
    {0, "top-p", "P", OPTION_REAL, AT(top_p), 0, 1, FOR_TUI | FOR_GENERATE,
     "nucleus sampling: the most probable tokens whose probabilities sum to P (0.9)"},
    {0, "max-size", "SIZE", OPTION_STRING, AT(max_size), 0, 0, FOR_ADVISE | FOR_TUNE | FOR_REPORT,
     "maximum size of all weights in bytes, such as 1.5M or 700000; advise, report: of the file"},
    {0, "max-memory", "SIZE", OPTION_STRING, AT(max_memory), 0, 0, FOR_ADVISE | FOR_REPORT,
     "maximum bytes of all weights and the KV cache of the whole context, such as 4G"},
    {0, "max-bits", "B", OPTION_REAL, AT(max_bits), 1e-3, 64, FOR_TUNE,
     "maximum bits per weight over the linear matrices inside blocks"},
    {0, "min-tokens-per-second", "R", OPTION_REAL, AT(min_rate), 1e-3, 1e9, FOR_ADVISE | FOR_TUNE | FOR_REPORT,
     "minimum decode tokens/s on this machine"},
    {0, "max-kl", "D", OPTION_REAL, AT(max_kl), 1e-12, 1e3, FOR_ADVISE | FOR_TUNE | FOR_REPORT,
     "maximum KL divergence; alone it asks for the smallest size"},
    {0, "for", "WHAT", OPTION_STRING, AT(for_format), 0, 0, FOR_ADVISE | FOR_TUNE | FOR_REPORT,
     "tune: gguf, safetensors (sizes are then those of the file) or memory; default: gguf for a GGUF model, else memory. "
     "advise, report: what counts most, size, speed, quality or balance (default)"},
    {0, "seconds", "S", OPTION_REAL, AT(seconds), 1, 1e7, FOR_TUNE | FOR_REPORT,
     "tune: how long the choice may be made better (default: twice, however long that takes); report: how long the "
     "sensitivity of layers may be measured (60)"},
    {0, "resume", NULL, OPTION_FLAG, AT(resume), 0, 0, FOR_TUNE | FOR_EVAL | FOR_EXPORT,
     "go on from where the same search (tune) or training (qat) was interrupted"},
    {0, "roof", "RATE", OPTION_STRING, AT(roof), 0, 0, FOR_PLAN,
     "read bandwidth of another machine: 2TB/s, 68GB/s, 900e9 or its name, such as h100"},
    {0, "no-run", NULL, OPTION_FLAG, AT(no_run), 0, 0, FOR_PLAN | FOR_INSPECT,
     "quantize nothing and run no scheme: only what can be computed"},
    {0, "alone", NULL, OPTION_FLAG, AT(alone), 0, 0, FOR_INSPECT,
     "also measure sensitivity: KL with only that layer quantized"},
    {0, "fresh", NULL, OPTION_FLAG, AT(fresh), 0, 0, FOR_MACHINE,
     "measure the roofs again instead of using cached ones"},
    {0, "csv", NULL, OPTION_FLAG, AT(csv), 0, 0, FOR_BENCH | FOR_EVAL | FOR_INSPECT | FOR_PLAN | FOR_ADVISE,
     "comma-separated values with a header line on standard output"},
    {0, "vs", "SCHEME", OPTION_STRING, AT(versus), 0, 0, FOR_BENCH,
     "baseline of the comparison, such as fp16 (default: the first -s or -r)"},
    {'o', "output", "FILE", OPTION_STRING, AT(output), 0, 0,
     FOR_LOGITS | FOR_TUNE | FOR_EXPORT | FOR_INSPECT | FOR_CALIBRATE | FOR_REPORT,
     "file to write; inspect: the recipe of what it shows; report: .html or .md"},
    {0, "from", "FILE", OPTION_STRING, AT(from), 0, 0, FOR_REPORT,
     "make the report of what --json of advise, bench, eval, inspect or tune wrote, and measure nothing"},
    {0, "process-output", NULL, OPTION_FLAG, AT(process_output), 0, 0, FOR_CALIBRATE,
     "also the head: output, or the embedding that it is tied to"},
    {0, "format", "NAME", OPTION_STRING, AT(format), 0, 0, FOR_EXPORT | FOR_BENCH,
     "export: gguf, safetensors or gptq (safetensors in GPTQ's layout); default: by the extension of -o FILE. bench: "
     "llama-bench, a JSON object a line with the fields of that program"},
    {0, "allow-overflow", NULL, OPTION_FLAG, AT(allow_overflow), 0, 0, FOR_EXPORT,
     "write the file though numbers overflow its types; without it that is an error"},
    {0, "json", NULL, OPTION_FLAG, AT(json), 0, 0,
     FOR_BENCH | FOR_EVAL | FOR_INSPECT | FOR_PLAN | FOR_ADVISE | FOR_TUNE | FOR_CALIBRATE | FOR_MACHINE,
     "one JSON object a line on standard output"},
    {0, "readonly", NULL, OPTION_FLAG, AT(readonly), 0, 0, FOR_TUI,
     "read-only: keys that change schemes, keep snapshots or write files do nothing"},
    {0, "idle", "SECONDS", OPTION_REAL, AT(idle), 0, 1e7, FOR_TUI,
     "sleep until a key, after so many seconds without one in which nothing was measured (default: never)"},
    {0, "ascii", NULL, OPTION_FLAG, AT(ascii), 0, 0, FOR_TUI, "draw with ASCII characters only"},
    {0, "no-color", NULL, OPTION_FLAG, AT(no_color), 0, 0, FOR_TUI,
     "no colours (as the environment variable NO_COLOR)"},
    {0, "no-mouse", NULL, OPTION_FLAG, AT(no_mouse), 0, 0, FOR_TUI,
     "leave the mouse to the terminal"},
    {'h', "help", NULL, OPTION_FLAG, AT(help), 0, 0, FOR_ALL, "show this help"},
    {'V', "version", NULL, OPTION_FLAG, AT(version), 0, 0, FOR_ALL, "show the version"},
};
const size_t option_count = sizeof option_table / sizeof *option_table;

const struct subcommand subcommands[] = {
    {"", "[OPTIONS] [MODEL]", "open the model in the terminal", run_tui},
    {"bench", "[OPTIONS] [MODEL]", "decode and prefill tokens/s, bytes/token, bandwidth", run_bench},
    {"eval", "[OPTIONS] [MODEL]", "perplexity, KL divergence, top-1 agreement", run_eval},
    {"inspect", "[OPTIONS] [MODEL]", "layers: shape, scheme, bytes, SQNR, max error", run_inspect},
    {"plan", "[OPTIONS] [MODEL]", "size and speed of common schemes, predicted and measured",
     run_plan},
    {"generate", "[OPTIONS] [MODEL]", "text to standard output, speed to standard error",
     run_generate},
    {"logits", "[OPTIONS] [MODEL] -o FILE", "float32 logits, one row of vocabulary a token",
     run_logits},
    {"tokenize", "[OPTIONS] [MODEL]", "standard input to token ids, one a line", run_tokenize},
    {"advise", "[OPTIONS] [MODEL]", "schemes and mixes worth considering here, measured, with a verdict", run_advise},
    {"tune", "[OPTIONS] [MODEL] -o FILE", "search the best scheme of every layer within a budget; writes a recipe",
     run_tune},
    {"export", "[OPTIONS] [MODEL] -o FILE", "the quantized model as a file for other engines", run_export},
    {"calibrate", "[OPTIONS] [MODEL] -o FILE", "an importance matrix of a calibration text, as llama.cpp has it",
     run_calibrate},
    {"report", "[OPTIONS] [MODEL] -o FILE", "an HTML or Markdown file: which scheme to take, and what it costs",
     run_report},
    {"machine", "[OPTIONS]", "caches, NUMA nodes, instruction sets, roofs, and which counters work",
     run_machine},
};
const size_t subcommand_count = sizeof subcommands / sizeof *subcommands;

/* ---- parsing --------------------------------------------------------------------------------- */

/* Where all numbers of an option are kept that may take several; null: one is all. */
static struct lengths *lengths_of(const struct option_info *o, unsigned command, struct options *out)
{
    const struct {
        size_t offset;
        struct lengths *lengths;
    } all[] = {{AT(prompt_tokens), &out->prompts}, {AT(tokens), &out->generated}, {AT(depth), &out->depths}};
    for (size_t i = 0; command == FOR_BENCH && i < sizeof all / sizeof *all; i++)
        if (all[i].offset == o->offset)
            return all[i].lengths;
    return NULL;
}

static bool parse_number(const struct option_info *o, const char *text, double *out,
                         struct error *error)
{
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    bool whole = o->kind != OPTION_INTEGER || v == floor(v);
    if (end == text || *end || errno || !(v >= o->min && v <= o->max) || !whole)
        return error_set(error, "--%s '%.40s': expected %s from %.10g to %.10g", o->name, text,
                         o->kind == OPTION_INTEGER ? "a whole number" : "a number", o->min,
                         o->max);
    *out = v;
    return true;
}

/* Of several, the first is the option's value for who takes one. */
static bool store_integers(const struct option_info *o, const char *text, struct lengths *lengths, long *out,
                           struct error *error)
{
    double number;
    lengths->count = 0;
    for (const char *at = text;; at++) {
        char one[64];
        size_t n = strcspn(at, ",");
        snprintf(one, sizeof one, "%.*s", n < sizeof one ? (int)n : 0, at); /* no number is as long as that */
        if (!parse_number(o, one, &number, error))
            return false;
        if (lengths->count == MAX_LENGTHS)
            return error_set(error, "--%s '%.40s': more than %d numbers", o->name, text, MAX_LENGTHS);
        lengths->values[lengths->count++] = (long)number;
        at += n;
        if (!*at)
            break;
    }
    *out = lengths->values[0];
    return true;
}

static bool store_integer(const struct option_info *o, const char *text, unsigned command, struct options *out,
                          struct error *error)
{
    struct lengths *lengths = lengths_of(o, command, out);
    long *slot = (long *)((char *)out + o->offset);
    double number;
    if (lengths)
        return store_integers(o, text, lengths, slot, error);
    if (!parse_number(o, text, &number, error))
        return false;
    *slot = (long)number;
    return true;
}

static bool store(const struct option_info *o, const char *text, unsigned command, struct options *out,
                  struct error *error)
{
    void *slot = (char *)out + o->offset;
    switch (o->kind) {
    case OPTION_FLAG:
        *(bool *)slot = true;
        return true;
    case OPTION_STRING:
        *(const char **)slot = text;
        return true;
    case OPTION_INTEGER:
        return store_integer(o, text, command, out, error);
    case OPTION_REAL:
        return parse_number(o, text, (double *)slot, error);
    }
    return false;
}

/* Of -s or of -r. */
static bool is_second(const struct option_info *o, const struct options *so_far)
{
    return (o->offset == AT(scheme) && so_far->scheme) || (o->offset == AT(recipe) && so_far->recipe);
}

static bool add_candidate(const struct option_info *o, struct options *out, struct error *error)
{
    bool scheme = o->offset == AT(scheme), recipe = o->offset == AT(recipe);
    if (!scheme && !recipe)
        return true;
    if (out->candidate_count == MAX_CANDIDATES)
        return error_set(error, "more than %d -s and -r", MAX_CANDIDATES);
    out->candidates[out->candidate_count++] =
        (struct candidate){scheme ? out->scheme : NULL, recipe ? out->recipe : NULL};
    return true;
}

static struct options defaults(void)
{
    return (struct options){.seed = 1, .temperature = 1, .top_p = 0.9};
}

/* The tables that getopt_long wants, made from ours. Long options return 256 + index. */
static void getopt_tables(struct option *longs, char *shorts)
{
    *shorts++ = ':';
    for (size_t i = 0; i < option_count; i++) {
        const struct option_info *o = &option_table[i];
        longs[i] = (struct option){o->name, o->argument ? required_argument : no_argument, NULL,
                                   256 + (int)i};
        if (o->letter) {
            *shorts++ = o->letter;
            if (o->argument)
                *shorts++ = ':';
        }
    }
    longs[option_count] = (struct option){0};
    *shorts = 0;
}

/* A letter may stand for an option of some commands and for another one of others. */
static const struct option_info *by_code(int code, unsigned command)
{
    const struct option_info *other = NULL;
    for (size_t i = 0; i < option_count; i++) {
        const struct option_info *o = &option_table[i];
        bool named = code == 256 + (int)i, lettered = o->letter && code == o->letter;
        if (named || (lettered && (o->commands & command)))
            return o;
        if (lettered)
            other = o;
    }
    return other;
}

static bool refuse_option(int code, int bad, const char *word, const char *command,
                          struct error *error)
{
    if (code == ':')
        return error_set(error, "option '%.40s' needs an argument (see qtop %s--help)", word, command);
    if (bad != 0 && bad < 256) /* below 0: a byte that is no ASCII */
        return error_set(error, "unknown option '-%c' (see qtop %s--help)", bad, command);
    return error_set(error, "unknown option '%.40s' (see qtop %s--help)", word, command);
}

static const struct subcommand *find_command(const char *word)
{
    for (size_t i = 1; word && i < subcommand_count; i++)
        if (strcmp(subcommands[i].name, word) == 0)
            return &subcommands[i];
    return &subcommands[0];
}

/* The subcommand that a word may have been meant for: at most two characters away, and not all of them. Null: none. */
static const char *nearest_command(const char *word)
{
    size_t least = strlen(word) > 3 ? 3 : 2;
    const char *nearest = NULL;
    for (size_t i = 1; i < subcommand_count; i++) {
        size_t distance = edit_distance(word, subcommands[i].name);
        if (distance < least) {
            least = distance;
            nearest = subcommands[i].name;
        }
    }
    return nearest;
}

/* Whether the first word, which is no subcommand, may be a model: else what was meant. */
static bool check_word(const char *word, struct error *error)
{
    const char *nearest = access(word, F_OK) == 0 ? NULL : nearest_command(word);
    return !nearest || error_set(error, "'%.40s' is no subcommand, and there is no such file; the nearest subcommand "
                                        "is %s", word, nearest);
}

/* "help [SUBCOMMAND]" is --help, unless a file is called so. */
static bool is_help(int argc, char **argv)
{
    return (argc == 2 || argc == 3) && strcmp(argv[1], "help") == 0 && access("help", F_OK) != 0;
}

static const struct subcommand *parse_help(const char *word, struct options *out, struct error *error)
{
    const struct subcommand *command = find_command(word);
    out->help = true;
    if (!word || *command->name)
        return command;
    const char *nearest = nearest_command(word);
    error_set(error, "help '%.40s': expected a subcommand%s%s (see qtop --help)", word, nearest ? ", such as " : "",
              nearest ? nearest : "");
    return NULL;
}

const struct subcommand *options_parse(int argc, char **argv, struct options *out,
                                       struct error *error)
{
    const struct subcommand *command = find_command(argc > 1 ? argv[1] : NULL);
    unsigned bit = 1u << (command - subcommands);
    struct option longs[sizeof option_table / sizeof *option_table + 1];
    char shorts[128], called[32];
    snprintf(called, sizeof called, "%s%s", command->name, *command->name ? " " : "");
    getopt_tables(longs, shorts);
    *out = defaults();
    out->argc = argc;
    out->argv = argv;
    if (is_help(argc, argv))
        return parse_help(argv[2], out, error);
    if (!*command->name && argc > 1 && *argv[1] != '-' && !check_word(argv[1], error))
        return NULL;
    opterr = 0;
    optind = *command->name ? 2 : 1;
    for (int code; (code = getopt_long(argc, argv, shorts, longs, NULL)) != -1;) {
        const struct option_info *o = by_code(code, bit);
        if (!o)
            return refuse_option(code, optopt, argv[optind - 1], called, error), NULL;
        if (!(o->commands & bit)) {
            error_set(error, "option --%s is not valid for qtop %s(see qtop %s--help)", o->name,
                      called, called);
            return NULL;
        }
        if (!(bit & (FOR_BENCH | FOR_REPORT)) && is_second(o, out)) {
            error_set(error, "option --%s twice: qtop %stakes one (bench and report compare several)", o->name, called);
            return NULL;
        }
        if (!store(o, optarg, bit, out, error))
            return NULL;
        if (!add_candidate(o, out, error))
            return NULL;
        out->given_tokens |= o->offset == AT(tokens);
        out->given_temperature |= o->offset == AT(temperature);
    }
    if (out->json && out->csv) {
        error_set(error, "--json and --csv: expected one of them");
        return NULL;
    }
    if (optind < argc)
        out->model = argv[optind++];
    if (optind < argc && !*command->name && access(out->model, F_OK) != 0) {
        error_set(error, "'%.40s' is neither a subcommand nor a file (see qtop --help)", out->model);
        return NULL;
    }
    if (optind < argc) {
        error_set(error, "'%.40s' after the model; expected one MODEL (see qtop %s--help)",
                  argv[optind], called);
        return NULL;
    }
    return command;
}

/* ---- help ------------------------------------------------------------------------------------ */

/* "-s, --scheme SCHEME" */
static const char *spell_option(const struct option_info *o, char out[64])
{
    char letter[8] = "    ";
    if (o->letter)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(out, 64, "%s--%s%s%s", letter, o->name, o->argument ? " " : "", o->argument ? o->argument : "");
    return out;
}

void options_help(FILE *out, const struct subcommand *command)
{
    bool all = command == &subcommands[0];
    unsigned bit = 1u << (command - subcommands);
    fprintf(out, "usage: qtop %s%s%s\n", command->name, all ? "" : " ", command->arguments);
    fprintf(out, "%s\n", command->summary);
    for (size_t i = 1; all && i < subcommand_count; i++)
        fprintf(out, "%s       qtop %-9s %-26s %s\n", i == 1 ? "\n" : "", subcommands[i].name,
                subcommands[i].arguments, subcommands[i].summary);
    fprintf(out, "\n");
    int width = 0;
    char left[64];
    for (size_t i = 0; i < option_count; i++)
        if (option_table[i].commands & bit) {
            int n = (int)strlen(spell_option(&option_table[i], left));
            width = n > width ? n : width;
        }
    for (size_t i = 0; i < option_count; i++)
        if (option_table[i].commands & bit)
            fprintf(out, "  %-*s  %s\n", width, spell_option(&option_table[i], left), option_table[i].help);
    if (all)
        fprintf(out, "\nWithout MODEL the built-in one is used. Keys are listed by ? inside the program; schemes are "
                     "defined\nin man qtop-schemes, recipes in man qtop-recipe, everything else in man qtop.\n");
}
