/* background.h - work that takes long, on a thread of its own, so that the screen goes on. */
#ifndef QTOP_BACKGROUND_H
#define QTOP_BACKGROUND_H

#include "base/error.h"

struct background;

/* Calls work(arg) on another thread. Null with an error. */
struct background *background_start(void (*work)(void *arg), void *arg, struct error *error);

/* Whether it has returned. */
bool background_is_done(const struct background *background);

/* Seconds since it began. */
double background_seconds(const struct background *background);

/* Waits for it, and frees; null is allowed. */
void background_end(struct background *background);

#endif
