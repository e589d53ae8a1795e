/* qtop bench: how fast, and what share of the read roof. */
#include "batch.h"

#include "../kernels/dispatch.h"
#include "../src/measure/speed.h"

#include <math.h>

static void report_json(const struct batch *b, const struct speed *s)
{
    json_t *j = json_object();
    json_object_set_new(j, "scheme", json_text(b->scheme_text));
    json_add(j, "threads", pool_threads(b->session.pool), NULL);
    json_object_set_new(j, "isa", json_string(isa_current()->name));
    json_object_set_new(j, "kv", json_string(dtypes[b->weights->kv].name));
    json_add(j, "batch", (double)s->batch, NULL);
    json_add(j, "decode_tokens_per_second", s->decode.median, NULL);
    json_add(j, "prefill_tokens_per_second", s->prefill.median, NULL);
    json_add(j, "bytes_per_token", (double)s->bytes_per_token, NULL);
    json_add(j, "bandwidth_bytes_per_second", s->bandwidth, NULL);
    json_add(j, "peak_read_bytes_per_second", s->peak_read.median, NULL);
    json_add(j, "bandwidth_fraction", s->fraction.median, s->fraction_reason);
    json_add(j, "samples", (double)s->samples, NULL);
    print_json(j);
}

static void report_text(const struct batch *b, const struct speed *s)
{
    char bytes[16];
    printf("scheme     %s, KV cache %s, %d threads, kernels '%s', median of %zu samples\n",
           b->scheme_text, dtypes[b->weights->kv].name, pool_threads(b->session.pool),
           isa_current()->name, s->samples);
    printf("decode     %.1f tokens/s (%.1f to %.1f)", s->decode.median, s->decode.least,
           s->decode.most);
    if (s->batch > 1)
        printf(", %zu sequences together", s->batch);
    putchar('\n');
    printf("prefill    %.1f tokens/s (%.1f to %.1f)\n", s->prefill.median, s->prefill.least,
           s->prefill.most);
    printf("bytes      %s a token\n", format_bytes(bytes, (double)s->bytes_per_token));
    printf("bandwidth  %.2f GB/s computed; reading memory reaches %.2f GB/s (%.2f to %.2f)\n",
           s->bandwidth / 1e9, s->peak_read.median / 1e9, s->peak_read.least / 1e9,
           s->peak_read.most / 1e9);
    if (s->fraction_reason)
        printf("fraction   n/a: %s\n", s->fraction_reason);
    else
        printf("fraction   %.3f of that (%.3f to %.3f)\n", s->fraction.median, s->fraction.least,
               s->fraction.most);
}

int run_bench(const struct options *o)
{
    struct batch batch;
    struct error error;
    int status;
    if (!batch_open(&batch, o, &status, &error))
        return complain(&error, status);
    struct bandwidth_probe probe = {0};
    struct speed speed;
    struct speed_plan plan = {.prompt_tokens = o->prompt_tokens ? (size_t)o->prompt_tokens : 64,
                              .decode_tokens = o->given_tokens ? (size_t)o->tokens : 32,
                              .samples = 9,
                              .batch = o->batch ? (size_t)o->batch : 1};
    bool ok = batch_pack(&batch, &error) &&
              bandwidth_open(&probe, batch.session.pool, &error) &&
              speed_measure(&batch.session, batch.weights, &plan, &probe, &speed, &error);
    if (ok)
        (o->json ? report_json : report_text)(&batch, &speed);
    bandwidth_close(&probe);
    batch_close(&batch);
    return ok ? EXIT_DONE : complain(&error, EXIT_FAILED);
}
