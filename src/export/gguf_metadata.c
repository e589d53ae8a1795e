/* What a GGUF file says of a model (ggml's docs/gguf.md, "Standardized key-value pairs"). */
#include "gguf_put.h"

#include "base/words.h"
#include "model/format.h"

#include <fnmatch.h>
#include <math.h>
#include <stddef.h>

enum { QUANTIZATION_VERSION = 2 };

/* ---- of a model that comes from GGUF --------------------------------------------------------- */

/* What describes the file and not the model; and the tokenizer where another one was named. */
static bool is_dropped(const char *key, bool own_tokenizer)
{
    static const char *const dropped[] = {"general.architecture", "general.alignment", "general.file_type",
                                          "general.quantization_version", "split.*",
                                          "*.nextn_predict_layers"}; /* whose blocks are not written */
    for (size_t i = 0; i < sizeof dropped / sizeof *dropped; i++)
        if (fnmatch(dropped[i], key, 0) == 0)
            return true;
    return !own_tokenizer && strncmp(key, "tokenizer.", 10) == 0;
}

/* Whether an importance matrix weighed any tensor of the set. */
static bool is_weighed(const struct export *job)
{
    const struct export_plan *p = &job->plan;
    for (size_t t = 0; p->importance && t < p->weights->count; t++) {
        struct scheme s = qtensor_scheme(p->weights->layer[t]);
        if (!s.format.stored && methods_take_importance(&s.methods))
            return true;
    }
    return false;
}

/* The keys of llama-quantize. */
static void put_importance(const struct importance *i, struct gguf_out *out)
{
    gguf_key_text(out, "quantize.imatrix.file", i->file);
    if (*i->dataset)
        gguf_key_text(out, "quantize.imatrix.dataset", i->dataset);
    gguf_key_u32(out, "quantize.imatrix.entries_count", (uint32_t)i->entries);
    if (i->chunks > 0)
        gguf_key_u32(out, "quantize.imatrix.chunks_count", (uint32_t)i->chunks);
}

static bool copy_metadata(struct export *job, const struct gguf *gguf, struct gguf_out *out,
                          struct error *error)
{
    const struct export_plan *p = &job->plan;
    bool own = !p->tokenizer_path || strcmp(p->tokenizer_path, p->model->path) == 0, weighed = is_weighed(job);
    for (size_t i = 0; i < gguf->pair_count; i++) {
        const struct gguf_pair *pair = &gguf->pairs[i];
        char key[256];
        snprintf(key, sizeof key, "%.*s", (int)(pair->key.size < 200 ? pair->key.size : 200), pair->key.data);
        if (fnmatch("*.block_count", key, 0) == 0) /* those that are written */
            gguf_key_u32(out, key, (uint32_t)p->model->hyper.layers);
        else if (!is_dropped(key, own) && (!weighed || strncmp(key, "quantize.imatrix.", 17) != 0))
            gguf_key_copy(out, pair);
    }
    return own || gguf_put_tokenizer(job, out, error);
}

/* ---- of another ------------------------------------------------------------------------------ */

struct keys {
    struct gguf_out *out;
    const char *arch;
};

static const char *key_of(const struct keys *k, const char *name, char key[128])
{
    snprintf(key, 128, "%s.%s", k->arch, name);
    return key;
}

static void put_size(const struct keys *k, const char *name, size_t value)
{
    char key[128];
    gguf_key_u32(k->out, key_of(k, name, key), (uint32_t)value);
}

/* Where 0 is what files mean by leaving a key out. */
static void put_float(const struct keys *k, const char *name, float value)
{
    char key[128];
    if (value != 0)
        gguf_key_float(k->out, key_of(k, name, key), value);
}

static size_t size_at(const struct model *m, size_t layer, size_t member)
{
    return *(const size_t *)(const void *)((const char *)&m->layers[layer] + member);
}

/* A size of every layer, at `member` of struct layer: one number, or a list where they differ. */
static void put_each(const struct keys *k, const char *name, const struct model *m, size_t member)
{
    char key[128];
    bool same = true;
    for (size_t b = 1; b < m->hyper.layers; b++)
        same &= size_at(m, b, member) == size_at(m, 0, member);
    if (same) {
        put_size(k, name, size_at(m, 0, member));
        return;
    }
    gguf_key_array(k->out, key_of(k, name, key), GGUF_UINT32, m->hyper.layers);
    for (size_t b = 0; b < m->hyper.layers; b++)
        gguf_put_u32(k->out, (uint32_t)size_at(m, b, member));
}

static bool reads(const struct arch *a, const char *name)
{
    return a->gguf_reads && words_have(a->gguf_reads, name);
}

/* What only some architectures have: layers with keys and values of others, heads of another size in layers with a
 * window, an input of every layer's own. */
static void put_own(const struct keys *k, const struct arch *a, const struct model *m)
{
    const struct hyper *h = &m->hyper;
    size_t shared = 0;
    for (size_t b = 0; b < h->layers; b++)
        shared += m->layers[b].kv_from != b;
    if (reads(a, "attention.shared_kv_layers"))
        put_size(k, "attention.shared_kv_layers", shared);
    if (reads(a, "embedding_length_per_layer_input"))
        put_size(k, "embedding_length_per_layer_input", h->layer_input);
    if (h->window_head_size == 0)
        return;
    put_size(k, "attention.key_length_swa", h->window_head_size);
    put_size(k, "attention.value_length_swa", h->window_head_size);
    put_size(k, "rope.dimension_count_swa", h->window_head_size);
}

static void put_shape(const struct keys *k, const struct model *m)
{
    const struct hyper *h = &m->hyper;
    put_size(k, "context_length", h->trained_context);
    put_size(k, "embedding_length", h->dim);
    put_size(k, "block_count", h->layers);
    put_each(k, "feed_forward_length", m, offsetof(struct layer, hidden));
    put_size(k, "attention.head_count", h->heads);
    put_each(k, "attention.head_count_kv", m, offsetof(struct layer, kv_heads));
    put_size(k, "attention.key_length", h->head_size);
    put_size(k, "attention.value_length", h->head_size);
    put_size(k, "vocab_size", h->vocab);
}

float gguf_linear_factor(const struct export *job)
{
    float factor;
    return export_rope_is_linear(job, &factor) ? factor : 1;
}

/* Its keys round outwards to whole pairs, but of an architecture that never does. */
bool gguf_writes_yarn(const struct export *job)
{
    const struct yarn *y = &job->plan.model->hyper.yarn;
    return y->factor > 0 && y->exact == job->arch->exact_yarn;
}

/* What remains of the magnitude beside that which the factor of YaRN means. */
static void put_yarn(const struct keys *k, const struct hyper *h)
{
    const struct yarn *y = &h->yarn;
    char key[128];
    float times = h->rope_magnitude / (float)(0.1 * log((double)y->factor) + 1);
    gguf_key_text(k->out, key_of(k, "rope.scaling.type", key), "yarn");
    put_float(k, "rope.scaling.factor", y->factor);
    put_size(k, "rope.scaling.original_context_length", h->rope_original);
    if (fabsf(times - 1) > 1e-6f)
        put_float(k, "rope.scaling.attn_factor", times);
    if (y->fast == 32 && y->slow == 1)
        return;
    put_float(k, "rope.scaling.yarn_beta_fast", y->fast);
    put_float(k, "rope.scaling.yarn_beta_slow", y->slow);
}

static void put_rope(const struct keys *k, const struct export *job)
{
    const struct hyper *h = &job->plan.model->hyper;
    float factor = gguf_linear_factor(job);
    char key[128];
    if (h->rope == ROPE_NONE)
        return;
    put_size(k, "rope.dimension_count", rotary_dims(h));
    put_float(k, "rope.freq_base", h->rope_base);
    if (gguf_writes_yarn(job)) {
        put_yarn(k, h);
        return;
    }
    if (factor != 1) {
        gguf_key_text(k->out, key_of(k, "rope.scaling.type", key), "linear");
        put_float(k, "rope.scaling.factor", factor);
    }
    if (h->rope_magnitude != 0)
        put_float(k, "rope.scaling.attn_factor", h->rope_magnitude);
    if (h->rope_original != 0)
        put_size(k, "rope.scaling.original_context_length", h->rope_original);
}

/* Whether every n-th layer sees all, and the others have a window. */
static bool windows_repeat(const struct model *m, size_t period)
{
    struct hyper h = m->hyper;
    bool repeat = true;
    h.window_period = period;
    for (size_t b = 0; b < h.layers; b++)
        repeat &= m->layers[b].window == hyper_window(&h, b);
    return repeat;
}

/* Which layers have a window: how many make a period, or layer by layer. */
static void put_pattern(const struct keys *k, const struct model *m)
{
    static const char name[] = "attention.sliding_window_pattern";
    char key[128];
    if (windows_repeat(m, m->hyper.window_period)) {
        put_size(k, name, m->hyper.window_period);
        return;
    }
    gguf_key_array(k->out, key_of(k, name, key), GGUF_BOOL, m->hyper.layers);
    for (size_t b = 0; b < m->hyper.layers; b++)
        fputc(m->layers[b].window > 0, k->out->file);
}

static bool put_window(const struct keys *k, const struct arch *a, const struct model *m, struct error *error)
{
    const struct hyper *h = &m->hyper;
    bool pattern = reads(a, "attention.sliding_window_pattern");
    if (h->window || a->gguf_window == GGUF_WINDOW_ALWAYS)
        put_size(k, "attention.sliding_window", h->window);
    if (h->window && h->window_rope_base > 0)
        put_float(k, "rope.freq_base_swa", h->window_rope_base);
    if (h->window && pattern)
        put_pattern(k, m);
    return !h->window || pattern || windows_repeat(m, a->window_period) ||
           error_set(error, "some layers have a window of %zu positions, and GGUF files of %s cannot say which; "
                            "expected the format safetensors", h->window, a->gguf);
}

/* Where a file that leaves the key out means a cap, 0 says that there is none. */
static void put_cap(const struct keys *k, const char *name, float value, float by_default)
{
    char key[128];
    if (value != 0 || by_default != 0)
        gguf_key_float(k->out, key_of(k, name, key), value);
}

static void put_mixture(const struct keys *k, const struct hyper *h)
{
    const struct mixture *m = &h->mixture;
    char key[128];
    enum { GATING_SOFTMAX = 1, GATING_SIGMOID = 2, GATING_SOFTMAX_CHOSEN = 3 };
    static const uint32_t gating[] = {[ROUTER_SOFTMAX] = GATING_SOFTMAX, [ROUTER_SIGMOID] = GATING_SIGMOID,
                                      [ROUTER_SOFTMAX_CHOSEN] = GATING_SOFTMAX_CHOSEN,
                                      [ROUTER_SIGMOID_CHOSEN] = GATING_SIGMOID, [ROUTER_SPARSEMIXER] = GATING_SOFTMAX};
    if (m->experts == 0)
        return;
    put_size(k, "expert_count", m->experts);
    put_size(k, "expert_used_count", m->used);
    put_size(k, "expert_feed_forward_length", m->hidden);
    if (m->shared_hidden > 0)
        put_size(k, "expert_shared_feed_forward_length", m->shared_hidden);
    if (h->dense_layers > 0)
        put_size(k, "leading_dense_block_count", h->dense_layers);
    gguf_key_bool(k->out, key_of(k, "expert_weights_norm", key), m->normalized);
    put_float(k, "expert_weights_scale", m->share_scale);
    put_size(k, "expert_gating_func", gating[m->router]);
    if (m->groups > 0) {
        put_size(k, "expert_group_count", m->groups);
        put_size(k, "expert_group_used_count", m->groups_used);
    }
}

/* Architectures that divide logits always have the key. */
static void put_logit_scale(const struct keys *k, const struct arch *a, float scale)
{
    if (a->gguf_divides_logits)
        put_float(k, "logit_scale", 1 / scale);
    else if (scale != 1)
        put_float(k, "logit_scale", scale);
}

static void put_numbers(const struct keys *k, const struct arch *a, const struct model *m)
{
    const struct hyper *h = &m->hyper;
    put_float(k, "attention.temperature_scale", m->layers[0].query_growth);
    put_float(k, h->norm == NORM_LAYER && !a->gguf_rms_epsilon ? "attention.layer_norm_epsilon"
                                                               : "attention.layer_norm_rms_epsilon",
              h->norm_eps);
    put_float(k, "attention.scale", h->attention_scale);
    put_float(k, "attention.clamp_kqv", h->qkv_clip);
    put_float(k, "embedding_scale", a->scaled_embedding ? 0 : h->embedding_scale);
    put_float(k, "residual_scale", h->residual_scale);
    put_logit_scale(k, a, h->logit_scale > 0 ? h->logit_scale : 1);
    put_cap(k, "attn_logit_softcapping", h->attention_cap, a->defaults.attention_cap);
    put_cap(k, "final_logit_softcapping", h->logit_cap, a->defaults.logit_cap);
}

/* The last part of a path, without its ending. */
static void name_model(const struct model *m, char out[128])
{
    const char *path = m->path ? m->path : "synthetic";
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    size_t begin = n;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    for (size_t i = n; i > begin + 1 && !path_is_folder(path); i--)
        if (path[i - 1] == '.') {
            n = i - 1;
            break;
        }
    snprintf(out, 128, "%.*s", (int)(n - begin), path + begin);
}

/* llama.cpp computes these itself. */
static void note_differences(struct export *job, const struct arch *a)
{
    const struct hyper *h = &job->plan.model->hyper;
    float by_default = 1 / sqrtf((float)h->head_size);
    if (h->attention_scale != 0 && a->attention_scale <= 0 && fabsf(h->attention_scale / by_default - 1) > 1e-6f)
        export_note_add(job, "attention is scaled by %g, which llama.cpp does not read for every architecture",
                        (double)h->attention_scale);
    if (h->window && a->gguf_window == GGUF_WINDOW_IGNORED)
        export_note_add(job, "a window of %zu positions, which llama.cpp does not read for the architecture %s",
                        h->window, a->gguf);
    if (gguf_writes_yarn(job) && (h->yarn.fast != 32 || h->yarn.slow != 1))
        export_note_add(job, "YaRN's beta_fast = %g and beta_slow = %g, which llama.cpp does not read for every "
                             "architecture", (double)h->yarn.fast, (double)h->yarn.slow);
}

/* The numbers of xIELU, one value a layer. */
static void put_xielu(struct gguf_out *out, const struct model *m)
{
    static const struct {
        const char *key;
        size_t member;
    } keys[] = {{"xielu.alpha_p", offsetof(struct xielu, positive)},
                {"xielu.alpha_n", offsetof(struct xielu, negative)},
                {"xielu.beta", offsetof(struct xielu, beta)}, {"xielu.eps", offsetof(struct xielu, eps)}};
    for (size_t i = 0; m->hyper.activation == ACTIVATION_XIELU && i < sizeof keys / sizeof *keys; i++) {
        gguf_key_array(out, keys[i].key, GGUF_FLOAT32, m->hyper.layers);
        for (size_t b = 0; b < m->hyper.layers; b++) {
            uint32_t bits;
            memcpy(&bits, (const char *)&m->layers[b].xielu + keys[i].member, sizeof bits);
            gguf_put_u32(out, bits);
        }
    }
}

static bool make_metadata(struct export *job, const struct arch *a, struct gguf_out *out, struct error *error)
{
    const struct hyper *h = &job->plan.model->hyper;
    const struct keys k = {out, a->gguf};
    char name[128];
    name_model(job->plan.model, name);
    gguf_key_text(out, "general.type", "model");
    gguf_key_text(out, "general.name", name);
    put_shape(&k, job->plan.model);
    put_own(&k, a, job->plan.model);
    put_rope(&k, job);
    put_numbers(&k, a, job->plan.model);
    put_mixture(&k, h);
    put_xielu(out, job->plan.model);
    if (a->parallel_steps)
        gguf_key_bool(out, key_of(&k, "use_parallel_residual", name), h->parallel);
    note_differences(job, a);
    return put_window(&k, a, job->plan.model, error) && gguf_put_tokenizer(job, out, error);
}

/* ---- both ------------------------------------------------------------------------------------ */

bool gguf_is_source(const struct export *job)
{
    const struct catalog *files = &job->plan.model->files;
    const struct mapped_file *first = files->files;
    return files->file_count > 0 && gguf_format.probe(first->path, first->data, first->size);
}

/* Of the parts of a split file the one that describes the model. */
static struct gguf *parse_source(const struct export *job, struct error *error)
{
    const struct catalog *files = &job->plan.model->files;
    for (size_t i = 0; i < files->file_count; i++) {
        struct gguf *gguf = gguf_parse(files->files[i].data, files->files[i].size, error);
        if (!gguf || gguf_has(gguf, "general.architecture"))
            return gguf;
        gguf_close(gguf);
    }
    error_set(error, "metadata: general.architecture is missing");
    return NULL;
}

bool gguf_put_metadata(struct export *job, struct gguf_out *out, uint32_t file_type, struct error *error)
{
    const struct arch *a = arch_in_gguf(job->arch);
    gguf_key_text(out, "general.architecture", a->gguf);
    gguf_key_u32(out, "general.file_type", file_type);
    gguf_key_u32(out, "general.quantization_version", QUANTIZATION_VERSION);
    if (is_weighed(job))
        put_importance(job->plan.importance, out);
    if (!gguf_is_source(job))
        return make_metadata(job, a, out, error);
    struct gguf *gguf = parse_source(job, error);
    bool ok = gguf && copy_metadata(job, gguf, out, error);
    gguf_close(gguf);
    return ok;
}
