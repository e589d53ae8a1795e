/* report_against.h - two model files side by side, as text or records. */
#ifndef QTOP_REPORT_AGAINST_H
#define QTOP_REPORT_AGAINST_H

#include "batch.h"
#include "session/against.h"

/* Compares what `what` asks for (AGAINST_ bits) and prints it: layers and differences where weights or facts alone are
 * asked for, else the figures of both and a verdict. */
bool report_against(struct batch *batch, const struct options *options, unsigned what, struct error *error);

#endif
