/* read_json.h - a report from the records that qtop writes with --json: of advise, bench, eval, tune and inspect,
 * several of them one after the other, or an object that holds lists of them ("snapshots", "advise", "sensitivity").
 * Untrusted: types, ranges, lengths and counts are checked. */
#ifndef QTOP_REPORT_READ_JSON_H
#define QTOP_REPORT_READ_JSON_H

#include "base/error.h"
#include "report.h"

#include <stdint.h>

/* Rows of schemes with the same name are one: of several measurements. Records that are nothing of qtop's are refused
 * by name. False with an error, which begins with `name`; what was read before it stays in the report. */
bool report_parse_json(struct report *report, const uint8_t *data, size_t size, const char *name, struct error *error);

/* The same of a file. Null with an error; free with report_free. */
struct report *report_read_json(const char *path, struct error *error);

#endif
