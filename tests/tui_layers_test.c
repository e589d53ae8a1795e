/* The Layers screen: schemes that keys and the editor change, the KV cache's row, and moving through the table. */
#include "tuiwork.h"

/* ---- changing layers ------------------------------------------------------------------------- */

static void test_keys_change_a_layer(void **state)
{
    static const struct {
        const char *next, *previous, *column;
    } cases[] = {{"d", "D", "WEIGHT"}, {"a", "\001", "ACT"}, {"g", "G", "GROUP"}, {"z", "z", "SYM"}};
    (void)state;
    start(24, 80);
    go_to("attn_q");
    type_scheme("int8");
    await_cell("attn_q", "WEIGHT", "int8");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char before[CELL_TEXT], after[CELL_TEXT];
        cell_at(term, row_of(term, "attn_q", 0), cases[i].column, before);
        assert_true(*before);
        press(cases[i].next);
        await_other("attn_q", cases[i].column, before);
        cell_at(term, row_of(term, "attn_q", 0), cases[i].column, after);
        press(cases[i].previous);
        await_cell("attn_q", cases[i].column, before);
        press("u"); /* back to what the first key made, and again */
        await_cell("attn_q", cases[i].column, after);
        press("\x12");
        await_cell("attn_q", cases[i].column, before);
        assert_cell("attn_k", 0, "WEIGHT", "fp32*");
    }
    assert_ends("q");
}

static void test_weight_cycle_is_complete(void **state)
{
    static const char *const names[] = {"fp16",    "bf16",    "int8", "int4",
                                        "fp8e4m3", "fp8e5m2", "q8_0", "mxfp4", "nvfp4", "nf4",
                                        "fp32*"};
    enum { NAMES = sizeof names / sizeof *names };
    (void)state;
    start(24, 80);
    go_to("ffn_up");
    for (int i = 0; i < NAMES; i++) {
        press("d");
        await_cell("ffn_up", "WEIGHT", names[i]);
    }
    for (int i = NAMES - 2; i >= 0; i--) {
        press("D");
        await_cell("ffn_up", "WEIGHT", names[i]);
        await_other("ffn_up", "SQNR", "-");
    }
    assert_ends("q");
}

static void test_what_does_not_apply_is_explained(void **state)
{
    (void)state;
    start(24, 80);
    go_to("attn_v");
    press("a");
    wait_for("choose a datatype first");
    assert_cell("attn_v", 0, "ACT", "fp32");
    type_scheme("fp16");
    press("z");
    wait_for("only integers have a zero point");
    type_scheme("nf4");
    press("a");
    wait_for("values of this type are no integers");
    assert_ends("q");
}

static void test_undo_and_redo(void **state)
{
    (void)state;
    start(24, 80);
    go_to("attn_k");
    press("u");
    wait_for("nothing to undo");
    press("ddd");
    await_cell("attn_k", "WEIGHT", "int8");
    press("uu");
    await_cell("attn_k", "WEIGHT", "fp16");
    press("u");
    await_cell("attn_k", "WEIGHT", "fp32*");
    press("\x12\x12\x12");
    await_cell("attn_k", "WEIGHT", "int8");
    press("\x12");
    wait_for("nothing to redo");
    assert_ends("q");
}

static const char *const linear[] = {"attn_q",   "attn_k",   "attn_v",  "attn_output",
                                     "ffn_gate", "ffn_down", "ffn_up"};
enum { LINEAR = sizeof linear / sizeof *linear };

static void test_block_row_changes_its_layers(void **state)
{
    (void)state;
    start(24, 80);
    press(PTY_KEY_HOME "j");
    await_selected("blk.0");
    press("d");
    await_cell("blk.0", "WEIGHT", "fp16");
    for (int i = 0; i < LINEAR; i++)
        await_cell(linear[i], "WEIGHT", "fp16");
    assert_cell("attn_norm", 0, "WEIGHT", "fp32*");
    assert_cell("blk.1", 0, "WEIGHT", "fp32*");
    assert_cell("output", 0, "WEIGHT", "fp32*");
    go_to("attn_q");
    press("d");
    await_cell("blk.0", "WEIGHT", "mixed");
    press("uu");
    await_cell("blk.0", "WEIGHT", "fp32*");
    assert_ends("q");
}

static bool is_tagged(struct pty *p, void *layer)
{
    char line[8];
    int row = row_of(p, layer, 0);
    if (row < 0)
        return false;
    read_cells(p, row, 0, 6, line);
    return strchr(line, '*') != NULL;
}

static bool is_untagged(struct pty *p, void *layer)
{
    return row_of(p, layer, 0) >= 0 && !is_tagged(p, layer);
}

static void test_tagged_layers_change_together(void **state)
{
    (void)state;
    start(24, 80);
    go_to("attn_q");
    press("  "); /* the cursor moves on */
    wait_until(is_tagged, "attn_q", "attn_q tagged");
    wait_until(is_tagged, "attn_k", "attn_k tagged");
    await_selected("attn_v");
    press("d");
    await_cell("attn_q", "WEIGHT", "fp16");
    await_cell("attn_k", "WEIGHT", "fp16");
    assert_cell("attn_v", 0, "WEIGHT", "fp32*");
    press("U");
    wait_until(is_untagged, "attn_q", "attn_q untagged");
    wait_until(is_untagged, "attn_k", "attn_k untagged");
    press("d");
    await_cell("attn_v", "WEIGHT", "fp16");
    assert_cell("attn_q", 0, "WEIGHT", "fp16");
    press(" ");
    wait_until(is_tagged, "attn_v", "attn_v tagged");
    press(PTY_KEY_ESC);
    wait_until(is_untagged, "attn_v", "attn_v untagged");
    go_to("attn_q");
    press("  ");
    wait_until(is_tagged, "attn_k", "attn_k tagged");
    press(PTY_KEY_UP " ");
    wait_until(is_untagged, "attn_k", "attn_k untagged by a second Space");
    assert_true(is_tagged(term, "attn_q"));
    assert_ends("q");
}

/* A narrow screen shows the column where a layer has a method: other columns give way. */
static void test_method_on_a_narrow_screen(void **state)
{
    (void)state;
    start(24, 80);
    wait_match("LAYER .*SYM .*SQNR");
    assert_null(strstr(pty_row(term, heading_row(term)), "METHOD"));
    go_to("attn_q");
    type_scheme("int4:g16:clip");
    await_cell("attn_q", "METHOD", "clip");
    assert_ends("q");
}

static void test_same_scheme_in_every_block(void **state)
{
    struct wanted third = {"attn_q", 2, "WEIGHT", "int8", false};
    (void)state;
    start(50, 100);
    go_to("attn_q");
    type_scheme("int8:g16");
    await_cell("attn_q", "GROUP", "g16");
    press("=**"); /* fold all, unfold all */
    wait_until(shows_cell, &third, "attn_q of the third block is int8");
    for (int block = 0; block < 3; block++) {
        struct wanted group = {"attn_q", block, "GROUP", "g16", false};
        wait_until(shows_cell, &group, "the same groups");
        assert_cell("attn_q", block, "WEIGHT", "int8");
        assert_cell("attn_k", block, "WEIGHT", "fp32*");
    }
    press("u");
    third.value = "fp32*";
    wait_until(shows_cell, &third, "attn_q of the third block as stored");
    assert_cell("attn_q", 0, "WEIGHT", "int8");
    press(PTY_KEY_HOME "=");
    wait_for("only one");
    assert_ends("q");
}

/* Keys mean what they meant when they were typed, however late the screen follows. */
static void test_same_scheme_right_after_a_change(void **state)
{
    (void)state;
    start(50, 100);
    go_to("attn_q");
    press("d=");
    press("**");
    wait_until(shows_cell, &(struct wanted){"attn_q", 2, "WEIGHT", "fp16", false},
               "attn_q of the third block is fp16");
    assert_cell("attn_q", 0, "WEIGHT", "fp16");
    assert_ends("q");
}

/* ---- the KV cache's row ---------------------------------------------------------------------- */

static void test_kv_row(void **state)
{
    static const char *const next[] = {"fp16", "int8", "fp8e4m3", "fp8e5m2", "fp32"};
    static const struct {
        const char *key, *why;
    } refused[] = {{"a", "queries and weights in fp32"}, {"g", "one scale a head and token"},
                   {"z", "int8 is symmetric"}, {"=", "only one of this layer"}};
    (void)state;
    start(24, 100);
    press(PTY_KEY_END);
    await_selected("kv");
    assert_cell("kv", 0, "WEIGHT", "fp32");
    wait_for("kv: often in 8 bits");
    for (size_t i = 0; i < 5; i++) {
        char before[CELL_TEXT];
        cell_at(term, row_of(term, "kv", 0), "SIZE", before);
        press("d");
        await_cell("kv", "WEIGHT", next[i]);
        if (i != 2 && i != 3) /* int8, fp8e4m3 and fp8e5m2 are of one size */
            await_other("kv", "SIZE", before);
    }
    press("D");
    await_cell("kv", "WEIGHT", "fp8e5m2");
    press("uu");
    await_cell("kv", "WEIGHT", "fp8e5m2");
    press("u");
    await_cell("kv", "WEIGHT", "fp8e4m3");
    press("\x12");
    await_cell("kv", "WEIGHT", "fp8e5m2");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        press(refused[i].key);
        wait_for(refused[i].why);
        await_cell("kv", "WEIGHT", "fp8e5m2");
    }
    type_scheme("int4");
    wait_for("kv: the cache cannot be int4");
    type_scheme("int8");
    await_cell("kv", "WEIGHT", "int8");
    press("2");
    wait_for("the KV cache holds no weights");
    press("1 ");
    wait_for("*kv"); /* tagged */
    assert_ends("q");
}

/* ---- the scheme editor ----------------------------------------------------------------------- */

static void test_editor(void **state)
{
    (void)state;
    start(40, 100);
    go_to("ffn_gate");
    press("\r");
    wait_for("scheme: stored");
    wait_match("weight datatype");
    wait_match("int4 +[0-9.]+k?");
    press(CLEAR_LINE "int8/fp9\r");
    wait_match("position 6.*'fp9'.*expected|fp9.*expected");
    wait_for("scheme: int8/fp9"); /* kept, so that it can be mended */
    press(PTY_KEY_ESC);
    wait_gone("scheme:");
    await_cell("ffn_gate", "WEIGHT", "fp32*");
    type_scheme("int4:g32:asym");
    await_cell("ffn_gate", "WEIGHT", "int4");
    await_cell("ffn_gate", "GROUP", "g32");
    await_cell("ffn_gate", "SYM", "asym");
    press("\r");
    wait_for("scheme: int4:g32:asym");
    wait_match("> int4:g32:asym .fp32. "); /* of what is not in the scheme, its default */
    wait_match("  int4:g32 .sym. ");
    press("fp"); /* another one, not a longer one */
    wait_match("scheme: fp *$");
    press(PTY_KEY_ESC);
    wait_gone("scheme:");
    press("\r");
    wait_for("scheme: int4:g32:asym");
    press(PTY_KEY_DOWN);
    wait_gone("scheme: int4:g32:asym");
    wait_match("scheme: [a-z]+[0-9]");
    press("\r");
    wait_gone("scheme:");
    assert_ends("q");
}

/* What stands in the editor's line. */
static void read_scheme(char out[CELL_TEXT])
{
    int row, col;
    find("scheme: ", &row, &col);
    read_cells(term, row, col + 8, CELL_TEXT - 1, out);
    out[strcspn(out, " ")] = 0;
}

static void open_editor(char scheme[CELL_TEXT])
{
    press("\r");
    wait_match("scheme: [a-z]");
    read_scheme(scheme);
}

/* Every scheme that the editor offers can be had. */
static void test_editor_choices_apply(void **state)
{
    (void)state;
    start(60, 100);
    go_to("attn_output");
    for (int down = 0; down < 12; down++) {
        char chosen[CELL_TEXT], now[CELL_TEXT] = "";
        open_editor(chosen);
        for (int i = 0; i < down; i++)
            press(PTY_KEY_DOWN);
        press(PTY_KEY_END "~"); /* seen when all that was pressed before it is */
        wait_match("scheme: .*~");
        read_scheme(chosen);
        chosen[strcspn(chosen, "~")] = 0;
        if (*chosen == '@') { /* the schemes of this layer end where the mixes begin */
            press(PTY_KEY_ESC);
            break;
        }
        press(PTY_KEY_BACKSPACE "\r");
        wait_gone("scheme:");
        for (int i = 0; i < 100 && strcmp(now, chosen) != 0; i++) { /* it takes a moment */
            open_editor(now);
            press(PTY_KEY_ESC);
            wait_gone("scheme:");
        }
        assert_string_equal(now, chosen);
    }
    assert_ends("q");
}

/* Moves down until the line of input has the scheme. */
static void move_to(const char *scheme)
{
    char now[CELL_TEXT] = "";
    for (int i = 0; i < 200 && strcmp(now, scheme) != 0; i++) {
        press(PTY_KEY_DOWN PTY_KEY_END "~");
        wait_match("scheme: .*~");
        read_scheme(now);
        now[strcspn(now, "~")] = 0;
        press(PTY_KEY_BACKSPACE);
        wait_gone("~");
    }
    assert_string_equal(now, scheme);
}

/* A mix is for the whole model, as one change. */
static void test_editor_offers_mixes(void **state)
{
    char scheme[CELL_TEXT];
    (void)state;
    start(24, 80);
    go_to("attn_q");
    open_editor(scheme);
    wait_for("EXPORTS");
    wait_match("fp16 +8.19kB +16.00 gguf safetensors *$");
    wait_match("fp8e4m3 +[0-9.]+kB +8.[0-9]+ safetensors");
    move_to("@iq1_s");
    wait_for("mixes: all layers, as llama-quantize chooses");
    move_to("@q8_0");
    wait_match("@q8_0 +[0-9.]+kB +8.[0-9]+ gguf");
    press("\r");
    wait_gone("scheme:");
    for (int i = 0; i < LINEAR; i++)
        await_cell(linear[i], "WEIGHT", "q8_0");
    await_cell("output", "WEIGHT", "q8_0");
    assert_cell("attn_norm", 0, "WEIGHT", "fp32*");
    open_editor(scheme);
    move_to("@q8_0");
    wait_match("> @q8_0");
    press(PTY_KEY_ESC);
    wait_gone("scheme:");
    press("u");
    await_cell("output", "WEIGHT", "fp32*");
    await_cell("attn_q", "WEIGHT", "fp32*");
    assert_ends("q");
}

/* The list's columns leave in turn; a page is what is shown. */
static void test_editor_is_readable_when_small(void **state)
{
    char scheme[CELL_TEXT];
    (void)state;
    start(10, 40);
    go_to("attn_q");
    open_editor(scheme);
    wait_match("SCHEME.*BYTES +BITS");
    wait_match("fp16 +8.19kB +16.00");
    press(PTY_KEY_PGDN PTY_KEY_PGDN PTY_KEY_PGDN PTY_KEY_PGDN PTY_KEY_PGDN PTY_KEY_PGDN PTY_KEY_PGDN PTY_KEY_PGDN
          PTY_KEY_PGDN PTY_KEY_PGDN PTY_KEY_PGDN PTY_KEY_PGDN PTY_KEY_PGDN PTY_KEY_PGDN PTY_KEY_PGDN PTY_KEY_PGDN);
    wait_match("@tq2_0 +[0-9.]+kB +[0-9.]+");
    press(PTY_KEY_ESC);
    wait_gone("scheme:");
    assert_ends("q");
}

/* What the blocks do not divide gets another type, and the status line says so. */
static void test_fallbacks_are_said(void **state)
{
    (void)state;
    start(24, 110);
    go_to("attn_q"); /* 64 columns */
    type_scheme("q4_k");
    wait_for("attn_q: q5_0 instead of q4_k: blocks of 256 do not divide 64 columns");
    await_cell("attn_q", "WEIGHT", "q5_0");
    type_scheme("q4_k_m");
    wait_for("q4_k_m: ");
    wait_for("instead of");
    await_cell("attn_k", "WEIGHT", "q5_0");
    press("\r");
    wait_for("scheme:");
    press("@q4_k_x\r");
    wait_for("unknown; the nearest is q4_k_s");
    press(PTY_KEY_ESC);
    assert_ends("q");
}

/* ---- moving, searching, filtering, sorting, folding ------------------------------------------ */

static void test_moving(void **state)
{
    (void)state;
    start(14, 80);
    await_selected("token_embd");
    press("j" PTY_KEY_DOWN);
    await_selected("attn_norm");
    press("k" PTY_KEY_UP "k");
    await_selected("token_embd");
    press(PTY_KEY_END);
    await_selected("kv");
    press("j");
    press(PTY_KEY_PGUP);
    wait_until(shows_cell, &(struct wanted){NULL, 0, "LAYER", "kv", true}, "a page up");
    press(PTY_KEY_HOME PTY_KEY_PGUP);
    await_selected("token_embd");
    press(PTY_KEY_PGDN PTY_KEY_PGDN PTY_KEY_PGDN PTY_KEY_PGDN PTY_KEY_PGDN);
    await_selected("kv");
    assert_ends("q");
}

static bool in_second_block(struct pty *p, void *layer)
{
    int block = row_of(p, "blk.1", 0), row = selected_row(p);
    return has_selected(p, layer) && block >= 0 && row > block;
}

static void test_search(void **state)
{
    (void)state;
    start(40, 80);
    press("/ffn_up\r");
    await_selected("ffn_up");
    press("n");
    wait_until(in_second_block, "ffn_up", "ffn_up of the second block");
    press(PTY_KEY_F3 "no_such\r");
    wait_match("no layer.*no_such");
    wait_until(in_second_block, "ffn_up", "the cursor where it was");
    assert_ends("q");
}

static void test_filter(void **state)
{
    (void)state;
    start(24, 80);
    press("\\attn_v\r");
    wait_gone("ffn_up");
    wait_for("blk.2.attn_v");
    assert_int_equal(row_of(term, "token_embd", 0), -1);
    assert_true(row_of(term, "blk.0.attn_v", 0) >= 0 && row_of(term, "blk.1.attn_v", 0) >= 0);
    press(PTY_KEY_ESC);
    wait_for("token_embd");
    wait_for("ffn_up");
    press(PTY_KEY_F4 "no_such\r");
    wait_match("no layer.*no_such");
    press("dag\r" PTY_KEY_DOWN " ");
    press(PTY_KEY_ESC);
    wait_for("token_embd");
    assert_ends("q");
}

/* Sizes as the table writes them: 25.6k. */
static double size_at(int row)
{
    char cell[CELL_TEXT], *unit;
    cell_at(term, row, "SIZE", cell);
    double value = strtod(cell, &unit);
    return value * (*unit == 'k' ? 1e3 : *unit == 'M' ? 1e6 : 1);
}

/* Whether the table lists many layers, the largest first. */
static bool is_by_size(struct pty *p, void *unused)
{
    char name[CELL_TEXT];
    int row = heading_row(p) + 1, count = 0;
    (void)unused;
    for (; name_at(p, row + 1, name); row++, count++)
        if (!(size_at(row) >= size_at(row + 1)))
            return false;
    return count > 10;
}

static bool is_by_size_ascending(struct pty *p, void *unused)
{
    char name[CELL_TEXT];
    int row = heading_row(p) + 1, count = 0;
    (void)unused;
    for (; name_at(p, row + 1, name); row++, count++)
        if (!(size_at(row) <= size_at(row + 1)))
            return false;
    return count > 10;
}

static bool heading_differs(struct pty *p, void *from)
{
    int row = heading_row(p);
    return row >= 0 && strcmp(pty_row(p, row), from) != 0;
}

/* Presses a key that marks another column, and waits until that is seen. */
static void sort_on(const char *key)
{
    char before[WIDEST];
    snprintf(before, sizeof before, "%s", pty_row(term, heading_row(term)));
    press(key);
    wait_until(heading_differs, before, "another column marked");
    pty_settle(term, 0.02, 1); /* and not half drawn */
}

static void test_sort(void **state)
{
    bool by_size = false;
    (void)state;
    start(50, 100);
    for (int i = 0; i < 10 && !by_size; i++) {
        sort_on(">");
        by_size = pty_find(term, "SIZE▼", NULL, NULL);
    }
    assert_true(by_size);
    wait_for("blk.2.ffn_up"); /* one flat list */
    wait_until(is_by_size, NULL, "many layers, the largest first");
    press("!");
    wait_for("SIZE▲");
    wait_for("sorted by size, ascending");
    wait_until(is_by_size_ascending, NULL, "many layers, the smallest first");
    press("!");
    wait_until(is_by_size, NULL, "many layers, the largest first");
    for (int i = 0; i < 10 && strstr(pty_row(term, heading_row(term)), "▼"); i++)
        sort_on("<");
    wait_for("LAYER▲");
    sort_on("<");
    wait_gone("blk.2.ffn_up");
    press("!");
    wait_for("layers stand in the model's order");
    assert_ends("q");
}

static void test_sort_by_mouse(void **state)
{
    int row, col;
    (void)state;
    launch(50, 100, model, WORDS("--ascii"), NULL);
    ready();
    find("SIZE", &row, &col);
    click(0, row, col);
    wait_for("SIZEv");
    wait_until(is_by_size, NULL, "many layers, the largest first");
    click(0, row, col + 1);
    wait_for("SIZE^");
    wait_until(is_by_size_ascending, NULL, "many layers, the smallest first");
    click(0, row, col);
    wait_for("SIZEv");
    click(0, row, 3);
    wait_for("LAYER^");
    find("SHAPE", &row, &col);
    click(0, row, col);
    wait_for("nothing sorts by SHAPE");
    assert_ends("q");
}

static bool lacks_layer(struct pty *p, void *layer)
{
    return row_of(p, "output", 0) >= 0 && row_of(p, layer, 0) < 0;
}

static void test_fold(void **state)
{
    (void)state;
    start(50, 80);
    go_to("attn_q");
    press("-");
    wait_until(lacks_layer, "attn_q", "blk.0 folded");
    await_selected("blk.0");
    press("+");
    await_cell("attn_q", "WEIGHT", "fp32*");
    press("*");
    wait_until(lacks_layer, "attn_q", "all folded");
    press("*");
    wait_until(shows_cell, &(struct wanted){"attn_q", 2, "WEIGHT", "fp32*", false}, "all unfolded");
    assert_ends("q");
}

/* ---- columns --------------------------------------------------------------------------------- */

static void test_layers_alone(void **state)
{
    (void)state;
    start(30, 80);
    go_to("attn_q");
    type_scheme("int4:tensor");
    await_cell("attn_q", "WEIGHT", "int4");
    press("E");
    wait_for("measured the sensitivity of each layer");
    wait_for("SENS");
    wait_match("attn_q .* 0\\.[0-9]{5}$");
    press("d");
    wait_gone("SENS");
    assert_ends("q");
}

static void test_columns_as_a_list(void **state)
{
    (void)state;
    start(30, 132);
    wait_match("LAYER +SHAPE +WEIGHT +ACT");
    press("c");
    wait_match("^ .x. LAYER +a tensor of the model");
    press(" "); /* stays */
    wait_for("the names of layers are always shown");
    press(PTY_KEY_DOWN " ");
    wait_match("^ . . SHAPE");
    press("u"); /* to us/TOK and, again, to USED */
    press("u" PTY_KEY_UP PTY_KEY_HOME "a \r"); /* ACT */
    wait_match("LAYER +WEIGHT +GROUP");
    wait_for("S saves the columns as settings");
    press("c" PTY_KEY_END PTY_KEY_UP PTY_KEY_UP " ");
    wait_match("^ . . SQNR");
    press("\033"); /* as before */
    wait_match("LAYER +WEIGHT +GROUP .* SQNR");
    assert_true(pty_resize(term, 10, 40));
    press("c");
    wait_match("columns: Space, Enter or Esc");
    for (int i = 0; i < 20; i++)
        press(PTY_KEY_DOWN);
    wait_match("^ .x. USED");
    press("\r");
    assert_ends("q");
}

static void test_settings(void **state)
{
    (void)state;
    char *file = path_in(folder, "config/qtop/settings.json");
    size_t n;
    start(30, 132);
    press(":columns weight sqnr speed\r");
    wait_for("unknown column 'speed'; columns: LAYER SHAPE");
    press("\033:columns weight size sqnr\r");
    wait_match("LAYER +WEIGHT +SIZE +SQNR *$");
    press(">>!");
    wait_for("sorted by size, ascending");
    press("S");
    wait_for("saved in ");
    assert_ends("q");
    start(30, 132); /* the next time */
    wait_match("LAYER +WEIGHT +SIZE▲ +SQNR *$");
    assert_ends("q");
    char *text = read_whole(file, &n);
    assert_non_null(strstr(text, "\"columns\": \"LAYER WEIGHT SIZE SQNR\""));
    assert_non_null(strstr(text, "\"sort_reversed\": true"));
    assert_non_null(strstr(text, "\"refresh\": 0.08,"));
    free(text);
    static const char old[] = "{\"columns\": \"LAYER WEIGHT ALONE\", \"sort\": \"ALONE\"}"; /* as 0.1.0 wrote them */
    write_file(file, old, strlen(old));
    start(30, 132);
    wait_match("LAYER +WEIGHT +SENS▼");
    assert_ends("q");
    static const char *const broken[] = {"{\"refresh\": 0}", "{\"color\": 1}", "[", "{\"sort\": 5}", "nonsense"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        write_file(file, broken[i], strlen(broken[i]));
        start(30, 132);
        wait_for("settings.json is ignored");
        wait_match("LAYER +SHAPE +WEIGHT");
        assert_ends("q");
    }
    unlink(file);
    free(file);
}

/* Experts are one row, which unfolds; a change there is one of all. */
static void test_experts(void **state)
{
    (void)state;
    launch(40, 120, SRCDIR "/tests/data/families/qwen3_moe", NULL, NULL);
    ready();
    wait_match("ffn_up_exps +4x8x16 +fp16\\* .* 2/4");
    press(PTY_KEY_HOME "jjjjjjjjjjjj");
    await_selected("ffn_up_exps");
    wait_for("4 experts, 2 used by a token; a change here changes all");
    press("+");
    wait_match("exps\\.3 .* %");
    press("jj");
    await_selected("exps.1");
    type_scheme("int8");
    await_cell("exps.1", "WEIGHT", "int8");
    await_cell("ffn_up_exps", "WEIGHT", "mixed");
    assert_cell("exps.2", 0, "WEIGHT", "fp16*");
    press("u");
    await_cell("ffn_up_exps", "WEIGHT", "fp16*");
    press("-");
    wait_gone("exps.1");
    type_scheme("int4");
    await_cell("ffn_up_exps", "WEIGHT", "int4");
    assert_cell("ffn_gate_exps", 0, "WEIGHT", "fp16*");
    assert_ends("q");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_keys_change_a_layer),
        TEST(test_weight_cycle_is_complete),
        TEST(test_what_does_not_apply_is_explained),
        TEST(test_undo_and_redo),
        TEST(test_block_row_changes_its_layers),
        TEST(test_tagged_layers_change_together),
        TEST(test_method_on_a_narrow_screen), TEST(test_same_scheme_in_every_block),
        TEST(test_same_scheme_right_after_a_change),
        TEST(test_kv_row),
        TEST(test_editor),
        TEST(test_editor_choices_apply),
        TEST(test_editor_offers_mixes),
        TEST(test_editor_is_readable_when_small),
        TEST(test_fallbacks_are_said),
        TEST(test_moving),
        TEST(test_search),
        TEST(test_filter),
        TEST(test_sort),
        TEST(test_sort_by_mouse),
        TEST(test_fold),
        TEST(test_experts),
        TEST(test_layers_alone),
        TEST(test_columns_as_a_list),
        TEST(test_settings),
    };
    cmocka_set_test_filter(getenv("QTOP_TEST")); /* a pattern, or null for all */
    return cmocka_run_group_tests_name("tui_layers", tests, make_files, remove_files);
}
