/* The objects that llama-bench writes (tools/llama-bench of llama.cpp, get_fields): one for a test of a prompt, one for
 * a test of generated tokens, so that what reads its files reads these. */
#include "bench_report.h"

#include "engine/context.h"
#include "kernels/dispatch.h"
#include "sys/topology.h"

#include <math.h>
#include <string.h>
#include <time.h>

/* What one test timed. */
struct test {
    size_t prompt, generated; /* tokens; one of them is 0 */
    const double *rates;      /* tokens a second (samples) */
    size_t samples;
};

/* What that program says of devices and loading, as it is here: on processors, from a mapped file. */
static void add_fixed(json_t *j)
{
    static const char *const texts[][2] = {{"gpu_info", ""},     {"cpu_mask", "0x0"},    {"split_mode", "none"},
                                           {"devices", "none"},  {"tensor_split", "0.00"}, {"tensor_buft_overrides", "none"},
                                           {"load_mode", "mmap"}};
    static const char *const zeros[] = {"build_number", "poll", "n_gpu_layers", "n_cpu_moe", "main_gpu", "fit_target",
                                        "fit_min_ctx"};
    static const char *const falses[] = {"cpu_strict", "no_kv_offload", "flash_attn", "embeddings", "no_op_offload"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        json_object_set_new(j, texts[i][0], json_string(texts[i][1]));
    for (size_t i = 0; i < sizeof zeros / sizeof *zeros; i++)
        json_object_set_new(j, zeros[i], json_integer(0));
    for (size_t i = 0; i < sizeof falses / sizeof *falses; i++)
        json_object_set_new(j, falses[i], json_false());
}

/* ggml's name of a datatype that it has, too. */
static const char *ggml_name(enum dtype d)
{
    return d == DTYPE_FP32 ? "f32" : d == DTYPE_FP16 ? "f16" : dtypes[d].name;
}

static void add_model(json_t *j, const struct batch *b, const struct options *o, const char *scheme,
                      const struct weights *set)
{
    const struct model *m = b->session.model;
    const char *path = o->synthetic ? o->synthetic : o->model ? o->model : b->path;
    char type[400];
    snprintf(type, sizeof type, "%s %.4gM %s", m->arch, (double)m->parameters / 1e6, scheme);
    json_object_set_new(j, "model_filename", json_text(path));
    json_object_set_new(j, "model_type", json_text(type));
    json_add(j, "model_size", (double)weights_size(set), NULL);
    json_add(j, "model_n_params", (double)m->parameters, NULL);
    json_object_set_new(j, "type_k", json_string(ggml_name(set->kv)));
    json_object_set_new(j, "type_v", json_string(ggml_name(set->kv)));
}

static json_t *number(double value, bool whole)
{
    return whole ? json_integer((json_int_t)round(value)) : json_real(value);
}

/* Mean and standard deviation (of a sample); whole numbers, of nanoseconds. */
static void add_moments(json_t *j, const char *what, const double *values, size_t n, bool whole)
{
    char name[32];
    double sum = 0, squares = 0;
    json_t *all = json_array();
    for (size_t i = 0; i < n; i++)
        sum += values[i];
    for (size_t i = 0; i < n; i++)
        squares += (values[i] - sum / (double)n) * (values[i] - sum / (double)n);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(all, number(values[i], whole));
    snprintf(name, sizeof name, "avg_%s", what);
    json_object_set_new(j, name, number(sum / (double)n, whole));
    snprintf(name, sizeof name, "stddev_%s", what);
    json_object_set_new(j, name, number(n > 1 ? sqrt(squares / (double)(n - 1)) : 0, whole));
    snprintf(name, sizeof name, "samples_%s", what);
    json_object_set_new(j, name, all);
}

static void add_times(json_t *j, const struct test *t)
{
    double nanoseconds[RATES_KEPT], tokens = (double)(t->prompt + t->generated);
    char when[32];
    time_t now = time(NULL);
    struct tm parts;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
    json_object_set_new(j, "test_time", json_string(when));
    for (size_t i = 0; i < t->samples; i++)
        nanoseconds[i] = tokens / t->rates[i] * 1e9;
    add_moments(j, "ns", nanoseconds, t->samples, true);
    add_moments(j, "ts", t->rates, t->samples, false);
}

static void report_test(const struct batch *b, const struct comparison *c, size_t set, size_t depth, const struct test *t,
                        const struct options *o)
{
    json_t *j = json_object();
    char backend[64];
    snprintf(backend, sizeof backend, "qtop %s", isa_current()->name);
    json_object_set_new(j, "build_commit", json_string("qtop " PACKAGE_VERSION));
    json_object_set_new(j, "cpu_info", json_text(topology()->processor));
    json_object_set_new(j, "backends", json_string(backend));
    add_model(j, b, o, c->name[set], c->sets[set]);
    json_add(j, "n_batch", CONTEXT_CHUNK, NULL);
    json_add(j, "n_ubatch", CONTEXT_CHUNK, NULL);
    json_add(j, "n_threads", pool_threads(b->session.pool), NULL);
    add_fixed(j);
    json_add(j, "n_prompt", (double)t->prompt, NULL);
    json_add(j, "n_gen", (double)t->generated, NULL);
    json_add(j, "n_depth", (double)depth, NULL);
    add_times(j, t);
    print_record(j, o, false);
}

void bench_report_llama(const struct batch *b, const struct comparison *c, const struct bench_point *at,
                        const struct options *o)
{
    for (size_t i = 0; i < c->count; i++) {
        const struct speed *s = &c->speed[i];
        size_t n = s->samples < RATES_KEPT ? s->samples : RATES_KEPT;
        struct test prompt = {at->prompt, 0, s->prefill_rates, n};
        struct test generated = {0, at->generated, s->decode_rates, n};
        if (at->new_prompt)
            report_test(b, c, i, at->depth, &prompt, o);
        if (at->new_generated)
            report_test(b, c, i, at->depth, &generated, o);
    }
}
