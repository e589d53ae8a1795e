/* quantile.h - quantiles of unordered values, without sorting them. */
#ifndef QTOP_QUANTILE_H
#define QTOP_QUANTILE_H

#include <stddef.h>

/* The value below which a share (0..1) of n values lies (n from 1, none of them NaN): between neighbours in
 * order it is interpolated linearly, so that the median of two is their mean (Hyndman and Fan 1996,
 * definition 7). Changes the order of the values. Selection (Hoare 1961): time grows with n. */
double quantile(double *values, size_t n, double share);

#endif
