#include "weightfiles.h"

#include "jsontext.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- buffers that are not weights ------------------------------------------------------------ */

static bool is_mask(const size_t *shape, size_t dimensions)
{
    return dimensions == 4 && shape[0] == 1 && shape[1] == 1 && shape[2] == shape[3];
}

static bool is_scalar(const size_t *shape, size_t dimensions)
{
    return dimensions == 0 || (dimensions == 1 && shape[0] == 1);
}

static bool is_vector(const size_t *shape, size_t dimensions)
{
    (void)shape;
    return dimensions == 1;
}

static bool is_row(const size_t *shape, size_t dimensions)
{
    return dimensions == 1 || (dimensions == 2 && shape[0] == 1);
}

static const struct {
    const char *ending;
    bool (*has_shape)(const size_t *shape, size_t dimensions);
} buffers[] = {
    {".attn.bias", is_mask},          {".attn.masked_bias", is_scalar},
    {".attention.bias", is_mask},     {".attention.masked_bias", is_scalar},
    {".rotary_emb.inv_freq", is_vector}, {".position_ids", is_row},
};
enum { BUFFERS = sizeof buffers / sizeof *buffers };

static size_t buffer_by_name(const char *name, size_t n)
{
    for (size_t i = 0; i < BUFFERS; i++) {
        size_t length = strlen(buffers[i].ending);
        if (n >= length && memcmp(name + n - length, buffers[i].ending, length) == 0)
            return i;
    }
    return BUFFERS;
}

bool tensor_is_buffer(const char *name, size_t name_size, const size_t *shape, size_t dimensions)
{
    size_t i = buffer_by_name(name, name_size);
    return i < BUFFERS && buffers[i].has_shape(shape, dimensions);
}

bool tensor_may_be_buffer(const char *name, size_t name_size)
{
    return buffer_by_name(name, name_size) < BUFFERS;
}

bool shape_elements(const size_t *shape, size_t dimensions, size_t *elements)
{
    *elements = 1;
    for (size_t i = 0; i < dimensions; i++)
        if (__builtin_mul_overflow(*elements, shape[i], elements))
            return false;
    return true;
}

/* ---- one file -------------------------------------------------------------------------------- */

static bool read_one(struct catalog *catalog, const char *path, const struct weight_files *files,
                     struct error *error)
{
    const struct mapped_file *map = catalog_map(catalog, path, error);
    if (!map)
        return false;
    struct error inner = {""};
    if (!files->parse(catalog, map->data, map->size, &inner))
        return error_set(error, "%s: %s", path, inner.text);
    return true;
}

/* ---- an index and its parts ------------------------------------------------------------------ */

/* A line of the index; names belong to the JSON value. */
struct index_line {
    const char *part, *tensor;
};

static int by_part(const void *a, const void *b)
{
    return strcmp(((const struct index_line *)a)->part, ((const struct index_line *)b)->part);
}

/* The path of a file beside another one, or inside a folder (`folder` ends in a slash or is
 * empty). */
static char *join(const char *folder, size_t folder_size, const char *name)
{
    size_t n = strlen(name) + 1;
    char *path = malloc(folder_size + n);
    if (path) {
        memcpy(path, folder, folder_size);
        memcpy(path + folder_size, name, n);
    }
    return path;
}

static size_t folder_size_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

static bool check_part_name(const char *path, const char *tensor, const json_t *value,
                            struct error *error)
{
    const char *part = json_string_value(value);
    if (!part)
        return error_set(error, "%s: weight_map: %.128s is %s; expected the name of a file", path,
                         tensor, json_text_kind(value));
    if (!*part || strchr(part, '/') || strcmp(part, ".") == 0 || strcmp(part, "..") == 0)
        return error_set(error,
                         "%s: weight_map: %.128s is in '%.64s'; expected the name of a file beside "
                         "the index",
                         path, tensor, part);
    return true;
}

/* The lines of the weight_map, sorted by part. */
static struct index_line *list_lines(const char *path, json_t *weight_map, size_t count,
                                 struct error *error)
{
    struct index_line *lines = calloc(count, sizeof *lines);
    if (!lines) {
        error_set(error, "%s: not enough memory for %zu names", path, count);
        return NULL;
    }
    const char *tensor;
    json_t *value;
    size_t i = 0;
    json_object_foreach(weight_map, tensor, value)
    {
        if (!check_part_name(path, tensor, value, error)) {
            free(lines);
            return NULL;
        }
        lines[i++] = (struct index_line){json_string_value(value), tensor};
    }
    qsort(lines, count, sizeof *lines, by_part);
    return lines;
}

static bool read_parts(struct catalog *catalog, const char *path, const struct weight_files *files,
                       const struct index_line *lines, size_t count, struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && by_part(&lines[i - 1], &lines[i]) == 0)
            continue;
        char *part = join(path, folder_size_of(path), lines[i].part);
        bool ok = part ? read_one(catalog, part, files, error)
                       : error_set(error, "%s: not enough memory for a path", path);
        free(part);
        if (!ok)
            return false;
    }
    return true;
}

/* Whether each tensor is where the index says; the parts are the catalog's files in this order. */
static bool check_lines(const struct catalog *catalog, const char *path,
                         const struct index_line *lines, size_t count, struct error *error)
{
    size_t part = 0;
    for (size_t i = 0; i < count; i++) {
        part += i > 0 && by_part(&lines[i - 1], &lines[i]) != 0;
        const char *tensor = lines[i].tensor;
        const struct entry *entry = catalog_find(catalog, tensor);
        const struct mapped_file *map = &catalog->files[part];
        bool inside = entry && (uintptr_t)entry->data >= (uintptr_t)map->data &&
                      (uintptr_t)entry->data - (uintptr_t)map->data < map->size;
        if (!inside && (entry || !tensor_may_be_buffer(tensor, strlen(tensor))))
            return error_set(error,
                             "%s: weight_map: %.128s is not in %.64s, where the index has it", path,
                             tensor, lines[i].part);
    }
    return true;
}

static bool read_map(struct catalog *catalog, const char *path, const struct weight_files *files,
                     json_t *index, struct error *error)
{
    json_t *weight_map = json_object_get(index, "weight_map");
    size_t count = json_object_size(weight_map); /* 0 where it is not an object */
    if (count == 0)
        return error_set(error, "%s: weight_map: is %s; expected an object that names a file for "
                                "each tensor", path,
                         json_is_object(weight_map) ? "empty" : json_text_kind(weight_map));
    struct index_line *lines = list_lines(path, weight_map, count, error);
    bool ok = lines && read_parts(catalog, path, files, lines, count, error) &&
              catalog_sort(catalog, error) && check_lines(catalog, path, lines, count, error);
    free(lines);
    return ok;
}

static bool read_index(struct catalog *catalog, const char *path, const struct weight_files *files,
                       struct error *error)
{
    enum { INDEX_DEPTH = 8, MAX_INDEX = 100000000 }; /* the map needs 2; "metadata" is anybody's */
    struct mapped_file map;
    struct error inner = {""};
    if (!mapped_file_open(&map, path, error))
        return false;
    json_t *index = NULL;
    if (map.size > MAX_INDEX)
        error_set(&inner, "index: %zu bytes; expected at most %d", map.size, MAX_INDEX);
    else
        index = json_text_parse(map.data, map.size, INDEX_DEPTH, "index", &inner);
    bool ok = index ? read_map(catalog, path, files, index, error)
                    : error_set(error, "%s: %s", path, inner.text);
    json_decref(index);
    mapped_file_close(&map);
    return ok;
}

/* ---- paths ----------------------------------------------------------------------------------- */

static bool is_index(const char *path)
{
    size_t n = strlen(path);
    return n >= 5 && strcmp(path + n - 5, ".json") == 0;
}

static bool read_file(struct catalog *catalog, const char *path, const struct weight_files *files,
                      struct error *error)
{
    if (is_index(path) ? !read_index(catalog, path, files, error)
                       : !read_one(catalog, path, files, error) || !catalog_sort(catalog, error))
        return false;
    return catalog->count > 0 || error_set(error, "%s: holds no weights", path);
}

/* Tries a name inside a folder. */
static bool read_inside(struct catalog *catalog, const char *folder, const char *name,
                        const struct weight_files *files, bool *found, struct error *error)
{
    struct stat st;
    size_t n = strlen(folder);
    char slashed[2] = {n && folder[n - 1] == '/' ? '\0' : '/', '\0'};
    char *start = join(folder, n, slashed);
    char *path = start ? join(start, strlen(start), name) : NULL;
    free(start);
    *found = true;
    if (!path)
        return error_set(error, "%s: not enough memory for a path", folder);
    *found = stat(path, &st) == 0;
    bool ok = *found && read_file(catalog, path, files, error);
    free(path);
    return ok;
}

bool weight_files_read(struct catalog *catalog, const char *path, const struct weight_files *files,
                       struct error *error)
{
    if (!path_is_folder(path))
        return read_file(catalog, path, files, error);
    bool found;
    bool ok = read_inside(catalog, path, files->single, files, &found, error);
    if (!found)
        ok = read_inside(catalog, path, files->index, files, &found, error);
    if (found)
        return ok;
    return error_set(error, "%s: holds neither %s nor %s", path, files->single, files->index);
}
