#include "session.h"

#include "base/output.h"
#include "sys/memory.h"
#include "sys/topology.h"
#include "model/reference.h"
#include "model/on_demand.h"
#include "quant/quantization.h"
#include "quant/requant.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { DEFAULT_CONTEXT = 4096, MOST_CONTEXT = 1 << 28 };
static const double SLICE_SECONDS = 0.1; /* between two looks at signals and the progress line */
enum { OTHER_DESCRIPTORS = 256 };

static bool open_tokenizer(struct session *s, const char *path, struct error *error)
{
    size_t vocab = s->model->hyper.vocab;
    if (!path && !s->model->path) {
        error_set(&s->tokenizer_error, "random weights come without one (-z FILE names one)");
        return true;
    }
    if (!path) { /* a model without one is shown by its ids */
        s->tokenizer = tokenizer_beside(s->model->path, vocab, &s->tokenizer_error);
        return true;
    }
    s->tokenizer = tokenizer_open(path, error);
    if (s->tokenizer && !tokenizer_fits(s->tokenizer, vocab))
        return error_set(error, "%.200s: %zu tokens; the model's vocabulary has %zu", path,
                         tokenizer_vocab(s->tokenizer), vocab);
    return s->tokenizer != NULL;
}

/* The set with p in the place of its tensor's matrix. Takes over both references; null, with an error, when
 * p is null or memory is short. */
static struct weights *replace(struct weights *set, struct qtensor *p, struct error *error)
{
    struct weights *next = p ? weights_replace(set, p) : NULL;
    if (p && !next)
        error_set(error, "not enough memory");
    qtensor_unref(p);
    weights_unref(set);
    return next;
}

/* Rotary positions go on beyond what a model was trained for, learned ones do not. */
static bool choose_context(struct session *s, const struct session_options *o, struct error *error)
{
    struct model *m = s->model;
    size_t trained = m->hyper.trained_context;
    size_t fallback = trained < DEFAULT_CONTEXT ? trained : DEFAULT_CONTEXT;
    if (fallback < o->least_context)
        fallback = o->least_context;
    s->context = o->context ? o->context : fallback;
    if (m->rope_beyond && s->context > m->hyper.rope_original)
        model_add_note(m, "context of %zu: LongRoPE's factors for more than %zu positions", s->context,
                       m->hyper.rope_original);
    if (s->context <= trained)
        return true;
    if (s->context > MOST_CONTEXT)
        return error_set(error, "a context of %zu; expected at most %d", s->context, MOST_CONTEXT);
    if (m->hyper.rope == ROPE_NONE)
        return error_set(error, "a context of %zu: the model has learned %zu positions", s->context,
                         trained);
    model_add_note(m, "context of %zu: the model was trained for %zu positions", s->context, trained);
    return true;
}

/* The reference needs neither a tokenizer nor a context of its own. */
static bool open_reference(struct session *s, const char *path, struct error *error)
{
    if (!path) {
        s->reference = weights_ref(s->stored);
        return true;
    }
    s->reference_model = model_open(path, error);
    if (!s->reference_model || !reference_fits(s->model, s->reference_model, s->context, error))
        return false;
    s->model->reference = s->reference_model;
    struct error reason;
    if (!reference_compares(s->model, s->reference_model, &reason))
        snprintf(s->model->reference_reason, sizeof s->model->reference_reason, "%.190s", reason.text);
    s->reference = weights_stored(s->reference_model);
    return s->reference || error_set(error, "not enough memory");
}

/* Read beside the model and never run in its place: it needs no context of its own. */
static bool open_other(struct session *s, const char *path, struct error *error)
{
    if (!path)
        return true;
    s->other_model = model_open(path, error);
    if (!s->other_model || !models_compare(s->model, s->other_model, error))
        return false;
    s->other_tokenizer = tokenizer_beside(path, s->other_model->hyper.vocab, &s->other_tokenizer_error);
    s->other = weights_stored(s->other_model);
    return s->other || error_set(error, "not enough memory");
}

bool session_open(struct session *s, const struct session_options *o, struct error *error)
{
    *s = (struct session){.perf = &perf_system, .system_root = ""};
    int threads = o->threads ? o->threads : topology()->threads;
    s->model = o->synthetic ? synthetic_open(o->synthetic, error) : model_open(o->model_path, error);
    bool ok = s->model && (!o->outliers.channels || outliers_inject(s->model, &o->outliers, error)) &&
              open_tokenizer(s, o->tokenizer_path, error) && choose_context(s, o, error) &&
              (s->pool = pool_create(threads, error));
    if (ok && !(s->stored = weights_stored(s->model)))
        ok = error_set(error, "not enough memory");
    ok = ok && open_reference(s, o->reference_path, error) && open_other(s, o->against_path, error);
    if (!ok)
        session_close(s);
    return ok;
}

/* ---- an importance matrix ------------------------------------------------------------------------ */

static void say(const struct session *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const struct session *s, const char *format, ...)
{
    char line[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (s->note)
        s->note(s->note_arg, line);
}

static bool lacks_data(const struct session *s, size_t t)
{
    const struct tensor *tensor = &s->model->tensors[t];
    return roles[tensor->role].linear && tensor->block >= 0 && !importance_of(s->importance, (int)t);
}

/* One line of the layers inside blocks without data, and one of entries without a tensor. */
static void say_gaps(const struct session *s, const char *path)
{
    const struct importance *i = s->importance;
    size_t count = 0, first = 0;
    for (size_t t = 0; t < s->model->tensor_count; t++)
        if (lacks_data(s, t) && count++ == 0)
            first = t;
    if (count > 0)
        say(s, "%.120s: no data of %zu of %zu layers inside blocks (the first is %s: %s), which are then unweighted", path,
            count, i->linear, s->model->tensors[first].name, importance_lack(i, (int)first));
    if (i->unused > 0)
        say(s, "%.120s: %zu of %zu entries name no tensor of this model (the first is %s)", path, i->unused, i->entries,
            i->first_unused);
}

bool session_read_imatrix(struct session *s, const char *path, struct error *error)
{
    struct imatrix matrix;
    bool ok = imatrix_read(&matrix, path, error) &&
              (s->importance = importance_open(&matrix, s->model, path, error));
    imatrix_free(&matrix);
    if (ok)
        say_gaps(s, path);
    return ok;
}

/* So many of all weights are done. */
static void tell(const struct session *s, const char *work, size_t done)
{
    if (s->progress)
        s->progress(s->progress_arg, work, done, s->model->parameters);
}

bool session_measure_stored(struct session *s, struct error *error)
{
    const struct model *m = s->model;
    struct weights *set = weights_ref(s->stored);
    size_t done = 0;
    for (int t = 0; set && model_weights_reference(m) != m && t < (int)m->tensor_count; t++) {
        const struct qmatrix *stored = &m->tensors[t].stored;
        struct scheme scheme = scheme_stored(stored);
        struct qtensor *p = requantize(m, t, &scheme, s->pool, error);
        set = replace(set, p, error);
        done += stored->rows * stored->cols;
        tell(s, "comparing the stored weights with the reference", done);
    }
    if (!set)
        return false;
    weights_unref(s->stored);
    s->stored = set;
    return true;
}

void session_close(struct session *s)
{
    weights_unref(s->stored);
    weights_unref(s->reference);
    weights_unref(s->other);
    counters_close(s->counters);
    free(s->calibration.ids);
    free(s->calibration_text.tokens);
    importance_close(s->importance);
    free(s->training_text.tokens);
    pool_destroy(s->pool);
    tokenizer_close(s->tokenizer);
    tokenizer_close(s->other_tokenizer);
    model_close(s->model);
    model_close(s->reference_model);
    model_close(s->other_model);
    *s = (struct session){0};
}

/* As many as are needed beside what the program opens otherwise, if the hard limit has them. */
static void allow_descriptors(size_t needed)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed + OTHER_DESCRIPTORS)
        return;
    rlim_t wanted = needed + OTHER_DESCRIPTORS;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

void session_count(struct session *s, const struct perf_event *events, size_t count)
{
    size_t threads = (size_t)pool_threads(s->pool), needed = 0;
    pid_t *ids = calloc(threads, sizeof *ids);
    counters_close(s->counters);
    s->counters = NULL;
    if (!ids)
        return;
    pool_thread_ids(s->pool, ids);
    for (size_t i = 0; i < count; i++)
        needed += events[i].codes * threads;
    allow_descriptors(needed);
    s->counters = counters_open(events, count, ids, threads, s->perf);
    free(ids);
}

int32_t session_bos(const struct session *s)
{
    if (!s->tokenizer)
        return s->model->bos;
    return tokenizer_adds_bos(s->tokenizer) ? tokenizer_bos(s->tokenizer) : -1;
}

int32_t session_start(const struct session *s)
{
    int32_t bos = session_bos(s);
    if (bos >= 0)
        return bos;
    if (!s->tokenizer)
        return s->model->end_count > 0 ? s->model->ends[0] : 0;
    int32_t eos = tokenizer_eos(s->tokenizer);
    bos = tokenizer_bos(s->tokenizer);
    return eos >= 0 ? eos : bos >= 0 ? bos : 0;
}

bool session_begin(const struct session *s, bool text_follows, struct tokens *tokens)
{
    bool nothing = text_follows && session_bos(s) < 0;
    return nothing || tokens_add(tokens, session_start(s));
}

struct chat session_chat(const struct session *s)
{
    return s->tokenizer ? *tokenizer_chat(s->tokenizer) : chat_absent();
}

bool session_ends_text(const struct session *s, int32_t token)
{
    if (model_ends_text(s->model, token))
        return true;
    if (!s->tokenizer)
        return token >= 0 && token == s->model->bos;
    return tokenizer_ends_text(s->tokenizer, token) || token == tokenizer_bos(s->tokenizer);
}

struct scheme *session_schemes(const struct session *s, struct error *error)
{
    struct scheme *schemes = calloc(schemes_count(s->model), sizeof *schemes);
    if (!schemes)
        error_set(error, "not enough memory");
    for (size_t i = 0; schemes && i < s->model->tensor_count; i++)
        schemes[i] = scheme_stored(&s->model->tensors[i].stored);
    if (schemes)
        schemes[kv_index(s->model)] = scheme_default(DTYPE_FP32);
    return schemes;
}

bool session_fits(const struct session *s, const struct scheme *schemes, struct error *error)
{
    size_t sum = 0, largest = 0;
    for (int t = 0; t < (int)s->model->tensor_count; t++) {
        const struct qmatrix *stored = &s->model->tensors[t].stored;
        size_t made = model_on_demand(s->model, t) ? stored->bytes : 0, bytes = made;
        if (!schemes[t].format.stored && !scheme_bytes(&schemes[t], stored->rows, stored->cols, &bytes))
            return error_set(error, "%s: the size overflows", s->model->tensors[t].name);
        if (__builtin_add_overflow(sum, bytes, &sum))
            return error_set(error, "the size of this set of weights overflows");
        if (!schemes[t].format.stored && made > largest)
            largest = made;
    }
    return sum == 0 || memory_check("this set of weights", sum + largest, error);
}

bool session_check_output(const struct session *s, const char *path, struct error *error)
{
    bool reads = model_reads(s->model, path) || (s->other_model && model_reads(s->other_model, path)) ||
                 (s->tokenizer && same_file(path, tokenizer_path(s->tokenizer)));
    return !reads || error_set(error, "%.200s: is a file that is being read; expected another one", path);
}

bool session_cancelled(const struct session *s)
{
    return s->cancelled && s->cancelled(s->progress_arg);
}

bool session_run(const struct session *s, const struct job_class *class, void *job, bool *cancelled,
                 struct error *error)
{
    bool done = false, ok = true;
    *cancelled = false;
    while (ok && !done && !*cancelled) {
        ok = class->step(job, SLICE_SECONDS, &done, error);
        size_t parts = (size_t)(class->fraction(job) * (double)s->model->parameters);
        tell(s, job_phase(class, job), done ? s->model->parameters : parts);
        *cancelled = !done && session_cancelled(s);
    }
    if (!ok || *cancelled)
        tell(s, class->name, s->model->parameters);
    return ok && !*cancelled;
}
