/* Tokenizers of vocabularies: the ids that other programs give, and what must hold for any text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tokenizer/lookup.h"
#include "tokenizer/matcher.h"
#include "tokenizer/vocabulary.h"
#include "modelfile.h"
#include "support.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static char *folder; /* of this program's files */

static int begin(void **state)
{
    (void)state;
    folder = folder_make();
    return 0;
}

static int end(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

/* ---- what all tests do ----------------------------------------------------------------------- */

static struct tokens encode(const struct tokenizer *t, const char *text, size_t n)
{
    struct error error = {""};
    struct tokens tokens = {0};
    if (!tokenizer_encode(t, text, n, &tokens, &error))
        fail_msg("%s", error.text);
    return tokens;
}

static void print_ids(const char *title, const int32_t *ids, size_t n)
{
    print_error("%s:", title);
    for (size_t i = 0; i < n; i++)
        print_error(" %d", ids[i]);
    print_error("\n");
}

static void check_ids(const struct tokenizer *t, const char *text, size_t n, const int32_t *ids, size_t count)
{
    struct tokens tokens = encode(t, text, n);
    if (tokens.count != count || (count > 0 && memcmp(tokens.ids, ids, count * sizeof *ids) != 0)) {
        print_ids("found   ", tokens.ids, tokens.count);
        print_ids("expected", ids, count);
        fail_msg("text '%.*s'", (int)n, text);
    }
    free(tokens.ids);
}

#define CHECK_IDS(t, text, ...) \
    check_ids(t, text, strlen(text), (const int32_t[]){__VA_ARGS__}, \
              sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

/* What the tokens spell, from the start of a text; the caller frees. */
static char *decode(const struct tokenizer *t, const struct tokens *tokens, size_t *size)
{
    char *out = make(1), buffer[1];
    *size = 0;
    for (size_t i = 0; i < tokens->count; i++) {
        size_t n;
        const char *piece =
            tokenizer_piece(t, i ? tokens->ids[i - 1] : TOKEN_FIRST, tokens->ids[i], &n, buffer);
        out = realloc(out, *size + n + 1);
        assert_non_null(out);
        memcpy(out + *size, piece, n);
        *size += n;
    }
    return out;
}

static void check_round_trip(const struct tokenizer *t, const char *text, size_t n)
{
    struct tokens tokens = encode(t, text, n);
    size_t size;
    char *back = decode(t, &tokens, &size);
    assert_int_equal(size, n);
    assert_memory_equal(back, text, n);
    free(back);
    free(tokens.ids);
}

static struct tokenizer *open_bytes(const char *name, const void *data, size_t size)
{
    char *path = path_in(folder, name);
    struct error error = {""};
    write_file(path, data, size);
    struct tokenizer *t = tokenizer_open(path, &error);
    if (!t)
        fail_msg("%s", error.text);
    free(path);
    return t;
}

/* ---- llama.cpp's vectors --------------------------------------------------------------------- */

static const int32_t *ids_of_line(char **line, size_t *n)
{
    static int32_t ids[4096];
    char *at = *line, *stop = strchr(at, '\n');
    *line = stop ? stop + 1 : at + strlen(at);
    if (stop)
        *stop = 0;
    for (*n = 0; *at && *n < 4096;) {
        char *next;
        long id = strtol(at, &next, 10);
        if (next == at)
            break;
        ids[(*n)++] = (int32_t)id;
        at = next;
    }
    return ids;
}

static struct tokenizer *open_shared(const char *name, char **in, char **out)
{
    char *paths[3];
    static const char *const endings[] = {"", ".inp", ".out"};
    for (int i = 0; i < 3; i++) {
        char full[128];
        snprintf(full, sizeof full, "vocab/%s.gguf%s", name, endings[i]);
        paths[i] = shared_path(full);
    }
    struct error error = {""};
    size_t n;
    struct tokenizer *t = paths[0] ? tokenizer_open(paths[0], &error) : NULL;
    if (paths[0] && !t)
        fail_msg("%s", error.text);
    *in = t ? read_whole(paths[1], &n) : NULL;
    *out = t ? read_whole(paths[2], &n) : NULL;
    for (int i = 0; i < 3; i++)
        free(paths[i]);
    return t;
}

static void check_vectors(const char *name, bool adds_bos)
{
    static const char between[] = "\n__ggml_vocab_test__\n";
    char *in, *out;
    struct tokenizer *t = open_shared(name, &in, &out);
    if (!t)
        skip();
    assert_int_equal(tokenizer_adds_bos(t), adds_bos);
    assert_null(tokenizer_note(t));
    size_t cases = 0;
    for (char *text = in, *line = out; text; cases++) {
        char *stop = strstr(text, between);
        size_t n = stop ? (size_t)(stop - text) : strlen(text), count;
        const int32_t *ids = ids_of_line(&line, &count);
        check_ids(t, text, n, ids, count);
        text = stop ? stop + strlen(between) : NULL;
    }
    assert_int_equal(cases, 47);
    free(in);
    free(out);
    tokenizer_close(t);
}

static void test_vectors_of_llama(void **state)
{
    (void)state;
    check_vectors("ggml-vocab-llama-spm", true);
}

static void test_vectors_of_gpt2(void **state)
{
    (void)state;
    check_vectors("ggml-vocab-gpt-2", false);
}

/* ---- the vectors of tests/tokenizer_vectors.py ----------------------------------------------- */

static json_t *vectors(void)
{
    json_error_t why;
    json_t *v = json_load_file(SRCDIR "/tests/data/tokenizer_vectors.json", JSON_ALLOW_NUL, &why);
    if (!v)
        fail_msg("tests/data/tokenizer_vectors.json: %s", why.text);
    return v;
}

static struct splitter *named_splitter(const char *name)
{
    struct error error = {""};
    struct split_rule rules[16] = {0};
    size_t count = 0;
    const struct pretokenizer *pre = pretokenizer_find(name, strlen(name), &error);
    for (; pre && pre->expressions[count]; count++)
        rules[count] = (struct split_rule){.expression = pre->expressions[count],
                                           .size = strlen(pre->expressions[count])};
    struct splitter *s = pre ? splitter_create(rules, count, &error) : NULL;
    if (!s)
        fail_msg("%s: %s", name, error.text);
    return s;
}

static void check_words(const char *name, const struct splitter *s, const json_t *text, const json_t *lengths)
{
    struct error error = {""};
    struct words words = {0};
    size_t at = 0;
    const char *bytes = json_string_value(text);
    if (!splitter_run(s, bytes, json_string_length(text), &words, &error))
        fail_msg("%s: %s", name, error.text);
    for (size_t i = 0; i < words.count; i++) {
        if (words.items[i].start != at || words.items[i].size != json_integer_value(json_array_get(lengths, i)))
            fail_msg("%s: word %zu is '%.*s', expected %d bytes; text '%s'", name, i, (int)words.items[i].size,
                     bytes + words.items[i].start, (int)json_integer_value(json_array_get(lengths, i)), bytes);
        at += words.items[i].size;
    }
    assert_int_equal(words.count, json_array_size(lengths));
    assert_int_equal(at, json_string_length(text));
    free(words.items);
}

/* The words that the models' own steps make (Oniguruma) are those of the table (PCRE2). */
static void test_words_of_named_pretokenizers(void **state)
{
    (void)state;
    json_t *v = vectors(), *texts = json_object_get(v, "texts"), *of_name;
    const char *name;
    assert_true(json_object_size(json_object_get(v, "words")) >= 20);
    json_object_foreach(json_object_get(v, "words"), name, of_name) {
        struct splitter *s = named_splitter(name);
        for (size_t i = 0; i < json_array_size(texts); i++)
            check_words(name, s, json_array_get(texts, i), json_array_get(of_name, i));
        splitter_free(s);
    }
    json_decref(v);
}

static void check_all_texts(const struct tokenizer *t, const json_t *texts, const json_t *of_text)
{
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *text = json_array_get(texts, i), *ids = json_array_get(of_text, i);
        int32_t expected[1024];
        size_t n = json_array_size(ids);
        assert_true(n <= 1024);
        for (size_t k = 0; k < n; k++)
            expected[k] = (int32_t)json_integer_value(json_array_get(ids, k));
        check_ids(t, json_string_value(text), json_string_length(text), expected, n);
    }
}

static void test_tokenizers_of_hugging_face(void **state)
{
    (void)state;
    json_t *v = vectors(), *one;
    size_t i;
    json_array_foreach(json_object_get(v, "tokenizers"), i, one) {
        char *text = json_dumps(json_object_get(one, "file"), 0);
        struct tokenizer *t = open_bytes("tokenizer.json", text, strlen(text));
        print_message("%s\n", json_string_value(json_object_get(one, "name")));
        check_all_texts(t, json_object_get(v, "texts"), json_object_get(one, "ids"));
        tokenizer_close(t);
        free(text);
    }
    assert_int_equal(i, 5);
    json_decref(v);
}

/* ---- the vectors of tests/added_vectors.py --------------------------------------------------- */

/* The added tokens of a case, whose bits are those of the flags. */
static json_t *added_tokens(const json_t *v, unsigned bits, size_t first)
{
    json_t *list = json_array();
    const json_t *token, *flag;
    size_t i, k;
    json_array_foreach(json_object_get(v, "tokens"), i, token) {
        json_t *one = json_pack("{s:i, s:O, s:O}", "id", (int)(first + i), "content", json_array_get(token, 0),
                                "special", json_array_get(token, 1));
        json_array_foreach(json_object_get(v, "flags"), k, flag)
            json_object_set_new(one, json_string_value(flag),
                                json_boolean(json_is_true(json_array_get(token, 2)) && (bits >> k & 1)));
        json_array_append_new(list, one);
    }
    return list;
}

static struct tokenizer *open_case(const json_t *v, const json_t *frame, unsigned bits)
{
    json_t *model = json_object_get(json_object_get(v, "models"), json_string_value(json_object_get(frame, "model")));
    size_t first = json_object_size(json_object_get(model, "vocab"));
    json_t *file = json_pack("{s:O, s:O, s:o, s:O}", "normalizer", json_object_get(frame, "normalizer"),
                             "pre_tokenizer", json_object_get(frame, "pre_tokenizer"), "added_tokens",
                             added_tokens(v, bits, first),
                             "model", model);
    char *text = json_dumps(file, 0);
    struct tokenizer *t = open_bytes("added.json", text, strlen(text));
    free(text);
    json_decref(file);
    return t;
}

/* Every combination of an added token's flags, in front of and behind what normalizers and pre-tokenizers do. */
static void test_added_tokens_of_hugging_face(void **state)
{
    (void)state;
    json_error_t why;
    json_t *v = json_load_file(SRCDIR "/tests/data/added_vectors.json", 0, &why), *frame;
    if (!v)
        fail_msg("tests/data/added_vectors.json: %s", why.text);
    size_t i, cases = 0;
    json_array_foreach(json_object_get(v, "frames"), i, frame) {
        const json_t *ids = json_object_get(frame, "ids");
        for (unsigned bits = 0; bits < json_array_size(ids); bits++, cases++) {
            struct tokenizer *t = open_case(v, frame, bits);
            print_message("frame %zu, flags %u\n", i, bits);
            check_all_texts(t, json_object_get(v, "texts"), json_array_get(ids, bits));
            tokenizer_close(t);
        }
    }
    assert_int_equal(cases, 96);
    json_decref(v);
}

/* Base64 (RFC 4648) to bytes; returns how many. */
static size_t from_base64(const char *text, uint8_t *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = 0;
    uint32_t bits = 0;
    for (int have = 0; *text && *text != '='; text++) {
        bits = bits << 6 | (uint32_t)(strchr(digits, *text) - digits);
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[n++] = (uint8_t)(bits >> have);
        }
    }
    return n;
}

static void test_tokenizers_of_sentencepiece(void **state)
{
    (void)state;
    json_t *v = vectors(), *one;
    size_t i;
    json_array_foreach(json_object_get(v, "sentencepiece"), i, one) {
        const char *text = json_string_value(json_object_get(one, "model"));
        uint8_t *model = make(strlen(text));
        struct tokenizer *t = open_bytes("tokenizer.model", model, from_base64(text, model));
        print_message("%s\n", json_string_value(json_object_get(one, "name")));
        check_all_texts(t, json_object_get(v, "texts"), json_object_get(one, "ids"));
        assert_int_equal(tokenizer_bos(t), 1);
        assert_true(tokenizer_adds_bos(t) && !tokenizer_adds_eos(t) && tokenizer_ends_text(t, 2));
        tokenizer_close(t);
        free(model);
    }
    assert_int_equal(i, 2);
    json_decref(v);
}

/* ---- small vocabularies made here ------------------------------------------------------------ */

#define PIECE(text, score, type) {text, sizeof(text) - 1, score, type}
#define MERGE(left, right) {left, right, sizeof(left) - 1, sizeof(right) - 1}

static struct tokenizer *make_tokenizer(const struct vocabulary *v)
{
    struct error error = {""};
    struct tokenizer *t = vocabulary_tokenizer(v, &error);
    if (!t)
        fail_msg("%s", error.text);
    return t;
}

/* Pieces of all bytes, <0x00> to <0xFF>, from `at` on; their texts live as long as the program. */
static void add_byte_pieces(struct vocabulary_piece *at)
{
    static char texts[256][8];
    for (unsigned i = 0; i < 256; i++) {
        snprintf(texts[i], sizeof texts[i], "<0x%02X>", i);
        at[i] = (struct vocabulary_piece){texts[i], 6, 0, TOKEN_BYTE};
    }
}

enum { SPM_BYTES = 12, SPM_COUNT = SPM_BYTES + 256 };

static struct tokenizer *small_spm(bool byte_fallback)
{
    static struct vocabulary_piece pieces[SPM_COUNT] = {
        PIECE("<unk>", 0, TOKEN_UNKNOWN), PIECE("<s>", 0, TOKEN_CONTROL), PIECE("</s>", 0, TOKEN_CONTROL),
        PIECE("\xe2\x96\x81", -9, TOKEN_NORMAL), PIECE("a", -9, TOKEN_NORMAL), PIECE("b", -9, TOKEN_NORMAL),
        PIECE("ab", -1, TOKEN_NORMAL), PIECE("ba", -1, TOKEN_NORMAL), PIECE("\xe2\x96\x81" "a", -2, TOKEN_NORMAL),
        PIECE("<tag>", 0, TOKEN_USER_DEFINED), PIECE("<tag>\xe2\x96\x81" "b", 0, TOKEN_USER_DEFINED),
        PIECE("<|im_end|>", 0, TOKEN_CONTROL)};
    static const struct normal_step steps[] = {
        {NORMAL_PREPEND, .to = MARKED_SPACE, .to_size = 3},
        {NORMAL_REPLACE, .from = " ", .from_size = 1, .to = MARKED_SPACE, .to_size = 3}};
    add_byte_pieces(pieces + SPM_BYTES);
    struct vocabulary v = {.model = VOCABULARY_SPM, .pieces = pieces, .count = SPM_COUNT, .bos = 1, .eos = 2,
                           .unknown = 0, .add_bos = true, .space_prefix = SPACE_ALWAYS, .fuse_unknown = true,
                           .steps = steps, .step_count = 2,
                           .byte_fallback = byte_fallback};
    return make_tokenizer(&v);
}

static void test_spm_by_hand(void **state)
{
    (void)state;
    struct tokenizer *t = small_spm(true);
    CHECK_IDS(t, "a", 8);
    CHECK_IDS(t, "b", 3, 5);
    CHECK_IDS(t, "bab", 3, 7, 5);   /* equals: the leftmost pair first */
    CHECK_IDS(t, "ab", 3, 6);       /* ab scores higher than space a */
    CHECK_IDS(t, " a", 3, 8);
    CHECK_IDS(t, "\xc3\xa9", 3, SPM_BYTES + 0xc3, SPM_BYTES + 0xa9);
    CHECK_IDS(t, "\xff" "a", 3, SPM_BYTES + 0xff, 4);
    CHECK_IDS(t, "b<tag>a", 3, 5, 9, 4); /* a user-defined token takes no part in merges */
    CHECK_IDS(t, "<tag> ba", 3, 10, 4);  /* the longest one */
    CHECK_IDS(t, "<s>", 3, SPM_BYTES + '<', SPM_BYTES + 's', SPM_BYTES + '>');
    check_ids(t, "", 0, NULL, 0);
    assert_true(tokenizer_ends_text(t, 2) && tokenizer_ends_text(t, 11));
    assert_false(tokenizer_ends_text(t, 1) || tokenizer_ends_text(t, -1) || tokenizer_ends_text(t, 9));
    tokenizer_close(t);
    t = small_spm(false);
    CHECK_IDS(t, "\xc3\xa9\xc3\xa9" "a\xff", 3, 0, 4, 0); /* neighbours without a piece are one */
    tokenizer_close(t);
}

/* Of equal pieces the lowest id counts; a character of which only some bytes are tokens is unknown. */
static void test_spm_with_gaps(void **state)
{
    (void)state;
    static const struct vocabulary_piece pieces[] = {
        PIECE("<unk>", 0, TOKEN_UNKNOWN), PIECE("a", -1, TOKEN_NORMAL), PIECE("a", -2, TOKEN_NORMAL),
        PIECE("<0xC3>", 0, TOKEN_BYTE), PIECE("<0xC3>", 0, TOKEN_BYTE), PIECE("<0x62>", 0, TOKEN_BYTE)};
    struct vocabulary v = {.model = VOCABULARY_SPM, .pieces = pieces, .count = 6, .bos = -1, .eos = -1,
                           .byte_fallback = true};
    struct tokenizer *t = make_tokenizer(&v);
    CHECK_IDS(t, "aba", 1, 5, 1);
    CHECK_IDS(t, "\xc3\xa9", 0);
    CHECK_IDS(t, "\xc3", 3);
    tokenizer_close(t);
    v.unknown = -1;
    t = make_tokenizer(&v);
    CHECK_IDS(t, "a\xc3\xa9" "a", 1, 1); /* dropped */
    tokenizer_close(t);
}

static void check_piece(const struct tokenizer *t, int32_t previous, int32_t id, const char *expected)
{
    char buffer[1];
    size_t n;
    const char *piece = tokenizer_piece(t, previous, id, &n, buffer);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(piece, expected, n);
}

static void test_spm_pieces(void **state)
{
    (void)state;
    struct tokenizer *t = small_spm(true);
    check_piece(t, TOKEN_ALONE, 8, " a");
    check_piece(t, TOKEN_FIRST, 8, "a");
    check_piece(t, 1, 8, "a");
    check_piece(t, 4, 8, " a");
    check_piece(t, 4, 1, ""); /* control */
    check_piece(t, 4, 9, "<tag>");
    check_piece(t, 4, SPM_BYTES + 'x', "x");
    check_piece(t, 4, -1, "");
    check_piece(t, 4, SPM_COUNT, "");
    tokenizer_close(t);
}

/* All bytes as GPT-2 writes them, in the order of the bytes; the texts live as long as the program. */
static void add_byte_characters(struct vocabulary_piece *at)
{
    static char texts[256][4];
    uint32_t made = 0x100;
    for (uint32_t i = 0; i < 256; i++) {
        bool prints = (i > 0x20 && i < 0x7f) || (i > 0xa0 && i != 0xad);
        uint32_t c = prints ? i : made++, n = 0;
        if (c >= 0x80)
            texts[i][n++] = (char)(0xc0 | c >> 6);
        texts[i][n++] = (char)(c >= 0x80 ? 0x80 | (c & 0x3f) : c);
        at[i] = (struct vocabulary_piece){texts[i], n, 0, TOKEN_NORMAL};
    }
}

static struct tokenizer *small_bpe(bool ignore_merges, bool add_space)
{
    static struct vocabulary_piece pieces[] = {
        [256] = PIECE("\xc4\xa0" "a", 0, TOKEN_NORMAL), PIECE("ab", 0, TOKEN_NORMAL), PIECE("bc", 0, TOKEN_NORMAL),
        PIECE("abc", 0, TOKEN_NORMAL), PIECE("<|endoftext|>", 0, TOKEN_CONTROL),
        PIECE("  ", 0, TOKEN_USER_DEFINED), PIECE("xyz", 0, TOKEN_NORMAL)};
    static const struct merge merges[] = {MERGE("b", "c"), MERGE("a", "b"), MERGE("\xc4\xa0", "a")};
    static const struct split_rule rule = {"[a-z]+|\\s+[a-z]*", 16, false, false, SPLIT_ISOLATED};
    add_byte_characters(pieces);
    struct vocabulary v = {.model = VOCABULARY_BPE, .pieces = pieces, .count = sizeof pieces / sizeof *pieces,
                           .merges = merges, .merge_count = 3, .rules = &rule, .rule_count = 1, .bos = -1,
                           .eos = 260, .unknown = -1, .ignore_merges = ignore_merges,
                           .space_prefix = add_space ? SPACE_IF_MISSING : SPACE_NEVER, .space_place = SPACE_EVERYWHERE};
    return make_tokenizer(&v);
}

static void test_bpe_by_hand(void **state)
{
    (void)state;
    struct tokenizer *t = small_bpe(false, false);
    CHECK_IDS(t, "abc", 'a', 258); /* by rank: bc comes first, and then there is no merge */
    CHECK_IDS(t, "ab", 257);
    CHECK_IDS(t, "b ab", 'b', ' ', 257); /* ab comes before space a */
    CHECK_IDS(t, "b a", 'b', 256);
    CHECK_IDS(t, "a  b", 'a', 261, 'b');
    CHECK_IDS(t, "xyz", 'x', 'y', 'z');
    CHECK_IDS(t, "b\xff\xc3" "c", 'b', 0xff, 0xc3, 'c'); /* no UTF-8: nothing merges across it */
    CHECK_IDS(t, "<|endoftext|>", '<', '|', 'e', 'n', 'd', 'o', 'f', 't', 'e', 'x', 't', '|', '>');
    assert_false(tokenizer_adds_bos(t) || tokenizer_adds_eos(t));
    check_piece(t, TOKEN_FIRST, 256, " a");
    check_piece(t, 3, 260, "");
    check_piece(t, 3, 261, "  ");
    check_piece(t, 3, 0xff, "\xff");
    tokenizer_close(t);
    t = small_bpe(true, false);
    CHECK_IDS(t, "abc", 259);
    CHECK_IDS(t, "abc xyz", 259, ' ', 'x', 'y', 'z');
    tokenizer_close(t);
    t = small_bpe(false, true);
    CHECK_IDS(t, "a", 256);
    CHECK_IDS(t, " a", 256);
    check_piece(t, TOKEN_FIRST, 256, "a");
    tokenizer_close(t);
}

static void refuse(const struct vocabulary *v, const char *const *words)
{
    struct error error = {""};
    assert_null(vocabulary_tokenizer(v, &error));
    for (; *words; words++)
        if (!strstr(error.text, *words))
            fail_msg("'%s' does not say '%s'", error.text, *words);
}
#define REFUSE(v, ...) refuse(v, (const char *const[]){__VA_ARGS__, NULL})

static void test_bad_vocabularies(void **state)
{
    (void)state;
    struct vocabulary_piece pieces[] = {PIECE("a", 0, TOKEN_NORMAL), PIECE("b", 0, TOKEN_NORMAL),
                                        PIECE("ab", 0, TOKEN_NORMAL)};
    const struct merge bad_left[] = {MERGE("a", "b"), MERGE("x", "b")}, bad_right[] = {MERGE("a", "x")},
                       bad_both[] = {MERGE("b", "a")};
    const struct split_rule rule = {"(", 1, false, false, SPLIT_ISOLATED};
    const struct vocabulary good = {.model = VOCABULARY_BPE, .pieces = pieces, .count = 3, .bos = -1, .eos = -1,
                                    .unknown = -1};
    struct vocabulary v = good;
    v.count = 0;
    REFUSE(&v, "0 tokens");
    v = good, v.bos = 3;
    REFUSE(&v, "BOS", "3", "less than 3");
    v = good, v.eos = 70000;
    REFUSE(&v, "EOS", "70000");
    v = good, v.unknown = -2;
    REFUSE(&v, "unknown", "-2");
    v = good, v.ends[0] = 9, v.end_count = 1;
    REFUSE(&v, "end of a turn", "9");
    v = good, v.merges = bad_left, v.merge_count = 2;
    REFUSE(&v, "merge 1", "'x b'", "left");
    v = good, v.merges = bad_right, v.merge_count = 1;
    REFUSE(&v, "merge 0", "'a x'", "right");
    v = good, v.merges = bad_both, v.merge_count = 1;
    REFUSE(&v, "merge 0", "'b a'", "what it makes");
    v = good, v.rules = &rule, v.rule_count = 1;
    REFUSE(&v, "expression 1", "'('", "parenthes");
    pieces[1].score = __builtin_nanf("");
    REFUSE(&good, "token 1", "NaN");
    pieces[1] = pieces[0], pieces[1].type = (enum token_type)7;
    REFUSE(&good, "token 1", "type 7");
}

/* ---- what must hold for any text ------------------------------------------------------------- */

/* Random text: bytes, or characters of all lengths with spaces among them. */
static size_t random_text(char *out, size_t n, bool bytes, uint64_t *seed)
{
    static const char *const characters[] = {" ", "a", "b", "c", "\n", "\xc3\xa9", "\xe4\xb8\xad", "\xf0\x9f\x98\x80",
                                             "ab", "'s", "12", "  ", "\xcc\x81", "\xe1\x9a\x80", "<tag>"};
    size_t used = 0;
    while (used + 8 < n) {
        if (bytes) {
            out[used++] = (char)random_below(seed, 256);
            continue;
        }
        const char *c = characters[random_below(seed, sizeof characters / sizeof *characters)];
        memcpy(out + used, c, strlen(c));
        used += strlen(c);
    }
    return used;
}

static void test_any_text_comes_back(void **state)
{
    (void)state;
    struct tokenizer *all[] = {small_spm(true), small_bpe(false, false), small_bpe(true, false)};
    uint64_t seed = 7;
    char text[200];
    for (int i = 0; i < 600; i++) {
        size_t n = random_text(text, 8 + random_below(&seed, 190), i % 2, &seed);
        check_round_trip(all[i % 3], text, n);
    }
    for (size_t i = 0; i < 3; i++)
        tokenizer_close(all[i]);
}

/* Real vocabularies, all lengths of text, and every cut of UTF-8. */
static void test_any_text_comes_back_from_real_vocabularies(void **state)
{
    (void)state;
    static const char *const names[] = {"ggml-vocab-llama-spm", "ggml-vocab-gpt-2"};
    for (size_t i = 0; i < 2; i++) {
        char *in, *out, text[300];
        struct tokenizer *t = open_shared(names[i], &in, &out);
        if (!t)
            skip();
        uint64_t seed = 11;
        for (int k = 0; k < 400; k++)
            check_round_trip(t, text, random_text(text, 8 + random_below(&seed, 290), k % 2, &seed));
        free(in);
        free(out);
        tokenizer_close(t);
    }
}

/* Runs without a space, which every step of the way must take in about n log n steps. */
static void test_long_runs(void **state)
{
    (void)state;
    enum { LONG = 26000 };
    static const char *const runs[] = {"a", "ab", "A", "\xe4\xb8\xad", " ", "\n", "1", "\xff", "!", "aB"};
    struct tokenizer *all[] = {small_spm(true), small_bpe(false, false), NULL, NULL};
    char *in[2] = {0}, *out[2] = {0}, *text = make(LONG);
    all[2] = open_shared("ggml-vocab-llama-spm", &in[0], &out[0]);
    all[3] = open_shared("ggml-vocab-gpt-2", &in[1], &out[1]);
    must_end(true);
    for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
        size_t length = strlen(runs[r]), n = LONG / length * length;
        for (size_t i = 0; i < n; i++)
            text[i] = runs[r][i % length];
        for (size_t i = 0; i < 4; i++)
            if (all[i])
                check_round_trip(all[i], text, n);
    }
    must_end(false); /* a quadratic step would take minutes */
    for (size_t i = 0; i < 4; i++)
        tokenizer_close(all[i]);
    for (size_t i = 0; i < 2; i++) {
        free(in[i]);
        free(out[i]);
    }
    free(text);
}

/* No pre-tokenizer of the table takes forever over a run, or fails. */
static void test_long_words(void **state)
{
    (void)state;
    enum { LONG = 26000 };
    static const char *const runs[] = {"a", "A", "aB", "\xe4\xb8\xad", " ", "\r\n", "\xcc\x81", "!", " '"};
    static const char *const names[] = {"default", "gpt-2", "llama-bpe", "dbrx", "qwen2", "qwen35", "gpt-4o", "tekken",
                                        "starcoder", "falcon", "deepseek-llm", "deepseek-coder", "deepseek-v3",
                                        "bloom", "viking", "chameleon", "bailingmoe", "seed-coder", "tiny_aya",
                                        "superbpe", "minicpm5", "laguna", "kimi-k2", "spark2_5", "afmoe", "youtu",
                                        "jais-2", "ufakzeka", "gemma4", "whitespace"};
    char *text = make(LONG);
    must_end(true);
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        struct splitter *s = named_splitter(names[k]);
        for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
            struct error error = {""};
            struct words words = {0};
            size_t length = strlen(runs[r]), n = LONG / length * length, sum = 0;
            for (size_t i = 0; i < n; i++)
                text[i] = runs[r][i % length];
            if (!splitter_run(s, text, n, &words, &error))
                fail_msg("%s of '%s': %s", names[k], runs[r], error.text);
            for (size_t i = 0; i < words.count; i++)
                sum += words.items[i].size;
            assert_int_equal(sum, n);
            free(words.items);
        }
        splitter_free(s);
    }
    must_end(false);
    free(text);
}

/* A trap of an expression ends with an error, soon. */
static void test_expression_that_never_ends(void **state)
{
    (void)state;
    struct error error = {""};
    const struct split_rule rule = {"(a|aa)+$", 8, false, false, SPLIT_ISOLATED};
    struct splitter *s = splitter_create(&rule, 1, &error);
    struct words words = {0};
    char text[201];
    memset(text, 'a', sizeof text);
    text[200] = 'c';
    must_end(true);
    assert_false(splitter_run(s, text, sizeof text, &words, &error));
    must_end(false);
    assert_non_null(strstr(error.text, "too many steps"));
    free(words.items);
    splitter_free(s);
}

static void check_split(struct split_rule rule, const char *text, const char *expected)
{
    struct error error = {""};
    struct words words = {0};
    char shown[100] = "";
    rule.size = strlen(rule.expression);
    struct splitter *s = splitter_create(&rule, 1, &error);
    assert_true(splitter_run(s, text, strlen(text), &words, &error));
    for (size_t i = 0; i < words.count; i++)
        snprintf(shown + strlen(shown), sizeof shown - strlen(shown), "%s%.*s", i ? "|" : "", (int)words.items[i].size,
                 text + words.items[i].start);
    assert_string_equal(shown, expected);
    free(words.items);
    splitter_free(s);
}

static void test_what_becomes_of_matches(void **state)
{
    (void)state;
    static const char *const expected[SPLIT_BEHAVIORS][2] = {
        [SPLIT_ISOLATED] = {"ab|-|-|c|-|d", "ab|-|-|c|-|d"}, [SPLIT_REMOVED] = {"ab|c|d", "-|-|-"},
        [SPLIT_WITH_PREVIOUS] = {"ab-|-|c-|d", "ab|-|-c|-d"}, [SPLIT_WITH_NEXT] = {"ab|-|-c|-d", "ab-|-|c-|d"},
        [SPLIT_CONTIGUOUS] = {"ab|--|c|-|d", "ab|--|c|-|d"}};
    for (int b = 0; b < SPLIT_BEHAVIORS; b++)
        for (int invert = 0; invert < 2; invert++)
            for (int literal = 0; literal < 2; literal++)
                check_split((struct split_rule){"-", 0, literal, invert, (enum split_behavior)b}, "ab--c-d",
                            expected[b][invert]);
    check_split((struct split_rule){"(?=b)", 0, false, false, SPLIT_ISOLATED}, "abab", "a|ba|b");
    check_split((struct split_rule){"(?=b)", 0, false, false, SPLIT_CONTIGUOUS}, "abab", "a|ba|b");
    check_split((struct split_rule){"\\s", 0, false, false, SPLIT_REMOVED}, "a b\xe1\xa0\x8e" "c", "a|b\xe1\xa0\x8e" "c");
    check_split((struct split_rule){".", 0, true, false, SPLIT_REMOVED}, "a.b", "a|b");
}

/* Oniguruma's syntax, where PCRE2's is another: the words are Oniguruma's. */
static void test_expressions_of_oniguruma(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"\\w+", "ab e\xcc\x81" "a_1 \xe2\x85\xa7\xc2\xbd", "ab| |e\xcc\x81" "a_1| |\xe2\x85\xa7\xc2\xbd"},
        {"[\\w]+", "a\xc2\xbd" "b e\xcc\x81", "a|\xc2\xbd|b| |e\xcc\x81"},
        {"[a-z&&[^b]]+", "abcab", "a|b|ca|b"},
        {"[a[bc]]+", "abcx", "abc|x"},
        {"[^[ab]c]+", "abcd", "abc|d"},
        {"[a-c&&[b-d]&&[^c]]+", "abcd", "a|b|cd"},
        {"[\\p{L}&&[^\\p{Han}]]+", "ab\xe4\xb8\xad\xe6\x96\x87" "c", "ab|\xe4\xb8\xad\xe6\x96\x87|c"},
        {"[[:alpha:]]+", "ab1\xc3\xa9", "ab|1|\xc3\xa9"},
        {"[[:punct:]]+", "a$+-b", "a|$+-|b"},
        {"[[:word:]&&[^_]]+", "a_b", "a|_|b"},
        {"\\bab\\b", "ab e\xcc\x81" "ab ab", "ab| e\xcc\x81" "ab |ab"},
        {"\\B", "ab c", "a|b c"},
        {"(?m).+", "a\nb", "a\nb"},
        {"(?im:A.)+", "a\nb", "a\n|b"},
        {"a{,2}", "aaa", "aa|a"},
        {"\\h+", "xaF0y", "x|aF0|y"},
        {"\\v", "a\x0b" "b\nc", "a|\x0b|b\nc"},
        {"\\u0061+", "baab", "b|aa|b"},
        {"[]a]+", "b]a", "b|]a"},
        {"[^\\S]+", "a \xe1\xa0\x8e", "a| |\xe1\xa0\x8e"},
        {"\\p{^L}+", "a12", "a|12"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_split((struct split_rule){cases[i][0], 0, false, false, SPLIT_ISOLATED}, cases[i][1], cases[i][2]);
    static const char *const unknown[][2] = {{"[\\W]", "in a class"}, {"a{2}+", "possessive"}, {"[[:graph:]]", "POSIX"},
                                             {"[a&&]", "empty"}, {"[a[b]", "no end"},
                                             {"[[[[[[[[[[a]]]]]]]]]]", "too deep"}};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        struct error error = {""};
        const struct split_rule rule = {unknown[i][0], strlen(unknown[i][0]), false, false, SPLIT_ISOLATED};
        assert_null(splitter_create(&rule, 1, &error));
        if (!strstr(error.text, unknown[i][1]) || !strstr(error.text, unknown[i][0]))
            fail_msg("%s", error.text);
    }
}

/* The names that llama.cpp knows, with what it takes from them. */
static const struct {
    const char *name;
    bool ignore_merges, adds_bos;
    enum spelling spelling;
} known_names[] = {
#define PLAIN(name) {name, false, false, SPELLED_BYTES}
    PLAIN("default"), PLAIN("deepseek-llm"), PLAIN("deepseek-coder"), PLAIN("deepseek-v3"), PLAIN("spark2_5"),
    PLAIN("falcon"), PLAIN("mpt"), PLAIN("starcoder"), PLAIN("gpt-2"), PLAIN("phi-2"), PLAIN("jina-es"),
    PLAIN("jina-de"), PLAIN("gigachat"), PLAIN("jina-v2-es"), PLAIN("jina-v2-de"), PLAIN("a.x-4.0"), PLAIN("mellum"),
    PLAIN("modern-bert"), PLAIN("jais-2"), PLAIN("jina-v1-en"), PLAIN("jina-v2-code"), PLAIN("roberta-bpe"),
    PLAIN("refact"), PLAIN("command-r"), PLAIN("qwen2"), PLAIN("deepseek-r1-qwen"), PLAIN("kormo"), PLAIN("f2llmv2"),
    PLAIN("qwen35"), PLAIN("stablelm2"), PLAIN("olmo"), PLAIN("dbrx"), PLAIN("smaug-bpe"), PLAIN("poro-chat"),
    PLAIN("chatglm-bpe"), PLAIN("viking"), PLAIN("jais"), PLAIN("smollm"), PLAIN("codeshell"), PLAIN("bloom"),
    PLAIN("gpt3-finnish"), PLAIN("exaone"), PLAIN("exaone4"), PLAIN("exaone-moe"), PLAIN("minerva-7b"),
    PLAIN("megrez"), PLAIN("gpt-4o"), PLAIN("llama4"), PLAIN("kanana2"), PLAIN("talkie"), PLAIN("tiny_aya"),
    PLAIN("cohere2moe"), PLAIN("superbpe"), PLAIN("trillion"), PLAIN("granite-docling"), PLAIN("bailingmoe"),
    PLAIN("bailingmoe2"), PLAIN("llada-moe"), PLAIN("seed-coder"), PLAIN("hunyuan"), PLAIN("hunyuan-dense"),
    PLAIN("hy_v4"), PLAIN("joyai-llm"), PLAIN("kimi-k2"), PLAIN("ufakzeka"), PLAIN("grok-2"), PLAIN("afmoe"),
    PLAIN("laguna"), PLAIN("minimax-m2"), PLAIN("solar-open"), PLAIN("mellum2"),
    {"minicpm5", true, false, SPELLED_BYTES},
    {"llama3", true, true, SPELLED_BYTES},
    {"llama-v3", true, true, SPELLED_BYTES},
    {"llama-bpe", true, true, SPELLED_BYTES},
    {"falcon3", true, true, SPELLED_BYTES},
    {"falcon-h1", true, true, SPELLED_BYTES},
    {"pixtral", true, true, SPELLED_BYTES},
    {"midm-2.0", true, true, SPELLED_BYTES},
    {"lfm2", true, true, SPELLED_BYTES},
    {"jina-v5-nano", true, true, SPELLED_BYTES},
    {"youtu", true, false, SPELLED_BYTES},
    {"gemma4", false, true, SPELLED_AS_GEMMA},
    {"granite-embed-multi-311m", false, true, SPELLED_AS_GEMMA},
    {"sarvam-moe", false, false, SPELLED_MARKED},
    {"whitespace", false, false, SPELLED_CHARACTERS},
    {"glm4", true, false, SPELLED_BYTES},
    {"glm5", true, false, SPELLED_BYTES},
    {"tekken", true, true, SPELLED_BYTES},
    {"chameleon", false, true, SPELLED_BYTES},
    {"granite-embed-multi-97m", true, false, SPELLED_BYTES},
#undef PLAIN
};

static void test_names_of_pretokenizers(void **state)
{
    (void)state;
    static const char *const unknown[] = {"", " ", "gpt", "gpt-2 gpt2", "llama-bpe ", "nonsense"};
    struct error error;
    assert_ptr_equal(pretokenizer_find("llama3", 6, &error), pretokenizer_find("llama-bpe", 9, &error));
    assert_ptr_equal(pretokenizer_find("phi-2", 5, &error), pretokenizer_find("gpt-2", 5, &error));
    assert_true(pretokenizer_find("tekken", 6, &error)->ignore_merges);
    assert_false(pretokenizer_find("dbrx", 4, &error)->ignore_merges);
    for (size_t i = 0; i < sizeof known_names / sizeof *known_names; i++) {
        const struct pretokenizer *p = pretokenizer_find(known_names[i].name, strlen(known_names[i].name), &error);
        if (!p)
            fail_msg("%s", error.text);
        if (p->ignore_merges != known_names[i].ignore_merges || p->adds_bos != known_names[i].adds_bos ||
            p->spelling != known_names[i].spelling)
            fail_msg("%s", known_names[i].name);
        splitter_free(named_splitter(known_names[i].name));
    }
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        error.text[0] = 0;
        assert_null(pretokenizer_find(unknown[i], strlen(unknown[i]), &error));
        assert_non_null(strstr(error.text, "is unknown; expected one of default, gpt-2, "));
        assert_non_null(strstr(error.text, "kimi-k2"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_of_llama),
        cmocka_unit_test(test_vectors_of_gpt2),
        cmocka_unit_test(test_words_of_named_pretokenizers),
        cmocka_unit_test(test_tokenizers_of_hugging_face),
        cmocka_unit_test(test_added_tokens_of_hugging_face),
        cmocka_unit_test(test_tokenizers_of_sentencepiece),
        cmocka_unit_test(test_spm_by_hand),
        cmocka_unit_test(test_spm_with_gaps),
        cmocka_unit_test(test_spm_pieces),
        cmocka_unit_test(test_bpe_by_hand),
        cmocka_unit_test(test_bad_vocabularies),
        cmocka_unit_test(test_any_text_comes_back),
        cmocka_unit_test(test_any_text_comes_back_from_real_vocabularies),
        cmocka_unit_test(test_long_runs),
        cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_expression_that_never_ends),
        cmocka_unit_test(test_what_becomes_of_matches),
        cmocka_unit_test(test_expressions_of_oniguruma),
        cmocka_unit_test(test_names_of_pretokenizers),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
