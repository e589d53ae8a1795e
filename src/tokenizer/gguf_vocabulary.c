/* Vocabularies of GGUF files: the keys tokenizer.ggml.* (ggml's docs/gguf.md, section "Tokenizer"). */
#include "vocabulary.h"

#include "base/note.h"
#include "formats/gguf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY(name) "tokenizer.ggml." name

/* What a file's `tokenizer.ggml.model` means, and what it means where other keys are absent. */
static const struct family {
    const char *name;
    enum vocabulary_model model;
    bool add_bos, add_space_prefix, byte_fallback;
} families[] = {
    {"llama", VOCABULARY_SPM, true, true, true},
    {"gpt2", VOCABULARY_BPE, false, false, false},
    {"gemma4", VOCABULARY_BPE, true, false, true},
};
enum { FAMILIES = sizeof families / sizeof *families, MAX_RULES = 8 };
#define MODELS "llama or gpt2, or gemma4"

/* A vocabulary with the memory that it points to. */
struct reading {
    const struct gguf *gguf;
    struct error *error;
    const struct family *family;
    struct vocabulary v;
    struct vocabulary_piece *pieces;
    uint8_t *added; /* by id */
    struct merge *merges;
    struct split_rule rules[MAX_RULES];
    char note[400]; /* what a person should know */
};

static void add_note(struct reading *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add_note(struct reading *r, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    note_add(r->note, sizeof r->note, format, list);
    va_end(list);
}

static bool read_family(struct reading *r)
{
    struct gguf_text model;
    if (!gguf_string(r->gguf, KEY("model"), &model, r->error))
        return false;
    if (!model.data)
        return error_set(r->error, "tokenizer: the key " KEY("model") " is missing; expected " MODELS);
    for (size_t i = 0; i < FAMILIES; i++)
        if (strlen(families[i].name) == model.size && memcmp(families[i].name, model.data, model.size) == 0)
            r->family = &families[i];
    return r->family || error_set(r->error, KEY("model") " = '%.*s'; expected " MODELS,
                                  (int)(model.size < 64 ? model.size : 64), model.data);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static bool same_count(const struct reading *r, const char *key, const struct gguf_array *a)
{
    return !gguf_has(r->gguf, key) || a->count == r->v.count ||
           error_set(r->error, "%s has %zu values; expected %zu (tokens)", key, a->count, r->v.count);
}

static bool read_tokens(struct reading *r)
{
    struct gguf_array tokens, scores, types;
    if (!gguf_array(r->gguf, KEY("tokens"), GGUF_STRING, &tokens, r->error) ||
        !gguf_array(r->gguf, KEY("scores"), GGUF_FLOAT32, &scores, r->error) ||
        !gguf_array(r->gguf, KEY("token_type"), GGUF_INT32, &types, r->error))
        return false;
    r->v.count = tokens.count;
    if (tokens.count == 0)
        return error_set(r->error, KEY("tokens") " is missing or empty; expected the tokens' texts");
    if (!same_count(r, KEY("scores"), &scores) || !same_count(r, KEY("token_type"), &types))
        return false;
    if (r->family->model == VOCABULARY_SPM && scores.count == 0)
        return error_set(r->error, KEY("scores") " is missing; expected a score for each of %zu tokens",
                         r->v.count);
    r->v.pieces = r->pieces = calloc(tokens.count, sizeof *r->pieces);
    if (!r->pieces)
        return error_set(r->error, "not enough memory for %zu tokens", tokens.count);
    for (size_t i = 0; i < tokens.count; i++) {
        int32_t type = TOKEN_NORMAL;
        float score = 0;
        if (types.count)
            memcpy(&type, types.data + 4 * i, sizeof type);
        if (scores.count)
            memcpy(&score, scores.data + 4 * i, sizeof score);
        if (tokens.texts[i].size > UINT32_MAX)
            return error_set(r->error, KEY("tokens") "[%zu] has %zu bytes; expected fewer", i,
                             tokens.texts[i].size);
        if (type < TOKEN_NORMAL || type > TOKEN_BYTE)
            return error_set(r->error, KEY("token_type") "[%zu] = %d; expected 1 to 6", i, type);
        r->pieces[i] = (struct vocabulary_piece){tokens.texts[i].data, (uint32_t)tokens.texts[i].size,
                                                 score, (enum token_type)type};
    }
    if (types.count == 0)
        add_note(r, "the file has no types of tokens (" KEY("token_type") "): all of them are text");
    return true;
}

/* ---- merges ---------------------------------------------------------------------------------- */

/* A merge is two pieces with a space between, which neither may be; the left one is not empty. */
static bool read_merges(struct reading *r)
{
    struct gguf_array merges;
    if (r->family->model != VOCABULARY_BPE)
        return true;
    if (!gguf_array(r->gguf, KEY("merges"), GGUF_STRING, &merges, r->error))
        return false;
    if (merges.count == 0)
        return error_set(r->error, KEY("merges") " is %s; expected the pairs that %s merges",
                         gguf_has(r->gguf, KEY("merges")) ? "empty" : "missing", r->family->name);
    r->v.merges = r->merges = calloc(merges.count + 1, sizeof *r->merges);
    if (!r->merges)
        return error_set(r->error, "not enough memory for %zu merges", merges.count);
    for (size_t i = 0; i < merges.count; i++) {
        const struct gguf_text *m = &merges.texts[i];
        const char *space = m->size > 2 ? memchr(m->data + 1, ' ', m->size - 2) : NULL;
        if (!space || m->size > UINT32_MAX)
            return error_set(r->error, KEY("merges") "[%zu] = '%.*s'; expected two pieces with a space "
                                       "between", i, (int)(m->size < 60 ? m->size : 60), m->data);
        size_t left = (size_t)(space - m->data);
        r->merges[i] = (struct merge){m->data, space + 1, (uint32_t)left, (uint32_t)(m->size - left - 1)};
    }
    r->v.merge_count = merges.count;
    return true;
}

static bool read_pre(struct reading *r, const struct pretokenizer **pre)
{
    struct gguf_text name;
    *pre = NULL;
    if (r->family->model != VOCABULARY_BPE)
        return true;
    if (!gguf_string(r->gguf, KEY("pre"), &name, r->error))
        return false;
    if (strcmp(r->family->name, "gemma4") == 0) /* which has one only */
        name = (struct gguf_text){.data = r->family->name, .size = strlen(r->family->name)};
    if (name.size == 0) {
        add_note(r, "the file names no pre-tokenizer (" KEY("pre") "): 'default' is used");
        name = (struct gguf_text){.data = "default", .size = 7};
    }
    *pre = pretokenizer_find(name.data, name.size, r->error);
    for (size_t i = 0; *pre && (*pre)->expressions[i] && i < MAX_RULES; i++)
        r->rules[r->v.rule_count++] = (struct split_rule){
            .expression = (*pre)->expressions[i], .size = strlen((*pre)->expressions[i])};
    r->v.rules = r->rules;
    return *pre != NULL;
}

/* ---- special tokens -------------------------------------------------------------------------- */

/* Files say "none" by leaving the key out, or by 2^32 - 1. */
static bool read_id(const struct reading *r, const char *key, int32_t otherwise, int32_t *id)
{
    size_t value, none = UINT32_MAX;
    if (!gguf_size(r->gguf, key, 0, none, none, &value, r->error))
        return false;
    *id = value == none ? -1 : (int32_t)value;
    if (!gguf_has(r->gguf, key) && otherwise >= 0 && (size_t)otherwise < r->v.count)
        *id = otherwise;
    return value == none || value < r->v.count ||
           error_set(r->error, "%s = %zu; expected less than %zu (tokens)", key, value, r->v.count);
}

/* Files of byte-level BPE have the key too, where it means nothing. */
static bool read_space_prefix(struct reading *r)
{
    bool prefix, by_default = r->family->add_space_prefix;
    if (!gguf_bool(r->gguf, KEY("add_space_prefix"), by_default, &prefix, r->error))
        return false;
    r->v.space_prefix = by_default && prefix ? SPACE_ALWAYS : SPACE_NEVER;
    r->v.space_place = SPACE_EVERYWHERE;
    return true;
}

static bool read_specials(struct reading *r, const struct pretokenizer *pre)
{
    struct vocabulary *v = &r->v;
    bool llama = v->model == VOCABULARY_SPM; /* whose files leave out the default 0, 1, 2 */
    bool bos = r->family->add_bos || (pre && pre->adds_bos);
    v->end_count = 2;
    return read_id(r, KEY("unknown_token_id"), llama ? 0 : -1, &v->unknown) &&
           read_id(r, KEY("bos_token_id"), llama ? 1 : -1, &v->bos) &&
           read_id(r, KEY("eos_token_id"), llama ? 2 : -1, &v->eos) &&
           read_id(r, KEY("eot_token_id"), -1, &v->ends[0]) &&
           read_id(r, KEY("eom_token_id"), -1, &v->ends[1]) &&
           gguf_bool(r->gguf, KEY("add_bos_token"), bos, &v->add_bos, r->error) &&
           gguf_bool(r->gguf, KEY("add_eos_token"), false, &v->add_eos, r->error) &&
           read_space_prefix(r);
}

/* What the pre-tokenizer says besides where to cut. */
static void take_pre(struct vocabulary *v, const struct pretokenizer *pre)
{
    v->ignore_merges = pre->ignore_merges;
    v->whole_newlines = pre->spelling == SPELLED_AS_GEMMA;
    v->add_bos = v->add_bos || v->whole_newlines; /* llama.cpp, too, does not believe such files */
    if (pre->spelling == SPELLED_BYTES)
        return;
    v->model = VOCABULARY_SPM;
    v->marks_spaces = pre->spelling >= SPELLED_MARKED;
    v->byte_fallback = true;
}

/* ---- what is odd ----------------------------------------------------------------------------- */

/* llama.cpp knows from the model's name alone that its added tokens take the white space behind them. */
static bool read_strips(struct reading *r)
{
    static const char *const kept[] = {"<unk>", "<s>", "<|endoftext|>"};
    struct gguf_text name;
    if (!gguf_string(r->gguf, "general.name", &name, r->error))
        return false;
    bool strips = false;
    for (size_t i = 0; name.data && i + 4 <= name.size; i++)
        strips = strips || strncasecmp(name.data + i, "phi3", 4) == 0 ||
                 (i + 5 <= name.size && strncasecmp(name.data + i, "phi-3", 5) == 0);
    if (!strips)
        return true;
    r->v.added = r->added = calloc(r->v.count, sizeof *r->added);
    for (size_t i = 0; r->added && i < r->v.count; i++) {
        const struct vocabulary_piece *p = &r->pieces[i];
        bool keeps = false;
        for (size_t k = 0; k < 3; k++)
            keeps = keeps || (strlen(kept[k]) == p->size && memcmp(kept[k], p->text, p->size) == 0);
        bool special = p->type == TOKEN_USER_DEFINED || p->type == TOKEN_CONTROL;
        r->added[i] = special && !keeps ? ADDED_RSTRIP : 0;
    }
    return r->added || error_set(r->error, "not enough memory for %zu tokens", r->v.count);
}

/* Text that spells such a token is text, as llama.cpp does not believe the type. */
static void find_controls(struct reading *r)
{
    for (size_t i = 0; i < r->v.count; i++) {
        struct vocabulary_piece *p = &r->pieces[i];
        const char *key = p->type == TOKEN_USER_DEFINED ? vocabulary_control_key(p->text, p->size) : NULL;
        if (key && !(*key && gguf_has(r->gguf, key)))
            p->type = TOKEN_CONTROL;
    }
}

/* What the file asks for without saying which token that is. */
static void note_gaps(struct reading *r)
{
    if (r->v.add_bos && r->v.bos < 0)
        add_note(r, "the file asks for BOS and names none (" KEY("bos_token_id") "): none is added");
    if (r->v.add_eos && r->v.eos < 0)
        add_note(r, "the file asks for EOS and names none (" KEY("eos_token_id") "): none is added");
}

static void read_chat(struct reading *r)
{
    struct gguf_text template;
    r->v.chat = chat_absent();
    if (!gguf_string(r->gguf, "tokenizer.chat_template", &template, NULL))
        snprintf(r->v.chat.why, sizeof r->v.chat.why, "tokenizer.chat_template is not a string");
    else if (gguf_has(r->gguf, "tokenizer.chat_template"))
        r->v.chat = chat_of_template(template.data, template.size);
}

static bool read_all(struct reading *r)
{
    const struct pretokenizer *pre;
    if (!read_family(r))
        return false;
    r->v.model = r->family->model;
    r->v.byte_fallback = r->family->byte_fallback;
    r->v.fuse_unknown = true;
    r->v.dialect = DIALECT_LLAMA_CPP;
    r->v.marks_spaces = r->family->model == VOCABULARY_SPM;
    if (!read_tokens(r) || !vocabulary_check_texts(&r->v, r->error) || !read_merges(r) || !read_pre(r, &pre) ||
        !read_specials(r, pre) || !read_strips(r))
        return false;
    if (pre)
        take_pre(&r->v, pre);
    find_controls(r);
    read_chat(r);
    note_gaps(r);
    return true;
}

static bool visit_gguf(const struct gguf *gguf, vocabulary_fn *see, void *arg, struct error *error)
{
    struct reading r = {.gguf = gguf, .error = error};
    bool ok = read_all(&r);
    ok = ok && see(arg, &r.v, r.note, error);
    free(r.pieces);
    free(r.added);
    free(r.merges);
    return ok;
}

/* ---- the file -------------------------------------------------------------------------------- */

static bool probe(const uint8_t *data, size_t size)
{
    return size >= 4 && memcmp(data, "GGUF", 4) == 0;
}

static bool visit_bytes(const uint8_t *data, size_t size, vocabulary_fn *see, void *arg, struct error *error)
{
    struct gguf *gguf = gguf_parse(data, size, error);
    bool ok = gguf && visit_gguf(gguf, see, arg, error);
    gguf_close(gguf);
    return ok;
}

/* Of a split model the first part has the vocabulary. */
static bool visit(const uint8_t *data, size_t size, const char *path, vocabulary_fn *see, void *arg,
                  struct error *error)
{
    struct mapped_file file;
    struct gguf *gguf = gguf_parse(data, size, error);
    char *first = gguf ? gguf_first_part(gguf, path) : NULL;
    bool ok = gguf && (first ? mapped_file_open(&file, first, error) : visit_gguf(gguf, see, arg, error));
    gguf_close(gguf);
    if (first && ok) {
        ok = visit_bytes(file.data, file.size, see, arg, error);
        mapped_file_close(&file);
    }
    free(first);
    return ok;
}

const struct tokenizer_format gguf_tokenizer_format = {"a GGUF file", probe, NULL, visit};
