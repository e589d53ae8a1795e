/* Writing the set in use as a file for other engines. */
#include "actions.h"
#include "export/export.h"
#include "jobs.h"

#include <stdlib.h>
#include <string.h>

struct exporting {
    char *path;          /* asked for: "PATH" or "PATH for FORMAT"; null: nothing is */
    struct weights *set; /* that was in use then: a reference */
};

static void forget(struct exporting *e)
{
    free(e->path);
    weights_unref(e->set);
    *e = (struct exporting){0};
}

static bool wanted(struct lab *lab, void *state, const void *running)
{
    (void)lab, (void)running;
    return ((const struct exporting *)state)->path != NULL;
}

static void *open_job(struct lab *lab, void *state, struct error *error)
{
    const struct session *s = lab->session;
    struct exporting *e = state;
    const char *format = export_split_format(e->path);
    struct export_plan plan = {.model = s->model,
                               .pool = s->pool,
                               .weights = e->set,
                               .path = e->path,
                               .format = format,
                               .importance = s->importance,
                               .tokenizer_path = s->tokenizer ? tokenizer_path(s->tokenizer) : NULL};
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

const struct job_type export_job = {
    .class = &export_class,
    .state_size = sizeof(struct exporting),
    .end = end,
    .wanted = wanted,
    .open = open_job,
    .finish = finish,
    .give_up = fail,
    .publish = publish,
};

static bool any_pending(const struct lab *lab)
{
    bool any = false;
    for (int t = 0; t < (int)lab_tensors(lab); t++)
        any |= tensor_pending(lab, t);
    return any;
}

static void stop(struct lab *lab, struct exporting *e)
{
    forget(e);
    job_cancel(lab, job_slot_of(lab, &export_job));
    lab_say(lab, false, "export cancelled; the partial file was removed");
}

static void start(struct lab *lab, struct exporting *e, const char *path)
{
    if (any_pending(lab)) {
        lab_say_while(lab, any_pending, true, "layers are still being quantized: export when they are done");
        return;
    }
    e->set = weights_ref(lab->set);
    e->path = strdup(path);
    if (e->path)
        return;
    forget(e);
    lab_say(lab, true, "not enough memory");
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
