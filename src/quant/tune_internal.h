/* tune_internal.h - what the files of the search share. */
#ifndef QTOP_TUNE_INTERNAL_H
#define QTOP_TUNE_INTERNAL_H

#include "engine/layerwise.h"
#include "knapsack.h"
#include "measure/sensitivity.h"
#include "tune.h"

/* Rows of the table of candidates, at most. */
enum { TUNE_CANDIDATES = KNAPSACK_CHOICES };

enum stage {
    STAGE_ERRORS,  /* of all items with all candidates */
    STAGE_TIME,    /* of a step with each candidate */
    STAGE_PROBE,   /* a set is made whose layers are measured */
    STAGE_SENSE,
    STAGE_CHOOSE,
    STAGE_BUILD,
    STAGE_VERIFY,
    STAGE_SENSE_CHOICE, /* the same with the layers of the choice */
    STAGE_RIVAL_BUILD,  /* a mix that has a name, to compare with */
    STAGE_RIVAL_VERIFY,
    STAGE_DONE
};

/* The errors of layers' outputs, by candidate: a pass over a text (tune_errors.c). */
struct tune_errors {
    int32_t *tokens;
    struct layerwise_pass *pass;
    size_t group;               /* of inputs, whose tensors are measured */
    int tensors[INPUT_GROUP_TENSORS]; /* that are items, as indices of items */
    size_t count, at, candidate; /* of them, and the candidate that comes next */
    bool arrived;
    size_t item;                /* of those without inputs, the next */
    float *importance;          /* of the columns of the group; null: all alike */
};

/* Budgets that bind what is chosen, and what each choice costs of one. */
enum { TUNE_SIZE, TUNE_BITS, TUNE_RATE, TUNE_RESOURCES };
struct tune_limit {
    size_t resource;
    double budget; /* of all items; infinity: only the cost is of interest */
    double *cost;  /* joint items x candidates */
};

struct tune {
    struct tune_plan plan;
    enum stage stage;
    int *tensors;               /* items: those that may change */
    size_t items;
    size_t rows[TUNE_CANDIDATES], candidates; /* rows of the table */
    size_t candidate;           /* the one whose time is next */
    double other_bytes;         /* that no choice changes, of those that the budget counts */
    struct scheme *schemes;     /* schemes_count: of what is being made */
    double *numbers;            /* what these lie in */
    double *cost;               /* items x candidates, as all of these: of the knapsack */
    double *bytes, *seconds;
    double *error;              /* squared, of outputs, as a share of the outputs' squares; NaN: it cannot have it */
    double *loss;               /* KL that is predicted of it; NaN likewise */
    double *joint_loss;         /* of what is chosen together, as cost is */
    size_t joint;               /* joint items: what is chosen together */
    struct tune_limit limits[TUNE_RESOURCES];
    size_t limit_count;
    double *total_seconds;      /* of a decode step, one a candidate */
    struct tune_errors errors;  /* while they are measured */
    int *together;              /* of each tensor: what it is measured with, by number; -1: it is no item */
    uint8_t *probe;             /* of each item the candidate that KL was measured with */
    struct tune_point_of *probed, *sensed; /* of each item's layers: with the probe, and with a choice (kl NaN: none) */
    struct weights *set;        /* of the probe, or of what was chosen */
    struct weights *timed;      /* what is being timed */
    size_t timed_items;         /* that are in it */
    struct quantization *making;
    struct sensitivity_job *sensing;
    struct knapsack knapsack;
    bool solved;
    uint8_t *choice;            /* items */
    size_t step, low, high;     /* of the knapsack: chosen, too lossy, good enough */
    size_t size, best_size;     /* of what was chosen: of the file, or in memory */
    size_t verifications, rounds;
    double begun;               /* clock_seconds at the first step; 0 before */
    double predicted, rate;
    struct quality *verifying;
    bool found;                 /* the best so far: */
    struct scheme *best_schemes;
    struct weights *best_set;
    struct quality_result best_quality;
    double best_predicted, best_rate;
    uint8_t *best_choice;       /* items */
    const struct tune_rival *rival; /* the mix that is compared, or null */
    size_t rival_size;
    struct quality_result rival_quality;
    bool rival_found;
};

/* ---- candidates (tune_candidates.c) ------------------------------------------------------------ */

/* Fills t->rows: schemes for memory, or those for files that at least one item can have. */
void tune_list_candidates(struct tune *t);

/* The candidate as a tensor can have it: activations stay as they are, groups are no wider than rows. */
struct scheme tune_candidate(const struct tune *t, size_t candidate, int tensor);

/* What a tensor costs with a candidate, in the file or in memory; 0: it cannot have it. */
size_t tune_item_bytes(const struct tune *t, size_t candidate, int tensor);

/* All of t->schemes as stored. */
void tune_all_stored(struct tune *t);

/* The file's bytes with t->schemes, or 0 with an error. */
size_t tune_file_bytes(const struct tune *t, struct error *error);

/* Finds t->other_bytes, and t->bytes. */
bool tune_find_bytes(struct tune *t, struct error *error);

/* ---- errors of outputs (tune_errors.c) --------------------------------------------------------- */

/* Works for about `seconds`; *done: t->error is there. False with an error. */
bool tune_errors_step(struct tune *t, double seconds, bool *done, struct error *error);
double tune_errors_fraction(const struct tune *t);
void tune_errors_close(struct tune *t);

/* ---- times (tune_times.c) ---------------------------------------------------------------------- */

/* The same; *done: t->seconds and t->total_seconds of t->candidate are there. */
bool tune_time_step(struct tune *t, double seconds, bool *done, struct error *error);

/* ---- losses (tune_losses.c) -------------------------------------------------------------------- */

/* Numbers in t->together: layers of a kind that are neighbours are measured together, in a deep model. */
void tune_put_together(struct tune *t);

/* Candidates in t->probe, each as near as can be to the bits a weight that the budget leaves; their schemes in
 * t->schemes. */
void tune_choose_probe(struct tune *t);

/* What was measured with the set of the probe, or of t->choice. */
void tune_take_sensitivity(struct tune *t, bool of_choice);

/* Fills t->loss from what was measured. */
void tune_predict(struct tune *t);

/* ---- the choice (tune_choice.c) ---------------------------------------------------------------- */

/* Seconds of a step that no choice changes. */
double tune_other_seconds(const struct tune *t);

/* Whether a budget of bytes can be met by the smallest candidates: below that nothing need be searched. */
bool tune_check_bytes(const struct tune *t, struct error *error);

/* Solves the knapsack of what was measured; t->step is where the budget is. */
bool tune_choose_first(struct tune *t, struct error *error);

/* Makes t->schemes the choice at t->step, or where its file is larger than the budget after all (a header's numbers
 * have more digits), the next smaller one. */
bool tune_apply_step(struct tune *t, struct error *error);

/* The largest mix of the plan that is within the budget of bytes, or as large as the best choice at most, becomes
 * t->rival, its schemes t->schemes. False where there is none. */
bool tune_choose_rival(struct tune *t);

#endif
