#include "sysfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- files ----------------------------------------------------------------------------------- */

static int is_name(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

size_t sysfs_devices(const char *root, sysfs_fn *see, void *arg)
{
    char folder[PATH_MAX], device[PATH_MAX];
    struct dirent **names;
    int length = snprintf(folder, sizeof folder, "%s/sys/bus/event_source/devices", root);
    if (length < 0 || (size_t)length >= sizeof folder)
        return 0;
    int n = scandir(folder, &names, is_name, versionsort);
    for (int i = 0; i < n; i++) {
        length = snprintf(device, sizeof device, "%s/%s", folder, names[i]->d_name);
        if (length > 0 && (size_t)length < sizeof device)
            see(device, arg);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    return n > 0 ? (size_t)n : 0;
}

bool sysfs_text(const char *folder, const char *name, char *out, size_t size)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = length > 0 && (size_t)length < sizeof path ? fopen(path, "re") : NULL;
    bool read = f && fgets(out, (int)size, f);
    if (f)
        fclose(f);
    if (!read || (strlen(out) == size - 1 && out[size - 2] != '\n'))
        return false;
    out[strcspn(out, "\n")] = 0;
    return *out != 0;
}

/* A number that begins at *at and ends before one of `ends` or the end of the text. Moves *at there. */
static bool number(const char **at, int base, const char *ends, unsigned long long *value)
{
    char *end;
    if (!isdigit((unsigned char)**at))
        return false;
    errno = 0;
    *value = strtoull(*at, &end, base);
    *at = end;
    return errno == 0 && (*end == 0 || strchr(ends, *end));
}

bool sysfs_type(const char *folder, uint32_t *type)
{
    char text[SYSFS_TEXT];
    const char *at = text;
    unsigned long long value;
    if (!sysfs_text(folder, "type", text, sizeof text) || !number(&at, 10, "", &value) ||
        value > UINT32_MAX)
        return false;
    *type = (uint32_t)value;
    return true;
}

/* ---- lists of CPUs --------------------------------------------------------------------------- */

bool sysfs_cpus(const char *list, int *out, size_t max, size_t *count)
{
    *count = 0;
    for (const char *at = list;; at++) {
        unsigned long long first, last;
        if (!number(&at, 10, ",-", &first))
            return false;
        last = first;
        if (*at == '-' && (at++, !number(&at, 10, ",", &last)))
            return false;
        if (last < first || last > INT_MAX || last - first >= max - *count)
            return false;
        for (; first <= last; first++)
            out[(*count)++] = (int)first;
        if (*at == 0)
            return true;
    }
}

/* ---- formats --------------------------------------------------------------------------------- */

/* Puts the low bits of *value into bits first..last of a register and shifts them out of *value. */
static void scatter(uint64_t *config, uint64_t *value, unsigned first, unsigned last)
{
    unsigned width = last - first + 1;
    uint64_t mask = width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
    *config = (*config & ~(mask << first)) | (*value & mask) << first;
    *value = width == 64 ? 0 : *value >> width;
}

/* Of "config1:0-7": the register's number. Moves *at past the colon. */
static bool which_register(const char **at, unsigned *index)
{
    static const char word[] = "config";
    size_t length = sizeof word - 1;
    if (strncmp(*at, word, length) != 0)
        return false;
    *at += length;
    *index = 0;
    if (**at >= '0' && **at < '0' + SYSFS_CONFIGS)
        *index = (unsigned)(*(*at)++ - '0');
    return *(*at)++ == ':';
}

/* Places a value as a format says, "config:0-7,32-35": the lowest bits first. */
static bool scatter_by(const char *format, uint64_t value, uint64_t config[SYSFS_CONFIGS],
                       bool *too_large)
{
    unsigned index;
    const char *at = format;
    if (!which_register(&at, &index))
        return false;
    for (;; at++) {
        unsigned long long first, last;
        if (!number(&at, 10, ",-", &first))
            return false;
        last = first;
        if (*at == '-' && (at++, !number(&at, 10, ",", &last)))
            return false;
        if (last > 63 || first > last)
            return false;
        scatter(&config[index], &value, (unsigned)first, (unsigned)last);
        if (*at == 0)
            break;
    }
    *too_large = value != 0;
    return true;
}

/* ---- events ---------------------------------------------------------------------------------- */

/* The values that whole registers are given with. */
static bool whole_register(const char *name, uint64_t value, uint64_t config[SYSFS_CONFIGS])
{
    static const char *const names[SYSFS_CONFIGS] = {"config", "config1", "config2", "config3"};
    for (size_t i = 0; i < SYSFS_CONFIGS; i++) {
        if (strcmp(name, names[i]) == 0) {
            config[i] = value;
            return true;
        }
    }
    return false;
}

/* One term: NAME=VALUE, or NAME for 1. */
static bool encode_term(const char *folder, char *term, uint64_t config[SYSFS_CONFIGS],
                        struct error *error)
{
    char path[SYSFS_TEXT], format[SYSFS_TEXT];
    unsigned long long value = 1;
    bool too_large = false;
    char *equals = strchr(term, '=');
    if (equals) {
        const char *at = equals + 1;
        if (!number(&at, 0, "", &value))
            return error_set(error, "%s: '%.40s' is not a number", folder, equals + 1);
        *equals = 0;
    }
    if (whole_register(term, value, config))
        return true;
    snprintf(path, sizeof path, "format/%s", term);
    if (strchr(term, '/') || !sysfs_text(folder, path, format, sizeof format))
        return error_set(error, "%s: no format/%.40s", folder, term);
    if (!scatter_by(format, value, config, &too_large))
        return error_set(error, "%s/%s: '%.60s'; expected config:FIRST-LAST", folder, path, format);
    return !too_large || error_set(error, "%s/%s: %#llx does not fit into %.60s", folder, path, value,
                                   format);
}

bool sysfs_encode(const char *folder, const char *terms, uint64_t config[SYSFS_CONFIGS],
                  struct error *error)
{
    char copy[SYSFS_TEXT], *rest, *term;
    memset(config, 0, SYSFS_CONFIGS * sizeof *config);
    if (strlen(terms) >= sizeof copy)
        return error_set(error, "%s: an event of more than %zu characters", folder, sizeof copy - 1);
    strcpy(copy, terms);
    term = strtok_r(copy, ",", &rest);
    if (!term)
        return error_set(error, "%s: an event without terms", folder);
    for (; term; term = strtok_r(NULL, ",", &rest))
        if (!encode_term(folder, term, config, error))
            return false;
    return true;
}

static bool unit_bytes(const char *unit, double *bytes)
{
    static const struct {
        const char *name;
        double bytes;
    } units[] = {
        {"Bytes", 1}, {"bytes", 1},         {"B", 1},           {"KiB", 1024}, {"MiB", 1048576},
        {"KB", 1e3},  {"GiB", 1073741824}, {"MB", 1e6}, {"GB", 1e9},
    };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(unit, units[i].name) == 0) {
            *bytes = units[i].bytes;
            return true;
        }
    }
    return false;
}

bool sysfs_bytes(const char *folder, const char *event, double *bytes, struct error *error)
{
    char path[SYSFS_TEXT], scale[SYSFS_TEXT] = "", unit[SYSFS_TEXT] = "", *end;
    snprintf(path, sizeof path, "events/%s.scale", event);
    bool scaled = sysfs_text(folder, path, scale, sizeof scale);
    snprintf(path, sizeof path, "events/%s.unit", event);
    bool united = sysfs_text(folder, path, unit, sizeof unit);
    *bytes = 0;
    if (!scaled && !united)
        return true;
    double factor = strtod(scale, &end), size;
    if (!scaled || *end || !(factor > 0) || !isfinite(factor))
        return error_set(error, "%s/events/%s.scale: '%.40s'; expected a positive number", folder, event,
                         scale);
    if (!unit_bytes(unit, &size))
        return error_set(error, "%s/events/%s.unit: '%.40s'; expected a unit of bytes", folder, event,
                         unit);
    *bytes = factor * size;
    return true;
}
