#include "xmlcheck.h"

#include "base/escape.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { DEEPEST = 64, NAME = 64, MOST_ATTRIBUTES = 32 };

struct xml {
    const char *at, *begin, *end;
    char open[DEEPEST][NAME];
    size_t depth, roots;
    char wrong[200];
};

static bool refuse(struct xml *x, const char *what)
{
    snprintf(x->wrong, sizeof x->wrong, "%s at byte %zu: %.60s", what, (size_t)(x->at - x->begin), x->at);
    return false;
}

static bool is(const struct xml *x, const char *text)
{
    return (size_t)(x->end - x->at) >= strlen(text) && memcmp(x->at, text, strlen(text)) == 0;
}

static bool take_name(struct xml *x, char out[NAME])
{
    size_t n = 0;
    while (x->at < x->end && n + 1 < NAME && (isalnum((unsigned char)*x->at) || strchr("-_:", *x->at)))
        out[n++] = *x->at++;
    out[n] = 0;
    return n > 0 && isalpha((unsigned char)out[0]);
}

static void skip_blanks(struct xml *x)
{
    while (x->at < x->end && strchr(" \t\r\n", *x->at))
        x->at++;
}

static bool take_reference(struct xml *x)
{
    static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&apos;", "&#39;"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (is(x, known[i])) {
            x->at += strlen(known[i]);
            return true;
        }
    return refuse(x, "a reference that is none");
}

/* Char of XML 1.0, 2.2. */
static bool take_character(struct xml *x)
{
    uint32_t c;
    bool cut;
    size_t n = utf8_read(x->at, (size_t)(x->end - x->at), &c, &cut);
    if (n == 0 || (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0xfffe || c == 0xffff)
        return refuse(x, "a character that XML has not");
    x->at += n;
    return true;
}

static bool take_value(struct xml *x)
{
    if (!is(x, "=\""))
        return refuse(x, "an attribute without a value in quotes");
    for (x->at += 2; x->at < x->end && *x->at != '"';)
        if (*x->at == '<' || !(*x->at == '&' ? take_reference(x) : take_character(x)))
            return *x->wrong ? false : refuse(x, "< in an attribute");
    if (x->at == x->end)
        return refuse(x, "an attribute without an end");
    x->at++;
    return true;
}

static bool take_attributes(struct xml *x)
{
    char names[MOST_ATTRIBUTES][NAME];
    for (size_t n = 0;; n++) {
        const char *before = x->at;
        skip_blanks(x);
        if (is(x, ">") || is(x, "/>"))
            return true;
        if (before == x->at || n == MOST_ATTRIBUTES || !take_name(x, names[n]) || !take_value(x))
            return *x->wrong ? false : refuse(x, "no attribute");
        for (size_t i = 0; i < n; i++)
            if (strcmp(names[i], names[n]) == 0)
                return refuse(x, "an attribute twice");
    }
}

static bool take_end(struct xml *x)
{
    char name[NAME];
    x->at += 2;
    if (!take_name(x, name) || x->depth == 0 || strcmp(name, x->open[x->depth - 1]) != 0 || !is(x, ">"))
        return refuse(x, "the end of another element");
    x->at++;
    x->depth--;
    return true;
}

static bool take_tag(struct xml *x)
{
    if (is(x, "</"))
        return take_end(x);
    x->at++;
    x->roots += x->depth == 0;
    if (x->roots > 1 || x->depth == DEEPEST)
        return refuse(x, "a second root, or too deep");
    if (!take_name(x, x->open[x->depth]) || !take_attributes(x))
        return *x->wrong ? false : refuse(x, "no element");
    bool empty = is(x, "/>");
    x->at += empty ? 2 : 1;
    x->depth += !empty;
    return true;
}

const char *xml_wrong(const char *text, size_t size)
{
    static const char doctype[] = "<!DOCTYPE html>";
    static struct xml x;
    x = (struct xml){.at = text, .begin = text, .end = text + size};
    if (is(&x, doctype))
        x.at += strlen(doctype);
    while (x.at < x.end && !*x.wrong) {
        bool blank = strchr(" \t\r\n", *x.at) != NULL;
        if (*x.at == '<')
            take_tag(&x);
        else if (x.depth == 0 && !blank)
            refuse(&x, "text outside of the root");
        else if (*x.at == '&')
            take_reference(&x);
        else
            take_character(&x);
    }
    if (!*x.wrong && (x.depth > 0 || x.roots != 1))
        refuse(&x, "an element that does not end");
    return *x.wrong ? x.wrong : NULL;
}

size_t xml_count(const char *text, const char *name)
{
    size_t n = 0, length = strlen(name);
    for (const char *at = strchr(text, '<'); at; at = strchr(at + 1, '<'))
        n += strncmp(at + 1, name, length) == 0 && strchr(" />\n", at[1 + length]);
    return n;
}
