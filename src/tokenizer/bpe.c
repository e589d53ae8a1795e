/* Byte-level BPE (Radford et al. 2019). Its files write each byte as a printable character: the ones that
 * print in Latin-1 as themselves, the other 68 from U+0100 on, in order. */
#include "encoder.h"

#include "base/escape.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_MADE = 0x100 };

static bool prints(uint32_t byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte != 0xad);
}

/* The byte that a character stands for, or -1. */
static int byte_of(uint32_t character)
{
    if (character < FIRST_MADE)
        return prints(character) ? (int)character : -1;
    uint32_t order = character - FIRST_MADE;
    for (uint32_t byte = 0; byte < 256; byte++)
        if (!prints(byte) && order-- == 0)
            return (int)byte;
    return -1;
}

/* Added tokens, and pieces with other characters in them, are written as they are. */
static size_t bytes_of(const struct vocabulary_piece *p, char *out)
{
    size_t written = 0;
    for (size_t i = 0; p->type == TOKEN_NORMAL && i < p->size;) {
        uint32_t c;
        bool cut;
        size_t length = utf8_read(p->text + i, p->size - i, &c, &cut);
        int byte = length > 0 ? byte_of(c) : -1;
        if (byte < 0) {
            written = 0;
            break;
        }
        out[written++] = (char)byte;
        i += length;
    }
    if (written > 0 || p->size == 0)
        return written;
    memcpy(out, p->text, p->size);
    return p->size;
}

static char *spell(const struct encoder *e, const char *text, size_t n, size_t *size)
{
    (void)e;
    char *out = malloc(n + 1);
    if (out && n > 0)
        memcpy(out, text, n);
    *size = n;
    return out;
}

static bool wants_space(const struct encoder *e, const char *text, size_t n)
{
    return e->space_prefix == SPACE_IF_MISSING && n > 0 && text[0] != ' ';
}

static bool first_symbols(const struct encoder *e, const char *word, size_t n, struct symbols *symbols)
{
    for (size_t i = 0; i < n; i++)
        if (!symbols_add(symbols, (struct symbol){e->bytes[(uint8_t)word[i]], (uint32_t)i, 1}))
            return false;
    return true;
}

static bool add_unknown(const struct encoder *e, const char *text, size_t n, struct tokens *out)
{
    (void)text, (void)n;
    return e->unknown < 0 || tokens_add(out, e->unknown);
}

static const struct tokenizer_kind kind = {"byte-level BPE", encoder_encode, encoder_piece,
                                           encoder_close, false};
const struct encoder_model bpe_model = {&kind, bytes_of, spell, wants_space, first_symbols, add_unknown,
                                        true};
