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

static size_t one_byte(const char *word, size_t n)
{
    (void)word, (void)n;
    return 1;
}

static const struct tokenizer_kind kind = {"byte-level BPE", encoder_encode, encoder_piece,
                                           encoder_close, false, encoder_encode_special};
const struct encoder_model bpe_model = {&kind, bytes_of, one_byte, " ", true};
