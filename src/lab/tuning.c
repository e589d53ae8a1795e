/* The search for the best scheme of every layer within a budget, in the background; what it found is taken over as
 * one change and kept as a snapshot. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tuning_stop(struct lab *lab)
{
    struct tuning *t = &lab->tuning;
    tune_close(t->job);
    writer_close(t->writer);
    t->job = NULL;
    t->writer = NULL;
    t->asked = false;
}

void tuning_end(struct lab *lab)
{
    tuning_stop(lab);
    free(lab->tuning.searched.ids);
}

/* What was found becomes the target; its matrices are cached, so that it is in use at once. */
static bool take_over(struct lab *lab)
{
    struct tuned best;
    if (!tune_best(lab->tuning.job, &best))
        return false;
    for (size_t i = 0; i < best.set->count; i++)
        if (!best.set->layer[i]->matrix.format.stored)
            cache_add(&lab->cache, best.set->layer[i]);
    size_t n = schemes_count(lab->session->model);
    struct scheme *schemes = malloc(n * sizeof *schemes);
    if (!schemes)
        return false;
    memcpy(schemes, best.schemes, n * sizeof *schemes);
    schemes[kv_index(lab->session->model)] = lab->target[kv_index(lab->session->model)]; /* it may have changed since */
    edits_use(lab, schemes);
    free(schemes);
    char kept[32] = "no snapshot: there is no room";
    if (edits_snapshot(lab))
        snprintf(kept, sizeof kept, "snapshot %c", lab->snapshots[lab->snapshot_count - 1].label);
    lab_say(lab, false,
            "found %.3f bits/weight with KL %.3g measured (%s; u takes it back, w writes it, o exports it)",
            best.bits_per_weight, best.quality.kl, kept);
    return true;
}

/* Stopped, the best so far stays. */
void tuning_ask(struct lab *lab, const char *text)
{
    struct error error;
    if (lab->tuning.asked) {
        if (!lab->tuning.job || !take_over(lab))
            lab_say(lab, false, "the search is stopped; it had not found anything yet");
        tuning_stop(lab);
        return;
    }
    if (!budget_parse(text, &lab->tuning.budget, &error)) {
        lab_say(lab, true, "%s", error.text);
        return;
    }
    struct tune_plan plan = {.model = lab->session->model, .stored = lab->session->stored,
                             .budget = lab->tuning.budget};
    if (!tune_check(&plan, &error)) {
        lab_say(lab, true, "%s", error.text);
        return;
    }
    lab->tuning.asked = true;
    lab_say(lab, false, "searching (T stops and keeps the best so far)");
}

/* A text of its own: neither the one that methods calibrate on nor the one that quality is measured on. */
static bool search_text(struct lab *lab, double seconds)
{
    struct tuning *t = &lab->tuning;
    struct error error;
    if (t->searched.count > 0)
        return true;
    if (!t->writer && !making_reference(lab, seconds, &error)) {
        if (*error.text)
            lab_say(lab, true, "%s", error.text), tuning_stop(lab);
        return false;
    }
    if (!t->writer && !(t->writer = writer_open(lab->session, TUNE_SEARCH_TOKENS, SELF_TEXT_SEARCH_SEED, &error))) {
        lab_say(lab, true, "%s", error.text);
        tuning_stop(lab);
        return false;
    }
    jobs_show(lab, "writing a text to search on", (double)writer_tokens(t->writer)->count / TUNE_SEARCH_TOKENS);
    if (!writer_step(t->writer, seconds))
        return false;
    writer_take(t->writer, &t->searched);
    writer_close(t->writer);
    t->writer = NULL;
    return true;
}

static bool open_job(struct lab *lab, struct error *error)
{
    struct session *s = lab->session;
    struct tune_plan plan = {.model = s->model, .pool = s->pool, .stored = s->stored,
                             .reference = s->reference, .kv = lab->target[kv_index(s->model)].format.weight,
                             .budget = lab->tuning.budget, .text = &lab->calibrating.text.text,
                             .search = lab->tuning.searched.ids, .search_count = lab->tuning.searched.count,
                             .verify = judging_plan(lab), .context = s->context};
    lab->tuning.job = tune_open(&plan, error);
    return lab->tuning.job != NULL;
}

bool tuning_slice(struct lab *lab, double seconds)
{
    struct error error;
    bool done = false;
    if (!lab->tuning.asked)
        return false;
    if (lab->evaluation_reason) {
        lab_say(lab, true, "no search: %s", lab->evaluation_reason);
        tuning_stop(lab);
        return false;
    }
    if (!lab->evaluation_ready) /* its text is on its way */
        return false;
    if (!calibrating_text(lab, seconds) || !search_text(lab, seconds))
        return lab->tuning.asked;
    bool ok = lab->tuning.job || open_job(lab, &error);
    if (ok) {
        jobs_show(lab, tune_work(lab->tuning.job), tune_fraction(lab->tuning.job));
        ok = tune_step(lab->tuning.job, seconds, &done, &error);
    }
    if (!ok)
        lab_say(lab, true, "%s", error.text);
    else if (done)
        take_over(lab);
    if (!ok || done)
        tuning_stop(lab);
    return true;
}
