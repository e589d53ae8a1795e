#include "stream.h"

#include "base/escape.h"

#include <string.h>

size_t stream_add(struct stream *s, const char *bytes, size_t n, char *out)
{
    size_t written = 0;
    for (size_t i = 0; i < n; i++) {
        s->pending[s->count++] = bytes[i];
        while (s->count > 0) {
            uint32_t c;
            bool cut;
            size_t length = utf8_read(s->pending, s->count, &c, &cut);
            if (length == 0 && cut)
                break;
            const char *whole = length ? s->pending : "\xef\xbf\xbd";
            memcpy(out + written, whole, length ? length : 3);
            written += length ? length : 3;
            length = length ? length : 1;
            s->count -= length;
            memmove(s->pending, s->pending + length, s->count);
        }
    }
    return written;
}
