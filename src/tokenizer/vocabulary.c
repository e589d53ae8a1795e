#include "vocabulary.h"

#include "encoder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct encoder_model *const models[VOCABULARY_MODELS] = {
    [VOCABULARY_SPM] = &spm_model, [VOCABULARY_BPE] = &bpe_model};

/* Control tokens that end a text or a turn, in whatever vocabulary they are found. */
static const char *const end_names[] = {
    "<|eot_id|>",    "<|im_end|>",         "<|end|>",   "<end_of_turn>", "<|endoftext|>",
    "<|end_of_text|>", "<|eom_id|>",       "<EOT>",     "[EOT]",         "<|end_of_turn|>",
    "<|endofturn|>", "<｜end▁of▁sentence｜>", "<end_of_utterance>"};

static int shown(size_t n)
{
    return n < 60 ? (int)n : 60;
}

/* ---- checking -------------------------------------------------------------------------------- */

static bool check_id(int32_t id, const char *name, const struct vocabulary *v, struct error *error)
{
    return (id >= -1 && (id < 0 || (size_t)id < v->count)) ||
           error_set(error, "tokenizer: %s is token %d; expected less than %zu (tokens)", name, id,
                     v->count);
}

static bool check_pieces(const struct vocabulary *v, struct error *error)
{
    for (size_t i = 0; i < v->count; i++) {
        const struct vocabulary_piece *p = &v->pieces[i];
        if (p->type < TOKEN_NORMAL || p->type > TOKEN_BYTE)
            return error_set(error, "tokenizer: token %zu has type %d; expected 1 to 6", i, (int)p->type);
        if (isnan(p->score))
            return error_set(error, "tokenizer: token %zu has score NaN; expected a number", i);
    }
    return true;
}

bool vocabulary_check_texts(const struct vocabulary *v, struct error *error)
{
    struct piece_index first;
    if (!piece_index_open(&first, v->pieces, v->count, ~0u))
        return error_set(error, "not enough memory for %zu tokens", v->count);
    bool ok = true;
    for (size_t i = 0; ok && i < v->count; i++) {
        const struct vocabulary_piece *p = &v->pieces[i];
        int32_t other = p->size ? piece_find(&first, p->text, p->size) : (int32_t)i;
        ok = other == (int32_t)i || other < 0 ||
             error_set(error, "tokenizer: token %zu '%.*s' is also token %d; expected a text of its own for each", i,
                       shown(p->size), p->text, other);
    }
    piece_index_close(&first);
    return ok;
}

static bool check(const struct vocabulary *v, struct error *error)
{
    if (v->count == 0 || v->count > INT32_MAX)
        return error_set(error, "tokenizer: %zu tokens; expected 1 to %d", v->count, INT32_MAX);
    if (v->merge_count > UINT32_MAX / 4)
        return error_set(error, "tokenizer: %zu merges; expected fewer", v->merge_count);
    bool ok = check_id(v->bos, "BOS", v, error) && check_id(v->eos, "EOS", v, error) &&
              check_id(v->unknown, "the unknown token", v, error) && check_pieces(v, error);
    for (size_t i = 0; ok && i < v->end_count; i++)
        ok = check_id(v->ends[i], "the end of a turn", v, error);
    return ok;
}

static bool is_ascii(const char *text, size_t n)
{
    bool ascii = true;
    for (size_t i = 0; i < n; i++)
        ascii = ascii && (uint8_t)text[i] > ' ' && (uint8_t)text[i] < 0x7f;
    return ascii;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static bool no_memory(const struct vocabulary *v, struct error *error)
{
    return error_set(error, "not enough memory for %zu tokens", v->count);
}

static size_t copy_text(const struct vocabulary_piece *p, char *out)
{
    memcpy(out, p->text, p->size);
    return p->size;
}

/* A copy of the pieces, their texts as `spell` writes them. */
static bool copy_pieces(const struct vocabulary *v, size_t (*spell)(const struct vocabulary_piece *, char *),
                        struct vocabulary_piece **pieces, char **arena)
{
    size_t bytes = 0;
    bool fits = true;
    for (size_t i = 0; i < v->count; i++)
        fits = fits && !__builtin_add_overflow(bytes, v->pieces[i].size, &bytes);
    *arena = fits ? malloc(bytes + 1) : NULL;
    *pieces = calloc(v->count, sizeof **pieces);
    char *at = *arena;
    for (size_t i = 0; at && *pieces && i < v->count; i++) {
        struct vocabulary_piece *p = &(*pieces)[i];
        *p = v->pieces[i];
        bool misspelt = p->type == TOKEN_BYTE && byte_of_piece(p->text, p->size) < 0;
        p->type = misspelt ? TOKEN_NORMAL : p->type; /* it is what it says */
        p->size = p->size ? (uint32_t)spell(&v->pieces[i], at) : 0;
        p->text = at;
        at += p->size;
    }
    return at && *pieces;
}

/* What no word becomes: tokens outside the model, and pieces of byte-level BPE with other characters than its own,
 * whose copies are the text itself. */
static void leave_out(struct encoder *e, const struct vocabulary *v)
{
    for (size_t i = 0; i < v->count; i++) {
        const struct vocabulary_piece *p = &v->pieces[i], *copy = &e->spelled[i];
        bool foreign = e->model->byte_level && copy->size == p->size && !is_ascii(p->text, p->size);
        if ((vocabulary_added(v, i) & ADDED_OUTSIDE) || foreign)
            e->spelled[i].type = p->type == TOKEN_CONTROL ? p->type : TOKEN_UNKNOWN;
    }
}

static bool index_pieces(struct encoder *e, const struct vocabulary *v, struct error *error)
{
    const unsigned types = 1u << TOKEN_NORMAL | 1u << TOKEN_USER_DEFINED | 1u << TOKEN_UNUSED;
    bool ok = copy_pieces(v, e->model->bytes_of, &e->pieces, &e->arena);
    e->spelled = e->pieces;
    if (ok && !e->model->byte_level)
        ok = copy_pieces(v, copy_text, &e->spelled, &e->spelled_arena);
    if (!ok)
        return no_memory(v, error);
    e->count = v->count;
    leave_out(e, v);
    for (size_t i = 0; i < v->count; i++)
        e->has_unused = e->has_unused || (v->dialect == DIALECT_SENTENCEPIECE && e->spelled[i].type == TOKEN_UNUSED);
    return piece_index_open(&e->index, e->spelled, e->count, types) || no_memory(v, error);
}

/* The token of each byte: by its type, and in llama.cpp's dialect by its name, or as the byte itself. */
static void find_bytes(struct encoder *e, const struct vocabulary *v)
{
    bool by_name = v->dialect == DIALECT_LLAMA_CPP;
    memset(e->bytes, 0xff, sizeof e->bytes);
    for (int byte = 0; e->model->byte_level && byte < 256; byte++)
        e->bytes[byte] = piece_find(&e->index, &(char){(char)byte}, 1);
    for (size_t i = 0; !e->model->byte_level && i < v->count; i++) {
        const struct vocabulary_piece *p = &e->spelled[i];
        int byte = p->type == TOKEN_BYTE || by_name ? byte_of_piece(p->text, p->size) : -1;
        if (byte >= 0 && e->bytes[byte] < 0)
            e->bytes[byte] = (int32_t)i;
    }
    for (int byte = 0; !e->model->byte_level && by_name && byte < 0x80; byte++)
        if (e->bytes[byte] < 0)
            e->bytes[byte] = piece_find(&e->index, &(char){(char)byte}, 1);
}

/* SentencePiece normalizes user-defined tokens with the text, and looks for them behind that. */
static bool find_added(struct encoder *e, const struct vocabulary *v, struct error *error)
{
    struct vocabulary raw = *v;
    bool behind = v->dialect == DIALECT_SENTENCEPIECE;
    raw.step_count = behind ? 0 : v->step_count;
    return (added_open(&e->added[behind], &raw, ADDED_IN_TEXT) &&
            (behind || added_open(&e->added[1], v, ADDED_IN_NORMALIZED)) &&
            added_open(&e->special, v, ADDED_WITH_CONTROL)) || no_memory(v, error);
}

/* The steps with texts of their own. */
static bool copy_steps(struct encoder *e, const struct vocabulary *v, struct error *error)
{
    size_t bytes = 1;
    for (size_t i = 0; i < v->step_count; i++)
        bytes += (size_t)v->steps[i].from_size + v->steps[i].to_size;
    e->steps = calloc(v->step_count + 1, sizeof *e->steps);
    char *at = e->step_texts = malloc(bytes);
    if (!e->steps || !at)
        return no_memory(v, error);
    for (size_t i = 0; i < v->step_count; i++) {
        struct normal_step *s = &e->steps[i];
        *s = v->steps[i];
        s->from = s->from_size ? memcpy(at, s->from, s->from_size) : "";
        at += s->from_size;
        s->to = s->to_size ? memcpy(at, s->to, s->to_size) : "";
        at += s->to_size;
    }
    e->step_count = v->step_count;
    return true;
}

/* ---- merges ---------------------------------------------------------------------------------- */

static bool absent(const char *part, const struct merge *m, size_t number, struct error *error)
{
    return error_set(error, "tokenizer: merge %zu '%.*s %.*s': %s is not a token; expected a token of the "
                            "vocabulary", number, shown(m->left_size), m->left, shown(m->right_size),
                     m->right, part);
}

static bool index_merges(struct encoder *e, const struct vocabulary *v, struct error *error)
{
    struct piece_index names; /* as the file spells them */
    if (v->model == VOCABULARY_SPM && v->merge_count == 0 && v->dialect != DIALECT_HUGGING_FACE)
        return true;
    if (!pair_index_open(&e->pairs, v->merge_count) ||
        !piece_index_open(&names, v->pieces, v->count, ~0u))
        return error_set(error, "not enough memory for %zu merges", v->merge_count);
    bool ok = true, last = v->dialect == DIALECT_HUGGING_FACE; /* of equals counts */
    for (size_t i = 0; ok && i < v->merge_count; i++) {
        const struct merge *m = &v->merges[i];
        int32_t left = piece_find(&names, m->left, m->left_size);
        int32_t right = piece_find(&names, m->right, m->right_size);
        int32_t both = piece_find2(&names, m->left, m->left_size, m->right, m->right_size);
        if (left < 0 || right < 0 || both < 0)
            ok = absent(left < 0 ? "its left part" : right < 0 ? "its right part" : "what it makes", m, i,
                        error);
        else
            pair_add(&e->pairs, left, right, (uint32_t)i, both, last);
    }
    piece_index_close(&names);
    return ok;
}

/* ---- the tokenizer --------------------------------------------------------------------------- */

static void add_end(struct tokenizer *t, int32_t id)
{
    bool known = id < 0 || id == t->eos || t->end_count == MAX_ENDS;
    for (size_t i = 0; i < t->end_count; i++)
        known = known || t->ends[i] == id;
    if (!known)
        t->ends[t->end_count++] = id;
}

/* The token of that text which a text may spell, or -1. */
static int32_t spelled_token(const struct tokenizer *t, const char *text)
{
    const struct encoder *e = t->state;
    const struct added *const stages[] = {&e->special, &e->added[0], &e->added[1]};
    int32_t id = -1;
    for (size_t i = 0; id < 0 && i < 3; i++) {
        const struct added *a = stages[i];
        int32_t k = a->matcher.pieces ? matcher_longest(&a->matcher, text, strlen(text)) : -1;
        id = k >= 0 && a->patterns[k].size == strlen(text) ? a->ids[k] : -1;
    }
    return id;
}

/* Takes the family of a chat template whose tokens the vocabulary has, and with it what ends a turn. */
static void find_chat(struct tokenizer *t, const struct vocabulary *v)
{
    const struct chat_family *f = v->chat.family;
    t->chat = f || *v->chat.why ? v->chat : chat_absent();
    for (size_t i = 0; t->chat.family && i < CHAT_TOKENS && f->tokens[i]; i++)
        if (spelled_token(t, f->tokens[i]) < 0) {
            t->chat.family = NULL;
            snprintf(t->chat.why, sizeof t->chat.why,
                     "the vocabulary has no token '%s', which the chat template %s needs", f->tokens[i], f->name);
        }
    for (size_t i = 0; t->chat.family && i < CHAT_ENDS && f->ends[i]; i++)
        add_end(t, spelled_token(t, f->ends[i]));
}

static void find_ends(struct tokenizer *t, const struct vocabulary *v)
{
    for (size_t i = 0; i < v->end_count; i++)
        if (v->ends[i] >= 0 && !chat_goes_on(t->chat.family, v->pieces[v->ends[i]].text, v->pieces[v->ends[i]].size))
            add_end(t, v->ends[i]);
    for (size_t i = 0; i < v->count; i++) {
        const struct vocabulary_piece *p = &v->pieces[i];
        bool special = (p->type == TOKEN_CONTROL || p->type == TOKEN_USER_DEFINED) &&
                       !chat_goes_on(t->chat.family, p->text, p->size);
        for (size_t k = 0; special && k < sizeof end_names / sizeof *end_names; k++)
            if (strlen(end_names[k]) == p->size && memcmp(end_names[k], p->text, p->size) == 0)
                add_end(t, (int32_t)i);
    }
}

static bool fill(struct encoder *e, const struct vocabulary *v, struct error *error)
{
    e->model = models[v->model];
    e->dialect = v->dialect;
    e->unknown = v->unknown;
    e->space_prefix = v->space_prefix;
    e->space_place = v->space_place;
    e->marks_spaces = v->marks_spaces;
    e->byte_fallback = v->byte_fallback;
    e->fuse_unknown = v->fuse_unknown;
    e->ignore_merges = v->ignore_merges;
    e->whole_newlines = v->whole_newlines;
    if (!index_pieces(e, v, error))
        return false;
    find_bytes(e, v);
    size_t on_text = v->rule_count - v->byte_rules;
    return find_added(e, v, error) && copy_steps(e, v, error) && index_merges(e, v, error) &&
           (v->rule_count == 0 || (e->splitter = splitter_create(v->rules, on_text, error))) &&
           (v->byte_rules == 0 || (e->byte_splitter = splitter_create(v->rules + on_text, v->byte_rules, error)));
}

struct tokenizer *vocabulary_tokenizer(const struct vocabulary *v, struct error *error)
{
    if (!check(v, error))
        return NULL;
    struct tokenizer *t = calloc(1, sizeof *t);
    struct encoder *e = calloc(1, sizeof *e);
    if (!t || !e) {
        free(t);
        free(e);
        error_set(error, "not enough memory");
        return NULL;
    }
    *t = (struct tokenizer){.kind = models[v->model]->kind, .vocab = v->count, .bos = v->bos,
                            .eos = v->eos, .adds_bos = v->add_bos && v->bos >= 0,
                            .adds_eos = v->add_eos && v->eos >= 0, .state = e};
    if (fill(e, v, error)) {
        find_chat(t, v);
        find_ends(t, v);
        return t;
    }
    tokenizer_close(t);
    return NULL;
}

/* How many of the bytes that UTF-8 uses become no token of their own, though they should. */
static size_t missing_bytes(const struct encoder *e)
{
    size_t missing = 0;
    for (int byte = 0; byte < 0xf5; byte++)
        missing += e->bytes[byte] < 0 && byte != 0xc0 && byte != 0xc1;
    return missing;
}

static bool add_notes(struct tokenizer *t, const struct vocabulary *v, const char *note)
{
    const struct encoder *e = t->state;
    size_t missing = e->model->byte_level || e->byte_fallback ? missing_bytes(e) : 0;
    bool dropped = e->unknown < 0 || (e->dialect == DIALECT_LLAMA_CPP && e->pairs.slots);
    bool ok = !*note || tokenizer_add_note(t, "%s", note);
    return ok && (missing == 0 || v->dialect != DIALECT_LLAMA_CPP ||
                  tokenizer_add_note(t, "%zu of the 256 byte values have no token: where a text has them, they are %s",
                                     missing, dropped ? "left out" : "the unknown token"));
}

bool vocabulary_open(void *arg, const struct vocabulary *v, const char *note, struct error *error)
{
    struct tokenizer **t = arg;
    *t = vocabulary_tokenizer(v, error);
    if (!*t || add_notes(*t, v, note))
        return *t != NULL;
    tokenizer_close(*t);
    *t = NULL;
    return error_set(error, "not enough memory");
}
