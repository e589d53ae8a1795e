#include "markup.h"

#include "base/escape.h"

#include <string.h>

typedef void put_ascii(FILE *out, char c, char before);

static void put_html_char(FILE *out, char c, char before)
{
    static const char special[] = "&<>\"'";
    static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    const char *at = strchr(special, c);
    (void)before;
    if (at)
        fputs(names[at - special], out);
    else
        fputc(c, out);
}

/* What begins or ends a span, an element, an entity, a cell or a link. */
static void put_markdown_char(FILE *out, char c, char before)
{
    bool www = c == '.' && (before == 'w' || before == 'W');
    if (strchr("\\`*_{}[]()<>#|~!$&:@", c) || www)
        fputc('\\', out);
    fputc(c, out);
}

/* One character at a time: as it is, or as escape_text shows it. */
static void put(FILE *out, const char *text, put_ascii *put_char)
{
    char shown[16], before = 0;
    size_t n = strlen(text);
    while (n > 0) {
        uint32_t point = 0;
        bool cut;
        size_t used = utf8_read(text, n, &point, &cut);
        used = used > 0 ? used : 1;
        if ((point & 0xfffe) == 0xfffe) /* U+xFFFE, U+xFFFF */
            snprintf(shown, sizeof shown, "\\u%04x", (unsigned)point);
        else
            escape_text(shown, sizeof shown, text, used);
        for (const char *c = shown; *c; before = *c++)
            if ((unsigned char)*c < 128)
                put_char(out, *c, before);
            else
                fputc(*c, out);
        text += used;
        n -= used;
    }
}

void put_html(FILE *out, const char *text)
{
    put(out, text, put_html_char);
}

void put_markdown(FILE *out, const char *text)
{
    put(out, text, put_markdown_char);
}
