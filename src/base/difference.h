/* difference.h - a list of what differs between two things: what it is called, and its value in each. */
#ifndef QTOP_DIFFERENCE_H
#define QTOP_DIFFERENCE_H

#include <stdbool.h>
#include <stddef.h>

enum { DIFFERENCE_WHAT = 64, DIFFERENCE_VALUE = 80 };

struct value_difference {
    char what[DIFFERENCE_WHAT];
    char value[2][DIFFERENCE_VALUE]; /* "": it is not there */
};

/* Begin with {0}. */
struct value_differences {
    struct value_difference *of;
    size_t count;
};

/* Appends one; the texts may come from files: what is no text is escaped, what is too long cut. False when memory is
 * short. */
bool value_differences_add(struct value_differences *list, const char *what, const char *first, const char *second);
void value_differences_free(struct value_differences *list);

#endif
