#include "vocabulary.h"

#include "encoder.h"

#include <math.h>
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

/* ---- pieces ---------------------------------------------------------------------------------- */

/* The pieces as the bytes that they stand for. */
static bool copy_pieces(struct encoder *e, const struct vocabulary *v, struct error *error)
{
    size_t bytes = 0;
    bool fits = true;
    for (size_t i = 0; i < v->count; i++)
        fits = fits && !__builtin_add_overflow(bytes, v->pieces[i].size, &bytes);
    e->arena = fits ? malloc(bytes + 1) : NULL;
    e->pieces = calloc(v->count, sizeof *e->pieces);
    if (!e->arena || !e->pieces)
        return error_set(error, "not enough memory for %zu tokens", v->count);
    char *at = e->arena;
    for (size_t i = 0; i < v->count; i++) {
        struct vocabulary_piece *p = &e->pieces[i];
        *p = v->pieces[i];
        int byte = byte_of_piece(p->text, p->size);
        if (p->type == TOKEN_BYTE && byte < 0)
            p->type = TOKEN_NORMAL; /* misspelt: it is what it says */
        p->size = (uint32_t)e->model->bytes_of(&v->pieces[i], at);
        p->text = at;
        at += p->size;
        if (p->type == TOKEN_BYTE && e->bytes[byte] < 0)
            e->bytes[byte] = (int32_t)i;
    }
    e->count = v->count;
    return true;
}

static bool index_pieces(struct encoder *e, struct error *error)
{
    if (!piece_index_open(&e->index, e->pieces, e->count, 1u << TOKEN_NORMAL | 1u << TOKEN_USER_DEFINED) ||
        !matcher_open(&e->user_defined, e->pieces, e->count, TOKEN_USER_DEFINED))
        return error_set(error, "not enough memory for %zu tokens", e->count);
    for (int byte = 0; e->model->byte_level && byte < 256; byte++)
        e->bytes[byte] = piece_find(&e->index, &(char){(char)byte}, 1);
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
    if (v->model == VOCABULARY_SPM && v->merge_count == 0)
        return true;
    if (!pair_index_open(&e->pairs, v->merge_count) ||
        !piece_index_open(&names, v->pieces, v->count, ~0u))
        return error_set(error, "not enough memory for %zu merges", v->merge_count);
    bool ok = true;
    for (size_t i = 0; ok && i < v->merge_count; i++) {
        const struct merge *m = &v->merges[i];
        int32_t left = piece_find(&names, m->left, m->left_size);
        int32_t right = piece_find(&names, m->right, m->right_size);
        int32_t both = piece_find2(&names, m->left, m->left_size, m->right, m->right_size);
        if (left < 0 || right < 0 || both < 0)
            ok = absent(left < 0 ? "its left part" : right < 0 ? "its right part" : "what it makes", m, i,
                        error);
        else
            pair_add(&e->pairs, left, right, (uint32_t)i, both); /* the first of equals counts */
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

static void find_ends(struct tokenizer *t, const struct vocabulary *v)
{
    for (size_t i = 0; i < v->end_count; i++)
        add_end(t, v->ends[i]);
    for (size_t i = 0; i < v->count; i++) {
        const struct vocabulary_piece *p = &v->pieces[i];
        bool special = p->type == TOKEN_CONTROL || p->type == TOKEN_USER_DEFINED;
        for (size_t k = 0; special && k < sizeof end_names / sizeof *end_names; k++)
            if (strlen(end_names[k]) == p->size && memcmp(end_names[k], p->text, p->size) == 0)
                add_end(t, (int32_t)i);
    }
}

static bool fill(struct encoder *e, const struct vocabulary *v, struct error *error)
{
    e->model = models[v->model];
    e->unknown = v->unknown;
    e->space_prefix = v->space_prefix;
    e->byte_fallback = v->byte_fallback;
    e->fuse_unknown = v->fuse_unknown;
    e->ignore_merges = v->ignore_merges;
    memset(e->bytes, 0xff, sizeof e->bytes);
    return copy_pieces(e, v, error) && index_pieces(e, error) && index_merges(e, v, error) &&
           (v->rule_count == 0 || (e->splitter = splitter_create(v->rules, v->rule_count, error)));
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
        find_ends(t, v);
        return t;
    }
    tokenizer_close(t);
    return NULL;
}

bool vocabulary_open(void *arg, const struct vocabulary *v, const char *note, struct error *error)
{
    struct tokenizer **t = arg;
    *t = vocabulary_tokenizer(v, error);
    if (!*t || !*note || tokenizer_add_note(*t, "%s", note))
        return *t != NULL;
    tokenizer_close(*t);
    *t = NULL;
    return error_set(error, "not enough memory");
}
