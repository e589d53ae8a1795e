#include "resctrl.h"

#include "sysfs.h"

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char file_name[] = "mbm_total_bytes";

static bool find_domains(const char *root, glob_t *found)
{
    char pattern[PATH_MAX];
    int length = snprintf(pattern, sizeof pattern, "%s/sys/fs/resctrl/mon_data/*/%s", root, file_name);
    return length > 0 && (size_t)length < sizeof pattern && glob(pattern, 0, NULL, found) == 0;
}

bool resctrl_present(const char *root)
{
    glob_t found;
    bool present = find_domains(root, &found);
    if (present)
        globfree(&found);
    return present;
}

/* One cache's bytes. Null, or why there is none. */
static const char *read_domain(char *path, uint64_t *bytes)
{
    char text[SYSFS_TEXT], *end;
    path[strlen(path) - strlen(file_name) - 1] = 0; /* the folder */
    if (!sysfs_text(path, file_name, text, sizeof text))
        return "resctrl: mbm_total_bytes cannot be read";
    if (strcmp(text, "Unavailable") == 0)
        return "resctrl says Unavailable: the hardware lost this group's monitor";
    errno = 0;
    *bytes = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || errno != 0)
        return "resctrl: mbm_total_bytes is not a number";
    return NULL;
}

struct metric resctrl_bytes(const char *root)
{
    glob_t found;
    double sum = 0;
    const char *reason = NULL;
    if (!find_domains(root, &found))
        return metric_absent("resctrl is not mounted, or does not monitor memory bandwidth");
    for (size_t i = 0; i < found.gl_pathc && !reason; i++) {
        uint64_t bytes = 0;
        reason = read_domain(found.gl_pathv[i], &bytes);
        sum += (double)bytes;
    }
    globfree(&found);
    return reason ? metric_absent(reason) : metric_value(sum);
}
