/* Which of two files is better, in words. */
#include "against.h"

#include "base/units.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct words {
    char *text;
    size_t used;
};

static void add(struct words *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct words *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(w->text + w->used, AGAINST_VERDICT - w->used, format, args);
    va_end(args);
    w->used = n > 0 && w->used + (size_t)n < AGAINST_VERDICT ? w->used + (size_t)n : AGAINST_VERDICT - 1;
}

static void add_kl(struct words *w, const struct quality_result *r)
{
    char kl[32];
    add(w, "%s", format_kl(kl, r->kl, r->kl_stderr, false));
}

static const double SAME_SIZE = 0.005; /* of the whole */

/* Sizes that agree to half a per cent are the same to who chooses. */
static bool is_same_size(const struct against_facts *f)
{
    return fabs((double)f->bytes[1] - (double)f->bytes[0]) <= SAME_SIZE * (double)f->bytes[0];
}

/* Whether the interval of the ratio holds 1, or it is within 2 %. */
static bool is_same_speed(struct ratio r)
{
    return (r.low <= 1 && r.high >= 1) || fabs(r.median - 1) <= 0.02;
}

/* "at the same size and speed", "1.8 % smaller, decoding 1.12 times as fast" */
static void add_cost(struct words *w, const struct against_figures *g, const struct against_facts *f)
{
    bool timed = g->speed.rounds == AGAINST_ROUNDS;
    struct ratio r = {1, 1, 1};
    if (timed)
        r = ratio_of(g->speed.decode[1], g->speed.decode[0], g->speed.rounds);
    bool size = is_same_size(f), speed = timed && is_same_speed(r);
    double change = 100 * ((double)f->bytes[1] / (double)f->bytes[0] - 1);
    if (size)
        add(w, ", at the same size%s", speed ? " and speed" : "");
    else
        add(w, "; b is %.1f %% %s%s", fabs(change), change < 0 ? "smaller" : "larger", speed ? " and as fast" : "");
    if (timed && !speed)
        add(w, "%s decodes %.2f times as fast (%.2f to %.2f)", size ? "; b" : " and", r.median, r.low, r.high);
}

static bool is_known(const struct quality_result *r)
{
    return quality_is_complete(r) && isfinite(r->kl);
}

/* Two standard errors of the difference, as if both were independent: they are of the same tokens, so this is more
 * than the real one. */
static void compare_with_reference(struct words *w, const struct against_figures *g)
{
    const struct quality_result *a = &g->from_reference[0], *b = &g->from_reference[1];
    double unsure = 2 * sqrt(a->kl_stderr * a->kl_stderr + b->kl_stderr * b->kl_stderr);
    bool b_wins = b->kl < a->kl;
    const struct quality_result *best = b_wins ? b : a, *other = b_wins ? a : b;
    bool tells = fabs(a->kl - b->kl) > unsure;
    if (tells)
        add(w, "%s is closer to the reference: KL ", b_wins ? "b" : "a");
    else
        add(w, "a and b are equally close to the reference as far as this text tells: KL ");
    add_kl(w, tells ? best : a);
    add(w, tells ? " against " : " and ");
    add_kl(w, tells ? other : b);
}

static void say_difference(struct words *w, const struct quality_result *r)
{
    if (is_known(r)) {
        add(w, "b differs from a by KL ");
        add_kl(w, r);
        add(w, ", top-1 agreement %.1f %%", 100 * r->top1);
    } else if (quality_is_complete(r)) {
        add(w, "b against a: KL n/a, %s", quality_reason(r->kl));
    } else {
        add(w, "not known yet: KL of b from a is being measured");
    }
}

/* Whether it is known. */
static bool compare(struct words *w, const struct against_figures *g)
{
    const struct quality_result *a = &g->from_reference[0], *b = &g->from_reference[1];
    bool known = g->has_reference ? is_known(a) && is_known(b) : is_known(&g->from_a);
    if (!g->has_reference)
        say_difference(w, &g->from_a);
    else if (known)
        compare_with_reference(w, g);
    else if (quality_is_complete(a) && quality_is_complete(b))
        add(w, "a or b against the reference: KL n/a, a logit is not finite");
    else
        add(w, "not known yet: KL of both from the reference is being measured");
    return known;
}

void against_verdict(const struct against_figures *g, const struct against_facts *f, char out[AGAINST_VERDICT])
{
    struct words w = {out, 0};
    *out = 0;
    if (!f) {
        add(&w, "a and b are being compared");
        return;
    }
    if (f->tokens == 0 && is_known(&g->from_a) && g->from_a.kl == 0) {
        add(&w, "a and b predict the same: KL 0 over %zu tokens", g->from_a.scored);
        return;
    }
    if (compare(&w, g))
        add_cost(&w, g, f);
    if (!g->has_reference)
        add(&w, "; which is better only --reference FILE can tell, the file that both were made from");
    if (f->tokens > 0)
        add(&w, "; %zu tokens mean something else in b, so KL compares little", f->tokens);
}
