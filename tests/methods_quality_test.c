/* What methods are worth on real models: the built-in one, the same with outlier activations, and stories260K
 * where the reference folder is there. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "measure/quality.h"
#include "quant/quantization.h"
#include "quant/recipe.h"
#include "session/session_weights.h"
#include "support.h"

#include <stdlib.h>

/* A model, which calibrates on 8192 tokens of its own, and another text to be judged by. */
enum { MOST_TOKENS = 1024 };

struct subject {
    struct session session;
    struct tokens judged;
    struct quality_plan plan;
};

static struct subject open_subject(const char *model, const char *tokenizer, struct outliers outliers,
                                   const char *text)
{
    struct subject s = {0};
    struct error error = {""};
    struct session_options o = {.model_path = model, .tokenizer_path = tokenizer, .outliers = outliers};
    size_t n;
    if (!session_open(&s.session, &o, &error))
        fail_msg("%s", error.text);
    char *held_out = read_whole(text, &n);
    assert_non_null(held_out);
    assert_true(tokenizer_encode(s.session.tokenizer, held_out, n, &s.judged, &error));
    free(held_out);
    s.judged.count = s.judged.count < MOST_TOKENS ? s.judged.count : MOST_TOKENS;
    s.plan = (struct quality_plan){.tokens = s.judged.ids, .count = s.judged.count,
                                   .bos = session_bos(&s.session), .protocol = PROTOCOL_FULL, .window = 512};
    return s;
}

static void close_subject(struct subject *s)
{
    free(s->judged.ids);
    session_close(&s->session);
}

static struct quality_result judge(struct subject *s, const char *text)
{
    struct scheme scheme;
    struct error error = {""};
    struct scheme *schemes = session_schemes(&s->session, &error);
    assert_true(scheme_parse(text, &scheme, &error));
    schemes_set_linear(s->session.model, scheme, schemes);
    struct weights *set = session_weights(&s->session, schemes, &error);
    if (!set)
        fail_msg("%s: %s", text, error.text);
    struct quality *q = quality_open(s->session.model, s->session.pool, &s->plan, s->session.stored, set,
                                     &error);
    assert_non_null(q);
    while (!quality_step(q, 1))
        continue;
    struct quality_result r = quality_result(q);
    fprintf(stderr, "%-36s KL %.6f, perplexity %.4f (%+.2f %%)\n", text, r.kl, r.perplexity,
            100 * (r.perplexity / r.perplexity_reference - 1));
    quality_close(q);
    weights_unref(set);
    free(schemes);
    return r;
}

#define BUILTIN SRCDIR "/data/stories.bin"
#define HELD_OUT SRCDIR "/data/stories-heldout.txt"

/* The figure that GPTQ stands or falls by: 8192 tokens of calibration, layers in sequence. */
static void test_gptq(void **state)
{
    (void)state;
    struct subject s = open_subject(BUILTIN, NULL, (struct outliers){0}, HELD_OUT);
    double rtn = judge(&s, "int4:channel").kl, gptq = judge(&s, "int4:channel:gptq").kl;
    fprintf(stderr, "GPTQ %.2f x rounding\n", gptq / rtn);
    assert_true(gptq <= 0.7 * rtn);
    assert_true(judge(&s, "int4:channel:gptq(sequence=0)").kl <= 0.8 * rtn);
    assert_true(judge(&s, "int4:awq").kl <= judge(&s, "int4").kl);
    close_subject(&s);
}

static double excess(const struct quality_result *r)
{
    return r->perplexity / r->perplexity_reference - 1;
}

/* What rounds a token by its largest activation fails on outliers; three methods do not. */
static void test_outliers(void **state)
{
    (void)state;
    struct subject s = open_subject(BUILTIN, NULL, (struct outliers){6, 200}, HELD_OUT);
    struct quality_result plain = judge(&s, "w8a8"), smooth = judge(&s, "w8a8:smoothquant");
    struct quality_result searched = judge(&s, "w8a8:smoothquant(alpha=search)");
    struct quality_result split = judge(&s, "w8a8:llmint8");
    assert_true(excess(&plain) > 0.2);
    assert_true(excess(&smooth) < 0.02 && smooth.kl < 0.01 * plain.kl);
    assert_true(excess(&searched) < 0.02 && searched.kl < 0.01 * plain.kl);
    assert_true(excess(&split) < 0.01 && split.kl < 0.01 * plain.kl);
    double int4 = judge(&s, "int4").kl, awq = judge(&s, "int4:awq").kl;
    assert_true(awq < int4); /* the weights that outliers multiply */
    close_subject(&s);
}

static void test_stories260k(void **state)
{
    (void)state;
    char *model = shared_path("models/stories260K.bin"), *tokenizer = shared_path("models/tok512.bin");
    char *text = shared_path("reference/stories260K/stories.txt");
    struct subject s = open_subject(model, tokenizer, (struct outliers){0}, text);
    double rtn = judge(&s, "int4:channel").kl, gptq = judge(&s, "int4:channel:gptq").kl;
    fprintf(stderr, "GPTQ %.2f x rounding\n", gptq / rtn);
    assert_true(gptq <= 0.7 * rtn);
    assert_true(judge(&s, "int4:awq").kl <= judge(&s, "int4").kl);
    assert_true(judge(&s, "int4:g32:awq").kl <= judge(&s, "int4:g32").kl);
    close_subject(&s);
    s = open_subject(model, tokenizer, (struct outliers){2, 100}, text);
    struct quality_result plain = judge(&s, "w8a8"), smooth = judge(&s, "w8a8:smoothquant");
    struct quality_result split = judge(&s, "w8a8:llmint8");
    assert_true(excess(&plain) > 0.2);
    assert_true(excess(&smooth) < 0.02);
    assert_true(excess(&split) < 0.01);
    close_subject(&s);
    free(model);
    free(tokenizer);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gptq),
        cmocka_unit_test(test_outliers),
        cmocka_unit_test(test_stories260k), /* the last: not without the reference folder */
    };
    char *there = shared_path("models/stories260K.bin");
    if (SANITIZED) { /* minutes of arithmetic that methods_test covers in the small */
        fprintf(stderr, "skipped: 3 cases of methods_quality_test: too slow under a sanitizer\n");
        free(there);
        return _cmocka_run_group_tests("methods_quality", tests, 0, NULL, NULL);
    }
    if (!there)
        fprintf(stderr, "skipped: 1 case of methods_quality_test: no reference folder (QTOP_SHARED names one)\n");
    size_t count = sizeof tests / sizeof *tests - (there ? 0 : 1);
    free(there);
    return _cmocka_run_group_tests("methods_quality", tests, count, NULL, NULL);
}
