/* Vocabularies of both models, made of the input: a byte of flags, the number of pieces with the dialect above it, each
 * piece as type, score (whose low bits are those of added tokens), length and bytes; pairs of pieces that merge, up to a zero;
 * the rest is the text. */
#include "tokenizers.h"

#include "tokenizer/vocabulary.h"

enum { MOST = 64 };

struct input {
    const uint8_t *at, *end;
};

static unsigned next(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static size_t read_pieces(struct input *in, struct vocabulary_piece *pieces, uint8_t *added, unsigned *high)
{
    unsigned first = next(in);
    size_t count = first % MOST;
    *high = first / MOST;
    for (size_t i = 0; i < count; i++) {
        unsigned type = next(in), score = next(in), size = next(in) % 12;
        size_t left = (size_t)(in->end - in->at);
        size = size > left ? (unsigned)left : size;
        added[i] = score & 31;
        pieces[i] = (struct vocabulary_piece){(const char *)in->at, size, (float)score,
                                              (enum token_type)(type % 7 + (type % 7 == 0 && type < 250))};
        in->at += size;
    }
    return count;
}

static size_t read_merges(struct input *in, const struct vocabulary_piece *pieces, size_t count, struct merge *merges)
{
    size_t n = 0;
    for (unsigned left; count > 0 && n < MOST && (left = next(in)) != 0; n++) {
        const struct vocabulary_piece *a = &pieces[left % count], *b = &pieces[next(in) % count];
        merges[n] = (struct merge){a->text, b->text, a->size, b->size};
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char expression[] = "[a-z]+| ?\\p{L}+|\\s+(?!\\S)|\\s";
    static const struct split_rule rule = {expression, sizeof expression - 1, false, false, SPLIT_ISOLATED};
    struct input in = {data, data + size};
    struct vocabulary_piece pieces[MOST];
    struct merge merges[MOST];
    struct error error = {""};
    unsigned flags = next(&in);
    struct vocabulary v = {.model = flags & 1 ? VOCABULARY_BPE : VOCABULARY_SPM, .pieces = pieces, .bos = -1, .eos = -1,
                           .unknown = flags & 2 ? 0 : -1, .merges = merges, .rules = &rule, .rule_count = flags >> 2 & 1,
                           .space_prefix = (enum space_prefix)((flags >> 3 & 3) % 3), .byte_fallback = flags >> 5 & 1,
                           .fuse_unknown = flags >> 6 & 1, .ignore_merges = flags >> 7 & 1};
    static const struct normal_step steps[] = {{.action = NORMAL_FORM, .form = FORM_NFKC}, {.action = NORMAL_SQUEEZE},
                                               {NORMAL_PREPEND, .to = MARKED_SPACE, .to_size = 3},
                                               {NORMAL_REPLACE, .from = " ", .from_size = 1, .to = "_", .to_size = 1}};
    uint8_t added[MOST];
    unsigned high;
    v.count = read_pieces(&in, pieces, added, &high);
    v.added = added;
    v.dialect = (enum dialect)(high % 3);
    v.steps = steps;
    v.step_count = high == 3 ? 4 : 0;
    v.marks_spaces = v.byte_fallback;
    v.whole_newlines = v.fuse_unknown;
    v.space_place = v.ignore_merges ? SPACE_AT_START : SPACE_EVERYWHERE;
    v.merge_count = read_merges(&in, pieces, v.count, merges);
    struct tokenizer *t = vocabulary_tokenizer(&v, &error);
    fuzz_accepted(t, error.text);
    if (t)
        fuzz_encode(t, (const char *)in.at, (size_t)(in.end - in.at), false);
    else
        FUZZ_PROMISE(*error.text);
    tokenizer_close(t);
    return 0;
}

#define SEED(bytes) fuzz_seed(bytes, sizeof bytes - 1)

void fuzz_seeds(void)
{
    SEED("\x05\x04\1\0\1a\1\0\1b\1\1\2ab\4\0\2xy\4\1\0abxy ab\xff");
    SEED("\x2a\x05\2\0\1u\1\2\1a\1\2\1b\1\1\2ab\6\0\6<0x41>\0abA ab\xff");
    SEED("\xa5\x84\4\1\1a\4\2\1b\4\4\2ab\1\1\1 \0 a b ab a");
    SEED("\x65\xc4\4\1\1a\4\2\1b\4\12\2ab\1\1\1 \0 a b ab a");
    SEED("\x08\x03\1\2\1a\1\2\1 \1\1\2 a\0 a a  a");
}
