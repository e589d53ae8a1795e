#include "escape.h"

#include <stdio.h>
#include <string.h>

size_t utf8_read(const char *text, size_t n, uint32_t *code_point, bool *cut)
{
    const uint8_t *s = (const uint8_t *)text;
    *cut = false;
    if (s[0] < 0x80) {
        *code_point = s[0];
        return 1;
    }
    size_t length = s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
                    : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : 0;
    if (length == 0)
        return 0;
    uint32_t c = s[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if (i == n) {
            *cut = true;
            return 0;
        }
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3fu);
        bool surrogate = length == 3 && i == 1 && c >= 0xd800 >> 6 && c <= 0xdfff >> 6;
        bool overlong = (length == 3 && i == 1 && c < 0x800 >> 6) ||
                        (length == 4 && i == 1 && c < 0x10000 >> 12);
        bool beyond = length == 4 && i == 1 && c > 0x10ffff >> 12;
        if (surrogate || overlong || beyond)
            return 0;
    }
    *code_point = c;
    return length;
}

static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

/* They make what follows look like other text than it is. */
static bool turns_direction(uint32_t c)
{
    return c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* What stands for a character of `length` bytes, 0 where they are none; returns its bytes. */
static size_t spell(char piece[8], const char *text, size_t length, uint32_t c)
{
    uint8_t byte = (uint8_t)text[0];
    if (length > 0 && turns_direction(c))
        return (size_t)snprintf(piece, 8, "\\u%04x", (unsigned)c & 0xffff);
    if (length > 0 && !is_control(c)) {
        memcpy(piece, text, length);
        return length;
    }
    if (byte == '\n' || byte == '\t')
        return (size_t)snprintf(piece, 8, "\\%c", byte == '\n' ? 'n' : 't');
    return (size_t)snprintf(piece, 8, "\\x%02x", (unsigned)(length == 2 ? c : byte) & 0xff);
}

size_t escape_text(char *out, size_t size, const char *text, size_t n)
{
    size_t used = 0;
    for (size_t i = 0; i < n;) {
        char piece[8];
        uint32_t c = 0;
        bool cut;
        size_t length = utf8_read(text + i, n - i, &c, &cut), made = spell(piece, text + i, length, c);
        if (used + made >= size)
            break;
        memcpy(out + used, piece, made);
        used += made;
        i += length > 0 ? length : 1;
    }
    if (size)
        out[used] = 0;
    return used;
}
