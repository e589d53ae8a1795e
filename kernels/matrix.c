#include "matrix.h"

#include "base/pages.h"
#include "stored.h"

#include <float.h>
#include <stdlib.h>

static bool multiply(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

/* Blocks contain their scales. */
static bool block_layout(const struct dtype_info *type, size_t rows, size_t cols,
                         struct qmatrix_layout *out)
{
    struct qmatrix_layout l = {.group = cols, .groups = 1};
    if (cols % type->block != 0 || !multiply(cols / type->block, type->block_bytes, &l.row_bytes) ||
        !multiply(rows, l.row_bytes, &l.codes) || l.codes > SIZE_MAX / 4)
        return false;
    *out = l;
    return true;
}

bool qmatrix_layout(const struct qformat *s, size_t rows, size_t cols, struct qmatrix_layout *out)
{
    const struct dtype_info *type = &dtypes[s->weight];
    struct qmatrix_layout l = {.group = cols, .groups = 1};
    if (type->kind == DTYPE_KIND_BLOCK)
        return block_layout(type, rows, cols, out);
    bool grouped = s->granularity == GRANULARITY_GROUP && type->kind != DTYPE_KIND_FLOAT;
    if (grouped && s->group < cols) {
        l.group = s->group;
        l.groups = (cols - 1) / s->group + 1;
    }
    size_t scales = 0, bits;
    if (type->kind != DTYPE_KIND_FLOAT) {
        l.scale_type = grouped ? SCALE_FP16 : SCALE_FP32;
        if (s->granularity == GRANULARITY_TENSOR)
            scales = 1;
        else if (!multiply(rows, l.groups, &scales))
            return false;
    }
    if (!multiply(cols, type->bits, &bits) || bits > SIZE_MAX - 7)
        return false;
    l.row_bytes = (bits + 7) / 8;
    if (s->asym) {
        size_t zero_rows = s->granularity == GRANULARITY_TENSOR ? 1 : rows;
        if (!multiply(zero_rows, (l.groups * type->bits + 7) / 8, &l.zeros))
            return false;
    }
    if (!multiply(rows, l.row_bytes, &l.codes) ||
        !multiply(scales, l.scale_type == SCALE_FP16 ? 2 : 4, &l.scales) ||
        l.codes > SIZE_MAX / 4 || l.scales > SIZE_MAX / 4 || l.zeros > SIZE_MAX / 4)
        return false;
    *out = l;
    return true;
}

/* Sizes of a packed matrix, with the padding of lines and panels. */
struct panel_sizes {
    size_t group_lines, lines; /* of one panel */
    size_t codes, scales, zeros;
};

static bool panel_sizes(const struct qformat *s, size_t rows, size_t cols,
                        const struct qmatrix_layout *l, struct panel_sizes *out)
{
    size_t width = line_columns(s->weight), last = cols - (l->groups - 1) * l->group, params_count = 1;
    struct panel_sizes p = {.group_lines = (l->group + width - 1) / width};
    if (rows > SIZE_MAX - PANEL_ROWS)
        return false;
    size_t panels = (rows + PANEL_ROWS - 1) / PANEL_ROWS;
    p.lines = (l->groups - 1) * p.group_lines + (last + width - 1) / width;
    if (!multiply(panels, p.lines, &p.codes) || !multiply(p.codes, LINE_BYTES, &p.codes))
        return false;
    if (s->granularity != GRANULARITY_TENSOR &&
        (!multiply(panels, l->groups, &params_count) || !multiply(params_count, PANEL_ROWS, &params_count)))
        return false;
    if (p.codes > SIZE_MAX / 8 || params_count > SIZE_MAX / 64)
        return false;
    if (l->scale_type != SCALE_NONE)
        p.scales = params_count * (l->scale_type == SCALE_FP16 ? 2 : 4);
    if (s->asym)
        p.zeros = (params_count * dtypes[s->weight].bits + 7) / 8;
    *out = p;
    return true;
}

/* Clears the padding of the last panel, and small matrices entirely. The pages of large ones are first touched by the
 * threads that write their rows. */
static void clear(struct qmatrix *m, const struct panel_sizes *p, size_t total)
{
    uint8_t *memory = m->owned;
    if (total < PAGES_HUGE) {
        memset(memory, 0, total);
        return;
    }
    size_t last = p->lines * LINE_BYTES;
    memset(memory + p->codes - last, 0, last);
    memset(memory + padded_bytes(p->codes), 0, total - padded_bytes(p->codes));
}

/* Rows of blocks as files hold them. */
static bool init_blocks(struct qmatrix *m, const struct qformat *format, size_t rows, size_t cols, struct error *error)
{
    const struct dtype_info *type = &dtypes[format->weight];
    struct qmatrix_layout l;
    if (cols % type->block != 0)
        return error_set(error, "%zu columns do not divide into the blocks of %s; expected a multiple of %zu", cols,
                         type->name, type->block);
    if (!qmatrix_layout(format, rows, cols, &l))
        return error_set(error, "a matrix of %zu x %zu is too large to address", rows, cols);
    uint8_t *memory = malloc(l.codes + 1);
    if (!memory)
        return error_set(error, "not enough memory: %zu bytes for a matrix of %zu x %zu", l.codes, rows, cols);
    *m = (struct qmatrix){.rows = rows,
                          .cols = cols,
                          .format = *format,
                          .group = l.group,
                          .groups = l.groups,
                          .row_bytes = l.row_bytes,
                          .bytes = l.codes,
                          .codes = memory,
                          .owned = memory};
    return true;
}

bool qmatrix_init(struct qmatrix *m, const struct qformat *format, size_t rows, size_t cols,
                  struct error *error)
{
    struct qmatrix_layout l;
    struct panel_sizes p;
    if (dtypes[format->weight].kind == DTYPE_KIND_BLOCK)
        return init_blocks(m, format, rows, cols, error);
    if (!qmatrix_layout(format, rows, cols, &l) || !panel_sizes(format, rows, cols, &l, &p))
        return error_set(error, "a matrix of %zu x %zu is too large to address", rows, cols);
    /* Each part begins on a cache line. */
    size_t total = padded_bytes(p.codes) + padded_bytes(p.scales) + padded_bytes(p.zeros);
    uint8_t *memory = pages_alloc(total);
    if (!memory)
        return error_set(error, "not enough memory: %zu bytes for a matrix of %zu x %zu", total, rows,
                         cols);
    *m = (struct qmatrix){
        .rows = rows,
        .cols = cols,
        .format = *format,
        .group = l.group,
        .groups = l.groups,
        .row_bytes = l.row_bytes,
        .scale_type = l.scale_type,
        .bytes = l.codes + l.scales + l.zeros,
        .packed = true,
        .group_lines = p.group_lines,
        .lines = p.lines,
        .codes = memory,
        .scales = p.scales ? memory + padded_bytes(p.codes) : NULL,
        .zeros = p.zeros ? memory + padded_bytes(p.codes) + padded_bytes(p.scales) : NULL,
        .owned = memory,
    };
    clear(m, &p, total);
    return true;
}

static void free_input_transform(struct qmatrix *m)
{
    if (!m->input_transform)
        return;
    if (m->input_transform->weights)
        qmatrix_free(m->input_transform->weights);
    free(m->input_transform->weights);
    free(m->input_transform->columns);
    free(m->input_transform->scale);
    free(m->input_transform);
}

void qmatrix_free(struct qmatrix *m)
{
    if (m->owned)
        free_input_transform(m);
    if (m->packed)
        pages_free(m->owned);
    else
        free(m->owned);
    *m = (struct qmatrix){0};
}

/* ---- input transform ---------------------------------------------------------------------------------- */

static bool need_input_transform(struct qmatrix *m, struct error *error)
{
    if (!m->input_transform)
        m->input_transform = calloc(1, sizeof *m->input_transform);
    return m->input_transform || error_set(error, "not enough memory for a matrix");
}

bool qmatrix_set_input_scale(struct qmatrix *m, const float *scale, struct error *error)
{
    if (!need_input_transform(m, error))
        return false;
    float *copy = malloc(m->cols * sizeof *copy);
    if (!copy)
        return error_set(error, "not enough memory for an input scale");
    for (size_t c = 0; c < m->cols; c++)
        copy[c] = scale[c] > 0 && scale[c] <= FLT_MAX ? scale[c] : 1.0f;
    m->bytes += m->input_transform->scale ? 0 : m->cols * sizeof *copy;
    free(m->input_transform->scale);
    m->input_transform->scale = copy;
    return true;
}

bool qmatrix_set_outliers(struct qmatrix *m, const uint32_t *columns, size_t n, struct error *error)
{
    struct qformat fp16 = qformat_default(DTYPE_FP16);
    if (n == 0 || !need_input_transform(m, error))
        return n == 0;
    struct input_transform *in = m->input_transform;
    in->columns = malloc(n * sizeof *columns);
    in->weights = calloc(1, sizeof *in->weights);
    if (!in->columns || !in->weights)
        return error_set(error, "not enough memory for %zu outlier columns", n);
    memcpy(in->columns, columns, n * sizeof *columns);
    in->outliers = n;
    if (!qmatrix_init(in->weights, &fp16, m->rows, n, error))
        return false;
    m->bytes += in->weights->bytes + n * sizeof *columns;
    return true;
}

bool qmatrix_set_act_scale(struct qmatrix *m, float scale, int zero, struct error *error)
{
    if (!need_input_transform(m, error))
        return false;
    if (m->input_transform->act_scale == 0)
        m->bytes += sizeof scale + m->format.act_asym;
    m->input_transform->act_scale = scale;
    m->input_transform->act_zero = zero;
    return true;
}

/* ---- scales and zero points ------------------------------------------------------------------- */

float qmatrix_scale(const struct qmatrix *m, size_t r, size_t g)
{
    size_t i = qmatrix_params_index(m, r, g);
    switch (m->scale_type) {
    case SCALE_FP32:
        return ((const float *)m->scales)[i];
    case SCALE_FP16:
        return fp16_decode(((const uint16_t *)m->scales)[i]);
    case SCALE_NONE:
        break;
    }
    return 1.0f;
}

int qmatrix_zero(const struct qmatrix *m, size_t r, size_t g)
{
    if (!m->zeros)
        return dtypes[m->format.weight].symmetric_zero;
    int8_t zero;
    dtypes[m->format.weight].unpack_run(m->zeros, qmatrix_params_index(m, r, g), 1, &zero);
    return zero;
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* The eight nibbles of a row in a line: from the order of columns to that of the line, and back. */
static uint32_t nibbles_to_line(uint32_t columns)
{
    uint32_t even = columns & 0x0f0f0f0fu, odd = columns >> 4 & 0x0f0f0f0fu;
    even = (even | even >> 4) & 0x00ff00ffu, odd = (odd | odd >> 4) & 0x00ff00ffu;
    even = (even | even >> 8) & 0xffffu, odd = (odd | odd >> 8) & 0xffffu;
    return even | odd << 16;
}

static uint32_t nibbles_to_columns(uint32_t line)
{
    uint32_t even = line & 0xffffu, odd = line >> 16;
    even = (even | even << 8) & 0x00ff00ffu, odd = (odd | odd << 8) & 0x00ff00ffu;
    even = (even | even << 4) & 0x0f0f0f0fu, odd = (odd | odd << 4) & 0x0f0f0f0fu;
    return even | odd << 4;
}

/* The 32 bits of one lane of a line, with its columns in order. */
static inline uint32_t take_lane(const uint8_t *line, enum dtype dtype, size_t lane)
{
    uint32_t word;
    uint16_t half[2];
    switch (dtype) {
    case DTYPE_FP16:
        memcpy(&half[0], line + 2 * lane, 2);
        memcpy(&half[1], line + 32 + 2 * lane, 2);
        return half[0] | (uint32_t)half[1] << 16;
    case DTYPE_FP8E4M3:
    case DTYPE_FP8E5M2:
        return line[lane] | (uint32_t)line[16 + lane] << 8 | (uint32_t)line[32 + lane] << 16 |
               (uint32_t)line[48 + lane] << 24;
    default:
        memcpy(&word, line + 4 * lane, 4);
        return dtype == DTYPE_INT4 ? nibbles_to_columns(word) : word;
    }
}

static inline void put_lane(uint8_t *line, enum dtype dtype, size_t lane, uint32_t word)
{
    uint16_t half[2] = {(uint16_t)word, (uint16_t)(word >> 16)};
    switch (dtype) {
    case DTYPE_FP16:
        memcpy(line + 2 * lane, &half[0], 2);
        memcpy(line + 32 + 2 * lane, &half[1], 2);
        return;
    case DTYPE_FP8E4M3:
    case DTYPE_FP8E5M2:
        for (size_t c = 0; c < 4; c++)
            line[16 * c + lane] = (uint8_t)(word >> 8 * c);
        return;
    default:
        word = dtype == DTYPE_INT4 ? nibbles_to_line(word) : word;
        memcpy(line + 4 * lane, &word, 4);
    }
}

/* The line that holds column `in_group` of group g of row r. */
static const uint8_t *line_at(const struct qmatrix *m, size_t r, size_t g, size_t in_group)
{
    size_t line = g * m->group_lines + in_group / line_columns(m->format.weight);
    return m->codes + (r / PANEL_ROWS * m->lines + line) * LINE_BYTES;
}

void qmatrix_put_codes(struct qmatrix *m, size_t r, size_t g, size_t first, size_t n,
                       const uint8_t *codes)
{
    enum dtype dtype = m->format.weight;
    uint8_t *line = m->owned;
    line += line_at(m, r, g, first - g * m->group) - m->codes;
    size_t bytes = (n * dtypes[dtype].bits + 7) / 8, lane = r % PANEL_ROWS;
    uint32_t word;
    for (; bytes >= sizeof word; bytes -= sizeof word, codes += sizeof word, line += LINE_BYTES) {
        memcpy(&word, codes, sizeof word);
        put_lane(line, dtype, lane, word);
    }
    if (bytes > 0) {
        word = 0;
        memcpy(&word, codes, bytes);
        put_lane(line, dtype, lane, word);
    }
}

enum { PIECE = 256 }; /* columns decoded at a time */

/* Copies into `codes`, in the order of columns, the words of row r that hold columns first .. first +
 * n - 1 of group g. Returns the index of column `first` in them. */
static size_t take_codes(const struct qmatrix *m, size_t r, size_t g, size_t first, size_t n,
                         uint32_t codes[PIECE + 1])
{
    enum dtype dtype = m->format.weight;
    size_t in_group = first - g * m->group, skip = in_group % line_columns(dtype);
    const uint8_t *line = line_at(m, r, g, in_group);
    for (size_t i = 0; i * line_columns(dtype) < skip + n; i++, line += LINE_BYTES)
        codes[i] = take_lane(line, dtype, r % PANEL_ROWS);
    return skip;
}

uint32_t qmatrix_code(const struct qmatrix *m, size_t r, size_t c)
{
    const struct dtype_info *type = &dtypes[m->format.weight];
    const uint8_t *row = m->codes + r * m->row_bytes;
    uint32_t words[PIECE + 1];
    if (type->kind == DTYPE_KIND_BLOCK)
        return 0;
    if (m->packed) {
        c = take_codes(m, r, c / m->group, c, 1, words);
        row = (const uint8_t *)words;
    }
    if (type->kind == DTYPE_KIND_INTEGER) {
        int8_t code;
        type->unpack_run(row, c, 1, &code);
        return (uint32_t)code;
    }
    uint32_t code = 0;
    memcpy(&code, row + c * (type->bits / 8), type->bits / 8); /* little-endian hosts only */
    return code;
}

/* How many columns from `first` on, at most max, are in one group and fit in a piece. */
static size_t run_length(const struct qmatrix *m, size_t first, size_t max)
{
    size_t left = (first / m->group + 1) * m->group - first;
    left = left < m->cols - first ? left : m->cols - first;
    max = max < PIECE ? max : PIECE;
    return left < max ? left : max;
}

void qmatrix_unpack(const struct qmatrix *m, size_t r, size_t first, size_t n, int8_t *out)
{
    const uint8_t *row = m->codes + r * m->row_bytes;
    uint32_t words[PIECE + 1];
    if (m->packed) {
        first = take_codes(m, r, first / m->group, first, n, words);
        row = (const uint8_t *)words;
    }
    dtypes[m->format.weight].unpack_run(row, first, n, out);
}

/* For stored types. A block of which only a part is needed is decoded to `aside` first. */
static void decode_blocks(const struct dtype_info *type, const uint8_t *row, size_t first, size_t n,
                          float *out)
{
    float aside[BLOCK_MAX];
    for (size_t c = first, end = first + n, part; c < end; c += part, out += part) {
        size_t skip = c % type->block, left = type->block - skip;
        const uint8_t *block = row + c / type->block * type->block_bytes;
        part = end - c < left ? end - c : left;
        type->decode_block(block, part == type->block ? out : aside);
        if (part < type->block)
            memcpy(out, aside + skip, part * sizeof *out);
    }
}

void qmatrix_decode_codes(const struct qmatrix *m, size_t r, size_t first, size_t n, float *out)
{
    const struct dtype_info *type = &dtypes[m->format.weight];
    const uint8_t *row = m->codes + r * m->row_bytes;
    uint32_t words[PIECE + 1];
    if (type->kind == DTYPE_KIND_BLOCK) {
        decode_blocks(type, row, first, n, out);
        return;
    }
    for (size_t c = first, end = first + n; c < end;) {
        size_t g = c / m->group, part = run_length(m, c, end - c), at = c;
        if (m->packed) {
            at = take_codes(m, r, g, c, part, words);
            row = (const uint8_t *)words;
        }
        type->decode_run(row, at, part, qmatrix_zero(m, r, g), out);
        float scale = qmatrix_scale(m, r, g);
        for (size_t i = 0; i < part && m->scale_type != SCALE_NONE; i++)
            out[i] *= scale;
        out += part;
        c += part;
    }
}

/* Inserts the weights of outlier columns. */
static void decode_outliers(const struct qmatrix *m, size_t r, size_t first, size_t n, float *out)
{
    const struct input_transform *in = m->input_transform;
    for (size_t i = 0; i < in->outliers; i++)
        if (in->columns[i] >= first && in->columns[i] < first + n)
            qmatrix_decode_codes(in->weights, r, i, 1, out + in->columns[i] - first);
}

void qmatrix_decode(const struct qmatrix *m, size_t r, size_t first, size_t n, float *out)
{
    qmatrix_decode_codes(m, r, first, n, out);
    qmatrix_scale_weights(m, n, out);
    if (!m->input_transform)
        return;
    for (size_t i = 0; i < n && m->input_transform->scale; i++)
        out[i] /= m->input_transform->scale[first + i];
    decode_outliers(m, r, first, n, out);
}

void qmatrix_decode_row(const struct qmatrix *m, size_t r, float *out)
{
    qmatrix_decode(m, r, 0, m->cols, out);
}
