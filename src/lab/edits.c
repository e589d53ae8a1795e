/* Commands that change schemes: the target, undo and redo, snapshots. One mechanism serves them all:
 * a new target is set, and the set follows it, at once where matrices are cached, through a job
 * where they must be made. */
#include "internal.h"

#include "sys/memory.h"
#include "quant/recipe.h"

#include <stdio.h>
#include <stdlib.h>

enum { UNDO_STEPS = 1000 };

static size_t count_of(const struct lab *lab)
{
    return schemes_count(lab->session->model);
}

static bool is_kv(const struct lab *lab, int tensor)
{
    return tensor == kv_index(lab->session->model);
}

bool edits_begin(struct lab *lab, struct error *error)
{
    size_t n = count_of(lab), available = memory_available();
    const struct scheme *schemes = lab->options.schemes;
    lab->target = session_schemes(lab->session, error);
    lab->undo = calloc(UNDO_STEPS, sizeof *lab->undo);
    lab->redo = calloc(UNDO_STEPS, sizeof *lab->redo);
    if (!lab->target || !lab->undo || !lab->redo)
        return error_set(error, "not enough memory");
    for (size_t i = 0; schemes && i < n; i++)
        lab->target[i] = schemes[i];
    enum dtype kv = lab->target[kv_index(lab->session->model)].format.weight;
    if (kv != lab->set->kv) { /* before the text opens its cache */
        struct weights *set = weights_with_kv(lab->set, kv);
        if (!set)
            return error_set(error, "not enough memory");
        weights_unref(lab->set);
        lab->set = set;
    }
    lab->cache.budget = available / 4; /* the rest is for the set in use and everything else */
    lab->current_snapshot = -1;
    return true;
}

static void clear(struct scheme **stack, size_t *count)
{
    while (*count > 0)
        free(stack[--*count]);
}

void edits_end(struct lab *lab)
{
    if (lab->undo)
        clear(lab->undo, &lab->undo_count);
    if (lab->redo)
        clear(lab->redo, &lab->redo_count);
    free(lab->undo);
    free(lab->redo);
    free(lab->target);
    for (size_t i = 0; i < lab->snapshot_count; i++)
        kept_schemes_unref(lab->snapshots[i].schemes);
    cache_free(&lab->cache);
}

/* ---- the target and the set that follows it ---------------------------------------------------- */

bool tensor_pending(const struct lab *lab, int tensor)
{
    if (is_kv(lab, tensor))
        return lab->target[tensor].format.weight != lab->set->kv;
    return !qtensor_has_scheme(lab->set->layer[tensor], &lab->target[tensor]);
}

/* The set with the cache that is wanted, once the text has one; the text's positions run again. */
static struct weights *follow_kv(struct lab *lab, struct weights *set)
{
    int kv = kv_index(lab->session->model);
    struct error error = {"not enough memory"};
    if (!tensor_pending(lab, kv))
        return set;
    struct weights *next = weights_with_kv(set, lab->target[kv].format.weight);
    if (next && texts_change_kv(lab, next->kv, &error)) {
        weights_unref(set);
        return next;
    }
    weights_unref(next);
    lab->target[kv] = scheme_default(lab->set->kv);
    lab_say(lab, true, "%s", error.text);
    return set;
}

void edits_reconcile(struct lab *lab)
{
    struct weights *set = weights_ref(lab->set);
    for (int t = 0; t < (int)set->count; t++) {
        const struct scheme *wanted = &lab->target[t];
        if (qtensor_has_scheme(set->layer[t], wanted))
            continue;
        struct qtensor *p = wanted->format.stored ? qtensor_ref(lab->session->stored->layer[t])
                                          : cache_find(&lab->cache, t, wanted);
        struct weights *next = p ? weights_replace(set, p) : NULL;
        qtensor_unref(p);
        if (next) {
            weights_unref(set);
            set = next;
        }
    }
    set = follow_kv(lab, set);
    if (set->kv != lab->set->kv || !weights_same_layers(set, lab->set))
        lab_use(lab, set);
    else
        weights_unref(set);
}

static struct scheme *copy_target(const struct lab *lab)
{
    struct scheme *copy = malloc(count_of(lab) * sizeof *copy);
    return copy ? memcpy(copy, lab->target, count_of(lab) * sizeof *copy) : NULL;
}

static void push(struct scheme **stack, size_t *count, struct scheme *schemes)
{
    if (*count == UNDO_STEPS) {
        free(stack[0]);
        memmove(stack, stack + 1, --*count * sizeof *stack);
    }
    if (schemes)
        stack[(*count)++] = schemes;
}

/* Makes `schemes` the target, remembering the old one. */
void edits_use(struct lab *lab, const struct scheme *schemes)
{
    push(lab->undo, &lab->undo_count, copy_target(lab));
    clear(lab->redo, &lab->redo_count);
    memcpy(lab->target, schemes, count_of(lab) * sizeof *schemes);
    lab->current_snapshot = -1;
    edits_reconcile(lab);
}

static void step_back(struct lab *lab, struct scheme **from, size_t *from_count, struct scheme **to,
                      size_t *to_count, const char *word)
{
    if (*from_count == 0) {
        lab_say(lab, true, "nothing to %s", word);
        return;
    }
    struct scheme *schemes = from[--*from_count];
    push(to, to_count, copy_target(lab));
    memcpy(lab->target, schemes, count_of(lab) * sizeof *schemes);
    free(schemes);
    lab->current_snapshot = -1;
    edits_reconcile(lab);
    lab_say(lab, false, "%s: done, %zu more to %s", word, *from_count, word);
}

/* ---- what a person did, in words ----------------------------------------------------------------- */

/* The advice for the first tensor that is usually left alone; null when none is. */
static const char *delicate(const struct lab *lab, const int *tensors, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct advice a = tensor_advice(lab->session->model, tensors[i]);
        if (a.guidance >= GUIDE_CAREFUL)
            return a.text;
    }
    return NULL;
}

static void say_kv(struct lab *lab, enum dtype kv)
{
    const struct model *m = lab->session->model;
    if (lab->set->kv == kv) /* else why not has been said */
        lab_say(lab, false, "kv: %s, %zu bytes a position (fp32 %zu); the text's positions run again",
                dtypes[kv].name, kv_bytes_per_position(m, kv), kv_bytes_per_position(m, DTYPE_FP32));
}

/* The first of the tensors whose file has it quantized already; null where another quantization is the
 * first, or where the scheme does not quantize. */
static const char *stored_quantized(const struct lab *lab, const int *tensors, size_t n,
                                    const struct scheme *scheme)
{
    for (size_t i = 0; i < n && dtypes[scheme->format.weight].kind != DTYPE_KIND_FLOAT; i++) {
        const struct qmatrix *stored = &lab->session->model->tensors[tensors[i]].stored;
        if (dtypes[stored->format.weight].kind != DTYPE_KIND_FLOAT)
            return dtypes[stored->format.weight].name;
    }
    return NULL;
}

static void say_change(struct lab *lab, const int *tensors, size_t n, const struct scheme *scheme)
{
    if (is_kv(lab, tensors[0])) {
        say_kv(lab, scheme->format.weight);
        return;
    }
    char text[SCHEME_TEXT], what[64];
    const struct tensor *first = &lab->session->model->tensors[tensors[0]];
    const char *advice = delicate(lab, tensors, n);
    const char *quantized = stored_quantized(lab, tensors, n, scheme);
    scheme_print(scheme, text);
    if (n == 1)
        snprintf(what, sizeof what, "%s", first->name);
    else
        snprintf(what, sizeof what, "%zu layers", n);
    if (scheme->format.stored)
        lab_say(lab, false, "%s: as stored (%s)", what, dtypes[first->stored.format.weight].name);
    else if (quantized)
        lab_say(lab, false, "%s: %s - stored as %s: quantizing again adds to the error it has", what,
                text, quantized);
    else if (advice)
        lab_say(lab, false, "%s: %s - %s", what, text, advice);
    else
        lab_say(lab, false, "%s: %s", what, text);
}

/* ---- commands -------------------------------------------------------------------------------- */

static void apply_scheme(struct lab *lab, const int *tensors, size_t n, const struct scheme *scheme)
{
    struct error why;
    for (size_t i = 0; i < n; i++)
        if (!scheme_fits(lab->session->model, tensors[i], scheme, &why)) {
            lab_say(lab, true, "%s", why.text);
            return;
        }
    struct scheme *schemes = copy_target(lab);
    if (!schemes) {
        lab_say(lab, true, "not enough memory");
        return;
    }
    for (size_t i = 0; i < n; i++)
        schemes[tensors[i]] = scheme_for_tensor(lab->session->model, tensors[i], *scheme);
    struct scheme shown = schemes[tensors[0]];
    edits_use(lab, schemes);
    free(schemes);
    say_change(lab, tensors, n, &shown);
}

/* The scheme of each tensor for the tensors of its role in every block. */
static void same_everywhere(struct lab *lab, const int *tensors, size_t n)
{
    const struct tensor *all = lab->session->model->tensors;
    struct scheme *schemes = copy_target(lab);
    size_t changed = 0;
    for (size_t i = 0; schemes && i < n; i++)
        for (size_t t = 0; t < lab->set->count && !is_kv(lab, tensors[i]); t++)
            if (all[t].role == all[tensors[i]].role) {
                changed += !scheme_equal(&schemes[t], &lab->target[tensors[i]]);
                schemes[t] = lab->target[tensors[i]];
            }
    if (schemes)
        edits_use(lab, schemes);
    free(schemes);
    lab_say(lab, false, "the same in every block: %zu layers changed", changed);
}

static void cycle(struct lab *lab, const struct command *c)
{
    struct scheme next;
    struct error why;
    if (c->tensor_count == 0)
        return;
    if (scheme_cycle(lab->session->model, c->tensors[0], &lab->target[c->tensors[0]], c->change,
                     c->direction, &next, &why))
        apply_scheme(lab, c->tensors, c->tensor_count, &next);
    else
        lab_say(lab, true, "%s", why.text);
}

/* "int8/int8", or "3 schemes" for a mixture, over the linear matrices inside blocks; " +1" for each
 * other tensor that is not as stored; the KV cache where it is not fp32. */
static void summarize(const struct lab *lab, char out[SCHEME_TEXT])
{
    const struct model *m = lab->session->model;
    const struct scheme *seen[8];
    size_t kinds = 0, others = 0;
    for (size_t i = 0; i < lab->set->count; i++) {
        bool is_new = roles[m->tensors[i].role].linear && roles[m->tensors[i].role].in_block;
        others += !is_new && !lab->target[i].format.stored;
        for (size_t k = 0; k < kinds && is_new; k++)
            is_new = !scheme_equal(seen[k], &lab->target[i]);
        if (is_new && kinds < 8)
            seen[kinds++] = &lab->target[i];
    }
    if (kinds == 1)
        scheme_print(seen[0], out);
    else
        snprintf(out, SCHEME_TEXT, "%zu schemes", kinds);
    size_t n = strlen(out);
    if (others > 0)
        snprintf(out + n, SCHEME_TEXT - n, " +%zu", others);
    enum dtype kv = lab->target[kv_index(m)].format.weight;
    n = strlen(out);
    if (kv != DTYPE_FP32)
        snprintf(out + n, SCHEME_TEXT - n, " kv %s", dtypes[kv].name);
}

static struct kept_schemes *keep_target(const struct lab *lab)
{
    struct kept_schemes *k = malloc(sizeof *k + count_of(lab) * sizeof *k->of);
    if (!k)
        return NULL;
    atomic_init(&k->refs, 1);
    memcpy(k->of, lab->target, count_of(lab) * sizeof *k->of);
    return k;
}

bool edits_snapshot(struct lab *lab)
{
    if (lab->snapshot_count == SNAPSHOTS) {
        lab_say(lab, true, "all %d snapshots are taken", SNAPSHOTS);
        return false;
    }
    struct weights_totals totals;
    struct snapshot *s = &lab->snapshots[lab->snapshot_count];
    *s = (struct snapshot){.label = (char)('A' + lab->snapshot_count), .schemes = keep_target(lab)};
    if (!s->schemes || !schemes_totals(lab->session->model, lab->target, 0, &totals)) {
        kept_schemes_unref(s->schemes);
        lab_say(lab, true, "not enough memory");
        return false;
    }
    s->size = totals.size;
    s->bytes_per_token = totals.bytes_per_token;
    s->bits_per_weight = totals.bits_per_weight;
    s->kv_bytes = kv_bytes_per_position(lab->session->model,
                                        lab->target[kv_index(lab->session->model)].format.weight);
    s->decode = s->prefill = s->sqnr_db = metric_absent("not measured yet");
    s->quality.reason = "not evaluated yet: press e";
    summarize(lab, s->summary);
    lab->current_snapshot = (int)lab->snapshot_count++;
    lab_say(lab, false, "snapshot %c kept: %s (x swaps the last two, 5 compares)", s->label,
            s->summary);
    return true;
}

static void restore(struct lab *lab, int index)
{
    if (index < 0 || index >= (int)lab->snapshot_count) {
        lab_say(lab, true, "no such snapshot: s keeps one");
        return;
    }
    edits_use(lab, lab->snapshots[index].schemes->of);
    lab->current_snapshot = index;
    lab_say(lab, false, "snapshot %c: %s", lab->snapshots[index].label,
            lab->snapshots[index].summary);
}

static void swap_snapshots(struct lab *lab)
{
    int last = (int)lab->snapshot_count - 1;
    if (last < 1)
        lab_say(lab, true, "two snapshots are needed to swap: s keeps one");
    else
        restore(lab, lab->current_snapshot == last ? last - 1 : last);
}

static void write_recipe(struct lab *lab, const char *path)
{
    struct error error;
    if (recipe_write(path, lab->session->model, lab->target, &error))
        lab_say(lab, false, "recipe written to %s (qtop -r reads it)", path);
    else
        lab_say(lab, true, "%s", error.text);
}

void edits_apply(struct lab *lab, const struct command *c)
{
    switch (c->kind) {
    case COMMAND_CYCLE:
        cycle(lab, c);
        break;
    case COMMAND_SET:
        if (c->tensor_count > 0)
            apply_scheme(lab, c->tensors, c->tensor_count, &c->scheme);
        break;
    case COMMAND_SAME:
        if (c->tensor_count > 0)
            same_everywhere(lab, c->tensors, c->tensor_count);
        break;
    case COMMAND_UNDO:
        step_back(lab, lab->undo, &lab->undo_count, lab->redo, &lab->redo_count, "undo");
        break;
    case COMMAND_REDO:
        step_back(lab, lab->redo, &lab->redo_count, lab->undo, &lab->undo_count, "redo");
        break;
    case COMMAND_SNAPSHOT:
        edits_snapshot(lab);
        break;
    case COMMAND_RESTORE:
        restore(lab, c->index);
        break;
    case COMMAND_SWAP:
        swap_snapshots(lab);
        break;
    case COMMAND_WRITE:
        write_recipe(lab, c->text);
        break;
    default:
        break;
    }
}
