#include "encoder.h"

#include "base/escape.h"

#include <stdlib.h>
#include <string.h>

/* ---- merging one word ------------------------------------------------------------------------ */

struct run {
    const struct encoder *encoder;
    struct merger merger;
    struct symbols symbols;
    struct words words;
    struct tokens *out;
    struct error *error;
};

static bool no_memory(const struct run *r)
{
    return error_set(r->error, "not enough memory to tokenize a text");
}

/* What a rule of merging looks at. */
struct word_text {
    const struct encoder *encoder;
    const char *text;
};

static bool pair_by_score(const void *context, const struct symbol *left, const struct symbol *right,
                          struct merged_pair *out)
{
    const struct word_text *w = context;
    int32_t id = piece_find(&w->encoder->index, w->text + left->start,
                            (size_t)left->size + right->size);
    if (id < 0)
        return false;
    *out = (struct merged_pair){(double)w->encoder->pieces[id].score, id};
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

static bool add_word(struct run *r, const char *word, size_t n)
{
    const struct encoder *e = r->encoder;
    int32_t whole = e->ignore_merges && e->model->byte_level ? piece_find(&e->index, word, n) : -1;
    if (whole >= 0)
        return tokens_add(r->out, whole) || no_memory(r);
    struct word_text text = {e, word};
    struct merge_rule rule = {e->pairs.slots ? pair_by_rank : pair_by_score, &text};
    r->symbols.count = 0;
    if (!e->model->first_symbols(e, word, n, &r->symbols) ||
        !merge_symbols(&r->merger, &rule, r->symbols.items, &r->symbols.count))
        return no_memory(r);
    for (size_t i = 0; i < r->symbols.count; i++) {
        const struct symbol *s = &r->symbols.items[i];
        if (s->id >= 0 ? !tokens_add(r->out, s->id)
                       : !e->model->add_unknown(e, word + s->start, s->size, r->out))
            return no_memory(r);
    }
    return true;
}

/* ---- words ----------------------------------------------------------------------------------- */

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

static bool add_words(struct run *r, const char *text, size_t n)
{
    r->words.count = 0;
    if (!splitter_run(r->encoder->splitter, text, n, &r->words, r->error))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < r->words.count; i++)
        ok = add_word(r, text + r->words.items[i].start, r->words.items[i].size);
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

static bool add_spaced(struct run *r, const char *text, size_t n)
{
    const struct encoder *e = r->encoder;
    if (!e->model->wants_space(e, text, n))
        return add_plain_text(r, text, n);
    char *copy = malloc(n + 1);
    if (!copy)
        return no_memory(r);
    copy[0] = ' ';
    memcpy(copy + 1, text, n);
    bool ok = add_plain_text(r, copy, n + 1);
    free(copy);
    return ok;
}

static bool add_text(struct run *r, const char *text, size_t n)
{
    const struct encoder *e = r->encoder;
    for (size_t at = 0; at < n;) {
        int32_t id;
        size_t before = matcher_next(&e->user_defined, text + at, n - at, &id);
        if (!add_spaced(r, text + at, before))
            return false;
        if (id >= 0 && !tokens_add(r->out, id))
            return no_memory(r);
        at += before + (id >= 0 ? e->pieces[id].size : 0);
    }
    return true;
}

bool encoder_encode(const struct tokenizer *t, const char *text, size_t n, struct tokens *out,
                    struct error *error)
{
    const struct encoder *e = t->state;
    struct run r = {.encoder = e, .out = out, .error = error};
    size_t size = 0, before = out->count;
    if (n > INT32_MAX / 2)
        return error_set(error, "a text of %zu bytes; expected at most %d", n, INT32_MAX / 2);
    char *spelled = e->model->spell(e, text, n, &size);
    bool ok = spelled ? add_text(&r, spelled, size) : no_memory(&r);
    if (!ok)
        out->count = before;
    free(spelled);
    free(r.symbols.items);
    free(r.words.items);
    merger_free(&r.merger);
    return ok;
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
    matcher_close(&e->user_defined);
    pair_index_close(&e->pairs);
    splitter_free(e->splitter);
    free(e->arena);
    free(e->pieces);
    free(e);
}
