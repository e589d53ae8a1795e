/* tokenizer.json of Hugging Face's tokenizers: BPE over bytes, and BPE over characters with bytes to fall
 * back on, which is what SentencePiece's models become there. */
#include "tokenizer_json.h"

#include "formats/jsontext.h"
#include "formats/mapped.h"
#include "chat_file.h"
#include "encoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- tokens ---------------------------------------------------------------------------------- */

/* Gives an id its text. At most as many ids as names: a larger one would leave a gap. */
static bool add_piece(struct json_reading *r, size_t max, const char *where, const char *text,
                      const json_t *id, enum token_type type)
{
    if (!json_is_integer(id))
        return error_set(r->error, "%s: the id of '%.60s' is %s; expected an integer", where,
                         text, json_type_name(id));
    json_int_t number = json_integer_value(id);
    if (number < 0 || (size_t)number >= max)
        return error_set(r->error, "%s: '%.60s' has id %lld; expected 0 to %zu, the number of "
                                   "tokens", where, text, (long long)number, max - 1);
    struct vocabulary_piece *p = &r->pieces[number];
    if (p->text && strcmp(p->text, text) != 0)
        return error_set(r->error, "%s: '%.60s' and '%.60s' both have id %lld; expected one "
                                   "token for each id", where, p->text, text, (long long)number);
    *p = (struct vocabulary_piece){text, (uint32_t)strlen(text), 0, type};
    if ((size_t)number >= r->v.count)
        r->v.count = (size_t)number + 1;
    return true;
}

static enum token_type type_of(const struct json_reading *r, const char *text)
{
    return r->v.byte_fallback && byte_of_piece(text, strlen(text)) >= 0 ? TOKEN_BYTE : TOKEN_NORMAL;
}

static bool add_vocabulary(struct json_reading *r, json_t *vocab, size_t max)
{
    const char *text;
    json_t *id;
    json_object_foreach(vocab, text, id)
        if (!add_piece(r, max, "model.vocab", text, id, type_of(r, text)))
            return false;
    return true;
}

/* What an added token asks for; `special` is false where the file does not say. */
static bool read_bits(const struct json_reading *r, const json_t *token, const char *where, bool *special,
                      uint8_t *added)
{
    static const struct {
        const char *key;
        enum added_bits bit;
    } keys[] = {{"lstrip", ADDED_LSTRIP}, {"rstrip", ADDED_RSTRIP}, {"single_word", ADDED_SINGLE_WORD},
                {"normalized", ADDED_NORMALIZED}};
    *special = false;
    *added = 0;
    if (!json_flag(r, token, where, "special", special))
        return false;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        bool set = keys[i].bit == ADDED_NORMALIZED && !*special;
        if (!json_flag(r, token, where, keys[i].key, &set))
            return false;
        *added = (uint8_t)(*added | (set ? keys[i].bit : 0u));
    }
    return true;
}

/* A token has one id: that of the vocabulary, or of the first time that it is added. */
static bool same_id(const struct json_reading *r, const char *where, const char *content, const json_t *id)
{
    int32_t first = json_token_id(r, content);
    return !json_is_integer(id) || json_integer_value(id) == first ||
           error_set(r->error, "%s: '%.60s' has id %lld, and id %d before; expected one id for each token", where,
                     content, (long long)json_integer_value(id), first);
}

/* Tokens that are looked for before anything else; special ones never are: they control the model. */
static bool add_added(struct json_reading *r, const json_t *vocab, const json_t *added, size_t max)
{
    size_t i;
    json_t *token;
    json_array_foreach(added, i, token) {
        char where[48];
        const char *content = json_text_of(token, "content");
        const json_t *id = json_object_get(token, "id");
        bool special;
        uint8_t bits;
        snprintf(where, sizeof where, "added_tokens[%zu]", i);
        if (!content)
            return error_set(r->error, "%s.content is %s; expected a string", where,
                             json_type_name(json_object_get(token, "content")));
        if (!read_bits(r, token, where, &special, &bits) || !same_id(r, where, content, id) ||
            !add_piece(r, max, where, content, id, special ? TOKEN_CONTROL : TOKEN_USER_DEFINED))
            return false;
        r->added[json_integer_value(id)] =
            (uint8_t)(bits | (json_object_get(vocab, content) ? 0u : ADDED_OUTSIDE));
    }
    return true;
}

static bool read_tokens(struct json_reading *r)
{
    json_t *vocab = json_object_get(json_object_get(r->root, "model"), "vocab");
    const json_t *added = json_object_get(r->root, "added_tokens");
    if (!json_is_object(vocab))
        return json_expected(r, "model.vocab", "an object of tokens and their ids");
    if (added && !json_is_null(added) && !json_is_array(added))
        return json_expected(r, "added_tokens", "an array");
    size_t max = json_object_size(vocab) + json_array_size(added);
    r->v.pieces = r->pieces = calloc(max + 1, sizeof *r->pieces);
    r->v.added = r->added = calloc(max + 1, sizeof *r->added);
    if (!r->pieces || !r->added)
        return error_set(r->error, "not enough memory for %zu tokens", max);
    if (!add_vocabulary(r, vocab, max) || !add_added(r, vocab, added, max))
        return false;
    for (size_t i = 0; i < r->v.count; i++)
        if (!r->pieces[i].text)
            return error_set(r->error, "model.vocab: no token has id %zu; expected one for "
                                       "each id below %zu", i, r->v.count);
    return true;
}

/* ---- merges ---------------------------------------------------------------------------------- */

/* "a b" in older files, ["a", "b"] in newer ones. */
static bool read_merge(const json_t *from, struct merge *m)
{
    const char *text = json_string_value(from), *left, *right;
    if (text) {
        size_t n = strcspn(text, " ");
        *m = (struct merge){text, text + n + 1, (uint32_t)n, 0};
        if (n == 0 || !text[n] || !text[n + 1] || strchr(text + n + 1, ' '))
            return false;
        m->right_size = (uint32_t)strlen(m->right);
        return true;
    }
    left = json_string_value(json_array_get(from, 0));
    right = json_string_value(json_array_get(from, 1));
    if (!left || !right || json_array_size(from) != 2)
        return false;
    *m = (struct merge){left, right, (uint32_t)strlen(left), (uint32_t)strlen(right)};
    return true;
}

static bool read_merges(struct json_reading *r)
{
    const json_t *merges = json_object_get(json_object_get(r->root, "model"), "merges");
    size_t n = json_array_size(merges);
    if (!json_is_array(merges))
        return json_expected(r, "model.merges", "an array");
    r->v.merges = r->merges = calloc(n + 1, sizeof *r->merges);
    if (!r->merges)
        return error_set(r->error, "not enough memory for %zu merges", n);
    for (size_t i = 0; i < n; i++)
        if (!read_merge(json_array_get(merges, i), &r->merges[i]))
            return error_set(r->error, "model.merges[%zu] is %s; expected two tokens, \"a b\" or "
                                       "[\"a\", \"b\"]", i, json_type_name(json_array_get(merges, i)));
    r->v.merge_count = n;
    return true;
}

/* ---- the model ------------------------------------------------------------------------------- */

/* What the model may say, and what it must not. */
static bool read_model(struct json_reading *r)
{
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const json_t *model = json_object_get(r->root, "model");
    const char *type = json_text_of(model, "type"), *unknown = json_text_of(model, "unk_token");
    if (!json_is_object(model))
        return json_expected(r, "model", "an object");
    if (type ? strcmp(type, "BPE") != 0 : !json_object_get(model, "merges"))
        return json_expected(r, "model.type", "\"BPE\"");
    for (size_t i = 0; i < 2; i++) {
        const char *affix = json_text_of(model, affixes[i]);
        if (affix && *affix)
            return error_set(r->error, "model.%s = \"%.60s\"; expected none", affixes[i], affix);
    }
    const json_t *dropout = json_object_get(model, "dropout");
    if (dropout && !json_is_null(dropout) && !(json_number_value(dropout) <= 0))
        return error_set(r->error, "model.dropout = %g; expected none, as merges are left out at random",
                         json_number_value(dropout));
    if (!json_flag(r, model, "model", "byte_fallback", &r->v.byte_fallback) ||
        !json_flag(r, model, "model", "fuse_unk", &r->v.fuse_unknown) ||
        !json_flag(r, model, "model", "ignore_merges", &r->v.ignore_merges) || !read_tokens(r) || !read_merges(r))
        return false;
    r->v.unknown = unknown ? json_token_id(r, unknown) : -1;
    return !unknown || r->v.unknown >= 0 || json_expected(r, "model.unk_token", "a token of the vocabulary");
}

/* What the library does to ids, for batches. */
static void note_options(struct json_reading *r)
{
    static const char *const options[] = {"truncation", "padding"};
    for (size_t i = 0; i < 2; i++) {
        const json_t *value = json_object_get(r->root, options[i]);
        if (value && !json_is_null(value))
            json_note(r, "the file's %s is not applied", options[i]);
    }
}

static bool read_all(struct json_reading *r)
{
    if (!json_is_object(r->root))
        return error_set(r->error, "the file is %s; expected an object", json_type_name(r->root));
    if (!read_model(r) || !json_read_rules(r) || !json_read_specials(r))
        return false;
    r->v.model = r->byte_level ? VOCABULARY_BPE : VOCABULARY_SPM;
    note_options(r);
    r->v.rules = r->rules;
    r->v.steps = r->steps;
    return true;
}

/* ---- the files ------------------------------------------------------------------------------- */

/* The shortest merge, ["a","b"], has a list in 10 bytes. */
enum { DEPTH = 64, TEXT_PER_CONTAINER = 6, TEXT_PER_VALUE = 3 };

/* `name` goes before what is wrong where it is not the file itself. */
static json_t *parse(const uint8_t *data, size_t size, const char *name, struct error *error)
{
    json_error_t why;
    const char *what = *name ? name : "JSON";
    if (!json_text_check(data, size, DEPTH, TEXT_PER_CONTAINER, TEXT_PER_VALUE, what, error))
        return NULL;
    json_t *root = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        error_set(error, "%s%sline %d, column %d: %s; expected JSON", name, *name ? ": " : "", why.line,
                  why.column, why.text);
    return root;
}

/* tokenizer_config.json beside the file; null where there is none. */
static bool read_config(struct json_reading *r, const char *path)
{
    char *beside = path ? path_beside(path, "tokenizer_config.json") : NULL;
    struct mapped_file file;
    bool ok = true;
    if (beside && access(beside, F_OK) == 0) {
        ok = mapped_file_open(&file, beside, r->error);
        if (ok) {
            r->config = parse(file.data, file.size, "tokenizer_config.json", r->error);
            ok = r->config != NULL;
            mapped_file_close(&file);
        }
    }
    free(beside);
    return ok;
}

static bool probe(const uint8_t *data, size_t size)
{
    size_t i = 0;
    while (i < size && (data[i] == ' ' || (data[i] >= '\t' && data[i] <= '\r')))
        i++;
    return i < size && (data[i] == '{' || data[i] == '[');
}

static bool visit(const uint8_t *data, size_t size, const char *path, vocabulary_fn *see, void *arg,
                  struct error *error)
{
    struct json_reading r = {.error = error, .root = parse(data, size, "", error),
                             .v = {.bos = -1, .eos = -1, .unknown = -1, .dialect = DIALECT_HUGGING_FACE}};
    bool ok = r.root && read_config(&r, path) && read_all(&r);
    r.v.chat = ok ? chat_beside(path) : chat_absent();
    ok = ok && see(arg, &r.v, r.note, error);
    free(r.pieces);
    free(r.added);
    free(r.merges);
    json_decref(r.root);
    json_decref(r.config);
    return ok;
}

const struct tokenizer_format json_tokenizer_format = {"a tokenizer.json", probe, NULL, visit};
