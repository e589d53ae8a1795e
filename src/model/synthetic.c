#include "synthetic.h"

#include "assemble.h"
#include "format.h"
#include "hf_config.h"
#include "on_demand.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Weights come from a counter: bits = mix(key of the row + position), mix being the output function of
 * SplitMix64 (Steele, Lea, Flood 2014). Four weights share 64 bits; of its 16 each takes 12 to choose
 * a quantile of the normal distribution and one for its sign. */
enum { QUANTILES = 1 << 12, SIGN = 0x8000 };

#define GOLDEN 0x9e3779b97f4a7c15u

struct generator {
    enum role *role;                      /* of each tensor */
    uint16_t quantile[ROLE_COUNT][QUANTILES]; /* fp16, positive, scaled to the role's deviation */
};

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t tensor_key(int tensor)
{
    return mix(GOLDEN * ((uint64_t)tensor + 1));
}

size_t synthetic_outlier(int tensor, size_t run)
{
    uint64_t bits = mix(~tensor_key(tensor) + GOLDEN * (run + 1));
    return run * GENERATOR_RUN + bits % GENERATOR_RUN;
}

double synthetic_deviation(const struct model *m, enum role role)
{
    const struct hyper *h = &m->hyper;
    double cols = (double)model_role_shape(m, &m->layers[h->layers - 1], role).cols; /* the last has experts if any has */
    switch (role) {
    case ROLE_EMBEDDING:
    case ROLE_OUTPUT:
        return 2 / sqrt(cols); /* a final activation of unit size gives logits of deviation 2 */
    case ROLE_ATTN_OUT:
    case ROLE_FFN_DOWN:
    case ROLE_DOWN_EXPERTS:
    case ROLE_DOWN_SHARED:
        return 1 / sqrt(cols * 2 * (double)h->layers); /* so many terms add up in the residual */
    default:
        return roles[role].vector ? 0.05 : 1 / sqrt(cols);
    }
}

/* ---- weights --------------------------------------------------------------------------------- */

/* n weights of a row from column `first` on, a multiple of 4. */
static void generate_normal(const uint16_t *quantile, uint64_t row_key, size_t first, size_t n,
                        uint8_t *out)
{
    for (size_t i = 0; i < n; i += 4) {
        uint64_t bits = mix(row_key + GOLDEN * ((first + i) / 4 + 1));
        uint16_t four[4];
        for (unsigned k = 0; k < 4; k++) {
            uint16_t b = (uint16_t)(bits >> 16 * k);
            four[k] = (uint16_t)(quantile[b % QUANTILES] | (b & SIGN));
        }
        memcpy(out + 2 * i, four, (n - i < 4 ? n - i : 4) * sizeof *four);
    }
}

static void generate_codes(const void *arg, int tensor, size_t row, size_t first, size_t n,
                       uint8_t *codes)
{
    const struct generator *g = arg;
    uint64_t key = mix(tensor_key(tensor) + GOLDEN * (row + 1));
    generate_normal(g->quantile[g->role[tensor]], key, first, n, codes);
    for (size_t c = first; c < first + n; c += GENERATOR_RUN) {
        uint16_t code;
        size_t at = synthetic_outlier(tensor, c / GENERATOR_RUN) - first;
        if (at >= n)
            continue;
        memcpy(&code, codes + 2 * at, sizeof code);
        code = fp16_encode(fp16_decode(code) * OUTLIER_FACTOR);
        memcpy(codes + 2 * at, &code, sizeof code);
    }
}

/* ---- the normal distribution ----------------------------------------------------------------- */

/* The middles of QUANTILES equally probable intervals of the half-normal distribution, scaled so that
 * with both signs their variance is 1. Newton's method on the tail Q(z) = erfc(z / sqrt 2) / 2, which
 * is convex: from the quantile before it climbs to the next one without passing it. */
static void half_normal(double z[QUANTILES])
{
    double at = 0, squares = 0;
    for (int i = 0; i < QUANTILES; i++) {
        double tail = 0.5 - (i + 0.5) / (2 * QUANTILES);
        for (int step = 0; step < 6; step++) {
            double density = exp(-at * at / 2) * 0.39894228040143268; /* 1 / sqrt(2 pi) */
            at += (erfc(at * 0.70710678118654752) / 2 - tail) / density;
        }
        z[i] = at;
        squares += at * at;
    }
    for (int i = 0; i < QUANTILES; i++)
        z[i] /= sqrt(squares / QUANTILES);
}

static void generator_close(void *arg)
{
    struct generator *g = arg;
    free(g->role);
    free(g);
}

static struct generator *generator_open(const struct model *m)
{
    struct generator *g = calloc(1, sizeof *g);
    double z[QUANTILES];
    if (!g || !(g->role = calloc(m->tensor_count, sizeof *g->role))) {
        free(g);
        return NULL;
    }
    for (size_t i = 0; i < m->tensor_count; i++)
        g->role[i] = m->tensors[i].role;
    half_normal(z);
    for (int role = 0; role < ROLE_COUNT; role++) {
        double deviation = synthetic_deviation(m, (enum role)role);
        for (size_t i = 0; i < QUANTILES; i++)
            g->quantile[role][i] = fp16_encode((float)(z[i] * deviation));
    }
    return g;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Everything but the codes of a stored matrix. */
static bool set_layout(struct qmatrix *w, enum dtype weight)
{
    struct qmatrix_layout l;
    struct qformat format = qformat_default(weight);
    format.stored = true;
    if (!qmatrix_layout(&format, w->rows, w->cols, &l))
        return false;
    w->format = format;
    w->group = l.group;
    w->groups = l.groups;
    w->row_bytes = l.row_bytes;
    w->bytes = l.codes;
    return true;
}

/* Vectors are small and stay: norms lie around 1, the others around 0. */
static bool make_vector(const struct generator *g, int tensor, struct qmatrix *w)
{
    float *values = malloc(w->cols * sizeof *values), norm = roles[g->role[tensor]].norm ? 1 : 0;
    if (!values)
        return false;
    w->owned = values;
    w->codes = w->owned;
    for (size_t c = 0; c < w->cols; c += 4) {
        uint16_t codes[4];
        size_t n = w->cols - c < 4 ? w->cols - c : 4;
        generate_normal(g->quantile[g->role[tensor]], tensor_key(tensor), c, n, (uint8_t *)codes);
        for (size_t i = 0; i < n; i++)
            values[c + i] = norm + fp16_decode(codes[i]);
    }
    return true;
}

static bool make_tensors(struct model *m, struct error *error)
{
    struct generator *g = model_make_tensors(m, error) ? generator_open(m) : NULL;
    if (!g)
        return error_set(error, "not enough memory for a synthetic model");
    bool ok = true;
    for (int t = 0; ok && t < (int)m->tensor_count; t++) {
        struct qmatrix *w = &m->tensors[t].stored;
        bool norm = roles[m->tensors[t].role].vector;
        ok = set_layout(w, norm ? DTYPE_FP32 : DTYPE_FP16) && (!norm || make_vector(g, t, w));
        m->parameters += w->rows * w->cols;
    }
    if (ok)
        return on_demand_open(m, &(struct weight_generator){generate_codes, generator_close, g}, error);
    generator_close(g);
    return error_set(error, "not enough memory for a synthetic model");
}

/* The biases that its configuration asks for. */
static role_set biases_of(const struct arch *a, const struct hf_asked *asked)
{
    static const role_set attention = ROLE_BIT(ROLE_ATTN_Q_BIAS) | ROLE_BIT(ROLE_ATTN_K_BIAS) |
                                      ROLE_BIT(ROLE_ATTN_V_BIAS) | ROLE_BIT(ROLE_ATTN_QKV_BIAS) |
                                      ROLE_BIT(ROLE_ATTN_OUT_BIAS);
    role_set biases = asked->attention_bias ? attention : 0;
    for (size_t i = 0; i < HF_BIASES; i++)
        biases |= asked->biases[i] ? ROLE_BIT(hf_biases[i].role) : 0;
    return biases & a->optional;
}

/* The tensors that every model of the architecture has, and those biases. */
static void give_roles(struct model *m, const struct arch *a, const struct hf_asked *asked)
{
    role_set common = (a->required | ROLE_BIT(ROLE_OUTPUT) | biases_of(a, asked)) & ~m->without;
    m->has = common;
    for (size_t b = 0; b < m->hyper.layers; b++) {
        struct layer *l = &m->layers[b];
        role_set all = common | assemble_roles(m, a, l->mixture.experts > 0);
        for (enum role role = 0; role < ROLE_COUNT; role++)
            l->has |= roles[role].in_block ? all & ROLE_BIT(role) : 0;
        l->has &= ~l->without;
        m->has |= l->has;
    }
}

struct model *synthetic_open(const struct shape *shape, struct error *error)
{
    struct model *m = calloc(1, sizeof *m);
    if (!m) {
        error_set(error, "not enough memory for a synthetic model");
        return NULL;
    }
    struct hf_asked asked;
    const struct arch *a = hf_config_parse(m, (const uint8_t *)shape->config, strlen(shape->config), &asked, error);
    m->format = "synthetic";
    m->bos = -1; /* there is no tokenizer whose token it would be */
    m->end_count = 0;
    if (a) {
        m->arch = a->name;
        give_roles(m, a, &asked);
    }
    if (a && make_tensors(m, error))
        return m;
    model_close(m);
    return NULL;
}
