/* tokenizer.model: SentencePiece's protobuf (sentencepiece_model.proto). Only what is needed is read, with a
 * reader of the wire format (protobuf encoding guide) that checks every length. */
#include "charsmap.h"
#include "chat_file.h"
#include "vocabulary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Numbers of the fields, from the .proto. */
enum { MODEL_PIECES = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3 };
enum { PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_TYPE = 3 };
enum { TRAINER_MODEL_TYPE = 3, TRAINER_SUFFIX = 24, TRAINER_BYTE_FALLBACK = 35, TRAINER_UNK = 40, TRAINER_BOS,
       TRAINER_EOS };
enum { NORMALIZER_NAME = 1, NORMALIZER_CHARSMAP = 2, NORMALIZER_DUMMY_PREFIX = 3, NORMALIZER_EXTRA_SPACES,
       NORMALIZER_ESCAPE };
enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };
enum { TYPE_UNIGRAM = 1, TYPE_BPE, TYPE_WORD, TYPE_CHAR };

/* A message, or what is left of one. */
struct span {
    const uint8_t *data;
    size_t size;
};

struct field {
    uint32_t number;
    enum wire wire;
    uint64_t value;    /* a varint, or the bits of a fixed one */
    struct span bytes; /* of WIRE_BYTES */
};

static bool read_varint(struct span *s, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && s->size > 0; shift += 7) {
        uint8_t byte = *s->data++;
        s->size--;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool read_fixed(struct span *s, size_t bytes, uint64_t *value)
{
    if (s->size < bytes)
        return false;
    *value = 0;
    memcpy(value, s->data, bytes); /* little-endian, as this machine */
    s->data += bytes;
    s->size -= bytes;
    return true;
}

/* Takes the next field off a message that is not empty; false where it is not well-formed. */
static bool read_field(struct span *s, struct field *f)
{
    uint64_t tag;
    if (!read_varint(s, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX)
        return false;
    *f = (struct field){.number = (uint32_t)(tag >> 3), .wire = (enum wire)(tag & 7)};
    switch (f->wire) {
    case WIRE_VARINT: return read_varint(s, &f->value);
    case WIRE_64: return read_fixed(s, 8, &f->value);
    case WIRE_32: return read_fixed(s, 4, &f->value);
    case WIRE_BYTES:
        if (!read_varint(s, &f->value) || f->value > s->size)
            return false;
        f->bytes = (struct span){s->data, (size_t)f->value};
        s->data += f->value;
        s->size -= (size_t)f->value;
        return true;
    default: return false;
    }
}

/* ---- the messages ---------------------------------------------------------------------------- */

struct reading {
    struct error *error;
    struct vocabulary v;
    struct vocabulary_piece *pieces;
    struct normal_step steps[4];
    size_t unknowns; /* pieces of that type */
    int64_t model_type;
    struct span normalizer, charsmap; /* its name, and what it does */
    bool removes_spaces, keeps_spaces, has_suffix; /* extra ones; as they are, not as U+2581; behind a text */
};

static bool broken(const struct reading *r, const char *what, const struct span *rest)
{
    return error_set(r->error, "%s is cut off or malformed %zu bytes before its end; "
                               "expected a protobuf field", what, rest->size);
}

static bool read_piece(struct reading *r, struct span s, size_t number)
{
    struct vocabulary_piece p = {.text = "", .type = TOKEN_NORMAL};
    uint64_t type = TOKEN_NORMAL;
    while (s.size > 0) {
        struct field f;
        if (!read_field(&s, &f))
            return broken(r, "a piece", &s);
        if (f.number == PIECE_TEXT && f.wire == WIRE_BYTES && f.bytes.size <= UINT32_MAX) {
            p.text = (const char *)f.bytes.data;
            p.size = (uint32_t)f.bytes.size;
        } else if (f.number == PIECE_SCORE && f.wire == WIRE_32) {
            uint32_t bits = (uint32_t)f.value;
            memcpy(&p.score, &bits, sizeof p.score);
        } else if (f.number == PIECE_TYPE && f.wire == WIRE_VARINT) {
            type = f.value;
        }
    }
    if (type < TOKEN_NORMAL || type > TOKEN_BYTE)
        return error_set(r->error, "piece %zu has type %llu; expected 1 to 6", number,
                         (unsigned long long)type);
    p.type = (enum token_type)type;
    r->pieces[number] = p;
    if (p.type == TOKEN_UNKNOWN) {
        r->v.unknown = (int32_t)number;
        r->unknowns++;
    }
    return p.size > 0 || error_set(r->error, "piece %zu is empty; expected a text", number);
}

/* An id of the trainer: -1, a 64-bit two's complement number, says that there is none. */
static int32_t id_of(uint64_t value)
{
    return value > INT32_MAX ? -1 : (int32_t)value;
}

static bool read_trainer(struct reading *r, struct span s)
{
    while (s.size > 0) {
        struct field f;
        if (!read_field(&s, &f))
            return broken(r, "trainer_spec", &s);
        if (f.wire != WIRE_VARINT)
            continue;
        switch (f.number) {
        case TRAINER_MODEL_TYPE: r->model_type = f.value > TYPE_CHAR ? 0 : (int64_t)f.value; break;
        case TRAINER_BYTE_FALLBACK: r->v.byte_fallback = f.value != 0; break;
        case TRAINER_SUFFIX: r->has_suffix = f.value != 0; break;
        case TRAINER_UNK: r->v.unknown = id_of(f.value); break;
        case TRAINER_BOS: r->v.bos = id_of(f.value); break;
        case TRAINER_EOS: r->v.eos = id_of(f.value); break;
        default: break;
        }
    }
    return true;
}

static bool read_normalizer(struct reading *r, struct span s)
{
    while (s.size > 0) {
        struct field f;
        if (!read_field(&s, &f))
            return broken(r, "normalizer_spec", &s);
        if (f.number == NORMALIZER_NAME && f.wire == WIRE_BYTES)
            r->normalizer = f.bytes;
        else if (f.number == NORMALIZER_CHARSMAP && f.wire == WIRE_BYTES)
            r->charsmap = f.bytes;
        else if (f.number == NORMALIZER_DUMMY_PREFIX && f.wire == WIRE_VARINT)
            r->v.space_prefix = f.value != 0 ? SPACE_ALWAYS : SPACE_NEVER;
        else if (f.number == NORMALIZER_EXTRA_SPACES && f.wire == WIRE_VARINT)
            r->removes_spaces = f.value != 0;
        else if (f.number == NORMALIZER_ESCAPE && f.wire == WIRE_VARINT)
            r->keeps_spaces = f.value == 0;
    }
    return true;
}

/* Reads the model; with pieces null it only counts them. */
static bool read_file(struct reading *r, struct span s)
{
    size_t n = 0;
    while (s.size > 0) {
        struct field f;
        if (!read_field(&s, &f))
            return broken(r, "the file", &s);
        if (f.wire != WIRE_BYTES)
            continue;
        bool ok = true;
        if (f.number == MODEL_PIECES) {
            ok = !r->pieces || read_piece(r, f.bytes, n);
            n++;
        } else if (f.number == MODEL_TRAINER) {
            ok = read_trainer(r, f.bytes);
        } else if (f.number == MODEL_NORMALIZER) {
            ok = read_normalizer(r, f.bytes);
        }
        if (!ok)
            return false;
    }
    r->v.count = n;
    return true;
}

static bool check_model(const struct reading *r)
{
    static const char *const names[] = {"of an unknown number", "Unigram", "BPE", "Word", "Char"};
    if (r->model_type != TYPE_BPE)
        return error_set(r->error, "trainer_spec.model_type is %s; expected BPE", names[r->model_type]);
    if (r->has_suffix)
        return error_set(r->error, "trainer_spec.treat_whitespace_as_suffix is true; expected false");
    if (r->keeps_spaces)
        return error_set(r->error, "normalizer_spec.escape_whitespaces is false; expected true");
    return r->charsmap.size == 0 || (r->charsmap.size <= TEXT_MOST / 2 &&
                                     charsmap_check((const char *)r->charsmap.data, r->charsmap.size)) ||
           error_set(r->error, "normalizer_spec.precompiled_charsmap of %zu bytes is malformed; expected a trie and "
                               "its texts", r->charsmap.size);
}

/* What the library refuses, too (model_interface.cc): it would not know which of two pieces or bytes is meant. */
static bool check_pieces(const struct reading *r)
{
    bool bytes[256] = {false};
    size_t found = 0;
    for (size_t i = 0; i < r->v.count; i++) {
        const struct vocabulary_piece *p = &r->pieces[i];
        int byte = p->type == TOKEN_BYTE ? byte_of_piece(p->text, p->size) : -1;
        if (p->type == TOKEN_BYTE && byte < 0)
            return error_set(r->error, "piece %zu is of type byte, but not one of <0x00> to <0xFF>", i);
        found += byte >= 0 && !bytes[byte];
        if (byte >= 0)
            bytes[byte] = true;
    }
    if (r->v.byte_fallback ? found != 256 : found != 0)
        return error_set(r->error, "trainer_spec.byte_fallback is %s, with %zu pieces of type byte; expected %s",
                         r->v.byte_fallback ? "true" : "false", found, r->v.byte_fallback ? "256" : "none");
    return r->unknowns == 1 || error_set(r->error, "%zu pieces are of type unknown; expected one", r->unknowns);
}

/* In the library's order: characters, extra spaces, the space in front, spaces as U+2581. */
static void make_steps(struct reading *r)
{
    struct normal_step *to = r->steps;
    const struct span *map = &r->charsmap;
    if (map->size > 0)
        *to++ = (struct normal_step){NORMAL_CHARSMAP, .from = (const char *)map->data,
                                     .from_size = (uint32_t)map->size};
    if (r->removes_spaces)
        *to++ = (struct normal_step){.action = NORMAL_SQUEEZE};
    if (r->v.space_prefix == SPACE_ALWAYS)
        *to++ = (struct normal_step){NORMAL_PREPEND, .to = MARKED_SPACE, .to_size = 3};
    *to++ = (struct normal_step){NORMAL_REPLACE, .from = " ", .from_size = 1, .to = MARKED_SPACE, .to_size = 3};
    r->v.steps = r->steps;
    r->v.step_count = (size_t)(to - r->steps);
}

/* ---- the file -------------------------------------------------------------------------------- */

/* A first field 1 that is a message whose own first field is 1: a piece with its text. */
static bool probe(const uint8_t *data, size_t size)
{
    struct span s = {data, size};
    struct field model, piece;
    return read_field(&s, &model) && model.number == MODEL_PIECES && model.wire == WIRE_BYTES &&
           model.bytes.size > 0 && read_field(&model.bytes, &piece) && piece.number == PIECE_TEXT &&
           piece.wire == WIRE_BYTES;
}

static bool visit(const uint8_t *data, size_t size, const char *path, vocabulary_fn *see, void *arg,
                  struct error *error)
{
    /* what the .proto says of fields that are absent; no file says whether BOS is added, all programs do */
    struct reading r = {.error = error, .model_type = TYPE_UNIGRAM, .removes_spaces = true,
                        .v = {.model = VOCABULARY_SPM, .bos = 1, .eos = 2, .add_bos = true,
                              .space_prefix = SPACE_ALWAYS, .fuse_unknown = true}};
    struct span file = {data, size};
    bool ok = read_file(&r, file) && check_model(&r);
    r.v.pieces = r.pieces = ok ? calloc(r.v.count + 1, sizeof *r.pieces) : NULL;
    if (ok && !r.pieces)
        ok = error_set(error, "not enough memory for %zu tokens", r.v.count);
    ok = ok && read_file(&r, file) && check_pieces(&r) && vocabulary_check_texts(&r.v, error);
    make_steps(&r);
    r.v.chat = ok ? chat_beside(path) : chat_absent();
    ok = ok && see(arg, &r.v, "", error);
    free(r.pieces);
    return ok;
}

const struct tokenizer_format sentencepiece_tokenizer_format = {"a SentencePiece tokenizer.model", probe,
                                                                NULL, visit};
