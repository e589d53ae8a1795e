#include "splitter.h"

#include "expression.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

struct rule {
    pcre2_code *code;
    bool invert;
    enum split_behavior behavior;
};

struct splitter {
    struct rule *rules;
    size_t count;
};

static bool add_word(struct words *w, size_t start, size_t end)
{
    if (start == end)
        return true;
    if (w->count == w->room) {
        size_t room = w->room ? 2 * w->room : 64;
        struct word *items = realloc(w->items, room * sizeof *items);
        if (!items)
            return false;
        w->items = items;
        w->room = room;
    }
    w->items[w->count++] = (struct word){(uint32_t)start, (uint32_t)(end - start)};
    return true;
}

/* ---- compiling ------------------------------------------------------------------------------- */

static bool refuse(const struct split_rule *from, size_t number, const char *what, struct error *error)
{
    int shown = from->size < 120 ? (int)from->size : 120;
    return error_set(error, "pre-tokenizer: expression %zu '%.*s': %s; expected one that PCRE2 compiles", number + 1,
                     shown, from->expression, what);
}

static bool compile(struct rule *r, const struct split_rule *from, size_t number, struct error *error)
{
    uint32_t options = from->literal ? PCRE2_UTF | PCRE2_LITERAL
                       : PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_MULTILINE;
    struct text_buffer text = {0};
    const char *why = NULL;
    int code = 0;
    PCRE2_SIZE at = 0;
    PCRE2_UCHAR8 said[120] = "not enough memory";
    *r = (struct rule){.invert = from->invert, .behavior = from->behavior};
    bool ok = from->literal ? text_add(&text, from->expression, from->size)
                            : expression_translate(from->expression, from->size, &text, &why);
    if (ok)
        r->code = pcre2_compile((PCRE2_SPTR8)text.bytes, text.size, options, &code, &at, NULL);
    if (ok && !r->code)
        pcre2_get_error_message(code, said, sizeof said);
    free(text.bytes);
    if (!r->code)
        return refuse(from, number, why ? why : (const char *)said, error);
    pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE); /* without it matching is only slower */
    return true;
}

struct splitter *splitter_create(const struct split_rule *rules, size_t count, struct error *error)
{
    struct splitter *s = calloc(1, sizeof *s);
    if (s)
        s->rules = calloc(count + 1, sizeof *s->rules);
    if (!s || !s->rules)
        error_set(error, "not enough memory");
    bool ok = s && s->rules;
    for (; ok && s->count < count; s->count += ok)
        ok = compile(&s->rules[s->count], &rules[s->count], s->count, error);
    if (ok)
        return s;
    splitter_free(s);
    return NULL;
}

void splitter_free(struct splitter *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++)
        pcre2_code_free(s->rules[i].code);
    free(s->rules);
    free(s);
}

/* ---- matching -------------------------------------------------------------------------------- */

/* The words that one rule makes of one word. */
struct cutter {
    const struct rule *rule;
    struct words *out;
    size_t base;        /* where the word starts */
    bool open;          /* the last span may still grow */
    bool matched;       /* it was a match */
    size_t from, to;    /* of that span, bytes */
};

static bool flush(struct cutter *c)
{
    bool drop = c->matched && c->rule->behavior == SPLIT_REMOVED;
    if (!c->open || drop)
        return true;
    return add_word(c->out, c->base + c->from, c->base + c->to);
}

/* Whether a span joins the one before it, which ends where it begins. */
static bool joins(const struct cutter *c, bool match)
{
    switch (c->rule->behavior) {
    case SPLIT_WITH_PREVIOUS: return match && !c->matched;
    case SPLIT_WITH_NEXT: return !match && c->matched;
    case SPLIT_CONTIGUOUS: return match == c->matched;
    default: return false;
    }
}

static bool add_span(struct cutter *c, size_t from, size_t to, bool match)
{
    match = match != c->rule->invert;
    if (from == to)
        return true;
    if (c->open && joins(c, match)) {
        c->to = to;
        c->matched = match;
        return true;
    }
    if (!flush(c))
        return false;
    c->open = true;
    c->from = from;
    c->to = to;
    c->matched = match;
    return true;
}

/* One match from `at` on. JIT code has a stack of 32 KiB; what needs more is interpreted. */
static int match_at(const struct rule *r, const char *text, size_t n, size_t at,
                    pcre2_match_data *data, pcre2_match_context *context)
{
    int found = pcre2_match(r->code, (PCRE2_SPTR8)text, n, at, PCRE2_NO_UTF_CHECK, data, context);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT)
        found = pcre2_match(r->code, (PCRE2_SPTR8)text, n, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data,
                            context);
    return found;
}

/* Bytes of the character at a place in valid UTF-8. */
static size_t character_at(const char *text, size_t n, size_t at)
{
    size_t length = 1;
    while (at + length < n && ((uint8_t)text[at + length] & 0xc0) == 0x80)
        length++;
    return length;
}

static bool cut_word(const struct rule *r, const char *text, struct word word, struct words *out,
                     pcre2_match_data *data, pcre2_match_context *context, struct error *error)
{
    struct cutter c = {.rule = r, .out = out, .base = word.start};
    const char *subject = text + word.start;
    size_t done = 0, at = 0, n = word.size;
    bool ok = true;
    while (ok && at < n) {
        int found = match_at(r, subject, n, at, data, context);
        if (found == PCRE2_ERROR_NOMATCH)
            break;
        if (found < 0)
            return error_set(error, "pre-tokenizer: its expression takes too many steps at byte %zu of the "
                                    "text (PCRE2 says %d); expected a simpler one", word.start + at,
                             found);
        const PCRE2_SIZE *where = pcre2_get_ovector_pointer(data);
        size_t from = where[0], to = where[1];
        if (from < done || to < from) /* \K may say so */
            from = to = done > to ? done : to;
        ok = add_span(&c, done, from, false) && add_span(&c, from, to, true);
        if (from == to && from > done && ok) { /* an empty match cuts, too */
            ok = flush(&c);
            c.open = false;
        }
        done = to;
        at = to > at ? to : at;
        at += from == to ? character_at(subject, n, at) : 0;
    }
    ok = ok && add_span(&c, done, n, false) && flush(&c);
    return ok || error_set(error, "not enough memory to cut a text");
}

/* Steps of one match: enough for a run as long as the word, far from what a trap would take. */
static void limit(pcre2_match_context *context, size_t n)
{
    enum { LEAST = 1 << 16, A_BYTE = 16, HEAP_KIB = 1 << 15 };
    pcre2_set_match_limit(context, n > (UINT32_MAX - LEAST) / A_BYTE ? UINT32_MAX
                                                                    : (uint32_t)(LEAST + A_BYTE * n));
    pcre2_set_heap_limit(context, HEAP_KIB);
}

static bool apply(const struct rule *r, const char *text, const struct words *in, struct words *out,
                  struct error *error)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    bool ok = data && context ? true : error_set(error, "not enough memory to cut a text");
    for (size_t i = 0; ok && i < in->count; i++) {
        limit(context, in->items[i].size);
        ok = cut_word(r, text, in->items[i], out, data, context, error);
    }
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    return ok;
}

bool splitter_run(const struct splitter *s, const char *text, size_t n, struct words *out,
                  struct error *error)
{
    struct words words = {0}, next = {0};
    bool ok = n <= INT32_MAX && add_word(&words, 0, n) ? true
              : error_set(error, "not enough memory to cut a text of %zu bytes", n);
    for (size_t i = 0; ok && i < s->count; i++) {
        next.count = 0;
        ok = apply(&s->rules[i], text, &words, &next, error);
        struct words swap = words;
        words = next;
        next = swap;
    }
    for (size_t i = 0; ok && i < words.count; i++)
        ok = add_word(out, words.items[i].start, words.items[i].start + words.items[i].size) ||
             error_set(error, "not enough memory to cut a text");
    free(words.items);
    free(next.items);
    return ok;
}
