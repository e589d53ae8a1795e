/* qtop report from outside, and the key P: what is written, and what is refused in one line. */
#include "tuiwork.h"

#include "child.h"
#include "xmlcheck.h"

#include <signal.h>

static char *out_file, *err_file; /* standard streams */

/* The exit status of `qtop WORDS`; its standard streams are in the files. */
static int run_qtop(const char *const *words)
{
    return child_wait(child_start(words, out_file, err_file, NULL));
}

/* A file as text; the caller frees. */
static char *text_of(const char *path)
{
    size_t n;
    char *text = read_whole(path, &n);
    if (!text)
        fail_msg("%s is not there", path);
    return text;
}

static void assert_says(const char *path, const char *what)
{
    char *text = text_of(path);
    if (!strstr(text, what))
        fail_msg("'%s' is not in '%.300s'", what, text);
    free(text);
}

#define ACCEPT(...) assert_accepted(WORDS(__VA_ARGS__))
static void assert_accepted(const char *const *words)
{
    int status = run_qtop(words);
    char *said = text_of(err_file);
    if (status != 0)
        fail_msg("status %d: %s", status, said);
    free(said);
}

#define REFUSE(STATUS, SAYS, ...) assert_refusal(STATUS, SAYS, WORDS(__VA_ARGS__))
static void assert_refusal(int status, const char *says, const char *const *words)
{
    int got = run_qtop(words);
    char *said = text_of(err_file);
    char *end = strchr(said, '\n');
    if (got != status || !strstr(said, says) || !end || end[1])
        fail_msg("status %d, '%s'; expected %d, '%s'", got, said, status, says);
    free(said);
}

/* Well-formed, and not more than what a report has. The caller frees. */
static char *html_of(const char *path)
{
    char *html = text_of(path);
    const char *wrong = xml_wrong(html, strlen(html));
    if (wrong)
        fail_msg("%s: %s", path, wrong);
    assert_int_equal(xml_count(html, "script"), 0);
    return html;
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static int begin(void **state)
{
    int status = make_files(state);
    setenv("QTOP_BIN", binary, 1);
    out_file = path_in(folder, "stdout");
    err_file = path_in(folder, "stderr");
    return status;
}

static int finish(void **state)
{
    free(out_file);
    free(err_file);
    return remove_files(state);
}

/* ---- of a model -------------------------------------------------------------------------------- */

static void test_model(void **state)
{
    char *path = path_in(folder, "model report.html"), *again = path_in(folder, "r.md");
    (void)state;
    ACCEPT("report", "-t", "1", "-n", "120", "-s", "q4_0", "-s", "int4:g32", model, "-o", path);
    char *html = html_of(path);
    assert_int_equal(xml_count(html, "svg"), 4 + 7); /* an image a kind of layers */
    static const char *const parts[] = {"<h1>model.bin</h1>", "3 blocks, 64 wide", ">stored", ">q4_0", ">int4:g32",
                                        "Layers as in int4:g32", "blk.2.", "attn_q", "memory reads", "processor",
                                        "qtop report -t 1 -n 120 -s q4_0 -s int4:g32", "model report.html&#39;"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strstr(html, parts[i]))
            fail_msg("'%s' is not in the report", parts[i]);
    free(html);
    ACCEPT("report", "-t", "1", "-n", "120", "-s", "q4_0", model, "-o", again);
    assert_says(again, "| embedding | 0");
    assert_says(again, "| 2 | ");
    free(path);
    free(again);
}

static void test_refused(void **state)
{
    char *good = path_in(folder, "x.html"), *text = path_in(folder, "x.txt"), *none = path_in(folder, "no/x.html");
    char *full = path_in(folder, "full.html"), *inside = path_in(folder, "folder.html");
    (void)state;
    REFUSE(2, "needs -o FILE", "report", model);
    REFUSE(2, "expected .html or .md", "report", "-o", text, model);
    REFUSE(2, "expected .html or .md", "report", "-o", "html", model);
    REFUSE(2, "expected no model", "report", "--from", "x.json", "-o", good, model);
    REFUSE(2, "balance", "report", "--for", "gguf", "-o", good, model);
    REFUSE(2, "unknown weight", "report", "-s", "int3", "-o", good, model);
    REFUSE(1, "cannot be written", "report", "-o", none, model);
    assert_int_equal(mkdir(inside, 0700), 0);
    REFUSE(1, "folder", "report", "-o", inside, model);
    assert_int_equal(symlink("/dev/full", full), 0);
    REFUSE(1, "cannot be written: No space left", "report", "-n", "20", "-t", "1", "-s", "int8", "-o", full, model);
    assert_false(is_there(good));
    free(good);
    free(text);
    free(none);
    free(full);
    free(inside);
}

/* ---- of records -------------------------------------------------------------------------------- */

static void append(const char *from, const char *to)
{
    struct bytes b = read_file(from);
    FILE *f = fopen(to, "a");
    assert_int_equal(fwrite(b.data, 1, b.size, f), b.size);
    fclose(f);
    bytes_free(&b);
}

/* What each command writes is read, alone and all together. */
static void test_records(void **state)
{
    const char *const *commands[] = {
        WORDS("advise", "--json", "-t", "1", "-n", "60", model),
        WORDS("eval", "--json", "-t", "1", "-n", "60", "-s", "q4_0", model),
        WORDS("bench", "--json", "-t", "1", "-n", "2", "-s", "q4_0", model),
        WORDS("inspect", "--json", "-t", "1", "--alone", "-s", "q4_0", model),
        WORDS("tune", "--json", "-t", "1", "-n", "60", "--max-bits", "6", "--seconds", "1", model),
    };
    char *path = path_in(folder, "records.html"), *all = path_in(folder, "all.json");
    (void)state;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        assert_accepted(commands[i]);
        char *one = path_in(folder, "one.json");
        append(out_file, all);
        rename(out_file, one);
        ACCEPT("report", "--from", one, "-o", path);
        free(html_of(path));
        free(one);
    }
    ACCEPT("report", "--from", all, "-o", path);
    char *html = html_of(path);
    assert_int_equal(xml_count(html, "svg"), 3); /* front, map, depth */
    assert_non_null(strstr(html, "--from "));
    free(html);
    free(path);
    free(all);
}

static void test_refused_records(void **state)
{
    char *path = path_in(folder, "kept.html"), *bad = path_in(folder, "bad.json"), *fifo = path_in(folder, "fifo");
    (void)state;
    write_file(path, "before", 6);
    write_file(bad, "{\"tokens\":1}\n", 13);
    REFUSE(1, "bad.json: record 1", "report", "--from", bad, "-o", path);
    REFUSE(1, "No such file", "report", "--from", "/nowhere.json", "-o", path);
    REFUSE(1, "is a directory", "report", "--from", folder, "-o", path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    REFUSE(1, "fifo", "report", "--from", fifo, "-o", path);
    assert_says(path, "before"); /* nothing is lost */
    free(path);
    free(bad);
    free(fifo);
}

/* ---- of the terminal program --------------------------------------------------------------------- */

static void ask_report(const char *path)
{
    press("P");
    wait_for("write report to:");
    press(CLEAR_LINE);
    press(path);
    press("\r");
}

static void test_key(void **state)
{
    char *path = path_in(folder, "frame.html"), *wrong = path_in(folder, "frame.txt");
    (void)state;
    start(30, 120);
    go_to("attn_q");
    type_scheme("int4");
    await_cell("attn_q", "WEIGHT", "int4");
    press("s");
    wait_for("kept");
    press("P");
    wait_for("write report to: model-report.html");
    press("\033");
    wait_gone("write report to:");
    ask_report(wrong);
    wait_for("expected .html or .md");
    press("\033");
    ask_report(path);
    wait_for("report written to");
    char *html = html_of(path);
    assert_non_null(strstr(html, "<td class=\"n\">A</td>"));
    assert_non_null(strstr(html, "model.bin"));
    assert_non_null(strstr(html, "the key E measures it"));
    free(html);
    write_file(path, "before", 6);
    ask_report(path);
    wait_for("Enter again overwrites it");
    assert_says(path, "before");
    press("\r");
    wait_for("report written to");
    free(html_of(path));
    assert_ends("q");
    free(path);
    free(wrong);
}

/* A full disk is said, and the line stays open. */
static void test_key_full(void **state)
{
    char *full = path_in(folder, "full disk.md");
    (void)state;
    assert_int_equal(symlink("/dev/full", full), 0);
    start(30, 120);
    ask_report(full);
    wait_for("No space left");
    wait_for("write report to:");
    press("\033");
    assert_ends("q");
    launch(30, 120, model, WORDS("--readonly"), NULL);
    ready();
    press("P");
    wait_for("--readonly");
    assert_ends("q");
    free(full);
}

/* A session that the terminal program saved has what a report needs; nothing is measured again. */
static void test_session(void **state)
{
    char *kept = path_in(folder, "kept.qtop"), *path = path_in(folder, "session.html");
    (void)state;
    start(30, 120);
    press("s");
    wait_for("kept");
    wait_match("KL 0");
    press("5");
    wait_match(">A .*100.0%");
    press("NFirst <one>\r");
    wait_for("is named");
    press("W" CLEAR_LINE);
    press(kept);
    press("\r");
    wait_for("session saved");
    assert_ends("q");
    ACCEPT("report", kept, "-o", path);
    char *html = html_of(path);
    assert_non_null(strstr(html, "<td class=\"n\">A</td>"));
    assert_non_null(strstr(html, "model.bin"));
    free(html);
    ACCEPT("report", "--from", kept, "-o", path);
    free(kept);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),           cmocka_unit_test(test_refused),
        cmocka_unit_test(test_records),         cmocka_unit_test(test_refused_records),
        TEST(test_key),                         TEST(test_key_full),
        TEST(test_session),
    };
    return cmocka_run_group_tests(tests, begin, finish);
}
