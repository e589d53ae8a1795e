/* Models as Hugging Face keeps them: config.json beside weights in safetensors or PyTorch's pickles; and
 * GPT-2 checkpoints of llm.c, which share their names. */
#include "arch_rows.h"
#include "format.h"
#include "hf_config.h"
#include "formats/llmc.h"
#include "formats/pickle.h"
#include "formats/safetensors.h"

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

/* Checkpoints of a bare model and of one with a head differ in what comes before the names. */
static const char *find_prefix(const struct model *m, const struct arch *a)
{
    static const char *const prefixes[] = {"", "transformer.", "language_model."};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (assemble_vocab(m, a, &(struct naming){.prefix = prefixes[i]}) > 0)
            return prefixes[i];
    return "";
}

static bool build(struct model *m, const struct arch *a, struct error *error)
{
    const struct naming naming = {.prefix = find_prefix(m, a),
                                  .transposed = a->transposed,
                                  .norms_from_one = a->norms_from_one};
    if (!m->tied && !assemble_has_head(m, a, &naming))
        return error_set(error, "tensor %s is missing, and config.json does not tie it to the embedding "
                                "(tie_word_embeddings)", (*a->hf_names)[ROLE_OUTPUT]);
    return assemble(m, a, &naming, error);
}

static bool open_with(struct model *m, const char *path,
                      bool (*read)(struct catalog *, const char *, struct error *),
                      struct error *error)
{
    char *config = path_beside(path, config_name);
    const struct arch *a = NULL;
    if (!config)
        error_set(error, "not enough memory");
    else
        a = hf_config_read(m, config, error);
    free(config);
    return a && read(&m->files, path, error) && build(m, a, error);
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
    arch_apply(a, false, &m->hyper);
    return hyper_check(&m->hyper, "llm.c header", error) &&
           assemble(m, a, &(struct naming){.prefix = ""}, error);
}

const struct format llmc_format = {"llm.c", "a GPT-2 checkpoint of llm.c", .probe = probe_llmc, .open = open_llmc};
