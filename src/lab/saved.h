/* saved.h - a session: what was done with a model and measured of it, in one JSON file from which qtop goes on.
 *
 * The file has, in this order: "qtop_session", the number of this form; the options that the model was opened with;
 * the model, by path, layers and a digest of their names and shapes; the machine that speeds are of; the text that
 * quality is of; the schemes that occur; the steps of the history, the log and the snapshots, whose layers are runs of
 * pairs, an index among the schemes and a count; and what each job keeps, under its own name. */
#ifndef QTOP_LAB_SAVED_H
#define QTOP_LAB_SAVED_H

#include "state.h"

struct saved;

/* Whether a file begins as a session does. */
bool saved_is(const char *path);

/* Reads a session; what depends on the model is checked when that is open. The caller closes it. */
struct saved *saved_open(const char *path, struct error *error);
void saved_close(struct saved *saved); /* null is fine */

/* The model's file where it was, else the file of that name beside the session. */
const char *saved_model(const struct saved *saved);

/* An option that the model was opened with, "" without it. */
const char *saved_option(const struct saved *saved, const char *name);

/* The schemes in use (schemes_count), the caller's. Null with an error: it is of another model, or damaged. */
struct scheme *saved_schemes(const struct saved *saved, const struct model *model, struct error *error);

/* Takes all over into a lab that begins with these schemes. False with an error; the lab is then not to be used. */
bool saved_apply(struct lab *lab, const struct saved *saved, struct error *error);

/* Writes the lab's session, whole or not at all. */
bool saved_write(struct lab *lab, const char *path, struct error *error);

#endif
