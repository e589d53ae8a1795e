#include "write.h"

#include "pages.h"

#include "base/output.h"

#include <string.h>
#include <strings.h>

static const struct {
    const char *ending;
    void (*put)(FILE *out, const struct report *report);
} formats[] = {{".html", page_html}, {".htm", page_html}, {".md", page_markdown}, {".markdown", page_markdown}};
enum { FORMATS = sizeof formats / sizeof *formats };

/* The row of a path; FORMATS: none. */
static size_t format_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    size_t i = 0;
    while (i < FORMATS && !(dot && strcasecmp(dot, formats[i].ending) == 0))
        i++;
    return i;
}

bool report_path_check(const char *path, struct error *error)
{
    return format_of(path) < FORMATS ||
           error_set(error, "%.200s: no format of reports has this ending; expected .html or .md", path);
}

bool report_write(const struct report *r, const char *path, struct error *error)
{
    struct output out;
    if (r->failed)
        return error_set(error, "not enough memory for the report");
    if (!report_path_check(path, error) || !output_open(&out, path, error))
        return false;
    formats[format_of(path)].put(out.file, r);
    return output_close(&out, true, error);
}
