/* activate.h - the activation functions of feed-forward layers. */
#ifndef QTOP_ACTIVATE_H
#define QTOP_ACTIVATE_H

#include "model/layer.h"

/* x becomes activation(x), n elements; not xIELU, which has numbers. */
void activate(enum activation kind, float *x, size_t n);
void xielu(const struct xielu *numbers, float *x, size_t n);

#endif
