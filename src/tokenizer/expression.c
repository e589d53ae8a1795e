#include "expression.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* White space is Unicode's property: PCRE2's \s has U+180E besides, which is none since Unicode 6.3. Words have marks,
 * decimal digits, alphabetic symbols and, outside of classes, Latin-1's other numbers; PCRE2's \w has not. */
#define WHITE "\\p{Z}\\x09-\\x0d\\x{85}"
#define IN_WORD \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}" \
    "\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"
#define WORD IN_WORD "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}" /* outside of classes */
#define HEX "0-9A-Fa-f"

/* What stands for an escape outside of a class and inside; null: it cannot stand there. */
static const struct escape {
    char name;
    const char *outside, *inside;
} escapes[] = {
    {'s', "[" WHITE "]", WHITE},
    {'S', "[^" WHITE "]", "\\P{White_Space}"},
    {'w', "[" WORD "]", IN_WORD},
    {'W', "[^" WORD "]", NULL},
    {'h', "[" HEX "]", HEX},
    {'H', "[^" HEX "]", NULL},
    {'v', "\\x0b", "\\x0b"},
    {'b', "(?:(?<=[" WORD "])(?![" WORD "])|(?<![" WORD "])(?=[" WORD "]))", "\\b"},
    {'B', "(?:(?<=[" WORD "])(?=[" WORD "])|(?<![" WORD "])(?![" WORD "]))", NULL},
};

static const struct escape classes[] = { /* of POSIX: inside only */
    {0, "[:word:]", IN_WORD}, {0, "[:space:]", WHITE}, {0, "[:xdigit:]", HEX}, {0, "[:digit:]", "\\p{Nd}"},
    {0, "[:punct:]", "\\p{P}\\p{S}"}, {0, "[:alpha:]", "\\p{Alphabetic}"}, {0, "[:alnum:]", "\\p{Alphabetic}\\p{Nd}"},
    {0, "[:upper:]", "\\p{Uppercase}"}, {0, "[:lower:]", "\\p{Lowercase}"},
};

enum { DEPTH = 8 };

/* What is left to read, and where the rest goes. */
struct reader {
    const char *at, *end;
    struct text_buffer *out;
    const char *why;
    int depth; /* of classes in classes */
};

static bool put(struct reader *r, const char *text, size_t n)
{
    return text_add(r->out, text, n);
}

static bool puts_text(struct reader *r, const char *text)
{
    return put(r, text, strlen(text));
}

static bool fail(struct reader *r, const char *why)
{
    r->why = why;
    return false;
}

static bool sees(const struct reader *r, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(r->end - r->at) >= n && memcmp(r->at, text, n) == 0;
}

/* A backslash with what is behind it. */
static bool escape(struct reader *r, bool inside)
{
    char name = r->end - r->at > 1 ? r->at[1] : 0;
    size_t n = r->end - r->at > 1 ? 2 : 1;
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++)
        if (name == escapes[i].name) {
            const char *text = inside ? escapes[i].inside : escapes[i].outside;
            r->at += n;
            return text ? puts_text(r, text) : fail(r, "\\W, \\H and \\B in a class are not known");
        }
    if (name == 'u' && r->end - r->at >= 6) {
        char text[16];
        snprintf(text, sizeof text, "\\x{%.4s}", r->at + 2);
        r->at += 6;
        return puts_text(r, text);
    }
    bool ok = put(r, r->at, n);
    r->at += n;
    return ok;
}

/* ---- classes: each becomes a group that matches one character -------------------------------- */

static bool class_of(struct reader *r);

/* [:name:] of a class. */
static bool posix(struct reader *r)
{
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (sees(r, classes[i].outside)) {
            r->at += strlen(classes[i].outside);
            return puts_text(r, classes[i].inside);
        }
    return fail(r, "this class of POSIX is not known");
}

/* One operand of && up to the next or the end: a plain class, and the classes in it. */
static bool operand(struct reader *r, bool first)
{
    struct text_buffer plain = {0}, inner = {0}, *out = r->out;
    bool ok = true;
    for (bool begins = first; ok && r->at < r->end && (*r->at != ']' || begins) && !sees(r, "&&"); begins = false) {
        bool nested = *r->at == '[' && !sees(r, "[:");
        r->out = nested ? &inner : &plain;
        if (nested)
            ok = puts_text(r, "|") && class_of(r);
        else if (*r->at == '\\')
            ok = escape(r, true);
        else if (*r->at == '[')
            ok = posix(r);
        else
            ok = puts_text(r, *r->at == ']' ? "\\" : "") && put(r, r->at++, 1);
    }
    r->out = out;
    ok = ok && (plain.size + inner.size > 0 || fail(r, "a class is empty"));
    ok = ok && puts_text(r, "(?:") &&
         (plain.size > 0 ? puts_text(r, "[") && put(r, plain.bytes, plain.size) && puts_text(r, "]")
                         : puts_text(r, "(?!)")) && /* which never matches, before the first | */
         put(r, inner.bytes, inner.size) && puts_text(r, ")");
    free(plain.bytes);
    free(inner.bytes);
    return ok;
}

/* Operands of &&: the last is the character, those before it look ahead. */
static bool operands(struct reader *r)
{
    struct text_buffer one = {0}, *out = r->out;
    bool ok = true, more = true;
    for (bool first = true; ok && more; first = false) {
        one.size = 0;
        r->out = &one;
        ok = operand(r, first);
        r->out = out;
        more = ok && sees(r, "&&");
        r->at += more ? 2 : 0;
        ok = ok && puts_text(r, more ? "(?=" : "") && put(r, one.bytes, one.size) && puts_text(r, more ? ")" : "");
    }
    free(one.bytes);
    return ok;
}

/* Whether a class needs more than PCRE2's own. */
static bool is_simple(const struct reader *r)
{
    const char *at = r->at + 1;
    at += at < r->end && *at == '^';
    for (bool first = true; at < r->end && (*at != ']' || first); first = false, at++) {
        bool named = *at == '[' && at + 1 < r->end && at[1] == ':';
        const char *name = named ? memmem(at, (size_t)(r->end - at), ":]", 2) : NULL;
        if (*at == '\\' || name)
            at = name ? name + 1 : at + 1;
        else if (*at == '[' || (*at == '&' && at + 1 < r->end && at[1] == '&'))
            return false;
    }
    return true;
}

static bool simple_class(struct reader *r)
{
    bool ok = put(r, r->at++, 1);
    if (ok && r->at < r->end && *r->at == '^')
        ok = put(r, r->at++, 1);
    for (bool first = true; ok && r->at < r->end && (*r->at != ']' || first); first = false)
        ok = *r->at == '\\' ? escape(r, true) : sees(r, "[:") ? posix(r) : put(r, r->at++, 1);
    return ok && (r->at == r->end || put(r, r->at++, 1)); /* one without an end does not compile */
}

static bool class_of(struct reader *r)
{
    if (is_simple(r))
        return simple_class(r);
    if (r->depth == DEPTH)
        return fail(r, "classes are nested too deep");
    r->depth++;
    r->at++;
    bool negated = r->at < r->end && *r->at == '^';
    r->at += negated;
    bool ok = puts_text(r, negated ? "(?:(?!" : "(?:") && operands(r) && puts_text(r, negated ? ")(?s:.))" : ")");
    if (ok && (r->at == r->end || *r->at != ']'))
        ok = fail(r, "a class has no end");
    r->at += ok;
    r->depth--;
    return ok;
}

/* ---- groups and counts ----------------------------------------------------------------------- */

/* Switches: (?m) lets a dot match newlines, which PCRE2 calls s. */
static bool switches(struct reader *r)
{
    const char *at = r->at + 2;
    while (at < r->end && strchr("imx-", *at) && *at)
        at++;
    bool are = at > r->at + 2 && at < r->end && (*at == ')' || *at == ':');
    bool ok = put(r, r->at, 2);
    for (r->at += 2; ok && are && r->at < at; r->at++)
        ok = put(r, *r->at == 'm' ? "s" : r->at, 1);
    return ok;
}

/* {,n} is {0,n}, and {n}+ repeats what {n} is behind. */
static bool count(struct reader *r)
{
    const char *at = r->at + 1;
    while (at < r->end && (isdigit((unsigned char)*at) || *at == ','))
        at++;
    bool is = at > r->at + 1 && at < r->end && *at == '}';
    if (is && at + 1 < r->end && at[1] == '+')
        return fail(r, "{n}+ is not known, which is not possessive there");
    bool from_none = is && r->at[1] == ',';
    return put(r, r->at++, 1) && (!from_none || puts_text(r, "0"));
}

bool expression_translate(const char *from, size_t n, struct text_buffer *out, const char **why)
{
    struct reader r = {.at = from, .end = from + n, .out = out};
    bool ok = text_add(out, "", 0);
    while (ok && r.at < r.end) {
        if (*r.at == '\\')
            ok = escape(&r, false);
        else if (*r.at == '[')
            ok = class_of(&r);
        else if (sees(&r, "(?"))
            ok = switches(&r);
        else if (*r.at == '{')
            ok = count(&r);
        else
            ok = put(&r, r.at++, 1);
    }
    *why = r.why;
    return ok;
}
