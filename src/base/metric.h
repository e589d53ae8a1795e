/* metric.h - a number that may be absent: a validity bit and, when absent, the reason. */
#ifndef QTOP_METRIC_H
#define QTOP_METRIC_H

#include <stdbool.h>

struct metric {
    double value;
    bool valid;
    const char *reason; /* static text; when not valid */
};

static inline struct metric metric_value(double value)
{
    return (struct metric){value, true, 0};
}

static inline struct metric metric_absent(const char *reason)
{
    return (struct metric){0, false, reason};
}

#endif
