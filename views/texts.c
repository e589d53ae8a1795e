#include "texts.h"

#include "base/escape.h"
#include "base/special.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Two halves of one kind of text: what a model is judged on is nothing that a method has seen. */
struct default_text {
    const char *name;
    const char *files[TEXT_USES];
};

static const struct default_text stories = {"stories", {"stories-heldout.txt", "stories-calibration.txt"}};
static const struct default_text mixed = {"mixed text", {"mixed-quality.txt", "mixed-calibration.txt"}};

/* PREFIX/share/qtop of the program PREFIX/bin/qtop, wherever it was moved. Null where that cannot be known. */
static const char *data_beside_program(char out[PATH_MAX])
{
    static const char below[] = "/share/qtop";
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - sizeof below);
    if (n <= 0 || n == PATH_MAX - (ssize_t)sizeof below)
        return NULL;
    out[n] = 0;
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(out, '/');
        if (!slash)
            return NULL;
        *slash = 0;
    }
    return strcat(out, below);
}

char *data_file(const char *name)
{
    char beside[PATH_MAX], *path;
    const char *const folders[] = {getenv("QTOP_DATA"), data_beside_program(beside), PKGDATADIR, SRCDATADIR};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        if (!folders[i])
            continue;
        if (asprintf(&path, "%s/%s", folders[i], name) < 0)
            break;
        if (access(path, R_OK) == 0)
            return path;
        free(path);
    }
    return NULL;
}

static bool same_pieces(const struct tokenizer *a, const struct tokenizer *b)
{
    size_t n = tokenizer_vocab(a);
    bool same = n == tokenizer_vocab(b);
    for (size_t i = 0; same && i < n; i++) {
        size_t x, y;
        char one[1], other[1];
        const char *p = tokenizer_piece(a, TOKEN_ALONE, (int32_t)i, &x, one);
        const char *q = tokenizer_piece(b, TOKEN_ALONE, (int32_t)i, &y, other);
        same = x == y && memcmp(p, q, x) == 0;
    }
    return same;
}

/* Whether a model reads what the built-in one reads: it is that one, or was made of it, in another file. */
static bool reads_stories(const struct tokenizer *t)
{
    struct error error;
    char *path = data_file("tokenizer.bin");
    struct tokenizer *builtin = path ? tokenizer_open(path, &error) : NULL;
    bool same = builtin && same_pieces(t, builtin);
    tokenizer_close(builtin);
    free(path);
    return same;
}

const char *shown(char out[SHOWN_TEXT], const char *text)
{
    escape_text(out, SHOWN_TEXT, text, strlen(text));
    return out;
}

void name_file(const char *path, char *name, size_t size)
{
    size_t end = strlen(path), begin;
    while (end > 1 && path[end - 1] == '/')
        end--;
    for (begin = end; begin > 0 && path[begin - 1] != '/';)
        begin--;
    escape_text(name, size, path + begin, end - begin);
}

static void name_text(const char *path, char name[TEXT_NAME])
{
    if (strcmp(path, "-") == 0)
        snprintf(name, TEXT_NAME, "standard input");
    else
        name_file(path, name, TEXT_NAME);
}

static void choose_default(struct text_choice *c, const struct session *s, enum text_use use)
{
    const struct default_text *text = s->tokenizer && reads_stories(s->tokenizer) ? &stories : &mixed;
    c->is_default = true;
    c->path = s->tokenizer ? data_file(text->files[use]) : NULL;
    snprintf(c->name, sizeof c->name, "%s", c->path ? text->name : TEXT_SELF);
}

bool text_choose(struct text_choice *c, const struct session *s, const char *option, enum text_use use,
                 struct error *error)
{
    *c = (struct text_choice){.name = TEXT_SELF};
    if (!option)
        choose_default(c, s, use);
    if (!option || strcmp(option, TEXT_SELF) == 0)
        return true;
    name_text(option, c->name);
    c->path = strdup(option);
    return c->path || error_set(error, "not enough memory");
}

void text_choice_free(struct text_choice *c)
{
    free(c->path);
    *c = (struct text_choice){0};
}

/* ---- reading ----------------------------------------------------------------------------------- */

enum { MAX_TEXT = 256 << 20 }; /* bytes */

/* One that nobody writes to: then nothing was read. */
static bool is_fifo(FILE *f)
{
    struct stat st;
    return f && f != stdin && fstat(fileno(f), &st) == 0 && S_ISFIFO(st.st_mode);
}

char *read_text(const char *path, size_t *n, struct error *error)
{
    char name[SHOWN_TEXT];
    FILE *f = strcmp(path, "-") == 0 ? stdin : special_open(path, O_RDONLY, "r");
    bool fifo = is_fifo(f);
    size_t used = 0, room = 1 << 16;
    char *text = f ? malloc(room) : NULL;
    while (text && !feof(f) && !ferror(f) && used <= MAX_TEXT) {
        used += fread(text + used, 1, room - used, f);
        if (used < room)
            continue;
        char *more = realloc(text, room *= 2);
        if (!more)
            free(text);
        text = more;
    }
    fifo = fifo && used == 0;
    bool ok = f && text && !ferror(f) && used <= MAX_TEXT && !fifo;
    if (!ok) {
        if (used > MAX_TEXT)
            error_set(error, "%s: more than %d MiB of text; expected less", shown(name, path), MAX_TEXT >> 20);
        else if (fifo)
            error_set(error, "%s: a FIFO that nobody writes to; expected text", shown(name, path));
        else
            error_set(error, "%s: cannot be read: %s", shown(name, path), strerror(errno));
        free(text);
        text = NULL;
    }
    if (f && f != stdin)
        fclose(f);
    *n = used;
    return text;
}

/* The first byte that begins no character; n where there is none. */
static size_t first_invalid(const char *text, size_t n)
{
    size_t at = 0, length;
    uint32_t c;
    bool cut;
    while (at < n && (length = utf8_read(text + at, n - at, &c, &cut)) > 0)
        at += length;
    return at;
}

char *read_study_text(const char *path, size_t *n, struct error *error)
{
    char name[SHOWN_TEXT];
    char *text = read_text(path, n, error);
    size_t at = text ? first_invalid(text, *n) : 0;
    if (text && *n > 0 && at == *n)
        return text;
    if (text && *n == 0)
        error_set(error, "%s: the text is empty", shown(name, path));
    else if (text)
        error_set(error, "%s: byte %zu is 0x%02x; expected text in UTF-8", shown(name, path), at,
                  (unsigned)(unsigned char)text[at]);
    free(text);
    return NULL;
}

/* Token ids written as numbers between spaces; false when anything else is among them. */
static bool read_ids(const char *text, size_t n, size_t vocab, struct tokens *out)
{
    size_t before = out->count;
    for (size_t i = 0; i < n;) {
        size_t id = 0, digits = 0;
        for (; i < n && text[i] >= '0' && text[i] <= '9' && digits < 9; i++, digits++)
            id = 10 * id + (size_t)(text[i] - '0');
        bool ends = i == n || text[i] == ' ' || text[i] == '\n';
        if (!ends || (digits > 0 && (id >= vocab || !tokens_add(out, (int32_t)id)))) {
            out->count = before;
            return false;
        }
        i++;
    }
    return out->count > before;
}

bool tokenize_text(const struct session *s, const char *text, size_t n, bool special, struct tokens *out,
                   struct error *error)
{
    if (!s->tokenizer && read_ids(text, n, s->model->hyper.vocab, out))
        return true;
    if (!s->tokenizer)
        return error_set(error, "no tokenizer: %.400s", s->tokenizer_error.text);
    struct text_part part = {.text = text, .size = n, .special = special};
    return tokenizer_encode_parts(s->tokenizer, &part, 1, out, error);
}

bool text_choice_read(const struct session *s, const struct text_choice *c, struct tokens *out, struct error *error)
{
    size_t n;
    char *text = c->path ? read_study_text(c->path, &n, error) : NULL;
    bool ok = !c->path || (text && tokenize_text(s, text, n, false, out, error));
    free(text);
    return ok;
}
