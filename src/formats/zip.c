#include "zip.h"

#include <stdlib.h>
#include <string.h>

/* Sizes of the records without what varies, and the marks that they begin with. */
enum { LOCAL = 30, CENTRAL = 46, END = 22, END64 = 56, LOCATOR64 = 20 };
#define LOCAL_MARK     0x04034b50u
#define CENTRAL_MARK   0x02014b50u
#define END_MARK       0x06054b50u
#define END64_MARK     0x06064b50u
#define LOCATOR64_MARK 0x07064b50u

enum { FLAG_ENCRYPTED = 1, FLAG_SIZES_FOLLOW = 8, EXTRA_ZIP64 = 1 };

/* Where the directory is. */
struct directory {
    uint64_t count, size, offset;
};

/* An entry as the directory has it. */
struct record {
    unsigned flags, method;
    uint64_t packed, size, offset;
    const uint8_t *name;
    size_t name_size;
};

static uint16_t u16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint32_t u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

bool zip_probe(const uint8_t *data, size_t size)
{
    return size >= 4 && u32(data) == LOCAL_MARK;
}

/* ---- the end, where reading begins ----------------------------------------------------------- */

/* A field of the old end record says the same as its successor, or that it cannot. */
static bool agrees(uint64_t narrow, uint64_t saturated, uint64_t wide)
{
    return narrow == saturated || narrow == wide;
}

static bool read_end64(struct directory *d, const uint8_t *data, size_t end, struct error *error)
{
    const uint8_t *locator = data + end - LOCATOR64;
    uint64_t at = u64(locator + 8);
    if (end < LOCATOR64 + END64 || at != end - LOCATOR64 - END64 || u32(data + at) != END64_MARK)
        return error_set(error, "zip: zip64 end record at %llu; expected it right before its "
                                "locator at %zu", (unsigned long long)at, end - LOCATOR64);
    struct directory wide = {u64(data + at + 32), u64(data + at + 40), u64(data + at + 48)};
    if (u32(locator + 4) || u32(data + at + 16) || u32(data + at + 20) ||
        u64(data + at + 24) != wide.count)
        return error_set(error, "zip: the archive has several disks; expected one");
    if (!agrees(d->count, UINT16_MAX, wide.count) || !agrees(d->size, UINT32_MAX, wide.size) ||
        !agrees(d->offset, UINT32_MAX, wide.offset))
        return error_set(error, "zip: the two end records contradict each other: %llu and %llu "
                                "entries", (unsigned long long)d->count,
                         (unsigned long long)wide.count);
    *d = wide;
    return true;
}

/* Finds the directory; *limit is where it must end. */
static bool read_end(struct directory *d, const uint8_t *data, size_t size, size_t *limit,
                     struct error *error)
{
    size_t end = size - END;
    if (size < END || u32(data + end) != END_MARK || u16(data + end + 20) != 0)
        return error_set(error, "zip: the last %d bytes are not an end record; is the file cut short?",
                         END);
    if (u16(data + end + 4) || u16(data + end + 6) || u16(data + end + 8) != u16(data + end + 10))
        return error_set(error, "zip: the archive has several disks; expected one");
    *d = (struct directory){u16(data + end + 10), u32(data + end + 12), u32(data + end + 16)};
    *limit = end;
    if (end >= LOCATOR64 && u32(data + end - LOCATOR64) == LOCATOR64_MARK) {
        if (!read_end64(d, data, end, error))
            return false;
        *limit = end - LOCATOR64 - END64;
    }
    if (d->offset > *limit || d->size != *limit - d->offset)
        return error_set(error, "zip: a directory of %llu bytes at %llu; expected it to end at %zu",
                         (unsigned long long)d->size, (unsigned long long)d->offset, *limit);
    if (d->count > d->size / CENTRAL)
        return error_set(error, "zip: %llu entries in a directory of %llu bytes; expected fewer",
                         (unsigned long long)d->count, (unsigned long long)d->size);
    return true;
}

/* ---- directory ------------------------------------------------------------------------------- */

/* Takes the next of the eight-byte numbers of a zip64 field for a value that was too large for
 * its own. */
static bool widen(uint64_t *value, const uint8_t **field, size_t *left)
{
    if (*value != UINT32_MAX)
        return true;
    if (*left < 8)
        return false;
    *value = u64(*field);
    *field += 8;
    *left -= 8;
    return true;
}

static bool read_extra(struct record *r, const uint8_t *extra, size_t size)
{
    while (size >= 4) {
        size_t n = u16(extra + 2);
        const uint8_t *field = extra + 4;
        if (n > size - 4)
            return false;
        if (u16(extra) == EXTRA_ZIP64)
            return widen(&r->size, &field, &n) && widen(&r->packed, &field, &n) &&
                   widen(&r->offset, &field, &n);
        extra += 4 + n;
        size -= 4 + n;
    }
    return true;
}

/* Reads one entry of the directory and moves *at past it. */
static bool read_record(struct record *r, const uint8_t *data, size_t *at, size_t limit,
                        size_t number, struct error *error)
{
    const uint8_t *p = data + *at;
    size_t left = limit - *at;
    if (left < CENTRAL || u32(p) != CENTRAL_MARK)
        return error_set(error, "zip: directory: entry %zu at byte %zu has no header", number, *at);
    size_t name = u16(p + 28), extra = u16(p + 30), comment = u16(p + 32);
    if (name + extra + comment > left - CENTRAL)
        return error_set(error, "zip: directory: entry %zu ends after the directory", number);
    *r = (struct record){u16(p + 8), u16(p + 10), u32(p + 20), u32(p + 24), u32(p + 42),
                         p + CENTRAL, name};
    if (!read_extra(r, p + CENTRAL + name, extra))
        return error_set(error, "zip: directory: entry %zu has an extra field that is cut short",
                         number);
    *at += CENTRAL + name + extra + comment;
    return true;
}

/* ---- entries --------------------------------------------------------------------------------- */

static int shown(const struct record *r)
{
    return r->name_size > 128 ? 128 : (int)r->name_size;
}

static bool check_record(const struct record *r, struct error *error)
{
    const char *name = (const char *)r->name;
    if (r->flags & FLAG_ENCRYPTED)
        return error_set(error, "zip: %.*s is encrypted; expected a plain entry", shown(r), name);
    if (r->method != 0)
        return error_set(error, "zip: %.*s is compressed (method %u); expected a stored entry",
                         shown(r), name, r->method);
    if (r->packed != r->size)
        return error_set(error, "zip: %.*s has %llu bytes stored of %llu; expected as many",
                         shown(r), name, (unsigned long long)r->packed,
                         (unsigned long long)r->size);
    return true;
}

/* A local header may leave a size to what follows the data, or to a zip64 field. */
static bool same_size(uint32_t local, const struct record *r, unsigned flags)
{
    return local == UINT32_MAX || local == r->size || (local == 0 && flags & FLAG_SIZES_FOLLOW);
}

static bool same_header(const uint8_t *p, const struct record *r)
{
    unsigned flags = u16(p + 6);
    return !(flags & FLAG_ENCRYPTED) && u16(p + 8) == 0 && same_size(u32(p + 18), r, flags) &&
           same_size(u32(p + 22), r, flags) && u16(p + 26) == r->name_size &&
           memcmp(p + LOCAL, r->name, r->name_size) == 0;
}

/* Finds the data of an entry between `after` and the directory. */
static bool locate(struct zip_entry *entry, const struct record *r, const uint8_t *data,
                   size_t after, size_t directory, struct error *error)
{
    const char *name = (const char *)r->name;
    if (r->offset < after || r->offset > directory ||
        directory - r->offset < LOCAL + r->name_size)
        return error_set(error,
                         "zip: %.*s at byte %llu; expected %zu to %zu, after the entry before "
                         "it",
                         shown(r), name, (unsigned long long)r->offset, after, directory);
    const uint8_t *p = data + r->offset;
    if (u32(p) != LOCAL_MARK || !same_header(p, r))
        return error_set(error, "zip: %.*s: its header at byte %llu contradicts the directory",
                         shown(r), name, (unsigned long long)r->offset);
    size_t header = LOCAL + r->name_size + u16(p + 28), left = directory - (size_t)r->offset;
    if (header > left || r->size > left - header)
        return error_set(error,
                         "zip: %.*s has %llu bytes at byte %llu; expected it to end before the "
                         "directory at %zu",
                         shown(r), name, (unsigned long long)r->size, (unsigned long long)r->offset,
                         directory);
    *entry = (struct zip_entry){name, r->name_size, p + header, (size_t)r->size};
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct zip_entry *x = a, *y = b;
    size_t n = x->name_size < y->name_size ? x->name_size : y->name_size;
    int order = n ? memcmp(x->name, y->name, n) : 0;
    return order ? order : (x->name_size > y->name_size) - (x->name_size < y->name_size);
}

static bool sort_entries(struct zip *zip, struct error *error)
{
    if (zip->count > 0)
        qsort(zip->entries, zip->count, sizeof *zip->entries, by_name);
    for (size_t i = 1; i < zip->count; i++) {
        const struct zip_entry *e = &zip->entries[i];
        if (by_name(e - 1, e) == 0)
            return error_set(error, "zip: %.*s appears twice; expected each name once",
                             e->name_size > 128 ? 128 : (int)e->name_size, e->name);
    }
    return true;
}

static bool read_entries(struct zip *zip, const struct directory *d, const uint8_t *data,
                         size_t limit, struct error *error)
{
    size_t at = (size_t)d->offset, after = 0;
    for (size_t i = 0; i < d->count; i++) {
        struct record r = {0};
        struct zip_entry *entry = &zip->entries[i];
        if (!read_record(&r, data, &at, limit, i, error) || !check_record(&r, error) ||
            !locate(entry, &r, data, after, (size_t)d->offset, error))
            return false;
        after = (size_t)(entry->data - data) + entry->size;
    }
    zip->count = (size_t)d->count;
    if (at != limit)
        return error_set(error,
                         "zip: %zu bytes follow the last entry of the directory; expected none",
                         limit - at);
    return sort_entries(zip, error);
}

bool zip_parse(struct zip *zip, const uint8_t *data, size_t size, struct error *error)
{
    struct directory d = {0};
    size_t limit = 0;
    if (!read_end(&d, data, size, &limit, error))
        return false;
    zip->entries = calloc((size_t)d.count + 1, sizeof *zip->entries);
    if (!zip->entries)
        return error_set(error, "zip: not enough memory for %llu entries",
                         (unsigned long long)d.count);
    return read_entries(zip, &d, data, limit, error);
}

void zip_close(struct zip *zip)
{
    free(zip->entries);
    *zip = (struct zip){0};
}

const struct zip_entry *zip_find(const struct zip *zip, const char *name, size_t name_size)
{
    struct zip_entry wanted = {name, name_size, NULL, 0};
    return zip->count ? bsearch(&wanted, zip->entries, zip->count, sizeof wanted, by_name) : NULL;
}
