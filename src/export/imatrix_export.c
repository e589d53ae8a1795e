#include "imatrix_export.h"

#include "gguf_put.h"

#include <errno.h>
#include <string.h>

/* ---- imatrix.gguf -------------------------------------------------------------------------------- */

enum { GGUF_VERSION = 3, ALIGNMENT = 32, TYPE_F32 = 0 };

static size_t padded(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void put_zeros(FILE *f, size_t n)
{
    static const char zeros[ALIGNMENT] = {0};
    fwrite(zeros, 1, n, f);
}

/* One of an entry's two tensors; returns where the next begins. */
static size_t put_description(struct gguf_out *out, const char *name, const char *ending, size_t cols, size_t rows,
                              size_t offset)
{
    gguf_put_u64(out, strlen(name) + strlen(ending));
    fputs(name, out->file);
    fputs(ending, out->file);
    gguf_put_u32(out, rows > 1 ? 2 : 1); /* as ggml counts them: without outer ones */
    gguf_put_u64(out, cols);
    if (rows > 1)
        gguf_put_u64(out, rows);
    gguf_put_u32(out, TYPE_F32);
    gguf_put_u64(out, offset);
    return offset + padded(cols * rows * sizeof(float));
}

static void put_floats(FILE *f, const float *values, size_t n)
{
    fwrite(values, sizeof *values, n, f);
    put_zeros(f, padded(n * sizeof *values) - n * sizeof *values);
}

static void put_keys(const struct imatrix *m, struct gguf_out *out)
{
    gguf_key_text(out, "general.type", "imatrix");
    gguf_key_array(out, "imatrix.datasets", GGUF_STRING, 1);
    gguf_put_text(out, m->dataset, strlen(m->dataset));
    gguf_key_u32(out, "imatrix.chunk_count", (uint32_t)m->chunk_count);
    gguf_key_u32(out, "imatrix.chunk_size", (uint32_t)m->chunk_size);
}

static void write_gguf(const struct imatrix *m, FILE *f)
{
    enum { KEYS = 4 }; /* as put_keys has them */
    struct gguf_out out = {f, 0};
    size_t at = 0;
    fwrite("GGUF", 1, 4, f);
    gguf_put_u32(&out, GGUF_VERSION);
    gguf_put_u64(&out, 2 * m->count);
    gguf_put_u64(&out, KEYS);
    put_keys(m, &out);
    for (size_t i = 0; i < m->count; i++) {
        const struct imatrix_entry *e = &m->entries[i];
        at = put_description(&out, e->name, ".in_sum2", e->values / e->rows, e->rows, at);
        at = put_description(&out, e->name, ".counts", 1, e->rows, at);
    }
    size_t head = (size_t)ftell(f);
    put_zeros(f, padded(head) - head);
    for (size_t i = 0; i < m->count; i++) {
        put_floats(f, m->entries[i].sums, m->entries[i].values);
        put_floats(f, m->entries[i].counts, m->entries[i].rows);
    }
}

/* ---- .dat ---------------------------------------------------------------------------------------- */

static void put_i32(FILE *f, size_t value)
{
    int32_t number = (int32_t)value;
    fwrite(&number, sizeof number, 1, f);
}

static void put_text(FILE *f, const char *text)
{
    put_i32(f, strlen(text));
    fputs(text, f);
}

/* Whole chunks of the row with the most tokens, at least one where it has any. */
static size_t chunks_of(const struct imatrix_entry *e, size_t chunk_size)
{
    float most = 0;
    for (size_t r = 0; r < e->rows; r++)
        most = e->counts[r] > most ? e->counts[r] : most;
    return chunk_size > 0 ? ((size_t)most + chunk_size - 1) / chunk_size : (size_t)most;
}

static void put_entry(const struct imatrix_entry *e, size_t chunks, FILE *f)
{
    size_t cols = e->values / e->rows;
    put_text(f, e->name);
    put_i32(f, chunks);
    put_i32(f, e->values);
    for (size_t i = 0; i < e->values; i++) {
        double count = (double)e->counts[i / cols];
        float sum = (float)((count > 0 ? (double)e->sums[i] / count : 1) * (double)chunks);
        fwrite(&sum, sizeof sum, 1, f);
    }
}

/* Entries without any data are not in it. */
static void write_dat(const struct imatrix *m, FILE *f)
{
    size_t count = 0;
    for (size_t i = 0; i < m->count; i++)
        count += chunks_of(&m->entries[i], m->chunk_size) > 0;
    put_i32(f, count);
    for (size_t i = 0; i < m->count; i++) {
        size_t chunks = chunks_of(&m->entries[i], m->chunk_size);
        if (chunks > 0)
            put_entry(&m->entries[i], chunks, f);
    }
    put_i32(f, m->chunk_count);
    put_text(f, m->dataset);
}

/* ---- both ---------------------------------------------------------------------------------------- */

static bool fits_dat(const struct imatrix *m, const char *path, struct error *error)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->entries[i].values > INT32_MAX)
            return error_set(error,
                             "%.200s: %s has %zu values, and a .dat counts to %d; expected a name that ends in .gguf",
                             path, m->entries[i].name, m->entries[i].values, INT32_MAX);
    return true;
}

bool imatrix_write(const struct imatrix *m, const char *path, size_t *bytes, struct error *error)
{
    size_t n = strlen(path);
    bool dat = n > 4 && strcmp(path + n - 4, ".dat") == 0;
    struct output out;
    if ((dat && !fits_dat(m, path, error)) || !output_open(&out, path, error))
        return false;
    errno = 0;
    (dat ? write_dat : write_gguf)(m, out.file);
    bool ok = fflush(out.file) == 0 && !ferror(out.file);
    long end = ftell(out.file);
    *bytes = end > 0 ? (size_t)end : 0;
    if (!ok)
        error_set(error, "%.200s: cannot be written: %s", path, strerror(errno));
    return output_close(&out, ok, error);
}
