/* tune_internal.h - what the files of the search share. */
#ifndef QTOP_TUNE_INTERNAL_H
#define QTOP_TUNE_INTERNAL_H

#include "measure/sensitivity.h"
#include "knapsack.h"
#include "tune.h"

/* Rows of the table of candidates, at most. */
enum { TUNE_CANDIDATES = 16 };

enum stage { STAGE_MAKE, STAGE_SENSE, STAGE_TIME, STAGE_CHOOSE, STAGE_BUILD, STAGE_VERIFY, STAGE_DONE };

struct tune {
    struct tune_plan plan;
    enum stage stage;
    int *tensors;               /* items: those that may change */
    size_t items;
    size_t rows[TUNE_CANDIDATES], candidates; /* rows of the table */
    size_t candidate;               /* the one under way */
    double other_bytes;         /* that no choice changes, of those that the budget counts */
    struct scheme *schemes;     /* schemes_count: of what is being made */
    double *cost, *bytes, *seconds, *loss; /* items x candidates */
    double *joint_loss;         /* of what is chosen together, as cost then is */
    double *total_seconds;      /* of a decode step, one a candidate */
    struct weights *set;        /* of the candidate, or of what was chosen */
    struct quantization *making;
    struct sensitivity_job *sensing;
    struct knapsack knapsack;
    bool solved;
    uint8_t *choice;            /* items */
    size_t step, low, high;     /* of the knapsack: chosen, too lossy, good enough */
    size_t size, best_size;     /* of what was chosen: of the file, or in memory */
    size_t verifications;
    double predicted, rate;
    struct quality *verifying;
    bool found;                 /* the best so far: */
    struct scheme *best_schemes;
    struct weights *best_set;
    struct quality_result best_quality;
    double best_predicted, best_rate;
};

static inline bool tune_by_rate(const struct tune *t)
{
    return t->plan.budget.min_rate > 0;
}

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

/* Finds t->other_bytes. */
bool tune_find_other_bytes(struct tune *t, struct error *error);

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

#endif
