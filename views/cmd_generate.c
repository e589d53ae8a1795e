/* qtop generate: text to standard output, speed to standard error. */
#include "batch.h"

#include "engine/sampler.h"
#include "base/clock.h"
#include "base/escape.h"
#include "tokenizer/chat.h"
#include "tokenizer/stream.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct generation {
    const struct batch *batch;
    struct context *context;
    struct sampler sampler;
    struct stream stream;
    struct tokens prompt;
    size_t begin;         /* its tokens that are not shown: BOS, or what an empty prompt starts from; a whole turn */
    const char *asked;    /* what a user says in that turn; null: there is none */
    float *logits;
    int32_t *order;
    bool terminal;        /* standard output is one: control characters are escaped */
};

/* Characters to standard output; on a terminal everything but line breaks is made safe. */
static void put_text(const struct generation *g, const char *text, size_t n)
{
    for (size_t i = 0; g->terminal && i < n;) {
        size_t line = 0;
        char safe[256];
        while (i + line < n && line < 48 && text[i + line] != '\n' && text[i + line] != '\t')
            line++;
        while (line > 0 && i + line < n && ((unsigned char)text[i + line] & 0xc0) == 0x80)
            line--; /* a character stays whole */
        escape_text(safe, sizeof safe, text + i, line);
        fputs(safe, stdout);
        i += line;
        if (i < n && (text[i] == '\n' || text[i] == '\t'))
            putchar(text[i++]);
    }
    if (!g->terminal)
        fwrite(text, 1, n, stdout);
}

/* Any bytes, characters whole. */
static void put_bytes(struct generation *g, const char *bytes, size_t n)
{
    char out[STREAM_GROWTH * 260];
    for (size_t done = 0; done < n; done += 256) {
        size_t part = n - done < 256 ? n - done : 256;
        put_text(g, out, stream_add(&g->stream, bytes + done, part, out));
    }
}

static void put_token(struct generation *g, int32_t previous, int32_t id)
{
    const struct tokenizer *t = g->batch->session.tokenizer;
    char byte;
    size_t n;
    if (!t) {
        printf("%d ", id);
        return;
    }
    const char *piece = tokenizer_piece(t, previous, id, &n, &byte);
    put_bytes(g, piece, n);
}

/* The prompt: its text, or what a user says with a line break. */
static void put_prompt(struct generation *g)
{
    if (g->asked) {
        put_bytes(g, g->asked, strlen(g->asked));
        put_bytes(g, "\n", 1);
    }
    for (size_t i = g->begin; i < g->prompt.count; i++)
        put_token(g, i > g->begin ? g->prompt.ids[i - 1] : TOKEN_FIRST, g->prompt.ids[i]);
}

static void report_speed(size_t prompt, double prefill, size_t decoded, double decode)
{
    if (prompt > 1)
        fprintf(stderr, "qtop: prefill %zu tokens, %.1f tokens/s\n", prompt, (double)prompt / prefill);
    if (decoded > 0)
        fprintf(stderr, "qtop: decode %zu tokens, %.1f tokens/s\n", decoded,
                (double)decoded / decode);
}

static void generate(struct generation *g, size_t tokens)
{
    const struct session *s = &g->batch->session;
    size_t vocab = s->model->hyper.vocab, decoded = 0;
    double begin = clock_seconds();
    context_prefill(g->context, g->batch->weights, g->prompt.ids, g->prompt.count, g->logits);
    double middle = clock_seconds();
    put_prompt(g);
    int32_t last = g->prompt.count > g->begin ? g->prompt.ids[g->prompt.count - 1] : TOKEN_FIRST;
    for (size_t i = 0; i < tokens; i++) {
        int32_t next = (int32_t)sampler_choose(&g->sampler, g->logits, vocab, g->order);
        if (session_ends_text(s, next))
            break;
        put_token(g, last, next);
        fflush(stdout);
        last = next;
        if (g->context->length == g->context->capacity || i + 1 == tokens)
            break;
        context_run(g->context, g->batch->weights, &next, 1, LOGITS_LAST, g->logits);
        decoded++;
    }
    double end = clock_seconds();
    putchar('\n');
    fflush(stdout); /* before what goes to standard error */
    report_speed(g->prompt.count, middle - begin, decoded, end - middle);
}

/* Of --chat: says which template there is; false where there is none. */
static bool choose_chat(const struct session *s)
{
    struct chat chat = session_chat(s);
    char line[CHAT_WHY + 64];
    snprintf(line, sizeof line, "%s: the prompt is used as it is", chat.why);
    if (chat.family)
        fprintf(stderr, "qtop: chat template: %s\n", chat.family->name);
    else
        note(line);
    return chat.family;
}

static bool encode_prompt(struct generation *g, const struct options *o, struct error *error)
{
    const struct session *s = &g->batch->session;
    if (o->chat && choose_chat(s)) {
        g->asked = o->prompt && *o->prompt ? o->prompt : CHAT_QUESTION;
        bool ok = chat_prompt(s->tokenizer, o->system, g->asked, o->special, &g->prompt, error);
        g->begin = g->prompt.count;
        return ok;
    }
    if (!session_begin(s, o->prompt && *o->prompt, &g->prompt))
        return error_set(error, "not enough memory");
    g->begin = g->prompt.count;
    return !o->prompt || tokenize_text(s, o->prompt, strlen(o->prompt), o->special, &g->prompt, error);
}

static bool prepare(struct generation *g, const struct options *o, size_t tokens,
                    struct error *error)
{
    const struct session *s = &g->batch->session;
    size_t vocab = s->model->hyper.vocab;
    if (!encode_prompt(g, o, error))
        return false;
    if (g->prompt.count == 0) /* a vocabulary may drop all that a text has */
        return error_set(error, "the prompt has no tokens in this vocabulary; expected at least 1");
    if (g->prompt.count > s->context)
        return error_set(error, "the prompt has %zu tokens; the context holds %zu", g->prompt.count,
                         s->context);
    size_t positions = g->prompt.count + tokens - 1;
    g->context = context_open_kv(s->model, s->pool, g->batch->weights->kv,
                                 positions < s->context ? positions : s->context, error);
    g->logits = malloc(vocab * sizeof *g->logits);
    g->order = malloc(vocab * sizeof *g->order);
    return g->context && (g->logits && g->order ? true : error_set(error, "not enough memory"));
}

int run_generate(const struct options *o)
{
    struct batch batch;
    struct error error;
    int status;
    if (o->system && !o->chat) {
        error_set(&error, "--system goes with --chat, which asks the model as its chat template says");
        return complain(&error, EXIT_USAGE);
    }
    if (!batch_open(&batch, o, &status, &error))
        return complain(&error, status);
    size_t tokens = o->given_tokens ? (size_t)o->tokens : 256;
    struct generation g = {.batch = &batch, .terminal = isatty(STDOUT_FILENO)};
    g.sampler = (struct sampler){(float)o->temperature, (float)o->top_p, 0};
    sampler_seed(&g.sampler, (uint64_t)o->seed);
    bool ok = batch_pack(&batch, &error) && prepare(&g, o, tokens, &error);
    if (ok)
        generate(&g, tokens);
    context_close(g.context);
    free(g.prompt.ids);
    free(g.logits);
    free(g.order);
    batch_close(&batch);
    return ok ? EXIT_DONE : complain(&error, EXIT_FAILED);
}
