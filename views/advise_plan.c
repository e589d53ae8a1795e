#include "advise_plan.h"

#include "export/tuning.h"
#include "measure/bandwidth.h"
#include "measure/roofs_cache.h"
#include "sys/topology.h"

#include <math.h>
#include <stdlib.h>

bool advise_plan_limits(const struct options *o, struct advise_plan *plan, struct error *error)
{
    plan->limits = (struct advise_limits){.min_rate = o->min_rate, .max_kl = o->max_kl};
    plan->goal = advise_goal_by_name(o->for_format);
    if (plan->goal == GOALS)
        return error_set(error, "--for '%.40s': expected size, speed, quality or balance", o->for_format);
    return (!o->max_size || size_parse("--max-size", o->max_size, &plan->limits.max_file, error)) &&
           (!o->max_memory || size_parse("--max-memory", o->max_memory, &plan->limits.max_memory, error));
}

enum { SWEEPS = 5 };

/* As it was measured before, else from a few sweeps; NaN where the topology does not say which caches they must exceed.
 */
static double read_bandwidth(const struct session *s)
{
    struct roofs roofs;
    struct roofs_source source;
    struct bandwidth_probe probe;
    struct error none;
    double sweeps[SWEEPS];
    if (roofs_recall(s->pool, &roofs, &source) && roofs.read_count > 0)
        return roofs.reads[roofs.read_count - 1].roof.rate.median;
    if (topology_simulated() || !bandwidth_open(&probe, s->pool, &none))
        return NAN;
    for (size_t i = 0; i < SWEEPS; i++)
        sweeps[i] = bandwidth_sweep(&probe);
    bandwidth_close(&probe);
    return stats_of(sweeps, SWEEPS).median;
}

bool advise_plan_calibrate(struct batch *b, struct advise_plan *plan, struct error *error)
{
    plan->text = &b->session.calibration_text;
    return batch_calibration(b, error) && session_calibration_text(&b->session, error);
}

static bool fill_quality(struct batch *b, const struct options *o, struct advise_plan *plan, struct study_tokens *text,
                         struct error *error)
{
    struct session *s = &b->session;
    plan->quality = (struct quality_plan){.bos = session_bos(s), .protocol = protocol_by_name(o->protocol)};
    if (!evaluation_window(s, o, &plan->quality.window, error) ||
        !quality_tokens(b, o, o->given_tokens ? (size_t)o->tokens : DEFAULT_TOKENS, text, error))
        return false;
    plan->quality.tokens = text->list.ids;
    plan->quality.count = text->list.count;
    plan->quality.text = text->name;
    plan->tokens = o->given_tokens ? text->list.count : 0;
    return quality_predictions(&plan->quality, error) > 0;
}

bool advise_plan_open(struct batch *b, const struct options *o, struct advise_plan *plan, struct study_tokens *text,
                      struct error *error)
{
    struct session *s = &b->session;
    struct error none;
    plan->session = s;
    plan->kv = b->schemes[kv_index(s->model)].format.weight;
    plan->read = read_bandwidth(s);
    plan->file = export_tuning_open(s->model, "gguf", s->tokenizer ? tokenizer_path(s->tokenizer) : NULL, &none);
    plan->format = plan->file ? "gguf" : NULL;
    return fill_quality(b, o, plan, text, error);
}

void advise_plan_close(struct advise_plan *plan, struct study_tokens *text)
{
    free(text->list.ids);
    export_tuning_close((struct tune_file *)plan->file);
}
