/* qtop calibrate: an importance matrix, as llama.cpp has it, of a calibration text. */
#include "batch.h"

#include "export/imatrix_export.h"
#include "interrupt.h"
#include "quant/imatrix_collect.h"

#include <stdlib.h>
#include <string.h>

/* ---- the text ------------------------------------------------------------------------------------ */

/* Windows of the text that the session has, or of the one that its model writes. The caller frees out->tokens. */
static bool cut_text(struct session *s, const struct options *o, struct calibration_text *out, struct error *error)
{
    const struct tokens *text = &s->calibration;
    size_t window, most = o->given_tokens ? (size_t)o->tokens : s->calibration_is_default ? CALIBRATION_MAX : SIZE_MAX;
    size_t count = text->count < most ? text->count : most;
    if (!evaluation_window(s, o, &window, error))
        return false;
    if (text->count == 0 && (o->protocol || o->window || o->given_tokens))
        return error_set(error,
                         "the model writes the calibration text, in windows of its own; expected --calibration FILE "
                         "with %s",
                         o->protocol ? "--protocol"
                         : o->window ? "--window"
                                     : "--tokens");
    if (text->count == 0) {
        bool ok = session_calibration_text(s, error);
        *out = s->calibration_text;
        s->calibration_text = (struct calibration_text){0};
        return ok;
    }
    if (protocol_by_name(o->protocol) == PROTOCOL_LLAMACPP)
        return calibration_text_make_replacing(out, text->ids, count, session_bos(s), window, error);
    return calibration_text_make_in(out, text->ids, count, count, session_bos(s), window, error);
}

/* ---- the file ------------------------------------------------------------------------------------ */

/* Experts without a token: one line an entry. Returns how many there are in all. */
static size_t note_gaps(const struct imatrix *m)
{
    size_t all = 0;
    for (size_t i = 0; i < m->count; i++) {
        const struct imatrix_entry *e = &m->entries[i];
        char line[256];
        size_t none = 0;
        for (size_t r = 0; r < e->rows; r++)
            none += e->counts[r] == 0;
        snprintf(line, sizeof line, "%.120s: no token of the text uses %zu of %zu experts", e->name, none, e->rows);
        if (none > 0)
            note(line);
        all += none;
    }
    return all;
}

struct written {
    size_t entries, tokens, bytes, gaps, nonfinite;
};

static void report(const struct options *o, const struct session *s, const struct imatrix *m, const struct written *w)
{
    char path[SHOWN_TEXT];
    const char *text = *s->calibration_name ? s->calibration_name : TEXT_SELF;
    if (!o->json) {
        fprintf(stderr, "qtop: %s: %zu entries of %zu tokens (%s) in windows of %zu, %zu bytes\n",
                shown(path, o->output), w->entries, w->tokens, text, m->chunk_size, w->bytes);
        return;
    }
    json_t *j = json_object();
    json_object_set_new(j, "file", json_text(o->output));
    json_add(j, "bytes", (double)w->bytes, NULL);
    json_add(j, "entries", (double)w->entries, NULL);
    json_object_set_new(j, "text_name", json_text(text));
    json_add(j, "tokens", (double)w->tokens, NULL);
    json_add(j, "window", (double)m->chunk_size, NULL);
    json_add(j, "chunks", (double)m->chunk_count, NULL);
    json_object_set_new(j, "protocol", json_string(protocol_name(protocol_by_name(o->protocol))));
    json_add(j, "experts_without_data", (double)w->gaps, NULL);
    json_add(j, "nonfinite_tokens", (double)w->nonfinite, NULL);
    print_record(j, o, true);
}

static bool write_matrix(const struct options *o, const struct session *s, struct imatrix_collect *job, size_t tokens,
                         struct error *error)
{
    struct imatrix matrix;
    struct written w = {.tokens = tokens, .nonfinite = imatrix_collect_nonfinite(job)};
    char line[120];
    imatrix_collect_take(job, &matrix);
    w.entries = matrix.count;
    bool ok = imatrix_write(&matrix, o->output, &w.bytes, error);
    if (ok) {
        w.gaps = note_gaps(&matrix);
        snprintf(line, sizeof line, "activations of %zu of %zu tokens are not finite and left out", w.nonfinite,
                 tokens);
        if (w.nonfinite > 0)
            note(line);
        report(o, s, &matrix, &w);
    }
    imatrix_free(&matrix);
    return ok;
}

/* ---- the job ------------------------------------------------------------------------------------- */

static bool collect(struct batch *b, const struct options *o, struct error *error)
{
    struct session *s = &b->session;
    struct calibration_text text = {0};
    bool cancelled = false;
    if (!batch_check_output(b, o, error) || !batch_calibration(b, error))
        return false;
    bool ok = cut_text(s, o, &text, error);
    struct imatrix_collect_plan plan = {.model = s->model,
                                        .pool = s->pool,
                                        .weights = s->stored,
                                        .text = &text,
                                        .dataset = o->calibration ? o->calibration : s->calibration_name,
                                        .output = o->process_output};
    struct imatrix_collect *job = ok ? imatrix_collect_open(&plan, error) : NULL;
    pool_bind_caller(s->pool);
    ok = job && session_run(s, &imatrix_collect_class, job, &cancelled, error) &&
         write_matrix(o, s, job, text.count, error);
    imatrix_collect_close(job);
    free(text.tokens);
    return ok;
}

int run_calibrate(const struct options *o)
{
    struct batch batch;
    struct error error;
    int status;
    if (!o->output) {
        error_set(&error, "qtop calibrate needs -o FILE");
        return complain(&error, EXIT_USAGE);
    }
    if (!batch_open(&batch, o, &status, &error))
        return complain(&error, status);
    bool ok = collect(&batch, o, &error);
    batch_close(&batch);
    return ok ? EXIT_DONE : complain(&error, EXIT_FAILED);
}
