/* saved_parts.h - parts of a session's file that are written and read in the same form (saved.h). */
#ifndef QTOP_LAB_SAVED_PARTS_H
#define QTOP_LAB_SAVED_PARTS_H

#include "fields.h"
#include "state.h"

enum { SESSION_FORM = 1 };
#define SESSION_KEY "qtop_session"

/* A complete evaluation as an object; null without one. */
json_t *quality_to_json(const struct quality_result *result);

/* False with an error; *known is whether there is one. */
bool quality_from_json(const json_t *from, struct quality_result *out, bool *known, const char *where,
                       struct error *error);

/* The schemes of all layers as runs: index among the spellings, count, index, count... Adds spellings that are new. */
json_t *schemes_to_json(const struct model *model, const struct scheme *schemes, json_t *spellings);
bool schemes_from_json(const json_t *runs, const json_t *spellings, const struct model *model, struct scheme *out,
                       struct error *error);

/* Names and shapes of the model's layers, as text. */
void model_mark(const struct model *model, char out[24]);

/* The machine that speeds are of. */
void machine_mark(const struct lab *lab, char out[160]);

/* The tokens of the text that quality is measured on; "" where it is not there yet. */
void text_mark(const struct lab *lab, char out[24]);

/* Tables of members. */
extern const struct field step_fields[], snapshot_fields[], file_fields[];
extern const size_t step_field_count, snapshot_field_count, file_field_count;

#endif
