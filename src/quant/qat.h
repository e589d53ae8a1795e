/* qat.h - quantization-aware training: the layers whose scheme has the method `qat` train together: their
 * weights and scales become those that, rounded, make the model most like the stored one (Jacob et al. 2018;
 * LLM-QAT, Liu et al. 2023), a job in bounded slices.
 *
 * The forward pass runs on fake-quantized weights (train/fake.h) and on activations as the scheme rounds them;
 * other layers are what they are in a set of weights, but for one that has input scales, outlier columns or a
 * static scale of activations: those are not rounded. The loss is a mixture of the KL divergence from the stored
 * model's predictions and the cross entropy with the text. One window in eight of the text is held out:
 * the weights and scales with the least KL divergence there are the result, whenever the job ends.
 * The result does not depend on the number of threads. */
#ifndef QTOP_QAT_H
#define QTOP_QAT_H

#include "training.h"

#include <stdio.h>

enum { QAT_PARAMETERS_MAX = 200000000 }; /* of a model */

/* The slots of the method's trainer: see training.h. */
size_t qat_text_tokens(const float *values);
bool qat_fits(const struct training_plan *plan, struct error *error);
struct training *qat_open(const struct training_plan *plan, struct error *error);
void qat_close(struct training *job);
bool qat_step(struct training *job, double seconds, bool *done, struct error *error);
void qat_stop(struct training *job);
double qat_fraction(const struct training *job);
struct training_figures qat_figures(const struct training *job);
const char *qat_note(const struct training *job);
struct training_result qat_result(const struct training *job, int tensor);

bool qat_save(struct training *job, FILE *to);
bool qat_load(struct training *job, FILE *from, struct error *error);

/* The parameters of the method, in their order. */
enum qat_parameter { QAT_STEPS, QAT_RATE, QAT_BATCH, QAT_DISTILL, QAT_DECAY, QAT_TEXT, QAT_SEED };

#endif
