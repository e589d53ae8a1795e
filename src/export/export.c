#include "internal.h"

#include "base/clock.h"
#include "model/on_demand.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CHUNK = 1 << 20 }; /* bytes encoded before they are written, unless a row has more */

/* ---- formats --------------------------------------------------------------------------------- */

/* "gguf, safetensors or gptq": of all rows, or of those whose layers may have different schemes. */
static const char *format_names(char out[EXPORT_NAMES], bool mixing)
{
    size_t used = 0, left = 0;
    for (size_t i = 0; export_formats[i]; i++)
        left += !mixing || export_formats[i]->mixes;
    out[0] = 0;
    for (size_t i = 0; export_formats[i] && used < EXPORT_NAMES; i++)
        if (!mixing || export_formats[i]->mixes)
            used += (size_t)snprintf(out + used, EXPORT_NAMES - used, "%s%s",
                                     used == 0 ? "" : left > 1 ? ", " : " or ", export_formats[i]->name),
                left--;
    return out;
}

const char *export_format_name(size_t i)
{
    return export_formats[i] ? export_formats[i]->name : NULL;
}

const char *export_format_names(char out[EXPORT_NAMES])
{
    return format_names(out, false);
}

const char *export_mixing_names(char out[EXPORT_NAMES])
{
    return format_names(out, true);
}

static const struct export_format *by_name(const char *name)
{
    for (size_t i = 0; export_formats[i]; i++)
        if (strcmp(export_formats[i]->name, name) == 0)
            return export_formats[i];
    return NULL;
}

bool export_format_known(const char *name)
{
    return by_name(name) != NULL;
}

static const struct export_format *by_ending(const char *path)
{
    size_t n = strlen(path);
    for (size_t i = 0; export_formats[i]; i++) {
        size_t k = strlen(export_formats[i]->ending);
        if (n > k && strcmp(path + n - k, export_formats[i]->ending) == 0)
            return export_formats[i];
    }
    return NULL;
}

static bool choose_format(struct export *job, struct error *error)
{
    const struct export_plan *p = &job->plan;
    char names[EXPORT_NAMES];
    job->format = p->format ? by_name(p->format) : by_ending(p->path);
    if (job->format)
        return true;
    if (p->format)
        return error_set(error, "format '%.40s' is unknown; expected %s", p->format, export_format_names(names));
    return error_set(error, "%.200s: the name does not tell the format; expected one that ends in .gguf or .safetensors, "
                            "or a format by its name (%s)", p->path, export_format_names(names));
}

/* ---- the path -------------------------------------------------------------------------------- */

/* Weights are read from their file while others are written. */
static bool check_path(const struct export_plan *p, struct error *error)
{
    struct stat st;
    if (!p->path || stat(p->path, &st) != 0)
        return true;
    if (S_ISDIR(st.st_mode))
        return error_set(error, "%.200s: is a folder; expected the name of a file", p->path);
    bool read = model_reads(p->model, p->path) || same_file(p->path, p->tokenizer_path);
    return !read || error_set(error, "%.200s: is a file that is being read; expected another one", p->path);
}

/* ---- opening --------------------------------------------------------------------------------- */

static size_t padded(size_t bytes, size_t alignment)
{
    return (bytes + alignment - 1) / alignment * alignment;
}

/* Bytes of an item with the padding behind it: none where the next one goes on with its tensor. */
static bool placed_bytes(const struct export *job, size_t i, size_t *bytes)
{
    const struct export_item *item = &job->items[i];
    bool goes_on = i + 1 < job->count && job->items[i + 1].joined;
    if (__builtin_mul_overflow(item->rows, item->row_bytes, bytes) || *bytes > SIZE_MAX / 2)
        return false;
    *bytes = goes_on ? *bytes : padded(*bytes, job->format->alignment);
    return true;
}

/* Where each tensor begins, and the buffers of the largest row. */
static bool place_items(struct export *job, struct error *error)
{
    size_t row = 1, values = 1, at = 0;
    for (size_t i = 0; i < job->count; i++) {
        struct export_item *item = &job->items[i];
        size_t bytes;
        item->offset = at;
        if (!placed_bytes(job, i, &bytes) || __builtin_add_overflow(at, bytes, &at))
            return error_set(error, "the size of the file overflows");
        row = item->row_bytes > row ? item->row_bytes : row;
        if (item->tensor >= 0) {
            const struct qmatrix *m = &job->plan.model->tensors[item->tensor].stored;
            size_t longest = m->cols > m->rows ? m->cols : m->rows;
            values = longest > values ? longest : values;
        }
    }
    job->bytes = at;
    job->chunk = malloc(row > CHUNK ? row : CHUNK);
    job->values = malloc(values * sizeof *job->values);
    return (job->chunk && job->values) || error_set(error, "not enough memory");
}

static bool make_head(struct export *job, struct error *error)
{
    FILE *f = open_memstream(&job->head, &job->head_bytes);
    bool ok = f && job->format->head(job, f, error);
    bool written = f && !ferror(f);
    written = f && fclose(f) == 0 && written;
    job->bytes += job->head_bytes;
    return ok && (written || error_set(error, "not enough memory"));
}

static struct export *begin_job(const struct export_plan *plan)
{
    struct export *job = calloc(1, sizeof *job);
    if (!job)
        return NULL;
    job->plan = *plan;
    if (plan->path)
        job->plan.path = job->path = strdup(plan->path);
    if (plan->tokenizer_path)
        job->plan.tokenizer_path = job->tokenizer_path = strdup(plan->tokenizer_path);
    job->arch = arch_of(plan->model);
    job->overflow = calloc(1, sizeof *job->overflow);
    weights_ref(plan->weights);
    if (job->overflow && !job->path == !plan->path && !job->tokenizer_path == !plan->tokenizer_path)
        return job;
    export_close(job);
    return NULL;
}

static bool begin_plan(struct export *job, struct error *error)
{
    return choose_format(job, error) && check_path(&job->plan, error) &&
           folding_open(&job->folding, job->plan.model, job->plan.weights, error) &&
           job->format->begin(job, error);
}

static bool plan_job(struct export *job, struct error *error)
{
    bool ok = begin_plan(job, error);
    for (int t = 0; ok && t < (int)job->plan.model->tensor_count; t++)
        ok = job->format->add(job, t, error);
    return ok && job->format->end(job, error);
}

struct export *export_open(const struct export_plan *plan, struct error *error)
{
    struct export *job = begin_job(plan);
    if (!job)
        error_set(error, "not enough memory");
    else if (plan_job(job, error) && export_check_set(job, error) && place_items(job, error) && make_head(job, error))
        return job;
    export_close(job);
    return NULL;
}

/* A matrix that has everything but its codes. */
static bool set_layout(struct qtensor *p, const struct scheme *scheme)
{
    struct qmatrix *m = &p->matrix;
    struct qmatrix_layout layout;
    if (scheme->format.stored || !qmatrix_layout(&scheme->format, m->rows, m->cols, &layout))
        return true;
    *m = (struct qmatrix){.rows = m->rows, .cols = m->cols, .format = scheme->format, .group = layout.group,
                          .groups = layout.groups, .row_bytes = layout.row_bytes,
                          .scale_type = layout.scale_type};
    return qtensor_set_scheme(p, scheme);
}

/* A job over sets with these schemes, of which nothing is made; null schemes: all as stored. Null when memory is
 * short. */
static struct export *begin_unmade(const struct export_plan *plan, const struct scheme *schemes, struct error *error)
{
    struct export_plan empty = *plan;
    empty.weights = weights_stored(plan->model);
    struct export *job = empty.weights ? begin_job(&empty) : NULL;
    bool ok = job;
    for (size_t i = 0; ok && schemes && i < empty.weights->count; i++)
        ok = set_layout(empty.weights->layer[i], &schemes[i]);
    weights_unref(empty.weights);
    if (ok)
        return job;
    export_close(job);
    error_set(error, "not enough memory");
    return NULL;
}

bool export_check(const struct export_plan *plan, const struct scheme *schemes, struct error *error)
{
    struct export *job = begin_unmade(plan, schemes, error);
    bool ok = job && plan_job(job, error) && folding_foresee(plan->model, schemes, error);
    export_close(job);
    return ok;
}

bool export_measure(const struct export_plan *plan, const struct scheme *schemes, size_t *bytes, struct error *error)
{
    struct export *job = begin_unmade(plan, schemes, error);
    bool ok = job && plan_job(job, error) && folding_foresee(plan->model, schemes, error) && place_items(job, error) &&
              make_head(job, error);
    *bytes = ok ? job->bytes : 0;
    export_close(job);
    return ok;
}

struct export *export_layers_open(const struct export_plan *plan, struct error *error)
{
    struct export *job = begin_unmade(plan, NULL, error);
    if (job && begin_plan(job, error))
        return job;
    export_close(job);
    return NULL;
}

size_t export_tensor_bytes(struct export *job, int tensor, const struct scheme *scheme)
{
    struct qtensor *q = job->plan.weights->layer[tensor];
    bool narrow = scheme->format.weight != DTYPE_FP32 && !roles[job->plan.model->tensors[tensor].role].vector;
    size_t before = job->count, bytes = 0;
    free((void *)(uintptr_t)q->scheme);
    q->scheme = NULL;
    q->matrix = job->plan.model->tensors[tensor].stored;
    q->matrix.owned = NULL; /* the model's */
    bool ok = set_layout(q, scheme) && job->format->add(job, tensor, NULL);
    for (size_t i = before; ok && i < job->count; i++) {
        bytes += padded(job->items[i].rows * job->items[i].row_bytes, job->format->alignment);
        ok = !narrow || job->items[i].type->encode != encode_fp32;
    }
    job->count = before;
    return ok ? bytes : 0;
}

void export_close(struct export *job)
{
    if (!job)
        return;
    if (job->acquired)
        model_release(job->plan.model, job->items[job->item].tensor);
    if (job->out_count > 0)
        outputs_close(job->outs, job->out_count, false, NULL);
    folding_close(&job->folding);
    weights_unref(job->plan.weights);
    for (size_t i = 0; i < job->note_count; i++)
        free(job->notes[i]);
    free(job->notes);
    free(job->path);
    free(job->beside);
    free(job->tokenizer_path);
    free(job->items);
    free(job->head);
    free(job->chunk);
    free(job->values);
    free(job->scales);
    free(job->overflow);
    json_decref(job->quantized);
    free(job);
}

/* ---- writing --------------------------------------------------------------------------------- */

double export_fraction(const struct export *job)
{
    return job->bytes ? (double)job->written / (double)job->bytes : 0;
}

size_t export_bytes(const struct export *job)
{
    return job->bytes;
}

const char *export_split_format(char *path)
{
    char *last = strrchr(path, ' ');
    if (!last || last - path < 5 || strncmp(last - 4, " for", 4) != 0 || !export_format_known(last + 1))
        return NULL;
    last[-4] = 0;
    return last + 1;
}

const char *export_note(const struct export *job, size_t i)
{
    return i < job->note_count ? job->notes[i] : NULL;
}

const char *export_beside_names(const struct export *job)
{
    return job->beside ? job->beside : "";
}

const char *export_path(const struct export *job)
{
    return job->path;
}

static bool put(struct export *job, const void *data, size_t n, struct error *error)
{
    job->written += n;
    return fwrite(data, 1, n, job->out) == n ||
           error_set(error, "%.200s: cannot be written: %s", job->plan.path, strerror(errno));
}

static bool put_padding(struct export *job, size_t i, struct error *error)
{
    static const uint8_t zeros[64] = {0};
    const struct export_item *item = &job->items[i];
    size_t bytes = 0;
    placed_bytes(job, i, &bytes);
    return put(job, zeros, bytes - item->rows * item->row_bytes, error);
}

static bool begin_item(struct export *job, const struct export_item *item, struct error *error)
{
    bool stored = item->tensor >= 0 && qtensor_on_demand(job->plan.model, job->plan.weights->layer[item->tensor]);
    if (job->row > 0 || !stored || job->acquired)
        return true;
    job->acquired = model_acquire(job->plan.model, item->tensor, job->plan.pool, error);
    return job->acquired;
}

static bool end_item(struct export *job, const struct export_item *item, struct error *error)
{
    if (job->acquired)
        model_release(job->plan.model, item->tensor);
    job->acquired = false;
    job->row = 0;
    return put_padding(job, job->item++, error);
}

/* As many rows as fit in the chunk, at least one. */
static bool put_rows(struct export *job, struct error *error)
{
    const struct export_item *item = &job->items[job->item];
    if (!begin_item(job, item, error))
        return false;
    if (item->tensor < 0) {
        job->row = item->rows;
        return put(job, item->bytes, item->row_bytes, error) && end_item(job, item, error);
    }
    size_t n = CHUNK / (item->row_bytes + 1), left = item->rows - job->row;
    n = n < 1 ? 1 : n < left ? n : left;
    for (size_t i = 0; i < n; i++)
        if (!item->type->encode(job, item, job->row + i, job->chunk + i * item->row_bytes, error))
            return false;
    job->row += n;
    return put(job, job->chunk, n * item->row_bytes, error) &&
           (job->row < item->rows || end_item(job, item, error));
}

static bool begin(struct export *job, struct error *error)
{
    if (job->out)
        return true;
    job->out = export_beside(job, job->plan.path, error);
    return job->out && put(job, job->head, job->head_bytes, error);
}

/* "config.json, tokenizer.json": the names of the files beside the export. Null when memory is short. */
static char *names_beside(const struct export *job)
{
    char *names = NULL;
    size_t bytes;
    FILE *f = open_memstream(&names, &bytes);
    if (!f)
        return NULL;
    for (size_t i = 1; i < job->out_count; i++) {
        const char *slash = strrchr(job->outs[i].path, '/');
        fprintf(f, "%s%s", i > 1 ? ", " : "", slash ? slash + 1 : job->outs[i].path);
    }
    fclose(f);
    return names;
}

static bool finish(struct export *job, struct error *error)
{
    bool ok = fflush(job->out) == 0 ||
              error_set(error, "%.200s: cannot be written: %s", job->plan.path, strerror(errno));
    ok = ok && export_check_written(job, error);
    ok = ok && (!job->format->beside || job->format->beside(job, error));
    size_t count = job->out_count;
    job->beside = names_beside(job);
    job->out_count = 0;
    job->done = outputs_close(job->outs, count, ok, error);
    return job->done;
}

bool export_step(struct export *job, double seconds, bool *done, struct error *error)
{
    double end = clock_seconds() + seconds;
    if (!job->done && !begin(job, error))
        return false;
    while (!job->done && job->item < job->count) {
        if (!put_rows(job, error))
            return false;
        if (clock_seconds() >= end)
            break;
    }
    if (!job->done && job->item == job->count && !finish(job, error))
        return false;
    *done = job->done;
    return true;
}

/* ---- as a job ---------------------------------------------------------------------------------- */

static bool step_job(void *job, double seconds, bool *done, struct error *error)
{
    return export_step(job, seconds, done, error);
}

static double job_fraction(const void *job)
{
    return export_fraction(job);
}

static void close_job(void *job)
{
    export_close(job);
}

const struct job_class export_class = {
    .name = "exporting",
    .step = step_job,
    .fraction = job_fraction,
    .close = close_job,
};
