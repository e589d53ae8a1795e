#include "packing.h"

#include "arrange.h"
#include "kernels/stored.h"

#include <stdlib.h>
#include <string.h>

/* ---- the table ------------------------------------------------------------------------------- */

/* Column c of a file's block is in nibble c % 2 of byte c / 2; of a block here columns i and 16 + i share byte i. */
static void join_mxfp4(const uint8_t *codes, uint8_t scale, uint8_t *out)
{
    struct block_mxfp4 *block = (void *)out;
    block->scale = scale;
    for (size_t k = 0; k < SMALL_BLOCK / 4; k++) {
        unsigned low = codes[k], high = codes[SMALL_BLOCK / 4 + k];
        block->codes[2 * k] = (uint8_t)((low & 15) | (high & 15) << 4);
        block->codes[2 * k + 1] = (uint8_t)(low >> 4 | (high & 0xf0));
    }
}

const struct packing packings[] = {
    {"mxfp4", "_blocks", "_scales", DTYPE_MXFP4, SMALL_BLOCK / 2, join_mxfp4},
    {0},
};

const struct packing *packing_by_method(const char *method)
{
    for (const struct packing *p = packings; p->method; p++)
        if (strcmp(p->method, method) == 0)
            return p;
    return NULL;
}

/* ---- checks ---------------------------------------------------------------------------------- */

static bool ends_in(const char *name, const char *ending)
{
    size_t n = strlen(name), length = strlen(ending);
    return n > length && strcmp(name + n - length, ending) == 0;
}

bool packing_check_bytes(const struct catalog *files, const struct packing *p, struct error *error)
{
    for (size_t i = 0; i < files->count; i++) {
        const char *name = files->entries[i].name;
        if (files->entries[i].dtype != ENTRY_BYTES || (p && (ends_in(name, p->codes) || ends_in(name, p->scales))))
            continue;
        return error_set(error, "tensor %.128s: dtype is U8; expected F64, F32, F16, BF16, F8_E4M3 or F8_E5M2%s", name,
                         p ? "" : ", since config.json has no quantization_config");
    }
    return true;
}

static bool check_part(const struct entry *e, size_t dimensions, const size_t *expected, struct error *error)
{
    char found[ENTRY_SHAPE_TEXT], wanted[ENTRY_SHAPE_TEXT];
    if (e->dtype != ENTRY_BYTES)
        return error_set(error, "tensor %.128s: %s; expected U8", e->name, entry_type_name(e->dtype));
    if (e->dimensions == dimensions && memcmp(e->shape, expected, dimensions * sizeof *expected) == 0)
        return true;
    shape_print(found, e->dimensions, e->shape);
    shape_print(wanted, dimensions, expected);
    return error_set(error, "tensor %.128s: shape %s; expected %s", e->name, found, wanted);
}

bool packing_check(const struct packing *p, const struct packing_parts *parts, size_t rows, size_t cols,
                   struct error *error)
{
    size_t block = dtypes[p->dtype].block;
    const size_t shape[] = {rows, cols / block, p->code_bytes};
    if (cols % block != 0)
        return error_set(error, "tensor %.128s: rows of %zu weights; expected a multiple of %zu", parts->codes.name,
                         cols, block);
    return check_part(&parts->codes, 3, shape, error) && check_part(&parts->scales, 2, shape, error);
}

/* ---- joining --------------------------------------------------------------------------------- */

bool packing_join(struct qmatrix *w, const struct packing *p, const struct packing_parts *parts, unsigned how,
                  const struct layer *layer)
{
    size_t blocks = w->cols / dtypes[p->dtype].block, block_bytes = dtypes[p->dtype].block_bytes;
    uint8_t *out = malloc(w->rows * w->row_bytes + 1);
    w->codes = w->owned = out;
    w->bytes = w->rows * w->row_bytes;
    for (size_t r = 0; out && r < w->rows; r++) {
        size_t first = arranged_row(how, layer, w->rows, r) * blocks;
        for (size_t i = first; i < first + blocks; i++, out += block_bytes)
            p->join(parts->codes.data + i * p->code_bytes, parts->scales.data[i], out);
    }
    return w->owned;
}
