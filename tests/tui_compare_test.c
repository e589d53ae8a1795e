/* Schemes against each other: snapshots, the Compare screen, evaluation, another reference, the search within a
 * budget; and what is written of them, recipes and models. */
#include "tuiwork.h"

#include <sys/stat.h>

/* ---- snapshots and evaluation ---------------------------------------------------------------- */

static void test_snapshots(void **state)
{
    (void)state;
    start(24, 100);
    press("5");
    wait_for("no snapshots yet");
    press("x");
    wait_match("two snapshots|no snapshot");
    press("1s");
    wait_for("snapshot A");
    press(PTY_KEY_HOME "j");
    await_selected("blk.0");
    type_scheme("int4");
    await_cell("blk.0", "WEIGHT", "int4");
    press("s");
    wait_for("snapshot B");
    press("x");
    await_cell("blk.0", "WEIGHT", "fp32*");
    press("x");
    await_cell("blk.0", "WEIGHT", "int4");
    press("5");
    wait_match("^ ?A +stored");
    wait_match("^>B ");
    wait_match("^>B .*0\\.[0-9]{4}"); /* KL, of the evaluation that runs by itself */
    press(PTY_KEY_HOME "\r");
    wait_match("^>A ");
    press(PTY_KEY_END "\r");
    wait_match("^>B ");
    press("1u5");
    wait_match("^>A ");
    press("x");
    wait_match("^>B ");
    press("x");
    wait_match("^>A ");
    press("1");
    await_cell("blk.0", "WEIGHT", "fp32*");
    assert_ends("q");
}

static void test_compare_screen(void **state)
{
    (void)state;
    start(34, 120);
    press("s" PTY_KEY_HOME "j+"); /* a block's row stands for its layers */
    await_selected("blk.0");
    type_scheme("int4:g16");
    await_cell("blk.0", "WEIGHT", "int4");
    press("se");
    wait_match("KL +[0-9.e-]+");
    press("5");
    await_tab(4);
    wait_match("SCHEME +SIZE +BITS +DECODE/s +VS BASE +GB/s +SQNR +KL");
    wait_match("^ A .* base ");
    wait_match(">B .*n/a .press v"); /* what each did at another time is no ratio */
    wait_match("quality on mixed text, [0-9]+ tokens .full, windows of [0-9]+.");
    wait_match("KL .*ppl .*top-1 .* mixed text [0-9]+"); /* and in the header */
    press("s");
    wait_for("snapshot B has these schemes");
    wait_match(">B .* [0-9.]+ +[0-9.]+(e-[0-9]+)? ");
    wait_for("KL against size");
    press("v");
    wait_for("timed in 31 rounds");
    press(">");
    wait_for("KL against decode tokens/s, with the Pareto front");
    wait_match(">B .*[0-9.]+x .[0-9.]+-[0-9.]+.");
    press(PTY_KEY_END "=");
    wait_match(">B .* base ");
    press(PTY_KEY_HOME "D");
    wait_for("A against B: layers that differ");
    wait_match("blk.0.attn_q +stored +int4:g16");
    press("1");
    await_tab(0);
    await_cell("blk.0", "WEIGHT", "int4"); /* D changed no layer */
    assert_ends("q");
}

static void test_evaluation(void **state)
{
    (void)state;
    start(24, 132);
    press("e");
    wait_match("KL 0 .*ppl [0-9.]+");
    press(PTY_KEY_HOME "j");
    await_selected("blk.0");
    type_scheme("int4:tensor");
    await_cell("blk.0", "WEIGHT", "int4");
    press("e");
    wait_match("KL 0\\.[0-9]+.*ppl [0-9.]+.*top-1 +[0-9.]+");
    wait_match("[0-9.]+x vs stored .[0-9.]+-[0-9.]+.");
    press("d");
    wait_match("before the change: KL 0|KL 0\\.00[0-9]+"); /* of fp8, where it was measured in the meantime */
    assert_ends("q");
}

/* int8 groups against the fp32 that they were made of: what is stored has an error of its own. */
static void test_another_reference(void **state)
{
    struct model_spec spec = small_spec;
    char sqnr[CELL_TEXT], *rest;
    (void)state;
    spec.version = 2;
    char *groups = write_model("groups.bin", &spec);
    launch(40, 132, groups, WORDS("--reference", model), NULL);
    free(groups);
    ready();
    wait_for("groups.bin");
    wait_for("reference model.bin");
    await_cell("attn_q", "WEIGHT", "int8*");
    cell_at(term, row_of(term, "attn_q", 0), "SQNR", sqnr);
    double db = strtod(sqnr, &rest);
    assert_true(db > 20 && db < 80 && *rest == 0);
    assert_cell("attn_norm", 0, "SQNR", "exact");
    press_until("e", "evaluating against the reference");
    go_to("attn_q");
    press("2");
    wait_match("blk.0.attn_q .*stored");
    wait_match("SQNR weights +[0-9.]+ dB, live output +[0-9.]+ dB");
    wait_match("weights: .*error.*output error");
    wait_match("KL [0-9.]*[1-9]");
    press(PTY_KEY_UP);
    wait_for("identical to the reference's weights");
    press("6");
    wait_match("reference(: no difference so far| .bold: from the first difference)");
    assert_ends("q");
}

/* One more layer: the predictions are compared, the layers are not, and every place says so. */
static void test_a_deeper_reference(void **state)
{
    struct model_spec spec = small_spec;
    (void)state;
    spec.layers++;
    char *deeper = write_model("deeper.bin", &spec);
    launch(40, 132, model, WORDS("--reference", deeper), NULL);
    free(deeper);
    ready();
    wait_for("reference deeper.bin");
    go_to("attn_q");
    type_scheme("int4");
    await_cell("attn_q", "WEIGHT", "int4");
    assert_cell("attn_q", 0, "SQNR", "n/a");
    press("se");
    wait_match("KL [0-9.]*[1-9].*ppl [0-9.]+.*top-1 [0-9.]+%");
    press("2");
    wait_for("SQNR n/a");
    wait_for("errors of layers n/a: the reference has 4 layers, the model 3");
    press("C");
    wait_for("methods cannot be compared: the reference has 4 layers");
    press("5");
    wait_match(">A .* n/a +[0-9.]+(e-[0-9]+)? ");
    press("6");
    wait_match("reference(: no difference so far| .bold: from the first difference)");
    assert_ends("q");
}

static void test_search_within_a_budget(void **state)
{
    (void)state;
    start(30, 120);
    press("T");
    wait_for("budget (size, bits, kl or rate): kl 0.01");
    press(CLEAR_LINE "speed 3\r");
    wait_match("'speed': expected size, bits, kl, rate or for");
    press(CLEAR_LINE "size 10k\r"); /* which only the search's own numbers refuse: the line comes back */
    wait_match("^size 10k cannot be reached: the smallest choice has [0-9.]+k");
    wait_for("budget (size, bits, kl or rate): size 10k");
    press("\177\177\177200k\r"); /* what is there is edited */
    wait_match("searching|generating|measuring every layer|found KL");
    wait_match("found KL [0-9.e-]+ in [0-9]+ bytes, [0-9.]+ bits linear, [0-9.]+ all .snapshot A");
    wait_match("size +1[0-9][0-9]kB of 575kB");
    press("u");
    wait_for("undone; nothing more to undo");
    wait_match("size +575kB of 575kB");
    press("T");
    wait_for("budget (size, bits, kl or rate): size 200k"); /* the last one */
    press(PTY_KEY_ESC);
    wait_gone("budget (");
    assert_ends("q");
}

/* The number of bytes behind some words on the screen. */
static size_t bytes_behind(const char *words)
{
    char *dump = pty_dump(term);
    const char *at = strstr(dump, words);
    size_t n = at ? strtoul(at + strlen(words), NULL, 10) : 0;
    free(dump);
    return n;
}

/* What the search says, the file has: within the budget. */
static void test_search_for_a_file(void **state)
{
    char *path = path_in(folder, "searched.gguf"), line[600];
    struct stat st;
    (void)state;
    start(30, 80);
    press("T" CLEAR_LINE "size 200k for gptq\r");
    wait_for("for 'gptq': its layers all have one scheme; expected memory, gguf or safetensors");
    press(CLEAR_LINE "size 199k for gguf\r");
    wait_match("found KL [0-9.e-]+ in [0-9]+ bytes as gguf, [0-9.]+ bits linear, [0-9.]+ all ");
    size_t said = bytes_behind(" in ");
    wait_match("size +1[0-9][0-9]kB gguf  [0-9.]+ lin"); /* all sizes are those of the file */
    assert_true(pty_resize(term, 30, 160));
    wait_match("size +1[0-9][0-9]kB as gguf, 1[0-9][0-9]kB in memory");
    wait_match("LAYER .* FILE");
    press("u");
    wait_match("size +575kB of 575kB");
    wait_match("LAYER .* SIZE");
    press("\022"); /* again: Ctrl-R */
    wait_match("size +1[0-9][0-9]kB as gguf");
    press("o");
    wait_for("export to:");
    snprintf(line, sizeof line, CLEAR_LINE "%s\r", path);
    press(line);
    wait_match("exported to .*searched.gguf, [0-9]+ bytes");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, said);
    assert_true(said <= 199000 && said > 150000);
    assert_ends("q");
    unlink(path);
    free(path);
}

/* ---- recipes and models ---------------------------------------------------------------------- */

static void test_recipe(void **state)
{
    char *path = path_in(folder, "written.txt");
    (void)state;
    start(24, 100);
    go_to("attn_q");
    type_scheme("int4:g32");
    press("w");
    wait_for("write recipe to");
    press(CLEAR_LINE);
    press(path);
    press("\r");
    wait_for("recipe written");
    struct bytes b = read_file(path);
    assert_non_null(b.data);
    assert_non_null(strstr((char *)b.data, "blk.0.attn_q"));
    assert_non_null(strstr((char *)b.data, "int4:g32"));
    bytes_free(&b);
    press("w" CLEAR_LINE "/nonexistent/recipe\r");
    wait_for("/nonexistent/recipe");
    assert_ends("q");
    launch(24, 100, model, WORDS("-r", path), NULL);
    ready();
    await_cell("attn_q", "GROUP", "g32");
    assert_cell("attn_q", 0, "WEIGHT", "int4");
    assert_ends("q");
    free(path);
}

static void test_export(void **state)
{
    (void)state;
    char *path = path_in(folder, "exported.gguf"), line[600];
    start(30, 120);
    go_to("attn_q");
    type_scheme("int4:g32");
    await_cell("attn_q", "WEIGHT", "int4");
    press("o");
    wait_for("export to: model-mixed.gguf");
    snprintf(line, sizeof line, CLEAR_LINE "%s\r", path);
    press(line);
    wait_match("exported to .*exported.gguf, [0-9]+ bytes");
    press("o" CLEAR_LINE "/nonexistent/model.safetensors for gptq\r");
    wait_for("blk.0.attn_k: gptq holds models whose linear layers");
    press("o" CLEAR_LINE "/nonexistent/model.gguf\r");
    wait_match("/nonexistent/model.gguf.*No such file");
    type_scheme("int8:channel");
    await_cell("attn_q", "WEIGHT", "int8");
    press("o");
    wait_for("export to:");
    press(line);
    wait_for("Enter again overwrites it");
    press("\r");
    wait_match("blk.0.attn_q.*int8"); /* GGUF has no type for it: named */
    assert_ends("q");
    launch(24, 100, path, NULL, NULL);
    wait_for("exported.gguf");
    go_to("attn_q");
    await_cell("attn_q", "WEIGHT", "q4_0*");
    assert_ends("q");
    unlink(path);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_snapshots),
        TEST(test_compare_screen),
        TEST(test_evaluation),
        TEST(test_another_reference),
        TEST(test_a_deeper_reference),
        TEST(test_search_within_a_budget),
        TEST(test_search_for_a_file),
        TEST(test_recipe),
        TEST(test_export),
    };
    cmocka_set_test_filter(getenv("QTOP_TEST")); /* a pattern, or null for all */
    return cmocka_run_group_tests_name("tui_compare", tests, make_files, remove_files);
}
