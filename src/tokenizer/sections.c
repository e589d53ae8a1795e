#include "sections.h"

#include "base/array.h"
#include "base/escape.h"

#include <utf8proc.h>

bool sections_add(struct sections *s, size_t start, size_t end, int32_t id)
{
    struct section *items = array_grow(s->items, s->count, sizeof *items);
    if (!items)
        return false;
    s->items = items;
    s->items[s->count++] = (struct section){start, end - start, id};
    return true;
}

bool touches_plain(const struct plain_ranges *plain, size_t start, size_t end)
{
    bool touches = !plain;
    for (size_t i = 0; plain && !touches && i < plain->count; i++)
        touches = start < plain->items[i].end && plain->items[i].start < end;
    return touches;
}

bool inside_plain(const struct plain_ranges *plain, size_t start, size_t end)
{
    bool inside = !plain;
    for (size_t i = 0; plain && !inside && i < plain->count; i++)
        inside = start >= plain->items[i].start && end <= plain->items[i].end;
    return inside;
}

static size_t character_before(const char *text, size_t end)
{
    size_t start = end - 1;
    while (start > 0 && end - start < 4 && ((uint8_t)text[start] & 0xc0) == 0x80)
        start--;
    return start;
}

static bool is_white(uint32_t c)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return (c >= 9 && c <= 13) || c == 0x85 || category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
           category == UTF8PROC_CATEGORY_ZP;
}

/* A character of words: alphabetic, a mark, a decimal digit, connecting punctuation, a joiner (Unicode Technical
 * Standard 18, Annex C). */
static bool is_of_word(uint32_t c)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    bool circled = (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
                   (c >= 0x1f170 && c <= 0x1f189); /* symbols that are alphabetic */
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) ||
           category == UTF8PROC_CATEGORY_PC || c == 0x200c || c == 0x200d || circled;
}

static bool has_white(const char *text, size_t n, size_t *length)
{
    uint32_t c;
    bool cut;
    *length = utf8_read(text, n, &c, &cut);
    return *length > 0 && is_white(c);
}

size_t white_behind(const char *text, size_t n)
{
    size_t at = 0, length;
    while (at < n && has_white(text + at, n - at, &length))
        at += length;
    return at;
}

size_t white_before(const char *text, size_t end)
{
    size_t length;
    while (end > 0) {
        size_t start = character_before(text, end);
        if (!has_white(text + start, end - start, &length))
            break;
        end = start;
    }
    return end;
}

static bool word_at(const char *text, size_t n)
{
    uint32_t c;
    bool cut;
    return n > 0 && utf8_read(text, n, &c, &cut) > 0 && is_of_word(c);
}

bool stands_alone(const char *text, size_t n, size_t start, size_t end)
{
    size_t before = start > 0 ? character_before(text, start) : 0;
    return !(start > 0 && word_at(text + before, start - before)) && !word_at(text + end, n - end);
}
