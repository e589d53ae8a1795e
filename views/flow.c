#include "flow.h"

#include <stdarg.h>

enum { GAP = 2 };

struct flow flow_begin(struct rect area)
{
    return (struct flow){.area = area};
}

void flow_put(struct flow *f, enum style style, const char *format, ...)
{
    char text[256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    int width = text_width(text), begin = f->used > 0 ? f->used + GAP : 0;
    bool here = f->lines > 0 && begin + width <= f->area.cols;
    if (width == 0 || width > f->area.cols || (!here && f->lines == f->area.rows))
        return;
    if (!here) {
        f->lines++;
        begin = 0;
    }
    draw_text(f->area.row + f->lines - 1, f->area.col + begin, width, style, false, text);
    f->used = begin + width;
}
