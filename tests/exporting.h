/* exporting.h - what the tests of exports share: a model with a set of weights, written and opened again. */
#ifndef QTOP_TESTS_EXPORTING_H
#define QTOP_TESTS_EXPORTING_H

#include "export/export.h"
#include "session/session.h"

struct subject {
    struct session session;
    struct weights *set;
};

/* A model with a scheme in its blocks; null: as stored. Fails the test where that does not open. */
struct subject subject_open(const char *model, const char *tokenizer, const char *scheme);

/* The same with rules of a recipe on top. */
struct subject subject_open_with(const char *model, const char *tokenizer, const char *scheme,
                                 const char *recipe);
void subject_close(struct subject *s);

/* Writes the set; false with an error. Its notes, one a line, are in subject_notes until the next one. */
extern char subject_notes[4000];
bool subject_export(const struct subject *s, const char *path, const char *format, struct error *error);

/* The logits of every one of some tokens, count x vocab; the caller frees. */
enum { SUBJECT_TOKENS = 24 };
float *subject_logits(const struct subject *s);

/* Every logit within a share of the largest of the other's. */
void check_logits(const struct subject *a, const struct subject *b, double tolerance, const char *what);

/* The weights of all layers are the other's, bit for bit; those in `except` (a glob) within `tolerance` of the
 * largest of their row. */
void check_weights(const struct subject *a, const struct subject *b, const char *except, double tolerance,
                   const char *what);

/* A model of tests/data/arch, or its GGUF file; the caller frees. */
char *arch_folder(const char *name);
char *arch_gguf(const char *name);

#endif
