/* Where things are on a screen: a pure function of its size, so every size is tried. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "views/layout.h"
#include "views/widgets.h"

#include <stdbool.h>
#include <string.h>

enum { MOST_ROWS = 60, MOST_COLS = 200, WIDEST = 500, TALLEST = 200 };
enum { LINES_COUNT = 8, MOST_CELLS = 9 };

/* The lines of a layout, in one order for all tests. */
static void lines_of(const struct layout *l, int lines[LINES_COUNT])
{
    const int all[LINES_COUNT] = {l->title, l->decode, l->memory, l->size,
                                  l->tabs,  l->text,   l->status, l->footer};
    memcpy(lines, all, sizeof all);
}

typedef void size_fn(int rows, int cols);

static void each_size(size_fn *see)
{
    for (int rows = 1; rows <= MOST_ROWS; rows++) {
        for (int cols = 1; cols <= MOST_COLS; cols++)
            see(rows, cols);
        see(rows, WIDEST);
    }
    see(TALLEST, 1);
    see(TALLEST, WIDEST);
}

/* ---- the screen ------------------------------------------------------------------------------ */

static void see_inside(int rows, int cols)
{
    struct layout l = layout_screen(rows, cols);
    int lines[LINES_COUNT];
    lines_of(&l, lines);
    for (int i = 0; i < LINES_COUNT; i++)
        assert_true(lines[i] == -1 || (lines[i] >= 0 && lines[i] < rows));
    assert_true(l.body.rows >= 1);
    assert_true(l.body.row >= 0 && l.body.row + l.body.rows <= rows);
    assert_int_equal(l.body.col, 0);
    assert_int_equal(l.body.cols, cols);
}

static void test_everything_is_inside(void **state)
{
    (void)state;
    each_size(see_inside);
}

static void see_disjoint(int rows, int cols)
{
    struct layout l = layout_screen(rows, cols);
    int lines[LINES_COUNT], owner[TALLEST] = {0}, used = l.body.rows;
    lines_of(&l, lines);
    for (int r = l.body.row; r < l.body.row + l.body.rows; r++)
        owner[r]++;
    for (int i = 0; i < LINES_COUNT; i++)
        if (lines[i] >= 0) {
            owner[lines[i]]++;
            used++;
        }
    for (int r = 0; r < rows; r++)
        assert_int_equal(owner[r], 1);
    assert_int_equal(used, rows);
}

static void test_every_row_has_one_use(void **state)
{
    (void)state;
    each_size(see_disjoint);
}

static void see_taller(int rows, int cols)
{
    struct layout small = layout_screen(rows, cols), tall = layout_screen(rows + 1, cols);
    int before[LINES_COUNT], after[LINES_COUNT];
    lines_of(&small, before);
    lines_of(&tall, after);
    for (int i = 0; i < LINES_COUNT; i++)
        assert_true(before[i] < 0 || after[i] >= 0);
    assert_true(tall.body.rows >= 1);
}

static void test_a_taller_screen_loses_no_line(void **state)
{
    (void)state;
    each_size(see_taller);
}

static void test_order_from_the_top(void **state)
{
    (void)state;
    struct layout l = layout_screen(24, 80);
    const int top[] = {l.title, l.decode, l.memory, l.size, l.tabs, l.body.row};
    const int below[] = {l.body.row + l.body.rows - 1, l.text, l.status, l.footer};
    for (size_t i = 1; i < sizeof top / sizeof *top; i++)
        assert_true(top[i] > top[i - 1] && top[i - 1] >= 0);
    for (size_t i = 1; i < sizeof below / sizeof *below; i++)
        assert_true(below[i] > below[i - 1]);
    assert_int_equal(l.footer, 23);
    assert_true(l.body.rows >= 12); /* most of a small terminal is for the table */
}

/* What a person cannot do without on a very small screen: the speed and the table. */
static void test_small_screens_keep_the_speed(void **state)
{
    (void)state;
    for (int rows = 6; rows <= MOST_ROWS; rows++) {
        struct layout l = layout_screen(rows, 40);
        assert_true(l.decode >= 0);
        assert_true(l.body.rows >= 2);
    }
}

static void test_no_screen_at_all(void **state)
{
    (void)state;
    for (int rows = -1; rows <= 0; rows++)
        for (int cols = -1; cols <= 1; cols++) {
            struct layout l = layout_screen(rows, cols);
            int lines[LINES_COUNT];
            lines_of(&l, lines);
            for (int i = 0; i < LINES_COUNT; i++)
                assert_int_equal(lines[i], -1);
            assert_int_equal(l.body.rows, 0);
            assert_true(l.body.cols >= 0);
        }
}

/* ---- the grid -------------------------------------------------------------------------------- */

struct grid {
    int count, most_across, least_cols, least_rows;
};

static bool overlap(struct rect a, struct rect b)
{
    return a.row < b.row + b.rows && b.row < a.row + a.rows && a.col < b.col + b.cols &&
           b.col < a.col + a.cols;
}

static void check_grid(struct rect area, const struct grid *g)
{
    struct rect cells[MOST_CELLS + 1];
    memset(cells, 0x55, sizeof cells);
    layout_grid(area, g->count, g->most_across, g->least_cols, g->least_rows, cells);
    int least = g->least_cols < area.cols ? g->least_cols : area.cols;
    for (int i = 0; i < g->count; i++) {
        struct rect c = cells[i];
        if (c.rows == 0)
            continue;
        assert_true(c.rows >= g->least_rows);
        assert_true(c.cols >= least);
        assert_true(c.row >= area.row && c.row + c.rows <= area.row + area.rows);
        assert_true(c.col >= area.col && c.col + c.cols <= area.col + area.cols);
        for (int k = 0; k < i; k++)
            assert_false(cells[k].rows > 0 && overlap(cells[k], c));
    }
    assert_int_equal(cells[g->count].row, 0x55555555); /* nothing beyond the array */
}

static void each_grid(void (*see)(struct rect area, const struct grid *g))
{
    for (int rows = 0; rows <= 40; rows++)
        for (int cols = 1; cols <= 130; cols++)
            for (int count = 1; count <= MOST_CELLS; count++)
                for (int across = 1; across <= 4; across++) {
                    struct grid g = {count, across, 1 + (cols * 7 + rows) % 30, 1 + rows % 6};
                    see((struct rect){rows % 5, cols % 7, rows, cols}, &g);
                    see((struct rect){6, 0, rows, cols}, &(struct grid){count, 3, 26, 4});
                }
}

static void test_cells_are_inside_and_disjoint(void **state)
{
    (void)state;
    each_grid(check_grid);
}

static void check_first(struct rect area, const struct grid *g)
{
    struct rect cells[MOST_CELLS + 1];
    bool gone = false;
    layout_grid(area, g->count, g->most_across, g->least_cols, g->least_rows, cells);
    assert_true((cells[0].rows > 0) == (area.rows >= g->least_rows));
    for (int i = 0; i < g->count; i++) { /* the first ones are the important ones */
        assert_false(gone && cells[i].rows > 0);
        gone = cells[i].rows == 0;
    }
}

static void test_the_first_cells_stay_longest(void **state)
{
    (void)state;
    each_grid(check_first);
}

static void test_a_large_area_has_all_cells(void **state)
{
    (void)state;
    struct rect cells[6];
    layout_grid((struct rect){6, 0, 20, 120}, 6, 3, 26, 4, cells);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(cells[i].rows, 10);
        assert_true(cells[i].cols >= 26);
        assert_int_equal(cells[i].row, 6 + i / 3 * 10);
    }
}

/* ---- shares of roofs --------------------------------------------------------------------------- */

/* More than all of a roof is never shown without the mark of one that may be too low. */
static void test_shares(void **state)
{
    (void)state;
    static const struct {
        double share;
        bool doubtful;
        const char *text;
    } cases[] = {{0, false, "0%"}, {0.42, false, "42%"}, {0.42, true, "42%?"}, {1, false, "100%"},
                 {1.004, false, "100%"}, {1.006, false, "101%?"}, {1.5, false, "150%?"}, {1.5, true, "150%?"},
                 {1e9, false, "99999%?"}};
    char out[16];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(format_share(out, cases[i].share, cases[i].doubtful), cases[i].text);
}

/* Names of texts, cut between characters. */
static void test_cut_names(void **state)
{
    (void)state;
    char out[32];
    assert_string_equal(format_cut(out, sizeof out, "self", 12), "self");
    assert_string_equal(format_cut(out, sizeof out, "twelve-bytes", 12), "twelve-bytes");
    assert_string_equal(format_cut(out, sizeof out, "thirteen-byte", 12), "thirteen-b..");
    assert_string_equal(format_cut(out, sizeof out, "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9", 11),
                        "\u00e9\u00e9\u00e9\u00e9..");
    assert_string_equal(format_cut(out, sizeof out, "", 12), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_cut_names),
        cmocka_unit_test(test_everything_is_inside),
        cmocka_unit_test(test_every_row_has_one_use),
        cmocka_unit_test(test_a_taller_screen_loses_no_line),
        cmocka_unit_test(test_order_from_the_top),
        cmocka_unit_test(test_small_screens_keep_the_speed),
        cmocka_unit_test(test_no_screen_at_all),
        cmocka_unit_test(test_cells_are_inside_and_disjoint),
        cmocka_unit_test(test_the_first_cells_stay_longest),
        cmocka_unit_test(test_a_large_area_has_all_cells),
    };
    return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
