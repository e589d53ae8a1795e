/* Commands that change schemes, and what a person did in words. */
#include "actions.h"
#include "quant/recipe.h"
#include "snapshots.h"
#include "target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say_kv(struct lab *lab, enum dtype kv)
{
    const struct model *m = lab->session->model;
    if (lab->set->kv == kv) /* else why not has been said */
        lab_say(lab, false, "kv: %s, %zu bytes a position (fp32 %zu); the KV cache is recomputed",
                dtypes[kv].name, kv_bytes_per_position(m, kv), kv_bytes_per_position(m, DTYPE_FP32));
}

/* The first of the tensors whose file has it quantized already; null where another quantization is the
 * first, or where the scheme does not quantize. */
static const char *stored_quantized(const struct lab *lab, const int *tensors, size_t n,
                                    const struct scheme *scheme)
{
    for (size_t i = 0; i < n && !scheme->format.stored && dtypes[scheme->format.weight].kind != DTYPE_KIND_FLOAT; i++) {
        if (tensors[i] == lab_kv(lab))
            continue;
        const struct qmatrix *stored = &lab->session->model->tensors[tensors[i]].stored;
        if (dtypes[stored->format.weight].kind != DTYPE_KIND_FLOAT)
            return dtypes[stored->format.weight].name;
    }
    return NULL;
}

/* Of the tensors, those whose rows the blocks that were asked for do not divide; "" where there are none. */
static const char *fallback_text(const struct lab *lab, const int *tensors, size_t n, const struct scheme *schemes,
                                 char out[200])
{
    size_t count = 0, first = 0;
    char more[32] = "";
    for (size_t i = n; i-- > 0;)
        if (tensors[i] != lab_kv(lab) && schemes[tensors[i]].substituted) {
            first = i;
            count++;
        }
    *out = 0;
    if (count == 0)
        return out;
    const struct scheme *s = &schemes[tensors[first]];
    const struct tensor *t = &lab->session->model->tensors[tensors[first]];
    if (count > 1)
        snprintf(more, sizeof more, " and %zu more", count - 1);
    snprintf(out, 200, "%s%s: %s instead of %s: blocks of %zu do not divide %zu columns", t->name, more,
             dtypes[s->format.weight].name, dtypes[s->asked].name, dtypes[s->asked].block, t->stored.cols);
    return out;
}

/* Whether all of them have the scheme that the first has, or its fallback. */
static bool are_alike(const int *tensors, size_t n, const struct scheme *schemes)
{
    const struct scheme *first = &schemes[tensors[0]];
    for (size_t i = 1; i < n; i++)
        if (!schemes[tensors[i]].substituted && !scheme_equal(&schemes[tensors[i]], first))
            return false;
    return true;
}

/* `text`: what they became. */
static void say_change(struct lab *lab, const int *tensors, size_t n, const struct scheme *schemes, const char *text)
{
    const struct scheme *scheme = &schemes[tensors[0]];
    if (tensors[0] == lab_kv(lab)) {
        say_kv(lab, scheme->format.weight);
        return;
    }
    char what[64], fallback[200];
    const struct tensor *first = &lab->session->model->tensors[tensors[0]];
    struct advice advice; /* by kind and size: nothing is measured of a scheme that is new */
    bool warn = tensors_advice(lab->session->model, tensors, n, NULL, &advice) && advice.guidance >= GUIDE_CAREFUL;
    const char *quantized = stored_quantized(lab, tensors, n, scheme);
    if (n == 1)
        snprintf(what, sizeof what, "%s", first->name);
    else
        snprintf(what, sizeof what, "%zu layers", n);
    if (qformat_as_stored(&scheme->format))
        lab_say(lab, false, "%s: as stored (%s)", what, dtypes[first->stored.format.weight].name);
    else if (*fallback_text(lab, tensors, n, schemes, fallback) && n == 1)
        lab_say(lab, false, "%s", fallback);
    else if (*fallback)
        lab_say(lab, false, "%s: %s; %s", what, text, fallback);
    else if (quantized)
        lab_say(lab, false, "%s: %s - stored as %s: quantizing again adds to the error it has", what,
                text, quantized);
    else if (warn)
        lab_say(lab, false, "%s: %s - %s", what, text, advice.text);
    else
        lab_say(lab, false, "%s: %s", what, text);
}

/* ---- changes ------------------------------------------------------------------------------------ */

static void apply_scheme(struct lab *lab, const int *tensors, size_t n, const struct scheme *scheme)
{
    struct error why;
    for (size_t i = 0; i < n; i++)
        if (!scheme_fits(lab->session->model, tensors[i], scheme, &why)) {
            lab_say(lab, true, "%s", why.text);
            return;
        }
    struct scheme *schemes = target_copy(lab);
    if (!schemes) {
        lab_say(lab, true, "not enough memory");
        return;
    }
    for (size_t i = 0; i < n; i++)
        schemes[tensors[i]] = scheme_for_tensor(lab->session->model, tensors[i], *scheme);
    char text[SCHEME_TEXT];
    target_use(lab, schemes);
    say_change(lab, tensors, n, schemes, scheme_print(scheme, text));
    free(schemes);
}

/* One field of all of them changes as that of the first does; the others stay, and so does a layer to which the field
 * does not apply. */
static void change_field(struct lab *lab, const struct command *c, const struct scheme *first)
{
    static const char *const fields[] = {[CHANGE_WEIGHT] = "", [CHANGE_ACT] = "activations ",
                                         [CHANGE_GRANULARITY] = "granularity ", [CHANGE_SYMMETRY] = "",
                                         [CHANGE_METHOD] = "method "};
    const struct model *m = lab->session->model;
    const int *tensors = c->tensors;
    struct scheme *schemes = target_copy(lab);
    char text[SCHEME_TEXT + 64], value[SCHEME_TEXT];
    size_t n = 1, all = c->tensor_count;
    if (!schemes) {
        lab_say(lab, true, "not enough memory");
        return;
    }
    schemes[tensors[0]] = *first;
    for (size_t i = 1; i < all; i++)
        n += scheme_follow(m, tensors[i], &lab->target[tensors[i]], c->change, first, &lab->scales[tensors[i]],
                           &schemes[tensors[i]]);
    target_use(lab, schemes);
    scheme_print(first, text);
    if (!are_alike(tensors, all, schemes))
        snprintf(text, sizeof text, "%s%s", fields[c->change], scheme_print_field(first, c->change, value));
    if (n < all)
        snprintf(text + strlen(text), sizeof text - strlen(text), " where it applies, in %zu", n);
    say_change(lab, tensors, all, schemes, text);
    free(schemes);
}

/* The scheme of each tensor for the tensors of its role in every block. */
void same_everywhere(struct lab *lab, const struct command *c)
{
    const int *tensors = c->tensors;
    size_t n = c->tensor_count;
    const struct tensor *all = lab->session->model->tensors;
    struct scheme *schemes = target_copy(lab);
    size_t changed = 0;
    for (size_t i = 0; schemes && i < n; i++)
        for (size_t t = 0; t < lab->set->count && tensors[i] != lab_kv(lab); t++)
            if (all[t].role == all[tensors[i]].role && all[t].expert == all[tensors[i]].expert) {
                changed += !scheme_equal(&schemes[t], &lab->target[tensors[i]]);
                schemes[t] = lab->target[tensors[i]];
            }
    if (schemes)
        target_use(lab, schemes);
    free(schemes);
    if (n > 0)
        lab_say(lab, false, "same scheme in every block; layers changed: %zu", changed);
}

/* ---- commands ------------------------------------------------------------------------------------ */

void cycle_scheme(struct lab *lab, const struct command *c)
{
    struct scheme next;
    struct error why;
    if (c->tensor_count == 0)
        return;
    for (size_t i = 1; i < c->tensor_count; i++)
        scales_choice_note(&lab->scales[c->tensors[i]], &lab->target[c->tensors[i]]);
    if (scheme_cycle(lab->session->model, c->tensors[0], &lab->target[c->tensors[0]], c->change, c->direction,
                     &lab->scales[c->tensors[0]], &next, &why))
        change_field(lab, c, &next);
    else
        lab_say(lab, true, "%s", why.text);
}

void set_scheme(struct lab *lab, const struct command *c)
{
    for (size_t i = 0; i < c->tensor_count; i++)
        scales_choice_note(&lab->scales[c->tensors[i]], &c->scheme);
    if (c->tensor_count > 0)
        apply_scheme(lab, c->tensors, c->tensor_count, &c->scheme);
}

static void say_mix(struct lab *lab, const char *name, const struct scheme *schemes)
{
    const struct model *m = lab->session->model;
    struct weights_totals totals;
    char note[200];
    bool fallback = fallback_note(m, schemes, 0, note, sizeof note);
    if (!schemes_totals(m, schemes, 0, &totals))
        lab_say(lab, true, "%s: the size of the model overflows", name);
    else
        lab_say(lab, false, "%.40s: %.2f bits/weight%s%s", name, totals.bits_per_weight_all, fallback ? "; " : "",
                fallback ? note : "");
}

void set_mix(struct lab *lab, const struct command *c)
{
    struct scheme_choice choice;
    struct error why;
    char name[SCHEME_TEXT];
    struct scheme *schemes = target_copy(lab);
    bool ok = schemes || error_set(&why, "not enough memory");
    for (size_t i = 0; ok && c->index && i < lab_tensors(lab); i++)
        schemes[i] = scheme_stored(&lab->session->model->tensors[i].stored);
    ok = ok && scheme_choice_parse(c->text, &choice, &why) && schemes_choose(lab->session->model, &choice, schemes, &why);
    if (ok) {
        target_use(lab, schemes);
        say_mix(lab, scheme_choice_print(&choice, name), schemes);
    } else {
        lab_say(lab, true, "%s", why.text);
    }
    free(schemes);
}

/* What was undone, or redone, and how much there is left of it. */
static void say_step(struct lab *lab, bool ok, const char *word, const char *past, size_t left)
{
    if (!ok)
        lab_say(lab, true, "nothing to %s", word);
    else if (left == 0)
        lab_say(lab, false, "%s; nothing more to %s", past, word);
    else
        lab_say(lab, false, "%s; %zu more to %s", past, left, word);
}

void undo(struct lab *lab, const struct command *c)
{
    (void)c;
    bool ok = target_undo(lab);
    say_step(lab, ok, "undo", "undone", lab->history.current);
}

void redo(struct lab *lab, const struct command *c)
{
    (void)c;
    bool ok = target_redo(lab);
    say_step(lab, ok, "redo", "redone", lab->history.count - 1 - lab->history.current);
}

void go_to_step(struct lab *lab, const struct command *c)
{
    const struct history *h = &lab->history;
    size_t from = h->current, to = 0;
    while (to < h->count && h->of[to].figures.serial != c->step)
        to++;
    if (!target_go(lab, to))
        lab_say(lab, true, "nothing to go back to: another change took its place");
    else if (to == from)
        lab_say(lab, false, "these schemes are in use");
    else if (to < from)
        lab_say(lab, false, "undone: %zu (Ctrl-R redoes)", from - to);
    else
        lab_say(lab, false, "redone: %zu (u undoes)", to - from);
}

void write_recipe(struct lab *lab, const struct command *c)
{
    const char *path = c->text;
    struct error error;
    if (!session_check_output(lab->session, path, &error) || !recipe_write(path, lab->session->model, lab->target, &error)) {
        lab_say(lab, true, "%s", error.text);
        return;
    }
    snapshots_written(lab);
    lab_say(lab, false, "recipe written to %s (qtop -r reads it)", path);
}
