#include "mixture.h"

#include "formats/jsontext.h"

bool mixture_read_hf(const struct hf_config *c, const struct mixture_keys *k)
{
    struct hyper *h = &c->model->hyper;
    struct mixture *m = &h->mixture;
    size_t hidden = k->hidden ? k->hidden_default : h->hidden, shared;
    *m = (struct mixture){.router = k->router, .normalized = k->normalized};
    bool ok = hf_count(c, k->experts, k->experts_other, k->experts_default, MAX_EXPERTS, &m->experts) &&
              hf_count(c, k->used, NULL, k->used_default, MAX_EXPERTS, &m->used) &&
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
    return ok && mixture_check(m, "config.json", c->error);
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

bool mixture_read_gguf(const struct gguf_metadata *d, struct model *m, const struct mixture *fixed)
{
    struct mixture *x = &m->hyper.mixture;
    char key[128];
    *x = *fixed;
    bool ok = gguf_read_size(d, "expert_count", 0, MAX_EXPERTS, &x->experts) &&
              gguf_read_size(d, "expert_used_count", 0, MAX_EXPERTS, &x->used) &&
              gguf_read_size(d, "expert_feed_forward_length", m->hyper.hidden, MAX_HIDDEN, &x->hidden) &&
              gguf_size(d->gguf, gguf_key(d, "expert_shared_feed_forward_length", key), 0, MAX_HIDDEN, x->shared_hidden,
                        &x->shared_hidden, d->error) &&
              gguf_size(d->gguf, gguf_key(d, "leading_dense_block_count", key), 0, MAX_LAYERS, 0,
                        &m->hyper.dense_layers, d->error) &&
              gguf_read_float(d, "expert_weights_scale", x->share_scale, 0, max_cap, &x->share_scale) &&
              gguf_bool(d->gguf, gguf_key(d, "expert_weights_norm", key), x->normalized, &x->normalized, d->error);
    return ok && mixture_check(x, "metadata", d->error);
}
