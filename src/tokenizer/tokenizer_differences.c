#include "tokenizer_differences.h"

#include "vocabulary.h"

#include <stdio.h>
#include <string.h>

enum { TOKENS_LISTED = 8 };

struct comparing {
    const struct tokenizer *tokenizers[2];
    const struct vocabulary *first; /* while the second is being read */
    struct tokenizer_differences *out;
};

static void print_number(char out[DIFFERENCE_VALUE], size_t n)
{
    snprintf(out, DIFFERENCE_VALUE, "%zu", n);
}

static bool add_numbers(struct value_differences *list, const char *what, size_t a, size_t b)
{
    char values[2][DIFFERENCE_VALUE];
    print_number(values[0], a);
    print_number(values[1], b);
    return a == b || value_differences_add(list, what, values[0], values[1]);
}

/* -1: there is none. */
static bool add_ids(struct value_differences *list, const char *what, int32_t a, int32_t b)
{
    char values[2][DIFFERENCE_VALUE] = {"none", "none"};
    if (a >= 0)
        print_number(values[0], (size_t)a);
    if (b >= 0)
        print_number(values[1], (size_t)b);
    return a == b || value_differences_add(list, what, values[0], values[1]);
}

static bool add_texts(struct value_differences *list, const char *what, const char *a, const char *b)
{
    return strcmp(a, b) == 0 || value_differences_add(list, what, a, b);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static bool same_piece(const struct vocabulary_piece *a, const struct vocabulary_piece *b)
{
    return a->size == b->size && a->type == b->type && (a->size == 0 || memcmp(a->text, b->text, a->size) == 0);
}

static const char *type_name(enum token_type type)
{
    static const char *const names[] = {[TOKEN_NORMAL] = "normal", [TOKEN_UNKNOWN] = "unknown",
                                        [TOKEN_CONTROL] = "control", [TOKEN_USER_DEFINED] = "user-defined",
                                        [TOKEN_UNUSED] = "unused", [TOKEN_BYTE] = "byte"};
    return type >= TOKEN_NORMAL && type <= TOKEN_BYTE ? names[type] : "unknown type";
}

static void print_piece(const struct vocabulary *v, size_t id, char out[DIFFERENCE_VALUE])
{
    const struct vocabulary_piece *p = id < v->count ? &v->pieces[id] : NULL;
    *out = 0;
    if (p)
        snprintf(out, DIFFERENCE_VALUE, "'%.*s', %s", (int)(p->size < 40 ? p->size : 40), p->size ? p->text : "",
                 type_name(p->type));
}

static bool compare_tokens(const struct vocabulary *a, const struct vocabulary *b, struct tokenizer_differences *out)
{
    size_t most = a->count > b->count ? a->count : b->count;
    bool ok = add_numbers(&out->list, "tokens in the vocabulary", a->count, b->count);
    for (size_t id = 0; ok && id < most; id++) {
        char what[32], values[2][DIFFERENCE_VALUE];
        if (id < a->count && id < b->count && same_piece(&a->pieces[id], &b->pieces[id]))
            continue;
        if (out->tokens++ >= TOKENS_LISTED)
            continue;
        snprintf(what, sizeof what, "token %zu", id);
        print_piece(a, id, values[0]);
        print_piece(b, id, values[1]);
        ok = value_differences_add(&out->list, what, values[0], values[1]);
    }
    return ok;
}

/* ---- merges ---------------------------------------------------------------------------------- */

static bool same_merge(const struct merge *a, const struct merge *b)
{
    return a->left_size == b->left_size && a->right_size == b->right_size &&
           memcmp(a->left, b->left, a->left_size) == 0 && memcmp(a->right, b->right, a->right_size) == 0;
}

static void print_merge(const struct vocabulary *v, size_t i, char out[DIFFERENCE_VALUE])
{
    const struct merge *m = i < v->merge_count ? &v->merges[i] : NULL;
    *out = 0;
    if (m)
        snprintf(out, DIFFERENCE_VALUE, "'%.*s' '%.*s'", (int)(m->left_size < 30 ? m->left_size : 30), m->left,
                 (int)(m->right_size < 30 ? m->right_size : 30), m->right);
}

/* Of those that differ the first is listed. */
static bool compare_merges(const struct vocabulary *a, const struct vocabulary *b, struct tokenizer_differences *out)
{
    size_t most = a->merge_count > b->merge_count ? a->merge_count : b->merge_count;
    bool ok = add_numbers(&out->list, "merges", a->merge_count, b->merge_count);
    for (size_t i = 0; ok && i < most; i++) {
        char what[32], values[2][DIFFERENCE_VALUE];
        if (i < a->merge_count && i < b->merge_count && same_merge(&a->merges[i], &b->merges[i]))
            continue;
        if (out->merges++ > 0)
            continue;
        snprintf(what, sizeof what, "merge %zu", i);
        print_merge(a, i, values[0]);
        print_merge(b, i, values[1]);
        ok = value_differences_add(&out->list, what, values[0], values[1]);
    }
    return ok;
}

/* ---- both ------------------------------------------------------------------------------------ */

static const char *template_name(const struct tokenizer *t)
{
    const struct chat *chat = tokenizer_chat(t);
    return chat->family ? chat->family->name : chat->why;
}

static bool see_second(void *arg, const struct vocabulary *b, const char *note, struct error *error)
{
    static const char *const yes_no[] = {"no", "yes"};
    struct comparing *c = arg;
    const struct vocabulary *a = c->first;
    struct tokenizer_differences *out = c->out;
    struct value_differences *list = &out->list;
    (void)note;
    bool ok = compare_tokens(a, b, out) && compare_merges(a, b, out) && add_ids(list, "BOS token", a->bos, b->bos) &&
              add_ids(list, "EOS token", a->eos, b->eos) && add_ids(list, "unknown token", a->unknown, b->unknown) &&
              add_texts(list, "BOS before a text", yes_no[a->add_bos], yes_no[b->add_bos]) &&
              add_texts(list, "EOS after a text", yes_no[a->add_eos], yes_no[b->add_eos]) &&
              add_texts(list, "chat template", template_name(c->tokenizers[0]), template_name(c->tokenizers[1]));
    return ok || error_set(error, "not enough memory");
}

static bool see_first(void *arg, const struct vocabulary *a, const char *note, struct error *error)
{
    struct comparing *c = arg;
    (void)note;
    c->first = a;
    return vocabulary_visit(tokenizer_path(c->tokenizers[1]), see_second, c, error);
}

bool tokenizer_differences(const struct tokenizer *a, const struct tokenizer *b, struct tokenizer_differences *out,
                           struct error *error)
{
    struct comparing c = {.tokenizers = {a, b}, .out = out};
    *out = (struct tokenizer_differences){0};
    return vocabulary_visit(tokenizer_path(a), see_first, &c, error);
}
