#include "encoder.h"

#include "base/escape.h"

#include <stdlib.h>
#include <string.h>

struct run {
    const struct encoder *encoder;
    struct merger merger;
    struct symbols symbols;
    struct words words;
    struct tokens *out;
    uint32_t *cuts;    /* by id of an unused piece: bytes of the left part that it was last made of; or null */
    size_t unknown_at; /* out->count behind an unknown token that may swallow the next; 0: none */
    struct error *error;
};

static bool no_memory(const struct run *r)
{
    return error_set(r->error, "not enough memory to tokenize a text");
}

static bool add_id(struct run *r, int32_t id)
{
    return tokens_add(r->out, id) || no_memory(r);
}

/* ---- merging one word ------------------------------------------------------------------------ */

/* What a rule of merging looks at. */
struct word_text {
    const struct encoder *encoder;
    const char *text;
    uint32_t *cuts;
};

static bool pair_by_score(const void *context, const struct symbol *left, const struct symbol *right,
                          struct merged_pair *out)
{
    const struct word_text *w = context;
    int32_t id = piece_find(&w->encoder->index, w->text + left->start, (size_t)left->size + right->size);
    if (id < 0)
        return false;
    if (w->cuts)
        w->cuts[id] = left->size;
    *out = (struct merged_pair){(double)w->encoder->spelled[id].score, id};
    return true;
}

static bool pair_by_rank(const void *context, const struct symbol *left, const struct symbol *right,
                         struct merged_pair *out)
{
    const struct word_text *w = context;
    uint32_t rank;
    int32_t id;
    if (left->id < 0 || right->id < 0 || !pair_find(&w->encoder->pairs, left->id, right->id, &rank, &id))
        return false;
    *out = (struct merged_pair){-(double)rank, id};
    return true;
}

/* ---- characters without a piece -------------------------------------------------------------- */

static bool has_all_bytes(const struct encoder *e, const char *text, size_t n)
{
    bool all = e->byte_fallback;
    for (size_t i = 0; i < n; i++)
        all = all && e->bytes[(uint8_t)text[i]] >= 0;
    return all;
}

/* One unknown token; SentencePiece makes one of neighbours. */
static bool add_unknown(struct run *r)
{
    const struct encoder *e = r->encoder;
    bool fused = e->fuse_unknown && r->unknown_at > 0 && r->unknown_at == r->out->count;
    if (e->unknown < 0 || fused)
        return true;
    bool ok = add_id(r, e->unknown);
    r->unknown_at = r->out->count;
    return ok;
}

/* What merging left without a token. llama.cpp looks at each byte by itself, and leaves out those that byte-level BPE
 * has no token for. */
static bool add_rest(struct run *r, const char *text, size_t n)
{
    const struct encoder *e = r->encoder;
    bool each = e->dialect == DIALECT_LLAMA_CPP;
    if (!each && !has_all_bytes(e, text, n))
        return add_unknown(r);
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        int32_t id = e->bytes[(uint8_t)text[i]];
        ok = id >= 0 ? add_id(r, id) : e->pairs.slots || add_unknown(r);
    }
    return ok;
}

/* ---- first symbols --------------------------------------------------------------------------- */

/* An unknown character that Hugging Face's BPE holds back until a piece comes: then it takes part in merges. */
struct held {
    bool is, fuse;
    int32_t id;
};

static bool let_go(struct symbols *s, struct held *h)
{
    bool ok = !h->is || symbols_add(s, (struct symbol){.id = h->id});
    h->is = false;
    return ok;
}

/* A character as bytes, or held back as unknown, or nothing; as BPE::merge_word has it. */
static bool add_strange(const struct encoder *e, const char *text, size_t n, struct symbols *s, struct held *h)
{
    if (!e->model->byte_level && has_all_bytes(e, text, n)) {
        for (size_t i = 0; i < n; i++)
            if (!symbols_add(s, (struct symbol){.id = e->bytes[(uint8_t)text[i]]}))
                return false;
        return true;
    }
    if (e->unknown < 0 || (h->is && h->fuse))
        return true;
    bool ok = let_go(s, h);
    h->is = true;
    return ok;
}

static bool first_symbols(struct run *r, const char *word, size_t n)
{
    const struct encoder *e = r->encoder;
    struct held held = {.fuse = e->fuse_unknown, .id = e->unknown};
    bool strange = e->dialect == DIALECT_HUGGING_FACE, ok = true;
    for (size_t i = 0, length; ok && i < n; i += length) {
        length = e->model->symbol(word + i, n - i);
        int32_t id = piece_find(&e->index, word + i, length);
        if (id < 0 && strange)
            ok = add_strange(e, word + i, length, &r->symbols, &held);
        else
            ok = let_go(&r->symbols, &held) &&
                 symbols_add(&r->symbols, (struct symbol){id, (uint32_t)i, (uint32_t)length});
    }
    return (ok && let_go(&r->symbols, &held)) || no_memory(r);
}

/* ---- words ----------------------------------------------------------------------------------- */

static bool is_unused(const struct run *r, int32_t id)
{
    return id >= 0 && r->cuts && r->encoder->spelled[id].type == TOKEN_UNUSED;
}

/* A symbol's token; an unused one as what it was made of (SentencePiece's resegmentation), a character as unknown. */
static bool add_symbol(struct run *r, const char *text, size_t n, int32_t id)
{
    while (is_unused(r, id) && r->cuts[id] > 0) {
        uint32_t left = r->cuts[id];
        if (!add_symbol(r, text, left, piece_find(&r->encoder->index, text, left)))
            return false;
        text += left;
        n -= left;
        id = piece_find(&r->encoder->index, text, n);
    }
    return id >= 0 && !is_unused(r, id) ? add_id(r, id) : add_rest(r, text, n);
}

static bool is_whole(const struct encoder *e, const char *word, size_t n)
{
    bool newlines = e->whole_newlines;
    for (size_t i = 0; i < n && newlines; i++)
        newlines = word[i] == '\n';
    return e->ignore_merges || newlines;
}

static bool add_word(struct run *r, const char *word, size_t n)
{
    const struct encoder *e = r->encoder;
    int32_t whole = is_whole(e, word, n) ? piece_find(&e->index, word, n) : -1;
    if (whole >= 0)
        return add_id(r, whole);
    struct word_text text = {e, word, r->cuts};
    struct merge_rule rule = {e->pairs.slots ? pair_by_rank : pair_by_score, &text};
    r->symbols.count = 0;
    if (!first_symbols(r, word, n))
        return false;
    if (!merge_symbols(&r->merger, &rule, r->symbols.items, &r->symbols.count))
        return no_memory(r);
    bool ok = true;
    for (size_t i = 0; ok && i < r->symbols.count; i++) {
        const struct symbol *s = &r->symbols.items[i];
        ok = add_symbol(r, word + s->start, s->size, s->id);
    }
    return ok;
}

/* Bytes of valid UTF-8 that a text begins with. */
static size_t valid_length(const char *text, size_t n)
{
    size_t at = 0, length;
    uint32_t c;
    bool cut;
    while (at < n && (length = utf8_read(text + at, n - at, &c, &cut)) > 0)
        at += length;
    return at;
}

/* Cuts a word as the characters for its bytes. */
static bool add_byte_words(struct run *r, const char *word, size_t n)
{
    struct text_buffer b = {0};
    struct words words = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        char character[2];
        ok = text_add(&b, character, character_of_byte((uint8_t)word[i], character));
    }
    ok = ok ? splitter_run(r->encoder->byte_splitter, b.bytes, b.size, &words, r->error) : no_memory(r);
    for (size_t i = 0, at = 0, byte = 0; ok && i < words.count; i++) {
        size_t begin = words.items[i].start, end = begin + words.items[i].size, from;
        for (; at < begin; at++) /* a byte for each character */
            byte += ((uint8_t)b.bytes[at] & 0xc0) != 0x80;
        for (from = byte; at < end; at++)
            byte += ((uint8_t)b.bytes[at] & 0xc0) != 0x80;
        ok = add_word(r, word + from, byte - from);
    }
    free(words.items);
    free(b.bytes);
    return ok;
}

static bool add_words(struct run *r, const char *text, size_t n)
{
    bool again = r->encoder->byte_splitter;
    r->words.count = 0;
    if (!splitter_run(r->encoder->splitter, text, n, &r->words, r->error))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < r->words.count; i++)
        ok = (again ? add_byte_words : add_word)(r, text + r->words.items[i].start, r->words.items[i].size);
    return ok;
}

/* A text without user-defined tokens. Bytes that are not UTF-8 are words of their own. */
static bool add_plain_text(struct run *r, const char *text, size_t n)
{
    if (n == 0)
        return true;
    if (!r->encoder->splitter)
        return add_word(r, text, n);
    for (size_t at = 0; at < n;) {
        size_t length = valid_length(text + at, n - at);
        if (length > 0 && !add_words(r, text + at, length))
            return false;
        at += length;
        for (; at < n && valid_length(text + at, n - at) == 0; at++)
            if (!add_word(r, text + at, 1))
                return false;
    }
    return true;
}

/* ---- texts ----------------------------------------------------------------------------------- */

/* Whether a space goes in front; `first`: nothing is before this part of the text. */
static bool wants_space(const struct encoder *e, const char *text, size_t n, bool first)
{
    const char *space = e->model->space;
    size_t size = strlen(space);
    bool here = n > 0 && (e->space_place == SPACE_EVERYWHERE || (first && e->space_place == SPACE_AT_START));
    bool has = n > 0 && ((e->marks_spaces && text[0] == ' ') || (n >= size && memcmp(text, space, size) == 0));
    return here && (e->space_prefix == SPACE_ALWAYS || (e->space_prefix == SPACE_IF_MISSING && !has));
}

/* A part without added tokens, with the space in front and with spaces as pieces spell them. */
static bool add_dressed(struct run *r, const char *text, size_t n, bool first)
{
    static const struct normal_step mark = {NORMAL_REPLACE, 0, " ", MARKED_SPACE, 1, sizeof MARKED_SPACE - 1};
    const struct encoder *e = r->encoder;
    struct text_buffer b = {0};
    bool space = wants_space(e, text, n, first);
    if (!space && !e->marks_spaces)
        return add_plain_text(r, text, n);
    bool ok = !space || text_add(&b, e->model->space, strlen(e->model->space)) || no_memory(r);
    ok = ok && (e->marks_spaces ? normalize(&mark, 1, text, n, NULL, NULL, &b, r->error)
                                : text_add(&b, text, n) || no_memory(r));
    ok = ok && add_plain_text(r, b.bytes, b.size);
    free(b.bytes);
    return ok;
}

/* What `stage` of looking for added tokens leaves is for the next; `first`: the text's beginning. */
static bool add_sections(struct run *r, size_t stage, const char *text, size_t n, bool first);

static bool add_normalized(struct run *r, const char *text, size_t n, bool first)
{
    const struct encoder *e = r->encoder;
    bool keeps = e->dialect == DIALECT_SENTENCEPIECE;
    struct text_buffer b = {0};
    if (e->step_count == 0)
        return add_sections(r, 1, text, n, first);
    bool ok = normalize(e->steps, e->step_count, text, n, keeps ? added_at : NULL, &e->added[1], &b, r->error) &&
              add_sections(r, 1, b.bytes, b.size, first);
    free(b.bytes);
    return ok;
}

static bool add_sections(struct run *r, size_t stage, const char *text, size_t n, bool first)
{
    struct sections s = {0};
    bool ok = added_cut(&r->encoder->added[stage], text, n, NULL, &s) || no_memory(r);
    for (size_t i = 0; ok && i < s.count; i++) {
        const struct section *part = &s.items[i];
        bool begins = first && part->start == 0;
        if (part->id >= 0)
            ok = add_id(r, part->id);
        else if (stage == 0)
            ok = add_normalized(r, text + part->start, part->size, begins);
        else
            ok = add_dressed(r, text + part->start, part->size, begins);
    }
    free(s.items);
    return ok;
}

/* A text that may spell control tokens. */
static bool add_special(struct run *r, const struct special_text *x)
{
    struct sections s = {0};
    bool ok = added_cut(&r->encoder->special, x->text, x->size, &x->plain, &s) || no_memory(r);
    for (size_t i = 0; ok && i < s.count; i++) {
        const struct section *part = &s.items[i];
        bool begins = x->first && part->start == 0;
        ok = part->id >= 0 ? add_id(r, part->id)
                           : add_sections(r, 0, x->text + part->start, part->size, begins);
    }
    free(s.items);
    return ok;
}

/* `special` or, where that is null, n bytes of plain text. */
static bool encode(const struct tokenizer *t, const struct special_text *special, const char *text, size_t n,
                   struct tokens *out, struct error *error)
{
    const struct encoder *e = t->state;
    struct run r = {.encoder = e, .out = out, .error = error};
    size_t before = out->count;
    if (n > INT32_MAX / 2)
        return error_set(error, "a text of %zu bytes; expected at most %d", n, INT32_MAX / 2);
    bool ok = !e->has_unused || (r.cuts = calloc(e->count, sizeof *r.cuts)) || no_memory(&r);
    ok = ok && (special ? add_special(&r, special) : add_sections(&r, 0, text, n, true));
    if (!ok)
        out->count = before;
    free(r.cuts);
    free(r.symbols.items);
    free(r.words.items);
    merger_free(&r.merger);
    return ok;
}

bool encoder_encode(const struct tokenizer *t, const char *text, size_t n, struct tokens *out, struct error *error)
{
    return encode(t, NULL, text, n, out, error);
}

bool encoder_encode_special(const struct tokenizer *t, const struct special_text *text, struct tokens *out,
                            struct error *error)
{
    return encode(t, text, text->text, text->size, out, error);
}

/* ---- and back -------------------------------------------------------------------------------- */

const char *encoder_piece(const struct tokenizer *t, int32_t previous, int32_t id, size_t *n,
                          char buffer[1])
{
    const struct encoder *e = t->state;
    const struct vocabulary_piece *p = &e->pieces[id];
    *n = p->type == TOKEN_CONTROL ? 0 : p->size;
    if (p->type == TOKEN_BYTE) {
        *buffer = (char)byte_of_piece(p->text, p->size);
        return *n = 1, buffer;
    }
    bool first = previous == TOKEN_FIRST || (previous >= 0 && previous == t->bos);
    bool leading = e->space_prefix != SPACE_NEVER && first && *n > 0 && p->text[0] == ' ';
    *n -= leading;
    return p->text + leading;
}

void encoder_close(struct tokenizer *t)
{
    struct encoder *e = t->state;
    if (!e)
        return;
    piece_index_close(&e->index);
    for (size_t i = 0; i < 2; i++)
        added_close(&e->added[i]);
    added_close(&e->special);
    pair_index_close(&e->pairs);
    splitter_free(e->splitter);
    splitter_free(e->byte_splitter);
    free(e->steps);
    free(e->step_texts);
    if (e->spelled != e->pieces)
        free(e->spelled);
    free(e->spelled_arena);
    free(e->arena);
    free(e->pieces);
    free(e);
}
