/* A model with a chat template: what the terminal program asks it, and qtop generate --chat. */
#include "tuiwork.h"

#include "child.h"

#include <string.h>

#define QUESTION "Explain in a few sentences why the sky is blue."

static char *chat; /* the model's file */

/* A copy of a GGUF file with one more key, a string, before the others. Its length keeps tensors aligned. */
static void add_template(const char *from, const char *to, const char *template)
{
    static const char key[] = "tokenizer.chat_template";
    enum { HEADER = 24, KEY = sizeof key - 1, STRING = 8, ALIGNMENT = 32 };
    struct bytes b = read_file(from);
    uint64_t pairs, key_size = KEY, size = strlen(template);
    uint32_t type = STRING;
    while ((8 + KEY + 4 + 8 + size) % ALIGNMENT)
        size++;
    uint8_t *out = make(b.size + 8 + KEY + 4 + 8 + size), *at = out + HEADER;
    memcpy(out, b.data, HEADER);
    memcpy(&pairs, out + 16, 8);
    pairs++;
    memcpy(out + 16, &pairs, 8);
    memcpy(at, &key_size, 8);
    memcpy(at += 8, key, KEY);
    memcpy(at += KEY, &type, 4);
    memcpy(at += 4, &size, 8);
    memset(at += 8, ' ', size);
    memcpy(at, template, strlen(template));
    memcpy(at += size, b.data + HEADER, b.size - HEADER);
    write_file(to, out, (size_t)(at - out) + b.size - HEADER);
    free(out);
    bytes_free(&b);
}

static int make_chat_files(void **state)
{
    if (make_files(state) != 0)
        return -1;
    char *plain = path_in(folder, "plain.gguf"), *out = path_in(folder, "out");
    chat = path_in(folder, "chat.gguf");
    assert_int_equal(child_wait(child_start(WORDS("export", model, "-o", plain), out, "/dev/null", NULL)), 0);
    add_template(plain, chat, "{{ bos_token + ' [INST] ' + content + ' [/INST]' }}");
    free(plain);
    free(out);
    return 0;
}

static int remove_chat_files(void **state)
{
    free(chat);
    return remove_files(state);
}

/* ---- the terminal program -------------------------------------------------------------------- */

static void test_screen(void **state)
{
    (void)state;
    launch(24, 100, chat, NULL, NULL);
    ready();
    press("6");
    wait_for("chat: Mistral v1 (c: raw text)");
    wait_match("^" QUESTION);
    press("ithe hen in the barn\r");
    wait_match("^the hen in the barn");
    wait_gone(QUESTION);
    press("c");
    wait_for("chat: raw text (c: Mistral v1)");
    wait_match("^the hen in the barn");
    press("c");
    wait_for("chat: Mistral v1 (c: raw text)");
    press("i\r"); /* nothing: a plain question again */
    wait_match("^" QUESTION);
    press("c");
    wait_gone(QUESTION);
    assert_ends("q");
}

static void test_options(void **state)
{
    (void)state;
    launch(24, 100, chat, WORDS("-p", "on the barn", "--system", "the hen"), NULL);
    ready();
    press("6");
    wait_for("chat: Mistral v1");
    wait_match("^on the barn");
    assert_ends("q");
}

/* A whole turn does not fit: the text begins as that of any other model. */
static void test_small_context(void **state)
{
    (void)state;
    launch(24, 100, chat, WORDS("-c", "8", "-w", "8"), NULL);
    ready();
    press("6");
    wait_for("chat: raw text (c: Mistral v1)");
    press("c");
    wait_match("the prompt has [0-9]+ tokens; the context holds 8");
    wait_for("chat: raw text (c: Mistral v1)");
    assert_ends("q");
}

static void test_model_without(void **state)
{
    (void)state;
    start(24, 100);
    press("6");
    wait_match("this scheme, seed");
    press("c");
    wait_for("the model has no chat template: prompts are texts to continue");
    assert_false(pty_find(term, "chat: raw", NULL, NULL));
    assert_ends("q");
}

/* ---- generate -------------------------------------------------------------------------------- */

/* Runs and compares the beginning of standard output; standard error has a text. */
static void check_generate(const char *const *words, int status, const char *begin, const char *said)
{
    char *out = path_in(folder, "out"), *err = path_in(folder, "err");
    assert_int_equal(child_wait(child_start(words, out, err, NULL)), status);
    struct bytes a = read_file(out), b = read_file(err);
    if (a.size < strlen(begin) || memcmp(a.data, begin, strlen(begin)) != 0)
        fail_msg("'%.*s'; expected '%s'", (int)a.size, (const char *)a.data, begin);
    if (!memmem(b.data, b.size, said, strlen(said)))
        fail_msg("'%.*s'; expected '%s'", (int)b.size, (const char *)b.data, said);
    bytes_free(&a);
    bytes_free(&b);
    free(out);
    free(err);
}

static void test_generate(void **state)
{
    (void)state;
    check_generate(WORDS("generate", "--chat", "-n", "4", "-p", "the <s> hen", chat), 0, "the <s> hen\n",
                   "qtop: chat template: Mistral v1\n");
    check_generate(WORDS("generate", "--chat", "-n", "4", "--system", "on", "--special", chat), 0, QUESTION "\n",
                   "qtop: chat template: Mistral v1\n");
    check_generate(WORDS("generate", "--chat", "-n", "4", "-p", "the hen", model), 0, "the hen",
                   "qtop: note: the model has no chat template: the prompt is used as it is\n");
    check_generate(WORDS("generate", "-n", "4", "-p", "the hen", chat), 0, "the hen", "qtop: decode");
    check_generate(WORDS("generate", "--system", "on", chat), 2, "", "qtop: --system goes with --chat");
    check_generate(WORDS("generate", "--chat", "-c", "4", chat), 1, "", "tokens; the context holds 4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_screen),
        TEST(test_options),
        TEST(test_small_context),
        TEST(test_model_without),
        cmocka_unit_test(test_generate),
    };
    cmocka_set_test_filter(getenv("QTOP_TEST")); /* a pattern, or null for all */
    return cmocka_run_group_tests_name("tui_chat", tests, make_chat_files, remove_chat_files);
}
