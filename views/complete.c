/* What may follow what is typed in the command line: names of actions, and what each takes. */
#include "tui.h"

#include "batch.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* A line that Tab may put in: `before`, which stays, and a word. */
static bool add(struct command_line *c, const char *before, const char *word, const char *what)
{
    if (c->match_count == COMMAND_MATCHES)
        return false;
    struct match *m = &c->matches[c->match_count];
    if ((size_t)snprintf(m->line, sizeof m->line, "%s%s", before, word) >= sizeof m->line)
        return true; /* longer than a line can be */
    snprintf(m->what, sizeof m->what, "%s", what);
    c->match_count++;
    return true;
}

static bool begins(const char *text, const char *with)
{
    return strncasecmp(text, with, strlen(with)) == 0;
}

/* ---- what the arguments of actions may be ---------------------------------------------------------- */

static void list_schemes(struct tui *t)
{
    int *tensors = calloc(schemes_count(t->session->model), sizeof *tensors);
    size_t n = tensors ? rows_chosen(t, tensors) : 0;
    t->choice_count = 0;
    if (n > 0)
        editor_list(t, tensors, n);
    free(tensors);
    t->command.schemes_listed = true;
}

static bool is_listed(const struct command_line *c, const char *before, const char *word)
{
    size_t n = strlen(before);
    for (size_t i = 0; i < c->match_count; i++)
        if (strcmp(c->matches[i].line + n, word) == 0)
            return true;
    return false;
}

enum { FIELD_CHOICES = 40 };

/* What a scheme may become that is typed up to its last / or :, in each of its fields. */
static void add_fields(struct tui *t, const char *before, const char *begin)
{
    const char *slash = strrchr(begin, '/'), *colon = strrchr(begin, ':');
    const char *end = !colon || (slash && slash > colon) ? slash : colon;
    struct scheme choices[FIELD_CHOICES];
    struct scheme_choice typed;
    char text[SCHEME_TEXT];
    int tensor = rows_current_tensor(t);
    snprintf(text, sizeof text, "%.*s", end ? (int)(end - begin) : 0, begin);
    if (!end || tensor < 0 || !scheme_choice_parse(text, &typed, NULL) || typed.mix)
        return;
    for (int change = CHANGE_WEIGHT; change <= CHANGE_METHOD; change++) {
        size_t n = scheme_choices(t->session->model, tensor, &typed.scheme, (enum change)change, choices,
                                  FIELD_CHOICES);
        for (size_t i = 0; i < n; i++)
            if (begins(scheme_print(&choices[i], text), begin) && !is_listed(&t->command, before, text))
                add(&t->command, before, text, "");
    }
}

/* Those of the editor, each once. */
static void add_schemes(struct tui *t, const char *before, const char *begin)
{
    if (!t->command.schemes_listed)
        list_schemes(t);
    for (size_t i = 0; i < t->choice_count; i++) {
        const struct choice *c = &t->choices[i];
        char text[SCHEME_TEXT], what[160];
        if (c->heading || !begins(scheme_choice_print(&c->choice, text), begin) ||
            is_listed(&t->command, before, text))
            continue;
        snprintf(what, sizeof what, "%s%s%s%s%.60s", c->cost, *c->bits ? ", " : "", c->bits,
                 *c->bits ? " bits, exports: " : "", *c->bits ? c->exports : "");
        add(&t->command, before, text, what);
    }
    add_fields(t, before, begin);
}

static int by_line(const void *a, const void *b)
{
    const struct match *x = a, *y = b;
    return strcmp(x->line, y->line);
}

enum { ENTRIES_MOST = 20000 };

/* One of a folder, if it begins so; hidden ones are only named by their dot. */
static bool add_file(struct tui *t, const char *before, const char *path, const char *folder, const char *base,
                     const char *name)
{
    char word[sizeof t->input.text], file[sizeof t->input.text], bytes[16];
    struct stat st;
    bool hidden = *name == '.' && *base != '.', itself = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
    if (hidden || itself || strncmp(name, base, strlen(base)) != 0)
        return true;
    if ((size_t)snprintf(file, sizeof file, "%s%s", folder, name) >= sizeof file || stat(file, &st) != 0)
        return true;
    int kept = (int)(strlen(path) - strlen(base));
    snprintf(word, sizeof word, "%.*s%.255s%s", kept, path, name, S_ISDIR(st.st_mode) ? "/" : "");
    return add(&t->command, before, word, S_ISDIR(st.st_mode) ? "folder" : format_bytes(bytes, (double)st.st_size));
}

static void add_files(struct tui *t, const char *before, const char *begin)
{
    const char *slash = strrchr(begin, '/'), *base = slash ? slash + 1 : begin;
    char folder[sizeof t->input.text];
    snprintf(folder, sizeof folder, "%.*s", (int)(base - begin), begin);
    DIR *d = opendir(*folder ? folder : ".");
    struct dirent *e;
    for (int i = 0; d && i < ENTRIES_MOST && (e = readdir(d)); i++)
        if (!add_file(t, before, begin, folder, base, e->d_name))
            break;
    if (d)
        closedir(d);
    qsort(t->command.matches, t->command.match_count, sizeof *t->command.matches, by_line);
}

/* Of a list of titles, the last one. */
static void add_columns(struct tui *t, const char *before, const char *begin)
{
    const char *blank = strrchr(begin, ' '), *last = blank ? blank + 1 : begin, *title;
    char all[sizeof t->input.text];
    snprintf(all, sizeof all, "%s%.*s", before, (int)(last - begin), begin);
    t->command.argument += (size_t)(last - begin);
    for (int k = 0; (title = layers_column_title(k)); k++)
        if (begins(title, last))
            add(&t->command, all, title, layers_column_shown(t, k) ? "is shown" : "is not shown");
}

static void add_layers(struct tui *t, const char *before, const char *begin)
{
    const struct model *m = t->session->model;
    char shape[64];
    if (views[t->view].finder != &layers_finder || !*begin)
        return;
    for (int i = 0; i < (int)m->tensor_count; i++) {
        snprintf(shape, sizeof shape, "%zux%zu", m->tensors[i].stored.rows, m->tensors[i].stored.cols);
        if (strcasestr(layer_name(m, i), begin) && !add(&t->command, before, layer_name(m, i), shape))
            return;
    }
}

static const struct {
    enum action action;
    void (*list)(struct tui *tui, const char *before, const char *begin);
} arguments[] = {
    {ACTION_EDIT, add_schemes},    {ACTION_EXPORT, add_files},   {ACTION_WRITE, add_files},
    {ACTION_COLUMNS, add_columns}, {ACTION_SEARCH, add_layers}, {ACTION_FILTER, add_layers},
    {ACTION_OPEN, add_files},      {ACTION_STUDY, add_files},   {ACTION_SAVE, add_files},
    {ACTION_REPORT, add_files},
};

/* ---- names ----------------------------------------------------------------------------------------- */

static void add_key(struct tui *t, const struct key_binding *key, const char *name)
{
    char help[HELP_TEXT], what[sizeof t->command.matches->what];
    enum view_id own = key_groups[key->group].view;
    bool other = own != VIEW_COUNT && own != t->view; /* only that screen does it */
    snprintf(what, sizeof what, "%-*.*s  %.100s%s%s", COLS < 60 ? 0 : 6, (int)strcspn(key->shown, " "), key->shown,
             key_help(key, help), other ? ", on " : "", other ? views[own].name : "");
    add(&t->command, "", name, what);
}

/* How near a name is to a word: 0 begins with it, 1 has it, 2 is of a key that is said to do it, 3 is far. */
static int farness(const struct key_binding *key, const char *name, const char *word)
{
    return begins(name, word) ? 0 : strcasestr(name, word) ? 1 : strcasestr(key->help, word) ? 2 : 3;
}

/* The nearest names, all of them where nothing is typed. */
static void add_names(struct tui *t, const char *word)
{
    int far = 3;
    char name[KEY_NAME];
    for (size_t i = 0; i < key_names_count(); i++) {
        const struct key_binding *key = key_name_at(i, name);
        int f = farness(key, name, word);
        far = f < far ? f : far;
    }
    for (size_t i = 0; far < 3 && i < key_names_count(); i++) {
        const struct key_binding *key = key_name_at(i, name);
        if (farness(key, name, word) == far)
            add_key(t, key, name);
    }
}

void complete_line(struct tui *t, const char *line)
{
    struct command_line *c = &t->command;
    char word[KEY_NAME], before[sizeof t->input.text];
    line += strspn(line, " :");
    size_t n = strcspn(line, " "), gap = strspn(line + n, " ");
    c->match_count = c->argument = 0;
    snprintf(word, sizeof word, "%.*s", (int)(n < KEY_NAME ? n : KEY_NAME - 1), line);
    if (gap == 0) {
        add_names(t, word);
    } else {
        const struct key_binding *key = key_named(word);
        snprintf(before, sizeof before, "%.*s", (int)(n + gap), line);
        c->argument = n + gap;
        for (size_t i = 0; key && i < sizeof arguments / sizeof *arguments; i++)
            if (arguments[i].action == key->action)
                arguments[i].list(t, before, line + n + gap);
    }
    c->chosen = c->match_count;
}
