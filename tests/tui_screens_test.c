/* What the screens show: the meters; Error and the methods, Roofline, Counters, Machine and Text; models of every
 * format on all of them. */
#include "tuiwork.h"

/* ---- all of them ----------------------------------------------------------------------------- */

static void test_meters(void **state)
{
    (void)state;
    start(24, 100);
    wait_match(DECODING);
    wait_match("memory.*GB/s");
    wait_match("size .*bits");
    wait_match("prefill +[0-9.]+");
    await_other("attn_q", "us/TOK", "-");
    assert_ends("q");
}

static void test_pause(void **state)
{
    (void)state;
    start(24, 100);
    wait_match(DECODING);
    press("p");
    wait_match("decode.*paused");
    press("p");
    wait_match(DECODING);
    assert_ends("q");
}

static void test_screens(void **state)
{
    (void)state;
    start(24, 80);
    await_tab(0);
    for (int t = 0; t < TABS; t++) {
        press(tabs[t].key);
        await_tab(t);
    }
    for (int t = 0; t < TABS; t++) {
        press(PTY_KEY_TAB);
        await_tab(t);
    }
    for (int t = TABS - 2; t >= 0; t--) {
        press(PTY_KEY_BACKTAB);
        await_tab(t);
    }
    press(PTY_KEY_BACKTAB);
    await_tab(TABS - 1);
    assert_ends("q");
}

static bool clears(struct pty *p, void *arg)
{
    (void)arg;
    return pty_raw_has(p, "\033[2J", 4) || pty_raw_has(p, "\033[J", 3);
}

static void test_redraw(void **state)
{
    (void)state;
    start(24, 80);
    pty_settle(term, 0.02, 1);
    pty_raw_clear(term);
    press("\f");
    wait_until(clears, NULL, "a clear screen");
    ready();
    assert_ends("q");
}

/* Models of every format and of architectures with other tensors than a Llama's. */
static void test_every_screen_on_every_format(void **state)
{
    static const struct {
        const char *path, *layer;
    } models[] = {{"gpt2", "attn_qkv"},
                  {"phi3/model.safetensors", "ffn_gate_up"},
                  {"gpt2/pytorch_model.bin", "ffn_up"},
                  {"gemma2/gemma2.gguf", "post_ffw_norm"}};
    static const char *const expected[] = {"token_embd", "SQNR weights [0-9]", "MAC/B", "task-clock", "^.A +",
                                           "seed [0-9]+", "READ GB/s", "A measures the schemes", "KL of each layer alone", "opened: every layer as stored"};
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char *path;
        assert_true(asprintf(&path, "%s/tests/data/arch/%s", SRCDIR, models[i].path) > 0);
        launch(32, 100, path, NULL, NULL);
        wait_for(models[i].layer);
        wait_match(DECODING);
        press("/attn_output\r");
        type_scheme("int4:g16");
        wait_match("attn_output +[0-9x]+ +int4");
        press("s");
        for (int t = 0; t < TABS; t++) {
            press(tabs[t].key);
            await_tab(t);
            wait_match(expected[t]);
        }
        assert_ends("q");
        free(path);
    }
}

/* ---- the error and the methods --------------------------------------------------------------- */

/* "weight [ROW, COL]" of the number line. */
static bool weight_shown(struct pty *p, int place[2])
{
    int row, col;
    return pty_find(p, "weight [", &row, &col) &&
           sscanf(pty_row(p, row) + col, "weight [%d, %d]", &place[0], &place[1]) == 2;
}

static bool is_at_weight(struct pty *p, void *arg)
{
    const int *wanted = arg;
    int place[2];
    return weight_shown(p, place) && place[0] == wanted[0] && place[1] == wanted[1];
}

static void test_error_screen(void **state)
{
    int worst[2], row, col;
    (void)state;
    start(40, 132);
    go_to("attn_q");
    press("2");
    await_tab(1);
    wait_for("blk.0.attn_q");
    wait_for("identical to the stored weights");
    type_scheme("int4:g32");
    wait_match("blk.0.attn_q .*int4:g32");
    wait_match("SQNR weights +[0-9.]+ dB, live output +[0-9.]+ dB");
    wait_match("weights: .*error.*output error");
    wait_match("SQNR of channels.*scales.*hidden-state");
    wait_match("steepest at blk.0 attention"); /* before it everything is stored */
    wait_for("error in steps");
    wait_match("codes -7\\.\\.7");
    wait_match("round\\(.*/ .*\\) = .*->");
    wait_until(is_at_weight, (int[]){0, 0}, "the first weight");
    press(PTY_KEY_RIGHT PTY_KEY_RIGHT);
    wait_until(is_at_weight, (int[]){0, 2}, "the third weight");
    press(PTY_KEY_LEFT);
    wait_until(is_at_weight, (int[]){0, 1}, "the second weight");
    press(PTY_KEY_LEFT PTY_KEY_LEFT);
    wait_until(is_at_weight, (int[]){63, 63}, "the last weight, before the first");
    press(PTY_KEY_RIGHT);
    wait_until(is_at_weight, (int[]){0, 0}, "the first weight again");
    find("max |e|", &row, &col);
    const char *at = strstr(pty_row(term, row), "at row ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "at row %d, column %d", &worst[0], &worst[1]), 2);
    press("X");
    wait_until(is_at_weight, worst, "the weight with the largest error");
    press("L");
    wait_match("n [0-9]+ log");
    press("L");
    wait_gone(" log");
    press("z");
    wait_match("zero point [0-9]+");
    wait_match("codes 0\\.\\.15");
    press(PTY_KEY_DOWN); /* the next layer, without leaving the screen */
    wait_for("blk.0.attn_k");
    assert_ends("q");
}

static void test_methods(void **state)
{
    (void)state;
    start(44, 132);
    go_to("attn_q");
    press("m");
    wait_for("choose a datatype first");
    type_scheme("int4:g16");
    await_cell("attn_q", "WEIGHT", "int4");
    await_cell("attn_q", "METHOD", "rtn");
    press("m");
    await_cell("attn_q", "METHOD", "clip");
    press("m");
    await_cell("attn_q", "METHOD", "imatrix");
    press("m");
    await_cell("attn_q", "METHOD", "gptq");
    press("M");
    await_cell("attn_q", "METHOD", "imatrix");
    press("M");
    await_cell("attn_q", "METHOD", "clip");
    type_scheme("int4:g16:awq(alpha=0.5)");
    await_cell("attn_q", "METHOD", "awq");
    press("k\x1b");
    press("j");
    pty_settle(term, 0.1, 1);
    wait_match("blk.0.attn_q: (int4:g16:awq|alpha 0.5)");
    press("2");
    wait_match("salient columns .mean .x..: +[0-9]+ [0-9.]+ .scale [0-9.]+");
    wait_match("max .x. of columns.*max .w. of columns");
    wait_match("input scale [0-9.]+");
    wait_match("w x [0-9.]+ = -?[0-9.]+  round.-?[0-9.]+ / [0-9.]+. = -?[0-9]+  -> -?[0-9]+ x [0-9.]+ / [0-9.]+ = -?[0-9.]+");
    press("C");
    wait_match("^methods on 128 tokens of mixed text:"); /* not those of the live output above */
    wait_match("METHOD +WEIGHTS dB +OUTPUT dB");
    wait_for("the methods are compared");
    wait_match(" rtn +[0-9.]+ +[0-9.]+");
    wait_match(" gptq +[0-9.]+ +[0-9.]+ .*damping 0.01");
    wait_match(">awq.alpha=0.5. +[0-9.]+ +[0-9.]+");
    wait_match("smoothquant.gptq +[0-9.]+ +[0-9.]+");
    wait_for(" best");
    press("u");
    wait_match("blk.0.attn_q 64x64 +int4:g16:clip");
    assert_ends("q");
}

/* The curve of what learns, while it does and afterwards; what is stopped keeps its best. */
static void test_training(void **state)
{
    (void)state;
    start(44, 132);
    go_to("attn_q");
    press("t");
    wait_for("nothing is being trained");
    type_scheme("int4:channel:qat(steps=100000,text=512,batch=16)");
    press("2");
    wait_match("training .t stops.  [0-9]+/100000  KL [0-9.]+ .first [0-9.]+, best [0-9.]+. "
               "on self, [1-9][0-9]* tokens held out  loss [0-9.e-]+  rate");
    wait_match("o: KL on held-out text; line: loss; by step, [0-9.e-]+ to [0-9.e-]+, log scale");
    assert_true(pty_resize(term, 10, 40));
    wait_match("training: step [0-9]+ of 1.*\\.\\. [0-9]+ %"); /* words are cut, how far it is is not */
    assert_true(pty_resize(term, 44, 132));
    press("t");
    wait_match("training done  [0-9]+/100000");
    wait_match("blk.0.attn_q 64x64  int4:channel:qat");
    press("u");
    wait_match("blk.0.attn_q 64x64  stored");
    assert_ends("q");
}

/* ---- roofs, counters, the machine ------------------------------------------------------------ */

static void test_roofline_screen(void **state)
{
    (void)state;
    start(36, 110);
    go_to("attn_q");
    press("3");
    await_tab(2);
    wait_match("POINT +GMAC/s +tok/s +MAC/B +REACHES");
    wait_match("decode +[0-9.]+[kM]? +[0-9.]+[kM]? +[0-9.]+ ");
    wait_match("prefill of [0-9]+ +[0-9.]+");
    wait_match("blk.0.attn_q +[0-9.]+");
    wait_match("reads [0-9.]+[?]? ?GB/s");
    wait_for("multiply-adds/B");
    press("b");
    wait_match("batch of 2 +[0-9.]+");
    press("bb");
    wait_match("batch of 8 +[0-9.]+");
    press("B");
    wait_gone("batch of 8");
    press("s");
    wait_match("snapshot A decode +[0-9.]+");
    press(PTY_KEY_DOWN); /* another layer's point */
    wait_match("blk.0.attn_k +[0-9.]+");
    press_until("R", "measuring the roofs again");
    assert_ends("q");
    launch(36, 110, model, WORDS("--ascii"), NULL);
    press("3");
    wait_match("@ +decode");
    wait_match("\\^ +prefill");
    assert_ends("q");
}

/* The cursor is on another layer at once, what the lab knows of that one comes later: meanwhile nothing of the last one
 * is drawn, which has more columns or fewer. */
static void test_error_screen_follows(void **state)
{
    (void)state;
    start(60, 160);
    go_to("ffn_up");
    press("  ");
    type_scheme("int4:g32");
    await_cell("ffn_up", "WEIGHT", "int4");
    await_cell("ffn_down", "WEIGHT", "int4");
    press("k2"); /* ffn_down */
    for (int i = 0; i < 60; i++) {
        press(i % 2 ? "j" : "k");
        if (i % 16 < 2)
            wait_for("max |w| of columns");
        else
            pty_settle(term, 0.002, 0.02);
    }
    assert_ends("q");
}

static void test_counters_screen(void **state)
{
    (void)state;
    start(40, 120);
    press("4");
    await_tab(3);
    wait_match("EVENT +/TOKEN +/SECOND +COUNTED");
    wait_match("\\*task-clock +[0-9.]+[kM]? +[0-9.]+[kMG]? +100%");
    press("+"); /* those that do not count stand on one line */
    wait_match("\\*cycles +([0-9.]|n/a: )");
    wait_match("(instructions/cycle.* n/a: |[0-9.]+ instructions/cycle)");
    wait_match("system-wide n/a: |reads [0-9.n]");
    wait_match("[0-9.]+[kMG]B computed");
    press("/minor-faults\r");
    wait_for("perf::MINOR-FAULTS:"); /* its words, in the last line */
    press(" ");
    wait_for("counting perf::MINOR-FAULTS");
    wait_for("perf::MINOR-FAULTS:"); /* the cursor stays on its line */
    press(PTY_KEY_HOME);
    wait_match("\\*perf::MINOR-FAULTS +[0-9.]+");
    press("\\" CLEAR_LINE "context-sw\r");
    wait_gone(" perf::MINOR-FAULTS ");
    wait_match("^ perf::CONTEXT-SWITCHES");
    press("\\" CLEAR_LINE "nosuchevent\r");
    wait_for("no event contains 'nosuchevent'");
    press("\033");
    wait_match("^ perf::CYCLES");
    press(PTY_KEY_HOME);
    wait_for("task-clock: CPU time");
    press("\r");
    wait_for("stopped counting task-clock");
    wait_gone("*task-clock");
    wait_for("task-clock: CPU time"); /* the cursor stays with it */
    press(" ");
    wait_for("counting task-clock");
    wait_match("\\*task-clock +[0-9.]+");
    wait_for("task-clock: CPU time");
    press(" "); /* and with its line, where that is not of those counted */
    wait_for("stopped counting task-clock");
    wait_gone("*task-clock");
    wait_match("\\*cycles ");
    press("/nosuchevent\r");
    wait_for("no event contains 'nosuchevent'");
    assert_ends("q");
}

static void test_machine_screen(void **state)
{
    (void)state;
    start(24, 80);
    press("7");
    await_tab(6);
    wait_for("processor  ");
    wait_match("usable +[0-9]+ package");
    wait_match("tree +.*");
    press(PTY_KEY_END);
    wait_gone("processor  ");
    wait_for("memory-traffic");
    press(PTY_KEY_HOME);
    wait_for("processor  ");
    press(PTY_KEY_DOWN);
    wait_gone("processor  ");
    press(PTY_KEY_UP);
    wait_for("processor  ");
    press(PTY_KEY_PGDN);
    wait_match("GMAC/s +MEDIAN");
    for (int i = 0; i < 8; i++)
        click(64, 10, 5); /* the wheel */
    wait_for("processor  ");
    assert_ends("q");
}

/* ---- the text -------------------------------------------------------------------------------- */

static void test_text_screen(void **state)
{
    (void)state;
    start(24, 100);
    press("6");
    await_tab(5);
    wait_match("this scheme, seed [0-9]+");
    wait_match("no difference so far");
    press("ithe hen in the barn\r");
    wait_match("^the hen in the barn");
    press("I");
    wait_match("temperature and seed: [0-9.]+ [0-9]+");
    press(CLEAR_LINE "warm\r");
    wait_match("'warm'.*expected");
    wait_for("temperature and seed: warm");
    press(CLEAR_LINE "0.5 99\r");
    wait_for("seed 99");
    wait_gone("temperature and seed:");
    press("1" PTY_KEY_HOME "j");
    await_selected("blk.0");
    type_scheme("int4:tensor");
    await_cell("blk.0", "WEIGHT", "int4");
    press("6r");
    wait_match("first difference at token [0-9]+");
    wait_match("[0-9.]+ % .*[0-9.]+ %");
    assert_ends("q");
}

static void test_prompt_is_seen_everywhere(void **state)
{
    (void)state;
    start(24, 100);
    press("i");
    wait_for("prompt:");
    press("the hex" PTY_KEY_BACKSPACE "n\r");
    wait_for("> the hen");
    press("r");
    wait_match("text restarted");
    launch(24, 100, model, WORDS("-p", "on the barn"), NULL);
    wait_for("> on the barn");
    assert_ends("q");
}

/* The row of the cursor is shown, however few rows there are. */
static void test_map_small(void **state)
{
    (void)state;
    start(10, 40);
    press("/blk.0.ffn_down\r9");
    wait_match("ffn_down +[.] [.] [.]");
    press(PTY_KEY_UP PTY_KEY_UP PTY_KEY_UP PTY_KEY_UP PTY_KEY_UP PTY_KEY_UP);
    wait_match("attn_q +[.] [.] [.]");
    assert_ends("q");
}

/* ---- Advise -------------------------------------------------------------------------------------- */

static void test_advise(void **state)
{
    (void)state;
    start(30, 100);
    press("8");
    wait_for("A measures the schemes");
    press("1A");
    wait_match("^[*> ] stored .* 0 +100.0%");
    wait_match("smallest that keeps top-1 over 95 %");
    press("f");
    wait_match("f: size");
    press("ffff");
    wait_match("f: size");
    wait_match("^[0-9]+ measured on "); /* all rows are measured */
    press(PTY_KEY_END "\r");
    wait_match("bits/weight");
    press("u");
    wait_for("undone");
    press("8l");
    wait_for("limits (memory, file, rate, kl):");
    press("size 1\r");
    wait_for("expected memory, file, rate or kl");
    press(CLEAR_LINE "kl 1e-9\r");
    wait_match("none keeps top-1.*l: kl 1e-09"); /* and none is exact */
    press("l" CLEAR_LINE "\r");
    wait_match("> .*: smallest");
    press("T");
    wait_match("size [0-9.e+-]+M for gguf");
    assert_ends("\033q");
}

static void test_advise_small(void **state)
{
    (void)state;
    start(10, 40);
    press("A");
    press("q");
    wait_for("advice");
    press("n" PTY_KEY_HOME); /* the largest scheme; the cursor is else on the one to take */
    wait_match("^[*> ] stored +[0-9]+[?]? +0$");
    assert_ends("qy"); /* asks, unless all are measured */
}

/* ---- Map ----------------------------------------------------------------------------------------- */

static void test_map(void **state)
{
    (void)state;
    start(24, 80);
    press("/blk.0.attn_q\r");
    type_scheme("int4:tensor");
    await_cell("attn_q", "WEIGHT", "int4");
    press("9");
    await_tab(8);
    wait_match("attn_q +[.] [.] [.]");
    wait_for("blk.0.attn_q: not measured");
    press(">");
    wait_match("attn_q +0 [.] [.]"); /* one value alone */
    wait_match("blk.0.attn_q: [0-9.]+ dB");
    press(">");
    wait_match("attn_q +0 0 0"); /* outputs: those of what is stored are exact */
    wait_match("blk.0.attn_q: [0-9.]+ dB");
    press(">");
    wait_match("ffn_down +[0-9] 9 9"); /* stored beside 4 bits */
    press(PTY_KEY_DOWN PTY_KEY_RIGHT);
    wait_for("blk.1.attn_k: ");
    press(PTY_KEY_LEFT PTY_KEY_LEFT PTY_KEY_LEFT);
    wait_for("blk.0.attn_k: ");
    press(">E");
    wait_match("attn_q +0 [.] [.]");
    press("\r");
    await_tab(0);
    await_selected("attn_k");
    assert_ends("q");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_map, stop),
        cmocka_unit_test_teardown(test_map_small, stop),
        cmocka_unit_test_teardown(test_advise, stop),
        cmocka_unit_test_teardown(test_advise_small, stop),
        TEST(test_meters),
        TEST(test_pause),
        TEST(test_screens),
        TEST(test_redraw),
        TEST(test_every_screen_on_every_format),
        TEST(test_error_screen),
        TEST(test_methods),
        TEST(test_training),
        TEST(test_roofline_screen),
        TEST(test_error_screen_follows),
        TEST(test_counters_screen),
        TEST(test_machine_screen),
        TEST(test_text_screen),
        TEST(test_prompt_is_seen_everywhere),
    };
    cmocka_set_test_filter(getenv("QTOP_TEST")); /* a pattern, or null for all */
    return cmocka_run_group_tests_name("tui_screens", tests, make_files, remove_files);
}
