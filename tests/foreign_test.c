/* Files and folders that hold no model though people open them as one: each is refused with what it is and what to
 * do. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "folderwork.h"
#include "archfolder.h"
#include "formats/foreign.h"
#include "model/model.h"
#include "tokenizer/tokenizer.h"
#include "support.h"
#include "weightcheck.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void refuse(const char *path, const char *says)
{
    struct error error = {"(no message)"};
    struct model *m = model_open(path, &error);
    if (m)
        fail_msg("%s was opened; expected a refusal that says '%s'", path, says);
    check_line(&error, says);
    if (!strstr(error.text, path))
        fail_msg("'%s' does not name the path", error.text);
}

#define BYTES(TEXT) TEXT, sizeof(TEXT) - 1
#define POINTER "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123456\n"

static const struct {
    const char *bytes;
    size_t size;
    const char *says;
} files[] = {
    {BYTES(POINTER), "is a Git LFS pointer, not the file that it stands for: fetch that with git lfs pull"},
    {BYTES("<!DOCTYPE html>\n<html><body>Not found</body></html>"), "is a web page: the download went wrong"},
    {BYTES("\xef\xbb\xbf\n<!doctype html><title>Not found</title>"), "is a web page"},
    {BYTES("<html><head></head></html>"), "is a web page"},
    {BYTES("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>"), "is XML, perhaps a server's error"},
    {BYTES("\x08\x07\x12\x07pytorch\x1a\x05" "2.1.0:\x90\x01"), "is an ONNX model; expected a GGUF file"},
    {BYTES("\x08\x08:\xf3\x06\n\x12\n\x01x\x12\x01y\x1a\x04node"), "is an ONNX model"},
    {BYTES("\xe0\x00\x00\x00\x13\x00\x00\x00" "blk.0.attn_k.weight\x02\x00\x00\x00\x80\x00\x00\x00................"
           "................................................"), "is an importance matrix (imatrix)"},
    {BYTES("tjgg\x03\x00\x00\x00\x00\x7d\x00\x00"), "is a GGML file of before GGUF"},
    {BYTES("algg\x01\x00\x00\x00\x10\x00\x00\x00"), "is an adapter (LoRA) of before GGUF"},
    {BYTES("\x93NUMPY\x01\x00"), "is an array of NumPy"},
    {BYTES("\x89HDF\r\n\x1a\n\x00\x00"), "is an HDF5 file"},
    {BYTES("\x1f\x8b\x08\x00\x00\x00\x00\x00"), "is compressed by gzip"},
    {BYTES("{\"model_type\": \"llama\"}"), "is JSON, which describes a model or a tokenizer: open the folder"},
    {BYTES(" {\n  \"weight_map\": {}\n}"), "is JSON, which describes a model"},
};

/* The length of a header that begins as a mark does. */
static void test_lengths(void **state)
{
    (void)state;
    static const char *const lengths[] = {"\x1f\x8b\x08\0\0\0\0\0", "BZh\0\0\0\0\0", "\x08\x07\x3a\0\0\0\0\0"};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct error error;
        uint8_t data[64] = {0};
        memcpy(data, lengths[i], 8);
        memset(data + 8, ' ', sizeof data - 8);
        assert_false(foreign_check(data, sizeof data, &error));
        data[8] = '{';
        assert_true(foreign_check(data, sizeof data, &error));
    }
}

static void test_files(void **state)
{
    (void)state;
    char *path = path_in(folder, "model.bin");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        write_file(path, files[i].bytes, files[i].size);
        refuse(path, files[i].says);
    }
    free(path);
}

/* The weights, the configuration or the index of a folder is a pointer. */
static void test_pointers_in_a_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"model.safetensors", "pytorch_model.bin", "model.safetensors.index.json"};
    struct bytes config = arch_config("llama");
    for (size_t i = 0; i < 3; i++) {
        char *place = folder_make();
        folder_write(place, "config.json", config.data, config.size);
        folder_write(place, names[i], BYTES(POINTER));
        refuse(place, "is a Git LFS pointer");
        folder_remove(place);
    }
    char *place = folder_make();
    folder_link_weights(place, "llama", "model.safetensors");
    folder_write(place, "config.json", BYTES(POINTER));
    refuse(place, "config.json: is a Git LFS pointer");
    folder_remove(place);
    bytes_free(&config);
}

static void test_folders(void **state)
{
    (void)state;
    static const struct {
        const char *name, *says;
    } cases[] = {
        {"adapter_config.json", "is an adapter (LoRA), not a model: merge it into its base model"},
        {"adapter_model.safetensors", "is an adapter (LoRA)"},
        {"model-q4.gguf", "is a folder with GGUF files: open one of them"},
        {"model.onnx", "is a folder with an ONNX model"},
        {"tf_model.h5", "is a folder with weights of TensorFlow"},
        {"flax_model.msgpack", "is a folder with weights of Flax"},
        {"model_index.json", "is a pipeline of Diffusers"},
        {"weights.safetensors", "no model.safetensors: open the file itself"},
        {"notes.txt", "is a directory without a model; expected model.safetensors"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *place = folder_make();
        folder_write(place, "config.json", "{}", 2);
        folder_write(place, cases[i].name, "some", 4);
        refuse(place, cases[i].says);
        folder_remove(place);
    }
}

static void remove_file(const char *place, const char *name)
{
    char *path = path_in(place, name);
    assert_int_equal(unlink(path), 0);
    free(path);
}

/* A weight of a name that says where it comes from, beside a good configuration. */
static void test_tensors(void **state)
{
    (void)state;
    static const struct {
        const char *name, *says;
    } cases[] = {
        {"_orig_mod.model.embed_tokens.weight",
         "is of a compiled model (torch.compile): save model._orig_mod.state_dict()"},
        {"module.model.embed_tokens.weight", "is of a model within DataParallel or DeepSpeed: save model.module"},
        {"module._orig_mod.model.norm.weight", "is of a compiled model"},
        {"base_model.model.model.norm.weight", "save what merge_and_unload() gives"},
        {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "is an adapter (LoRA), not a model"},
        {"model.layers.0.self_attn.q_proj.base_layer.weight", "is of a model with adapters (PEFT)"},
        {"_fsdp_wrapped_module.model.norm.weight", "is of a model within FSDP"},
    };
    struct bytes config = arch_config("llama");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *place = folder_make(), says[256];
        struct writing *w = calloc(1, sizeof *w);
        const struct entry e = {.dimensions = 1, .shape = {2}};
        assert_non_null(w);
        writing_put(w, cases[i].name, "F32", &e, (const float[]){1, 2}, 8);
        writing_write(place, w);
        folder_write(place, "config.json", config.data, config.size);
        snprintf(says, sizeof says, "tensor %s", cases[i].name);
        refuse(place, says);
        refuse(place, cases[i].says);
        remove_file(place, "config.json"); /* which is not beside the weights of an adapter */
        refuse(place, cases[i].says);
        folder_remove(place);
        free(w);
    }
    bytes_free(&config);
}

/* A tokenizer beside a model is a pointer, too. */
static void test_tokenizer(void **state)
{
    (void)state;
    struct error error = {"(no message)"};
    char *path = path_in(folder, "tokenizer.json");
    write_file(path, POINTER, sizeof POINTER - 1);
    assert_null(tokenizer_open(path, &error));
    check_line(&error, "is a Git LFS pointer");
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_pointers_in_a_folder),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_tokenizer),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
