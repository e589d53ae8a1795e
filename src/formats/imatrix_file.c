#include "imatrix_file.h"

#include "gguf_internal.h"
#include "mapped.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A float counts tokens one by one up to here; no text has as many. */
static const float COUNT_MAX = 1e15f;

/* ---- the value --------------------------------------------------------------------------------- */

static void entry_free(struct imatrix_entry *e)
{
    free(e->name);
    free(e->sums);
    free(e->counts);
}

void imatrix_free(struct imatrix *m)
{
    for (size_t i = 0; i < m->count; i++)
        entry_free(&m->entries[i]);
    free(m->entries);
    free(m->dataset);
    *m = (struct imatrix){0};
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct imatrix_entry *)a)->name, ((const struct imatrix_entry *)b)->name);
}

const struct imatrix_entry *imatrix_find(const struct imatrix *m, const char *name)
{
    struct imatrix_entry key = {.name = (char *)(uintptr_t)name};
    return m->count ? bsearch(&key, m->entries, m->count, sizeof key, by_name) : NULL;
}

bool imatrix_sort(struct imatrix *m, const char **twice)
{
    if (m->count)
        qsort(m->entries, m->count, sizeof *m->entries, by_name);
    for (size_t i = 1; i < m->count; i++)
        if (by_name(&m->entries[i - 1], &m->entries[i]) == 0) {
            *twice = m->entries[i].name;
            return false;
        }
    return true;
}

struct imatrix_entry *imatrix_add(struct imatrix *m, const char *name, size_t name_size, size_t rows, size_t cols)
{
    if (m->count == m->room) {
        size_t room = m->room ? 2 * m->room : 64;
        struct imatrix_entry *entries = realloc(m->entries, room * sizeof *entries);
        if (!entries)
            return NULL;
        m->entries = entries;
        m->room = room;
    }
    struct imatrix_entry e = {.name = strndup(name, name_size), .rows = rows};
    if (!__builtin_mul_overflow(rows, cols, &e.values)) {
        e.sums = calloc(e.values, sizeof *e.sums);
        e.counts = calloc(rows, sizeof *e.counts);
    }
    if (!e.name || !e.sums || !e.counts) {
        entry_free(&e);
        return NULL;
    }
    m->entries[m->count] = e;
    return &m->entries[m->count++];
}

/* ---- what both formats promise ------------------------------------------------------------------- */

static bool no_memory(const char *file, struct error *error)
{
    return error_set(error, "%.200s: not enough memory for an importance matrix", file);
}

static bool check_entry(const struct imatrix_entry *e, const char *file, struct error *error)
{
    for (size_t i = 0; i < e->rows; i++)
        if (!(e->counts[i] >= 0 && e->counts[i] <= COUNT_MAX))
            return error_set(error, "%.160s: %.80s: count %zu is %g; expected 0 to %g", file, e->name, i,
                             (double)e->counts[i], (double)COUNT_MAX);
    for (size_t i = 0; i < e->values; i++)
        if (!(e->sums[i] >= 0 && isfinite(e->sums[i])))
            return error_set(error,
                             "%.160s: %.80s: the sum of squares at %zu is %g; expected one from 0 on that is finite",
                             file, e->name, i, (double)e->sums[i]);
    return true;
}

static bool finish(struct imatrix *m, const char *file, struct error *error)
{
    const char *twice;
    if (m->count == 0)
        return error_set(error, "%.200s: is an importance matrix without entries; expected one a tensor", file);
    for (size_t i = 0; i < m->count; i++)
        if (!check_entry(&m->entries[i], file, error))
            return false;
    if (!imatrix_sort(m, &twice))
        return error_set(error, "%.160s: %.80s is there twice; expected one entry a tensor", file, twice);
    return m->dataset || (m->dataset = strdup("")) || no_memory(file, error);
}

/* ---- imatrix.gguf -------------------------------------------------------------------------------- */

static const char SUMS[] = ".in_sum2", COUNTS[] = ".counts";

static bool ends_in(const struct gguf_text *name, const char *ending, size_t n)
{
    return name->size > n && memcmp(name->data + name->size - n, ending, n) == 0;
}

/* The tensor of the same name with the other ending, or null: they are sorted. */
static const struct gguf_tensor *partner(const struct gguf *g, const struct gguf_text *name, size_t ending,
                                         const char *other)
{
    size_t stem = name->size - ending, n = strlen(other), low = 0, high = g->tensor_count;
    char *whole = malloc(stem + n + 1);
    const struct gguf_tensor *found = NULL;
    if (!whole)
        return NULL;
    memcpy(whole, name->data, stem);
    memcpy(whole + stem, other, n);
    struct gguf_text key = {whole, stem + n};
    while (low < high && !found) {
        size_t middle = low + (high - low) / 2;
        int order = gguf_text_compare(&g->tensors[middle].name, &key);
        found = order == 0 ? &g->tensors[middle] : NULL;
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    free(whole);
    return found;
}

static bool check_type(const struct gguf_tensor *t, const char *file, struct error *error)
{
    return t->entry.dtype == DTYPE_FP32 ||
           error_set(error, "%.160s: %.*s is %s; expected F32", file, GGUF_SHOWN(t->name),
                     entry_type_name(t->entry.dtype));
}

static bool add_pair(struct imatrix *m, const struct gguf_tensor *sums, const struct gguf_tensor *counts,
                     const char *file, struct error *error)
{
    size_t values = sums->entry.bytes / sizeof(float), rows = counts->entry.bytes / sizeof(float);
    if (!check_type(sums, file, error) || !check_type(counts, file, error))
        return false;
    if (values == 0 || rows == 0 || values % rows != 0)
        return error_set(error, "%.160s: %.*s has %zu values for %zu counts; expected a multiple of them", file,
                         GGUF_SHOWN(sums->name), values, rows);
    struct imatrix_entry *e = imatrix_add(m, sums->name.data, sums->name.size - strlen(SUMS), rows, values / rows);
    if (!e)
        return no_memory(file, error);
    memcpy(e->sums, sums->entry.data, values * sizeof *e->sums);
    memcpy(e->counts, counts->entry.data, rows * sizeof *e->counts);
    return true;
}

static bool add_tensors(struct imatrix *m, const struct gguf *g, const char *file, struct error *error)
{
    for (size_t i = 0; i < g->tensor_count; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        bool sums = ends_in(&t->name, SUMS, strlen(SUMS)), counts = ends_in(&t->name, COUNTS, strlen(COUNTS));
        if (!sums && !counts)
            continue; /* of a later version of the format */
        const char *mine = sums ? SUMS : COUNTS, *other = sums ? COUNTS : SUMS;
        const struct gguf_tensor *with = partner(g, &t->name, strlen(mine), other);
        if (!with)
            return error_set(error, "%.160s: %.*s is there, and its %s is not; expected both", file,
                             GGUF_SHOWN(t->name), other);
        if (sums && !add_pair(m, t, with, file, error))
            return false;
    }
    return true;
}

static bool take_keys(struct imatrix *m, const struct gguf *g, const char *file, struct error *error)
{
    struct gguf_array datasets;
    struct gguf_text type;
    char shown[64];
    struct error why = {""};
    if (!gguf_string(g, "general.type", &type, &why))
        return error_set(error, "%.160s: %.300s", file, why.text);
    bool said = type.data && type.size == 7 && memcmp(type.data, "imatrix", 7) == 0;
    if (!said && (type.data || !gguf_has(g, "imatrix.chunk_count")))
        return error_set(error,
                         "%.200s: is GGUF of the type '%.60s'; expected an importance matrix (general.type = imatrix)",
                         file, gguf_show(g, type.data ? "general.type" : "general.architecture", shown));
    if (!gguf_size(g, "imatrix.chunk_count", 0, UINT32_MAX, 0, &m->chunk_count, &why) ||
        !gguf_size(g, "imatrix.chunk_size", 0, UINT32_MAX, 0, &m->chunk_size, &why) ||
        !gguf_array(g, "imatrix.datasets", GGUF_STRING, &datasets, &why))
        return error_set(error, "%.160s: %.300s", file, why.text);
    if (datasets.count > 0)
        m->dataset = strndup(datasets.texts[0].data, datasets.texts[0].size);
    return datasets.count == 0 || m->dataset || no_memory(file, error);
}

static bool parse_gguf(struct imatrix *m, const uint8_t *data, size_t size, const char *file, struct error *error)
{
    struct error why = {""};
    struct gguf *g = gguf_parse(data, size, &why);
    if (!g)
        return error_set(error, "%.160s: %.300s", file, why.text);
    bool ok = take_keys(m, g, file, error) && add_tensors(m, g, file, error);
    gguf_close(g);
    return ok;
}

/* ---- .dat ---------------------------------------------------------------------------------------- */

enum { NAME_MAX_BYTES = 512 };

/* A count of the format, an int32 that is not negative; *out is then no more than its maximum. */
static bool take_count(struct reader *r, size_t *out)
{
    uint32_t value;
    if (!gguf_take_u32(r, &value) || value > INT32_MAX)
        return false;
    *out = value;
    return true;
}

static bool cut_off(const struct reader *r, size_t entry, size_t entries, const char *file, struct error *error)
{
    return error_set(error,
                     "%.200s: entry %zu of %zu ends beyond the file's %zu bytes: the file is cut off, or no "
                     "importance matrix (.dat)",
                     file, entry + 1, entries, r->size);
}

static bool take_entry(struct imatrix *m, struct reader *r, size_t i, size_t all, const char *file, struct error *error)
{
    size_t length, chunks, values;
    if (!take_count(r, &length))
        return cut_off(r, i, all, file, error);
    if (length == 0 || length > NAME_MAX_BYTES)
        return error_set(error,
                         "%.200s: the name of entry %zu of %zu has %zu bytes; expected 1 to %d of an importance "
                         "matrix",
                         file, i + 1, all, length, NAME_MAX_BYTES);
    const uint8_t *name = gguf_take(r, length);
    if (!name || !take_count(r, &chunks) || !take_count(r, &values))
        return cut_off(r, i, all, file, error);
    const uint8_t *sums = gguf_take(r, values * sizeof(float));
    if (!sums)
        return cut_off(r, i, all, file, error);
    if (values == 0)
        return error_set(error, "%.160s: %.*s has no values; expected one a column", file,
                         (int)(length < 80 ? length : 80), (const char *)name);
    struct imatrix_entry *e = imatrix_add(m, (const char *)name, length, 1, values);
    if (!e)
        return no_memory(file, error);
    e->counts[0] = (float)chunks;
    memcpy(e->sums, sums, values * sizeof *e->sums);
    return true;
}

/* Chunks and the name of the text: both, the first, or none. */
static bool take_end(struct imatrix *m, struct reader *r, const char *file, struct error *error)
{
    size_t length = 0;
    if (reader_left(r) == 0 || (take_count(r, &m->chunk_count) && reader_left(r) == 0))
        return true;
    const uint8_t *text = take_count(r, &length) ? gguf_take(r, length) : NULL;
    if (!text || reader_left(r) > 0)
        return error_set(error,
                         "%.200s: %zu bytes follow the entries at byte %zu; expected a count of chunks and the "
                         "name of a text",
                         file, reader_left(r), r->at);
    m->dataset = strndup((const char *)text, length);
    return m->dataset || no_memory(file, error);
}

static bool parse_dat(struct imatrix *m, const uint8_t *data, size_t size, const char *file, struct error *error)
{
    struct reader r = {.data = data, .size = size};
    enum { SMALLEST = 3 * 4 + 1 + 4 }; /* bytes of an entry: three counts, a letter and a value */
    size_t entries;
    m->legacy = true;
    if (!take_count(&r, &entries) || entries == 0 || entries > reader_left(&r) / SMALLEST)
        return error_set(error, "%.200s: is no importance matrix; expected one of llama.cpp's, imatrix.gguf or .dat",
                         file);
    for (size_t i = 0; i < entries; i++)
        if (!take_entry(m, &r, i, entries, file, error))
            return false;
    return take_end(m, &r, file, error);
}

/* ---- both ---------------------------------------------------------------------------------------- */

bool imatrix_parse(struct imatrix *out, const uint8_t *data, size_t size, const char *name, struct error *error)
{
    bool gguf = size >= 4 && memcmp(data, "GGUF", 4) == 0;
    *out = (struct imatrix){0};
    bool ok = gguf ? parse_gguf(out, data, size, name, error) : parse_dat(out, data, size, name, error);
    return ok && finish(out, name, error);
}

bool imatrix_read(struct imatrix *out, const char *path, struct error *error)
{
    struct mapped_file file = {0};
    *out = (struct imatrix){0};
    if (!mapped_file_open(&file, path, error))
        return false;
    bool ok = imatrix_parse(out, file.data, file.size, path, error);
    mapped_file_close(&file);
    return ok;
}
