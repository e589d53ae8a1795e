/* Which schemes are worth measuring, and what is known of them before. */
#include "advise_internal.h"

#include "export/holders.h"
#include "measure/known_roofs.h"
#include "quant/recipe.h"
#include "quant/tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Best guesses first; what calibrates takes longer and comes last. Mixes have activations in 8 bits, as the engines
 * that run such files compute. */
static const char *const candidates[] = {
    "stored",
    "@q4_k_m/int8",
    "@q6_k/int8",
    "w8a8",
    "@q5_k_m/int8",
    "w4a8:g32",
    "stored/int8",
    "@iq4_xs/int8",
    "fp16",
    "@q3_k_m/int8",
    "int8",
    "@q4_k_m/int8:gptq",
    "@q5_k_m/int8:gptq",
    "@iq4_xs/int8:gptq",
    "@q3_k_m/int8:gptq",
    "@q2_k/int8:gptq",
};
enum { CANDIDATES_MOST = sizeof candidates / sizeof *candidates };

static bool add_sizes(const struct advise_plan *plan, struct advise_row *row)
{
    const struct session *s = plan->session;
    struct weights_totals totals;
    struct error none;
    if (!schemes_totals(s->model, row->schemes, 0, &totals))
        return false;
    row->size = totals.size;
    row->memory = totals.size + s->context * kv_bytes_per_position(s->model, plan->kv);
    row->bits_per_weight_all = totals.bits_per_weight_all;
    row->predicted = roof_tokens_per_second(plan->read, totals.bytes_per_token);
    row->file = plan->file ? plan->file->bytes(plan->file->context, row->schemes, &none) : 0;
    return true;
}

/* A scheme that cannot be had by this model is none of its candidates. */
static bool make_row(const struct advise_plan *plan, const char *text, struct advise_row *row)
{
    const struct session *s = plan->session;
    struct scheme_choice choice;
    struct error none;
    struct scheme *schemes = session_schemes(s, &none);
    *row = (struct advise_row){.schemes = schemes, .predicted = NAN, .decode = {NAN, NAN, NAN},
                               .prefill = {NAN, NAN, NAN}};
    if (!schemes || !scheme_choice_parse(text, &choice, &none) || !schemes_choose(s->model, &choice, schemes, &none)) {
        free(schemes);
        return false;
    }
    scheme_choice_print(&choice, row->scheme);
    schemes[kv_index(s->model)] = scheme_default(plan->kv);
    for (size_t i = 0; i < s->model->tensor_count; i++)
        row->calibrates |= scheme_needs_calibration(&schemes[i]);
    if (add_sizes(plan, row))
        return true;
    free(schemes);
    return false;
}

/* Another candidate makes the same model; or, where the model is stored quantized, this one would be larger than it is
 * and no closer to it. */
static bool is_pointless(const struct advise_plan *plan, const struct advise_row *rows, size_t count,
                         const struct advise_row *row)
{
    for (size_t i = 0; i < count; i++)
        if (schemes_same(plan->session->model, rows[i].schemes, row->schemes))
            return true;
    return plan->scheme_count == 0 && count > 0 && row->size >= rows[0].size && strncmp(row->scheme, "stored", strlen("stored")) != 0;
}

static void add_exports(const struct advise_plan *plan, struct advise_row *rows, size_t count)
{
    struct export_holders *holders = export_holders_open(plan->session->model);
    for (size_t i = 0; i < count; i++) {
        snprintf(rows[i].exports, sizeof rows[i].exports, "n/a");
        if (!holders)
            continue;
        export_holders_begin(holders);
        export_holders_add_all(holders, rows[i].schemes);
        export_holders_names(holders, rows[i].exports);
    }
    export_holders_close(holders);
}

/* The text of a candidate: the stored weights come first. */
static const char *candidate(const struct advise_plan *plan, size_t i)
{
    return plan->scheme_count == 0 || i == 0 ? candidates[i] : plan->schemes[i - 1];
}

struct advise_row *advise_candidates(const struct advise_plan *plan, size_t *count, struct error *error)
{
    size_t most = plan->scheme_count > 0 ? plan->scheme_count + 1 : CANDIDATES_MOST;
    struct advise_row *rows = calloc(most, sizeof *rows);
    *count = 0;
    if (!rows) {
        error_set(error, "not enough memory");
        return NULL;
    }
    for (size_t i = 0; i < most; i++) {
        struct advise_row *row = &rows[*count];
        if (!make_row(plan, candidate(plan, i), row))
            continue;
        if (is_pointless(plan, rows, *count, row) || (row->calibrates && !plan->text))
            free(row->schemes);
        else
            (*count)++;
    }
    add_exports(plan, rows, *count);
    return rows;
}

void advise_candidates_free(struct advise_row *rows, size_t count)
{
    for (size_t i = 0; rows && i < count; i++)
        free(rows[i].schemes);
    free(rows);
}
