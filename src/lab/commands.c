#include "commands.h"

#include "actions.h"
#include "perf_sampler.h"
#include "sampled_steps.h"
#include "text.h"

static void select_weight(struct lab *lab, const struct command *c)
{
    struct selection *s = &lab->selection;
    int tensor = c->tensor_count > 0 ? c->tensors[0] : s->tensor;
    if (tensor == lab_kv(lab)) /* no matrix to look into: the last one stays */
        return;
    const struct qmatrix *m = &lab->set->layer[tensor]->matrix;
    if (tensor != s->tensor)
        sampled_steps_reset_output(lab);
    s->tensor = tensor;
    s->row = c->row < m->rows ? c->row : m->rows - 1;
    s->col = c->col < m->cols ? c->col : m->cols - 1;
}

static void toggle_event(struct lab *lab, const struct command *c)
{
    perf_sampler_toggle(lab, c->text);
}

static void list_events(struct lab *lab, const struct command *c)
{
    (void)c;
    perf_sampler_list(lab);
}

static void toggle_pause(struct lab *lab, const struct command *c)
{
    (void)c;
    lab->paused = !lab->paused;
    lab->meter.skip_next = true;
    lab_say(lab, false, lab->paused ? "paused: p resumes" : "resumed");
}

static void sleep_or_wake(struct lab *lab, const struct command *c)
{
    lab->idle = c->index != 0;
    lab->meter.skip_next = true;
}

static void restart_text(struct lab *lab, const struct command *c)
{
    (void)c;
    text_restart(lab);
    lab_say(lab, false, "text restarted with seed %llu", (unsigned long long)text_seed(lab));
}

static void set_prompt(struct lab *lab, const struct command *c)
{
    if (text_prompt(lab, c->text))
        lab_say(lab, false, "new prompt; tokens with BOS: %zu", text_prompt_tokens(lab));
}

static void toggle_chat(struct lab *lab, const struct command *c)
{
    (void)c;
    text_toggle_chat(lab);
}

static void set_sampling(struct lab *lab, const struct command *c)
{
    text_sampling(lab, (float)c->temperature, c->seed);
    lab_say(lab, false, "temperature %g, seed %llu", c->temperature, (unsigned long long)c->seed);
}

static void watch_reference(struct lab *lab, const struct command *c)
{
    text_watch_reference(lab, c->index != 0);
}

static void watch_outputs(struct lab *lab, const struct command *c)
{
    lab->watches_outputs = c->index != 0;
}

static action_fn *const actions[COMMAND_KINDS] = {
    [COMMAND_CYCLE] = cycle_scheme,
    [COMMAND_SET] = set_scheme,
    [COMMAND_MIX] = set_mix,
    [COMMAND_SAME] = same_everywhere,
    [COMMAND_UNDO] = undo,
    [COMMAND_REDO] = redo,
    [COMMAND_STEP] = go_to_step,
    [COMMAND_STOP_JOB] = stop_job,
    [COMMAND_SNAPSHOT] = keep_snapshot,
    [COMMAND_RESTORE] = restore_snapshot,
    [COMMAND_SWAP] = swap_snapshots,
    [COMMAND_NAME_SNAPSHOT] = name_snapshot,
    [COMMAND_ANNOTATE_SNAPSHOT] = annotate_snapshot,
    [COMMAND_DELETE_SNAPSHOT] = delete_snapshot,
    [COMMAND_SELECT] = select_weight,
    [COMMAND_EVALUATE] = evaluate_now,
    [COMMAND_SENSITIVITY] = measure_sensitivity,
    [COMMAND_COMPARE_METHODS] = compare_methods,
    [COMMAND_STOP_TRAINING] = stop_training,
    [COMMAND_TUNE] = tune,
    [COMMAND_ADVISE] = advise,
    [COMMAND_ADVISE_LIMITS] = limit_advice,
    [COMMAND_AGAINST] = compare_files,
    [COMMAND_TIME_SNAPSHOTS] = time_snapshots,
    [COMMAND_EXPORT] = export_set,
    [COMMAND_STUDY] = exchange_text,
    [COMMAND_ROOFS] = measure_roofs,
    [COMMAND_BATCH] = change_batch,
    [COMMAND_COUNT] = toggle_event,
    [COMMAND_LIST_EVENTS] = list_events,
    [COMMAND_PAUSE] = toggle_pause,
    [COMMAND_SLEEP] = sleep_or_wake,
    [COMMAND_RESTART] = restart_text,
    [COMMAND_PROMPT] = set_prompt,
    [COMMAND_CHAT] = toggle_chat,
    [COMMAND_SAMPLING] = set_sampling,
    [COMMAND_WATCH_TEXT] = watch_reference,
    [COMMAND_WATCH_OUTPUTS] = watch_outputs,
    [COMMAND_WRITE] = write_recipe,
    [COMMAND_SAVE] = save_session,
};

void command_apply(struct lab *lab, const struct command *c)
{
    if (c->kind < COMMAND_KINDS)
        actions[c->kind](lab, c);
}
