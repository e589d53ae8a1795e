/* sections.h - the parts that added tokens cut a text into, and the characters around them. */
#ifndef QTOP_SECTIONS_H
#define QTOP_SECTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A part of a text: an added token, or what lies between two. */
struct section {
    size_t start, size; /* bytes; with the white space that the token takes */
    int32_t id;         /* -1: text */
};

/* A growing list. Begin with {0}; free items with free(). */
struct sections {
    struct section *items;
    size_t count;
};

/* Appends the part [start, end); false when memory is short. */
bool sections_add(struct sections *sections, size_t start, size_t end, int32_t id);

/* Bytes [start, end) of a text in which no control token is spelled, whatever stands there; in order. */
struct plain_range {
    size_t start, end;
};
struct plain_ranges {
    const struct plain_range *items;
    size_t count;
};

/* Whether [start, end) has a byte in one of the ranges, or all its bytes in one; null: all of a text is plain. */
bool touches_plain(const struct plain_ranges *plain, size_t start, size_t end);
bool inside_plain(const struct plain_ranges *plain, size_t start, size_t end);

/* Bytes of the white space that begins at `text`, and where that which ends at `end` begins. */
size_t white_behind(const char *text, size_t n);
size_t white_before(const char *text, size_t end);

/* Whether [start, end) of n bytes has no character of a word before or behind it. */
bool stands_alone(const char *text, size_t n, size_t start, size_t end);

#endif
