/* Files of tests/data/families in which one word is another: what is missing or no number of an architecture's own is
 * refused by its name. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/model.h"
#include "modelfile.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char root[] = SRCDIR "/tests/data/families";

/* The first place of a word. */
static uint8_t *find(uint8_t *bytes, size_t size, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= size; i++)
        if (memcmp(bytes + i, word, n) == 0)
            return bytes + i;
    return NULL;
}

/* Copies a file with one word in the place of another one as long. */
static void copy_changed(const char *from, const char *to, const char *word, const char *other)
{
    size_t size;
    uint8_t *bytes = (uint8_t *)read_whole(from, &size);
    assert_non_null(bytes);
    uint8_t *at = word ? find(bytes, size, word) : NULL;
    assert_true(!word || (at && strlen(word) == strlen(other)));
    if (at)
        memcpy(at, other, strlen(other));
    write_file(to, bytes, size);
    free(bytes);
}

/* `says` null: it opens. */
static void check_opening(const char *path, const char *says)
{
    struct error error = {"(no message)"};
    struct model *m = model_open(path, &error);
    if (m && says)
        fail_msg("%s was opened; expected a refusal that says '%s'", path, says);
    if (!m && !says)
        fail_msg("%s", error.text);
    model_close(m);
    if (says && (!strstr(error.text, says) || strchr(error.text, '\n')))
        fail_msg("'%s' does not say '%s'", error.text, says);
}

static const struct {
    const char *family, *word, *other, *says;
} gguf_cases[] = {
    {"apertus", "xielu.alpha_p", "xielu.alpha_x", "metadata: xielu.alpha_p is missing"},
    {"apertus", "xielu.eps", "xielu.epx", "metadata: xielu.eps is missing"},
    {"apertus", "ffn_up.weight", "ffn_ux.weight", "tensor blk.0.ffn_up.weight is missing"},
    {"granite", "granite.logit_scale", "granite.logit_scalx", "metadata: granite.logit_scale is missing"},
    {"glm4", "post_ffw_norm.weight", "post_ffw_norx.weight", "tensor blk.0.post_ffw_norm.weight is missing"},
    {"nemotron", "layer_norm_epsilon", "layer_norm_epsilox", "nemotron.attention.layer_norm_epsilon is missing"},
    {"nemotron", "output_norm.bias", "output_norm.biax", "tensor output_norm.bias is missing"},
    {"seed_oss", "post_attention_norm", "post_attention_norx", "tensor blk.0.post_attention_norm.weight is missing"},
};

static void test_gguf(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof gguf_cases / sizeof *gguf_cases; i++) {
        char from[500];
        char *folder = folder_make(), *to = path_in(folder, "model.gguf");
        snprintf(from, sizeof from, "%s/%s/%s.gguf", root, gguf_cases[i].family, gguf_cases[i].family);
        copy_changed(from, to, gguf_cases[i].word, gguf_cases[i].other);
        check_opening(to, gguf_cases[i].says);
        free(to);
        folder_remove(folder);
    }
}

static const struct {
    const char *family, *file, *word, *other, *says;
} folder_cases[] = {
    {"apertus", "model.safetensors", "1.mlp.act_fn.beta", "1.mlp.act_fn.betx",
     "tensor model.layers.1.mlp.act_fn.beta is missing"},
    {"apertus", "model.safetensors", "0.mlp.act_fn.eps", "0.mlp.act_xn.eps",
     "tensor model.layers.0.mlp.act_fn.eps is missing"},
    {"arcee", "config.json", "\"mlp_bias\": true", "\"mlp_bias\": null",
     "mlp_bias = false, but tensor model.layers.0.mlp.down_proj.bias is there"},
    {"seed_oss", "config.json", "\"attention_out_bias\": true", "\"attention_out_bias\": null",
     "attention_out_bias = false, but tensor model.layers.0.self_attn.o_proj.bias is there"},
    {"glm", "config.json", "\"attention_bias\": true", "\"attention_bias\":false", "does not say attention_bias = true"},
    {"glm4", "config.json", "\"attention_bias\"", "\"attention_biax\"", NULL},
    {"nemotron", "model.safetensors", "model.norm.bias", "model.norm.biax", "tensor model.norm.bias is missing"},
};

static void test_folders(void **state)
{
    static const char *const files[] = {"config.json", "model.safetensors"};
    (void)state;
    for (size_t i = 0; i < sizeof folder_cases / sizeof *folder_cases; i++) {
        char *folder = folder_make(), *family = path_in(root, folder_cases[i].family);
        for (size_t k = 0; k < 2; k++) {
            char *from = path_in(family, files[k]), *to = path_in(folder, files[k]);
            bool changed = strcmp(files[k], folder_cases[i].file) == 0;
            copy_changed(from, to, changed ? folder_cases[i].word : NULL, folder_cases[i].other);
            free(from);
            free(to);
        }
        check_opening(folder, folder_cases[i].says);
        free(family);
        folder_remove(folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gguf), cmocka_unit_test(test_folders)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
