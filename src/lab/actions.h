/* actions.h - what commands do: one function a row of the table in commands.c, defined where its state is. */
#ifndef QTOP_LAB_ACTIONS_H
#define QTOP_LAB_ACTIONS_H

#include "state.h"

typedef void action_fn(struct lab *lab, const struct command *command);

/* edits.c */
action_fn cycle_scheme, set_scheme, set_mix, same_everywhere, undo, redo, write_recipe;

/* snapshots.c and the file of each job */
action_fn keep_snapshot, restore_snapshot, swap_snapshots;
action_fn evaluate_now, measure_sensitivity, compare_methods, stop_training, tune, time_snapshots, export_set,
    measure_roofs, change_batch;

#endif
