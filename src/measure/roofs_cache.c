#include "roofs_cache.h"

#include "sys/memory.h"
#include "formats/jsontext.h"
#include "base/digest.h"
#include "base/output.h"
#include "base/user_path.h"
#include "sys/topology.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A valid file has some 6 KiB. */
enum { MAX_BYTES = 1 << 16, DEPTH = 5, LAYOUT = 1 };

/* ---- whose figures they are ------------------------------------------------------------------ */

static void append(char out[FINGERPRINT_TEXT], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void append(char out[FINGERPRINT_TEXT], const char *format, ...)
{
    size_t n = strlen(out);
    va_list args;
    va_start(args, format);
    vsnprintf(out + n, FINGERPRINT_TEXT - n, format, args);
    va_end(args);
}

void roofs_fingerprint(int threads, char out[FINGERPRINT_TEXT])
{
    const struct topology *t = topology();
    char huge[16] = "unknown";
    out[0] = 0;
    append(out, "qtop %s; %s;", PACKAGE_VERSION, t->processor[0] ? t->processor : "unknown processor");
    for (size_t i = 0; isa_at(i); i++)
        if (isa_at(i)->available())
            append(out, " %s", isa_at(i)->name);
    append(out, "; %d of %d processors, %d cores, %d packages, %d nodes;", t->processors, t->present,
           t->cores, t->packages, t->nodes);
    for (size_t i = 0; i < t->cache_kinds; i++)
        append(out, " L%d %d x %zu", t->caches[i].level, t->caches[i].count, t->caches[i].size);
    (void)memory_huge_pages("", huge, NULL);
    append(out, "; quota %g; huge pages %s; %d threads, %s%s", t->quota, huge, threads,
           t->unbound[0] ? "" : "each to its ", t->unbound[0] ? t->unbound : topology_place_kind(threads));
}

char *roofs_cache_path(const char *fingerprint, struct error *error)
{
    char name[64];
    struct error why;
    snprintf(name, sizeof name, "roofs-%016" PRIx64 ".json",
             digest_bytes(DIGEST_START, fingerprint, strlen(fingerprint)));
    char *path = user_path(USER_CACHE, name, &why);
    if (!path)
        error_set(error, "roofs are not saved: %s", why.text);
    return path;
}

/* ---- writing --------------------------------------------------------------------------------- */

static json_t *roof_json(const struct roof *r)
{
    if (r->samples == 0)
        return json_null();
    return json_pack("{s:f, s:f, s:f, s:I}", "median", r->rate.median, "least", r->rate.min, "most",
                     r->rate.max, "samples", (json_int_t)r->samples);
}

static json_t *roofs_json(const char *fingerprint, const struct roofs *r)
{
    json_t *reads = json_array(), *sets = json_array();
    for (size_t i = 0; i < r->read_count; i++)
        json_array_append_new(reads, json_pack("{s:i, s:I, s:o}", "threads", r->reads[i].threads,
                                               "buffer_bytes", (json_int_t)r->reads[i].buffer,
                                               "bytes_per_second", roof_json(&r->reads[i].roof)));
    for (size_t i = 0; i < r->set_count; i++) {
        json_t *set = json_pack("{s:s}", "isa", r->sets[i].isa->name);
        for (size_t k = 0; set && k < PEAK_COUNT; k++)
            json_object_set_new(set, peaks[k].name, roof_json(&r->sets[i].of[k]));
        json_array_append_new(sets, set);
    }
    return json_pack("{s:i, s:s, s:I, s:f, s:i, s:b, s:o, s:o}", "qtop_roofs", LAYOUT, "fingerprint",
                     fingerprint, "measured", (json_int_t)r->measured, "seconds", r->seconds,
                     "threads", r->threads, "exceeded", r->exceeded, "reads", reads, "sets", sets);
}

bool roofs_save(const char *path, const char *fingerprint, const struct roofs *roofs,
                struct error *error)
{
    struct output out;
    for (size_t i = 0; i < roofs->read_count; i++)
        if (roofs->reads[i].roof.samples == 0)
            return error_set(error, "%s", roofs->reads[i].reason.text);
    json_t *root = roofs_json(fingerprint, roofs);
    if (!root)
        return error_set(error, "%.200s: not enough memory to write it", path);
    output_make_folders(path);
    bool ok = output_open(&out, path, error);
    if (ok)
        ok = json_dumpf(root, out.file, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) == 0;
    if (out.file)
        ok = output_close(&out, ok, error);
    json_decref(root);
    return ok;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool wrong(struct error *error, const char *what)
{
    return error_set(error, "its %s is not what qtop writes", what);
}

/* A whole number from min to max. */
static bool read_whole(const json_t *object, const char *key, json_int_t min, json_int_t max,
                       json_int_t *out, struct error *error)
{
    const json_t *value = json_object_get(object, key);
    *out = json_integer_value(value);
    return (json_is_integer(value) && *out >= min && *out <= max) || wrong(error, key);
}

static bool read_roof(const json_t *object, const char *key, bool needed, struct roof *out,
                      struct error *error)
{
    const json_t *value = json_object_get(object, key);
    json_int_t samples;
    *out = (struct roof){0};
    if (!needed && json_is_null(value))
        return true;
    struct stats s = {json_real_value(json_object_get(value, "median")),
                       json_real_value(json_object_get(value, "least")),
                       json_real_value(json_object_get(value, "most"))};
    if (!read_whole(value, "samples", 1, 1000, &samples, error))
        return wrong(error, key);
    *out = (struct roof){s, (size_t)samples};
    return (s.min > 0 && s.min <= s.median && s.median <= s.max && s.max < 1e18) ||
           wrong(error, key);
}

static bool load_reads(const json_t *root, struct roofs *out, struct error *error)
{
    const json_t *list = json_object_get(root, "reads");
    int counts[MAX_READ_ROOFS];
    out->read_count = roofs_thread_counts(out->threads, counts);
    if (json_array_size(list) != out->read_count)
        return wrong(error, "reads");
    for (size_t i = 0; i < out->read_count; i++) {
        const json_t *item = json_array_get(list, i);
        json_int_t threads, buffer;
        if (!read_whole(item, "threads", counts[i], counts[i], &threads, error) ||
            !read_whole(item, "buffer_bytes", 1, (json_int_t)1 << 50, &buffer, error) ||
            !read_roof(item, "bytes_per_second", true, &out->reads[i].roof, error))
            return false;
        out->reads[i].threads = counts[i];
        out->reads[i].buffer = (size_t)buffer;
    }
    return true;
}

/* The sets that this machine has, in the order of the table, each with the peaks that it has. */
static bool load_sets(const json_t *root, struct roofs *out, struct error *error)
{
    const json_t *list = json_object_get(root, "sets");
    for (size_t i = 0; isa_at(i) && out->set_count < MAX_PEAK_ROOFS; i++) {
        const struct isa *isa = isa_at(i);
        if (!isa->available())
            continue;
        struct peak_roof *set = &out->sets[out->set_count];
        const json_t *item = json_array_get(list, out->set_count++);
        const char *name = json_string_value(json_object_get(item, "isa"));
        set->isa = isa;
        if (!name || strcmp(name, isa->name) != 0)
            return wrong(error, "isa");
        for (size_t k = 0; k < PEAK_COUNT; k++) {
            bool has = peaks[k].of(isa) != NULL;
            if (!read_roof(item, peaks[k].name, has, &set->of[k], error))
                return false;
            if (!has && set->of[k].samples > 0)
                return wrong(error, peaks[k].name);
        }
    }
    return json_array_size(list) == out->set_count || wrong(error, "sets");
}

static bool load_root(const json_t *root, const char *fingerprint, struct roofs *out,
                      struct error *error)
{
    const char *theirs = json_string_value(json_object_get(root, "fingerprint"));
    json_int_t layout, threads, measured;
    if (!read_whole(root, "qtop_roofs", LAYOUT, LAYOUT, &layout, error))
        return false;
    if (!theirs)
        return wrong(error, "fingerprint");
    if (strcmp(theirs, fingerprint) != 0)
        return error_set(error, "its figures are from another machine or setting: %.200s", theirs);
    if (!read_whole(root, "threads", 1, 1024, &threads, error) ||
        !read_whole(root, "measured", 0, (json_int_t)1 << 40, &measured, error))
        return false;
    out->threads = (int)threads;
    out->measured = measured;
    out->seconds = json_number_value(json_object_get(root, "seconds"));
    out->exceeded = json_is_true(json_object_get(root, "exceeded"));
    if (!(out->seconds >= 0 && out->seconds < 1e6))
        return wrong(error, "seconds");
    return load_reads(root, out, error) && load_sets(root, out, error);
}

/* The bytes of a regular file that is not too large; it may be a pipe that nobody writes to. */
static bool read_bytes(int fd, uint8_t *out, size_t *n, struct error *error)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return error_set(error, "it is not a regular file");
    if (st.st_size > MAX_BYTES)
        return error_set(error, "it has %lld bytes; expected at most %d", (long long)st.st_size,
                         MAX_BYTES);
    ssize_t got;
    for (*n = 0; *n < MAX_BYTES && (got = read(fd, out + *n, MAX_BYTES - *n)) > 0;)
        *n += (size_t)got;
    return got >= 0 || error_set(error, "it cannot be read: %s", strerror(errno));
}

static bool load_file(int fd, const char *fingerprint, struct roofs *out, struct error *error)
{
    size_t n = 0;
    uint8_t *bytes = malloc(MAX_BYTES);
    bool ok = bytes ? read_bytes(fd, bytes, &n, error) : error_set(error, "not enough memory");
    json_t *root = ok ? json_text_parse(bytes, n, DEPTH, "it", error) : NULL;
    ok = root && load_root(root, fingerprint, out, error);
    json_decref(root);
    free(bytes);
    return ok;
}

enum roofs_found roofs_load(const char *path, const char *fingerprint, struct roofs *out,
                            struct error *error)
{
    struct error inner = {""};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *out = (struct roofs){0};
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return ROOFS_ABSENT;
    bool ok = fd >= 0 ? load_file(fd, fingerprint, out, &inner)
                      : error_set(&inner, "it cannot be read: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    if (ok)
        return ROOFS_FOUND;
    *out = (struct roofs){0};
    error_set(error, "%.200s is not used: %.250s", path, inner.text);
    return ROOFS_REFUSED;
}

/* ---- of this machine ------------------------------------------------------------------------- */

bool roofs_possible(struct error *error)
{
    return !topology_simulated() || error_set(error, "not measured: the topology is simulated, the figures "
                                                     "would be another machine's");
}

bool roofs_recall(struct pool *pool, struct roofs *out, struct roofs_source *source)
{
    char fingerprint[FINGERPRINT_TEXT];
    *source = (struct roofs_source){0};
    roofs_fingerprint(pool_threads(pool), fingerprint);
    char *path = roofs_cache_path(fingerprint, &source->save);
    source->cached = path && roofs_load(path, fingerprint, out, &source->load) == ROOFS_FOUND;
    free(path);
    return source->cached;
}

static void keep(struct pool *pool, const struct roofs *roofs, bool replace, struct roofs_source *source)
{
    char fingerprint[FINGERPRINT_TEXT];
    struct roofs kept;
    struct error error;
    roofs_fingerprint(pool_threads(pool), fingerprint);
    char *path = roofs_cache_path(fingerprint, &source->save);
    source->cached = false;
    bool good = path && !replace && roofs_load(path, fingerprint, &kept, &error) == ROOFS_FOUND &&
                !roofs_were_disturbed(&kept);
    if (path && !(good && roofs_were_disturbed(roofs)))
        (void)roofs_save(path, fingerprint, roofs, &source->save);
    free(path);
}

void roofs_keep(struct pool *pool, const struct roofs *roofs, struct roofs_source *source)
{
    keep(pool, roofs, false, source);
}

void roofs_replace(struct pool *pool, const struct roofs *roofs, struct roofs_source *source)
{
    keep(pool, roofs, true, source);
}

bool roofs_here(struct pool *pool, bool fresh, struct roofs *out, struct roofs_source *source,
                struct error *error)
{
    *source = (struct roofs_source){0};
    if (!roofs_possible(error))
        return false;
    if (!fresh && roofs_recall(pool, out, source) && !roofs_were_disturbed(out))
        return true;
    *out = roofs_measure(pool);
    roofs_keep(pool, out, source);
    return true;
}
