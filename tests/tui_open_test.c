/* Another model from inside: by name, from the list of recent files, and what cannot be opened. */
#include "tuiwork.h"

#include "views/recent.h"

static char *other;

static int make_models(void **state)
{
    static const struct model_spec larger = {1, false, 96, 128, 5, 4, 2, 400, 128, 32, 2};
    if (make_files(state) != 0)
        return -1;
    other = write_model("other.bin", &larger);
    return 0;
}

static int remove_models(void **state)
{
    free(other);
    return remove_files(state);
}

static void type_path(const char *path)
{
    press("O");
    wait_for("open:");
    press(path);
    press("\r");
}

static void test_open(void **state)
{
    (void)state;
    start(24, 100);
    wait_for("model.bin");
    type_path(other);
    wait_for("other.bin  llama  5 layers");
    ready();
    press("O");
    wait_for("files opened last");
    wait_match("^ .*/other.bin$");
    press(PTY_KEY_DOWN PTY_KEY_DOWN "\r");
    wait_for("model.bin  llama  3 layers");
    ready();
    assert_ends("q");
}

static void test_what_cannot_be_opened(void **state)
{
    char *folder_path = path_in(folder, "empty"), *cut = path_in(folder, "cut.bin");
    struct bytes b = read_file(model);
    (void)state;
    mkdir(folder_path, 0700);
    write_file(cut, b.data, b.size / 2);
    bytes_free(&b);
    start(24, 110);
    type_path("/nonexistent/model.gguf");
    wait_for("/nonexistent/model.gguf: ");
    type_path(folder_path);
    wait_for("is a directory without a model");
    type_path(cut);
    wait_for("cut.bin: ");
    press("O\r"); /* nothing was typed */
    wait_gone("open:");
    wait_for("model.bin  llama  3 layers");
    assert_alive();
    assert_ends("q");
    free(folder_path);
    free(cut);
}

/* Snapshots that nobody wrote are asked about first. */
static void test_question(void **state)
{
    (void)state;
    start(24, 110);
    wait_match(DECODING);
    press("s");
    wait_for("snapshot A");
    type_path(other);
    wait_for("open it (y/n)? this would be lost: 1 unwritten snapshot");
    press("n");
    wait_gone("(y/n)");
    wait_for("model.bin  llama  3 layers");
    type_path(other);
    wait_for("open it (y/n)?");
    press("y");
    wait_for("other.bin  llama  5 layers");
    ready();
    assert_ends("q");
}

/* q is about the program, whatever was asked before. */
static void test_quit_from_the_question(void **state)
{
    (void)state;
    start(24, 110);
    wait_match(DECODING);
    press("s");
    wait_for("snapshot A");
    type_path(other);
    wait_for("open it (y/n)?");
    press("q");
    wait_for("quit (y/n)?");
    press("y");
    assert_int_equal(pty_wait_exit(term, PATIENCE), 0);
    assert_restored();
}

/* At most so many, the newest first, none twice. */
static void test_recent(void **state)
{
    struct recent r;
    struct error error;
    (void)state;
    for (int i = 0; i < RECENT_FILES + 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "file%d", i);
        char *path = path_in(folder, name);
        write_file(path, "x", 1);
        assert_true(recent_add(path, &error));
        assert_true(recent_add(path, &error));
        free(path);
    }
    assert_true(recent_load(&r, &error));
    assert_int_equal(r.count, RECENT_FILES);
    assert_non_null(strstr(r.path[0], "/file22"));
    assert_non_null(strstr(r.path[RECENT_FILES - 1], "/file3"));
    recent_free(&r);
}

static void test_broken_list(void **state)
{
    static const char *const lists[] = {"", "{", "{\"a\": 1}", "[1, null, \"\"]"};
    char *file = path_in(folder, "config/qtop/recent.json");
    struct recent r;
    struct error error;
    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        write_file(file, lists[i], strlen(lists[i]));
        assert_int_equal(recent_load(&r, &error), i == 3);
        assert_int_equal(r.count, 0);
    }
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_open), TEST(test_what_cannot_be_opened), TEST(test_question),
                                       TEST(test_quit_from_the_question), TEST(test_recent), TEST(test_broken_list)};
    return cmocka_run_group_tests(tests, make_models, remove_models);
}
