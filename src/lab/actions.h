/* actions.h - what commands do: one function a row of the table in commands.c, defined where its state is. */
#ifndef QTOP_LAB_ACTIONS_H
#define QTOP_LAB_ACTIONS_H

#include "state.h"

typedef void action_fn(struct lab *lab, const struct command *command);

/* edits.c */
action_fn cycle_scheme, set_scheme, set_mix, same_everywhere, undo, redo, go_to_step, write_recipe;

/* exchange.c */
action_fn exchange_text;

/* autosave.c */
action_fn save_session;

/* jobs.c */
action_fn stop_job;

/* snapshots.c */
action_fn keep_snapshot, restore_snapshot, swap_snapshots;

/* snapshot_edits.c */
action_fn name_snapshot, annotate_snapshot, delete_snapshot;

/* the file of each job */
action_fn advise, limit_advice, compare_files, evaluate_now, measure_sensitivity, compare_methods, stop_training, tune, time_snapshots,
    export_set, measure_roofs, change_batch;

#endif
