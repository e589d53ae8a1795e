#include "mixes.h"

#include "base/edit_distance.h"
#include "kernels/encode.h"
#include "model/arch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- what rules ask ---------------------------------------------------------------------------------- */

/* What tensors are for; a bit each in rules. */
enum category {
    NONE, /* not quantized */
    OTHER,
    QUERY,
    KEY,
    VALUE, /* Q, K and V in one matrix, too */
    ATTN_OUT,
    GATE,
    UP,
    DOWN,
    EMBEDDING,
    HEAD,
    CATEGORIES
};

/* The category of each role in llama.cpp's files; other roles are not quantized. */
static const unsigned char category_of[ROLE_COUNT] = {
    [ROLE_EMBEDDING] = EMBEDDING, [ROLE_LAYERS_EMBEDDING] = EMBEDDING,
    [ROLE_OUTPUT] = HEAD,         [ROLE_ATTN_QKV] = VALUE,
    [ROLE_ATTN_Q] = QUERY,        [ROLE_ATTN_K] = KEY,
    [ROLE_ATTN_V] = VALUE,        [ROLE_ATTN_OUT] = ATTN_OUT,
    [ROLE_FFN_GATE_UP] = UP,      [ROLE_FFN_GATE] = GATE,
    [ROLE_FFN_UP] = UP,           [ROLE_FFN_DOWN] = DOWN,
    [ROLE_GATE_EXPERTS] = GATE,   [ROLE_UP_EXPERTS] = UP,
    [ROLE_DOWN_EXPERTS] = DOWN,   [ROLE_GATE_SHARED] = GATE,
    [ROLE_UP_SHARED] = UP,        [ROLE_DOWN_SHARED] = DOWN,
    [ROLE_INPUT_GATE] = OTHER,    [ROLE_INPUT_PROJECTION] = OTHER,
};

/* Layers that a rule is for, of the n of a model, i counted from 0. */
enum layers {
    ALL_LAYERS,
    FIRST_2,
    FIRST_4,
    FIRST_16TH, /* i < n / 16 */
    FIRST_8TH,
    MIDDLE,   /* neither the first nor the last eighth */
    MORE_BITS /* the first and the last eighth, and every third between */
};

static bool covers(enum layers which, size_t i, size_t n)
{
    switch (which) {
    case FIRST_2:
        return i < 2;
    case FIRST_4:
        return i < 4;
    case FIRST_16TH:
        return i < n / 16;
    case FIRST_8TH:
        return i < n / 8;
    case MIDDLE:
        return i >= n / 8 && i < 7 * n / 8;
    case MORE_BITS:
        return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
    case ALL_LAYERS:
        break;
    }
    return true;
}

/* Facts of a model, a bit each. */
enum fact {
    GROUPED_4 = 1, /* at least four heads share keys and values */
    EXPERTS_4 = 2, /* at least four */
    EXPERTS_8 = 4, /* exactly eight */
    FALCON = 8,
    IMPORTANCE = 16, /* columns have one */
    OF_70B = 32      /* a Llama 2 70B, and what llama.cpp takes for one */
};

struct mix_rule {
    unsigned categories; /* bits; 0 ends a list */
    enum dtype type;
    enum layers layers;
    unsigned with, without; /* facts that must hold; that must not */
};

/* A row of the table: the first rule that holds decides, else the mix's own type does. */
struct mix {
    const char *name;
    enum dtype type;
    enum dtype embedding; /* where the head is not tied to it; 0 (fp32): the mix's type */
    enum dtype head;      /* and a tied embedding */
    enum dtype experts;   /* of each expert's matrices; 0: as others */
    bool low_bits;        /* 2 bits and less: ffn_down is counted rather than its block, and 70B is nothing special */
    const struct mix_rule *rules;
};

/* ---- the table ----------------------------------------------------------------------------------------- */

#define BIT(CATEGORY) (1u << (CATEGORY))
#define RULES(...)    .rules = (const struct mix_rule[]){__VA_ARGS__, {0}}

/* Of mixtures of eight experts attention is so small that its keys and values are kept in 8 bits. */
#define EXPERTS_8_KV  {BIT(KEY) | BIT(VALUE), .type = DTYPE_Q8_0, .with = EXPERTS_8}
#define EXPERTS_8_OUT {BIT(ATTN_OUT), .type = DTYPE_Q5_K, .with = EXPERTS_8, .without = FALCON}

#define Q3_K_HEAD  .type = DTYPE_Q3_K, .head = DTYPE_Q6_K
#define Q4_K_HEAD  .type = DTYPE_Q4_K, .head = DTYPE_Q6_K
#define IQ3_S_HEAD .type = DTYPE_IQ3_S, .head = DTYPE_Q6_K

/* Types of at most 2.7 bits: what values, the first ffn_down and attention's output have instead. */
#define LOW_BITS(MORE, OUT)                                                                                            \
    .head = DTYPE_Q5_K, .low_bits = true,                                                                              \
    RULES({BIT(VALUE), .type = DTYPE_Q4_K, .with = GROUPED_4}, {BIT(VALUE), .type = DTYPE_Q4_K, .with = EXPERTS_4},    \
          {BIT(VALUE), .type = MORE}, {BIT(KEY), .type = DTYPE_Q4_K, .with = EXPERTS_8},                               \
          {BIT(DOWN), .type = MORE, .layers = FIRST_8TH}, {BIT(ATTN_OUT), .type = DTYPE_Q5_K, .with = EXPERTS_8},      \
          {BIT(ATTN_OUT), .type = OUT})

#define IQ4_RULES                                                                                                      \
    .head = DTYPE_Q6_K, RULES(EXPERTS_8_KV, EXPERTS_8_OUT, {BIT(VALUE), .type = DTYPE_Q5_K, .with = GROUPED_4},        \
                              {BIT(DOWN), .type = DTYPE_Q5_K, .layers = FIRST_8TH, .without = IMPORTANCE})

static const struct mix mixes[] = {
    {"iq1_s", DTYPE_IQ1_S, .embedding = DTYPE_Q2_K, LOW_BITS(DTYPE_Q2_K, DTYPE_IQ2_XXS)},
    {"iq1_m", DTYPE_IQ1_M, .embedding = DTYPE_Q2_K, LOW_BITS(DTYPE_Q2_K, DTYPE_IQ2_XXS)},
    {"iq2_xxs", DTYPE_IQ2_XXS, .embedding = DTYPE_Q2_K, LOW_BITS(DTYPE_Q2_K, DTYPE_IQ2_XXS)},
    {"iq2_xs", DTYPE_IQ2_XS, .embedding = DTYPE_Q2_K, LOW_BITS(DTYPE_Q2_K, DTYPE_IQ2_XS)},
    {"iq2_s", DTYPE_IQ2_XS, .embedding = DTYPE_IQ3_S, LOW_BITS(DTYPE_IQ3_S, DTYPE_IQ3_S)},
    {"iq2_m", DTYPE_IQ2_S, .embedding = DTYPE_IQ3_S, LOW_BITS(DTYPE_IQ3_S, DTYPE_IQ3_S)},
    {"q2_k_s", DTYPE_Q2_K, .head = DTYPE_Q6_K,
     RULES(EXPERTS_8_KV, {BIT(VALUE), .type = DTYPE_Q4_K, .with = GROUPED_4},
           {BIT(DOWN), .type = DTYPE_Q4_K, .layers = FIRST_8TH})},
    {"q2_k", DTYPE_Q2_K, .head = DTYPE_Q6_K,
     RULES(EXPERTS_8_KV, EXPERTS_8_OUT, {BIT(VALUE), .type = DTYPE_Q4_K, .with = GROUPED_4},
           {BIT(VALUE), .type = DTYPE_Q3_K}, {BIT(DOWN), .type = DTYPE_Q3_K},
           {BIT(ATTN_OUT), .type = DTYPE_Q3_K, .without = FALCON})},
    {"iq3_xxs", DTYPE_IQ3_XXS, .embedding = DTYPE_IQ3_S, .head = DTYPE_Q5_K,
     RULES(EXPERTS_8_KV, EXPERTS_8_OUT, {BIT(VALUE), .type = DTYPE_Q4_K, .with = GROUPED_4},
           {BIT(VALUE), .type = DTYPE_IQ3_S, .without = IMPORTANCE}, {BIT(QUERY) | BIT(KEY), .type = DTYPE_IQ2_S},
           {BIT(DOWN), .type = DTYPE_Q4_K, .layers = FIRST_8TH, .without = IMPORTANCE},
           {BIT(DOWN), .type = DTYPE_Q3_K, .without = IMPORTANCE},
           {BIT(ATTN_OUT), .type = DTYPE_IQ3_S, .without = FALCON})},
    {"iq3_xs", IQ3_S_HEAD,
     RULES(EXPERTS_8_KV, EXPERTS_8_OUT, {BIT(VALUE), .type = DTYPE_Q4_K, .with = GROUPED_4},
           {BIT(QUERY) | BIT(KEY), .type = DTYPE_IQ3_XXS},
           {BIT(GATE) | BIT(UP), .type = DTYPE_IQ3_XXS, .layers = MIDDLE})},
    {"iq3_s", IQ3_S_HEAD, RULES(EXPERTS_8_KV, EXPERTS_8_OUT, {BIT(VALUE), .type = DTYPE_Q4_K, .with = GROUPED_4})},
    {"iq3_m", IQ3_S_HEAD,
     RULES(EXPERTS_8_KV, EXPERTS_8_OUT, {BIT(VALUE), .type = DTYPE_Q4_K},
           {BIT(DOWN), .type = DTYPE_Q4_K, .layers = FIRST_8TH},
           {BIT(DOWN), .type = DTYPE_Q4_K, .layers = MORE_BITS, .with = EXPERTS_8},
           {BIT(ATTN_OUT), .type = DTYPE_Q4_K, .without = FALCON})},
    {"q3_k_s", Q3_K_HEAD, RULES(EXPERTS_8_KV, EXPERTS_8_OUT)},
    {"q3_k_m", Q3_K_HEAD,
     RULES(EXPERTS_8_KV, EXPERTS_8_OUT, {BIT(VALUE), .type = DTYPE_Q5_K, .layers = FIRST_2},
           {BIT(VALUE), .type = DTYPE_Q4_K}, {BIT(DOWN), .type = DTYPE_Q5_K, .layers = FIRST_16TH},
           {BIT(DOWN), .type = DTYPE_Q4_K, .layers = MORE_BITS},
           {BIT(DOWN) | BIT(ATTN_OUT), .type = DTYPE_Q4_K, .without = FALCON})},
    {"q3_k_l", Q3_K_HEAD,
     RULES(EXPERTS_8_KV, {BIT(VALUE), .type = DTYPE_Q5_K},
           {BIT(DOWN) | BIT(ATTN_OUT), .type = DTYPE_Q4_K, .with = FALCON}, {BIT(DOWN), .type = DTYPE_Q5_K},
           {BIT(ATTN_OUT), .type = DTYPE_Q5_K, .without = EXPERTS_8})},
    {"iq4_xs", DTYPE_IQ4_XS, IQ4_RULES},
    {"iq4_nl", DTYPE_IQ4_NL, IQ4_RULES},
    {"q4_0", DTYPE_Q4_0, .head = DTYPE_Q6_K,
     RULES(EXPERTS_8_KV, {BIT(DOWN), .type = DTYPE_Q4_1, .layers = FIRST_8TH, .with = IMPORTANCE})},
    {"q4_1", DTYPE_Q4_1, .head = DTYPE_Q6_K, RULES(EXPERTS_8_KV)},
    {"q4_k_s", Q4_K_HEAD,
     RULES(EXPERTS_8_KV, EXPERTS_8_OUT, {BIT(VALUE), .type = DTYPE_Q5_K, .layers = FIRST_4},
           {BIT(DOWN), .type = DTYPE_Q5_K, .layers = FIRST_8TH, .without = FALCON})},
    {"q4_k_m", Q4_K_HEAD,
     RULES(EXPERTS_8_KV, EXPERTS_8_OUT, {BIT(VALUE), .type = DTYPE_Q6_K, .layers = MORE_BITS},
           {BIT(DOWN), .type = DTYPE_Q6_K, .layers = FIRST_16TH},
           {BIT(DOWN), .type = DTYPE_Q5_K, .layers = MORE_BITS, .with = FALCON},
           {BIT(DOWN), .type = DTYPE_Q6_K, .layers = MORE_BITS, .without = FALCON})},
    {"q5_0", DTYPE_Q5_0, .head = DTYPE_Q6_K,
     RULES(EXPERTS_8_KV, {BIT(DOWN), .type = DTYPE_Q5_1, .layers = FIRST_8TH, .with = IMPORTANCE})},
    {"q5_1", DTYPE_Q5_1, .head = DTYPE_Q6_K, RULES(EXPERTS_8_KV)},
    {"q5_k_s", DTYPE_Q5_K, .head = DTYPE_Q6_K, RULES(EXPERTS_8_KV)},
    {"q5_k_m", DTYPE_Q5_K, .head = DTYPE_Q6_K,
     RULES(EXPERTS_8_KV, {BIT(VALUE) | BIT(DOWN), .type = DTYPE_Q6_K, .layers = MORE_BITS})},
    {"q6_k", DTYPE_Q6_K, .head = DTYPE_Q6_K, RULES(EXPERTS_8_KV)},
    {"q8_0", DTYPE_Q8_0, .head = DTYPE_Q8_0, RULES(EXPERTS_8_KV)},
    {"mxfp4_moe", DTYPE_Q8_0, .head = DTYPE_Q8_0, .experts = DTYPE_MXFP4, RULES({0})},
    {"tq1_0", DTYPE_TQ1_0, .embedding = DTYPE_Q4_K, .head = DTYPE_Q6_K, RULES(EXPERTS_8_KV)},
    {"tq2_0", DTYPE_TQ2_0, .embedding = DTYPE_Q4_K, .head = DTYPE_Q6_K, RULES(EXPERTS_8_KV)},
    {"q1_0", DTYPE_Q1_0, .head = DTYPE_Q6_K, RULES(EXPERTS_8_KV)},
    {"q2_0", DTYPE_Q2_0, .embedding = DTYPE_Q4_K, .head = DTYPE_Q6_K, RULES(EXPERTS_8_KV)},
};

enum { MIXES = sizeof mixes / sizeof *mixes };

/* What llama-quantize also calls them. */
static const struct {
    const char *alias, *name;
} aliases[] = {{"q3_k", "q3_k_m"}, {"q4_k", "q4_k_m"}, {"q5_k", "q5_k_m"}};

const struct mix *mix_at(size_t i)
{
    return i < MIXES ? &mixes[i] : NULL;
}

const char *mix_name(const struct mix *mix)
{
    return mix->name;
}

static bool is_called(const char *name, const char *text, size_t n)
{
    return strlen(name) == n && strncasecmp(name, text, n) == 0;
}

static const struct mix *mix_find(const char *text, size_t n)
{
    const char *name = NULL;
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (is_called(aliases[i].alias, text, n))
            name = aliases[i].name;
    for (size_t i = 0; i < MIXES; i++)
        if (name ? strcmp(mixes[i].name, name) == 0 : is_called(mixes[i].name, text, n))
            return &mixes[i];
    return NULL;
}

/* ---- in writing ------------------------------------------------------------------------------------------ */

/* Types of the same name come first: q4_0 is a scheme, @q4_0 the mix. */
static bool is_a_type(const char *text, size_t n)
{
    return dtype_by_name(text, n) != DTYPE_COUNT || dtype_stored_by_name(text, n) != DTYPE_ALL;
}

static bool refuse_name(const char *text, size_t n, struct error *error)
{
    char names[400] = "", given[32];
    if (is_a_type(text + 1, n))
        return error_set(error, "mix '%.64s': %.*s is a type, not a mix; expected it without @", text, (int)n, text + 1);
    size_t nearest = 0, used = 0;
    snprintf(given, sizeof given, "%.*s", (int)(n < sizeof given ? n : sizeof given - 1), text + 1);
    for (size_t i = 0; i < MIXES && used < sizeof names; i++) {
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", mixes[i].name);
        if (edit_distance(given, mixes[i].name) < edit_distance(given, mixes[nearest].name))
            nearest = i;
    }
    return error_set(error, "mix '%.64s': unknown; the nearest is %s; expected one of %s", text, mixes[nearest].name, names);
}

/* The fields after the name, which are those of a scheme of the mix's type. */
static bool parse_fields(const char *text, const char *fields, struct scheme_choice *out, struct error *error)
{
    char scheme[SCHEME_TEXT];
    struct error why;
    int n = snprintf(scheme, sizeof scheme, "%s%s", dtypes[DTYPE_Q8_0].name, fields);
    if (n < 0 || (size_t)n >= sizeof scheme)
        return error_set(error, "mix '%.64s': %zu bytes; expected fewer than %d", text, strlen(text), SCHEME_TEXT);
    if (!scheme_parse(scheme, &out->scheme, &why))
        return error_set(error, "mix '%.64s', as its type q8_0: %.300s", text, why.text);
    return true;
}

/* Adds the type or the mix that a name is nearly that of. */
static bool refuse_scheme(const char *name, size_t n, const struct error *why, struct error *error)
{
    char given[16], names[80] = "";
    snprintf(given, sizeof given, "%.*s", (int)(n < 15 ? n : 15), name);
    for (size_t most = 1; most <= 2 && n < sizeof given && !*names; most++) {
        for (int type = 0; type < DTYPE_ALL && !*names; type++)
            if (edit_distance(given, dtypes[type].name) == most)
                snprintf(names, sizeof names, "; the nearest type is %s", dtypes[type].name);
        for (size_t i = 0, used = strlen(names); i < MIXES && strlen(names) == used; i++)
            if (edit_distance(given, mixes[i].name) == most && !is_a_type(mixes[i].name, strlen(mixes[i].name)))
                snprintf(names + used, sizeof names - used, "; the nearest mix is %s", mixes[i].name);
    }
    return error_set(error, "%.400s%s", why->text, names);
}

bool scheme_choice_parse(const char *text, struct scheme_choice *out, struct error *error)
{
    bool marked = *text == '@';
    const char *name = text + marked;
    size_t n = strcspn(name, "/:");
    bool type = is_a_type(name, n);
    const struct mix *mix = marked || !type ? mix_find(name, n) : NULL;
    struct scheme_choice c = {.mix = mix};
    struct error why;
    if (marked && !mix)
        return refuse_name(text, n, error);
    if (mix ? !parse_fields(text, name + n, &c, error) : !scheme_parse(text, &c.scheme, &why))
        return mix ? false : refuse_scheme(type ? "" : name, type ? 0 : n, &why, error);
    *out = c;
    return true;
}

char *scheme_choice_print(const struct scheme_choice *c, char buffer[SCHEME_TEXT])
{
    char fields[SCHEME_TEXT];
    if (!c->mix)
        return scheme_print(&c->scheme, buffer);
    const char *name = c->mix->name;
    scheme_print(&c->scheme, fields);
    snprintf(buffer, SCHEME_TEXT, "%s%.24s%.160s", is_a_type(name, strlen(name)) ? "@" : "", name,
             fields + strlen(dtypes[c->scheme.format.weight].name));
    return buffer;
}

/* ---- of a model -------------------------------------------------------------------------------------------- */

/* The models that llama.cpp calls 70B by their number of blocks. */
static bool is_70b(const struct model *m)
{
    static const struct {
        const char *arch;
        size_t layers;
    } rows[] = {{"llama", 80}, {"qwen2", 80}, {"olmo", 80}, {"jais2", 68}};
    const char *arch = arch_in_gguf(arch_of(m))->gguf;
    for (size_t i = 0; arch && i < sizeof rows / sizeof *rows; i++)
        if (strcmp(arch, rows[i].arch) == 0 && m->hyper.layers == rows[i].layers)
            return strcmp(arch, "llama") != 0 || m->hyper.heads != m->hyper.kv_heads;
    return false;
}

static unsigned facts_of(const struct model *m, bool importance)
{
    const struct hyper *h = &m->hyper;
    size_t experts = h->mixture.experts, kv_heads = m->layers ? m->layers[0].kv_heads : h->kv_heads;
    const char *arch = arch_in_gguf(arch_of(m))->gguf;
    unsigned facts = importance ? IMPORTANCE : 0;
    facts |= kv_heads > 0 && h->heads / kv_heads >= 4 ? GROUPED_4 : 0;
    facts |= experts >= 4 ? EXPERTS_4 : 0;
    facts |= experts == 8 ? EXPERTS_8 : 0;
    facts |= arch && strcmp(arch, "falcon") == 0 ? FALCON : 0;
    return facts | (is_70b(m) ? OF_70B : 0);
}

static enum category category_of_tensor(const struct model *m, int tensor)
{
    const struct tensor *t = &m->tensors[tensor];
    enum category c = (enum category)category_of[t->role];
    return t->stored.rows < 2 ? NONE : c == EMBEDDING && m->tied ? HEAD : c;
}

bool mix_has(const struct model *m, int tensor)
{
    return tensor < (int)m->tensor_count && category_of_tensor(m, tensor) != NONE;
}

/* Of a model's tensors, one after the other. */
struct counts {
    unsigned facts;
    size_t values;           /* tensors of VALUE in the model */
    size_t seen[CATEGORIES]; /* before this one; the experts of a role in a block are one */
};

/* Which of how many a tensor is, for rules of layers. Files of llama.cpp hold experts in one tensor a block. */
static size_t place_of(const struct mix *mix, const struct model *m, const struct counts *c, const struct tensor *t,
                       enum category category)
{
    bool by_block = m->hyper.mixture.experts > 1 && category != VALUE && !(mix->low_bits && category == DOWN);
    return by_block ? (size_t)t->block : c->seen[category];
}

static enum dtype head_type(const struct mix *mix, const struct counts *c, size_t cols)
{
    return c->facts & FALCON || cols % dtypes[mix->type].block != 0 ? DTYPE_Q8_0 : mix->head;
}

static enum dtype type_of(const struct mix *mix, const struct model *m, const struct counts *c, const struct tensor *t,
                          enum category category)
{
    if (category == HEAD)
        return head_type(mix, c, t->stored.cols);
    if (category == EMBEDDING)
        return mix->embedding ? mix->embedding : mix->type;
    if (mix->experts && t->expert >= 0)
        return mix->experts;
    size_t place = place_of(mix, m, c, t, category), all = category == VALUE ? c->values : m->hyper.layers;
    const struct mix_rule *r = mix->rules;
    while (r->categories && !(r->categories & BIT(category) && (c->facts & r->with) == r->with &&
                              !(c->facts & r->without) && covers(r->layers, place, all)))
        r++;
    enum dtype type = r->categories ? r->type : mix->type;
    /* The values of a 70B serve eight heads each: more bits for them cost next to nothing. */
    bool few = category == VALUE && c->facts & OF_70B && !mix->low_bits;
    return few && (type == DTYPE_Q3_K || type == DTYPE_Q4_K) ? DTYPE_Q5_K : type;
}

void mix_types(const struct model *m, const struct mix *mix, bool importance, enum dtype *types)
{
    struct counts c = {.facts = facts_of(m, importance)};
    for (int i = 0; i < (int)m->tensor_count; i++)
        c.values += category_of_tensor(m, i) == VALUE;
    for (int i = 0; i < (int)m->tensor_count; i++) {
        const struct tensor *t = &m->tensors[i];
        enum category category = category_of_tensor(m, i);
        bool counted = t->expert > 0; /* with the first of them */
        types[i] = category == NONE ? DTYPE_ALL : counted ? types[i - 1] : type_of(mix, m, &c, t, category);
        c.seen[category] += !counted;
    }
}

/* ---- schemes ------------------------------------------------------------------------------------------------- */

static struct scheme scheme_of(const struct model *m, const struct scheme_choice *c, int tensor, enum dtype type)
{
    const struct qmatrix *stored = &m->tensors[tensor].stored;
    struct scheme s = c->scheme;
    s.format.weight = type;
    if (dtypes[type].kind == DTYPE_KIND_FLOAT) /* among blocks, whose activations may be int8 */
        s.format.act = DTYPE_FP32;
    s = scheme_for_tensor(m, tensor, s);
    if (s.format.weight != stored->format.weight || !stored_takes_act(m, tensor, s.format.act))
        return s;
    struct scheme same = scheme_stored(stored);
    same.format.act = s.format.act;
    same.substituted = s.substituted;
    same.asked = s.asked;
    return same;
}

/* Whether all of them can be made. */
static bool check_types(const struct model *m, const struct mix *mix, const enum dtype *types, struct error *error)
{
    for (size_t i = 0; i < m->tensor_count; i++) {
        enum dtype type = types[i] == DTYPE_ALL ? DTYPE_FP16 : block_fallback(types[i], m->tensors[i].stored.cols);
        if (type == DTYPE_ALL)
            return error_set(error,
                             "mix %s: %s would be %s, whose blocks of %zu do not divide its %zu columns; expected "
                             "another mix",
                             mix->name, m->tensors[i].name, dtypes[types[i]].name, dtypes[types[i]].block,
                             m->tensors[i].stored.cols);
        if (dtypes[type].kind == DTYPE_KIND_BLOCK && !can_encode(type))
            return error_set(error,
                             "mix %s: %s would be %s, which weights cannot be quantized to; expected another mix",
                             mix->name, m->tensors[i].name, dtypes[type].name);
    }
    return true;
}

bool mix_apply(const struct model *m, const struct scheme_choice *c, struct scheme *schemes, struct error *error)
{
    enum dtype *types = malloc((m->tensor_count + 1) * sizeof *types);
    if (!types)
        return error_set(error, "not enough memory");
    mix_types(m, c->mix, methods_need_activations(&c->scheme.methods), types);
    bool ok = check_types(m, c->mix, types, error);
    for (size_t i = 0; ok && i < m->tensor_count; i++)
        if (types[i] != DTYPE_ALL)
            schemes[i] = scheme_of(m, c, (int)i, types[i]);
    free(types);
    return ok;
}
