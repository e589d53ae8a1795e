#include "tune_state.h"

#include "state_file.h"
#include "base/output.h"
#include "formats/mapped.h"
#include "kernels/dispatch.h"
#include "sys/pool.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD "qtop tune 2 %016" PRIx64 " %zu %zu %zu\n" /* digest, layers, schemes on offer, parts measured */

/* ---- whose it is ------------------------------------------------------------------------------ */

static uint64_t digest_importance(uint64_t hash, const struct tune_plan *plan)
{
    for (size_t i = 0; plan->importance && i < plan->model->tensor_count; i++) {
        const float *mean = importance_of(plan->importance, (int)i);
        size_t cols = plan->model->tensors[i].stored.cols;
        hash = mean ? digest_bytes(hash, mean, cols * sizeof *mean) : digest_number(hash, i);
    }
    return hash;
}

/* All that what is measured depends on: the model, both texts, the schemes on offer, and what layers are timed with. */
static uint64_t digest(const struct tune_plan *plan)
{
    uint64_t hash = digest_importance(digest_model(DIGEST_START, plan->model), plan);
    hash = digest_bytes(hash, plan->search, plan->search_count * sizeof *plan->search);
    hash = digest_bytes(hash, plan->text->tokens, plan->text->count * sizeof *plan->text->tokens);
    hash = digest_number(digest_number(hash, plan->text->window), plan->context);
    hash = digest_number(digest_number(hash, plan->kv), (uint64_t)plan->verify.bos);
    hash = digest_number(digest_text(hash, plan->budget.format), plan->budget.max_bits > 0 && plan->budget.max_size == 0);
    return digest_text(digest_number(hash, (uint64_t)pool_threads(plan->pool)), isa_current()->name);
}

char *tune_state_path(const struct tune_plan *plan, struct error *error)
{
    return state_file_path("tune", digest(plan), error);
}

/* ---- the file --------------------------------------------------------------------------------- */

/* Parts: errors first, then the times of one scheme after another, KL last. */
static size_t timed_schemes(const struct tune_table *t)
{
    size_t timed = t->parts > 0 ? t->parts - 1 : 0;
    return timed < t->candidates ? timed : t->candidates;
}

static bool write_table(FILE *f, const struct tune_table *t, uint64_t hash)
{
    fprintf(f, HEAD, hash, t->items, t->candidates, t->parts);
    for (size_t at = 0; t->parts > 0 && at < t->items * t->candidates; at++)
        fprintf(f, "%a\n", t->error[at]);
    for (size_t c = 0; c < timed_schemes(t); c++) {
        fprintf(f, "%a\n", t->total_seconds[c]);
        for (size_t i = 0; i < t->items; i++)
            fprintf(f, "%a\n", t->seconds[i * t->candidates + c]);
    }
    for (size_t i = 0; t->parts == t->all_parts && i < t->items; i++)
        fprintf(f, "%u %a\n", (unsigned)t->probe[i], t->probed[i].kl);
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

/* The scheme that a layer's KL divergence was measured in: one that the layer can have. */
static bool read_probe(char **text, struct tune_table *t, size_t item)
{
    char *end;
    unsigned long probe = strtoul(*text, &end, 10);
    bool ok = end != *text && probe < t->candidates && !isnan(t->error[item * t->candidates + probe]);
    *text = end;
    if (ok)
        t->probe[item] = (uint8_t)probe;
    return ok && read_number(text, true, &t->probed[item].kl);
}

static bool read_table(char *text, struct tune_table *t)
{
    bool ok = true;
    for (size_t at = 0; ok && t->parts > 0 && at < t->items * t->candidates; at++)
        ok = read_number(&text, true, &t->error[at]);
    for (size_t c = 0; ok && c < timed_schemes(t); c++) {
        ok = read_number(&text, false, &t->total_seconds[c]);
        for (size_t i = 0; ok && i < t->items; i++)
            ok = read_number(&text, false, &t->seconds[i * t->candidates + c]);
    }
    for (size_t i = 0; ok && t->parts == t->all_parts && i < t->items; i++)
        ok = read_probe(&text, t, i);
    return ok && text[strspn(text, "\n")] == 0;
}

static bool take_over(char *text, const char *path, struct tune *job, uint64_t hash, struct error *error)
{
    struct tune_table t = tune_table(job);
    uint64_t of;
    size_t items, candidates;
    int head = -1;
    if (sscanf(text, "qtop tune 2 %16" SCNx64 " %zu %zu %zu\n%n", &of, &items, &candidates, &t.parts, &head) != 4 ||
        head < 0)
        return error_set(error, "%.200s: is no state of a search; expected what an interrupted qtop tune wrote", path);
    if (of != hash || items != t.items || candidates != t.candidates)
        return error_set(error, "%.200s: is of another model, text, machine or other options; expected the same", path);
    if (t.parts > t.all_parts || !read_table(text + head, &t))
        return error_set(error, "%.200s: is damaged; expected numbers of %zu layers a scheme", path, t.items);
    tune_resume(job, t.parts);
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
        return error_set(error, "--resume: nothing is kept of this search: none was interrupted after its first part (%.200s)", path);
    if (!mapped_file_open(&file, path, error))
        return false;
    bool ok = tune_state_parse(file.data, file.size, path, job, plan, error);
    mapped_file_close(&file);
    return ok;
}
