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

size_t escape_text(char *out, size_t size, const char *text, size_t n)
{
    size_t used = 0;
    for (size_t i = 0; i < n;) {
        char piece[8];
        uint32_t c = 0;
        bool cut;
        size_t length = utf8_read(text + i, n - i, &c, &cut), made;
        if (length == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0)) {
            uint8_t byte = (uint8_t)text[i];
            if (length == 0)
                length = 1;
            const char *named = byte == '\n' ? "\\n" : byte == '\t' ? "\\t" : NULL;
            made = named ? (size_t)snprintf(piece, sizeof piece, "%s", named)
                         : (size_t)snprintf(piece, sizeof piece, "\\x%02x", length == 2 ? c : byte);
        } else {
            memcpy(piece, text + i, length);
            made = length;
        }
        if (used + made >= size)
            break;
        memcpy(out + used, piece, made);
        used += made;
        i += length;
    }
    if (size)
        out[used] = 0;
    return used;
}
