/* mangen - fills what the program's tables say into the man pages and other texts:
 * mangen <man/qtop.1.in >man/qtop.1, and the other pages likewise; mangen names <README.md and
 * mangen table <docs/architectures.md, between whose marks it replaces the table of architectures. */
#include "measure/known_roofs.h"
#include "model/arch.h"
#include "model/synthetic.h"
#include "quant/mixes.h"
#include "tokenizer/chat_family.h"
#include "views/figures.h"
#include "views/keys.h"
#include "views/options.h"

#include <string.h>

/* mdoc would take a word of its own name, or a leading dot or quote, for a request, and some signs for delimiters. */
static void put_text(const char *text)
{
    if (*text && strchr(".':;,?!", *text))
        printf("\\&");
    for (; *text; text++) {
        if (*text == '\\')
            printf("\\e");
        else if (*text == '-')
            printf("\\-");
        else
            putchar(*text);
    }
}

static void put_option(const struct option_info *o)
{
    printf(".It ");
    if (o->letter)
        printf("Fl %c%s", o->letter, o->argument ? "" : " , ");
    if (o->letter && o->argument)
        printf(" Ar %s , ", o->argument);
    printf("Fl \\-%s", o->name);
    if (o->argument)
        printf(" Ar %s", o->argument);
    printf("\n");
    put_text(o->help);
    printf(".\n");
    if (o->commands == FOR_ALL)
        return;
    printf("Valid for");
    for (size_t i = 0, n = 0; i < subcommand_count; i++)
        if (o->commands & 1u << i)
            printf("%s %s", n++ ? "," : "", i == 0 ? "the terminal program" : subcommands[i].name);
    printf(".\n");
}

static void put_options(void)
{
    printf(".Bl -tag -width Ds\n");
    for (size_t i = 0; i < option_count; i++)
        put_option(&option_table[i]);
    printf(".El\n");
}

static void put_subcommands(void)
{
    printf(".Bl -tag -width generate\n");
    for (size_t i = 1; i < subcommand_count; i++) {
        printf(".It Cm %s\n", subcommands[i].name);
        put_text(subcommands[i].summary);
        printf(".\n");
    }
    printf(".El\n");
}

static void put_shapes(void)
{
    printf(".Bl -tag -width tinyllama-1.1b\n");
    for (size_t i = 0; i < shape_count; i++) {
        printf(".It Cm %s\n", shapes[i].name);
        put_text(shapes[i].description);
        printf(".\n");
    }
    printf(".El\n");
}

/* In one sentence. */
static void put_mixes(void)
{
    size_t n = 0;
    while (mix_at(n))
        n++;
    for (size_t i = 0; i < n; i++)
        printf("%s.Cm %s%s", i + 1 == n ? "and\n" : "", mix_name(mix_at(i)), i + 1 == n ? " .\n" : i + 2 == n ? "\n" : " ,\n");
}

static void put_roofs(void)
{
    printf(".Bl -tag -width ddr5-5600\n");
    for (size_t i = 0; i < known_roof_count; i++) {
        printf(".It Cm ");
        put_text(known_roofs[i].name);
        printf("\n");
        put_text(known_roofs[i].description);
        printf(".\n");
    }
    printf(".El\n");
}

static void put_keys(void)
{
    char help[HELP_TEXT], name[KEY_NAME];
    for (int g = 0; g < KEY_GROUPS; g++) {
        printf(".Ss %s\n.Bl -tag -width Shift-Tab\n", key_groups[g].title);
        for (size_t i = 0; i < key_count; i++) {
            if ((int)key_table[i].group != g)
                continue;
            printf(".It Ic \"");
            put_text(key_table[i].shown);
            printf("\"\n");
            put_text(key_help(&key_table[i], help));
            printf("\n.Pq Ic :");
            put_text(key_word(&key_table[i], name));
            printf(" .\n");
        }
        printf(".El\n");
    }
}

/* A sentence a line. */
static void put_sentences(const char *text)
{
    char line[1024];
    while (*text) {
        const char *end = strstr(text, ". ");
        size_t n = end ? (size_t)(end - text) + 1 : strlen(text);
        snprintf(line, sizeof line, "%.*s", (int)n, text);
        put_text(line);
        putchar('\n');
        text += end ? n + 1 : n;
    }
}

static void put_numbers(void)
{
    printf(".Bl -tag -width Ds\n");
    for (size_t i = 0; i < figure_count; i++) {
        printf(".It ");
        put_text(figures[i].name);
        printf("\n");
        put_sentences(figures[i].text);
    }
    printf(".El\n");
}

/* A family a line, in one paragraph. */
static void put_chats(void)
{
    for (const struct chat_family *f = chat_families; f->name; f++) {
        put_text(f->name);
        printf(f[1].name ? ",\n" : ".\n");
    }
}

/* ---- architectures --------------------------------------------------------------------------- */

/* The files that hold models of one. */
static const char *files_of(const struct arch *a, char out[120])
{
    if (a->in_gguf)
        snprintf(out, 120, "folder; GGUF files of it say `%s`", a->in_gguf->gguf);
    else
        snprintf(out, 120, "%s%s%s", a->gguf ? "GGUF" : "", a->gguf && a->hf ? ", " : "", a->hf ? "folder" : "");
    return out;
}

static void put_architectures(void)
{
    printf(".Bl -tag -width ministral\n");
    for (size_t i = 0; archs[i]; i++) {
        printf(".It %s\n", archs[i]->name);
        put_text(archs[i]->title);
        printf(": ");
        put_text(archs[i]->features);
        printf(".\n");
    }
    printf(".El\n");
}

/* A row each. */
static void put_table(void)
{
    char files[120];
    printf("| architecture | in | features |\n|---|---|---|\n");
    for (size_t i = 0; archs[i]; i++)
        printf("| %s | %s | %s |\n", archs[i]->title, files_of(archs[i], files), archs[i]->features);
}

/* How GGUF files know an architecture. */
enum in_gguf { BY_NAME, AS_ANOTHER, NOT_AT_ALL };

static enum in_gguf in_gguf(const struct arch *a)
{
    return a->in_gguf ? AS_ANOTHER : a->gguf ? BY_NAME : NOT_AT_ALL;
}

static void put_names(enum in_gguf how)
{
    for (size_t i = 0, n = 0; archs[i]; i++)
        if (in_gguf(archs[i]) == how)
            printf("%s%s", n++ ? ", " : "", archs[i]->title);
}

static void put_short_table(void)
{
    static const char *const rows[] = {"GGUF, folder", "folder; GGUF files of them say another name", "folder"};
    printf("| in | architectures |\n|---|---|\n");
    for (enum in_gguf how = BY_NAME; how <= NOT_AT_ALL; how++) {
        printf("| %s | ", rows[how]);
        put_names(how);
        printf(" |\n");
    }
}

/* Copies a text, with a new table between its marks. */
static int fill_marks(void (*put)(void))
{
    static const char begin[] = "<!-- architectures: make man -->\n", end[] = "<!-- end of architectures -->\n";
    char line[16384];
    bool inside = false;
    while (fgets(line, sizeof line, stdin)) {
        inside = inside && strcmp(line, end) != 0;
        if (!inside)
            fputs(line, stdout);
        if (strcmp(line, begin) == 0) {
            put();
            inside = true;
        }
    }
    return ferror(stdin) || fflush(stdout) != 0;
}

static int fill_page(void)
{
    char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "@OPTIONS@\n") == 0)
            put_options();
        else if (strcmp(line, "@SUBCOMMANDS@\n") == 0)
            put_subcommands();
        else if (strcmp(line, "@SHAPES@\n") == 0)
            put_shapes();
        else if (strcmp(line, "@ROOFS@\n") == 0)
            put_roofs();
        else if (strcmp(line, "@MIXES@\n") == 0)
            put_mixes();
        else if (strcmp(line, "@ARCHITECTURES@\n") == 0)
            put_architectures();
        else if (strcmp(line, "@CHATS@\n") == 0)
            put_chats();
        else if (strcmp(line, "@NUMBERS@\n") == 0)
            put_numbers();
        else if (strcmp(line, "@KEYS@\n") == 0)
            put_keys();
        else
            fputs(line, stdout);
    }
    return ferror(stdin) || fflush(stdout) != 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "names") == 0)
        return fill_marks(put_short_table);
    return strcmp(what, "table") == 0 ? fill_marks(put_table) : fill_page();
}
