/* texts.h - texts that options name, or those that come with qtop: which one, and its tokens. */
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

/* A text from outside, such as a path, as it may be printed. */
enum { SHOWN_TEXT = 512 };
const char *shown(char out[SHOWN_TEXT], const char *text);

/* The last part of a path that has one (`folder` of path/folder/, too), escaped. */
void name_file(const char *path, char *name, size_t size);

/* The file of data with that name: in the folder QTOP_DATA, else as installed with the program, wherever that
 * was moved, or beside the sources. Null where it is nowhere; the caller frees. */
char *data_file(const char *name);

/* What --text or --calibration asks for: a file; "self", the model's own; null, the default, which for a model with
 * the built-in one's vocabulary is stories, for others a mixture of kinds and languages, and without a tokenizer the
 * model's own. False when memory is short. Free with text_choice_free. */
bool text_choose(struct text_choice *choice, const struct session *session, const char *option, enum text_use use,
                 struct error *error);
void text_choice_free(struct text_choice *choice);

/* Whole file or standard input ("-") into memory; the caller frees. */
char *read_text(const char *path, size_t *n, struct error *error);

/* The same for a text that quality is measured on or methods are calibrated on: one that is empty or not UTF-8,
 * such as a model's file in its place, is refused. Bytes are counted from 0. */
char *read_study_text(const char *path, size_t *n, struct error *error);

/* The tokens of --text or -p with the session's tokenizer; where there is none, of ids in writing. With `special`, what
 * spells a control token is that token. */
bool tokenize_text(const struct session *session, const char *text, size_t n, bool special, struct tokens *out,
                   struct error *error);

/* The tokens of a text that was chosen: none where the model writes it. */
bool text_choice_read(const struct session *session, const struct text_choice *choice, struct tokens *out,
                      struct error *error);

#endif
