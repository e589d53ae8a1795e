#include "tables.h"

#include "columns.h"
#include "markup.h"

#include <string.h>

static void put_titles(FILE *out, const struct report *r)
{
    fputs("<thead><tr>", out);
    for (size_t c = 0; c < report_column_count; c++) {
        const struct report_column *column = &report_columns[c];
        if (!report_column_shown(r, column))
            continue;
        fprintf(out, "<th scope=\"col\"%s>", column->number ? " class=\"n\"" : "");
        put_html(out, column->title);
        if (*column->unit) {
            fputs("<small>", out);
            put_html(out, column->unit);
            fputs("</small>", out);
        }
        fputs("</th>", out);
    }
    fputs("</tr></thead>\n", out);
}

/* Beside a scheme's name. */
static void put_tags(FILE *out, const struct report *r, size_t row)
{
    const struct report_scheme *s = &r->schemes[row];
    if (s->recommended)
        fputs(" <span class=\"tag take\">take</span>", out);
    if (report_on_front(r, s))
        fputs(" <span class=\"tag\">front</span>", out);
    if (s->partial)
        fputs(" <span class=\"tag\">partial</span>", out);
}

static void put_cell(FILE *out, const struct report *r, size_t row, const struct report_column *column,
                     struct report_notes *notes)
{
    char room[CELL_TEXT];
    bool name = strcmp(column->title, "scheme") == 0;
    struct report_cell cell = column->cell(r, row, room);
    fprintf(out, name ? "<th scope=\"row\">" : column->number ? "<td class=\"n\">" : "<td>");
    if (cell.text)
        put_html(out, cell.text);
    else
        fprintf(out, "n/a<sup>%zu</sup>", notes_number(notes, cell.reason));
    if (name)
        put_tags(out, r, row);
    fputs(name ? "</th>" : "</td>", out);
}

void html_schemes(FILE *out, const struct report *r)
{
    struct report_notes notes = {0};
    fputs("<div class=\"scroll\"><table>\n", out);
    put_titles(out, r);
    fputs("<tbody>\n", out);
    for (size_t i = 0; i < r->scheme_count; i++) {
        fprintf(out, "<tr%s>", r->schemes[i].recommended ? " class=\"take\"" : "");
        for (size_t c = 0; c < report_column_count; c++)
            if (report_column_shown(r, &report_columns[c]))
                put_cell(out, r, i, &report_columns[c], &notes);
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div>\n<p class=\"key\">" SCHEMES_MARKS "</p>\n", out);
    if (notes.count > 0)
        fputs("<ol class=\"notes\">\n", out);
    for (size_t i = 0; i < notes.count; i++) {
        fputs("<li>n/a: ", out);
        put_html(out, notes.of[i]);
        fputs("</li>\n", out);
    }
    if (notes.count > 0)
        fputs("</ol>\n", out);
}
