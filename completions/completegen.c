/* completegen - fills what the program's tables say into the completions of a shell:
 * completegen <completions/qtop.bash.in >completions/bash/qtop, and so on. A mark is @NAME@. */
#include "export/tuning.h"
#include "kernels/dispatch.h"
#include "kernels/encode.h"
#include "kernels/kv.h"
#include "measure/known_roofs.h"
#include "measure/quality.h"
#include "model/synthetic.h"
#include "quant/mixes.h"
#include "session/session.h"
#include "views/options.h"

#include <stdlib.h>
#include <string.h>

/* ---- what an option's argument may be -------------------------------------------------------- */

/* The i-th word; null past the last. */
typedef const char *word_fn(size_t i);

enum { WORDS = 256, WORD_TEXT = 32 };

/* Whether a mix is of a type that weights cannot be quantized to. */
static bool is_refused(const struct mix *mix)
{
    enum dtype type = dtype_stored_by_name(mix_name(mix), strlen(mix_name(mix)));
    return type != DTYPE_ALL && !can_encode(type);
}

/* What begins a scheme, and the mixes. */
static size_t collect_schemes(char words[WORDS][WORD_TEXT])
{
    size_t n = 0;
    snprintf(words[n++], WORD_TEXT, "stored");
    for (int t = 0; t < DTYPE_ALL; t++)
        if (t < DTYPE_COUNT || can_encode((enum dtype)t))
            snprintf(words[n++], WORD_TEXT, "%s", dtypes[t].name);
    for (size_t i = 0; scheme_alias(i); i++)
        snprintf(words[n++], WORD_TEXT, "%s", scheme_alias(i));
    for (size_t i = 0; mix_at(i) && n < WORDS; i++) {
        struct scheme_choice choice;
        struct error error;
        if (is_refused(mix_at(i)))
            continue;
        bool plain = scheme_choice_parse(mix_name(mix_at(i)), &choice, &error) && choice.mix == mix_at(i);
        snprintf(words[n++], WORD_TEXT, "%s%s", plain ? "" : "@", mix_name(mix_at(i)));
    }
    return n;
}

static const char *scheme_word(size_t i)
{
    static char words[WORDS][WORD_TEXT];
    static size_t n;
    if (n == 0)
        n = collect_schemes(words);
    return i < n ? words[i] : NULL;
}

/* What stands between the later colons of a scheme: usual groups, symmetries, methods. */
static const char *field_word(size_t i)
{
    static const char *const fields[] = {"tensor", "channel", "g32", "g64", "g128", "sym", "asym", "rtn"};
    enum { FIELDS = sizeof fields / sizeof *fields };
    if (i < FIELDS)
        return fields[i];
    return method_table[i - FIELDS] ? method_table[i - FIELDS]->name : NULL;
}

/* Of every processor family: the completions are the same for all. */
static const char *isa_word(size_t i)
{
    static const char *const names[] = {"c", "avx2", "avxvnni", "avx512", "neon", NULL};
    for (size_t have = 0; isa_at(have); have++) {
        size_t k = 0;
        while (names[k] && strcmp(names[k], isa_at(have)->name) != 0)
            k++;
        if (!names[k]) {
            fprintf(stderr, "completegen: isa_word lacks %s\n", isa_at(have)->name);
            exit(1);
        }
    }
    return names[i];
}

static const char *kv_word(size_t i)
{
    return kv_dtypes[i] == DTYPE_COUNT ? NULL : dtypes[kv_dtypes[i]].name;
}

static const char *protocol_word(size_t i)
{
    return i < PROTOCOL_COUNT ? protocol_name((enum protocol)i) : NULL;
}

static const char *shape_word(size_t i)
{
    return i < shape_count ? shapes[i].name : NULL;
}

static const char *roof_word(size_t i)
{
    return i < known_roof_count ? known_roofs[i].name : NULL;
}

/* The formats that a search can be for: those that mix schemes, and memory. */
static const char *for_word(size_t i)
{
    struct budget budget;
    struct error error;
    for (size_t k = 0; export_format_name(k); k++)
        if (export_budget_for(export_format_name(k), &budget, &error) && i-- == 0)
            return export_format_name(k);
    return i == 0 ? "memory" : NULL;
}

static const char *text_word(size_t i)
{
    return i == 0 ? TEXT_SELF : NULL;
}

enum files { NO_FILE, ANY_FILE, MODEL_FILE };

struct argument {
    const char *option;
    word_fn *word; /* null: none is known */
    enum files files;
};

static const char *format_word(size_t i)
{
    size_t exports = 0;
    while (export_format_name(exports))
        exports++;
    return i < exports ? export_format_name(i) : i == exports ? "llama-bench" : NULL;
}

/* An option that is not here takes any file where its argument is called FILE, else what nobody can complete. */
static const struct argument arguments[] = {
    {"scheme", scheme_word, NO_FILE},    {"vs", scheme_word, NO_FILE},      {"synthetic", shape_word, NO_FILE},
    {"isa", isa_word, NO_FILE},          {"kv", kv_word, NO_FILE},          {"protocol", protocol_word, NO_FILE},
    {"roof", roof_word, NO_FILE},        {"for", for_word, NO_FILE},        {"format", format_word, NO_FILE},
    {"reference", NULL, MODEL_FILE},     {"text", text_word, ANY_FILE},     {"calibration", text_word, ANY_FILE},
    {"against", NULL, MODEL_FILE},
};

static struct argument argument_of(const struct option_info *o)
{
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++)
        if (strcmp(arguments[i].option, o->name) == 0)
            return arguments[i];
    return (struct argument){o->name, NULL, strcmp(o->argument, "FILE") == 0 ? ANY_FILE : NO_FILE};
}

static bool is_scheme(const struct argument *a)
{
    return a->word == scheme_word;
}

/* ---- lists ------------------------------------------------------------------------------------- */

static void put_words(word_fn *word, const char *between)
{
    for (size_t i = 0; word(i); i++)
        printf("%s%s", i ? between : "", word(i));
}

static const char *command_word(size_t i)
{
    return i + 1 < subcommand_count ? subcommands[i + 1].name : NULL;
}

/* The subcommands that take no model. */
static const char *modelless_word(size_t i)
{
    for (size_t k = 1; k < subcommand_count; k++)
        if (!strstr(subcommands[k].arguments, "MODEL") && i-- == 0)
            return subcommands[k].name;
    return NULL;
}

static const char *ending_word(size_t i)
{
    static const char *const endings[] = {"gguf", "safetensors", "bin", "index.json", NULL};
    return endings[i];
}

/* The subcommands that take an option. */
static void put_takers(const struct option_info *o, const char *between)
{
    for (size_t i = 0, n = 0; i < subcommand_count; i++)
        if (o->commands & 1u << i)
            printf("%s%s", n++ ? between : "", i == 0 ? "terminal" : subcommands[i].name);
}

/* Within single quotes; where `brackets`, within zsh's square brackets, too. */
static void put_quoted(const char *text, const char *quote, bool brackets)
{
    for (; *text; text++)
        if (*text == '\'')
            fputs(quote, stdout);
        else
            printf("%s%c", brackets && strchr("[]", *text) ? "\\" : "", *text);
}

/* ---- bash ------------------------------------------------------------------------------------ */

/* A case for each subcommand: its options. */
static void put_bash_options(void)
{
    for (size_t c = 0; c < subcommand_count; c++) {
        printf("    %s) echo \"", c ? subcommands[c].name : "\"\"");
        for (size_t i = 0, n = 0; i < option_count; i++)
            if (option_table[i].commands & 1u << c)
                printf("%s--%s", n++ ? " " : "", option_table[i].name);
        printf("\" ;;\n");
    }
}

/* A case for each option with an argument: words, and FILE or MODEL for those. */
static void put_bash_arguments(void)
{
    static const char *const of_files[] = {[NO_FILE] = "", [ANY_FILE] = "FILE", [MODEL_FILE] = "MODEL"};
    for (size_t i = 0; i < option_count; i++) {
        const struct option_info *o = &option_table[i];
        if (!o->argument)
            continue;
        struct argument a = argument_of(o);
        printf("    ");
        if (o->letter)
            printf("-%c | ", o->letter);
        printf("--%s) echo \"%s", o->name, is_scheme(&a) ? "SCHEME" : of_files[a.files]);
        if (a.word && !is_scheme(&a)) {
            printf("%s", a.files == NO_FILE ? "" : " ");
            put_words(a.word, " ");
        }
        printf("\" ;;\n");
    }
}

/* ---- zsh --------------------------------------------------------------------------------------- */

static void put_zsh_action(const struct argument *a)
{
    if (is_scheme(a))
        printf("_qtop_scheme");
    else if (a->files == MODEL_FILE)
        printf("_qtop_model");
    else if (a->word) {
        printf("{ compadd -- ");
        put_words(a->word, " ");
        printf("%s }", a->files == ANY_FILE ? "; _files" : "");
    } else
        printf("%s", a->files == ANY_FILE ? "_files" : " ");
}

static void put_zsh_options(void)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option_info *o = &option_table[i];
        printf("    [[ $command == (");
        put_takers(o, "|");
        printf(") ]] && options+=('*'");
        const char *sign = o->argument ? "=" : "", *short_sign = o->argument ? "+" : "";
        if (o->letter)
            printf("{-%c%s,--%s%s}", o->letter, short_sign, o->name, sign);
        else
            printf("--%s%s", o->name, sign);
        printf("'[");
        put_quoted(o->help, "'\\''", true);
        printf("]");
        if (o->argument) {
            struct argument a = argument_of(o);
            printf(":%s:", strcmp(o->argument, "K:FACTOR") == 0 ? "K\\:FACTOR" : o->argument);
            put_zsh_action(&a);
        }
        printf("')\n");
    }
}

static void put_zsh_commands(void)
{
    for (size_t i = 1; i < subcommand_count; i++) {
        printf("    '%s:", subcommands[i].name);
        put_quoted(subcommands[i].summary, "'\\''", false);
        printf("'\n");
    }
}

/* ---- fish ------------------------------------------------------------------------------------ */

static void put_fish_argument(const struct option_info *o)
{
    struct argument a = argument_of(o);
    if (is_scheme(&a))
        printf(" -x -ka '(__qtop_schemes)'");
    else if (a.files == MODEL_FILE)
        printf(" -x -ka '(__qtop_models)'");
    else {
        printf(a.files == ANY_FILE ? " -r -F" : " -x");
        if (a.word) {
            printf(" -ka '");
            put_words(a.word, " ");
            printf("'");
        }
    }
}

static void put_fish_options(void)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option_info *o = &option_table[i];
        printf("complete -c qtop -n '__qtop_is ");
        put_takers(o, " ");
        printf("'");
        if (o->letter)
            printf(" -s %c", o->letter);
        printf(" -l %s", o->name);
        if (o->argument)
            put_fish_argument(o);
        printf(" -d '");
        put_quoted(o->help, "\\'", false);
        printf("'\n");
    }
}

static void put_fish_commands(void)
{
    for (size_t i = 1; i < subcommand_count; i++) {
        printf("complete -c qtop -n __qtop_first -a %s -d '", subcommands[i].name);
        put_quoted(subcommands[i].summary, "\\'", false);
        printf("'\n");
    }
}

/* ---- templates ------------------------------------------------------------------------------- */

/* Words with something between them; or whole lines in place of the mark's. */
static const struct mark {
    const char *name;
    word_fn *word;
    const char *between;
    void (*put_lines)(void);
} marks[] = {
    {"COMMANDS", command_word, "|", NULL},
    {"COMMAND_WORDS", command_word, " ", NULL},
    {"MODELLESS", modelless_word, "|", NULL},
    {"MODELLESS_WORDS", modelless_word, " ", NULL},
    {"SCHEMES", scheme_word, " ", NULL},
    {"FIELDS", field_word, " ", NULL},
    {"ENDINGS", ending_word, "|", NULL},
    {"DOTTED_ENDINGS", ending_word, " .", NULL},
    {"BASH_OPTIONS", NULL, NULL, put_bash_options},
    {"BASH_ARGUMENTS", NULL, NULL, put_bash_arguments},
    {"ZSH_OPTIONS", NULL, NULL, put_zsh_options},
    {"ZSH_COMMANDS", NULL, NULL, put_zsh_commands},
    {"FISH_OPTIONS", NULL, NULL, put_fish_options},
    {"FISH_COMMANDS", NULL, NULL, put_fish_commands},
};

/* The mark that text begins with, or null. */
static const struct mark *mark_at(const char *text)
{
    for (size_t i = 0; *text == '@' && i < sizeof marks / sizeof *marks; i++) {
        size_t n = strlen(marks[i].name);
        if (strncmp(text + 1, marks[i].name, n) == 0 && text[n + 1] == '@')
            return &marks[i];
    }
    return NULL;
}

static void put_line(const char *line)
{
    while (*line) {
        const struct mark *mark = mark_at(line);
        if (!mark)
            putchar(*line);
        else if (mark->word)
            put_words(mark->word, mark->between);
        else
            mark->put_lines();
        line += !mark ? 1 : strlen(mark->name) + (mark->word ? 2 : 3);
    }
}

int main(void)
{
    char line[4096];
    while (fgets(line, sizeof line, stdin))
        put_line(line);
    return ferror(stdin) || fflush(stdout) != 0;
}
