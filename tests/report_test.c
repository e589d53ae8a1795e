/* Reports: well-formed whatever names say, complete, in both formats; the records that they are read from. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "support.h"
#include "xmlcheck.h"

#include "report/markup.h"
#include "report/pages.h"
#include "report/plots.h"
#include "report/read_json.h"
#include "report/sections.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is written --------------------------------------------------------------------------- */

typedef void page_fn(FILE *out, const struct report *report);

/* What a function writes; the caller frees. Not inlined: a compiler takes the text for the pointer to it. */
__attribute__((noinline)) static char *written(page_fn *page, const struct report *r)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    page(out, r);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(strlen(text), size);
    return text;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in the report", part);
}

static void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("'%s' is in the report", part);
}

/* Well-formed, with nothing that runs or comes from elsewhere. */
static void assert_clean(const char *html)
{
    static const char *const never[] = {"<script", "<iframe", "<link", "<img", "<object", "<base", " src=", " href=",
                                        "http:", "https:", "@import", "url(", "javascript:", " onload", " onclick"};
    const char *wrong = xml_wrong(html, strlen(html));
    if (wrong)
        fail_msg("%s", wrong);
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        assert_lacks(html, never[i]);
}

static char *clean_html(const struct report *r)
{
    char *html = written(page_html, r);
    assert_clean(html);
    return html;
}

/* ---- reports to look at -------------------------------------------------------------------------- */

static struct report_scheme *add_scheme(struct report *r, const char *name, double size, double kl)
{
    struct report_scheme *s = report_add_scheme(r);
    s->name = report_text(r, name);
    s->figure[FIGURE_SIZE] = metric_value(size);
    s->figure[FIGURE_BITS] = metric_value(4.5);
    s->figure[FIGURE_DECODE] = metric_value(123.4);
    s->figure[FIGURE_PREFILL] = metric_value(5678);
    s->figure[FIGURE_KL] = metric_value(kl);
    s->figure[FIGURE_KL_ERROR] = metric_value(kl / 10);
    s->figure[FIGURE_TOP1] = metric_value(0.987);
    s->figure[FIGURE_TOP1_ERROR] = metric_value(0.002);
    s->figure[FIGURE_PERPLEXITY] = metric_value(5.5);
    s->figure[FIGURE_PERPLEXITY_REFERENCE] = metric_value(5);
    s->exports = "gguf";
    s->verdict = report_text(r, name);
    return s;
}

static void add_layers(struct report *r, const char *name)
{
    for (int b = 0; b < 3; b++) {
        struct report_layer *l = report_add_layer(r);
        l->name = report_text(r, name);
        l->kind = report_text(r, name);
        l->block = b;
        l->kl = b < 2 ? metric_value(1e-4 * (b + 1)) : metric_absent("not measured");
        l->kl_error = 1e-5;
    }
}

static void add_rest(struct report *r, const char *name)
{
    struct report_histogram *h = report_add_histogram(r);
    *h = (struct report_histogram){report_text(r, name), histogram_over(-1, 1), metric_value(20), 0.5};
    histogram_add(&h->errors, 0.1);
    *report_add_depth(r) = (struct report_depth){"embedding", 0};
    *report_add_depth(r) = (struct report_depth){report_text(r, name), 0.5};
    *report_add_roof(r) = (struct report_roof){"fp32", 1e11};
    *report_add_point(r) = (struct report_point){report_text(r, name), POINT_DECODE, 0.5, 1e10};
    *report_add_point(r) = (struct report_point){report_text(r, name), POINT_PREFILL, 50, 3e10};
    *report_add_point(r) = (struct report_point){report_text(r, name), POINT_LAYER, 0.4, 1e9};
    r->read = metric_value(3e10);
    r->error_unit = "error";
}

/* Everything that a report can have, all of it called so. */
static struct report *full_report(const char *name)
{
    struct report *r = report_create();
    assert_non_null(r);
    r->title = report_text(r, name);
    r->command = report_text(r, name);
    for (enum report_subject s = 0; s < SUBJECTS; s++) {
        report_add_fact(r, s, name, name, NULL);
        report_add_fact(r, s, "absent", NULL, name);
    }
    for (enum report_part p = 0; p < REPORT_PARTS; p++)
        r->basis[p] = report_text(r, name);
    add_scheme(r, "stored", 8e6, 0);
    add_scheme(r, name, 4e6, 1e-3)->recommended = true;
    add_scheme(r, "worse", 5e6, 1e-2)->figure[FIGURE_PREFILL] = metric_absent(report_text(r, name));
    r->advice = report_text(r, name);
    add_layers(r, name);
    add_rest(r, name);
    *report_add_curve_point(r) = (struct report_curve_point){3e6, 0.1};
    *report_add_curve_point(r) = (struct report_curve_point){6e6, 1e-4};
    assert_false(r->failed);
    return r;
}

static void test_everything(void **state)
{
    struct report *r = full_report("q4_k_m");
    char *html = clean_html(r), *markdown = written(page_markdown, r);
    (void)state;
    assert_lacks(html, "class=\"none\"");
    assert_int_equal(xml_count(html, "svg"), 5);
    assert_int_equal(xml_count(html, "section"), report_section_count);
    assert_int_equal(xml_count(html, "table"), 1);
    for (size_t i = 0; i < report_section_count; i++) {
        assert_has(html, report_sections[i].title);
        assert_has(markdown, report_sections[i].title);
    }
    assert_has(html, "4.00MB");
    assert_has(html, "0.0010±0.0001");
    assert_has(html, "98.7±0.2");
    assert_has(html, "(+10.00 %)");
    assert_has(html, "50 % of stored");
    assert_has(html, "blk.2.q4_k_m: not measured</title>");
    assert_has(html, "blk.1.q4_k_m: KL 2.0e-04±1e-05 nats</title>");
    assert_has(markdown, "| 4.00MB |");
    assert_has(markdown, "(take) (front)");
    assert_has(markdown, "n/a (1)");
    free(html);
    free(markdown);
    report_free(r);
}

/* A plot without data is a line that says why. */
static void test_nothing(void **state)
{
    struct report *r = report_create();
    (void)state;
    r->missing[PART_SENSITIVITY] = "nobody <measured> it";
    char *html = clean_html(r), *markdown = written(page_markdown, r);
    assert_int_equal(xml_count(html, "svg"), 0);
    assert_int_equal(xml_count(html, "table"), 0);
    assert_has(html, "n/a: nobody &lt;measured&gt; it");
    assert_has(html, "n/a: not measured");
    assert_has(markdown, "n/a: nobody \\<measured\\> it");
    free(html);
    free(markdown);
    report_free(r);
}

/* ---- names ------------------------------------------------------------------------------------- */

static const char *const hostile[] = {
    "<script>alert(1)</script>", "\" onload=\"x", "' onclick='x", "&amp;&lt;&bogus;", "]]><!--", "</style></svg>",
    "a|b|c", "`code` ``` ~~~", "[x](javascript:alert(1))", "![x](http://evil/x.png)", "<http://evil>", "www.evil.org",
    "line\nbreak\r\n# head", "\033[31mred\007", "\xff\xfe\xc3(", "\xed\xa0\x80", "\xef\xbf\xbe\xef\xbf\xbf",
    "\xe2\x80\xae" "reversed", "blk.0.attn_q", "**bold** _it_ __x__ *", "{{x}} $x$", "@user #1", "%s%n%d", "",
    "\xc2\x85\xc2\x9b", "tab\there", "\\", "\\|"};
enum { HOSTILE = sizeof hostile / sizeof *hostile };

static void test_hostile_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < HOSTILE; i++) {
        struct report *r = full_report(hostile[i]);
        char *html = written(page_html, r);
        const char *wrong = xml_wrong(html, strlen(html));
        if (wrong)
            fail_msg("'%s': %s", hostile[i], wrong);
        assert_lacks(html, "<script");
        assert_int_equal(xml_count(html, "svg"), 5);
        assert_int_equal(xml_count(html, "style"), 1);
        free(html);
        report_free(r);
    }
}

/* The columns of a row of a table: bars without a backslash before them. */
static size_t bars_in(const char *line, size_t n)
{
    size_t bars = 0;
    for (size_t i = 0; i < n; i++)
        if (line[i] == '\\')
            i++;
        else
            bars += line[i] == '|';
    return bars;
}

/* Rows of a table follow each other, and all have as many columns. */
static void check_tables(const char *markdown, const char *name)
{
    size_t before = 0;
    for (const char *line = markdown, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end);
        size_t bars = *line == '|' ? bars_in(line, (size_t)(end - line)) : 0;
        if (before > 0 && bars > 0 && bars != before)
            fail_msg("'%s': a row of %zu bars after one of %zu: %.*s", name, bars, before, (int)(end - line), line);
        before = bars;
    }
}

static bool is_control(unsigned char c)
{
    return (c < 32 && c != '\n') || c == 127;
}

static void test_hostile_markdown(void **state)
{
    (void)state;
    for (size_t i = 0; i < HOSTILE; i++) {
        struct report *r = full_report(hostile[i]);
        char *markdown = written(page_markdown, r);
        check_tables(markdown, hostile[i]);
        for (const char *c = markdown; *c; c++)
            if (is_control((unsigned char)*c) || (*c == '<' && (c == markdown || c[-1] != '\\')))
                fail_msg("'%s': %.40s", hostile[i], c);
        assert_lacks(markdown, "\n# head");
        assert_lacks(markdown, "http://");
        assert_lacks(markdown, "](");
        free(markdown);
        report_free(r);
    }
}

static void test_escapes(void **state)
{
    static const struct {
        const char *text, *html, *markdown;
    } cases[] = {
        {"plain é 字", "plain é 字", "plain é 字"},
        {"<&>\"'", "&lt;&amp;&gt;&quot;&#39;", "\\<\\&\\>\"'"},
        {"a|`b`", "a|`b`", "a\\|\\`b\\`"},
        {"\x01\n\x7f", "\\x01\\n\\x7f", "\\\\x01\\\\n\\\\x7f"},
        {"\xff<", "\\xff&lt;", "\\\\xff\\<"},
        {"\xef\xbf\xbf", "\\uffff", "\\\\uffff"},
        {"\xe2\x80\xae", "\\u202e", "\\\\u202e"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char html[200] = "", markdown[200] = "";
        FILE *out = fmemopen(html, sizeof html, "w");
        put_html(out, cases[i].text);
        fclose(out);
        out = fmemopen(markdown, sizeof markdown, "w");
        put_markdown(out, cases[i].text);
        fclose(out);
        assert_string_equal(html, cases[i].html);
        assert_string_equal(markdown, cases[i].markdown);
    }
}

/* ---- plots ------------------------------------------------------------------------------------- */

struct label {
    double left, right, line;
};

/* The labels of class "name" in a plot; x is their middle. */
static size_t labels_of(const char *svg, struct label *out, size_t most)
{
    size_t n = 0;
    for (const char *at = strstr(svg, "<text "); at && n < most; at = strstr(at + 1, "<text ")) {
        double x, y;
        char class[16], text[64];
        if (sscanf(at, "<text x=\"%lf\" y=\"%lf\" text-anchor=\"middle\" class=\"%15[^\"]\">%63[^<]", &x, &y, class, text) == 4 &&
            strncmp(class, "name", 4) == 0) {
            double half = 6.7 * (double)strlen(text) / 2;
            out[n++] = (struct label){x - half, x + half, y};
        }
    }
    return n;
}

static void test_labels_keep_clear(void **state)
{
    struct report *r = report_create();
    struct label labels[100];
    uint64_t seed = 5;
    char name[32];
    (void)state;
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "scheme_%d:g%d", i, i);
        add_scheme(r, name, 1e6 * (1 + random_uniform(&seed)), 1e-3 * (0.5 + random_uniform(&seed)));
    }
    char *svg = written(plot_front, r);
    size_t n = labels_of(svg, labels, 100);
    assert_true(n > 25);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (labels[i].left < labels[k].right && labels[k].left < labels[i].right &&
                fabs(labels[i].line - labels[k].line) < 12)
                fail_msg("labels %zu and %zu overlap", k, i);
    free(svg);
    report_free(r);
}

/* By hand: who is on the front, and that equals do not push each other out. */
static void test_front(void **state)
{
    struct report *r = report_create();
    static const bool on[] = {true, true, false, true, true, false, false};
    (void)state;
    add_scheme(r, "small", 1, 0.5);
    add_scheme(r, "large", 10, 0);
    add_scheme(r, "as small, worse", 1, 0.6);
    add_scheme(r, "middle", 5, 0.1);
    add_scheme(r, "the same", 5, 0.1);
    add_scheme(r, "partial", 0.5, 0.01)->partial = true;
    add_scheme(r, "stale", 0.5, 0.01)->stale = "another text";
    for (size_t i = 0; i < r->scheme_count; i++)
        if (report_on_front(r, &r->schemes[i]) != on[i])
            fail_msg("%s", r->schemes[i].name);
    r->schemes[1].figure[FIGURE_FILE] = metric_value(0.9);
    assert_false(report_on_front(r, &r->schemes[0])); /* the file counts */
    report_free(r);
}

/* Figures at the ends of what there is: nothing but numbers in the paths. */
static void test_extremes(void **state)
{
    static const double sizes[] = {1, 1e18, 1e-300, 5e-324}, kls[] = {0, 1e6, 1e-300, -1};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct report *r = full_report("x");
        add_scheme(r, "a", sizes[i], kls[i]);
        add_scheme(r, "b", sizes[3 - i], kls[3 - i]);
        report_add_layer(r)->kl = metric_value(kls[i]);
        r->layers[r->layer_count - 1].name = r->layers[r->layer_count - 1].kind = "y";
        report_add_point(r)->name = "p";
        r->points[r->point_count - 1].intensity = sizes[i];
        r->points[r->point_count - 1].rate = sizes[3 - i];
        r->depth[1].error = sizes[i];
        char *html = clean_html(r);
        assert_lacks(html, "\"nan");
        assert_lacks(html, "\"inf");
        assert_lacks(html, "Vnan");
        assert_lacks(html, "\"-nan");
        free(html);
        report_free(r);
    }
}

/* ---- records ----------------------------------------------------------------------------------- */

static const char advise_record[] =
    "{\"scheme\":\"q4_k\",\"size_bytes\":100,\"file_bytes\":null,\"file_bytes_reason\":\"no room\",\"exports\":\"gguf\","
    "\"decode_tokens_per_second\":null,\"decode_tokens_per_second_reason\":\"busy\",\"predicted_tokens_per_second\":50,"
    "\"kl_divergence\":0.5,\"kl_stderr\":0.1,\"top1_agreement\":0.9,\"text_name\":\"t\",\"text_tokens\":64,"
    "\"verdict\":\"good\",\"recommended\":true,\"partial\":false}\n";

static struct report *parsed(const char *text)
{
    struct report *r = report_create();
    struct error error = {""};
    if (!report_parse_json(r, (const uint8_t *)text, strlen(text), "file", &error))
        fail_msg("%s", error.text);
    return r;
}

static void test_records(void **state)
{
    char text[4000];
    (void)state;
    snprintf(text, sizeof text, "%s%s%s", advise_record,
             "{\"scheme\":\"q4_k\",\"decode_tokens_per_second\":12.5,\"peak_read_bytes_per_second\":3e10}\n",
             "{\"scheme\":\"int8\",\"file_bytes\":200,\"kl_divergence\":0.2,\"text_name\":\"other\",\"text_tokens\":64,"
             "\"hidden_state_error\":[0,0.1,0.2]}\n");
    struct report *r = parsed(text);
    assert_int_equal(r->scheme_count, 2); /* of the same name: one row */
    assert_true(r->schemes[0].recommended);
    assert_true(r->schemes[0].figure[FIGURE_DECODE].value == 12.5);
    assert_string_equal(r->schemes[0].figure[FIGURE_FILE].reason, "no room");
    assert_null(r->schemes[0].stale);
    assert_non_null(r->schemes[1].stale); /* on another text */
    assert_int_equal(r->depth_count, 3);
    assert_true(r->read.value == 3e10);
    char *html = clean_html(r);
    assert_has(html, "no room");
    assert_has(html, "another text (other");
    assert_has(html, "the file has no sensitivity");
    free(html);
    report_free(r);
}

/* Also written over lines. */
static void test_session_record(void **state)
{
    struct report *r = parsed("{\n \"model\": {\"name\": \"m.gguf\", \"parameters\": 1000},\n"
                              " \"snapshots\": [{\"scheme\": \"int8\", \"label\": \"A\", \"size_bytes\": 9, \"kl_divergence\": 0.1}],\n"
                              " \"advise\": [{\"scheme\": \"q4_0\", \"size_bytes\": 5, \"kl_divergence\": 0.3}],\n"
                              " \"sensitivity\": [{\"name\": \"blk.1.ffn_up_exps.3\", \"kl_alone\": 0.01},\n"
                              "  {\"name\": \"output\", \"kl_alone\": 0.02, \"kl_alone_stderr\": 0.001},\n"
                              "  {\"name\": \"blk.0.attn_q\", \"kl_alone\": null}]\n}\n");
    (void)state;
    assert_string_equal(r->title, "m.gguf");
    assert_int_equal(r->scheme_count, 2);
    assert_string_equal(r->schemes[0].mark, "A");
    assert_int_equal(r->layer_count, 2);
    assert_string_equal(r->layers[0].kind, "ffn_up_exps");
    assert_int_equal(r->layers[0].block, 1);
    assert_int_equal(r->layers[1].block, -1);
    char *html = clean_html(r);
    assert_has(html, "Outside the blocks: output 0.0200±0.0010 nats");
    free(html);
    report_free(r);
}

static void test_tune_record(void **state)
{
    struct report *r = parsed("{\"recipe\":\"out.txt\",\"size_bytes\":50,\"kl_divergence\":0.01,\"mix\":\"q4_k_m\","
                              "\"mix_size_bytes\":60,\"mix_kl_divergence\":0.02,\"min_tokens_per_second\":null,"
                              "\"curve\":[[10,0.5],[100,0.001]]}");
    (void)state;
    assert_int_equal(r->scheme_count, 2);
    assert_string_equal(r->schemes[0].name, "recipe out.txt");
    assert_int_equal(r->curve_count, 2);
    char *html = clean_html(r);
    assert_has(html, "class=\"curve\"");
    free(html);
    report_free(r);
}

static void test_refused_records(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "is empty"},
        {"x", "not JSON"},
        {"[1]", "expected an object"},
        {"{}", "record 1 is nothing that a report is made of"},
        {"{\"name\":\"x\"}", "expected the --json output"},
        {"{\"scheme\":1}", "'scheme' is an integer; expected a string"},
        {"{\"scheme\":null}", "expected the name of a scheme"},
        {"{\"scheme\":\"\"}", "expected the name of a scheme"},
        {"{\"scheme\":\"a\",\"size_bytes\":\"9\"}", "'size_bytes' is a string; expected a number"},
        {"{\"scheme\":\"a\",\"size_bytes\":-1}", "'size_bytes' is -1; expected 0 to"},
        {"{\"scheme\":\"a\",\"top1_agreement\":1.5}", "'top1_agreement' is 1.5"},
        {"{\"scheme\":\"a\",\"kl_divergence\":NaN}", "not JSON"},
        {"{\"scheme\":\"a\",\"kl_divergence\":1e999}", "not JSON"},
        {"{\"scheme\":\"a\",\"partial\":1}", "'partial' is an integer"},
        {"{\"scheme\":\"a\"}\n{\"scheme\":\"b\",\"verdict\":[]}", "record 2: 'verdict' is a list"},
        {"{\"scheme\":\"a\",\"scheme\":\"b\"}", "duplicate"},
        {"{\"scheme\":\"a\",\"hidden_state_error\":1}", "'hidden_state_error' is an integer; expected a list"},
        {"{\"scheme\":\"a\",\"hidden_state_error\":[\"x\"]}", "'hidden_state_error' is a string"},
        {"{\"recipe\":null,\"curve\":[1]}", "no pair of numbers"},
        {"{\"recipe\":null,\"curve\":[[1,2,3]]}", "no pair of numbers"},
        {"{\"sensitivity\":[1]}", "'sensitivity' has an integer; expected objects"},
        {"{\"sensitivity\":[{\"kl_alone\":1}]}", "'name' is nothing"},
        {"{\"model\":[]}", "'model' is a list"},
        {"{\"snapshots\":{}}", "expected a list"},
        {"{\"a\":[[[[[[[[[[[[[1]]]]]]]]]]]]]}", "nested"},
        {"{\"scheme\":\"\xff\"}", "unable to decode byte"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct report *r = report_create();
        struct error error = {""};
        bool ok = report_parse_json(r, (const uint8_t *)cases[i].text, strlen(cases[i].text), "file", &error);
        if (ok || !strstr(error.text, cases[i].says) || strncmp(error.text, "file", 4) != 0)
            fail_msg("%s: '%s'; expected '%s'", cases[i].text, ok ? "accepted" : error.text, cases[i].says);
        report_free(r);
    }
}

/* More of one kind than anybody has. */
static void test_many_records(void **state)
{
    struct report *r = report_create();
    struct error error = {""};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    (void)state;
    for (int i = 0; i < 600; i++)
        fprintf(out, "{\"scheme\":\"s%d\"}\n", i);
    fclose(out);
    assert_false(report_parse_json(r, (const uint8_t *)text, size, "file", &error));
    assert_has(error.text, "record 513: one scheme more than 512");
    free(text);
    report_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_hostile_names),     cmocka_unit_test(test_hostile_markdown),
        cmocka_unit_test(test_escapes),           cmocka_unit_test(test_labels_keep_clear),
        cmocka_unit_test(test_front),             cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_records),           cmocka_unit_test(test_session_record),
        cmocka_unit_test(test_tune_record),       cmocka_unit_test(test_refused_records),
        cmocka_unit_test(test_many_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
