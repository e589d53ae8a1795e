/* Models in GGUF files: metadata to hyper-parameters; the tensors have canonical names already. */
#include "assemble.h"
#include "base/words.h"
#include "format.h"
#include "gguf_keys.h"
#include "gguf_metadata.h"
#include "rope.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A number that must be there. */
static bool read_epsilon(const struct gguf_metadata *d, const char *name, float *out)
{
    char key[128];
    return (gguf_has(d->gguf, gguf_key(d, name, key)) ||
            error_set(d->error, "metadata: %s is missing", key)) &&
           gguf_read_float(d, name, 0, min_epsilon, max_epsilon, out);
}

/* The base and the sizes that a file may give layers with a window apart, of architectures that do not read them. */
static bool check_windowed(const struct gguf_metadata *d, const struct arch *a, const struct hyper *h)
{
    size_t key_size, value_size, rope_dims;
    float base;
    if (!gguf_read_float(d, "rope.freq_base_swa", h->rope_base, min_rope_base, max_rope_base, &base) ||
        !gguf_read_size(d, "attention.key_length_swa", h->head_size, MAX_HEAD_SIZE, &key_size) ||
        !gguf_read_size(d, "attention.value_length_swa", h->head_size, MAX_HEAD_SIZE, &value_size) ||
        !gguf_read_size(d, "rope.dimension_count_swa", h->rope_dims, MAX_HEAD_SIZE, &rope_dims))
        return false;
    if (!a->window_rope && (base < h->rope_base || base > h->rope_base))
        return error_set(d->error, "metadata: %s.rope.freq_base_swa = %g; expected that of all layers, %g", d->arch,
                         (double)base, (double)h->rope_base);
    bool own = a->gguf_reads && words_have(a->gguf_reads, "attention.key_length_swa");
    return own || (key_size == h->head_size && value_size == h->head_size && rope_dims == h->rope_dims) ||
           error_set(d->error, "metadata: %s: heads of %zu and %zu, %zu of it rotary, in layers with a window; "
                               "expected %zu and %zu as in the others", d->arch, key_size, value_size, rope_dims,
                     h->head_size, h->rope_dims);
}

/* A size that an architecture reads layer by layer, and then later. */
static bool read_common(const struct gguf_metadata *d, const struct arch *a, const char *name, size_t otherwise,
                        size_t max, size_t *out)
{
    *out = 1;
    return (a->gguf_reads && words_have(a->gguf_reads, name)) || gguf_read_size(d, name, otherwise, max, out);
}

static bool read_heads(const struct gguf_metadata *d, const struct arch *a, struct hyper *h)
{
    char key[128];
    size_t value_size;
    if (!gguf_read_size(d, "attention.head_count", 0, MAX_HEADS, &h->heads) ||
        !read_common(d, a, "attention.head_count_kv", h->heads, MAX_HEADS, &h->kv_heads))
        return false;
    if (h->heads % h->kv_heads != 0)
        return error_set(d->error, "metadata: %s.attention.head_count_kv = %zu; expected a divisor of "
                                   "head_count = %zu", d->arch, h->kv_heads, h->heads);
    if (!gguf_has(d->gguf, gguf_key(d, "attention.key_length", key)) && h->dim % h->heads != 0)
        return error_set(d->error, "metadata: %s.attention.head_count = %zu does not divide "
                                   "embedding_length = %zu", d->arch, h->heads, h->dim);
    if (!gguf_read_size(d, "attention.key_length", h->dim / h->heads, MAX_HEAD_SIZE, &h->head_size) ||
        !gguf_read_size(d, "attention.value_length", h->head_size, MAX_HEAD_SIZE, &value_size) ||
        !gguf_read_size(d, "rope.dimension_count", h->head_size, MAX_HEAD_SIZE, &h->rope_dims))
        return false;
    return value_size == h->head_size ||
           error_set(d->error, "metadata: %s.attention.value_length = %zu; expected that of the keys, "
                               "%zu", d->arch, value_size, h->head_size);
}

/* Models without rotary embeddings are not asked. */
static bool check_rope_dims(const struct gguf_metadata *d, const struct hyper *h)
{
    bool good = h->rope == ROPE_NONE || (h->rope_dims % 2 == 0 && h->rope_dims <= h->head_size);
    return good || error_set(d->error, "metadata: %s.rope.dimension_count = %zu; expected an even number "
                                       "of at most the head's size, %zu",
                             d->arch, h->rope_dims, h->head_size);
}

static bool read_hyper(const struct gguf_metadata *d, const struct arch *a, struct hyper *h)
{
    const char *epsilon = a->norm == NORM_LAYER && !a->gguf_rms_epsilon ? "attention.layer_norm_epsilon"
                                                : "attention.layer_norm_rms_epsilon";
    const struct hf_defaults *by_default = &a->defaults; /* llama.cpp has the same */
    char key[128];
    bool ok = gguf_read_size(d, "embedding_length", 0, MAX_DIM, &h->dim) &&
              read_common(d, a, "feed_forward_length", 0, MAX_HIDDEN, &h->hidden) &&
              gguf_read_size(d, "block_count", 0, MAX_LAYERS, &h->layers) &&
              gguf_read_size(d, "context_length", 0, MAX_POSITIONS, &h->trained_context) &&
              read_heads(d, a, h) &&
              gguf_read_float(d, "rope.freq_base", 10000, min_rope_base, max_rope_base, &h->rope_base) &&
              read_epsilon(d, epsilon, &h->norm_eps) &&
              gguf_read_float(d, "attention.scale", 0, 0, max_cap, &h->attention_scale) &&
              gguf_read_float(d, "attn_logit_softcapping", by_default->attention_cap, 0, max_cap, &h->attention_cap) &&
              gguf_read_float(d, "final_logit_softcapping", by_default->logit_cap, 0, max_cap, &h->logit_cap) &&
              gguf_size(d->gguf, gguf_key(d, "attention.sliding_window", key), 0, MAX_POSITIONS,
                        a->gguf_window == GGUF_WINDOW_ALWAYS ? by_default->window : 0, &h->window, d->error) &&
              check_windowed(d, a, h);
    if (!ok)
        return false;
    arch_apply(a, true, h);
    if (a->complete_gguf)
        a->complete_gguf(h);
    return check_rope_dims(d, h);
}

/* ---- rotary scaling -------------------------------------------------------------------------- */

/* A tensor of factors, one for two dimensions; the caller frees. *factors is null where there is none. */
static bool read_factors(const struct model *m, const char *name, float **factors, size_t *count,
                         struct error *error)
{
    const struct entry *e = catalog_find(&m->files, name);
    *factors = NULL;
    if (!e)
        return true;
    size_t last = e->shape[e->dimensions - 1];
    if (e->dtype != DTYPE_FP32 || e->bytes != last * sizeof **factors)
        return error_set(error, "tensor %s: %s in %zu dimensions; expected fp32 in one", name,
                         dtypes[e->dtype].name, e->dimensions);
    *count = last;
    *factors = malloc(e->bytes + 1);
    if (!*factors)
        return error_set(error, "not enough memory");
    memcpy(*factors, e->data, e->bytes);
    return true;
}

static bool is(const struct gguf_text *text, const char *word)
{
    return text->size == strlen(word) && memcmp(text->data, word, text->size) == 0;
}

/* LongRoPE's factors are tensors. */
static bool take_long_factors(struct model *m, const struct gguf_metadata *d, float magnitude, bool *found)
{
    struct longrope r = {.what = "rope_factors_short.weight", .what_beyond = "rope_factors_long.weight",
                         .magnitude = magnitude};
    float *below = NULL, *beyond = NULL;
    bool ok = gguf_read_size(d, "rope.scaling.original_context_length", m->hyper.trained_context, MAX_POSITIONS,
                             &r.original) &&
              read_factors(m, r.what, &below, &r.count, d->error) &&
              read_factors(m, r.what_beyond, &beyond, &r.beyond_count, d->error);
    if (ok && !below && beyond)
        ok = error_set(d->error, "tensor %s is missing beside %s", r.what, r.what_beyond);
    *found = below != NULL;
    r.factors = below;
    r.beyond = beyond;
    ok = ok && (!below || rope_long(m, &r, d->error));
    free(below);
    free(beyond);
    return ok;
}

static bool take_factors(struct model *m, const struct gguf_metadata *d)
{
    static const char *const name = "rope_freqs.weight";
    size_t count;
    float *factors;
    if (!read_factors(m, name, &factors, &count, d->error))
        return false;
    bool ok = !factors || rope_set_factors(m, factors, count, name, d->error);
    free(factors);
    return ok;
}

/* By how much, under a newer key and an older one. */
static bool read_factor(const struct gguf_metadata *d, float *factor)
{
    char newer[128], key[128];
    float older;
    if (!gguf_read_float(d, "rope.scale_linear", 1, 1, max_cap, &older) ||
        !gguf_read_float(d, "rope.scaling.factor", older, 0, max_cap, factor))
        return false;
    bool both = gguf_has(d->gguf, gguf_key(d, "rope.scale_linear", key)) &&
                gguf_has(d->gguf, gguf_key(d, "rope.scaling.factor", newer));
    return !both || !(older < *factor || older > *factor) ||
           error_set(d->error, "metadata: %s = %g, but %s = %g; expected one value", newer, (double)*factor, key,
                     (double)older);
}

/* YaRN, whose magnitude is the usual one times the file's factor, or one of its own in newer files. */
static bool scale_yarn(struct model *m, const struct gguf_metadata *d, float factor, float times)
{
    struct yarn y = {.factor = factor, .exact = m->hyper.yarn.exact};
    size_t original;
    float magnitude, log_multiplier;
    if (!gguf_read_size(d, "rope.scaling.original_context_length", m->hyper.trained_context, MAX_POSITIONS,
                        &original) ||
        !gguf_read_float(d, "rope.scaling.yarn_beta_fast", 32, 0, max_cap, &y.fast) ||
        !gguf_read_float(d, "rope.scaling.yarn_beta_slow", 1, 0, max_cap, &y.slow) ||
        !gguf_read_float(d, "rope.scaling.yarn_log_multiplier", 0, 0, max_cap, &log_multiplier))
        return false;
    float usual = yarn_magnitude(factor, 1) / (log_multiplier > 0 ? yarn_magnitude(factor, log_multiplier) : 1);
    return gguf_read_float(d, "rope.scaling.yarn_attn_factor", usual, 0, max_cap, &magnitude) &&
           rope_yarn(m, &y, original, magnitude * times, d->error);
}

/* The share of YaRN: all of it, which files may leave out, or none. */
static bool check_yarn_share(const struct gguf_metadata *d, bool yarn)
{
    float share;
    if (!gguf_read_float(d, "rope.scaling.yarn_ext_factor", -1, -1, max_cap, &share))
        return false;
    bool good = share < 0 || (yarn ? share == 1 : share == 0);
    return good || error_set(d->error, "metadata: %s.rope.scaling.yarn_ext_factor = %g is not supported; expected -1 or "
                                       "%d for this scaling", d->arch, (double)share, yarn);
}

/* Files that say how much but not how mean linearly, as the older key does. */
static bool scale_rope(struct model *m, const struct gguf_metadata *d)
{
    struct gguf_text type;
    float factor, magnitude;
    bool is_long;
    char key[128];
    if (!gguf_string(d->gguf, gguf_key(d, "rope.scaling.type", key), &type, d->error) ||
        !read_factor(d, &factor) || !gguf_read_float(d, "rope.scaling.attn_factor", 1, min_cap, max_cap, &magnitude) ||
        !take_long_factors(m, d, magnitude, &is_long) || (!is_long && !take_factors(m, d)))
        return false;
    bool none = type.data && is(&type, "none"), linear = !type.data || is(&type, "linear");
    bool yarn = type.data && is(&type, "yarn");
    if (is_long && factor != 1 && !none)
        return error_set(d->error, "metadata: %s.rope.scaling.factor = %g beside factors in tensors; expected 1", d->arch,
                         (double)factor);
    if (!check_yarn_share(d, yarn))
        return false;
    if (magnitude != 1)
        m->hyper.rope_magnitude = magnitude;
    if (none || (is_long && (linear || is(&type, "longrope"))))
        return true;
    if (yarn && !is_long)
        return scale_yarn(m, d, factor, magnitude);
    if (linear)
        return factor == 1 || rope_scale(m, &(struct rope_scale){.type = SCALING_LINEAR, .factor = factor}, d->error);
    return error_set(d->error, "metadata: %s = '%.*s'; expected none, linear or yarn, or factors in a "
                               "tensor", key, (int)(type.size < 40 ? type.size : 40), type.data);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

/* An id of the vocabulary, or -1: the tokenizer says what is wrong with another. */
static int32_t read_token(const struct model *m, const struct gguf *gguf, const char *key, int32_t otherwise)
{
    size_t value = SIZE_MAX;
    if (!gguf_has(gguf, key))
        return otherwise;
    bool ok = gguf_size(gguf, key, 0, SIZE_MAX, SIZE_MAX, &value, NULL);
    return ok && value < m->hyper.vocab ? (int32_t)value : -1;
}

/* What a file says of tokens even where its vocabulary cannot be used. Those of SentencePiece may leave out the usual
 * ids. */
static void read_tokens(struct model *m, const struct gguf *gguf)
{
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    struct gguf_text family = {0};
    bool adds = true;
    gguf_string(gguf, "tokenizer.ggml.model", &family, NULL);
    gguf_bool(gguf, "tokenizer.ggml.add_bos_token", true, &adds, NULL);
    bool usual = family.data && is(&family, "llama");
    m->bos = adds ? read_token(m, gguf, "tokenizer.ggml.bos_token_id", usual ? 1 : -1) : -1;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        int32_t id = read_token(m, gguf, ends[i], usual && i == 0 ? 2 : -1);
        if (id >= 0)
            m->ends[m->end_count++] = id;
    }
}

/* Rows of the embedding count, as in llama.cpp where the file has a tokenizer. */
static void note_vocabulary(struct model *m, const struct gguf_metadata *d)
{
    char key[128];
    size_t said = m->hyper.vocab;
    gguf_key(d, "vocab_size", key);
    if (gguf_has(d->gguf, key) && gguf_size(d->gguf, key, 0, SIZE_MAX, said, &said, NULL) && said != m->hyper.vocab)
        model_add_note(m, "metadata: %s = %zu, but token_embd.weight has %zu rows, which count", key, said,
                       m->hyper.vocab);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool build(struct model *m, const struct gguf *gguf, struct error *error)
{
    struct gguf_text name;
    const struct naming naming = {.gguf = true, .prefix = ""};
    if (!gguf_check_type(gguf, error) || !gguf_string(gguf, "general.architecture", &name, error))
        return false;
    if (!name.data)
        return error_set(error, "metadata: general.architecture is missing");
    const struct arch *a = arch_by_gguf(name.data, name.size, error);
    if (!a)
        return false;
    if (m->files.count == 0)
        return error_set(error, "the file has no tensors: it holds a vocabulary only");
    if (a->which_gguf)
        a = a->which_gguf(m);
    struct gguf_metadata d = {gguf, a->gguf, error};
    if (!gguf_keys_check(gguf, a, error) || !read_hyper(&d, a, &m->hyper))
        return false;
    m->hyper.vocab = assemble_vocab(m, a, &naming);
    if (m->hyper.vocab == 0)
        return error_set(error, "tensor token_embd.weight is missing or not a matrix");
    note_vocabulary(m, &d);
    read_tokens(m, gguf);
    return (!a->read_gguf || a->read_gguf(&d, m)) && hyper_check(&m->hyper, "metadata", error) && scale_rope(m, &d) &&
           model_make_layers(m, error) && (!a->shape_gguf || a->shape_gguf(&d, m)) && assemble(m, a, &naming, error);
}

static bool gguf_probe(const char *path, const uint8_t *data, size_t size)
{
    (void)path;
    return data && size >= 4 && memcmp(data, "GGUF", 4) == 0;
}

static bool gguf_open(struct model *m, const char *path, struct error *error)
{
    struct gguf *gguf = gguf_read(&m->files, path, error);
    bool ok = gguf && build(m, gguf, error);
    gguf_close(gguf);
    return ok;
}

const struct format gguf_format = {"GGUF", "a GGUF file", .probe = gguf_probe, .open = gguf_open};
