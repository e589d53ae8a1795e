/* write.h - reports as files, in the format that the ending of the path names. */
#ifndef QTOP_REPORT_WRITE_H
#define QTOP_REPORT_WRITE_H

#include "report.h"
#include "base/error.h"

/* Whether the path ends with a format's name: ".html" or ".md", in any case. The error names them. */
bool report_path_check(const char *path, struct error *error);

/* Writes the whole report or nothing. */
bool report_write(const struct report *report, const char *path, struct error *error);

#endif
