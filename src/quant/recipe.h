/* recipe.h - which tensor gets which scheme: `PATTERN SCHEME` lines, the last match wins.
 *
 * A line may also be a mix alone, `@q4_k_m:gptq` (mixes.h): it matches every tensor that the mix has.
 *
 * PATTERN is a shell glob over canonical names; `#` begins a comment. A glob matches every matrix
 * (more than one row); a vector is matched by its literal name only, and so is the KV cache, whose
 * name is `kv` and whose scheme is a datatype alone. `output` of a tied model is its embedding table.
 * Arrays of schemes have one a tensor and, last, the KV cache's (schemes_count). */
#ifndef QTOP_RECIPE_H
#define QTOP_RECIPE_H

#include "engine/weights.h"
#include "mixes.h"

struct rule {
    char *pattern; /* of a mix its spelling */
    struct scheme_choice choice;
    int line;
};

struct recipe {
    char *name; /* what errors call it */
    size_t count;
    struct rule *rules;
};

/* Parses a text; name is what errors call it. Errors name the line. Free with recipe_free. */
bool recipe_parse(struct recipe *recipe, const char *name, const char *text, size_t n,
                  struct error *error);
bool recipe_read(struct recipe *recipe, const char *path, struct error *error);
void recipe_free(struct recipe *recipe);

/* Writes a recipe with one line a tensor that is not as stored, and one for a cache that is not fp32,
 * through a temporary file and rename. */
bool recipe_write(const char *path, const struct model *model, const struct scheme *schemes,
                  struct error *error);

/* Applies the rules to schemes. A rule that matches nothing is an error that gives the nearest name; so is one that a
 * tensor or the KV cache cannot have. The schemes are then untouched. */
bool recipe_apply(const struct recipe *recipe, const struct model *model, struct scheme *schemes,
                  struct error *error);

/* The rule that decides a tensor's scheme (or kv_index): the last that matches; null where none does. */
const struct rule *recipe_rule(const struct recipe *recipe, const struct model *model, int tensor);

/* Gives the scheme to every linear matrix inside blocks. */
void schemes_set_linear(const struct model *model, struct scheme scheme, struct scheme *schemes);

/* What -s does: the same, or a mix. False where a matrix cannot have it; schemes are then untouched. */
bool schemes_choose(const struct model *model, const struct scheme_choice *choice, struct scheme *schemes,
                    struct error *error);

/* Whether a tensor's scheme is lossless: stored, or the very float that its weights are stored in. */
bool scheme_is_as_stored(const struct model *model, int tensor, const struct scheme *scheme);

/* Whether two arrays of schemes make the same model: equal, or both as stored, in every tensor and the KV cache. */
bool schemes_same(const struct model *model, const struct scheme *a, const struct scheme *b);

/* Totals of a model in the schemes (see engine/weights.h). False where a size does not fit in a size_t or memory is
 * short. */
bool schemes_totals(const struct model *model, const struct scheme *schemes, size_t position,
                    struct weights_totals *out);

#endif
