/* scales.h - how good a figure is, as a level from 0 (best) to 9, and the style of that level: the same on every screen.
 * The figure itself always stands beside its colour. */
#ifndef QTOP_SCALES_H
#define QTOP_SCALES_H

#include "widgets.h"

struct scale {
    double best, worst; /* where levels 0 and 9 end; above 0 where it is logarithmic */
    bool log;
};

/* SQNR in dB, KL divergence in nats, share of a roof. */
extern const struct scale scale_sqnr, scale_kl, scale_roof;

/* -1: NaN. What is beyond an end has that end's level. */
int scale_level(const struct scale *scale, double value);

/* The style of a figure; `otherwise` where it is not known. */
enum style scale_style(const struct scale *scale, double value, enum style otherwise);

#endif
