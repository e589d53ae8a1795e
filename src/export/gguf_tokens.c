/* Tokenizers as GGUF has them (ggml's docs/gguf.md, "Tokenizer"). */
#include "gguf_put.h"
#include "token_losses.h"

#include <stdlib.h>

#define KEY(name) "tokenizer.ggml." name

struct tokens_out {
    struct export *job;
    struct gguf_out *out;
    size_t rows; /* of the embedding table */
};

/* Rows of the table beyond the tokens: as llama.cpp's converter names them, unless a token has that name. */
static void padding_name(char out[32], const struct vocabulary *v, size_t id)
{
    int n = snprintf(out, 32, "[PAD%zu]", id);
    bool taken = false;
    for (size_t i = 0; i < v->count; i++)
        taken = taken || (v->pieces[i].size == (size_t)n && memcmp(v->pieces[i].text, out, (size_t)n) == 0);
    if (taken)
        snprintf(out, 32, "[[PAD%zu]]", id);
}

/* Some files have the unknown token among those that control. */
static uint32_t type_of(const struct vocabulary *v, size_t id)
{
    if (id >= v->count)
        return TOKEN_UNUSED;
    bool unknown = v->model == VOCABULARY_SPM && (int32_t)id == v->unknown;
    return unknown ? TOKEN_UNKNOWN : v->pieces[id].type;
}

static void put_pieces(const struct tokens_out *t, const struct vocabulary *v)
{
    gguf_key_array(t->out, KEY("tokens"), GGUF_STRING, t->rows);
    for (size_t i = 0; i < v->count; i++)
        gguf_put_text(t->out, v->pieces[i].text, v->pieces[i].size);
    for (size_t i = v->count; i < t->rows; i++) {
        char name[32];
        padding_name(name, v, i);
        gguf_put_text(t->out, name, strlen(name));
    }
    gguf_key_array(t->out, KEY("token_type"), GGUF_INT32, t->rows);
    for (size_t i = 0; i < t->rows; i++)
        gguf_put_u32(t->out, type_of(v, i));
}

/* ---- scores ---------------------------------------------------------------------------------- */

/* Texts of two parts, in the order of bytes. */
static int compare_text(const void *a, const void *b)
{
    const struct vocabulary_piece *const *p = a, *const *q = b;
    size_t n = (*p)->size < (*q)->size ? (*p)->size : (*q)->size;
    int order = n ? memcmp((*p)->text, (*q)->text, n) : 0;
    return order ? order : ((*p)->size > (*q)->size) - ((*p)->size < (*q)->size);
}

static const struct vocabulary_piece *find_made(const struct vocabulary_piece **sorted, size_t count,
                                                const struct merge *m)
{
    char text[1024];
    size_t n = (size_t)m->left_size + m->right_size;
    if (n > sizeof text)
        return NULL;
    memcpy(text, m->left, m->left_size);
    memcpy(text + m->left_size, m->right, m->right_size);
    const struct vocabulary_piece key = {.text = text, .size = (uint32_t)n}, *pointer = &key;
    const struct vocabulary_piece **found = bsearch(&pointer, sorted, count, sizeof *sorted, compare_text);
    return found ? *found : NULL;
}

/* SentencePiece's order of merging, from a file that has it as a list: what is made earlier scores higher. */
static bool scores_of_merges(const struct vocabulary *v, float *scores)
{
    const struct vocabulary_piece **sorted = malloc((v->count + 1) * sizeof *sorted);
    float next = 0;
    for (size_t i = 0; sorted && i < v->count; i++) {
        sorted[i] = &v->pieces[i];
        scores[i] = -(float)v->merge_count - 1;
    }
    if (sorted)
        qsort(sorted, v->count, sizeof *sorted, compare_text);
    for (size_t i = 0; sorted && i < v->merge_count; i++) {
        const struct vocabulary_piece *made = find_made(sorted, v->count, &v->merges[i]);
        float *score = made ? &scores[made - v->pieces] : NULL;
        if (score && *score < -(float)v->merge_count)
            *score = -next++;
    }
    free(sorted);
    return sorted != NULL;
}

static bool put_scores(const struct tokens_out *t, const struct vocabulary *v, struct error *error)
{
    float *scores = calloc(t->rows + 1, sizeof *scores);
    bool ok = scores && (v->merge_count == 0 || scores_of_merges(v, scores));
    if (!ok) {
        free(scores);
        return error_set(error, "not enough memory");
    }
    gguf_key_array(t->out, KEY("scores"), GGUF_FLOAT32, t->rows);
    for (size_t i = 0; i < t->rows; i++) {
        float score = i >= v->count ? 0 : v->merge_count ? scores[i] : v->pieces[i].score;
        gguf_put_u32(t->out, float_bits(score));
    }
    free(scores);
    return true;
}

/* ---- byte-level BPE -------------------------------------------------------------------------- */

static bool put_merges(const struct tokens_out *t, const struct vocabulary *v, struct error *error)
{
    char name[32];
    if (!pretokenizer_name(v, name))
        return error_set(error, "the tokenizer cuts texts into words in a way that GGUF has no name for; "
                                "expected one of a model that llama.cpp knows (-z FILE names another)");
    gguf_key_text(t->out, KEY("pre"), name);
    gguf_key_array(t->out, KEY("merges"), GGUF_STRING, v->merge_count);
    for (size_t i = 0; i < v->merge_count; i++) {
        const struct merge *m = &v->merges[i];
        gguf_put_u64(t->out, (uint64_t)m->left_size + m->right_size + 1);
        fwrite(m->left, 1, m->left_size, t->out->file);
        fputc(' ', t->out->file);
        fwrite(m->right, 1, m->right_size, t->out->file);
    }
    return true;
}

/* ---- all ------------------------------------------------------------------------------------- */

static void put_id(const struct tokens_out *t, const char *key, int32_t id)
{
    if (id >= 0)
        gguf_key_u32(t->out, key, (uint32_t)id);
}

static bool put_vocabulary(void *arg, const struct vocabulary *v, const char *note, struct error *error)
{
    struct tokens_out *t = arg;
    bool spm = v->model == VOCABULARY_SPM;
    (void)note; /* said when the tokenizer was opened */
    if (!vocabulary_check_texts(v, error) || !token_losses(t->job, v, error))
        return false;
    if (v->count > t->rows)
        return error_set(error, "%zu tokens; the model's vocabulary has %zu", v->count, t->rows);
    gguf_key_text(t->out, KEY("model"), spm ? "llama" : "gpt2");
    put_pieces(t, v);
    if (!(spm ? put_scores(t, v, error) : put_merges(t, v, error)))
        return false;
    put_id(t, KEY("bos_token_id"), v->bos);
    put_id(t, KEY("eos_token_id"), v->eos);
    put_id(t, KEY("unknown_token_id"), v->unknown);
    gguf_key_bool(t->out, KEY("add_bos_token"), v->add_bos);
    gguf_key_bool(t->out, KEY("add_eos_token"), v->add_eos);
    if (spm || v->space_prefix != SPACE_NEVER)
        gguf_key_bool(t->out, KEY("add_space_prefix"), v->space_prefix != SPACE_NEVER);
    return true;
}

bool gguf_put_tokenizer(struct export *job, struct gguf_out *out, struct error *error)
{
    struct tokens_out t = {job, out, job->plan.model->hyper.vocab};
    if (job->plan.tokenizer_path)
        return vocabulary_visit(job->plan.tokenizer_path, put_vocabulary, &t, error);
    const struct model *m = job->plan.model;
    gguf_key_text(out, KEY("model"), "no_vocab");
    if (m->bos >= 0)
        gguf_key_u32(out, KEY("bos_token_id"), (uint32_t)m->bos);
    if (m->end_count > 0)
        gguf_key_u32(out, KEY("eos_token_id"), (uint32_t)m->ends[0]);
    export_note_add(job, "there is no tokenizer beside the model, so none is in the file (-z FILE names one)");
    return true;
}
