/* plots.h - the plots of an HTML report. Each has its data: sections.c asks first. */
#ifndef QTOP_REPORT_PLOTS_H
#define QTOP_REPORT_PLOTS_H

#include "report.h"

#include <stdio.h>

/* KL divergence against size, both logarithmic, with the Pareto front: no scheme on it can be made closer to the
 * reference by one that is no larger. */
void plot_front(FILE *out, const struct report *report);

/* The sensitivity of layers, kinds by blocks; cells have a digit from 0 to 9 on a logarithmic scale, and their figure
 * as a title. */
void plot_map(FILE *out, const struct report *report);

/* The roofs of the machine and what was measured under them (Williams, Waterman, Patterson 2009). */
void plot_roofline(FILE *out, const struct report *report);

/* Histograms of the errors of weights, one a kind of layers. */
void plot_errors(FILE *out, const struct report *report);

/* The hidden state's relative error from the embedding to the last block. */
void plot_depth(FILE *out, const struct report *report);

#endif
