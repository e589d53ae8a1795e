/* activate.h - the activation functions of feed-forward layers. */
#ifndef QTOP_ACTIVATE_H
#define QTOP_ACTIVATE_H

#include "model/hyper.h"

/* x becomes activation(x), n elements. */
void activate(enum activation kind, float *x, size_t n);

#endif
