#include "encode_grids.h"

#include "grids.h"

/* ---- fields ---------------------------------------------------------------------------------- */

static void put_nibbles(const int *values, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++)
        out[i / 2] |= (uint8_t)(values[i] << 4 * (i % 2));
}

static void get_nibbles(const uint8_t *bytes, size_t n, int *values)
{
    for (size_t i = 0; i < n; i++)
        values[i] = bytes[i / 2] >> 4 * (i % 2) & 15;
}

/* A little-endian word: the signs of 32 columns, seven bits for eight, and their scale. See sign_at. */
static void put_signs(const struct grid_fitted *f, size_t g, uint8_t out[4])
{
    uint32_t word = (uint32_t)f->scale[g] << 28;
    for (size_t u = 0; u < 4; u++)
        word |= (uint32_t)(f->minus[4 * g + u] & 127) << 7 * u;
    for (size_t i = 0; i < 4; i++)
        out[i] = (uint8_t)(word >> 8 * i);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static void put_iq3_s(const struct grid_fitted *f, uint8_t *block)
{
    struct block_iq3_s *b = (void *)block;
    put_half(b->scale, f->factor);
    for (size_t v = 0; v < 64; v++) {
        b->low[v] = (uint8_t)f->entry[v];
        b->high[v / 8] |= (uint8_t)(f->entry[v] >> 8 << v % 8);
    }
    memcpy(b->signs, f->minus, sizeof b->signs);
    put_nibbles(f->scale, 8, b->scales);
}

static void get_iq3_s(const uint8_t *block, struct grid_fitted *f)
{
    const struct block_iq3_s *b = (const void *)block;
    f->factor = half_at(b->scale);
    get_nibbles(b->scales, 8, f->scale);
}

static void put_iq3_xxs(const struct grid_fitted *f, uint8_t *block)
{
    struct block_iq3_xxs *b = (void *)block;
    put_half(b->scale, f->factor);
    for (size_t v = 0; v < 64; v++)
        b->codes[v] = (uint8_t)f->entry[v];
    for (size_t g = 0; g < 8; g++)
        put_signs(f, g, b->signs + 4 * g);
}

static void get_iq3_xxs(const uint8_t *block, struct grid_fitted *f)
{
    const struct block_iq3_xxs *b = (const void *)block;
    f->factor = half_at(b->scale);
    for (size_t g = 0; g < 8; g++)
        f->scale[g] = b->signs[4 * g + 3] >> 4;
}

static void put_iq2_s(const struct grid_fitted *f, uint8_t *block)
{
    struct block_iq2_s *b = (void *)block;
    put_half(b->scale, f->factor);
    for (size_t u = 0; u < UNITS_MAX; u++) {
        b->low[u] = (uint8_t)f->entry[u];
        b->high[u / 4] |= (uint8_t)(f->entry[u] >> 8 << 2 * (u % 4));
    }
    memcpy(b->signs, f->minus, sizeof b->signs);
    put_nibbles(f->scale, 16, b->scales);
}

static void get_iq2_s(const uint8_t *block, struct grid_fitted *f)
{
    const struct block_iq2_s *b = (const void *)block;
    f->factor = half_at(b->scale);
    get_nibbles(b->scales, 16, f->scale);
}

static void put_iq2_xs(const struct grid_fitted *f, uint8_t *block)
{
    struct block_iq2_xs *b = (void *)block;
    put_half(b->scale, f->factor);
    for (size_t u = 0; u < UNITS_MAX; u++) {
        b->codes[2 * u] = (uint8_t)f->entry[u];
        b->codes[2 * u + 1] = (uint8_t)(f->entry[u] >> 8 | (f->minus[u] & 127) << 1);
    }
    put_nibbles(f->scale, 16, b->scales);
}

static void get_iq2_xs(const uint8_t *block, struct grid_fitted *f)
{
    const struct block_iq2_xs *b = (const void *)block;
    f->factor = half_at(b->scale);
    get_nibbles(b->scales, 16, f->scale);
}

static void put_iq2_xxs(const struct grid_fitted *f, uint8_t *block)
{
    struct block_iq2_xxs *b = (void *)block;
    put_half(b->scale, f->factor);
    for (size_t g = 0; g < 8; g++) {
        for (size_t u = 0; u < 4; u++)
            b->codes[8 * g + u] = (uint8_t)f->entry[4 * g + u];
        put_signs(f, g, b->codes + 8 * g + 4);
    }
}

static void get_iq2_xxs(const uint8_t *block, struct grid_fitted *f)
{
    const struct block_iq2_xxs *b = (const void *)block;
    f->factor = half_at(b->scale);
    for (size_t g = 0; g < 8; g++)
        f->scale[g] = b->codes[8 * g + 7] >> 4;
}

static void put_iq1_s(const struct grid_fitted *f, uint8_t *block)
{
    struct block_iq1_s *b = (void *)block;
    put_half(b->scale, f->factor);
    for (size_t g = 0; g < 8; g++) {
        unsigned high = (unsigned)f->scale[g] << 12 | (unsigned)f->down[4 * g] << 15;
        for (size_t u = 0; u < 4; u++) {
            b->low[4 * g + u] = (uint8_t)f->entry[4 * g + u];
            high |= (unsigned)(f->entry[4 * g + u] >> 8) << 3 * u;
        }
        b->high[2 * g] = (uint8_t)high;
        b->high[2 * g + 1] = (uint8_t)(high >> 8);
    }
}

static void get_iq1_s(const uint8_t *block, struct grid_fitted *f)
{
    const struct block_iq1_s *b = (const void *)block;
    f->factor = half_at(b->scale);
    for (size_t g = 0; g < 8; g++) {
        f->scale[g] = b->high[2 * g + 1] >> 4 & 7;
        for (size_t u = 0; u < 4; u++)
            f->down[4 * g + u] = b->high[2 * g + 1] >> 7;
    }
}

static void put_iq1_m(const struct grid_fitted *f, uint8_t *block)
{
    struct block_iq1_m *b = (void *)block;
    unsigned factor = fp16_encode(f->factor);
    for (size_t u = 0; u < UNITS_MAX; u++) {
        b->low[u] = (uint8_t)f->entry[u];
        b->high[u / 2] |= (uint8_t)((f->entry[u] >> 8 | f->down[u] << 3) << 4 * (u % 2));
    }
    for (size_t i = 0; i < 4; i++) {
        unsigned word = (factor >> 4 * i & 15) << 12;
        for (size_t g = 0; g < 4; g++)
            word |= (unsigned)f->scale[4 * i + g] << 3 * g;
        b->scales[2 * i] = (uint8_t)word;
        b->scales[2 * i + 1] = (uint8_t)(word >> 8);
    }
}

static void get_iq1_m(const uint8_t *block, struct grid_fitted *f)
{
    const struct block_iq1_m *b = (const void *)block;
    f->factor = fp16_decode(iq1_m_factor(b->scales));
    for (size_t g = 0; g < 16; g++) {
        const uint8_t *at = b->scales + g / 4 * 2;
        f->scale[g] = (at[0] | at[1] << 8) >> 3 * (g % 4) & 7;
    }
}

/* ---- the table ------------------------------------------------------------------------------- */

#define IQ2_VALUES {8, 25, 43}
#define IQ1_VALUES {-8, 0, 8}

const struct grid_type grid_types[DTYPE_ALL] = {
    [DTYPE_IQ3_S] = {.fours = iq3_s_grid, .count = IQ3_S_GRID, .length = 4, .step = 2,
                     .values = {1, 3, 5, 7, 9, 11, 13, 15}, .unit = 1, .scale_high = 15, .first = 13, .last = 17,
                     .put = put_iq3_s, .get = get_iq3_s},
    [DTYPE_IQ3_XXS] = {.fours = iq3_xxs_grid, .count = IQ3_XXS_GRID, .length = 4, .step = 8,
                       .values = {4, 12, 20, 28, 36, 44, 52, 62}, .unit = 0.25f, .parity = true, .scale_high = 15,
                       .first = 46, .last = 72, .put = put_iq3_xxs, .get = get_iq3_xxs},
    [DTYPE_IQ2_S] = {.eights = iq2_s_grid, .count = IQ2_S_GRID, .length = 8, .step = 17, .values = IQ2_VALUES,
                     .unit = 0.125f, .scale_high = 15, .first = 30, .last = 56, .put = put_iq2_s, .get = get_iq2_s},
    [DTYPE_IQ2_XS] = {.eights = iq2_xs_grid, .count = IQ2_XS_GRID, .length = 8, .step = 17, .values = IQ2_VALUES,
                      .unit = 0.125f, .parity = true, .scale_high = 15, .first = 30, .last = 56,
                      .put = put_iq2_xs, .get = get_iq2_xs},
    [DTYPE_IQ2_XXS] = {.eights = iq2_xxs_grid, .count = IQ2_XXS_GRID, .length = 8, .step = 17, .values = IQ2_VALUES,
                       .unit = 0.125f, .parity = true, .scale_high = 15, .first = 30, .last = 60,
                       .put = put_iq2_xxs, .get = get_iq2_xxs},
    [DTYPE_IQ1_S] = {.eights = iq1_grid, .count = IQ1_GRID, .length = 8, .step = 8, .values = IQ1_VALUES,
                     .unit = 0.125f, .shift = SHIFT_GROUP, .scale_high = 7, .first = 4.5f, .last = 7.5f,
                     .put = put_iq1_s, .get = get_iq1_s},
    [DTYPE_IQ1_M] = {.eights = iq1_grid, .count = IQ1_GRID, .length = 8, .step = 8, .values = IQ1_VALUES,
                     .unit = 0.125f, .shift = SHIFT_UNIT, .scale_high = 7, .first = 4.5f, .last = 7.5f,
                     .put = put_iq1_m, .get = get_iq1_m},
};
