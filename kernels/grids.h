/* grids.h - the grids of the iq types of stored.h: vectors of codes, whose numbers blocks hold instead of the codes.
 * They were chosen by the author of ggml's types and follow no rule. */
#ifndef QTOP_GRIDS_H
#define QTOP_GRIDS_H

#include <stdint.h>

enum {
    IQ3_XXS_GRID = 256,
    IQ3_S_GRID = 512,
    IQ2_XXS_GRID = 256,
    IQ2_XS_GRID = 512,
    IQ2_S_GRID = 1024,
    IQ1_GRID = 2048
};

/* Code k of an entry is its byte k, the lowest first. */
extern const uint32_t iq3_xxs_grid[IQ3_XXS_GRID], iq3_s_grid[IQ3_S_GRID];
extern const uint64_t iq2_xxs_grid[IQ2_XXS_GRID], iq2_xs_grid[IQ2_XS_GRID], iq2_s_grid[IQ2_S_GRID];
extern const uint64_t iq1_grid[IQ1_GRID]; /* bytes are two's complement */

#endif
