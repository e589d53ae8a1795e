/* qat_internal.h - what the files of the job share. */
#ifndef QTOP_QAT_INTERNAL_H
#define QTOP_QAT_INTERNAL_H

#include "engine/sampler.h"
#include "train/adamw.h"
#include "train/fake.h"
#include "train/network.h"
#include "qat.h"

#include <string.h>

/* A tensor that trains. */
struct qat_tensor {
    int tensor;
    size_t count;            /* weights */
    struct fake fake;
    float *w, *rounded, *gradient, *m, *v, *best; /* count each */
    float *scale_m, *scale_v; /* of the logarithms of scales */
    struct quant_params *best_grids;
};

/* Windows to train on, shuffled; the next of them; and the random numbers of that order. */
struct window_order {
    size_t *of, next;
    struct sampler random;
};

enum phase { PHASE_TEACHER, PHASE_VALIDATE, PHASE_TRAIN, PHASE_DONE };

struct training {
    struct training_plan plan;
    struct network net;
    struct rope_tables rope[ROTARY_TABLES];
    float **stored;            /* a tensor: its stored weights, fp32 */
    float **others;            /* of those that the set holds otherwise */
    struct qat_tensor *tensors;
    size_t tensor_count;
    size_t steps, batch;       /* batch: windows of a pass */
    size_t windows;            /* of the text */
    size_t held_out;           /* the last so many of them: to validate on */
    double rate, share;
    struct adamw adamw;
    float *hidden;             /* windows x length x dim: the stored model's input of the head */
    float *teacher, *capped;   /* n x vocab; capped where the model caps logits */
    float *loss_scratch;       /* 2 vocab a thread */
    double *losses;            /* n */
    int32_t *tokens;           /* n: of the pass under way */
    size_t *chosen;            /* batch: its windows */
    struct window_order order, before; /* before: as the step under way found it */

    enum phase phase;
    enum phase begins;         /* what follows the teacher: PHASE_TRAIN where a training goes on between validations */
    size_t at;                 /* in a pass: embedding, blocks, head; then backward */
    size_t next;               /* window of the phase */
    double validation_loss;
    bool stopped;
    struct training_figures figures;
    char note[160];
};

/* to->of has room for n windows. */
static inline void qat_copy_order(struct window_order *to, const struct window_order *from, size_t n)
{
    memcpy(to->of, from->of, n * sizeof *to->of);
    to->next = from->next;
    to->random = from->random;
}

#endif
