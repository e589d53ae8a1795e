/* The normalizer and the pre_tokenizer of a tokenizer.json: one table of the steps that are known. */
#include "tokenizer_json.h"

#include <stdio.h>
#include <string.h>

static const char marked_space[] = "\xe2\x96\x81";

/* The expression of ByteLevel, and what other steps cut at. */
static const char by_bytes[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
static const char digit[] = "\\p{N}", digits[] = "\\p{N}+";
static const char mark[] = "[\\p{P}!-/:-@\\[-`{-~]";
static const char words[] = "\\w+|[^\\w\\s]+", white[] = "\\s+";

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
    return true;
}

static bool add_expression(struct json_reading *r, const char *expression, enum split_behavior behavior,
                           bool invert, const char *where)
{
    return add_rule(r, (struct split_rule){expression, strlen(expression), false, invert, behavior}, where);
}

/* true, or absent where `otherwise` is. */
static bool flag(const json_t *step, const char *key, bool otherwise)
{
    const json_t *value = json_object_get(step, key);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
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
    struct split_rule rule = {.expression = literal ? literal : regex, .literal = literal != NULL,
                              .invert = flag(step, "invert", false)};
    if (!rule.expression)
        return error_set(r->error, "%s.pattern has neither a Regex nor a String; expected one",
                         where);
    if (!read_behavior(r, step, where, &rule.behavior))
        return false;
    rule.size = strlen(rule.expression);
    if (r->marks_spaces && strcmp(rule.expression, " ") == 0)
        return true; /* there are none any more */
    if (r->marks_spaces)
        return refuse(r, where, ".pattern", rule.expression, "no expression behind spaces written as U+2581");
    return add_rule(r, rule, where);
}

static bool read_byte_level(struct json_reading *r, const json_t *step, const char *where)
{
    r->byte_level = true;
    if (flag(step, "add_prefix_space", true)) {
        if (r->v.rule_count > 0)
            return error_set(r->error, "%s.add_prefix_space is true behind another step; expected "
                                       "it in the first one", where);
        r->v.space_prefix = SPACE_IF_MISSING;
    }
    return !flag(step, "use_regex", true) || add_expression(r, by_bytes, SPLIT_ISOLATED, false, where);
}

static bool read_digits(struct json_reading *r, const json_t *step, const char *where)
{
    return add_expression(r, flag(step, "individual_digits", false) ? digit : digits, SPLIT_ISOLATED, false,
                          where);
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

/* Spaces to U+2581, one in front, and perhaps a cut before each. */
static bool read_metaspace(struct json_reading *r, const json_t *step, const char *where)
{
    const char *replacement = json_text_of(step, "replacement"), *scheme = json_text_of(step, "prepend_scheme");
    if (!replacement || strcmp(replacement, marked_space) != 0)
        return refuse(r, where, ".replacement", replacement, "U+2581");
    r->marks_spaces = true;
    bool prefix = scheme ? strcmp(scheme, "never") != 0 : flag(step, "add_prefix_space", true);
    r->v.space_prefix = prefix ? SPACE_IF_MISSING : SPACE_NEVER;
    return !flag(step, "split", true) ||
           add_rule(r, (struct split_rule){" ", 1, true, false, SPLIT_WITH_NEXT}, where);
}

static const struct step pretokenizers[] = {
    {"Split", read_split},           {"ByteLevel", read_byte_level},
    {"Digits", read_digits},         {"Punctuation", read_punctuation},
    {"Whitespace", read_whitespace}, {"WhitespaceSplit", read_whitespace_split},
    {"Metaspace", read_metaspace},   {NULL, NULL}};

/* ---- normalizers ----------------------------------------------------------------------------- */

static bool read_prepend(struct json_reading *r, const json_t *step, const char *where)
{
    const char *text = json_text_of(step, "prepend");
    if (!text || strcmp(text, marked_space) != 0)
        return refuse(r, where, ".prepend", text, "U+2581");
    r->v.space_prefix = SPACE_ALWAYS;
    return true;
}

static bool read_replace(struct json_reading *r, const json_t *step, const char *where)
{
    const char *from = json_text_of(json_object_get(step, "pattern"), "String");
    const char *to = json_text_of(step, "content");
    if (!from || strcmp(from, " ") != 0)
        return refuse(r, where, ".pattern", from, "a space");
    if (!to || strcmp(to, marked_space) != 0)
        return refuse(r, where, ".content", to, "U+2581");
    return r->marks_spaces = true;
}

static bool note_nfc(struct json_reading *r, const json_t *step, const char *where)
{
    (void)step, (void)where;
    snprintf(r->note, sizeof r->note, "text is not brought into Unicode's form NFC as the file asks");
    return true;
}

static const struct step normalizers[] = {
    {"Prepend", read_prepend}, {"Replace", read_replace}, {"NFC", note_nfc}, {NULL, NULL}};

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
    r->byte_level = decoder && strcmp(decoder, "ByteLevel") == 0;
    return read_steps(r, "normalizer", "normalizers", normalizers) &&
           read_steps(r, "pre_tokenizer", "pretokenizers", pretokenizers);
}
