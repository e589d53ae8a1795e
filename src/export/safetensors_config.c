/* What Hugging Face's programs need beside the weights: config.json, and the tokenizer's files. */
#include "safetensors_types.h"

#include "base/words.h"
#include "formats/jsontext.h"
#include "model/hf_config.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum { DEPTH = 64 };
static const char exported_by[] = "exported_by", exported_file[] = "exported_file";

static json_t *read_json(const char *path, struct error *error)
{
    struct mapped_file file;
    if (!mapped_file_open(&file, path, error))
        return NULL;
    json_t *json = json_text_parse(file.data, file.size, DEPTH, path, error);
    mapped_file_close(&file);
    return json;
}

static bool lies_beside(const char *path, const char *name)
{
    char *file = path ? path_beside(path, name) : NULL;
    bool there = file && access(file, R_OK) == 0;
    free(file);
    return there;
}

/* Hugging Face's programs read these two; the vocabulary of a GGUF file is none of them. */
static void note_tokenizer(struct export *job)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer.model"};
    bool there = false;
    for (size_t i = 0; i < 2; i++)
        there = there || lies_beside(job->plan.tokenizer_path, names[i]) || lies_beside(job->plan.path, names[i]);
    if (!there)
        export_note_add(job, "no tokenizer.json or tokenizer.model lies beside the model: the folder needs one");
}

/* Whether the file is the configuration of the model that is exported: to replace that would change the model. */
static bool is_own_config(const struct export *job, const char *path)
{
    char *own = model_config_path(job->plan.model);
    bool same = same_file(own, path);
    free(own);
    return same;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Whether a configuration belongs to another file that is still there. Its name; null: it does not. */
static const char *owner_of(const struct export *job, const json_t *config)
{
    const char *name = json_string_value(json_object_get(config, exported_file));
    if (!name || strchr(name, '/') || strcmp(name, last_part(job->plan.path)) == 0)
        return NULL;
    char *file = path_beside(job->plan.path, name);
    bool there = file && access(file, F_OK) == 0;
    free(file);
    return there ? name : NULL;
}

/* What an export wrote an export may replace, unless another file needs it. */
static bool may_replace(const struct export *job, const char *path, struct error *error)
{
    if (is_own_config(job, path))
        return error_set(error, "%.200s: is the configuration of the model itself; expected another folder", path);
    json_t *json = read_json(path, NULL);
    bool ours = json_object_get(json, exported_by);
    const char *owner = owner_of(job, json);
    if (owner)
        error_set(error, "%.200s: is the configuration of %.100s, which an export wrote; expected another folder", path,
                  owner);
    bool taken = owner;
    json_decref(json);
    if (taken)
        return false;
    return ours || error_set(error, "%.200s: exists and was not written by an export; expected a folder "
                                    "without one", path);
}

bool safetensors_check_beside(struct export *job, struct error *error)
{
    const struct arch *a = job->arch;
    if (!a->hf || (a->hf_reads && words_have(a->hf_reads, "mrope_section")))
        return error_set(error, "the model of text of a %s has no config.json of its own; expected the format gguf",
                         a->title);
    if (job->arch->hf_numbers)
        return error_set(error, "numbers of the activation are tensors in folders of %s, which exports do not write; "
                                "expected the format gguf", job->arch->name);
    if (!job->plan.path) /* nothing is to be written */
        return true;
    char *path = path_beside(job->plan.path, "config.json");
    if (!path)
        return error_set(error, "not enough memory");
    bool ok = access(path, F_OK) != 0 || may_replace(job, path, error);
    free(path);
    if (ok)
        note_tokenizer(job);
    return ok;
}

/* ---- config.json ----------------------------------------------------------------------------- */

static void set_size(json_t *j, const char *key, size_t value)
{
    json_object_set_new(j, key, json_integer((json_int_t)value));
}

/* As many digits as tell one float from the next. */
static void set_number(json_t *j, const char *key, float value)
{
    char text[32];
    snprintf(text, sizeof text, "%.9g", (double)value);
    json_object_set_new(j, key, json_real(strtod(text, NULL)));
}

static const char *or(const char *own, const char *usual)
{
    return own ? own : usual;
}

static void set_shape(json_t *j, const struct arch *a, const struct hyper *h)
{
    static const struct hf_names usual = {0};
    const struct hf_names *n = a->hf_sizes ? a->hf_sizes : &usual;
    const char *epsilon = or(n->epsilon, h->norm == NORM_LAYER ? "layer_norm_epsilon" : "rms_norm_eps");
    set_size(j, or(n->dim, "hidden_size"), h->dim);
    set_size(j, or(n->layers, "num_hidden_layers"), h->layers);
    set_size(j, or(n->heads, "num_attention_heads"), h->heads);
    set_size(j, or(n->hidden, "intermediate_size"), h->hidden);
    set_size(j, or(n->context, "max_position_embeddings"), h->trained_context);
    if (*epsilon)
        set_number(j, epsilon, h->norm_eps);
    if (!n->alike) {
        set_size(j, "num_key_value_heads", h->kv_heads);
        set_size(j, "head_dim", h->head_size);
    }
}

static void set_numbers(json_t *j, const struct hyper *h)
{
    set_number(j, "rope_theta", h->rope_base);
    if (h->attention_cap != 0)
        set_number(j, "attn_logit_softcapping", h->attention_cap);
    if (h->logit_cap != 0)
        set_number(j, "final_logit_softcapping", h->logit_cap);
    if (h->window) {
        set_size(j, "sliding_window", h->window);
        json_object_set_new(j, "use_sliding_window", json_true());
        set_size(j, "max_window_layers", 0);
    }
}

/* Multipliers by the names of an architecture that reads them. */
static void set_multipliers(json_t *j, const struct arch *a, const struct hyper *h)
{
    const struct {
        const char *key;
        float value;
    } keys[] = {{"embedding_multiplier", h->embedding_scale}, {"residual_multiplier", h->residual_scale},
                {"clip_qkv", h->qkv_clip},
                {"attention_multiplier", h->attention_scale},
                {"logits_scaling", h->logit_scale > 0 ? 1 / h->logit_scale : 0}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i].value > 0 && a->hf_reads && words_have(a->hf_reads, keys[i].key))
            set_number(j, keys[i].key, keys[i].value);
}

/* Which layers have a window, where not all do, and their own rotary base. */
static bool set_windows(json_t *j, const struct arch *a, const struct model *m, struct error *error)
{
    const struct hyper *h = &m->hyper;
    bool own = h->window && h->window_rope_base > 0;
    bool named = a->hf_reads && words_have(a->hf_reads, "rope_local_base_freq");
    if (h->window && a->hf_window == HF_WINDOW_NONE)
        return error_set(error, "layers have a window of %zu positions, which config.json of %s cannot say; expected "
                                "the format gguf", h->window, a->name);
    json_t *types = json_array();
    bool all = true;
    for (size_t b = 0; b < h->layers; b++) {
        bool windowed = m->layers[b].window > 0;
        json_array_append_new(types, json_string(windowed ? "sliding_attention" : "full_attention"));
        all &= windowed;
    }
    if (h->window && !all)
        json_object_set(j, "layer_types", types);
    if (own && named)
        set_number(j, "rope_local_base_freq", h->window_rope_base);
    json_decref(types);
    return !own || named || !(h->window_rope_base < h->rope_base || h->window_rope_base > h->rope_base) ||
           error_set(error, "layers with a window have a rotary base of their own, %g, for which config.json of %s has "
                            "no key; expected the format gguf", (double)h->window_rope_base, a->name);
}

/* Gemma says the scale of attention as what it is the root of: an integer, or transformers refuses it. */
static void set_attention_scale(json_t *j, const struct export *job)
{
    static const float rounding = 1e-5f;
    if (job->arch->hf_reads && words_have(job->arch->hf_reads, "attention_multiplier"))
        return;
    const struct hyper *h = &job->plan.model->hyper;
    float scale = h->attention_scale != 0 ? h->attention_scale : 1 / sqrtf((float)h->head_size);
    float scalar = 1 / (scale * scale), whole = roundf(scalar);
    if (job->arch->defaults.query_scalar <= 0 && h->attention_scale == 0)
        return;
    if (fabsf(scalar / whole - 1) < rounding)
        set_size(j, "query_pre_attn_scalar", (size_t)whole);
    else
        set_number(j, "query_pre_attn_scalar", scalar);
}

/* A list of factors, one for two dimensions. */
static json_t *factor_list(const struct model *m, const float *factors)
{
    json_t *list = json_array();
    for (size_t i = 0; i < rotary_dims(&m->hyper) / 2; i++)
        json_array_append_new(list, json_real((double)factors[i]));
    return list;
}

/* The scalings of which the model knows how they came about; null: it has another. */
static json_t *known_scaling(const struct model *m)
{
    const struct hyper *h = &m->hyper;
    json_t *j = NULL;
    if (h->yarn.factor > 0) {
        j = json_pack("{s:s, s:b}", "rope_type", "yarn", "truncate", !h->yarn.exact);
        set_number(j, "factor", h->yarn.factor);
        set_number(j, "beta_fast", h->yarn.fast);
        set_number(j, "beta_slow", h->yarn.slow);
    } else if (m->rope_beyond) {
        j = json_pack("{s:s, s:o, s:o}", "rope_type", "longrope", "short_factor", factor_list(m, m->rope_factors),
                      "long_factor", factor_list(m, m->rope_beyond));
    }
    if (j && m->layers[0].query_growth > 0)
        set_number(j, "llama_4_scaling_beta", m->layers[0].query_growth);
    if (j) {
        set_number(j, "attention_factor", h->rope_magnitude);
        set_size(j, "original_max_position_embeddings", h->rope_original);
    }
    return j;
}

/* How factors that are not all the same came about may not be known. */
static bool set_rope(json_t *j, const struct export *job, struct error *error)
{
    const struct model *m = job->plan.model;
    float factor;
    json_t *scaling = known_scaling(m);
    if (scaling) {
        json_object_set_new(j, "rope_scaling", scaling);
        set_size(j, "original_max_position_embeddings", m->hyper.rope_original); /* where some look for it */
    } else if (!export_rope_is_linear(job, &factor))
        return error_set(error, "the model's rotary frequencies are scaled by factors, and config.json wants to "
                                "know how they came about; expected the original config.json's folder as the "
                                "model, or the format gguf");
    else if (factor != 1)
        json_object_set_new(j, "rope_scaling", json_pack("{s:s, s:f}", "rope_type", "linear", "factor",
                                                         (double)factor));
    if (rotary_dims(&m->hyper) != m->hyper.head_size)
        set_number(j, "partial_rotary_factor",
                   (float)rotary_dims(&m->hyper) / (float)m->hyper.head_size);
    return true;
}

/* What engines compute in: the type of the table that is never quantized. */
static const char *torch_dtype(const struct export *job)
{
    int table = model_find(job->plan.model, ROLE_EMBEDDING, -1);
    enum dtype type = job->plan.weights->layer[table]->matrix.format.weight;
    return type == DTYPE_FP16 ? "float16" : type == DTYPE_BF16 ? "bfloat16" : "float32";
}

/* What begins a text and what ends one; null says that there is nothing, where a missing key has a default. */
static void set_tokens(json_t *j, const struct model *m)
{
    json_object_set_new(j, "bos_token_id", m->bos >= 0 ? json_integer(m->bos) : json_null());
    json_t *ends = json_array();
    for (size_t i = 0; i < m->end_count; i++)
        json_array_append_new(ends, json_integer(m->ends[i]));
    json_object_set_new(j, "eos_token_id", m->end_count > 0 ? ends : json_null());
    if (m->end_count == 0)
        json_decref(ends);
}

static json_t *make_config(const struct export *job, struct error *error)
{
    const struct model *m = job->plan.model;
    if (m->hyper.mixture.experts > 0)
        return error_set(error, "config.json of a mixture of experts is not written from %s; expected the format gguf, or "
                                "a model with a config.json", m->format), NULL;
    if (job->arch->hf_unwritten || m->hyper.window_head_size > 0)
        return error_set(error, "config.json of a %s is not written from %s; expected the format gguf, or a model with a "
                                "config.json", job->arch->name, m->format), NULL;
    bool biased = m->has & (ROLE_BIT(ROLE_ATTN_Q_BIAS) | ROLE_BIT(ROLE_ATTN_OUT_BIAS));
    json_t *j = json_pack("{s:[s], s:s, s:s, s:b}", "architectures", job->arch->hf_class, "model_type", job->arch->hf,
                          job->arch->hf_activation_key,
                          hf_activation_name(m->hyper.activation), "tie_word_embeddings", m->tied);
    json_object_set_new(j, "torch_dtype", json_string(torch_dtype(job)));
    set_size(j, "vocab_size", m->hyper.vocab);
    set_tokens(j, m);
    bool rotary = m->hyper.rope != ROPE_NONE;
    set_shape(j, job->arch, &m->hyper);
    if ((biased || job->arch->biased_default) && rotary)
        json_object_set_new(j, "attention_bias", json_boolean(biased));
    if (job->arch->hf_reads && words_have(job->arch->hf_reads, "attention_out_bias"))
        json_object_set_new(j, "attention_out_bias", json_boolean(m->has & ROLE_BIT(ROLE_ATTN_OUT_BIAS)));
    if (m->has & ROLE_BIT(ROLE_FFN_DOWN_BIAS) && rotary)
        json_object_set_new(j, "mlp_bias", json_true());
    if (!rotary)
        return j;
    set_numbers(j, &m->hyper);
    set_multipliers(j, job->arch, &m->hyper);
    set_attention_scale(j, job);
    if (set_windows(j, job->arch, m, error) && set_rope(j, job, error))
        return j;
    json_decref(j);
    return NULL;
}

/* Of a model around one of text, whose other parts are not exported, what it says of that one. */
static json_t *of_text(const struct export *job, json_t *j)
{
    const char *type = json_string_value(json_object_get(j, "model_type"));
    json_t *text = json_deep_copy(json_object_get(j, "text_config"));
    if (!text || !type || strcmp(type, job->arch->hf) == 0) {
        json_decref(text);
        return j;
    }
    json_decref(j);
    json_object_set_new(text, "architectures", json_pack("[s]", job->arch->hf_class));
    json_object_set_new(text, "model_type", json_string(job->arch->hf));
    json_object_set_new(text, "tie_word_embeddings", json_boolean(job->plan.model->tied));
    json_object_set_new(text, "torch_dtype", json_string(torch_dtype(job)));
    set_tokens(text, job->plan.model);
    return text;
}

/* The model's own, where its format has one. */
static json_t *own_config(const struct export *job, struct error *error)
{
    if (job->plan.model->hyper.ternary)
        return error_set(error, "weights and inputs of matrices are rounded as quantization_config says, which exports "
                                "replace; expected a model without"), NULL;
    char *path = model_config_path(job->plan.model);
    json_t *j = path ? of_text(job, read_json(path, error)) : make_config(job, error);
    free(path);
    return j;
}

static bool write_json(struct export *job, const char *path, const json_t *j, struct error *error)
{
    FILE *out = export_beside(job, path, error);
    return out && ((json_dumpf(j, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) == 0 && fputc('\n', out) != EOF) ||
                   error_set(error, "%.200s: cannot be written: %s", path, strerror(errno)));
}

static bool write_config(struct export *job, struct error *error)
{
    char *path = path_beside(job->plan.path, "config.json");
    json_t *j = path ? own_config(job, error) : NULL;
    if (j) {
        json_object_del(j, "quantization_config");
        json_object_set_new(j, exported_by, json_string("qtop"));
        json_object_set_new(j, exported_file, json_string(last_part(job->plan.path)));
        if (job->quantized)
            json_object_set(j, "quantization_config", job->quantized);
    }
    bool ok = j && write_json(job, path, j, error);
    json_decref(j);
    free(path);
    return ok;
}

/* ---- the tokenizer --------------------------------------------------------------------------- */

static bool copy_file(struct export *job, const char *from, const char *to, struct error *error)
{
    struct mapped_file file;
    if (!mapped_file_open(&file, from, error))
        return false;
    FILE *out = export_beside(job, to, error);
    bool ok = out && (fwrite(file.data, 1, file.size, out) == file.size ||
                      error_set(error, "%.200s: cannot be written: %s", to, strerror(errno)));
    mapped_file_close(&file);
    return ok;
}

/* Files of the tokenizer's folder that are not in the target's. */
static bool copy_tokenizer(struct export *job, struct error *error)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer.model", "tokenizer_config.json",
                                        "special_tokens_map.json", "added_tokens.json", "vocab.json",
                                        "merges.txt", "chat_template.jinja", "generation_config.json"};
    bool ok = true;
    for (size_t i = 0; ok && job->plan.tokenizer_path && i < sizeof names / sizeof *names; i++) {
        char *from = path_beside(job->plan.tokenizer_path, names[i]), *to = path_beside(job->plan.path, names[i]);
        if (!from || !to)
            ok = error_set(error, "not enough memory");
        else if (access(from, R_OK) == 0 && access(to, F_OK) != 0)
            ok = copy_file(job, from, to, error);
        free(from);
        free(to);
    }
    return ok;
}

bool safetensors_beside(struct export *job, struct error *error)
{
    return write_config(job, error) && copy_tokenizer(job, error);
}
