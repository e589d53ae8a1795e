/* qtop export: the quantized model as a file for other engines. */
#include "batch.h"

#include "export/export.h"
#include "base/clock.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static const double SLICE = 0.05; /* seconds between two looks at signals and the progress line */

/* ---- signals --------------------------------------------------------------------------------- */

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
enum { ENDING = sizeof ending / sizeof *ending };
static volatile sig_atomic_t ended_by;

static void remember(int number)
{
    ended_by = number;
}

/* Those that were ignored from outside stay so. */
static void catch_signals(struct sigaction before[ENDING])
{
    for (int i = 0; i < ENDING; i++) {
        sigaction(ending[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN)
            sigaction(ending[i], &(struct sigaction){.sa_handler = remember}, NULL);
    }
}

static void release_signals(const struct sigaction before[ENDING])
{
    for (int i = 0; i < ENDING; i++)
        sigaction(ending[i], &before[i], NULL);
}

/* ---- the job --------------------------------------------------------------------------------- */

static void show(const struct batch *b, double fraction)
{
    const struct session *s = &b->session;
    if (s->progress)
        s->progress(s->progress_arg, "writing", (size_t)(fraction * 1000), 1000);
}

static void report(const struct options *o, const struct export *job)
{
    char bytes[16];
    for (size_t i = 0; export_note(job, i); i++)
        note(export_note(job, i));
    fprintf(stderr, "qtop: %s: %s bytes\n", o->output, format_bytes(bytes, (double)export_bytes(job)));
}

static struct export_plan plan_of(const struct batch *b, const struct options *o)
{
    const struct session *s = &b->session;
    return (struct export_plan){.model = s->model,
                                .pool = s->pool,
                                .weights = b->weights,
                                .tokenizer_path = s->tokenizer ? tokenizer_path(s->tokenizer) : NULL,
                                .path = o->output,
                                .format = o->format};
}

static bool run_job(const struct batch *b, const struct options *o, struct error *error)
{
    struct export_plan plan = plan_of(b, o);
    struct export *job = export_open(&plan, error);
    bool ok = job, done = false;
    while (ok && !done && !ended_by) {
        ok = export_step(job, SLICE, &done, error);
        show(b, export_fraction(job));
    }
    show(b, 1);
    if (done)
        report(o, job);
    export_close(job);
    return ok;
}

int run_export(const struct options *o)
{
    struct batch batch;
    struct error error;
    struct sigaction before[ENDING];
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
    bool ok = export_check(&plan, batch.schemes, &error) && batch_pack(&batch, &error);
    catch_signals(before); /* nothing is written before, so nothing can stay behind */
    ok = ok && run_job(&batch, o, &error);
    release_signals(before);
    batch_close(&batch);
    if (ended_by)
        raise(ended_by);
    return ok ? EXIT_DONE : complain(&error, EXIT_FAILED);
}
