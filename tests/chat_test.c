/* Chat templates: their families, turns as tokens, and texts that spell control tokens. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tokenizer/chat.h"
#include "tokenizer/vocabulary.h"
#include "chat_vectors.h"
#include "folderwork.h"
#include "gguffile.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

/* ---- a vocabulary with the control tokens of all families ------------------------------------ */

enum { MOST_PIECES = 700, BYTES = 256 };

static struct vocabulary_piece pieces[MOST_PIECES];
static size_t piece_count;

static int32_t id_of(const char *text)
{
    for (size_t i = BYTES; i < piece_count; i++)
        if (strlen(text) == pieces[i].size && memcmp(text, pieces[i].text, pieces[i].size) == 0)
            return (int32_t)i;
    return -1;
}

static void add_control(const char *text)
{
    if (!text || id_of(text) >= 0)
        return;
    assert_true(piece_count < MOST_PIECES);
    pieces[piece_count++] = (struct vocabulary_piece){text, (uint32_t)strlen(text), 0, TOKEN_CONTROL};
}

/* Byte-level BPE without merges: each byte is a token of its own. */
static struct vocabulary all_vocabulary(void)
{
    static char bytes[BYTES][3];
    for (int i = 0; i < BYTES; i++) {
        size_t n = character_of_byte((uint8_t)i, bytes[i]);
        pieces[i] = (struct vocabulary_piece){bytes[i], (uint32_t)n, 0, TOKEN_NORMAL};
    }
    piece_count = BYTES;
    add_control("<BOS>");
    add_control("<EOS>");
    for (const struct chat_family *f = chat_families; f->name; f++) {
        for (size_t i = 0; i < CHAT_TOKENS; i++)
            add_control(f->tokens[i]);
        for (size_t i = 0; i < CHAT_ENDS; i++)
            add_control(f->ends[i]);
    }
    return (struct vocabulary){.model = VOCABULARY_BPE,
                               .pieces = pieces,
                               .count = piece_count,
                               .bos = id_of("<BOS>"),
                               .eos = id_of("<EOS>"),
                               .unknown = -1,
                               .dialect = DIALECT_HUGGING_FACE};
}

static struct tokenizer *make_tokenizer(const struct vocabulary *v)
{
    struct error error = {""};
    struct tokenizer *t = vocabulary_tokenizer(v, &error);
    if (!t)
        fail_msg("%s", error.text);
    return t;
}

static struct tokenizer *tokenizer_of_template(const char *template)
{
    struct vocabulary v = all_vocabulary();
    v.chat = chat_of_template(template, strlen(template));
    return make_tokenizer(&v);
}

/* What tokens spell, control tokens by their names; the caller frees. */
static char *spell(const struct tokens *tokens)
{
    size_t n = 0, room = 1;
    for (size_t i = 0; i < tokens->count; i++)
        room += pieces[tokens->ids[i]].size;
    char *out = make(room);
    for (size_t i = 0; i < tokens->count; i++) {
        int32_t id = tokens->ids[i];
        if (id < BYTES)
            out[n++] = (char)id;
        else
            memcpy(out + n, pieces[id].text, pieces[id].size);
        n += id < BYTES ? 0 : pieces[id].size;
    }
    out[n] = 0;
    return out;
}

static struct tokens ask(const struct tokenizer *t, const char *system, const char *user, bool special)
{
    struct tokens tokens = {0};
    struct error error = {""};
    if (!chat_prompt(t, system, user, special, &tokens, &error))
        fail_msg("%s", error.text);
    return tokens;
}

static size_t times(const struct tokens *tokens, int32_t id)
{
    size_t n = 0;
    for (size_t i = 0; i < tokens->count; i++)
        n += tokens->ids[i] == id;
    return n;
}

static size_t occurrences(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}

/* ---- families -------------------------------------------------------------------------------- */

/* Its marks alone make a template of a family: no earlier row takes it. */
static void test_marks(void **state)
{
    (void)state;
    for (const struct chat_family *f = chat_families; f->name; f++) {
        char text[2048] = "{# a sample #}";
        for (size_t i = 0; i < CHAT_MARKS && f->marks[i]; i++)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s\t", f->marks[i]);
        struct chat chat = chat_of_template(text, strlen(text));
        if (chat.family != f)
            fail_msg("a template of %s is said to be of %s", f->name, chat.family ? chat.family->name : chat.why);
        assert_int_equal(chat.bos, strstr(text, "bos_token") != NULL);
    }
}

/* A row says what its turn needs: each of its tokens is in its texts, and none is the beginning of another row's. */
static void test_rows(void **state)
{
    (void)state;
    for (const struct chat_family *f = chat_families; f->name; f++) {
        assert_true(f->marks[0] && f->system && f->between && f->alone && f->answer && *f->answer);
        for (size_t i = 0; i < CHAT_TOKENS && f->tokens[i]; i++)
            if (!strstr(f->system, f->tokens[i]) && !strstr(f->between, f->tokens[i]) &&
                !strstr(f->answer, f->tokens[i]) && strcmp(f->tokens[i], f->ends[0]) != 0)
                fail_msg("%s needs %s, which its turns do not have", f->name, f->tokens[i]);
    }
}

static void check_turn(const struct tokenizer *t, const struct chat_vector *v, bool told)
{
    const struct chat_family *f = tokenizer_chat(t)->family;
    struct tokens tokens = ask(t, told ? CHAT_SYSTEM : NULL, CHAT_USER, false);
    char *spelled = spell(&tokens);
    assert_string_equal(spelled, told ? v->told : v->alone);
    size_t ended = occurrences(CHAT_USER, "<|im_end|>"); /* as text */
    for (size_t i = 0; i < CHAT_TOKENS && f->tokens[i]; i++) {
        size_t texts = strcmp(f->tokens[i], "<|im_end|>") == 0 ? ended : 0;
        assert_int_equal(times(&tokens, id_of(f->tokens[i])), occurrences(spelled, f->tokens[i]) - texts);
    }
    free(spelled);
    free(tokens.ids);
}

static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof chat_vectors / sizeof *chat_vectors; i++) {
        const struct chat_vector *v = &chat_vectors[i];
        struct tokenizer *t = tokenizer_of_template(v->template);
        if (!tokenizer_chat(t)->family)
            fail_msg("%s: %s", v->family, tokenizer_chat(t)->why);
        assert_string_equal(tokenizer_chat(t)->family->name, v->family);
        check_turn(t, v, true);
        check_turn(t, v, false);
        tokenizer_close(t);
    }
}

static void refuse(const char *template, size_t n, const char *why)
{
    struct chat chat = chat_of_template(template, n);
    assert_null(chat.family);
    assert_false(chat.bos);
    if (!strstr(chat.why, why))
        fail_msg("'%s'; expected '%s'", chat.why, why);
}

static void test_refused(void **state)
{
    (void)state;
    enum { MOST = CHAT_TEMPLATE_MOST };
    static const char chatml[] = "<|im_start|><|im_end|>";
    char *large = make(MOST + 1);
    for (size_t i = 0; i <= MOST; i++)
        large[i] = "{{ '\\"[i % 5];
    refuse("", 0, "is empty");
    refuse("{{ x }}", 7, "no known family");
    refuse("<|im_start|>", 12, "no known family");
    refuse("<|im_start|><|im_end|>\xff", sizeof chatml, "not text in UTF-8");
    refuse("<|im_start|><|im_end|>\xe2\x96", sizeof chatml + 1, "not text in UTF-8");
    refuse(chatml, sizeof chatml, "not text in UTF-8"); /* with its NUL */
    refuse(large, MOST, "no known family");
    refuse(large, MOST + 1, "has 262145 bytes; expected at most 262144");
    refuse(large, SIZE_MAX, "expected at most 262144");
    memcpy(large + MOST - strlen(chatml), chatml, strlen(chatml));
    assert_string_equal(chat_of_template(large, MOST).family->name, "ChatML");
    free(large);
}

/* Any bytes are told apart or refused. */
static void test_random(void **state)
{
    (void)state;
    uint64_t seed = 7;
    char text[512];
    for (int k = 0; k < 2000; k++) {
        size_t n = 0;
        while (n < 400) {
            const struct chat_family *f = &chat_families[random_below(&seed, 40)];
            const char *mark = f->marks[random_below(&seed, 2)];
            bool whole = mark && random_below(&seed, 3) > 0;
            n += whole ? (size_t)snprintf(text + n, sizeof text - n, "%.60s", mark) : 1;
            if (!whole)
                text[n - 1] = (char)random_below(&seed, 256);
        }
        struct chat chat = chat_of_template(text, random_below(&seed, n + 1));
        assert_true(chat.family ? !*chat.why : *chat.why);
    }
}

/* ---- what the vocabulary has ----------------------------------------------------------------- */

static void test_missing_token(void **state)
{
    (void)state;
    struct vocabulary v = all_vocabulary();
    pieces[id_of("<|im_start|>")].type = TOKEN_NORMAL;
    v.chat = chat_of_template("<|im_start|><|im_end|>", 22);
    assert_non_null(v.chat.family);
    struct tokenizer *t = make_tokenizer(&v);
    assert_null(tokenizer_chat(t)->family);
    assert_string_equal(tokenizer_chat(t)->why,
                        "the vocabulary has no token '<|im_start|>', which the chat template ChatML needs");
    tokenizer_close(t);
    v = all_vocabulary();
    t = make_tokenizer(&v);
    assert_null(tokenizer_chat(t)->family);
    assert_string_equal(tokenizer_chat(t)->why, "the model has no chat template");
    tokenizer_close(t);
}

/* The end of a turn ends a text, also where a name of that kind is something else in a family. */
static void test_ends(void **state)
{
    (void)state;
    const char *const harmony = "<|start|> <|message|> <|channel|> developer";
    struct tokenizer *none = tokenizer_of_template("{{ x }}"), *t = tokenizer_of_template(harmony);
    assert_true(tokenizer_ends_text(none, id_of("<|end|>")) && !tokenizer_ends_text(none, id_of("<|return|>")));
    assert_true(tokenizer_ends_text(t, id_of("<|return|>")) && tokenizer_ends_text(t, id_of("<|call|>")));
    assert_false(tokenizer_ends_text(t, id_of("<|end|>")));
    tokenizer_close(t);
    struct vocabulary v = all_vocabulary(); /* also where the file says so */
    v.chat = chat_of_template(harmony, strlen(harmony));
    v.ends[v.end_count++] = id_of("<|end|>");
    t = make_tokenizer(&v);
    assert_false(tokenizer_ends_text(t, id_of("<|end|>")));
    tokenizer_close(t);
    tokenizer_close(none);
    t = tokenizer_of_template("<|START_OF_TURN_TOKEN|> <|USER_TOKEN|>");
    assert_true(tokenizer_ends_text(t, id_of("<|END_OF_TURN_TOKEN|>")) && tokenizer_ends_text(t, id_of("<EOS>")));
    assert_false(tokenizer_ends_text(t, id_of("<|USER_TOKEN|>")));
    tokenizer_close(t);
}

/* ---- BOS ------------------------------------------------------------------------------------- */

static void check_begin(const char *template, bool adds_bos, const char *expected)
{
    struct vocabulary v = all_vocabulary();
    v.add_bos = adds_bos;
    v.chat = chat_of_template(template, strlen(template));
    struct tokenizer *t = make_tokenizer(&v);
    struct tokens tokens = ask(t, NULL, "x", false);
    char *spelled = spell(&tokens);
    assert_int_equal(strncmp(spelled, expected, strlen(expected)), 0);
    free(spelled);
    free(tokens.ids);
    tokenizer_close(t);
}

/* In front once, whoever asks for it. */
static void test_bos(void **state)
{
    (void)state;
    check_begin("<|im_start|><|im_end|>", false, "<|im_start|>user");
    check_begin("<|im_start|><|im_end|>", true, "<BOS><|im_start|>user");
    check_begin("{{ bos_token }}<|im_start|><|im_end|>", false, "<BOS><|im_start|>user");
    check_begin("{{ bos_token }}<|im_start|><|im_end|>", true, "<BOS><|im_start|>user");
    check_begin("{{bos_token + message['role'] + '\\n' + eos_token}}", true, "<BOS>user\nx<EOS>\n<BOS>assistant\n");
}

/* ---- what a user spells ---------------------------------------------------------------------- */

static void test_special(void **state)
{
    (void)state;
    struct tokenizer *t = tokenizer_of_template("<|im_start|><|im_end|>");
    int32_t end = id_of("<|im_end|>");
    for (int special = 0; special < 2; special++) {
        struct tokens tokens = ask(t, "<|im_end|>", "a<|im_end|>b", special);
        assert_int_equal(times(&tokens, end), 2 + 2 * special);
        free(tokens.ids);
    }
    struct tokens tokens = ask(t, NULL, "", false); /* which a caller would not ask */
    assert_int_equal(times(&tokens, end), 1);
    free(tokens.ids);
    tokenizer_close(t);
}

/* ---- texts in parts -------------------------------------------------------------------------- */

#define PIECE(text, type)                                                                                              \
    { text, sizeof(text) - 1, 0, type }
#define MERGE(left, right)                                                                                             \
    { left, right, sizeof(left) - 1, sizeof(right) - 1 }

enum { P_A, P_B, P_LESS, P_MORE, P_AB, P_C, P_C2, P_USER, P_STRIPS, P_SPACE, P_COUNT };

static struct tokenizer *small_tokenizer(enum dialect dialect, enum space_prefix space)
{
    static const struct vocabulary_piece small[P_COUNT] = {
        PIECE("a", TOKEN_NORMAL),       PIECE("b", TOKEN_NORMAL),        PIECE("<", TOKEN_NORMAL),
        PIECE(">", TOKEN_NORMAL),       PIECE("ab", TOKEN_NORMAL),       PIECE("<a>", TOKEN_CONTROL),
        PIECE("<a>b", TOKEN_CONTROL),   PIECE("b>", TOKEN_USER_DEFINED), PIECE("<b>", TOKEN_CONTROL),
        PIECE("\xc4\xa0", TOKEN_NORMAL)};
    static const uint8_t added[P_COUNT] = {[P_STRIPS] = ADDED_RSTRIP};
    static const struct merge merges[] = {MERGE("a", "b")};
    return make_tokenizer(&(struct vocabulary){.model = VOCABULARY_BPE,
                                               .pieces = small,
                                               .count = P_COUNT,
                                               .added = added,
                                               .merges = merges,
                                               .merge_count = 1,
                                               .bos = -1,
                                               .eos = -1,
                                               .unknown = -1,
                                               .dialect = dialect,
                                               .space_prefix = space,
                                               .space_place = SPACE_AT_START});
}

static void check_parts(const struct tokenizer *t, const struct text_part *parts, size_t count, const int32_t *ids,
                        size_t id_count)
{
    struct tokens tokens = {0};
    struct error error = {""};
    if (!tokenizer_encode_parts(t, parts, count, &tokens, &error))
        fail_msg("%s", error.text);
    assert_int_equal(tokens.count, id_count);
    for (size_t i = 0; i < id_count; i++)
        assert_int_equal(tokens.ids[i], ids[i]);
    free(tokens.ids);
}

#define TEXT(t)                                                                                                        \
    { .text = t, .size = sizeof(t) - 1 }
#define SPECIAL(t)                                                                                                     \
    { .text = t, .size = sizeof(t) - 1, .special = true }
#define PARTS(...)                                                                                                     \
    (const struct text_part[]){__VA_ARGS__}, sizeof((const struct text_part[]){__VA_ARGS__}) / sizeof(struct text_part)
#define IDS(...) (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t)

static void test_parts(void **state)
{
    (void)state;
    static const enum dialect dialects[] = {DIALECT_SENTENCEPIECE, DIALECT_HUGGING_FACE, DIALECT_LLAMA_CPP};
    for (size_t i = 0; i < 3; i++) {
        struct tokenizer *t = small_tokenizer(dialects[i], SPACE_NEVER);
        check_parts(t, PARTS(TEXT("a"), SPECIAL("b")), IDS(P_AB)); /* words reach over parts */
        check_parts(t, PARTS(SPECIAL("a<a>a")), IDS(P_A, P_C, P_A));
        check_parts(t, PARTS(SPECIAL("<a>b")), IDS(P_C2)); /* the longest */
        check_parts(t, PARTS(SPECIAL("<a>"), TEXT("a")), IDS(P_C, P_A));
        check_parts(t, PARTS(SPECIAL("<a"), SPECIAL(">")), IDS(P_C));
        check_parts(t, PARTS(TEXT("<a>")), IDS(P_LESS, P_A, P_MORE));
        check_parts(t, PARTS(SPECIAL("<a"), TEXT(">")), IDS(P_LESS, P_A, P_MORE)); /* not over what is plain */
        check_parts(t, PARTS(TEXT("<"), SPECIAL("a>")), IDS(P_LESS, P_A, P_MORE));
        check_parts(t, PARTS({.id = P_C}, TEXT("<a>"), {.id = P_B}), IDS(P_C, P_LESS, P_A, P_MORE, P_B));
        check_parts(t, PARTS(SPECIAL("<a>"), TEXT("b>")), IDS(P_C, P_USER)); /* which any text may spell */
        check_parts(t, PARTS(TEXT("")), NULL, 0);
        tokenizer_close(t);
    }
}

/* Between a control token that is text and a shorter one that is none, and with the white space that one takes. */
static void test_overlaps(void **state)
{
    (void)state;
    struct tokenizer *t = small_tokenizer(DIALECT_LLAMA_CPP, SPACE_NEVER);
    check_parts(t, PARTS(SPECIAL("<a>"), TEXT("b")), IDS(P_C, P_B));
    check_parts(t, PARTS(SPECIAL("<b>"), TEXT("  a")), IDS(P_STRIPS, P_A));
    check_parts(t, PARTS(TEXT("<b>  a")), IDS(P_LESS, P_USER, P_SPACE, P_SPACE, P_A));
    tokenizer_close(t);
}

/* The space in front of a text is not behind a token. */
static void test_space_in_front(void **state)
{
    (void)state;
    struct tokenizer *t = small_tokenizer(DIALECT_HUGGING_FACE, SPACE_ALWAYS);
    check_parts(t, PARTS(TEXT("a")), IDS(P_SPACE, P_A));
    check_parts(t, PARTS(SPECIAL("<a>"), TEXT("a")), IDS(P_C, P_A));
    check_parts(t, PARTS({.id = P_C}, TEXT("a")), IDS(P_C, P_A));
    tokenizer_close(t);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void begin_gguf(struct gguffile *f)
{
    static const char *const texts[] = {"<unk>", "<s>", "</s>", "\xe2\x96\x81", "a", "[INST]", "[/INST]"};
    static const int32_t types[] = {2, 3, 3, 1, 1, 3, 3};
    static const float scores[7] = {0};
    gguffile_begin(f, 3);
    gguffile_string(f, "general.architecture", "llama");
    gguffile_string(f, "tokenizer.ggml.model", "llama");
    gguffile_strings(f, "tokenizer.ggml.tokens", 7, texts);
    gguffile_array(f, "tokenizer.ggml.token_type", GGUF_INT32, 7, types);
    gguffile_array(f, "tokenizer.ggml.scores", GGUF_FLOAT32, 7, scores);
}

static struct chat chat_of_gguf(struct gguffile *f)
{
    struct error error = {""};
    struct bytes b = gguffile_bytes(f);
    char *path = path_in(folder, "chat.gguf");
    write_file(path, b.data, b.size);
    struct tokenizer *t = tokenizer_open(path, &error);
    if (!t)
        fail_msg("%s", error.text);
    struct chat chat = *tokenizer_chat(t);
    tokenizer_close(t);
    bytes_free(&b);
    free(path);
    gguffile_free(f);
    return chat;
}

static void test_gguf(void **state)
{
    (void)state;
    static const char tekken[] = "{{ bos_token }}[AVAILABLE_TOOLS]{{ \"[INST]\" }}";
    struct gguffile f;
    begin_gguf(&f);
    assert_string_equal(chat_of_gguf(&f).why, "the model has no chat template");
    begin_gguf(&f);
    gguffile_string(&f, "tokenizer.chat_template", tekken);
    struct chat chat = chat_of_gguf(&f);
    assert_true(chat.family && chat.bos && strcmp(chat.family->name, "Mistral v3 (Tekken)") == 0);
    begin_gguf(&f);
    gguffile_string(&f, "tokenizer.chat_template", "");
    assert_string_equal(chat_of_gguf(&f).why, "the chat template is empty");
    begin_gguf(&f);
    gguffile_uint32(&f, "tokenizer.chat_template", 1);
    assert_string_equal(chat_of_gguf(&f).why, "tokenizer.chat_template is not a string");
    begin_gguf(&f);
    gguffile_string(&f, "tokenizer.chat_template", "<|im_start|><|im_end|>");
    assert_string_equal(chat_of_gguf(&f).why,
                        "the vocabulary has no token '<|im_start|>', which the chat template ChatML needs");
}

/* llama.cpp knows by the name of such a model that its control tokens take the white space behind them. */
static void test_phi3(void **state)
{
    (void)state;
    static const char *const names[] = {"Phi-3 mini", "another"};
    for (size_t i = 0; i < 2; i++) {
        struct gguffile f;
        struct error error = {""};
        begin_gguf(&f);
        gguffile_string(&f, "general.name", names[i]);
        gguffile_bool(&f, "tokenizer.ggml.add_space_prefix", false);
        struct bytes b = gguffile_bytes(&f);
        char *path = path_in(folder, "phi.gguf");
        write_file(path, b.data, b.size);
        struct tokenizer *t = tokenizer_open(path, &error);
        assert_non_null(t);
        check_parts(t, PARTS(SPECIAL("[INST]"), TEXT("  a")),
                    i == 0 ? (const int32_t[]){5, 4} : (const int32_t[]){5, 3, 3, 4}, i == 0 ? 2 : 4);
        tokenizer_close(t);
        bytes_free(&b);
        free(path);
        gguffile_free(&f);
    }
}

/* A folder's template: of these files, null ones are not there. */
static void check_folder(const char *jinja, const char *config, const char *family, const char *why)
{
    static const char json[] = "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},\"added_tokens\":["
                               "{\"id\":1,\"content\":\"<|im_start|>\",\"special\":true},"
                               "{\"id\":2,\"content\":\"<|im_end|>\",\"special\":true}]}";
    static const char *const names[] = {"tokenizer.json", "chat_template.jinja", "tokenizer_config.json"};
    const char *const texts[] = {json, jinja, config};
    char *paths[3];
    struct error error = {""};
    for (size_t i = 0; i < 3; i++) {
        paths[i] = path_in(folder, names[i]);
        if (texts[i])
            write_file(paths[i], texts[i], strlen(texts[i]));
    }
    struct tokenizer *t = tokenizer_open(paths[0], &error);
    if (!t)
        fail_msg("%s", error.text);
    const struct chat *chat = tokenizer_chat(t);
    if (family ? !chat->family || strcmp(chat->family->name, family) != 0 : chat->family || !strstr(chat->why, why))
        fail_msg("%s, %s", chat->family ? chat->family->name : "no family", chat->why);
    tokenizer_close(t);
    for (size_t i = 0; i < 3; i++) {
        remove(paths[i]);
        free(paths[i]);
    }
}

static void test_folder(void **state)
{
    (void)state;
    static const char chatml[] = "<|im_start|><|im_end|>", other[] = "{\"chat_template\": \"{{ x }}\"}";
    check_folder(NULL, NULL, NULL, "has no chat template");
    check_folder(NULL, "{}", NULL, "has no chat template");
    check_folder(NULL, "{\"chat_template\": null}", NULL, "has no chat template");
    check_folder(NULL, "{\"chat_template\": \"<|im_start|><|im_end|>\"}", "ChatML", NULL);
    check_folder(chatml, NULL, "ChatML", NULL);
    check_folder(chatml, other, "ChatML", NULL); /* the newer place counts */
    check_folder("", "{\"chat_template\": \"<|im_start|><|im_end|>\"}", NULL, "chat_template.jinja cannot be read");
    check_folder(NULL, other, NULL, "no known family");
    check_folder(NULL, "{\"chat_template\": 7}", NULL, "chat_template of tokenizer_config.json cannot be read");
    check_folder(NULL,
                 "{\"chat_template\": [{\"name\": \"tools\", \"template\": \"\"}, {\"name\": \"default\", "
                 "\"template\": \"<|im_start|><|im_end|>\"}]}",
                 "ChatML", NULL);
    check_folder(NULL, "{\"chat_template\": [{\"name\": \"tools\"}, 3, [], \"default\"]}", NULL, "cannot be read");
    check_folder(NULL, "{\"chat_template\": [{\"name\": \"default\"}]}", NULL, "has no chat template");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marks),          cmocka_unit_test(test_rows),     cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_random),   cmocka_unit_test(test_missing_token),
        cmocka_unit_test(test_ends),           cmocka_unit_test(test_bos),      cmocka_unit_test(test_special),
        cmocka_unit_test(test_parts),          cmocka_unit_test(test_overlaps), cmocka_unit_test(test_gguf),
        cmocka_unit_test(test_space_in_front), cmocka_unit_test(test_phi3),     cmocka_unit_test(test_folder),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
