/* selftext.h - texts that the model writes, where a person gives none: one long text, or windows side by side.
 *
 * The windows are what methods calibrate and train on. Every window is a sequence of its own, and all are written as
 * one batch, so that weights are read once for all: with the stored weights, temperature 1, from BOS; after the end
 * of a text the next one begins. The same model writes the same. */
#ifndef QTOP_SELFTEXT_H
#define QTOP_SELFTEXT_H

#include "quant/quantization.h"
#include "session.h"

/* Windows of a text to calibrate on: so many, or as many as have KV caches of together SELFTEXT_CACHES bytes, but at
 * least enough for CALIBRATION_MIN tokens. */
enum { SELFTEXT_WINDOWS = 16, SELFTEXT_CACHES = 1 << 30 };

/* A text to calibrate on. */
struct selftext;
struct selftext *selftext_open(const struct session *session, struct error *error);

/* A text to train on, of so many tokens, in rounds where they are more than fit into a batch. Texts that
 * a model reads are cut anywhere: behind their first token the halves of every other window have changed places. */
struct selftext *selftext_open_to_train(const struct session *session, size_t tokens, struct error *error);
void selftext_close(struct selftext *text);

/* Writes for about `seconds`, at least a token of every window; true when all is written. */
bool selftext_step(struct selftext *text, double seconds);
double selftext_fraction(const struct selftext *text);

/* The finished text, now the caller's, who frees out->tokens. */
void selftext_take(struct selftext *text, struct calibration_text *out);

/* How a struct selftext runs as a job. */
extern const struct job_class selftext_class;

/* The reference writes its own text: count tokens at full precision, temperature 1, a new text after each
 * end. The same seed gives the same tokens. */
enum { SELF_TEXT_EVALUATION_SEED = 20240911, SELF_TEXT_CALIBRATION_SEED = 77, SELF_TEXT_SEARCH_SEED = 4711 };

struct writer;
struct writer *writer_open(const struct session *session, size_t count, uint64_t seed,
                           struct error *error);
bool writer_step(struct writer *writer, double seconds); /* true when count tokens are written */
const struct tokens *writer_tokens(const struct writer *writer);
void writer_take(struct writer *writer, struct tokens *out); /* now the caller's, who frees out->ids */
void writer_close(struct writer *writer);

/* How a struct writer runs as a job. */
extern const struct job_class writer_class;

#endif
