#include "pages.h"

#include "markup.h"
#include "sections.h"
#include "style.h"

static void put_facts(FILE *out, const struct report *r, enum report_subject subject)
{
    const struct report_facts *f = &r->facts[subject];
    if (f->count == 0)
        return;
    fprintf(out, "<div><h2>%s</h2><dl>\n", report_subjects[subject]);
    for (size_t i = 0; i < f->count; i++) {
        fputs("<dt>", out);
        put_html(out, f->of[i].label);
        fputs("</dt><dd>", out);
        put_html(out, f->of[i].value ? f->of[i].value : "n/a");
        if (!f->of[i].value && f->of[i].reason) {
            fputs(" <small>(", out);
            put_html(out, f->of[i].reason);
            fputs(")</small>", out);
        }
        fputs("</dd>\n", out);
    }
    fputs("</dl></div>\n", out);
}

static void put_answer(FILE *out, const struct report *r)
{
    const struct report_scheme *s = report_recommended(r);
    struct report_tile tiles[TILES];
    size_t n = s ? report_tiles(r, s, tiles) : 0;
    if (!s)
        return;
    fputs("<div class=\"answer\"><p>Take <b>", out);
    put_html(out, s->name);
    fputs("</b>", out);
    if (r->advice) {
        fputs(": ", out);
        put_html(out, r->advice);
    }
    fputs("</p>\n<div class=\"tiles\">\n", out);
    for (size_t i = 0; i < n; i++) {
        fprintf(out, "<div><span>%s</span><b>", tiles[i].label);
        put_html(out, tiles[i].value);
        fprintf(out, "</b><span>%s</span></div>\n", tiles[i].remark);
    }
    fputs("</div></div>\n", out);
}

static void put_section(FILE *out, const struct report *r, const struct report_section *s)
{
    fprintf(out, "<section id=\"%s\">\n<h2>%s</h2>\n", s->id, s->title);
    if (!s->has(r)) {
        fputs("<p class=\"none\">n/a: ", out);
        put_html(out, report_section_reason(r, s));
        fputs("</p>\n</section>\n", out);
        return;
    }
    fputs("<p class=\"how\">", out);
    put_html(out, s->how);
    if (r->basis[s->part]) {
        fputc(' ', out);
        put_html(out, r->basis[s->part]);
    }
    fputs("</p>\n<div class=\"plot\">\n", out);
    s->html(out, r);
    fputs("</div>\n</section>\n", out);
}

static void put_footer(FILE *out, const struct report *r)
{
    if (!r->command)
        return;
    fputs("<footer><p>The command that makes this report again:</p>\n<p><code>", out);
    put_html(out, r->command);
    fputs("</code></p></footer>\n", out);
}

void page_html(FILE *out, const struct report *r)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
          "<meta name=\"color-scheme\" content=\"light dark\"/>\n<title>qtop: ",
          out);
    put_html(out, r->title);
    fprintf(out, "</title>\n<style>\n%s%s%s</style>\n</head>\n<body>\n<header>\n<h1>", style_page, style_plots,
            style_print);
    put_html(out, r->title);
    fputs("</h1>\n<p class=\"dim\">Which quantization scheme for this model on this machine, and what it costs (qtop ",
          out);
    put_html(out, r->version);
    fputs(", ", out);
    put_html(out, r->date);
    fputs(")</p>\n</header>\n<main>\n", out);
    put_answer(out, r);
    fputs("<div class=\"facts\">\n", out);
    for (enum report_subject s = 0; s < SUBJECTS; s++)
        put_facts(out, r, s);
    fputs("</div>\n", out);
    for (size_t i = 0; i < report_section_count; i++)
        put_section(out, r, &report_sections[i]);
    fputs("</main>\n", out);
    put_footer(out, r);
    fputs("</body>\n</html>\n", out);
}
