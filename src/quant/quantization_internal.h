/* quantization_internal.h - what the files of the job share. */
#ifndef QTOP_QUANTIZATION_INTERNAL_H
#define QTOP_QUANTIZATION_INTERNAL_H

#include "engine/pin.h"
#include "engine/layerwise.h"
#include "calibration.h"
#include "linalg/hessian.h"
#include "quantization.h"
#include "requant.h"
#include "scaling.h"
#include "static_range.h"
#include "training.h"

/* What is under way. The stages of an input group repeat for each of its tensors from STAGE_SCALE on. */
enum stage {
    STAGE_PLAIN,   /* tensors without calibration */
    STAGE_ADVANCE,
    STAGE_OBSERVE, /* statistics and the Hessian */
    STAGE_SCALE,   /* the search for an input scale */
    STAGE_FACTOR,  /* of the Hessian */
    STAGE_RANGE,   /* of static activations */
    STAGE_PACK,
    STAGE_TRAIN,   /* all tensors that do, together */
    STAGE_TRAINED, /* one after another is packed */
    STAGE_DONE
};

enum { NOTE = 200 };

/* Tokens below which an expert is rounded without calibration: fewer say more about themselves than about it. */
enum { EXPERT_TOKENS_MIN = 16 };

struct quantization {
    struct quantization_plan plan;
    struct weights *set;
    enum stage stage;
    bool sequence;
    bool *pending;
    size_t weights_done, weights_all;
    char (*notes)[NOTE];
    size_t note_count;

    struct layerwise_pass *pass;
    size_t last_input_group;             /* beyond which no tensor is pending */
    struct layerwise_input inputs; /* of the input group */
    bool few;                      /* they are of an expert that too few tokens use */
    struct input_stats stats;
    struct calibrated calibrated; /* of the tensor under way */
    struct static_range range;    /* of its activations, where they are static */
    bool choosing;
    struct hessian hessian;
    bool counted;                 /* stats are complete */
    size_t observed;              /* tokens in stats, then in the Hessian */
    int tensors[INPUT_GROUP_TENSORS], next; /* the input group's, and the one under way (or next plain one) */
    size_t tensor_count;
    int held;                     /* of `tensors`, how many are acquired */

    struct scaling scaling;       /* of the tensor under way */
    bool searching;
    float *input_scale;           /* of the last search */
    struct scheme scaled_for;     /* the scheme that it was searched for */
    double alpha;
    struct factor factor;         /* of the last factorization */
    struct scheme factored_for;   /* the scheme that it was made for */
    double damp;                  /* to try */
    struct requant job;
    bool packing;

    const struct trainer *trainer; /* of the tensors that train; null: there are none */
    bool *trains;                 /* which ones */
    struct training *training;
    struct training_figures figures; /* steps 0: nothing trained yet */
    struct pin pin;               /* of the stored weights, meanwhile */
};

/* Whether an importance matrix says all that a scheme needs calibration for. */
static inline bool scheme_from_imatrix(const struct quantization_plan *p, const struct scheme *s)
{
    return p->importance && scheme_needs_calibration(s) && !s->act_range && methods_need_importance_alone(&s->methods);
}

/* Whether a scheme is calibrated in the layer-wise pass. */
static inline bool scheme_in_pass(const struct quantization_plan *p, const struct scheme *s)
{
    return scheme_needs_calibration(s) && !scheme_trains(s) && !scheme_from_imatrix(p, s);
}

/* Adds to q->calibrated what each method of a tensor's scheme makes of the text's statistics or of the importance
 * matrix. */
bool quantization_prepare(struct quantization *q, int tensor, const struct input_stats *stats, struct error *error);

/* What was prepared, for whoever looks at the matrix in q->job later. */
void quantization_record(struct quantization *q, int tensor);

void quantization_forget(struct quantization *q);

/* Keeps one line about a tensor. */
void quantization_say(struct quantization *q, int tensor, const char *text);

/* A slice of packing; *done when the matrix is in the set. */
bool quantization_pack(struct quantization *q, double seconds, bool *done, struct error *error);

/* A slice of each stage of an input group; they lead from one to the next by q->stage. */
bool input_group_advance(struct quantization *q, double seconds, struct error *error);
bool input_group_observe(struct quantization *q, double seconds, struct error *error);
bool input_group_search_scale(struct quantization *q, double seconds, struct error *error);
bool input_group_factorize(struct quantization *q, double seconds, struct error *error);
bool input_group_choose_range(struct quantization *q, double seconds, struct error *error);
bool input_group_pack(struct quantization *q, double seconds, struct error *error);

/* What comes when no tensor waits for the layer-wise pass. */
static inline enum stage stage_after_pass(const struct quantization *q)
{
    return q->trainer ? STAGE_TRAIN : STAGE_DONE;
}

/* Whether what trains fits and has one setting; a slice of it; a slice of packing what it made. */
bool training_fits(const struct quantization *q, struct error *error);
bool training_step(struct quantization *q, double seconds, struct error *error);
bool training_pack(struct quantization *q, double seconds, struct error *error);

/* Lets go of what belongs to one input group. */
void input_group_leave(struct quantization *q);

#endif
