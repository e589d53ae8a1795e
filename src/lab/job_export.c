/* Writing the set in use as a file for other engines. */
#include "actions.h"
#include "export/export.h"
#include "jobs.h"

#include <stdlib.h>
#include <string.h>

struct exporting {
    char *path;          /* asked for: "PATH" or "PATH for FORMAT"; null: nothing is */
    struct weights *set; /* that was in use then: a reference; null: layers are still being quantized */
};

static void forget(struct exporting *e)
{
    free(e->path);
    weights_unref(e->set);
    *e = (struct exporting){0};
}

/* Waits for what is still being quantized. */
static bool wanted(struct lab *lab, void *state, const void *running)
{
    struct exporting *e = state;
    (void)running;
    if (e->path && !e->set && !lab_pending(lab))
        e->set = weights_ref(lab->set);
    return e->set != NULL;
}

static struct export_plan plan_of(const struct lab *lab, struct weights *set, const char *path, const char *format)
{
    const struct session *s = lab->session;
    return (struct export_plan){.model = s->model,
                                .pool = s->pool,
                                .weights = set,
                                .path = path,
                                .format = format,
                                .importance = s->importance,
                                .tokenizer_path = s->tokenizer ? tokenizer_path(s->tokenizer) : NULL};
}

static void *open_job(struct lab *lab, void *state, struct error *error)
{
    struct exporting *e = state;
    const char *format = export_split_format(e->path);
    struct export_plan plan = plan_of(lab, e->set, e->path, format);
    struct export *job = export_open(&plan, error);
    if (job)
        lab_say(lab, false, "exporting to %s (o stops it)", e->path);
    return job;
}

static void finish(struct lab *lab, void *state, void *running)
{
    const char *note = export_note(running, 0), *beside = export_beside_names(running);
    lab_say(lab, false, "exported to %s, %zu bytes%s%s%s%s", export_path(running), export_bytes(running),
            *beside ? ", beside it " : "", beside, note ? ": " : "", note ? note : "");
    forget(state);
}

static void fail(struct lab *lab, void *state, const struct error *error)
{
    (void)lab, (void)error;
    forget(state);
}

static void end(struct lab *lab, void *state)
{
    (void)lab;
    forget(state);
}

static void publish(const struct lab *lab, const void *state, const void *running, struct frame *f)
{
    (void)lab, (void)running;
    f->exporting = ((const struct exporting *)state)->path != NULL;
}

static void stop(struct lab *lab, void *state)
{
    forget(state);
    job_cancel(lab, job_slot_of(lab, &export_job));
    lab_say(lab, false, "export cancelled; the partial file was removed");
}

const struct job_type export_job = {
    .class = &export_class,
    .state_size = sizeof(struct exporting),
    .end = end,
    .wanted = wanted,
    .open = open_job,
    .finish = finish,
    .give_up = fail,
    .stop = stop,
    .publish = publish,
};

static bool waits(const struct lab *lab)
{
    const struct exporting *e = job_state(lab, &export_job);
    return e->path && !e->set;
}

/* What the format does not hold is refused before layers are waited for. */
static bool check(const struct lab *lab, const char *asked, struct error *error)
{
    char *path = strdup(asked);
    const char *format = path ? export_split_format(path) : NULL;
    struct export_plan plan = plan_of(lab, NULL, path, format);
    bool ok = path ? export_check(&plan, lab->target, error) : error_set(error, "not enough memory");
    free(path);
    return ok;
}

static void start(struct lab *lab, struct exporting *e, const char *path)
{
    struct error error;
    if (lab_pending(lab) && !check(lab, path, &error)) {
        lab_say(lab, true, "%s", error.text);
        return;
    }
    e->path = strdup(path);
    if (!e->path)
        lab_say(lab, true, "not enough memory");
    else if (lab_pending(lab))
        lab_say_while(lab, waits, false, "exported when the layers are quantized (o cancels it)");
}

/* Without a path: stops the export that runs. */
void export_set(struct lab *lab, const struct command *c)
{
    struct exporting *e = job_state(lab, &export_job);
    if (*c->text && e->path)
        lab_say(lab, true, "another export runs: o stops it");
    else if (*c->text)
        start(lab, e, c->text);
    else if (e->path)
        stop(lab, e);
}
