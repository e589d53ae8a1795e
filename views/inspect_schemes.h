/* inspect_schemes.h - qtop inspect before anything is measured. */
#ifndef QTOP_INSPECT_SCHEMES_H
#define QTOP_INSPECT_SCHEMES_H

#include "batch.h"

struct recipe;

/* Prints the scheme, bytes and bits of every layer of the batch, and the totals; the recipe is that of -r, or empty. */
bool inspect_schemes(const struct batch *batch, const struct recipe *recipe, const struct options *options,
                     struct error *error);

/* "line 3: blk.*.attn_* w8a8", the rule that a layer took; false where none did. */
enum { RULE_TEXT = 320 };
bool rule_text(const struct recipe *recipe, const struct model *model, int tensor, char out[RULE_TEXT]);

/* The same as the field "rule". */
void add_rule(json_t *record, const struct recipe *recipe, const struct model *model, int tensor);

#endif
