/* qtop inspect: every layer's shape, scheme, bytes and errors. */
#include "batch.h"

#include "../src/measure/output_error.h"
#include "../src/measure/weight_stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { OUTPUT_TOKENS = 64 }; /* of the model's own text, on which output errors are measured */

static const char *reason_without_sqnr(double db, bool compared)
{
    if (!compared)
        return "this tensor multiplies nothing";
    return isinf(db) ? "exact" : isnan(db) ? "a weight or an activation is not finite" : NULL;
}

/* Without a finite error, either every weight is the reference's or one that is not finite became another. */
static double weight_sqnr_db(const struct weight_error *e)
{
    return e->sum_e2 == 0 && !e->exact ? NAN : weight_error_sqnr_db(e);
}

/* What is measured of a model's layers: arrays of tensor_count. */
struct measured {
    struct output_error *outputs;
    struct weight_stats *weights; /* for JSON only */
};

/* Where the largest error sits. */
static void add_place(json_t *j, const struct weight_error *e)
{
    const char *why = e->max_abs > 0 ? NULL : e->exact ? "exact" : "no weight that is finite has one";
    json_add(j, "max_abs_error_row", (double)e->max_row, why);
    json_add(j, "max_abs_error_col", (double)e->max_col, why);
}

static void add_stats(json_t *j, const struct qmatrix *m, const struct weight_stats *s)
{
    const char *none = s->weights == 0 ? "no weight is finite" : NULL;
    bool blocks = dtypes[m->scheme.weight].kind == DTYPE_KIND_BLOCK;
    const char *no_scale = !isnan(s->scale_mean) ? NULL
                           : blocks              ? "each block holds its own scales"
                                                 : "it has no scales";
    json_add(j, "mse", s->mse, none);
    json_add(j, "cosine", s->cosine, none            ? none
                                     : isnan(s->cosine) ? "all weights of one side are 0"
                                                        : NULL);
    json_add(j, "clipped", s->clipped, none             ? none
                                       : isnan(s->clipped) ? "only integers have a grid that ends"
                                                           : NULL);
    json_add(j, "scale_min", s->scale_min, no_scale);
    json_add(j, "scale_max", s->scale_max, no_scale);
    json_add(j, "scale_mean", s->scale_mean, no_scale);
}

static void report_json(const struct tensor *t, const struct packed *p, const struct output_error *e,
                        const struct weight_stats *stats, const char *guidance, const char *reference)
{
    char scheme[SCHEME_TEXT];
    const struct qmatrix *m = &p->matrix;
    double sqnr = weight_sqnr_db(&p->error), output = output_error_sqnr_db(e);
    json_t *j = json_object();
    json_object_set_new(j, "name", json_string(t->name));
    json_add(j, "rows", (double)m->rows, NULL);
    json_add(j, "cols", (double)m->cols, NULL);
    json_object_set_new(j, "scheme", json_string(scheme_print(&m->scheme, scheme)));
    json_object_set_new(j, "weight", json_string(dtypes[m->scheme.weight].name));
    json_add(j, "bytes", (double)m->bytes, NULL);
    json_add(j, "bits_per_weight", 8.0 * (double)m->bytes / ((double)m->rows * (double)m->cols), NULL);
    json_add(j, "sqnr_db", sqnr, reason_without_sqnr(sqnr, true));
    json_add(j, "output_sqnr_db", output, reason_without_sqnr(output, e->tokens > 0));
    json_add(j, "max_abs_error", p->error.max_abs, stats->weights == 0 ? "no weight is finite" : NULL);
    add_place(j, &p->error);
    add_stats(j, m, stats);
    json_object_set_new(j, "reference", reference ? json_text(reference) : json_null());
    if (!reference)
        json_object_set_new(j, "reference_reason", json_string(NO_REFERENCE));
    json_object_set_new(j, "guidance", json_string(guidance));
    print_json(j);
}

static void format_db(char out[16], double db)
{
    if (isnan(db))
        snprintf(out, 16, "-");
    else if (isinf(db))
        snprintf(out, 16, "exact");
    else
        snprintf(out, 16, "%.2f", db);
}

/* Columns as wide as what stands in them: a line fits in 80 unless names or schemes are long. */
struct widths {
    int name, shape, scheme;
};

static void format_shape(char out[48], const struct qmatrix *m)
{
    snprintf(out, 48, "%zux%zu", m->rows, m->cols);
}

static void widen(int *width, const char *text)
{
    int n = (int)strlen(text);
    *width = n > *width ? n : *width;
}

static struct widths find_widths(const struct batch *b)
{
    struct widths w = {5, 5, 6}; /* of their titles */
    for (size_t i = 0; i < b->weights->count; i++) {
        char shape[48], scheme[SCHEME_TEXT];
        format_shape(shape, &b->weights->layer[i]->matrix);
        widen(&w.name, b->session.model->tensors[i].name);
        widen(&w.shape, shape);
        widen(&w.scheme, scheme_print(&b->weights->layer[i]->matrix.scheme, scheme));
    }
    return w;
}

static void report_title(const struct widths *w)
{
    printf("%-*s %*s %-*s %5s %5s %7s %6s %8s %s\n", w->name, "LAYER", w->shape, "SHAPE", w->scheme, "SCHEME",
           "BYTES", "BITS", "SQNR dB", "OUT dB", "MAX ERR", "ADVICE");
}

static void report_text(const struct tensor *t, const struct packed *p, const struct output_error *e,
                        const struct widths *w, const char *guidance)
{
    char scheme[SCHEME_TEXT], shape[48], bytes[16], sqnr[16], output[16];
    const struct qmatrix *m = &p->matrix;
    format_shape(shape, m);
    format_db(sqnr, weight_sqnr_db(&p->error));
    format_db(output, output_error_sqnr_db(e));
    printf("%-*s %*s %-*s %5s %5.2f %7s %6s %8.3g %s\n", w->name, t->name, w->shape, shape, w->scheme,
           scheme_print(&m->scheme, scheme), format_bytes(bytes, (double)m->bytes),
           8.0 * (double)m->bytes / ((double)m->rows * (double)m->cols), sqnr, output,
           (double)p->error.max_abs, guidance);
}

static void report_layers(const struct batch *b, const struct measured *measured,
                          const struct options *o)
{
    const struct model *m = b->session.model;
    struct widths widths = find_widths(b);
    if (!o->json)
        report_title(&widths);
    for (size_t i = 0; i < m->tensor_count; i++) {
        const char *guidance = guidance_name(tensor_advice(m, (int)i).guidance);
        const struct packed *p = b->weights->layer[i];
        if (o->json)
            report_json(&m->tensors[i], p, &measured->outputs[i], &measured->weights[i], guidance,
                        o->reference);
        else
            report_text(&m->tensors[i], p, &measured->outputs[i], &widths, guidance);
    }
}

static void report_totals(const struct batch *b, const struct options *o)
{
    const struct model *m = b->session.model;
    char size[16];
    size_t position = kv_bytes_per_position(m, b->weights->kv);
    printf("%s: %zu parameters, %s, %.3f bits/weight", m->format, m->parameters,
           format_bytes(size, (double)weights_size(b->weights)),
           weights_bits_per_weight(m, b->weights));
    if (outputs_are_exact(m, b->weights))
        printf("; all layers as stored\n");
    else
        printf("\noutput errors on %d tokens that the %s wrote itself\n", OUTPUT_TOKENS,
               o->reference ? "reference" : "model");
    printf("%s: %s, %zu bytes a position, %s for %zu positions\n", KV_NAME,
           dtypes[b->weights->kv].name, position,
           format_bytes(size, (double)(position * b->session.context)), b->session.context);
    if (o->reference)
        printf("reference: %s\n", o->reference);
}

static void report(const struct batch *b, const struct measured *measured, const struct options *o)
{
    report_layers(b, measured, o);
    if (!o->json)
        report_totals(b, o);
}

/* Output errors on some tokens that the model writes. */
static bool measure_outputs(const struct batch *b, struct output_error *errors, struct error *error)
{
    const struct session *s = &b->session;
    size_t n = s->context < OUTPUT_TOKENS ? s->context : OUTPUT_TOKENS;
    if (outputs_are_exact(s->model, b->weights))
        return output_errors(s, b->weights, NULL, n, errors, error);
    struct writer *writer = writer_open(s, n, SELF_TEXT_EVALUATION_SEED, error);
    while (writer && !writer_step(writer, 1))
        continue;
    bool ok = writer && output_errors(s, b->weights, writer_tokens(writer)->ids,
                                      writer_tokens(writer)->count, errors, error);
    writer_close(writer);
    return ok;
}

static bool measure_weights(const struct batch *b, struct weight_stats *stats, struct error *error)
{
    const struct session *s = &b->session;
    bool ok = true;
    for (size_t i = 0; ok && i < s->model->tensor_count; i++)
        ok = weight_stats_measure(s->model, b->weights->layer[i], s->pool, &stats[i], error);
    return ok;
}

int run_inspect(const struct options *o)
{
    struct batch batch;
    struct error error;
    int status;
    if (!batch_open(&batch, o, &status, &error))
        return complain(&error, status);
    size_t layers = batch.session.model->tensor_count;
    struct measured measured = {calloc(layers, sizeof *measured.outputs),
                                calloc(layers, sizeof *measured.weights)};
    bool ok = measured.outputs && measured.weights
                  ? batch_measure(&batch, &error) && batch_pack(&batch, &error)
                  : error_set(&error, "not enough memory");
    ok = ok && measure_outputs(&batch, measured.outputs, &error) &&
         (!o->json || measure_weights(&batch, measured.weights, &error));
    if (ok)
        report(&batch, &measured, o);
    free(measured.outputs);
    free(measured.weights);
    batch_close(&batch);
    return ok ? EXIT_DONE : complain(&error, EXIT_FAILED);
}
