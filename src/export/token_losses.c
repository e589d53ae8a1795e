#include "token_losses.h"

#include "tokenizer/added.h"
#include "tokenizer/lookup.h"

#include <stdlib.h>
#include <string.h>

/* ---- what a vocabulary is like --------------------------------------------------------------- */

static bool is(const char *a, size_t n, const char *b)
{
    return n == strlen(b) && memcmp(a, b, n) == 0;
}

static bool puts_space(const struct normal_step *s)
{
    return s->action == NORMAL_PREPEND && is(s->to, s->to_size, MARKED_SPACE);
}

static bool marks_spaces(const struct normal_step *s)
{
    return s->action == NORMAL_REPLACE && is(s->from, s->from_size, " ") && is(s->to, s->to_size, MARKED_SPACE);
}

static bool has_step(const struct vocabulary *v, bool (*test)(const struct normal_step *))
{
    bool has = false;
    for (size_t i = 0; i < v->step_count; i++)
        has = has || test(&v->steps[i]);
    return has;
}

/* Whether a token that texts are searched for has one of the bits; 0: whether there is one. */
static bool has_added(const struct vocabulary *v, unsigned bits)
{
    bool has = false;
    for (size_t i = 0; i < v->count; i++)
        has = has || (v->pieces[i].type == TOKEN_USER_DEFINED && (bits == 0 || (vocabulary_added(v, i) & bits)));
    return has;
}

/* ---- what is lost ---------------------------------------------------------------------------- */

static bool strips(const struct vocabulary *v)
{
    return has_added(v, ADDED_LSTRIP | ADDED_RSTRIP);
}

static bool single_words(const struct vocabulary *v)
{
    return has_added(v, ADDED_SINGLE_WORD);
}

static bool named_control(const struct vocabulary *v)
{
    bool has = false;
    for (size_t i = 0; i < v->count; i++) {
        const struct vocabulary_piece *p = &v->pieces[i];
        has = has || (p->type == TOKEN_USER_DEFINED && vocabulary_control_key(p->text, p->size));
    }
    return has;
}

static bool normalized(const struct vocabulary *v)
{
    return v->step_count > 0 && has_added(v, ADDED_NORMALIZED);
}

static bool form(const struct vocabulary *v)
{
    bool has = false;
    for (size_t i = 0; i < v->step_count; i++)
        has = has || v->steps[i].action == NORMAL_FORM || v->steps[i].action == NORMAL_CHARSMAP;
    return has;
}

static bool squeezes(const struct vocabulary *v)
{
    bool has = false;
    for (size_t i = 0; i < v->step_count; i++)
        has = has || v->steps[i].action == NORMAL_SQUEEZE;
    return has;
}

static bool replaces(const struct vocabulary *v)
{
    bool spm = v->model == VOCABULARY_SPM, has = false;
    for (size_t i = 0; i < v->step_count; i++) {
        const struct normal_step *s = &v->steps[i];
        bool known = spm && (puts_space(s) || marks_spaces(s));
        has = has || (!known && (s->action == NORMAL_REPLACE || s->action == NORMAL_PREPEND));
    }
    return has;
}

static bool space_if_missing(const struct vocabulary *v)
{
    return v->space_prefix == SPACE_IF_MISSING;
}

/* llama.cpp puts one behind each added token, too, and none before one. */
static bool space_at_start(const struct vocabulary *v)
{
    bool start = v->space_place == SPACE_AT_START ||
                 (v->dialect == DIALECT_SENTENCEPIECE && v->space_place == SPACE_BY_STEPS);
    return v->space_prefix != SPACE_NEVER && start && has_added(v, 0);
}

static bool unmarked(const struct vocabulary *v)
{
    return !v->marks_spaces && !has_step(v, marks_spaces);
}

static bool unused(const struct vocabulary *v)
{
    bool has = false;
    for (size_t i = 0; i < v->count; i++)
        has = has || (v->dialect == DIALECT_SENTENCEPIECE && v->pieces[i].type == TOKEN_UNUSED);
    return has;
}

static bool few_bytes(const struct vocabulary *v)
{
    bool found[256] = {false};
    size_t count = 0;
    for (size_t i = 0; i < v->count; i++) {
        int byte = v->pieces[i].type == TOKEN_BYTE ? byte_of_piece(v->pieces[i].text, v->pieces[i].size) : -1;
        count += byte >= 0 && !found[byte];
        if (byte >= 0)
            found[byte] = true;
    }
    return !v->byte_fallback || count < 256;
}

static bool ignores_merges(const struct vocabulary *v)
{
    return v->ignore_merges;
}

/* Whether words are cut before spaces, and a piece has one inside. */
static bool inner_spaces(const struct vocabulary *v)
{
    bool has = false;
    for (size_t i = 0; v->rule_count > 0 && i < v->count; i++) {
        const struct vocabulary_piece *p = &v->pieces[i];
        has = has || (p->type == TOKEN_NORMAL && p->size > 1 && memmem(p->text + 1, p->size - 1, MARKED_SPACE, 3));
    }
    return has;
}

/* The bytes of byte-level BPE, which llama.cpp leaves out where they are no token. */
static bool unknown_bytes(const struct vocabulary *v)
{
    struct piece_index pieces;
    bool all = piece_index_open(&pieces, v->pieces, v->count, 1u << TOKEN_NORMAL);
    for (int byte = 0; all && byte < 256; byte++) {
        char text[2];
        all = piece_find(&pieces, text, character_of_byte((uint8_t)byte, text)) >= 0;
    }
    piece_index_close(&pieces);
    return v->unknown >= 0 && !all;
}

/* ---- the order in which added tokens are looked for ------------------------------------------ */

enum { MAX_ADDED = 512 }; /* that are compared with each other */

/* How the tokenizer looks for added tokens, before and behind normalization, and how llama.cpp does. */
struct orders {
    struct added here[2], there;
};

/* Adds what is cut again of the texts between tokens. */
static bool cut_again(const struct added *a, const char *text, const struct sections *from, struct sections *out)
{
    bool ok = true;
    for (size_t i = 0; ok && i < from->count; i++) {
        const struct section *s = &from->items[i];
        size_t before = out->count;
        ok = s->id >= 0 ? sections_add(out, s->start, s->start + s->size, s->id)
                        : added_cut(a, text + s->start, s->size, NULL, out);
        for (size_t k = before; s->id < 0 && k < out->count; k++)
            out->items[k].start += s->start;
    }
    return ok;
}

static bool same_cuts(const struct orders *o, const char *text, size_t n)
{
    struct sections first = {0}, here = {0}, there = {0};
    bool same = added_cut(&o->here[0], text, n, NULL, &first) && cut_again(&o->here[1], text, &first, &here) &&
                added_cut(&o->there, text, n, NULL, &there) && here.count == there.count;
    for (size_t i = 0; same && i < here.count; i++)
        same = here.items[i].id == there.items[i].id && here.items[i].start == there.items[i].start;
    free(first.items);
    free(here.items);
    free(there.items);
    return same;
}

/* Texts in which the end of one token is the beginning of another. */
static bool same_overlaps(const struct orders *o, const struct vocabulary_piece *p, const struct vocabulary_piece *q)
{
    struct text_buffer text = {0};
    bool same = true;
    for (uint32_t k = 1; same && k < p->size && k < q->size; k++) {
        if (memcmp(p->text + p->size - k, q->text, k) != 0)
            continue;
        text.size = 0;
        same = text_add(&text, p->text, p->size - k) && text_add(&text, q->text, q->size) &&
               same_cuts(o, text.bytes, text.size);
    }
    free(text.bytes);
    return same;
}

/* Each token by itself, which may have another inside, and each with each; of control tokens, too, as they hide
 * others. */
static bool same_order(const struct orders *o, const struct added *first, const struct added *second)
{
    bool same = true;
    for (size_t i = 0; same && i < first->count; i++) {
        same = same_cuts(o, first->patterns[i].text, first->patterns[i].size);
        for (size_t k = 0; same && k < second->count; k++)
            same = same_overlaps(o, &first->patterns[i], &second->patterns[k]);
    }
    return same;
}

static bool other_order(const struct vocabulary *v)
{
    struct vocabulary here = *v, there = *v;
    struct orders o = {0};
    here.step_count = 0; /* a note of its own */
    there.added = NULL;
    there.dialect = DIALECT_LLAMA_CPP;
    bool same = v->dialect == DIALECT_LLAMA_CPP ||
                (added_open(&o.here[0], &here, ADDED_IN_TEXT) && added_open(&o.here[1], &here, ADDED_IN_NORMALIZED) &&
                 added_open(&o.there, &there, ADDED_IN_TEXT));
    bool few = o.here[0].count + o.here[1].count <= MAX_ADDED;
    for (size_t i = 0; same && few && i < 4; i++)
        same = same_order(&o, &o.here[i / 2], &o.here[i % 2]);
    added_close(&o.here[0]);
    added_close(&o.here[1]);
    added_close(&o.there);
    return !same;
}

/* ---- merges as scores ------------------------------------------------------------------------ */

struct merge_check {
    struct piece_index names;
    struct pair_index pairs;
};

/* llama.cpp merges any two pieces that are one together: each such pair must be a merge, next to those that make the
 * same piece. */
static bool scored(const struct vocabulary *v, const struct merge_check *c, int32_t id, uint32_t *ranks)
{
    const struct vocabulary_piece *p = &v->pieces[id];
    uint32_t low = UINT32_MAX, high = 0, count = 0, rank;
    for (size_t cut = 1; cut < p->size; cut++) {
        int32_t made, left = piece_find(&c->names, p->text, cut),
                right = left < 0 ? -1 : piece_find(&c->names, p->text + cut, p->size - cut);
        if (right < 0)
            continue;
        if (!pair_find(&c->pairs, left, right, &rank, &made))
            return false;
        low = rank < low ? rank : low;
        high = rank > high ? rank : high;
        count++;
    }
    *ranks = count;
    return count == 0 || high - low + 1 == count;
}

static void add_pairs(const struct vocabulary *v, struct merge_check *c)
{
    for (size_t i = 0; i < v->merge_count; i++) {
        const struct merge *m = &v->merges[i];
        int32_t left = piece_find(&c->names, m->left, m->left_size),
                right = piece_find(&c->names, m->right, m->right_size);
        if (left >= 0 && right >= 0)
            pair_add(&c->pairs, left, right, (uint32_t)i, 0, true);
    }
}

static bool other_merges(const struct vocabulary *v)
{
    struct merge_check c = {0};
    bool same = v->dialect != DIALECT_HUGGING_FACE;
    if (!same && piece_index_open(&c.names, v->pieces, v->count, 1u << TOKEN_NORMAL) &&
        pair_index_open(&c.pairs, v->merge_count)) {
        uint32_t ranks;
        add_pairs(v, &c);
        same = true;
        for (size_t i = 0; same && i < v->count; i++)
            same = v->pieces[i].type != TOKEN_NORMAL || scored(v, &c, (int32_t)i, &ranks);
    }
    piece_index_close(&c.names);
    pair_index_close(&c.pairs);
    return !same;
}

/* ---- all ------------------------------------------------------------------------------------- */

enum { SPM = 1 << VOCABULARY_SPM, BPE = 1 << VOCABULARY_BPE };

static const struct loss {
    bool (*lost)(const struct vocabulary *);
    unsigned models;
    const char *what;
} losses[] = {
    {strips, SPM | BPE, "added tokens that take white space (lstrip, rstrip) leave it in the text there"},
    {single_words, SPM | BPE, "added tokens that are single words (single_word) are found inside words there"},
    {normalized, SPM | BPE,
     "added tokens that are looked for in normalized text (normalized) are looked for before that there"},
    {named_control, SPM | BPE,
     "an added token that a text may spell (</s> or the like) is a control token there, by its name"},
    {other_order, SPM | BPE, "of added tokens that overlap in a text the first is found; GGUF's is the longest"},
    {form, SPM | BPE, "text is normalized (NFC, NFKC or the like), which GGUF has no key for"},
    {squeezes, SPM, "extra spaces are removed, which GGUF has no key for"},
    {replaces, SPM | BPE, "text is replaced by the normalizer, which GGUF has no key for"},
    {space_if_missing, SPM, "the tokenizer puts a space before a text that begins with none; GGUF's always does"},
    {space_if_missing, BPE, "the tokenizer puts a space before a text that begins with none; GGUF's never does"},
    {space_at_start, SPM, "only the beginning of a text gets a space; GGUF's puts one behind each added token"},
    {unmarked, SPM, "spaces are not written as U+2581; GGUF's are"},
    {unused, SPM, "unused pieces are tokens in GGUF"},
    {few_bytes, SPM, "not all bytes have a token: llama.cpp fails at a character without one"},
    {unknown_bytes, BPE, "bytes without a token are the unknown token; GGUF's are left out"},
    {ignores_merges, SPM, "a word that is a piece is that piece (ignore_merges); GGUF's is merged"},
    {inner_spaces, SPM, "words are cut before spaces; GGUF's pieces with a space inside span words"},
    {other_merges, SPM, "the merges are not in an order of scores, as which GGUF has them"},
};

/* Cuts that do nothing or that GGUF's texts do not need: at spaces, which are marked. */
static bool is_cut_at_spaces(const struct split_rule *r)
{
    return r->literal && (is(r->expression, r->size, " ") || is(r->expression, r->size, MARKED_SPACE)) &&
           r->behavior != SPLIT_REMOVED;
}

bool token_losses(struct export *job, const struct vocabulary *v, struct error *error)
{
    bool spm = v->model == VOCABULARY_SPM;
    if (spm && v->dialect == DIALECT_LLAMA_CPP && v->merge_count > 0)
        return error_set(error, "the tokenizer merges characters by rank, as gemma4 does; expected llama's scores or "
                                "gpt2's bytes (-z FILE names another)");
    for (size_t i = 0; spm && i < v->rule_count; i++)
        if (!is_cut_at_spaces(&v->rules[i]))
            return error_set(error, "the tokenizer cuts texts into words, which llama's in GGUF does not; expected one "
                                    "that does not (-z FILE names another)");
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
        if ((losses[i].models >> v->model & 1) && losses[i].lost(v))
            export_note_add(job, "tokenizer: %s", losses[i].what);
    return true;
}
