/* qtop export: the quantized model as a file for other engines. */
#include "batch.h"

#include "export/export.h"
#include "interrupt.h"

#include <string.h>

/* ---- the job --------------------------------------------------------------------------------- */

static void report(const struct options *o, const struct export *job)
{
    char path[SHOWN_TEXT];
    const char *beside = export_beside_names(job);
    for (size_t i = 0; export_note(job, i); i++)
        note(export_note(job, i));
    fprintf(stderr, "qtop: %s: %zu bytes%s%s%s\n", shown(path, o->output), export_bytes(job),
            *beside ? " (beside it " : "", beside, *beside ? ")" : "");
}

static struct export_plan plan_of(const struct batch *b, const struct options *o)
{
    const struct session *s = &b->session;
    return (struct export_plan){.model = s->model,
                                .pool = s->pool,
                                .weights = b->weights,
                                .tokenizer_path = s->tokenizer ? tokenizer_path(s->tokenizer) : NULL,
                                .path = o->output,
                                .format = o->format,
                                .importance = s->importance,
                                .allow_overflow = o->allow_overflow};
}

static bool write_file(struct batch *b, const struct options *o, struct error *error)
{
    struct export_plan plan = plan_of(b, o);
    struct export *job = export_open(&plan, error);
    bool cancelled, ok = job && session_run(&b->session, &export_class, job, &cancelled, error);
    if (ok)
        report(o, job);
    export_close(job);
    return ok;
}

/* A training that Ctrl-C interrupts is kept before the program dies. */
static bool pack(struct batch *b, struct error *error)
{
    interrupt_catch(&b->session);
    bool ok = batch_pack(b, error);
    interrupt_release();
    return ok;
}

int run_export(const struct options *o)
{
    struct batch batch;
    struct error error;
    int status;
    if (!o->output) {
        error_set(&error, "qtop export needs -o FILE");
        return complain(&error, EXIT_USAGE);
    }
    if (o->format && !export_format_known(o->format)) {
        char names[EXPORT_NAMES];
        error_set(&error, "--format '%.40s': expected %s", o->format, export_format_names(names));
        return complain(&error, EXIT_USAGE);
    }
    if (!batch_open(&batch, o, &status, &error))
        return complain(&error, status);
    struct export_plan plan = plan_of(&batch, o);
    bool ok = batch_check_output(&batch, o, &error) && export_check(&plan, batch.schemes, &error) && pack(&batch, &error);
    ok = ok && write_file(&batch, o, &error);
    batch_close(&batch);
    return ok ? EXIT_DONE : complain(&error, EXIT_FAILED);
}
