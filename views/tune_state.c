#include "tune_state.h"

#include "base/output.h"
#include "formats/mapped.h"
#include "session/state_file.h"
#include "kernels/dispatch.h"
#include "sys/pool.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD "qtop tune 1 %016" PRIx64 " %zu %zu %zu\n" /* digest, layers, schemes on offer, schemes measured */

/* ---- whose it is ------------------------------------------------------------------------------ */

/* All that what is measured depends on: the model, both texts, the schemes on offer, and what layers are timed with. */
static uint64_t digest(const struct tune_plan *plan)
{
    uint64_t hash = digest_model(DIGEST_START, plan->model);
    hash = digest_bytes(hash, plan->search, plan->search_count * sizeof *plan->search);
    hash = digest_bytes(hash, plan->text->tokens, plan->text->count * sizeof *plan->text->tokens);
    hash = digest_number(digest_number(hash, plan->text->window), plan->context);
    hash = digest_number(digest_number(hash, plan->kv), (uint64_t)plan->verify.bos);
    hash = digest_number(digest_text(hash, plan->budget.format), plan->budget.max_bits > 0);
    return digest_text(digest_number(hash, (uint64_t)pool_threads(plan->pool)), isa_current()->name);
}

char *tune_state_path(const struct tune_plan *plan, struct error *error)
{
    return state_file_path("tune", digest(plan), error);
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

bool tune_state_parse(const void *data, size_t size, const char *path, struct tune *job, const struct tune_plan *plan,
                      struct error *error)
{
    char *text = strndup(data, size);
    bool ok = text ? take_over(text, path, job, digest(plan), error) : error_set(error, "not enough memory");
    free(text);
    return ok;
}

bool tune_state_load(const char *path, struct tune *job, const struct tune_plan *plan, struct error *error)
{
    struct mapped_file file;
    if (access(path, F_OK) != 0)
        return error_set(error, "--resume: no search of this model with these options was interrupted (%.200s)", path);
    if (!mapped_file_open(&file, path, error))
        return false;
    bool ok = tune_state_parse(file.data, file.size, path, job, plan, error);
    mapped_file_close(&file);
    return ok;
}
