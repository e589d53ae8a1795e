/* The tokenizer of llama2.c (Karpathy 2023): a list of pieces with scores. Encoding splits text into
 * characters (bytes where a character is not a piece), then merges the adjacent pair whose piece has
 * the highest score, the leftmost of equals, until no pair is a piece. */
#include "encoder.h"
#include "vocabulary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ID_UNKNOWN = 0, ID_BOS = 1, ID_EOS = 2, FIRST_BYTE = 3, BYTES_END = FIRST_BYTE + 256 };

struct piece_list {
    char *bytes;
    struct vocabulary_piece *pieces; /* by id */
    struct piece_index index;        /* those that a text can become */
};

/* ---- reading --------------------------------------------------------------------------------- */

static bool probe(const uint8_t *data, size_t size)
{
    (void)data;
    return size > 0; /* no magic number: open says what is wrong */
}

static int32_t int_at(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Special tokens and bytes are not made from text: a text that spells "</s>" is that text. */
static enum token_type type_of(size_t id, const char *text, size_t size)
{
    return id == ID_UNKNOWN ? TOKEN_UNKNOWN : id <= ID_EOS ? TOKEN_CONTROL
           : byte_of_piece(text, size) >= 0 ? TOKEN_BYTE : TOKEN_NORMAL;
}

/* Reads the entries; with pieces null it only checks and counts them. */
static bool read_pieces(const uint8_t *data, size_t size, struct piece_list *v, size_t *count,
                 struct error *error)
{
    if (size < 4)
        return error_set(error, "tokenizer header: %zu bytes; expected at least 4", size);
    int32_t longest = int_at(data);
    if (longest < 1 || (size_t)longest > size)
        return error_set(error, "tokenizer header: max_token_length = %d; expected 1 to %zu", longest,
                         size);
    size_t n = 0, at = 4;
    for (char *text = v->bytes; at < size; n++) {
        if (size - at < 8)
            return error_set(error, "tokenizer: token %zu is cut off at the end of the file", n);
        float score;
        memcpy(&score, data + at, sizeof score);
        int32_t length = int_at(data + at + 4);
        at += 8;
        if (length < 0 || length > longest)
            return error_set(error, "tokenizer: token %zu has length %d; expected 0 to %d "
                                    "(max_token_length)", n, length, longest);
        if ((size_t)length > size - at)
            return error_set(error, "tokenizer: token %zu has length %d; %zu bytes are left", n,
                             length, size - at);
        if (isnan(score))
            return error_set(error, "tokenizer: token %zu has score NaN; expected a number", n);
        if (v->pieces) {
            memcpy(text, data + at, (size_t)length);
            v->pieces[n] = (struct vocabulary_piece){text, (uint32_t)length, score,
                                                     type_of(n, text, (size_t)length)};
            text += length;
        }
        at += (size_t)length;
    }
    *count = n;
    return true;
}

static void close_state(struct tokenizer *t)
{
    struct piece_list *v = t->state;
    if (!v)
        return;
    piece_index_close(&v->index);
    free(v->bytes);
    free(v->pieces);
    free(v);
}

/* ---- encoding -------------------------------------------------------------------------------- */

/* A pair merges where the texts of its pieces, one after the other, are a piece. */
static bool pair(const void *context, const struct symbol *left, const struct symbol *right,
                 struct merged_pair *out)
{
    const struct piece_list *v = context;
    const struct vocabulary_piece *a = &v->pieces[left->id], *b = &v->pieces[right->id];
    int32_t id = piece_find2(&v->index, a->text, a->size, b->text, b->size);
    if (id >= 0)
        *out = (struct merged_pair){(double)v->pieces[id].score, id};
    return id >= 0;
}

/* Bytes of the character that begins a text: a lead byte and at most three continuations, whether
 * or not they are valid together. */
static size_t character_length(const char *text, size_t n)
{
    size_t length = 1;
    while (length < n && length < 4 && ((uint8_t)text[length] & 0xc0) == 0x80)
        length++;
    return length;
}

static bool add_id(struct symbols *out, int32_t id)
{
    return symbols_add(out, (struct symbol){.id = id});
}

/* The characters of the text as tokens, with the space that SentencePiece puts in front. */
static bool split(const struct tokenizer *t, const char *text, size_t n, struct symbols *out)
{
    const struct piece_list *v = t->state;
    int32_t space = piece_find(&v->index, " ", 1);
    if (n > 0 && space >= 0 && !add_id(out, space))
        return false;
    for (size_t i = 0; i < n;) {
        size_t length = character_length(text + i, n - i);
        int32_t id = piece_find(&v->index, text + i, length);
        if (id >= 0 && !add_id(out, id))
            return false;
        for (size_t k = 0; id < 0 && k < length; k++) {
            bool has_bytes = t->vocab >= BYTES_END;
            if (!add_id(out, has_bytes ? FIRST_BYTE + (uint8_t)text[i + k] : ID_UNKNOWN))
                return false;
        }
        i += length;
    }
    return true;
}

static bool encode(const struct tokenizer *t, const char *text, size_t n, struct tokens *out,
                   struct error *error)
{
    struct symbols symbols = {0};
    struct merger merger = {0};
    struct merge_rule rule = {pair, t->state};
    bool ok = n < INT32_MAX / 2 && split(t, text, n, &symbols) &&
              merge_symbols(&merger, &rule, symbols.items, &symbols.count);
    for (size_t i = 0; ok && i < symbols.count; i++)
        ok = tokens_add(out, symbols.items[i].id);
    free(symbols.items);
    merger_free(&merger);
    return ok || error_set(error, "not enough memory to tokenize %zu bytes", n);
}

/* ---- decoding -------------------------------------------------------------------------------- */

static const char *piece(const struct tokenizer *t, int32_t previous, int32_t id, size_t *n,
                         char buffer[1])
{
    const struct vocabulary_piece *p = &((const struct piece_list *)t->state)->pieces[id];
    *n = p->size;
    if (p->type == TOKEN_CONTROL)
        return *n = 0, "";
    int byte = byte_of_piece(p->text, p->size);
    if (byte >= 0) {
        *buffer = (char)byte;
        return *n = 1, buffer;
    }
    bool first = previous == ID_BOS || previous == TOKEN_FIRST;
    bool leading = first && p->size > 0 && p->text[0] == ' ';
    *n -= leading;
    return p->text + leading;
}

/* ---- the kind and its file ------------------------------------------------------------------- */

static const struct tokenizer_kind kind = {"llama2.c", encode, piece, close_state, true, NULL};

static bool fill(struct tokenizer *t, struct piece_list *v, const uint8_t *data, size_t size,
                 struct error *error)
{
    if (!read_pieces(data, size, v, &t->vocab, error))
        return false;
    if (t->vocab <= ID_EOS)
        return error_set(error, "tokenizer: %zu tokens; expected at least 3 (unknown, BOS, EOS)",
                         t->vocab);
    v->bytes = malloc(size);
    v->pieces = calloc(t->vocab, sizeof *v->pieces);
    return (v->bytes && v->pieces && read_pieces(data, size, v, &t->vocab, error) &&
            piece_index_open(&v->index, v->pieces, t->vocab, 1u << TOKEN_NORMAL)) ||
           error_set(error, "not enough memory for %zu tokens", t->vocab);
}

static struct tokenizer *open_data(const uint8_t *data, size_t size, const char *path,
                                   struct error *error)
{
    (void)path;
    struct tokenizer *t = calloc(1, sizeof *t);
    struct piece_list *v = calloc(1, sizeof *v);
    if (!t || !v) {
        free(t);
        free(v);
        error_set(error, "not enough memory");
        return NULL;
    }
    *t = (struct tokenizer){.kind = &kind, .bos = ID_BOS, .eos = ID_EOS, .adds_bos = true, .chat = chat_absent(),
                            .state = v};
    if (fill(t, v, data, size, error))
        return t;
    tokenizer_close(t);
    return NULL;
}

/* The same pieces as SentencePiece has them, from which such files are made: with U+2581 for spaces, and
 * without the lines around BOS and EOS. */
static bool visit(const uint8_t *data, size_t size, const char *path, vocabulary_fn *see, void *arg,
                  struct error *error)
{
    static const char mark[] = MARKED_SPACE;
    static const struct normal_step steps[] = {
        {NORMAL_PREPEND, .to = mark, .to_size = 3},
        {NORMAL_REPLACE, .from = " ", .from_size = 1, .to = mark, .to_size = 3}};
    struct tokenizer *t = open_data(data, size, path, error);
    struct piece_list *v = t ? t->state : NULL;
    char *texts = v ? malloc(3 * size + 1) : NULL, *to = texts;
    for (size_t i = 0; texts && i < t->vocab; i++) {
        struct vocabulary_piece *p = &v->pieces[i];
        const char *from = p->text;
        bool special = i == ID_BOS || i == ID_EOS;
        p->text = to;
        for (size_t k = 0; k < p->size; k++)
            if (from[k] == ' ')
                to = (char *)memcpy(to, mark, 3) + 3;
            else if (!special || from[k] != '\n')
                *to++ = from[k];
        p->size = (uint32_t)(to - p->text);
    }
    if (t && !texts)
        error_set(error, "not enough memory for %zu tokens", t->vocab);
    bool ok = texts && see(arg, &(struct vocabulary){.model = VOCABULARY_SPM, .pieces = v->pieces,
                                                     .count = t->vocab, .bos = ID_BOS, .eos = ID_EOS,
                                                     .unknown = ID_UNKNOWN, .add_bos = true,
                                                     .space_prefix = SPACE_ALWAYS, .steps = steps,
                                                     .step_count = 2,
                                                     .byte_fallback = t->vocab >= BYTES_END}, "", error);
    tokenizer_close(t);
    free(texts);
    return ok;
}

const struct tokenizer_format llama2c_tokenizer_format = {"a llama2.c tokenizer.bin", probe, open_data, visit};
