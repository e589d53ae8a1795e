#include "layout.h"

#include <stddef.h>

/* Lines in the order in which a growing screen gains them, after the body's first row. `wants` is the
 * screen height from which a line is worth its room. */
struct layout layout_screen(int rows, int cols)
{
    struct layout l = {-1, -1, -1, -1, -1, -1, -1, -1, {0, 0, 0, 0}};
    const struct {
        int *line;
        int wants;
    } order[] = {
        {&l.title, 3},   {&l.footer, 5}, {&l.decode, 6}, {&l.status, 7},
        {&l.tabs, 9},    {&l.size, 14},  {&l.memory, 15}, {&l.text, 16},
    };
    int *const top[] = {&l.title, &l.decode, &l.memory, &l.size, &l.tabs};
    int *const bottom[] = {&l.footer, &l.status, &l.text};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        *order[i].line = rows >= order[i].wants ? 0 : -1;
    int first = 0, end = rows;
    for (size_t i = 0; i < sizeof top / sizeof *top; i++)
        if (*top[i] == 0)
            *top[i] = first++;
    for (size_t i = 0; i < sizeof bottom / sizeof *bottom; i++)
        if (*bottom[i] == 0)
            *bottom[i] = --end;
    l.body = (struct rect){first, 0, end - first > 0 ? end - first : 0, cols > 0 ? cols : 0};
    return l;
}

void layout_grid(struct rect area, int count, int max_across, int min_cols, int min_rows,
                 struct rect *cells)
{
    int across = (area.cols + 1) / (min_cols + 1); /* a blank column between two cells */
    across = across > max_across ? max_across : across < 1 ? 1 : across;
    across = across > count ? count : across;
    int down = (count + across - 1) / across;
    while (down > 1 && area.rows / down < min_rows)
        down--;
    int height = area.rows / down, pitch = (area.cols + 1) / across;
    for (int i = 0; i < count; i++) {
        int r = i / across, c = i % across;
        cells[i] = (struct rect){0, 0, 0, 0};
        if (r >= down || height < min_rows)
            continue;
        cells[i] = (struct rect){area.row + r * height, area.col + c * pitch, height, pitch - 1};
        if (c == across - 1)
            cells[i].cols = area.cols - c * pitch;
    }
}
