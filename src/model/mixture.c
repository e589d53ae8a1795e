#include "mixture.h"

#include "formats/jsontext.h"

/* What the file calls the two counts: whether a token uses at least one expert, and no more than there are. */
static bool check_counts(const struct mixture *m, const char *where, const char *experts, const char *used,
                         struct error *error)
{
    if (m->experts < 1)
        return error_set(error, "%s: %s = 0; expected 1 to %d", where, experts, MAX_EXPERTS);
    return (m->used >= 1 && m->used <= m->experts) ||
           error_set(error, "%s: %s = %zu; expected 1 to %zu, which %s says", where, used, m->used, m->experts, experts);
}

bool mixture_read_hf(const struct hf_config *c, const struct mixture_keys *k)
{
    struct hyper *h = &c->model->hyper;
    struct mixture *m = &h->mixture;
    size_t hidden = k->hidden ? k->hidden_default : h->hidden, shared;
    *m = (struct mixture){.router = k->router, .normalized = k->normalized, .sum_floor = k->sum_floor};
    bool ok = hf_count(c, k->experts, k->experts_other, k->experts_default, MAX_EXPERTS, &m->experts) &&
              hf_count(c, k->used, k->used_other, k->used_default, MAX_EXPERTS, &m->used) &&
              hf_count(c, k->hidden, NULL, hidden, MAX_HIDDEN, &m->hidden) &&
              hf_count(c, k->shared_hidden, NULL, k->shared_hidden_default, MAX_HIDDEN, &m->shared_hidden) &&
              hf_count(c, k->shared, NULL, k->shared_default, MAX_EXPERTS, &shared) &&
              hf_count(c, k->dense, NULL, k->dense_default, MAX_LAYERS, &h->dense_layers) &&
              hf_count(c, k->groups, NULL, k->groups_default, MAX_EXPERTS, &m->groups) &&
              hf_count(c, k->groups_used, NULL, k->groups_used_default, MAX_EXPERTS, &m->groups_used) &&
              (!k->normalize || hf_flag(c, k->normalize, k->normalized, &m->normalized)) &&
              (!k->scale || hf_number(c, &c->top, k->scale, k->scale_default > 0 ? k->scale_default : 1, 0, max_cap,
                                      &m->share_scale));
    if (ok && k->shared)
        m->shared_hidden = shared * m->hidden;
    if (ok && m->groups == 1)
        m->groups = m->groups_used = 0;
    return ok && check_counts(m, "config.json", k->experts, k->used, c->error) &&
           mixture_check(m, "config.json", c->error);
}

bool mixture_check_dense(const struct hf_config *c)
{
    size_t step;
    struct hf_value list;
    if (!hf_count(c, "decoder_sparse_step", NULL, 1, MAX_LAYERS, &step) ||
        !hf_find(c, &c->top, "mlp_only_layers", NULL, &list))
        return false;
    return !list.json || json_is_array(list.json) ||
           error_set(c->error, "config.json: %s is %s; expected a list", list.name, json_text_kind(list.json));
}

/* expert_gating_func, where files say it. */
static bool read_gating(const struct gguf_metadata *d, enum router *router)
{
    static const enum router routers[] = {ROUTER_SOFTMAX, ROUTER_SIGMOID, ROUTER_SOFTMAX_CHOSEN};
    char key[128];
    size_t kind, kinds = sizeof routers / sizeof *routers;
    if (!gguf_has(d->gguf, gguf_key(d, "expert_gating_func", key)))
        return true;
    if (!gguf_size(d->gguf, key, 0, SIZE_MAX, 0, &kind, d->error))
        return false;
    if (kind < 1 || kind > kinds)
        return error_set(d->error, "metadata: %s = %zu; expected 1 (softmax), 2 (sigmoid) or 3 (softmax of the chosen)",
                         key, kind);
    bool special = *router == ROUTER_SIGMOID_CHOSEN || *router == ROUTER_SPARSEMIXER;
    *router = special ? *router : routers[kind - 1];
    return true;
}

/* Experts that every token uses, counted, where their size is not there. */
static bool read_shared(const struct gguf_metadata *d, struct mixture *x)
{
    char key[128];
    size_t count;
    if (!gguf_size(d->gguf, gguf_key(d, "expert_shared_count", key), 0, MAX_EXPERTS, 0, &count, d->error))
        return false;
    if (!x->shared_hidden)
        x->shared_hidden = count * x->hidden;
    return gguf_size(d->gguf, gguf_key(d, "expert_shared_feed_forward_length", key), 0, MAX_HIDDEN, x->shared_hidden,
                     &x->shared_hidden, d->error);
}

/* The last blocks of some files predict further tokens than the next. */
static bool drop_spare_blocks(const struct gguf_metadata *d, struct hyper *h)
{
    char key[128];
    size_t spare;
    if (!gguf_size(d->gguf, gguf_key(d, "nextn_predict_layers", key), 0, MAX_LAYERS, 0, &spare, d->error))
        return false;
    if (spare >= h->layers)
        return error_set(d->error, "metadata: %s = %zu; expected fewer than the %zu blocks", key, spare, h->layers);
    h->layers -= spare;
    return true;
}

bool mixture_read_gguf(const struct gguf_metadata *d, struct model *m, const struct mixture *fixed)
{
    struct mixture *x = &m->hyper.mixture;
    char key[128];
    *x = *fixed;
    bool ok = gguf_read_size(d, "expert_count", 0, MAX_EXPERTS, &x->experts) &&
              gguf_read_size(d, "expert_used_count", 0, MAX_EXPERTS, &x->used) &&
              gguf_read_size(d, "expert_feed_forward_length", x->hidden ? x->hidden : m->hyper.hidden, MAX_HIDDEN,
                             &x->hidden) &&
              read_shared(d, x) &&
              gguf_size(d->gguf, gguf_key(d, "leading_dense_block_count", key), 0, MAX_LAYERS, 0,
                        &m->hyper.dense_layers, d->error) &&
              gguf_size(d->gguf, gguf_key(d, "expert_group_count", key), 0, MAX_EXPERTS, 0, &x->groups, d->error) &&
              gguf_size(d->gguf, gguf_key(d, "expert_group_used_count", key), 0, MAX_EXPERTS, 0, &x->groups_used,
                        d->error) &&
              read_gating(d, &x->router) &&
              gguf_read_float(d, "expert_weights_scale", x->share_scale, 0, max_cap, &x->share_scale) &&
              gguf_bool(d->gguf, gguf_key(d, "expert_weights_norm", key), x->normalized, &x->normalized, d->error);
    if (ok && x->groups <= 1)
        x->groups = x->groups_used = 0;
    return ok && check_counts(x, "metadata", "expert_count", "expert_used_count", d->error) &&
           mixture_check(x, "metadata", d->error) && drop_spare_blocks(d, &m->hyper);
}
