/* Models as Hugging Face keeps them: config.json beside weights in safetensors or PyTorch's pickles; and
 * GPT-2 checkpoints of llm.c, which share their names. */
#include "arch_rows.h"
#include "assemble.h"
#include "base/words.h"
#include "format.h"
#include "hf_config.h"
#include "formats/foreign.h"
#include "formats/llmc.h"
#include "formats/pickle.h"
#include "formats/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char config_name[] = "config.json";

static bool folder_has(const char *path, const char *name)
{
    char *file = path_beside(path, name);
    bool there = file && access(file, F_OK) == 0;
    free(file);
    return there;
}

/* ---- names ----------------------------------------------------------------------------------- */

/* How checkpoints of a model with a head, of a bare one, and of one within another begin their names. */
static const struct {
    const char *before;
    bool own;         /* the architecture's own prefix follows, else its last part */
    const char *head;
} prefixes[] = {
    {"", true, ""},
    {"", false, ""},
    {"language_model.", true, "language_model."},
    {"language_model.", false, ""},
    {"model.language_model.", false, ""},
    {"model.text_model.", false, ""},
};

/* Whether names that begin so are there. */
static bool any_tensor(const struct model *m, const struct arch *a, const struct naming *n)
{
    return naming_find(m, a, n, ROLE_EMBEDDING, -1) || naming_find(m, a, n, ROLE_OUTPUT_NORM, -1) ||
           naming_find(m, a, n, ROLE_ATTN_NORM, 0);
}

/* What is left of an architecture's prefix without its first part, the name of the bare model. */
static const char *bare_prefix(const struct arch *a)
{
    return a->hf_prefix + strcspn(a->hf_prefix, ".") + (strchr(a->hf_prefix, '.') != NULL);
}

/* The first of the prefixes that is there, else the first. */
static void find_prefix(const struct model *m, const struct arch *a, struct naming *n, char prefix[64])
{
    size_t count = sizeof prefixes / sizeof *prefixes;
    n->prefix = prefix;
    for (size_t i = 0; i <= count; i++) {
        size_t k = i < count ? i : 0;
        snprintf(prefix, 64, "%s%s", prefixes[k].before, prefixes[k].own ? a->hf_prefix : bare_prefix(a));
        n->head_prefix = prefixes[k].head;
        if (any_tensor(m, a, n))
            return;
    }
}

/* ---- what is said twice ---------------------------------------------------------------------- */

static bool same_tensor(const struct entry *a, const struct entry *b)
{
    return a->dtype == b->dtype && a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0;
}

/* What transformers does: where a head is there that config.json ties to a table of other values, it is not tied;
 * where only the head is there, it is the table, too. */
static bool resolve_head(struct model *m, const struct arch *a, struct naming *n, struct error *error)
{
    const struct entry *head = naming_find(m, a, n, ROLE_OUTPUT, -1);
    const struct entry *table = naming_find(m, a, n, ROLE_EMBEDDING, -1);
    if (!m->tied && !head)
        return error_set(error, "tensor %s is missing, and config.json does not tie it to the embedding "
                                "(tie_word_embeddings)", (*a->hf_names)[ROLE_OUTPUT]);
    if (!m->tied || !head)
        return true;
    n->head_embeds = !table;
    if (table && !same_tensor(head, table)) {
        m->tied = false;
        model_add_note(m, "%s is not the embedding that config.json ties it to: both are used", head->name);
    }
    return true;
}

/* Biases that an architecture has where config.json says so. */
static bool check_biases(const struct model *m, const struct arch *a, const struct naming *n, bool asked,
                         struct error *error)
{
    char name[NAMING_MAX];
    enum role role = a->required & ROLE_BIT(ROLE_ATTN_QKV) ? ROLE_ATTN_QKV_BIAS : ROLE_ATTN_Q_BIAS;
    const struct entry *bias = naming_find(m, a, n, role, 0);
    if (!(a->hf_biased || a->optional & ROLE_BIT(ROLE_ATTN_OUT_BIAS)) || (bias != NULL) == asked)
        return true;
    if (bias)
        return error_set(error, "tensor %s is there, but config.json does not say %s = true", bias->name,
                         hf_biased_key(a));
    naming_name(a, n, role, 0, -1, name);
    return error_set(error, "config.json: %s = true, but tensor %s is missing", hf_biased_key(a), name);
}

/* Those that the architecture has a key of their own for. */
static bool check_other_biases(const struct model *m, const struct arch *a, const struct naming *n, const bool *asked,
                               struct error *error)
{
    for (size_t i = 0; a->hf_reads && i < HF_BIASES; i++) {
        char name[NAMING_MAX];
        const struct entry *bias = naming_find(m, a, n, hf_biases[i].role, 0);
        if (!words_have(a->hf_reads, hf_biases[i].key) || (bias != NULL) == asked[i])
            continue;
        naming_name(a, n, hf_biases[i].role, 0, -1, name);
        return error_set(error, "config.json: %s = %s, but tensor %s is %s", hf_biases[i].key, asked[i] ? "true" : "false",
                         name, asked[i] ? "missing" : "there");
    }
    return true;
}

/* ---- a model --------------------------------------------------------------------------------- */

static bool build(struct model *m, const struct arch *a, const struct hf_asked *asked, struct error *error)
{
    char prefix[64];
    struct naming naming = {.transposed = a->transposed, .norms_from_one = a->norms_from_one,
                            .packing = asked->packing};
    find_prefix(m, a, &naming, prefix);
    return packing_check_bytes(&m->files, asked->packing, error) && resolve_head(m, a, &naming, error) &&
           check_biases(m, a, &naming, asked->attention_bias, error) &&
           check_other_biases(m, a, &naming, asked->biases, error) &&
           (!a->complete_hf || a->complete_hf(m, prefix, error)) && assemble(m, a, &naming, error);
}

typedef bool read_fn(struct catalog *, const char *, struct error *);

/* Reads the weights, none of which may be named as no model's are. */
static bool read_named(struct model *m, const char *path, read_fn *read, struct error *error)
{
    if (!read(&m->files, path, error))
        return false;
    for (size_t i = 0; i < m->files.count; i++)
        if (!foreign_check_tensor(m->files.entries[i].name, error))
            return false;
    return true;
}

/* A refusal says what was assumed. */
static bool add_note(const struct model *m, struct error *error)
{
    struct error why = *error;
    return *m->note ? error_set(error, "%.300s (%.200s)", why.text, m->note) : false;
}

static void read_generation(struct model *m, const char *path)
{
    char *file = path_beside(path, "generation_config.json");
    if (file)
        hf_generation_read(m, file);
    free(file);
}

static bool open_with(struct model *m, const char *path, read_fn *read, struct error *error)
{
    struct hf_asked asked = {0};
    char *config = path_beside(path, config_name);
    bool alone = config && access(config, F_OK) != 0; /* as adapters are, whose names tell */
    if (!config)
        return error_set(error, "not enough memory");
    const struct arch *a = NULL;
    if (!alone || read_named(m, path, read, error))
        a = hf_config_read(m, config, &asked, error);
    free(config);
    if (a)
        read_generation(m, path);
    return (a && read_named(m, path, read, error) && build(m, a, &asked, error)) || add_note(m, error);
}

/* ---- safetensors ----------------------------------------------------------------------------- */

static bool probe_safetensors(const char *path, const uint8_t *data, size_t size)
{
    if (data)
        return safetensors_probe(data, size);
    return folder_has(path, "model.safetensors") || folder_has(path, "model.safetensors.index.json");
}

static bool open_safetensors(struct model *m, const char *path, struct error *error)
{
    return open_with(m, path, safetensors_read, error);
}

const struct format safetensors_format = {"safetensors", "a safetensors file or folder", config_name,
                                          probe_safetensors, open_safetensors};

/* ---- PyTorch --------------------------------------------------------------------------------- */

static bool probe_pytorch(const char *path, const uint8_t *data, size_t size)
{
    if (data)
        return pickle_probe(data, size);
    return folder_has(path, "pytorch_model.bin") || folder_has(path, "pytorch_model.bin.index.json");
}

static bool open_pytorch(struct model *m, const char *path, struct error *error)
{
    return open_with(m, path, pickle_read, error);
}

const struct format pytorch_format = {"pytorch", "a pytorch_model.bin", config_name, probe_pytorch,
                                      open_pytorch};

/* ---- llm.c ----------------------------------------------------------------------------------- */

static bool probe_llmc(const char *path, const uint8_t *data, size_t size)
{
    (void)path;
    return data && llmc_probe(data, size);
}

static bool open_llmc(struct model *m, const char *path, struct error *error)
{
    struct llmc found;
    const struct arch *a = &arch_gpt2;
    if (!llmc_read(&m->files, path, &found, error))
        return false;
    m->hyper = (struct hyper){
        .dim = found.channels,
        .hidden = 4 * found.channels,
        .layers = found.layers,
        .heads = found.heads,
        .kv_heads = found.heads,
        .head_size = found.channels / found.heads,
        .vocab = found.vocab,
        .trained_context = found.context,
        .norm_eps = 1e-5f,
    };
    if ((size_t)a->defaults.bos < found.vocab)
        m->bos = m->ends[m->end_count++] = a->defaults.bos; /* which also ends a text */
    arch_apply(a, false, &m->hyper);
    return hyper_check(&m->hyper, "llm.c header", error) &&
           assemble(m, a, &(struct naming){.prefix = ""}, error);
}

const struct format llmc_format = {"llm.c", "a GPT-2 checkpoint of llm.c", .probe = probe_llmc, .open = open_llmc};
