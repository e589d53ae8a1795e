/* imatrix.h - the importance of a matrix's columns: the mean of their squared inputs, which llama.cpp calls an importance
 * matrix. It is the diagonal of the Hessian of the output error. */
#ifndef QTOP_IMATRIX_H
#define QTOP_IMATRIX_H

#include "method.h"

/* A method's `prepare` (method.h): searches for scales weigh the error of each column by it. Where no activation is
 * known they stay unweighted. */
bool imatrix_prepare(const struct calibration_inputs *in, const float *values, struct calibrated *out,
                     struct error *error);

#endif
