/* BPE over characters as SentencePiece does it (Kudo and Richardson 2018). The pieces spell a space as
 * U+2581; here both that character and the space are a space. */
#include "encoder.h"

#include "base/escape.h"

#include <stdlib.h>
#include <string.h>

static const char marked_space[] = "\xe2\x96\x81";
enum { MARK = sizeof marked_space - 1 };

/* Copies with every U+2581 as a space; returns the bytes written. */
static size_t unmark(const char *text, size_t n, char *out)
{
    size_t written = 0;
    for (size_t i = 0; i < n;) {
        bool mark = n - i >= MARK && memcmp(text + i, marked_space, MARK) == 0;
        out[written++] = mark ? ' ' : text[i];
        i += mark ? MARK : 1;
    }
    return written;
}

static size_t bytes_of(const struct vocabulary_piece *p, char *out)
{
    return unmark(p->text, p->size, out);
}

static char *spell(const struct encoder *e, const char *text, size_t n, size_t *size)
{
    char *out = malloc(n + 2);
    if (!out)
        return NULL;
    out[0] = ' ';
    *size = unmark(text, n, out + 1);
    bool prefix = *size > 0 && (e->space_prefix == SPACE_ALWAYS ||
                                (e->space_prefix == SPACE_IF_MISSING && out[1] != ' '));
    if (!prefix)
        memmove(out, out + 1, *size);
    *size += prefix;
    return out;
}

static bool wants_no_space(const struct encoder *e, const char *text, size_t n)
{
    (void)e, (void)text, (void)n;
    return false; /* only the text as a whole has one */
}

/* Characters; bytes where they are none. */
static bool first_symbols(const struct encoder *e, const char *word, size_t n, struct symbols *symbols)
{
    for (size_t i = 0; i < n;) {
        uint32_t c;
        bool cut;
        size_t length = utf8_read(word + i, n - i, &c, &cut);
        int32_t id = length > 0 ? piece_find(&e->index, word + i, length) : -1;
        length = length > 0 ? length : 1;
        if (!symbols_add(symbols, (struct symbol){id, (uint32_t)i, (uint32_t)length}))
            return false;
        i += length;
    }
    return true;
}

static bool add_unknown(const struct encoder *e, const char *text, size_t n, struct tokens *out)
{
    bool has_all = e->byte_fallback;
    for (size_t i = 0; i < n; i++)
        has_all = has_all && e->bytes[(uint8_t)text[i]] >= 0;
    for (size_t i = 0; has_all && i < n; i++)
        if (!tokens_add(out, e->bytes[(uint8_t)text[i]]))
            return false;
    bool fused = e->fuse_unknown && out->count > 0 && out->ids[out->count - 1] == e->unknown;
    return has_all || e->unknown < 0 || fused || tokens_add(out, e->unknown);
}

static const struct tokenizer_kind kind = {"SentencePiece", encoder_encode, encoder_piece, encoder_close,
                                           false};
const struct encoder_model spm_model = {&kind, bytes_of, spell, wants_no_space, first_symbols, add_unknown,
                                        false};
