/* The normalizer, the pre_tokenizer and the decoder of a tokenizer.json: a table of the steps that are known for
 * each. */
#include "tokenizer_json.h"

#include <stdio.h>
#include <string.h>

/* The expression of ByteLevel, and what other steps cut at. */
static const char by_bytes[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
static const char digit[] = "\\p{N}", digits[] = "\\p{N}+";
static const char mark[] = "[\\p{P}!-/:-@\\[-`{-~]";
#define WORD /* of Rust's expressions */ \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{200c}\\x{200d}\\x{24b6}-\\x{24e9}" \
    "\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"
static const char words[] = "[" WORD "]+|[^" WORD "\\s]+", white[] = "\\s+";

struct step {
    const char *type;
    bool (*read)(struct json_reading *reading, const json_t *step, const char *where);
};

static bool refuse(const struct json_reading *r, const char *where, const char *field, const char *found,
                   const char *expected)
{
    return error_set(r->error, "%s%s = \"%.60s\"; expected %s", where, field,
                     found ? found : "(no string)", expected);
}

static bool add_rule(struct json_reading *r, struct split_rule rule, const char *where)
{
    if (r->v.rule_count == MAX_RULES)
        return error_set(r->error, "%s: more than %d steps; expected fewer", where, MAX_RULES);
    r->rules[r->v.rule_count++] = rule;
    r->v.byte_rules += r->byte_level; /* behind ByteLevel */
    return true;
}

static bool add_expression(struct json_reading *r, const char *expression, enum split_behavior behavior,
                           bool invert, const char *where)
{
    return add_rule(r, (struct split_rule){expression, strlen(expression), false, invert, behavior}, where);
}

static bool read_behavior(const struct json_reading *r, const json_t *step, const char *where,
                          enum split_behavior *behavior)
{
    static const char *const names[SPLIT_BEHAVIORS] = {
        [SPLIT_ISOLATED] = "Isolated", [SPLIT_REMOVED] = "Removed",
        [SPLIT_WITH_PREVIOUS] = "MergedWithPrevious", [SPLIT_WITH_NEXT] = "MergedWithNext",
        [SPLIT_CONTIGUOUS] = "Contiguous"};
    const char *name = json_text_of(step, "behavior");
    for (int i = 0; name && i < SPLIT_BEHAVIORS; i++)
        if (strcmp(name, names[i]) == 0) {
            *behavior = (enum split_behavior)i;
            return true;
        }
    return refuse(r, where, ".behavior", name, "Isolated, Removed, MergedWithPrevious, MergedWithNext or "
                                               "Contiguous");
}

/* ---- pre-tokenizers -------------------------------------------------------------------------- */

static bool read_split(struct json_reading *r, const json_t *step, const char *where)
{
    const json_t *pattern = json_object_get(step, "pattern");
    const char *literal = json_text_of(pattern, "String"), *regex = json_text_of(pattern, "Regex");
    struct split_rule rule = {.expression = literal ? literal : regex, .literal = literal != NULL};
    if (!rule.expression)
        return error_set(r->error, "%s.pattern has neither a Regex nor a String; expected one",
                         where);
    if (!json_flag(r, step, where, "invert", &rule.invert) || !read_behavior(r, step, where, &rule.behavior))
        return false;
    rule.size = strlen(rule.expression);
    return rule.size == 0 || add_rule(r, rule, where); /* nothing cuts nowhere */
}

/* What changes a text must be the first step, as rules only cut it. */
static bool is_first(const struct json_reading *r, const char *where, const char *what)
{
    return (r->v.rule_count == 0 && !r->v.marks_spaces && !r->byte_level) ||
           error_set(r->error, "%s%s behind another step; expected it in the first one", where, what);
}

static bool read_byte_level(struct json_reading *r, const json_t *step, const char *where)
{
    bool prefix = true, cuts = true;
    if (!json_flag(r, step, where, "add_prefix_space", &prefix) || !json_flag(r, step, where, "use_regex", &cuts))
        return false;
    if (r->byte_level)
        return error_set(r->error, "%s is ByteLevel behind ByteLevel; expected one", where);
    if (prefix && !is_first(r, where, ".add_prefix_space is true"))
        return false;
    if (prefix) {
        r->v.space_prefix = SPACE_IF_MISSING;
        r->v.space_place = SPACE_EVERYWHERE;
    }
    if (cuts && !add_expression(r, by_bytes, SPLIT_ISOLATED, false, where))
        return false;
    return r->byte_level = true;
}

static bool read_digits(struct json_reading *r, const json_t *step, const char *where)
{
    bool each = false;
    return json_flag(r, step, where, "individual_digits", &each) &&
           add_expression(r, each ? digit : digits, SPLIT_ISOLATED, false, where);
}

static bool read_punctuation(struct json_reading *r, const json_t *step, const char *where)
{
    enum split_behavior behavior = SPLIT_ISOLATED;
    return (!json_object_get(step, "behavior") || read_behavior(r, step, where, &behavior)) &&
           add_expression(r, mark, behavior, false, where);
}

static bool read_whitespace(struct json_reading *r, const json_t *step, const char *where)
{
    (void)step;
    return add_expression(r, words, SPLIT_REMOVED, true, where);
}

static bool read_whitespace_split(struct json_reading *r, const json_t *step, const char *where)
{
    (void)step;
    return add_expression(r, white, SPLIT_REMOVED, false, where);
}

/* Which texts get a space in front; files of before prepend_scheme say whether any does. */
static bool read_scheme(struct json_reading *r, const json_t *step, const char *where)
{
    static const char *const schemes[] = {"always", "first", "never"};
    const char *scheme = json_text_of(step, "prepend_scheme");
    bool prefix = true;
    size_t i = 0;
    if (!json_flag(r, step, where, "add_prefix_space", &prefix))
        return false;
    while (scheme && i < 3 && strcmp(scheme, schemes[i]) != 0)
        i++;
    if (i == 3)
        return refuse(r, where, ".prepend_scheme", scheme, "always, first or never");
    if (scheme && !prefix && i != 2)
        return refuse(r, where, ".prepend_scheme", scheme, "never, as add_prefix_space is false");
    if (!prefix || i == 2)
        return true;
    r->v.space_prefix = SPACE_IF_MISSING;
    r->v.space_place = i == 1 ? SPACE_AT_START : SPACE_EVERYWHERE;
    return true;
}

/* Spaces to U+2581, one in front, and perhaps a cut before each. */
static bool read_metaspace(struct json_reading *r, const json_t *step, const char *where)
{
    const char *replacement = json_text_of(step, "replacement");
    bool cuts = true;
    if (!replacement || strcmp(replacement, MARKED_SPACE) != 0)
        return refuse(r, where, ".replacement", replacement, "U+2581");
    if (!is_first(r, where, " is Metaspace") || !read_scheme(r, step, where) ||
        !json_flag(r, step, where, "split", &cuts))
        return false;
    r->v.marks_spaces = true;
    return !cuts || add_rule(r, (struct split_rule){MARKED_SPACE, 3, true, false, SPLIT_WITH_NEXT}, where);
}

static const struct step pretokenizers[] = {
    {"Split", read_split},           {"ByteLevel", read_byte_level},
    {"Digits", read_digits},         {"Punctuation", read_punctuation},
    {"Whitespace", read_whitespace}, {"WhitespaceSplit", read_whitespace_split},
    {"Metaspace", read_metaspace},   {NULL, NULL}};

/* ---- normalizers ----------------------------------------------------------------------------- */

static bool add_step(struct json_reading *r, struct normal_step step, const char *where)
{
    if (r->v.step_count == MAX_STEPS)
        return error_set(r->error, "%s: more than %d steps; expected fewer", where, MAX_STEPS);
    step.from_size = step.from ? (uint32_t)strlen(step.from) : 0;
    step.to_size = step.to ? (uint32_t)strlen(step.to) : 0;
    r->steps[r->v.step_count++] = step;
    return true;
}

static bool read_prepend(struct json_reading *r, const json_t *step, const char *where)
{
    const char *text = json_text_of(step, "prepend");
    if (!text)
        return refuse(r, where, ".prepend", text, "a text");
    if (strcmp(text, MARKED_SPACE) == 0)
        r->v.space_prefix = SPACE_ALWAYS;
    return add_step(r, (struct normal_step){.action = NORMAL_PREPEND, .to = text}, where);
}

static bool read_replace(struct json_reading *r, const json_t *step, const char *where)
{
    const json_t *pattern = json_object_get(step, "pattern");
    const char *from = json_text_of(pattern, "String"), *to = json_text_of(step, "content");
    if (!from || !*from)
        return refuse(r, where, ".pattern", json_text_of(pattern, "Regex"), "a String, which is not empty");
    if (!to)
        return refuse(r, where, ".content", to, "a text");
    return add_step(r, (struct normal_step){.action = NORMAL_REPLACE, .from = from, .to = to}, where);
}

static bool read_form(struct json_reading *r, const json_t *step, const char *where)
{
    static const char *const names[UNICODE_FORMS] = {
        [FORM_NFC] = "NFC", [FORM_NFD] = "NFD", [FORM_NFKC] = "NFKC", [FORM_NFKD] = "NFKD"};
    enum unicode_form form = FORM_NFC;
    while (strcmp(names[form], json_text_of(step, "type")) != 0)
        form++;
    return add_step(r, (struct normal_step){.action = NORMAL_FORM, .form = form}, where);
}

static const struct step normalizers[] = {
    {"Prepend", read_prepend}, {"Replace", read_replace}, {"NFC", read_form}, {"NFD", read_form},
    {"NFKC", read_form},       {"NFKD", read_form},       {NULL, NULL}};

/* ---- decoders: their work is that of tokenizer_piece ----------------------------------------- */

static bool read_decoder(struct json_reading *r, const json_t *step, const char *where)
{
    (void)r, (void)step, (void)where;
    return true;
}

static const struct step decoders[] = {
    {"ByteLevel", read_decoder}, {"ByteFallback", read_decoder}, {"Fuse", read_decoder}, {"Metaspace", read_decoder},
    {"Replace", read_decoder},   {"Strip", read_decoder},        {NULL, NULL}};

/* ---- both ------------------------------------------------------------------------------------ */

static bool read_step(struct json_reading *r, const struct step *known, const json_t *step,
                      const char *where)
{
    const char *type = json_text_of(step, "type");
    for (; type && known->type; known++)
        if (strcmp(type, known->type) == 0)
            return known->read(r, step, where);
    return refuse(r, where, ".type", type, "a step that is known");
}

/* A step, a Sequence of steps (not nested), or nothing. */
static bool read_steps(struct json_reading *r, const char *where, const char *list,
                       const struct step *known)
{
    const json_t *step = json_object_get(r->root, where);
    const char *type = json_text_of(step, "type");
    if (!step || json_is_null(step))
        return true;
    if (!type || strcmp(type, "Sequence") != 0)
        return read_step(r, known, step, where);
    const json_t *steps = json_object_get(step, list);
    if (!json_is_array(steps))
        return error_set(r->error, "%s.%s is not an array; expected the steps", where, list);
    size_t i;
    json_t *inner;
    json_array_foreach(steps, i, inner) {
        char place[64];
        snprintf(place, sizeof place, "%s.%s[%zu]", where, list, i);
        if (!read_step(r, known, inner, place))
            return false;
    }
    return true;
}

bool json_read_rules(struct json_reading *r)
{
    const char *decoder = json_text_of(json_object_get(r->root, "decoder"), "type");
    if (!read_steps(r, "normalizer", "normalizers", normalizers) ||
        !read_steps(r, "pre_tokenizer", "pretokenizers", pretokenizers) ||
        !read_steps(r, "decoder", "decoders", decoders))
        return false;
    return r->byte_level || !decoder || strcmp(decoder, "ByteLevel") != 0 ||
           error_set(r->error, "decoder is ByteLevel, but pre_tokenizer is not; expected both or none");
}
