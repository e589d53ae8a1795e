#include "pages.h"

#include "markup.h"
#include "sections.h"

static void put_line(FILE *out, const char *label, const char *value)
{
    fprintf(out, "- **%s:** ", label);
    put_markdown(out, value);
    fputs("\n", out);
}

static void put_facts(FILE *out, const struct report *r, enum report_subject subject)
{
    const struct report_facts *f = &r->facts[subject];
    if (f->count > 0)
        fprintf(out, "\n**%s**\n\n", report_subjects[subject]);
    for (size_t i = 0; i < f->count; i++) {
        fputs("- ", out);
        put_markdown(out, f->of[i].label);
        fputs(": ", out);
        put_markdown(out, f->of[i].value ? f->of[i].value : "n/a");
        if (!f->of[i].value && f->of[i].reason) {
            fputs(" (", out);
            put_markdown(out, f->of[i].reason);
            fputs(")", out);
        }
        fputs("\n", out);
    }
}

static void put_answer(FILE *out, const struct report *r)
{
    const struct report_scheme *s = report_recommended(r);
    struct report_tile tiles[TILES];
    size_t n = s ? report_tiles(r, s, tiles) : 0;
    if (!s)
        return;
    fputs("\n**Take ", out);
    put_markdown(out, s->name);
    fputs("**", out);
    if (r->advice) {
        fputs(": ", out);
        put_markdown(out, r->advice);
    }
    fputs("\n\n", out);
    for (size_t i = 0; i < n; i++) {
        fprintf(out, "- %s: ", tiles[i].label);
        put_markdown(out, tiles[i].value);
        if (*tiles[i].remark)
            fprintf(out, " (%s)", tiles[i].remark);
        fputs("\n", out);
    }
}

static void put_section(FILE *out, const struct report *r, const struct report_section *s)
{
    fprintf(out, "\n## %s\n\n", s->title);
    if (!s->has(r)) {
        fputs("n/a: ", out);
        put_markdown(out, report_section_reason(r, s));
        fputs("\n", out);
        return;
    }
    if (*s->how)
        put_markdown(out, s->how);
    if (r->basis[s->part]) {
        fputc(' ', out);
        put_markdown(out, r->basis[s->part]);
    }
    fputs("\n\n", out);
    s->markdown(out, r);
}

void page_markdown(FILE *out, const struct report *r)
{
    fputs("# Quantization report: ", out);
    put_markdown(out, r->title);
    fputs("\n", out);
    put_answer(out, r);
    for (enum report_subject s = 0; s < SUBJECTS; s++)
        put_facts(out, r, s);
    for (size_t i = 0; i < report_section_count; i++)
        put_section(out, r, &report_sections[i]);
    fputs("\n## This report\n\n", out);
    put_line(out, "made by qtop", r->version);
    put_line(out, "date", r->date);
    if (r->command)
        put_line(out, "made again by", r->command);
}
