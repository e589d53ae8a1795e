/* session_weights.h - weight sets made from schemes, with the texts that their methods need. */
#ifndef QTOP_SESSION_WEIGHTS_H
#define QTOP_SESSION_WEIGHTS_H

#include "session.h"

/* Makes session->calibration_text, once for as long as the session is open: of its own calibration tokens or, where it
 * has none, of what the reference writes (selftext.h). */
bool session_calibration_text(struct session *session, struct error *error);

/* Makes session->training_text in the same way, of the first `tokens` tokens or of as many that the reference
 * writes, once for as long as no other number is asked for. */
bool session_training_text(struct session *session, size_t tokens, struct error *error);

/* Whether the layers of a set with these schemes that are to be trained can be: asked before any text is written. */
bool session_may_train(const struct session *session, const struct scheme *schemes, struct error *error);

/* The weight set of an array of schemes (schemes_count), all at once. Asks whether it fits first. Where a
 * method calibrates and there is no text, the model writes one (selftext.h). */
struct weights *session_weights(struct session *session, const struct scheme *schemes, struct error *error);

#endif
