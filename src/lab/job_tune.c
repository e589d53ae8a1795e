/* The search for the best scheme of every layer within a budget; what it found is taken over as one change and kept
 * as a snapshot. */
#include "actions.h"
#include "export/tuning.h"
#include "jobs.h"
#include "quant/rivals.h"
#include "session/kept_search.h"
#include "snapshots.h"
#include "study.h"
#include "target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tuning {
    bool asked;
    struct budget budget;
    struct tune_file *file; /* of a budget for a format; or null */
    struct rivals rivals;   /* named mixes to compare with, of GGUF */
    uint64_t refused;       /* budgets so far */
};

static void forget(struct tuning *t)
{
    export_tuning_close(t->file);
    rivals_close(&t->rivals);
    *t = (struct tuning){.refused = t->refused};
}

static bool wanted(struct lab *lab, void *state, const void *running)
{
    (void)lab, (void)running;
    return ((const struct tuning *)state)->asked;
}

/* From what an earlier search of the same measured before it was stopped, or the program ended. */
static void go_on(struct lab *lab, struct kept_search *search)
{
    struct error why;
    if (!kept_search_is_there(search))
        return;
    if (kept_search_resume(search, &why))
        lab_say(lab, false, "searching: what %zu parts of an earlier search measured is taken over", search->kept);
    else
        lab_say(lab, true, "%s", why.text);
}

/* Three different texts: for calibration, for the search and held out for the verdict. */
static void *open_job(struct lab *lab, void *state, struct error *error)
{
    struct session *s = lab->session;
    const struct tokens *search = &lab->study[TEXT_SEARCH].source.tokens;
    struct tune_plan plan = {.model = s->model,
                             .pool = s->pool,
                             .stored = s->stored,
                             .reference = s->reference,
                             .kv = lab->target[lab_kv(lab)].format.weight,
                             .budget = ((const struct tuning *)state)->budget,
                             .file = ((const struct tuning *)state)->file,
                             .text = &lab->study[TEXT_CALIBRATION].source.windows,
                             .importance = s->importance,
                             .search = search->ids,
                             .search_count = search->count,
                             .verify = study_quality_plan(lab),
                             .context = s->context,
                             .rival = ((const struct tuning *)state)->rivals.of,
                             .rivals = ((const struct tuning *)state)->rivals.count};
    struct kept_search *kept = kept_search_open(&plan, error);
    if (kept)
        go_on(lab, kept);
    return kept;
}

/* What the file of the choice has; null where it is for none. */
static struct file_sizes *sizes_of(const struct lab *lab, const struct tuning *t, const struct tuned *best)
{
    size_t n = lab_tensors(lab);
    struct file_sizes *f = t->file ? malloc(sizeof *f + n * sizeof *f->tensor) : NULL;
    if (!f)
        return NULL;
    *f = (struct file_sizes){.size = best->size,
                             .bits_per_weight = best->bits_per_weight,
                             .bits_per_weight_all = best->bits_per_weight_all};
    atomic_init(&f->refs, 1);
    memcpy(f->format, t->budget.format, sizeof f->format);
    for (size_t i = 0; i < n; i++)
        f->tensor[i] = t->file->tensor_bytes(t->file->context, (int)i, &best->schemes[i]);
    return f;
}

/* What was found becomes the target; its matrices are cached, so that it is in use at once. False where nothing was
 * found. */
static bool take_over(struct lab *lab, const struct tuning *t, const struct tune *job)
{
    struct tuned best;
    if (!tune_best(job, &best))
        return false;
    for (size_t i = 0; i < best.set->count; i++)
        if (!qformat_as_stored(&best.set->layer[i]->matrix.format))
            cache_add(&lab->cache, best.set->layer[i]);
    size_t n = schemes_count(lab->session->model);
    struct scheme *schemes = malloc(n * sizeof *schemes);
    if (!schemes)
        return false;
    memcpy(schemes, best.schemes, n * sizeof *schemes);
    schemes[lab_kv(lab)] = lab->target[lab_kv(lab)]; /* it may have changed since */
    bool same = schemes[lab_kv(lab)].format.weight == best.set->kv;
    target_use(lab, schemes);
    free(schemes);
    if (same && weights_same_layers(lab->set, best.set)) /* it was evaluated as it is now in use */
        lab_know_quality(lab, &best.quality);
    char kept[32] = "no snapshot: there is no room";
    if (snapshots_keep(lab)) {
        snapshots_give_file(lab, sizes_of(lab, t, &best));
        snprintf(kept, sizeof kept, "snapshot %c", lab->snapshots.of[snapshots_current(lab)].label);
    }
    const struct quality_basis *text = &best.quality.basis;
    char mix[64] = "";
    if (best.rival)
        snprintf(mix, sizeof mix, "; %.24s: KL %.3g", best.rival, best.rival_quality.kl);
    lab_say(lab, false, /* figures first: a narrow screen cuts what comes last */
            "found KL %.3g in %zu bytes%s%s, %.2f bits linear, %.2f all (%s%s; on %s, %zu tokens; u undoes it, w "
            "writes it, o exports it)",
            best.quality.kl, best.size, t->file ? " as " : "", t->budget.format, best.bits_per_weight,
            best.bits_per_weight_all, kept, mix, text->text, text->tokens);
    return true;
}

static void finish(struct lab *lab, void *state, void *running)
{
    if (!take_over(lab, state, ((const struct kept_search *)running)->job))
        lab_say(lab, true, "not enough memory");
    ((struct tuning *)state)->asked = false; /* the file goes with the next search, after the job */
}

static void fail(struct lab *lab, void *state, const struct error *error)
{
    lab_say(lab, true, "cannot search: %s", error->text);
    ((struct tuning *)state)->asked = false;
}

static void end(struct lab *lab, void *state)
{
    (void)lab;
    forget(state);
}

static void publish(const struct lab *lab, const void *state, const void *running, struct frame *f)
{
    (void)lab, (void)running;
    f->tuning = ((const struct tuning *)state)->asked;
    f->budgets_refused = ((const struct tuning *)state)->refused;
}

static void stop(struct lab *lab, void *state)
{
    struct tuning *t = state;
    const struct job_slot *job = job_slot_of(lab, &tune_job);
    if (!job->running || !take_over(lab, t, ((const struct kept_search *)job->running)->job))
        lab_say(lab, false, "search stopped: nothing found yet");
    t->asked = false;
    job_cancel(lab, job_slot_of(lab, &tune_job));
}

const struct job_type tune_job = {
    .class = &kept_search_class,
    .state_size = sizeof(struct tuning),
    .end = end,
    .wanted = wanted,
    .needs = NEED_EVALUATION_TEXT | NEED_CALIBRATION_TEXT | NEED_SEARCH_TEXT, /* three texts, none of which is another */
    .open = open_job,
    .finish = finish,
    .give_up = fail,
    .stop = stop,
    .publish = publish,
};

/* Whether what is asked for can be reached. */
static bool begin(const struct session *s, const char *text, struct tuning *t, struct error *error)
{
    if (!export_budget_parse(text, &t->budget, error))
        return false;
    export_budget_default(s->model, &t->budget);
    if (*t->budget.format)
        t->file = export_tuning_open(s->model, t->budget.format, s->tokenizer ? tokenizer_path(s->tokenizer) : NULL,
                                     error);
    struct tune_plan plan = {.model = s->model, .stored = s->stored, .budget = t->budget, .file = t->file};
    return (t->file || !*t->budget.format) && tune_check(&plan, error);
}

static void start(struct lab *lab, struct tuning *t, const char *budget)
{
    struct error error;
    forget(t);
    if (!begin(lab->session, budget, t, &error)) {
        t->refused++;
        lab_say(lab, true, "%s", error.text);
        return;
    }
    if (strcmp(t->budget.format, "gguf") == 0)
        rivals_open(&t->rivals, lab->session->model);
    t->asked = true;
    study_retry(lab);
    lab_say(lab, false, "searching (T stops and keeps the best so far)");
}

/* Without a budget: stops the search that runs; the best so far stays. */
void tune(struct lab *lab, const struct command *c)
{
    struct tuning *t = job_state(lab, &tune_job);
    if (*c->text && t->asked)
        lab_say(lab, true, "another search runs: T stops it");
    else if (*c->text)
        start(lab, t, c->text);
    else if (t->asked)
        stop(lab, t);
}
