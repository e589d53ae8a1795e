#include "against_internal.h"

#include "measure/pair_error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct against;

/* One thing that is done, in the order of the table. */
struct part {
    unsigned what;         /* the bit of the plan that asks for it */
    bool needs_reference;  /* another model's */
    const char *phase;
    double share;          /* of all work, about */
    bool (*open)(struct against *a, struct error *error);
    bool (*step)(struct against *a, double seconds, bool *done, struct error *error);
    double (*fraction)(const struct against *a);
    void (*close)(struct against *a);
};

struct against {
    struct against_plan plan;
    struct against_facts *facts;
    struct against_figures figures;
    struct against_layer *layers;   /* tensors */
    size_t part;                    /* of the table, the one under way */
    bool is_open;                   /* that part is */
    struct pair_errors *errors;     /* what it works with: one of these */
    struct against_timing *timing;
    struct quality *quality;
    struct quality_result *result;  /* where figures of quality go */
    int taken;                      /* layers whose errors have been taken over */
};

/* ---- what the files say ---------------------------------------------------------------------- */

static bool find_facts(struct against *a, double seconds, bool *done, struct error *error)
{
    (void)seconds;
    a->facts = against_facts_find(a->plan.session, error);
    *done = true;
    return a->facts != NULL;
}

/* ---- weights --------------------------------------------------------------------------------- */

static bool open_weights(struct against *a, struct error *error)
{
    const struct session *s = a->plan.session;
    a->errors = pair_errors_open(s->model, s->other_model, s->pool, error);
    return a->errors != NULL;
}

static void take_layer(struct against *a, int tensor, const struct pair_error *e)
{
    const struct tensor *t = &a->plan.session->model->tensors[tensor];
    double db = pair_error_sqnr_db(e);
    a->layers[tensor].sqnr_db = isnan(db) ? metric_absent("no weight is finite") : metric_value(db);
    a->layers[tensor].max_abs = e->max_abs;
    a->figures.layers++;
    a->figures.equal += isinf(db) != 0;
    if (!roles[t->role].linear || t->block < 0)
        return;
    a->figures.linear.w2 += e->sum_w2;
    a->figures.linear.e2 += e->sum_e2;
}

static bool step_weights(struct against *a, double seconds, bool *done, struct error *error)
{
    int count = (int)a->plan.session->model->tensor_count;
    bool ok = pair_errors_class.step(a->errors, seconds, done, error);
    for (; a->taken < count && pair_errors_of(a->errors, a->taken)->complete; a->taken++)
        take_layer(a, a->taken, pair_errors_of(a->errors, a->taken));
    return ok;
}

static double fraction_of_weights(const struct against *a)
{
    return pair_errors_class.fraction(a->errors);
}

static void close_weights(struct against *a)
{
    pair_errors_close(a->errors);
    a->errors = NULL;
}

/* ---- speed ----------------------------------------------------------------------------------- */

static bool open_speed(struct against *a, struct error *error)
{
    a->timing = against_timing_open(a->plan.session, &a->figures.speed, error);
    return a->timing != NULL;
}

static bool step_speed(struct against *a, double seconds, bool *done, struct error *error)
{
    (void)error;
    *done = against_timing_step(a->timing, seconds);
    return true;
}

static double fraction_of_speed(const struct against *a)
{
    return (double)a->figures.speed.rounds / AGAINST_ROUNDS;
}

static void close_speed(struct against *a)
{
    against_timing_close(a->timing);
    a->timing = NULL;
}

/* ---- quality --------------------------------------------------------------------------------- */

static bool open_b_from_a(struct against *a, struct error *error)
{
    const struct session *s = a->plan.session;
    a->result = &a->figures.from_a;
    a->quality = quality_open_against(s->other_model, s->other, s->model, s->stored, s->pool, &a->plan.quality, error);
    return a->quality != NULL;
}

static bool open_a_from_reference(struct against *a, struct error *error)
{
    const struct session *s = a->plan.session;
    a->result = &a->figures.from_reference[0];
    a->quality = quality_open_against(s->model, s->stored, s->reference_model, s->reference, s->pool, &a->plan.quality,
                                      error);
    return a->quality != NULL;
}

static bool open_b_from_reference(struct against *a, struct error *error)
{
    const struct session *s = a->plan.session;
    a->result = &a->figures.from_reference[1];
    a->quality = quality_open_against(s->other_model, s->other, s->reference_model, s->reference, s->pool,
                                      &a->plan.quality, error);
    return a->quality != NULL;
}

static bool step_quality(struct against *a, double seconds, bool *done, struct error *error)
{
    (void)error;
    *done = quality_step(a->quality, seconds);
    *a->result = quality_result(a->quality);
    return true;
}

static double fraction_of_quality(const struct against *a)
{
    return quality_fraction(a->quality);
}

static void close_quality(struct against *a)
{
    quality_close(a->quality);
    a->quality = NULL;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static const struct part parts[] = {
    {AGAINST_FACTS, false, "comparing metadata and tokenizers", 0.02, NULL, find_facts, NULL, NULL},
    {AGAINST_WEIGHTS, false, "comparing the weights of both files", 0.1, open_weights, step_weights, fraction_of_weights,
     close_weights},
    {AGAINST_SPEED, false, "timing both files in turns", 0.2, open_speed, step_speed, fraction_of_speed, close_speed},
    {AGAINST_QUALITY, true, "KL of a from the reference", 0.4, open_a_from_reference, step_quality,
     fraction_of_quality, close_quality},
    {AGAINST_QUALITY, true, "KL of b from the reference", 0.4, open_b_from_reference, step_quality,
     fraction_of_quality, close_quality},
    {AGAINST_QUALITY, false, "KL of b from a", 0.4, open_b_from_a, step_quality, fraction_of_quality, close_quality},
};
enum { PARTS = sizeof parts / sizeof *parts };

static bool is_asked(const struct against *a, const struct part *p)
{
    return (a->plan.what & p->what) && (!p->needs_reference || a->figures.has_reference);
}

static void close_part(struct against *a)
{
    if (a->is_open && parts[a->part].close)
        parts[a->part].close(a);
    a->is_open = false;
}

static bool open_part(struct against *a, struct error *error)
{
    const struct part *p = &parts[a->part];
    a->is_open = !p->open || p->open(a, error);
    return a->is_open;
}

static bool step(void *job, double seconds, bool *done, struct error *error)
{
    struct against *a = job;
    while (a->part < PARTS && !is_asked(a, &parts[a->part]))
        a->part++;
    *done = a->part == PARTS;
    if (*done)
        return true;
    bool over = false;
    if ((!a->is_open && !open_part(a, error)) || !parts[a->part].step(a, seconds, &over, error))
        return false;
    if (over) {
        close_part(a);
        a->part++;
    }
    return true;
}

static double fraction(const void *job)
{
    const struct against *a = job;
    double all = 0, done = 0;
    for (size_t i = 0; i < PARTS; i++) {
        const struct part *p = &parts[i];
        double share = is_asked(a, p) ? p->share : 0;
        bool here = i == a->part && a->is_open && p->fraction;
        all += share;
        done += i < a->part ? share : here ? share * p->fraction(a) : 0;
    }
    return all > 0 ? done / all : 1;
}

static const char *phase(const void *job)
{
    const struct against *a = job;
    return parts[a->part < PARTS ? a->part : PARTS - 1].phase;
}

static void close_job(void *job)
{
    against_close(job);
}

const struct job_class against_class = {
    .name = "comparing two files", .step = step, .fraction = fraction, .phase = phase, .close = close_job};

struct against *against_open(const struct against_plan *plan, struct error *error)
{
    const struct session *s = plan->session;
    struct against *a = calloc(1, sizeof *a);
    if (a) {
        a->plan = *plan;
        a->figures.has_reference = s->reference_model != NULL;
        a->layers = calloc(s->model->tensor_count, sizeof *a->layers);
    }
    if (!a || !a->layers) {
        against_close(a);
        error_set(error, "not enough memory to compare two files");
        return NULL;
    }
    for (size_t t = 0; t < s->model->tensor_count; t++) {
        const struct qmatrix *x = &s->model->tensors[t].stored, *y = &s->other_model->tensors[t].stored;
        a->layers[t] = (struct against_layer){.type = {x->format.weight, y->format.weight}, .bytes = {x->bytes, y->bytes},
                                              .sqnr_db = metric_absent("not compared yet")};
    }
    return a;
}

void against_close(struct against *a)
{
    if (!a)
        return;
    close_part(a);
    against_facts_unref(a->facts);
    free(a->layers);
    free(a);
}

const struct against_figures *against_figures(const struct against *a)
{
    return &a->figures;
}

struct against_facts *against_facts(const struct against *a)
{
    return a->facts;
}

const struct against_layer *against_layers(const struct against *a)
{
    return a->layers;
}
