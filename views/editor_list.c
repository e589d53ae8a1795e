/* What the scheme editor offers: every choice of each field of a scheme, all block types and all mixes, each with what it
 * takes and which formats hold it. */
#include "tui.h"

#include "batch.h"
#include "export/holders.h"
#include "kernels/encode.h"
#include "quant/recipe.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    enum change change;
    const char *title;
} fields[] = {
    {CHANGE_WEIGHT, "weight datatype"},
    {CHANGE_ACT, "activations"},
    {CHANGE_GRANULARITY, "granularity"},
    {CHANGE_SYMMETRY, "zero point"},
    {CHANGE_METHOD, "method"},
};

enum { FIELD_CHOICES = 40 };

/* What lists are made for. */
struct editing {
    struct tui *tui;
    const int *tensors; /* n, that a scheme is for */
    size_t n;
    struct export_holders *holders; /* null when memory is short: columns are empty then */
};

/* ---- what a choice takes ------------------------------------------------------------------------------- */

static struct choice *add_line(struct tui *t, bool heading, const char *text)
{
    if (t->choice_count == EDITOR_CHOICES)
        return NULL;
    struct choice *c = &t->choices[t->choice_count++];
    *c = (struct choice){.heading = heading};
    snprintf(c->text, sizeof c->text, "%s", text);
    return c;
}

static void print_cost(struct choice *c, double bytes, double weights)
{
    char text[16];
    snprintf(c->cost, sizeof c->cost, "%s", format_bytes(text, bytes));
    if (weights > 0)
        snprintf(c->bits, sizeof c->bits, "%.2f", 8 * bytes / weights);
}

/* Bytes and bits of the scheme over all tensors that the change applies to. */
static void add_cost(const struct editing *e, struct choice *c)
{
    const struct model *m = e->tui->session->model;
    double sum = 0, weights = 0;
    for (size_t i = 0; i < e->n; i++) {
        if (e->tensors[i] == kv_index(m)) {
            sum += (double)rows_kv_bytes(e->tui, c->choice.scheme.format.weight);
            continue;
        }
        const struct qmatrix *stored = &m->tensors[e->tensors[i]].stored;
        size_t bytes = stored->bytes;
        struct scheme s = scheme_for_tensor(m, e->tensors[i], c->choice.scheme);
        if (s.format.stored || scheme_bytes(&s, stored->rows, stored->cols, &bytes))
            sum += (double)bytes;
        weights += (double)stored->rows * (double)stored->cols;
    }
    print_cost(c, sum, weights);
}

/* Formats that hold it in one tensor of each role: those of a role are alike. */
static void add_exports(const struct editing *e, struct choice *c)
{
    const struct model *m = e->tui->session->model;
    role_set seen = 0;
    if (!e->holders || e->tensors[0] == kv_index(m))
        return;
    export_holders_begin(e->holders);
    for (size_t i = 0; i < e->n; i++) {
        enum role role = e->tensors[i] == kv_index(m) ? ROLE_NONE : m->tensors[e->tensors[i]].role;
        if (role == ROLE_NONE || seen & ROLE_BIT(role))
            continue;
        seen |= ROLE_BIT(role);
        struct scheme s = scheme_for_tensor(m, e->tensors[i], c->choice.scheme);
        export_holders_add(e->holders, e->tensors[i], &s);
    }
    export_holders_names(e->holders, c->exports);
}

static void add_scheme(const struct editing *e, const struct scheme *scheme, const char *text)
{
    struct choice *c = add_line(e->tui, false, text);
    if (!c)
        return;
    c->choice.scheme = *scheme;
    add_cost(e, c);
    add_exports(e, c);
}

/* ---- schemes --------------------------------------------------------------------------------------------- */

/* A choice: its scheme and, where that leaves the field out since it is the default, the field's value. */
static void print_choice(const struct scheme *s, enum change change, bool now, char *out, size_t size)
{
    char scheme[SCHEME_TEXT], text[SCHEME_TEXT];
    const char *value = change == CHANGE_WEIGHT ? "" : scheme_print_field(s, change, text);
    bool said = s->format.stored || strstr(scheme_print(s, scheme), value);
    snprintf(out, size, "%c %s%s%.32s%s", now ? '>' : ' ', scheme_print(s, scheme), said ? "" : " (", said ? "" : value,
             said ? "" : ")");
}

static void add_field(const struct editing *e, size_t field)
{
    struct scheme choices[FIELD_CHOICES], next;
    const struct model *m = e->tui->session->model;
    struct scheme now = e->tui->frame->layers[e->tensors[0]].wanted;
    struct error why;
    char line[256];
    size_t count = scheme_choices(m, e->tensors[0], &now, fields[field].change, choices, FIELD_CHOICES);
    if (count == 0 && !scheme_cycle(m, e->tensors[0], &now, fields[field].change, 1, NULL, &next, &why)) {
        snprintf(line, sizeof line, "%s: %.120s", fields[field].title, strchr(why.text, ':') + 2);
        add_line(e->tui, true, line);
        return;
    }
    add_line(e->tui, true, fields[field].title);
    for (size_t i = 0; i < count; i++) {
        print_choice(&choices[i], fields[field].change, scheme_equal(&choices[i], &now), line, sizeof line);
        add_scheme(e, &choices[i], line);
    }
}

static bool is_listed(const struct tui *t, enum dtype type)
{
    bool listed = false;
    for (size_t i = 0; i < t->choice_count; i++)
        listed |= !t->choices[i].heading && !t->choices[i].choice.scheme.format.stored &&
                  t->choices[i].choice.scheme.format.weight == type;
    return listed;
}

/* Block types that the key for datatypes passes over. */
static void add_block_types(const struct editing *e)
{
    const struct model *m = e->tui->session->model;
    const struct scheme *now = &e->tui->frame->layers[e->tensors[0]].wanted;
    bool any = false;
    if (e->tensors[0] == kv_index(m) || roles[m->tensors[e->tensors[0]].role].vector)
        return;
    for (int type = DTYPE_COUNT; type < DTYPE_ALL; type++) {
        struct scheme s = scheme_default((enum dtype)type);
        char line[256];
        if (!can_encode((enum dtype)type) || is_listed(e->tui, (enum dtype)type) ||
            m->tensors[e->tensors[0]].stored.cols % dtypes[type].block != 0)
            continue;
        if (!any)
            add_line(e->tui, true, "further block types");
        any = true;
        print_choice(&s, CHANGE_WEIGHT, scheme_equal(&s, now), line, sizeof line);
        add_scheme(e, &s, line);
    }
}

/* ---- mixes ------------------------------------------------------------------------------------------------- */

/* Whether the model has these schemes already. */
static bool is_wanted(const struct tui *t, const struct scheme *schemes)
{
    bool same = true;
    for (size_t i = 0; same && i < t->session->model->tensor_count; i++)
        same = scheme_equal(&schemes[i], &t->frame->layers[i].wanted);
    return same;
}

static void add_mix_exports(const struct editing *e, const struct scheme *schemes, struct choice *c)
{
    if (!e->holders)
        return;
    export_holders_begin(e->holders);
    export_holders_add_all(e->holders, schemes);
    export_holders_names(e->holders, c->exports);
}

static void add_mix(const struct editing *e, const struct mix *mix, const struct scheme *schemes)
{
    const struct model *m = e->tui->session->model;
    struct scheme_choice choice = {mix, scheme_default(DTYPE_Q8_0)};
    struct weights_totals totals;
    char name[SCHEME_TEXT], line[256];
    snprintf(line, sizeof line, "%c %s", is_wanted(e->tui, schemes) ? '>' : ' ', scheme_choice_print(&choice, name));
    struct choice *c = add_line(e->tui, false, line);
    if (!c)
        return;
    c->choice = choice;
    if (schemes_totals(m, schemes, 0, &totals)) {
        print_cost(c, (double)totals.size, 0);
        snprintf(c->bits, sizeof c->bits, "%.2f", totals.bits_per_weight_all);
    }
    add_mix_exports(e, schemes, c);
}

/* Those that can be made of this model. */
static void add_mixes(const struct editing *e)
{
    const struct model *m = e->tui->session->model;
    size_t count = schemes_count(m);
    struct scheme *schemes = calloc(count, sizeof *schemes);
    for (size_t i = 0, any = 0; schemes && mix_at(i); i++) {
        struct scheme_choice choice = {mix_at(i), scheme_default(DTYPE_Q8_0)};
        for (size_t k = 0; k < count; k++)
            schemes[k] = e->tui->frame->layers[k].wanted;
        if (!schemes_choose(m, &choice, schemes, NULL))
            continue;
        if (any++ == 0)
            add_line(e->tui, true, "mixes: all layers, as llama-quantize chooses");
        add_mix(e, mix_at(i), schemes);
    }
    free(schemes);
}

void editor_list(struct tui *t, const int *tensors, size_t n)
{
    struct editing e = {t, tensors, n, export_holders_open(t->session->model)};
    t->choice_count = 0;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        add_field(&e, i);
        if (fields[i].change == CHANGE_WEIGHT)
            add_block_types(&e);
    }
    if (tensors[0] != kv_index(t->session->model))
        add_mixes(&e);
    export_holders_close(e.holders);
}
