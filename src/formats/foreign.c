#include "foreign.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WEIGHTS "expected a GGUF file, a folder with model.safetensors, or another file of weights"
#define ADAPTER "is an adapter (LoRA), not a model: merge it into its base model and open the result"

/* ---- by first bytes -------------------------------------------------------------------------- */

/* So many bytes at a place; the rest of a row says what it means. */
static const struct signature {
    size_t at;
    const char *bytes;
    size_t size;
    const char *says;
} signatures[] = {
#define AT(WHERE, BYTES, SAYS) {(WHERE), (BYTES), sizeof(BYTES) - 1, (SAYS)}
    AT(0, "version https://git-lfs.github.com/spec/",
       "is a Git LFS pointer, not the file that it stands for: fetch that with git lfs pull"),
    AT(0, "<?xml", "is XML, perhaps a server's error: the download went wrong; fetch the file itself"),
    AT(0, "lmgg", "is a GGML file of before GGUF: convert the original model anew"),
    AT(0, "fmgg", "is a GGML file of before GGUF: convert the original model anew"),
    AT(0, "tjgg", "is a GGML file of before GGUF: convert the original model anew"),
    AT(0, "algg", "is an adapter (LoRA) of before GGUF, not a model: open the base model"),
    AT(0, "\x93NUMPY", "is an array of NumPy; " WEIGHTS),
    AT(0, "\x89HDF\r\n\x1a\n", "is an HDF5 file (Keras, TensorFlow); " WEIGHTS),
    AT(0, "\x1f\x8b", "is compressed by gzip: unpack it first"),
    AT(0, "\xfd" "7zXZ", "is compressed by xz: unpack it first"),
    AT(0, "\x28\xb5\x2f\xfd", "is compressed by zstd: unpack it first"),
    AT(0, "BZh", "is compressed by bzip2: unpack it first"),
    AT(0, "\x7f" "ELF", "is a program; " WEIGHTS),
    AT(0, "%PDF", "is a PDF document; " WEIGHTS),
    AT(4, "TFL3", "is a TensorFlow Lite model; " WEIGHTS),
    AT(257, "ustar", "is a tar archive: unpack it first"),
#undef AT
};

static bool begins(const uint8_t *data, size_t size, const struct signature *s)
{
    return size >= s->at + s->size && memcmp(data + s->at, s->bytes, s->size) == 0;
}

/* Blanks and a byte order mark before what counts. */
static size_t skip_blanks(const uint8_t *data, size_t size)
{
    size_t at = size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < size && data[at] && strchr(" \t\r\n", data[at]))
        at++;
    return at;
}

static bool is_web_page(const uint8_t *data, size_t size)
{
    static const char *const tags[] = {"<!doctype", "<html", "<head"};
    size_t at = skip_blanks(data, size);
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (size - at >= strlen(tags[i]) && strncasecmp((const char *)data + at, tags[i], strlen(tags[i])) == 0)
            return true;
    return false;
}

static uint32_t u32_at(const uint8_t *data, size_t at)
{
    uint32_t v;
    memcpy(&v, data + at, sizeof v);
    return v;
}

/* ONNX is a protocol buffer without a mark: its version (field 1, up to 255), then the length and name of the program
 * that wrote it (field 2), or the graph (field 7). */
static bool is_onnx(const uint8_t *data, size_t size)
{
    return size >= 16 && data[0] == 0x08 && data[1] > 0 && data[1] < 0x20 &&
           ((data[2] == 0x12 && data[3] > 0 && data[3] < 64 && data[4] >= 'A' && data[4] <= 'z') || data[2] == 0x3a);
}

/* An importance matrix of llama.cpp of before GGUF: how many, then the length of the first tensor's name and it. */
static bool is_imatrix(const uint8_t *data, size_t size)
{
    enum { HEAD = 8, LONGEST = 64 };
    if (size < HEAD + LONGEST || u32_at(data, 0) == 0 || u32_at(data, 0) > 1 << 20)
        return false;
    size_t n = u32_at(data, 4);
    const char *name = (const char *)data + HEAD;
    return n >= 10 && n <= LONGEST && memcmp(name + n - 7, ".weight", 7) == 0 &&
           (memcmp(name, "blk.", 4) == 0 || memcmp(name, "output", 6) == 0);
}

static const struct {
    bool (*is)(const uint8_t *data, size_t size);
    const char *says;
} shapes[] = {
    {is_web_page, "is a web page: the download went wrong; fetch the file itself"},
    {is_onnx, "is an ONNX model; " WEIGHTS},
    {is_imatrix, "is an importance matrix (imatrix), which says how to quantize a model: open the model itself"},
};

/* The length of a safetensors header may be any of those marks. */
static bool is_safetensors(const uint8_t *data, size_t size)
{
    return size > 8 && data[8] == '{' && u32_at(data, 4) == 0;
}

bool foreign_check(const uint8_t *data, size_t size, struct error *error)
{
    if (is_safetensors(data, size))
        return true;
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++)
        if (begins(data, size, &signatures[i]))
            return error_set(error, "%s", signatures[i].says);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (shapes[i].is(data, size))
            return error_set(error, "%s", shapes[i].says);
    return true;
}

/* Blanks, then { and a blank or a quote. */
bool foreign_is_json(const uint8_t *data, size_t size)
{
    size_t at = skip_blanks(data, size);
    return at + 1 < size && data[at] == '{' && data[at + 1] && strchr(" \t\r\n\"}", data[at + 1]);
}

/* ---- by names -------------------------------------------------------------------------------- */

static const struct {
    const char *pattern, *says;
} files[] = {
    {"adapter_config.json", ADAPTER},
    {"adapter_model.*", ADAPTER},
    {"*.gguf", "is a folder with GGUF files: open one of them (of a model in parts any part)"},
    {"*.onnx", "is a folder with an ONNX model; " WEIGHTS},
    {"onnx", "is a folder with an ONNX model; " WEIGHTS},
    {"tf_model.h5", "is a folder with weights of TensorFlow; " WEIGHTS},
    {"flax_model.msgpack", "is a folder with weights of Flax; " WEIGHTS},
    {"saved_model.pb", "is a folder with a model of TensorFlow; " WEIGHTS},
    {"model_index.json", "is a pipeline of Diffusers; open the folder of one of its models"},
    {"*.safetensors", "is a folder with .safetensors files, but no model.safetensors: open the file itself"},
}, tensors[] = {
    {"*.lora_[AB]*", ADAPTER},
    {"*.lora_[ab]", ADAPTER},
    {"*.lora_magnitude_vector*", ADAPTER},
    {"*.lora_embedding_[AB]*", ADAPTER},
    {"*.lora_down.*", ADAPTER},
    {"*.lora_up.*", ADAPTER},
    {"*.lokr_*", ADAPTER},
    {"*.hada_*", ADAPTER},
    {"*.ia3_l*", ADAPTER},
    {"prompt_embeddings", "is of a tuned prompt (PEFT), not a model: open the base model"},
    {"*.base_layer.*", "is of a model with adapters (PEFT): save what merge_and_unload() gives"},
    {"base_model.model.*", "is of a model within PEFT's: save what merge_and_unload() gives"},
    {"*_orig_mod.*", "is of a compiled model (torch.compile): save model._orig_mod.state_dict()"},
    {"module.*", "is of a model within DataParallel or DeepSpeed: save model.module.state_dict()"},
    {"_fsdp_wrapped_module.*", "is of a model within FSDP: save its full state dictionary"},
    {"*._fsdp_wrapped_module.*", "is of a model within FSDP: save its full state dictionary"},
    {"_forward_module.*", "is of a model within Lightning: save the inner model's state dictionary"},
};

/* The first row that a name in the folder is of. */
static const char *find_row(struct dirent *const *entries, int count)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        for (int k = 0; k < count; k++)
            if (fnmatch(files[i].pattern, entries[k]->d_name, 0) == 0)
                return files[i].says;
    return NULL;
}

bool foreign_check_folder(const char *path, struct error *error)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, NULL);
    const char *says = find_row(entries, count);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    if (count >= 0)
        free(entries);
    return !says || error_set(error, "%s", says);
}

bool foreign_check_tensor(const char *name, struct error *error)
{
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
        if (fnmatch(tensors[i].pattern, name, 0) == 0)
            return error_set(error, "tensor %.128s %s", name, tensors[i].says);
    return true;
}
