#include "tune_state.h"

#include "base/output.h"
#include "formats/mapped.h"
#include "kernels/dispatch.h"
#include "sys/pool.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD "qtop tune 1 %016" PRIx64 " %zu %zu %zu\n" /* digest, layers, schemes on offer, schemes measured */

/* ---- whose it is ------------------------------------------------------------------------------ */

/* FNV-1a, 64 bits. */
static uint64_t add(uint64_t hash, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3u;
    return hash;
}

static uint64_t add_number(uint64_t hash, uint64_t number)
{
    return add(hash, &number, sizeof number);
}

static uint64_t add_text(uint64_t hash, const char *text)
{
    return add(hash, text, strlen(text) + 1);
}

/* Its file by size and time, its tensors by name and shape. */
static uint64_t add_model(uint64_t hash, const struct model *m)
{
    struct stat st;
    if (m->path && stat(m->path, &st) == 0) {
        hash = add_number(hash, (uint64_t)st.st_size);
        hash = add_number(hash, (uint64_t)st.st_mtim.tv_sec);
        hash = add_number(hash, (uint64_t)st.st_mtim.tv_nsec);
    }
    for (size_t i = 0; i < m->tensor_count; i++) {
        const struct qmatrix *q = &m->tensors[i].stored;
        hash = add_text(hash, m->tensors[i].name);
        hash = add_number(add_number(add_number(hash, q->rows), q->cols), q->bytes);
    }
    return hash;
}

/* All that what is measured depends on: the model, both texts, the schemes on offer, and what layers are timed with. */
static uint64_t digest(const struct tune_plan *plan)
{
    uint64_t hash = add_model(0xcbf29ce484222325u, plan->model);
    hash = add(hash, plan->search, plan->search_count * sizeof *plan->search);
    hash = add(hash, plan->text->tokens, plan->text->count * sizeof *plan->text->tokens);
    hash = add_number(add_number(hash, plan->text->window), plan->context);
    hash = add_number(add_number(hash, plan->kv), (uint64_t)plan->verify.bos);
    hash = add_number(add_text(hash, plan->budget.format), plan->budget.max_bits > 0);
    return add_text(add_number(hash, (uint64_t)pool_threads(plan->pool)), isa_current()->name);
}

char *tune_state_path(const struct tune_plan *plan, struct error *error)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    bool given = state && *state == '/';
    char *path = NULL;
    if (!given && (!home || *home != '/'))
        error_set(error, "neither XDG_STATE_HOME nor HOME names a folder for what a search has measured");
    else if (asprintf(&path, "%s%s/qtop/tune-%016" PRIx64, given ? state : home, given ? "" : "/.local/state",
                      digest(plan)) < 0)
        error_set(error, "not enough memory");
    return path;
}

/* ---- the file --------------------------------------------------------------------------------- */

static bool write_table(FILE *f, const struct tune_table *t, uint64_t hash)
{
    fprintf(f, HEAD, hash, t->items, t->candidates, t->measured);
    for (size_t c = 0; c < t->measured; c++) {
        fprintf(f, "%a\n", t->total_seconds[c]);
        for (size_t i = 0; i < t->items; i++) {
            size_t at = i * t->candidates + c;
            fprintf(f, "%a %a %a\n", t->bytes[at], t->seconds[at], t->loss[at]);
        }
    }
    return !ferror(f);
}

bool tune_state_save(const char *path, struct tune *job, const struct tune_plan *plan, struct error *error)
{
    struct output out;
    struct tune_table table = tune_table(job);
    output_make_folders(path);
    if (!output_open(&out, path, error))
        return false;
    bool ok = write_table(out.file, &table, digest(plan)) || error_set(error, "%.200s: cannot be written", path);
    return output_close(&out, ok, error);
}

/* A number that may be (a loss that is not known is NaN); the text goes on behind it. */
static bool read_number(char **text, bool may_be_nan, double *out)
{
    char *end;
    *out = strtod(*text, &end);
    bool ok = end != *text && (isfinite(*out) ? *out >= 0 || may_be_nan : isnan(*out) && may_be_nan);
    *text = end;
    return ok;
}

static bool read_table(char *text, struct tune_table *t)
{
    bool ok = true;
    for (size_t c = 0; ok && c < t->measured; c++) {
        ok = read_number(&text, false, &t->total_seconds[c]);
        for (size_t i = 0; ok && i < t->items; i++) {
            size_t at = i * t->candidates + c;
            ok = read_number(&text, false, &t->bytes[at]) && read_number(&text, false, &t->seconds[at]) &&
                 read_number(&text, true, &t->loss[at]);
        }
    }
    return ok && text[strspn(text, "\n")] == 0;
}

static bool take_over(char *text, const char *path, struct tune *job, uint64_t hash, struct error *error)
{
    struct tune_table t = tune_table(job);
    uint64_t of;
    size_t items, candidates;
    int head = -1;
    if (sscanf(text, "qtop tune 1 %16" SCNx64 " %zu %zu %zu\n%n", &of, &items, &candidates, &t.measured, &head) != 4 ||
        head < 0)
        return error_set(error, "%.200s: is no state of a search; expected what an interrupted qtop tune wrote", path);
    if (of != hash || items != t.items || candidates != t.candidates)
        return error_set(error, "%.200s: is of another model, text, machine or other options; expected the same", path);
    if (t.measured > t.candidates || !read_table(text + head, &t))
        return error_set(error, "%.200s: is damaged; expected numbers of %zu layers a scheme", path, t.items);
    tune_resume(job, t.measured);
    return true;
}

bool tune_state_load(const char *path, struct tune *job, const struct tune_plan *plan, struct error *error)
{
    struct mapped_file file;
    if (access(path, F_OK) != 0)
        return error_set(error, "--resume: no search of this model with these options was interrupted (%.200s)", path);
    if (!mapped_file_open(&file, path, error))
        return false;
    char *text = strndup((const char *)file.data, file.size);
    bool ok = text ? take_over(text, path, job, digest(plan), error) : error_set(error, "not enough memory");
    free(text);
    mapped_file_close(&file);
    return ok;
}
