/* advise_plan.h - what advise and report measure schemes with, from the options of a subcommand. */
#ifndef QTOP_VIEWS_ADVISE_PLAN_H
#define QTOP_VIEWS_ADVISE_PLAN_H

#include "batch.h"

#include "session/advise.h"

/* The limits and the goal; a value that is none is a usage error. */
bool advise_plan_limits(const struct options *options, struct advise_plan *plan, struct error *error);

/* The rest, but the text that methods calibrate on; `text` is the caller's to free. Begins with a file's sizes, which
 * advise_plan_close frees, opened or not. */
bool advise_plan_open(struct batch *batch, const struct options *options, struct advise_plan *plan,
                      struct study_tokens *text, struct error *error);
void advise_plan_close(struct advise_plan *plan, struct study_tokens *text);

/* The text that methods calibrate on, without which schemes that do are left out. */
bool advise_plan_calibrate(struct batch *batch, struct advise_plan *plan, struct error *error);

#endif
