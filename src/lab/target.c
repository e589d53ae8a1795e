#include "target.h"

#include "history.h"
#include "log.h"
#include "sys/memory.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

enum { CACHE_SETS = 8, CACHE_MIN = 4 << 20 }; /* as many times the stored weights, and so many bytes */

struct scheme *target_copy(const struct lab *lab)
{
    size_t n = schemes_count(lab->session->model);
    struct scheme *copy = malloc(n * sizeof *copy);
    return copy ? memcpy(copy, lab->target, n * sizeof *copy) : NULL;
}

static bool all_equal(const struct scheme *a, const struct scheme *b, size_t n)
{
    bool equal = true;
    for (size_t i = 0; i < n; i++)
        equal &= scheme_equal(&a[i], &b[i]);
    return equal;
}

/* What undo and redo may need soon, and of the memory a quarter: the rest is for the set in use and all else. */
static size_t cache_budget(size_t stored, size_t available)
{
    size_t enough = CACHE_SETS * stored + CACHE_MIN;
    return enough < available / 4 ? enough : available / 4;
}

/* From what is stored, to which u goes back, and the schemes of the options. */
static bool begin_history(struct lab *lab, const struct scheme *schemes, size_t n, struct error *error)
{
    if (!history_open(lab, error))
        return false;
    log_add(lab, false, "opened: every layer as stored");
    if (!schemes || all_equal(schemes, lab->target, n))
        return true;
    if (!history_add(lab))
        return error_set(error, "not enough memory");
    memcpy(lab->target, schemes, n * sizeof *schemes);
    log_add(lab, false, "the schemes that the command line asks for");
    return true;
}

bool target_open(struct lab *lab, struct error *error)
{
    size_t n = schemes_count(lab->session->model), available = memory_available();
    const struct scheme *schemes = lab->options.schemes;
    lab->target = session_schemes(lab->session, error);
    lab->scales = calloc(n, sizeof *lab->scales);
    if (!lab->target || !lab->scales)
        return error_set(error, "not enough memory");
    if (!begin_history(lab, schemes, n, error))
        return false;
    enum dtype kv = lab->target[lab_kv(lab)].format.weight;
    if (kv != lab->set->kv) { /* before the text opens its cache */
        struct weights *set = weights_with_kv(lab->set, kv);
        if (!set)
            return error_set(error, "not enough memory");
        weights_unref(lab->set);
        lab->set = set;
    }
    lab->cache.budget = cache_budget(weights_size(lab->session->stored), available);
    return true;
}

void target_close(struct lab *lab)
{
    history_close(lab);
    log_close(lab);
    free(lab->target);
    free(lab->scales);
    cache_free(&lab->cache);
}

/* ---- the set follows ------------------------------------------------------------------------------ */

struct qtensor *target_find(struct lab *lab, int tensor, const struct scheme *scheme)
{
    if (qformat_as_stored(&scheme->format))
        return qtensor_ref(lab->session->stored->layer[tensor]);
    if (qtensor_has_scheme(lab->set->layer[tensor], scheme))
        return qtensor_ref(lab->set->layer[tensor]);
    return cache_find(&lab->cache, tensor, scheme);
}

/* The set with the KV cache that is wanted, once the text has one. */
static struct weights *follow_kv(struct lab *lab, struct weights *set)
{
    int kv = lab_kv(lab);
    struct error error = {"not enough memory"};
    if (!tensor_pending(lab, kv))
        return set;
    struct weights *next = weights_with_kv(set, lab->target[kv].format.weight);
    if (next && text_change_kv(lab, next->kv, &error)) {
        weights_unref(set);
        return next;
    }
    weights_unref(next);
    lab->target[kv] = scheme_default(lab->set->kv);
    lab_say(lab, true, "%s", error.text);
    return set;
}

/* Brings the set towards the target as far as is instant. */
static void reconcile(struct lab *lab)
{
    struct weights *set = weights_ref(lab->set);
    for (int t = 0; t < (int)set->count; t++) {
        const struct scheme *wanted = &lab->target[t];
        if (qtensor_has_scheme(set->layer[t], wanted))
            continue;
        struct qtensor *p = target_find(lab, t, wanted);
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

/* ---- changes -------------------------------------------------------------------------------------- */

static void replace(struct lab *lab, const struct scheme *schemes)
{
    memcpy(lab->target, schemes, schemes_count(lab->session->model) * sizeof *schemes);
    reconcile(lab);
}

void target_use(struct lab *lab, const struct scheme *schemes)
{
    (void)history_add(lab); /* where memory is short the change is not a step of its own */
    replace(lab, schemes);
}

bool target_go(struct lab *lab, size_t step)
{
    if (step >= lab->history.count)
        return false;
    if (step != lab->history.current)
        replace(lab, history_go(lab, step));
    return true;
}

bool target_undo(struct lab *lab)
{
    return lab->history.current > 0 && target_go(lab, lab->history.current - 1);
}

bool target_redo(struct lab *lab)
{
    return target_go(lab, lab->history.current + 1);
}
