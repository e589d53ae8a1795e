/* BPE over characters as SentencePiece does it (Kudo and Richardson 2018). The pieces spell a space as U+2581. */
#include "encoder.h"

#include "base/escape.h"

#include <string.h>

enum { MARK = sizeof MARKED_SPACE - 1 };

static size_t bytes_of(const struct vocabulary_piece *p, char *out)
{
    size_t written = 0;
    for (size_t i = 0; i < p->size;) {
        bool mark = p->size - i >= MARK && memcmp(p->text + i, MARKED_SPACE, MARK) == 0;
        out[written++] = mark ? ' ' : p->text[i];
        i += mark ? MARK : 1;
    }
    return written;
}

/* A character, or a byte of what is none. */
static size_t character(const char *word, size_t n)
{
    uint32_t c;
    bool cut;
    size_t length = utf8_read(word, n, &c, &cut);
    return length > 0 ? length : 1;
}

static const struct tokenizer_kind kind = {"SentencePiece", encoder_encode, encoder_piece, encoder_close, false,
                                           encoder_encode_special};
const struct encoder_model spm_model = {&kind, bytes_of, character, MARKED_SPACE, false};
