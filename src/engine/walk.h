/* walk.h - a text through a model layer by layer instead of token by token: every token's input of one site
 * is there before any goes on to the next, so that the layers behind it can be exchanged in between.
 *
 * A site is where linear layers take the same input: of each block queries, keys and values; the projection
 * behind attention; gate and up; down; and, last of all, the head. */
#ifndef QTOP_WALK_H
#define QTOP_WALK_H

#include "context.h"

enum site_kind { SITE_HEADS, SITE_ATTN_OUT, SITE_FFN, SITE_FFN_DOWN, SITE_KINDS };
enum { SITE_TENSORS = 3 };

/* Number of sites of a model: SITE_KINDS a block and the head. */
size_t walk_sites(const struct model *model);

/* The site whose input a tensor multiplies, or -1. */
int walk_site_of(const struct model *model, int tensor);

/* The tensors of a site, at most SITE_TENSORS; returns how many. */
size_t walk_site_tensors(const struct model *model, size_t site, int tensors[SITE_TENSORS]);

struct walk;

/* A walk of `count` tokens in windows of `window` that know nothing of each other (the last may be shorter).
 * Keeps what every token has become: tokens x (dim + widest input) floats. The tokens must outlive it. */
struct walk *walk_open(const struct model *model, struct pool *pool, const int32_t *tokens, size_t count,
                       size_t window, struct error *error);
void walk_close(struct walk *walk);

/* Brings every token to the input of the next site, at first to that of site 0, with the layers of a set; for
 * about `seconds`, at least one chunk. *arrived: all are there. False with an error when stored weights that
 * have to be made do not fit in memory. Not beyond the last site. */
bool walk_step(struct walk *walk, const struct weights *weights, double seconds, bool *arrived,
               struct error *error);

/* The site that is reached or on the way to; how far the tokens are, 0..1. */
size_t walk_site(const struct walk *walk);
double walk_fraction(const struct walk *walk);

/* The inputs of the site that is reached: the rows of all tokens, walk_stride floats apart. */
const float *walk_input(const struct walk *walk);
size_t walk_stride(const struct walk *walk);

#endif
