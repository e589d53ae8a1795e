/* texts.h - the texts that quality is measured and methods are calibrated on: those that options name, else the ones
 * that come with qtop. */
#ifndef QTOP_TEXTS_H
#define QTOP_TEXTS_H

#include "session/session.h"

/* Tokens of the default text, or of one that the model writes, that quality is measured on, unless -n says so. */
enum { DEFAULT_TOKENS = 2048 };

enum text_use { USE_QUALITY, USE_CALIBRATION, TEXT_USES };

struct text_choice {
    char *path;           /* of the file; null: the model writes its own */
    char name[TEXT_NAME]; /* as it stands beside figures */
    bool is_default;      /* nobody named it */
};

/* The last part of a path that has one (`folder` of path/folder/, too), escaped. */
void name_file(const char *path, char *name, size_t size);

/* The file of data with that name: in the folder QTOP_DATA, else as installed or beside the sources. Null where it is
 * nowhere; the caller frees. */
char *data_file(const char *name);

/* What --text or --calibration asks for: a file; "self", the model's own; null, the default, which for a model with
 * the built-in one's vocabulary is stories, for others a mixture of kinds and languages, and without a tokenizer the model's own. False when
 * memory is short. Free with text_choice_free. */
bool text_choose(struct text_choice *choice, const struct session *session, const char *option, enum text_use use,
                 struct error *error);
void text_choice_free(struct text_choice *choice);

#endif
