/* fill.h - what was measured, into a report. Texts are copied: nothing of what is handed over need stay. */
#ifndef QTOP_REPORT_FILL_H
#define QTOP_REPORT_FILL_H

#include "measure/depth.h"
#include "measure/error_kinds.h"
#include "measure/roofline.h"
#include "report.h"
#include "session/advise.h"

/* Title and facts of a model; name: as it is shown. */
void fill_model(struct report *report, const struct model *model, const char *name);

/* Facts of the machine: processor, cores, a pool of so many threads, instruction set, memory. */
void fill_machine(struct report *report, int threads);

/* The roofs of the instruction set in use; null: there are none, for that reason. */
void fill_roofs(struct report *report, const struct roofs *roofs, const char *reason);

/* What quality was measured on. */
void fill_basis(struct report *report, const struct quality_basis *basis);

/* Figures of an evaluation (stale: why they do not compare; or null). */
void fill_quality(struct report_scheme *row, const struct quality_result *result);

/* Rows of advise; `taken`, an index, is recommended for that goal (count: none is). Where the rows have their schemes,
 * what was timed goes under the roofs, too, with the sizes and multiply-adds of the session's model. */
void fill_advice(struct report *report, const struct session *session, const struct advise_row *rows, size_t count,
                 size_t taken, enum advise_goal goal);

/* A computation, unless nothing is known of its speed. */
void fill_point(struct report *report, const char *name, enum report_point_kind kind, const struct work *work);

/* The sensitivity of a tensor; NaN: it was not measured. */
void fill_layer(struct report *report, const struct model *model, int tensor, double kl, double error, bool partial);

void fill_depth(struct report *report, const struct depth_profile *profile);
void fill_errors(struct report *report, const struct error_kinds *job);

#endif
