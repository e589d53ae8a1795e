#include "dense.h"

#include <stdlib.h>
#include <string.h>

static size_t panels_of(size_t n)
{
    return (n + TILE_F32 - 1) / TILE_F32;
}

void panel_pack_transposed(const float *x, size_t stride, size_t n, size_t depth, size_t panel, float *out)
{
    size_t left = n - panel * TILE_F32, width = left < TILE_F32 ? left : TILE_F32;
    x += panel * TILE_F32 * stride;
    if (width < TILE_F32)
        memset(out, 0, depth * TILE_F32 * sizeof *out);
    for (size_t i = 0; i < width; i++)
        for (size_t k = 0; k < depth; k++)
            out[k * TILE_F32 + i] = x[i * stride + k];
}

void dense_tile(const struct operators *ops, const float *a, const float *b, size_t first, size_t last,
                float *c, size_t stride, size_t rows, size_t cols, size_t i, size_t j)
{
    size_t height = rows - i < TILE_F32 ? rows - i : TILE_F32;
    size_t width = cols - j < TILE_F32 ? cols - j : TILE_F32;
    float edge[TILE_F32 * TILE_F32];
    a += first * TILE_F32;
    b += first * TILE_F32;
    c += i * stride + j;
    if (height == TILE_F32 && width == TILE_F32) {
        ops->tile_add_f32(a, b, last - first, c, stride);
        return;
    }
    memset(edge, 0, sizeof edge);
    ops->tile_add_f32(a, b, last - first, edge, TILE_F32);
    for (size_t r = 0; r < height; r++)
        for (size_t k = 0; k < width; k++)
            c[r * stride + k] += edge[r * TILE_F32 + k];
}

/* ---- a product shared out over the pool ------------------------------------------------------ */

size_t dense_bytes(size_t tokens, size_t rows, size_t cols)
{
    size_t widest = rows > cols ? rows : cols;
    return (panels_floats(tokens, widest) + panels_floats(widest, tokens) + panels_floats(rows, cols) +
            panels_floats(cols, rows)) * sizeof(float);
}

static bool grow(float **memory, size_t *has, size_t floats, struct error *error)
{
    if (floats <= *has)
        return true;
    free(*memory);
    *memory = aligned_alloc(64, floats * sizeof(float));
    *has = *memory ? floats : 0;
    return *memory || error_set(error, "not enough memory for training");
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

bool dense_reserve(struct dense *d, size_t tokens, size_t rows, size_t cols, struct error *error)
{
    size_t widest = larger(rows, cols), weights = larger(panels_floats(rows, cols), panels_floats(cols, rows));
    size_t left = larger(panels_floats(tokens, widest), panels_floats(rows, tokens));
    size_t right = larger(weights, panels_floats(cols, tokens));
    return grow(&d->a, &d->a_floats, left, error) && grow(&d->b, &d->b_floats, right, error);
}

void dense_close(struct dense *d)
{
    free(d->a);
    free(d->b);
    *d = (struct dense){0};
}

/* Blocks of panels that are in the caches at a time, and depths that go together. */
enum { BLOCK_ROWS = 4, BLOCK_COLS = 8, DEPTH = 256 };

/* C = A^T B or C += A^T B, A depth x rows, B depth x cols. */
struct product {
    struct dense *d;
    const float *left, *right;
    size_t left_stride, right_stride;
    bool left_transposed, right_transposed; /* lie as rows x depth, cols x depth */
    bool add;
    size_t rows, cols, depth;
    float *c;
};

static void pack_both(void *arg, size_t begin, size_t end, int thread)
{
    const struct product *p = arg;
    size_t left = panels_of(p->rows);
    (void)thread;
    for (size_t i = begin; i < end; i++)
        if (i < left)
            (p->left_transposed ? panel_pack_transposed : panel_pack)(p->left, p->left_stride, p->rows, p->depth, i,
                                                              p->d->a + i * TILE_F32 * p->depth);
        else
            (p->right_transposed ? panel_pack_transposed : panel_pack)(p->right, p->right_stride, p->cols, p->depth,
                                                               i - left,
                                                               p->d->b + (i - left) * TILE_F32 * p->depth);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The block's part of C from 0. */
static void clear(const struct product *p, size_t i0, size_t i1, size_t j0, size_t j1)
{
    size_t first = j0 * TILE_F32, last = smaller(j1 * TILE_F32, p->cols);
    for (size_t r = i0 * TILE_F32; r < smaller(i1 * TILE_F32, p->rows); r++)
        memset(p->c + r * p->cols + first, 0, (last - first) * sizeof *p->c);
}

static void multiply_blocks(void *arg, size_t begin, size_t end, int thread)
{
    const struct product *p = arg;
    const struct operators *ops = operators_current();
    size_t rows = panels_of(p->rows), cols = panels_of(p->cols), panel = TILE_F32 * p->depth;
    size_t across = (cols + BLOCK_COLS - 1) / BLOCK_COLS;
    (void)thread;
    for (size_t item = begin; item < end; item++) {
        size_t i0 = item / across * BLOCK_ROWS, i1 = smaller(i0 + BLOCK_ROWS, rows);
        size_t j0 = item % across * BLOCK_COLS, j1 = smaller(j0 + BLOCK_COLS, cols);
        if (!p->add)
            clear(p, i0, i1, j0, j1);
        for (size_t k = 0; k < p->depth; k += DEPTH)
            for (size_t j = j0; j < j1; j++)
                for (size_t i = i0; i < i1; i++)
                    dense_tile(ops, p->d->a + i * panel, p->d->b + j * panel, k,
                               smaller(k + DEPTH, p->depth), p->c, p->cols, p->rows, p->cols, i * TILE_F32,
                               j * TILE_F32);
    }
}

static void run(struct product *p)
{
    size_t rows = panels_of(p->rows), cols = panels_of(p->cols);
    pool_run(p->d->pool, rows + cols, pack_both, p);
    pool_run(p->d->pool, (rows + BLOCK_ROWS - 1) / BLOCK_ROWS * ((cols + BLOCK_COLS - 1) / BLOCK_COLS),
             multiply_blocks, p);
}

void dense_forward(struct dense *d, const float *x, const float *w, size_t n, size_t rows, size_t cols, float *y)
{
    run(&(struct product){d, x, w, cols, cols, true, true, false, n, rows, cols, y});
}

void dense_input_gradient(struct dense *d, const float *dy, const float *w, size_t n, size_t rows, size_t cols,
                          float *dx)
{
    run(&(struct product){d, dy, w, rows, cols, true, false, true, n, cols, rows, dx});
}

void dense_weight_gradient(struct dense *d, const float *dy, const float *x, size_t n, size_t rows, size_t cols,
                           float *dw)
{
    run(&(struct product){d, dy, x, rows, cols, false, false, true, rows, cols, n, dw});
}
