/* The colours of figures: one scale on every screen, as many colours as the terminal has, and none without. */
#include "tuiwork.h"

#include "views/scales.h"

#include <math.h>

static void test_levels(void **state)
{
    (void)state;
    assert_int_equal(scale_level(&scale_sqnr, INFINITY), 0);
    assert_int_equal(scale_level(&scale_sqnr, 45), 0);
    assert_int_equal(scale_level(&scale_sqnr, 27.4), 5);
    assert_int_equal(scale_level(&scale_sqnr, -3), 9);
    assert_int_equal(scale_level(&scale_sqnr, NAN), -1);
    assert_int_equal(scale_level(&scale_kl, 0), 0);
    assert_int_equal(scale_level(&scale_kl, 1.01e-3), 4);
    assert_int_equal(scale_level(&scale_kl, 50), 9);
    assert_int_equal(scale_level(&scale_roof, 1.2), 0);
    assert_int_equal(scale_level(&scale_roof, 0), 9);
    assert_int_equal(scale_style(&scale_kl, NAN, STYLE_DIM), STYLE_DIM);
    assert_int_equal(scale_style(&scale_kl, 1, STYLE_DIM), STYLE_LEVEL + 9);
}

static void test_palette(void **state)
{
    (void)state;
    assert_int_equal(palette_color(0, 1 << 24, -1), 0x3b8fe0);
    assert_int_equal(palette_color(9, 1 << 24, -1), 0xee6a12);
    for (int i = 0; i < LEVELS; i++) {
        int cube = palette_color(i, 256, -1);
        assert_true(cube >= 16 && cube < 232);
    }
    assert_int_equal(palette_color(9, 256, -1), 16 + 36 * 5 + 6 * 1 + 0);
    assert_int_equal(palette_color(2, 8, -1), 6);
    assert_int_equal(palette_color(3, 8, -1), -1);
    assert_int_equal(palette_color(7, 8, -1), 3);
}

/* Where the figure of a column stands in a row: its last character. */
static int end_of(struct pty *p, int row, const char *title)
{
    int rows, cols, head = heading_row(p);
    char heading[WIDEST + 1];
    pty_size(p, &rows, &cols);
    read_cells(p, head, 0, cols, heading);
    const char *found = strstr(heading, title);
    assert_non_null(found);
    (void)row;
    return (int)(found - heading) + (int)strlen(title) - 1;
}

static VTermColor color_of(const char *layer, const char *title)
{
    VTermScreenCell cell;
    int row = row_of(term, layer, 0);
    assert_true(row >= 0 && pty_cell(term, row, end_of(term, row, title), &cell));
    return cell.fg;
}

/* A layer in 4 bits, whose row is not the selected one. */
static void quantize(const char *name, const char *const options[], const char *const env[])
{
    launch(24, 100, model, options, env);
    ready();
    go_to("attn_q");
    type_scheme(name);
    await_other("attn_q", "SQNR", "-");
    press(PTY_KEY_HOME);
    await_selected("token_embd");
    pty_settle(term, 0.05, 2);
}

static void test_many_colors(void **state)
{
    (void)state;
    quantize("int4:g32", NULL, NULL);
    VTermColor four = color_of("attn_q", "SQNR");
    assert_true(VTERM_COLOR_IS_INDEXED(&four) && four.indexed.idx >= 16);
    assert_ends("q");
    quantize("int8", NULL, NULL);
    VTermColor eight = color_of("attn_q", "SQNR");
    assert_true(VTERM_COLOR_IS_INDEXED(&eight) && eight.indexed.idx != four.indexed.idx);
    assert_ends("q");
}

static void test_eight_colors(void **state)
{
    (void)state;
    quantize("int8", NULL, WORDS("TERM=xterm"));
    VTermColor c = color_of("attn_q", "SQNR");
    assert_true(VTERM_COLOR_IS_INDEXED(&c) && c.indexed.idx < 8);
    assert_ends("q");
}

static void test_no_colors(void **state)
{
    (void)state;
    quantize("int4:g32", NULL, WORDS("NO_COLOR=1"));
    VTermColor c = color_of("attn_q", "SQNR");
    assert_true(VTERM_COLOR_IS_DEFAULT_FG(&c));
    assert_ends("q");
    quantize("int4:g32", WORDS("--no-color"), NULL);
    c = color_of("attn_q", "SQNR");
    assert_true(VTERM_COLOR_IS_DEFAULT_FG(&c));
    assert_ends("q");
}

/* The map's cell of a layer has the colour that its figure has on Layers. */
static void test_the_same_on_the_map(void **state)
{
    VTermScreenCell cell;
    int row, col;
    (void)state;
    quantize("int4:g32", NULL, NULL);
    VTermColor c = color_of("attn_q", "SQNR");
    press("9>");
    wait_for("SQNR of weights");
    pty_settle(term, 0.05, 2);
    find(" attn_q", &row, &col);
    for (int x = 15; x < 19; x++) {
        assert_true(pty_cell(term, row, x, &cell));
        if (cell.chars[0] >= '0' && cell.chars[0] <= '9')
            break;
    }
    assert_true(VTERM_COLOR_IS_INDEXED(&cell.fg));
    assert_int_equal(cell.fg.indexed.idx, c.indexed.idx);
    assert_ends("q");
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_levels), TEST(test_palette), TEST(test_many_colors), TEST(test_eight_colors),
                                       TEST(test_no_colors), TEST(test_the_same_on_the_map)};
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
