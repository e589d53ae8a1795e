#include "fake.h"

#include "kernels/clip.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

static bool whole_tensor(const struct fake *f)
{
    return f->m.format.granularity == GRANULARITY_TENSOR;
}

/* The scale as it is stored: finite, nonzero. */
static float storable(const struct qmatrix *m, float scale)
{
    if (m->scale_type == SCALE_FP16)
        return fp16_decode(fp16_encode(fminf(fmaxf(scale, 0x1p-24f), 65504.0f)));
    return fminf(fmaxf(scale, FLT_MIN), FLT_MAX);
}

struct quant_params fake_params(const struct fake *f, size_t i)
{
    return (struct quant_params){storable(&f->m, expf(f->log_scales[i])), f->zeros[i]};
}

static struct quant_params params_of(const struct fake *f, size_t r, size_t g)
{
    return fake_params(f, whole_tensor(f) ? 0 : r * f->m.groups + g);
}

static void set_params(struct fake *f, size_t i, struct quant_params params)
{
    f->log_scales[i] = logf(params.scale);
    f->zeros[i] = params.zero_point;
}

static void choose_row(struct fake *f, const float *w, size_t r)
{
    const double min = 0.5;
    const struct qmatrix *m = &f->m;
    for (size_t g = 0, c = 0; c < m->cols; g++, c += m->group) {
        size_t n = m->cols - c < m->group ? m->cols - c : m->group;
        struct value_range range = {0, 0};
        value_range_add(&range, w + c, n);
        bool integers = dtypes[m->format.weight].kind == DTYPE_KIND_INTEGER;
        set_params(f, r * m->groups + g, integers ? clip_params(m, w + c, n, NULL, min)
                                                : quantize_params(m, range));
    }
}

bool fake_open(struct fake *f, const struct qformat *format, const float *w, size_t rows, size_t cols,
               struct error *error)
{
    struct value_range range = {0, 0};
    *f = (struct fake){0};
    if (!qmatrix_init(&f->m, format, rows, cols, error))
        return false;
    f->grids = whole_tensor(f) ? 1 : rows * f->m.groups;
    f->log_scales = malloc(f->grids * sizeof *f->log_scales);
    f->zeros = malloc(f->grids * sizeof *f->zeros);
    f->row_gradients = calloc(rows * f->m.groups, sizeof *f->row_gradients);
    if (!f->log_scales || !f->zeros || !f->row_gradients)
        return error_set(error, "not enough memory for training");
    if (whole_tensor(f)) {
        value_range_add(&range, w, rows * cols);
        set_params(f, 0, quantize_params(&f->m, range));
    }
    for (size_t r = 0; r < rows && !whole_tensor(f); r++)
        choose_row(f, w + r * cols, r);
    return true;
}

void fake_close(struct fake *f)
{
    qmatrix_free(&f->m);
    free(f->log_scales);
    free(f->zeros);
    free(f->row_gradients);
    *f = (struct fake){0};
}

/* ---- forward --------------------------------------------------------------------------------- */

struct pass {
    struct fake *f;
    const float *w, *rounded;
    float *out;
};

static void round_floats(const struct qmatrix *m, float scale, const float *w, size_t n, float *out)
{
    const struct dtype_info *type = &dtypes[m->format.weight];
    for (size_t i = 0; i < n; i++)
        out[i] = type->decode(type->encode(w[i] / scale)) * scale;
}

static void round_rows(void *arg, size_t begin, size_t end, int thread)
{
    const struct pass *p = arg;
    const struct qmatrix *m = &p->f->m;
    (void)thread;
    for (size_t r = begin; r < end; r++)
        for (size_t g = 0, c = 0; c < m->cols; g++, c += m->group) {
            size_t n = m->cols - c < m->group ? m->cols - c : m->group, at = r * m->cols + c;
            struct quant_params params = params_of(p->f, r, g);
            if (dtypes[m->format.weight].kind == DTYPE_KIND_INTEGER)
                quantize_values(m, params, p->w + at, n, p->out + at);
            else
                round_floats(m, params.scale, p->w + at, n, p->out + at);
        }
}

void fake_forward(const struct fake *f, const float *w, float *out, struct pool *pool)
{
    struct pass p = {(struct fake *)(uintptr_t)f, w, NULL, out};
    pool_run(pool, f->m.rows, round_rows, &p);
}

/* ---- backward -------------------------------------------------------------------------------- */

/* The ends of a grid, in steps of its scale from 0, and what rounding of the scale may make of them. */
static void ends(const struct qmatrix *m, struct quant_params params, float *low, float *high)
{
    const float slack = 1e-3f;
    const struct dtype_info *type = &dtypes[m->format.weight];
    *high = type->largest + slack;
    *low = -*high;
    if (type->kind != DTYPE_KIND_INTEGER)
        return;
    int lowest = m->format.asym ? type->lowest : type->symmetric_zero - (int)type->largest;
    *low = (float)(lowest - params.zero_point) - slack;
    *high = (float)(type->highest - params.zero_point) + slack;
}

static float group_back(const struct qmatrix *m, struct quant_params params, const float *w, const float *rounded,
                        float *d, size_t n)
{
    float low, high;
    double sum = 0;
    ends(m, params, &low, &high);
    low *= params.scale;
    high *= params.scale;
    for (size_t i = 0; i < n; i++) {
        bool inside = w[i] >= low && w[i] <= high;
        sum += (double)(d[i] * (inside ? rounded[i] - w[i] : rounded[i]));
        d[i] = inside ? d[i] : 0;
    }
    return (float)sum;
}

static void rows_back(void *arg, size_t begin, size_t end, int thread)
{
    const struct pass *p = arg;
    const struct qmatrix *m = &p->f->m;
    (void)thread;
    for (size_t r = begin; r < end; r++)
        for (size_t g = 0, c = 0; c < m->cols; g++, c += m->group) {
            size_t n = m->cols - c < m->group ? m->cols - c : m->group, at = r * m->cols + c;
            p->f->row_gradients[r * m->groups + g] =
                group_back(m, params_of(p->f, r, g), p->w + at, p->rounded + at, p->out + at, n);
        }
}

void fake_backward(struct fake *f, const float *w, const float *out, float *d, struct pool *pool)
{
    struct pass p = {f, w, out, d};
    double sum = 0;
    pool_run(pool, f->m.rows, rows_back, &p);
    for (size_t r = 0; whole_tensor(f) && r < f->m.rows; r++)
        sum += (double)f->row_gradients[r];
    if (whole_tensor(f))
        f->row_gradients[0] = (float)sum;
}
