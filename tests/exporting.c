#include "exporting.h"
#include "session/session_weights.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "quant/recipe.h"
#include "support.h"

#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>

static void apply(const struct subject *s, const char *scheme, const char *recipe, struct scheme *schemes)
{
    struct error error = {""};
    struct scheme uniform;
    struct recipe rules;
    if (scheme) {
        if (!scheme_parse(scheme, &uniform, &error))
            fail_msg("%s", error.text);
        schemes_set_linear(s->session.model, uniform, schemes);
    }
    if (!recipe)
        return;
    if (!recipe_parse(&rules, "recipe", recipe, strlen(recipe), &error) ||
        !recipe_apply(&rules, s->session.model, schemes, &error))
        fail_msg("%s", error.text);
    recipe_free(&rules);
}

/* To calibrate on: a model's own text would be 8192 tokens, written anew by every subject. */
static struct tokens some_text(const struct model *m)
{
    enum { N = 256 };
    struct tokens t = {make(N * sizeof *t.ids), N, N};
    uint64_t seed = 11;
    for (size_t i = 0; i < N; i++)
        t.ids[i] = (int32_t)random_below(&seed, m->hyper.vocab);
    return t;
}

struct subject subject_open_with(const char *model, const char *tokenizer, const char *scheme,
                                 const char *recipe)
{
    struct subject s = {0};
    struct error error = {""};
    struct session_options o = {.model_path = model, .tokenizer_path = tokenizer, .threads = 1};
    if (!session_open(&s.session, &o, &error))
        fail_msg("%s", error.text);
    s.session.calibration = some_text(s.session.model);
    struct scheme *schemes = session_schemes(&s.session, &error);
    apply(&s, scheme, recipe, schemes);
    s.set = session_weights(&s.session, schemes, &error);
    if (!s.set)
        fail_msg("%s: %s", scheme, error.text);
    free(schemes);
    return s;
}

struct subject subject_open(const char *model, const char *tokenizer, const char *scheme)
{
    return subject_open_with(model, tokenizer, scheme, NULL);
}

void subject_close(struct subject *s)
{
    weights_unref(s->set);
    session_close(&s->session);
}

char subject_notes[4000];

bool subject_export(const struct subject *s, const char *path, const char *format, struct error *error)
{
    const struct session *session = &s->session;
    struct export_plan plan = {.model = session->model, .pool = session->pool, .weights = s->set, .path = path,
                               .format = format,
                               .tokenizer_path = session->tokenizer ? tokenizer_path(session->tokenizer) : NULL};
    *error = (struct error){""};
    struct scheme *schemes = make(s->set->count * sizeof *schemes);
    for (size_t i = 0; i < s->set->count; i++)
        schemes[i] = qtensor_scheme(s->set->layer[i]);
    struct error early = {""};
    bool foreseen = export_check(&plan, schemes, &early);
    free(schemes);
    struct export *job = export_open(&plan, error);
    if (job && !foreseen)
        fail_msg("'%s' was said before the set was made, nothing then", early.text);
    bool ok = job, done = false;
    double before = -1;
    while (ok && !done) {
        ok = export_step(job, 0, &done, error);
        if (ok && !(export_fraction(job) >= before && export_fraction(job) <= 1))
            fail_msg("fraction %g after %g", export_fraction(job), before);
        before = export_fraction(job);
    }
    if (ok && before != 1)
        fail_msg("done at %.17g", before);
    subject_notes[0] = 0;
    for (size_t i = 0; job && export_note(job, i); i++) {
        size_t used = strlen(subject_notes);
        snprintf(subject_notes + used, sizeof subject_notes - used, "%s\n", export_note(job, i));
    }
    export_close(job);
    return ok;
}

float *subject_logits(const struct subject *s)
{
    struct error error = {""};
    size_t vocab = s->session.model->hyper.vocab;
    int32_t ids[SUBJECT_TOKENS];
    uint64_t seed = 7;
    for (size_t i = 0; i < SUBJECT_TOKENS; i++)
        ids[i] = (int32_t)random_below(&seed, vocab);
    struct context *c = context_open(s->session.model, s->session.pool, SUBJECT_TOKENS, &error);
    if (!c)
        fail_msg("%s", error.text);
    float *logits = make(SUBJECT_TOKENS * vocab * sizeof *logits);
    context_run(c, s->set, ids, SUBJECT_TOKENS, LOGITS_ALL, logits);
    context_close(c);
    return logits;
}

void check_logits(const struct subject *a, const struct subject *b, double tolerance, const char *what)
{
    size_t n = SUBJECT_TOKENS * a->session.model->hyper.vocab;
    assert_int_equal(a->session.model->hyper.vocab, b->session.model->hyper.vocab);
    float *x = subject_logits(a), *y = subject_logits(b);
    double most = 0, off = 0;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)x[i]));
        double e = fabs((double)x[i] - (double)y[i]);
        off = e <= off || isnan(off) ? off : e;
    }
    if (!(off <= tolerance * most))
        fail_msg("%s: logits differ by %g; the largest is %g", what, off, most);
    free(x);
    free(y);
}

/* ---- weights --------------------------------------------------------------------------------- */

/* Where b has row r of a: its models turn Q and K in another order. */
static size_t row_of(const struct subject *a, const struct subject *b, enum role role, size_t r)
{
    const struct hyper *h = &a->session.model->hyper, *other = &b->session.model->hyper;
    size_t size = h->head_size, half = size / 2, at = r % size;
    bool turns = role == ROLE_ATTN_Q || role == ROLE_ATTN_K || role == ROLE_ATTN_Q_BIAS || role == ROLE_ATTN_K_BIAS;
    if (!turns || h->rope == other->rope)
        return r;
    size_t there = h->rope == ROPE_HALVES ? 2 * (at % half) + at / half : at % 2 * half + at / 2;
    return r - at + there;
}

static void check_row(const struct subject *a, const struct subject *b, int t, size_t r, double tolerance,
                      const char *what)
{
    const struct tensor *tensor = &a->session.model->tensors[t];
    const struct qmatrix *m = &a->set->layer[t]->matrix, *n = &b->set->layer[t]->matrix;
    bool vector = roles[tensor->role].vector;
    float *x = make(m->cols * sizeof *x), *y = make(m->cols * sizeof *y);
    qmatrix_decode_codes(m, r, 0, m->cols, x);
    qmatrix_decode_codes(n, vector ? r : row_of(a, b, tensor->role, r), 0, m->cols, y);
    double most = 0;
    for (size_t c = 0; c < m->cols; c++)
        most = fmax(most, fabs((double)x[c]));
    for (size_t c = 0; c < m->cols; c++) {
        float other = y[vector ? row_of(a, b, tensor->role, c) : c];
        if (float_bits(x[c]) != float_bits(other) && x[c] != other &&
            !(tolerance > 0 && fabs((double)x[c] - (double)other) <= tolerance * most))
            fail_msg("%s: %s[%zu][%zu] = %.9g became %.9g", what, tensor->name, r, c, (double)x[c],
                     (double)other);
    }
    free(x);
    free(y);
}

void check_weights(const struct subject *a, const struct subject *b, const char *except, double tolerance,
                   const char *what)
{
    const struct model *m = a->session.model, *n = b->session.model;
    assert_int_equal(m->tensor_count, n->tensor_count);
    for (int t = 0; t < (int)m->tensor_count; t++) {
        assert_string_equal(m->tensors[t].name, n->tensors[t].name);
        assert_int_equal(m->tensors[t].stored.rows, n->tensors[t].stored.rows);
        bool loose = except && fnmatch(except, m->tensors[t].name, 0) == 0;
        for (size_t r = 0; r < m->tensors[t].stored.rows; r++)
            check_row(a, b, t, r, loose ? tolerance : 0, what);
    }
}

char *arch_folder(const char *name)
{
    char *path;
    if (asprintf(&path, "%s/tests/data/arch/%s", SRCDIR, name) < 0)
        abort();
    return path;
}

char *arch_gguf(const char *name)
{
    char *path;
    if (asprintf(&path, "%s/tests/data/arch/%s/%s.gguf", SRCDIR, name, name) < 0)
        abort();
    return path;
}
