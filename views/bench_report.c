#include "bench_report.h"

#include "kernels/dispatch.h"

#include <string.h>

static void add_ratio(json_t *j, const char *key, struct ratio r)
{
    char name[64];
    json_add(j, key, r.median, NULL);
    snprintf(name, sizeof name, "%s_low", key);
    json_add(j, name, r.low, NULL);
    snprintf(name, sizeof name, "%s_high", key);
    json_add(j, name, r.high, NULL);
}

static void report_record(const struct batch *b, const struct comparison *c, size_t set, const struct bench_point *at,
                          const struct options *o)
{
    const struct speed *s = &c->speed[set];
    json_t *j = json_object();
    json_object_set_new(j, "scheme", json_text(c->name[set]));
    json_add(j, "threads", pool_threads(b->session.pool), NULL);
    json_object_set_new(j, "isa", json_string(isa_current()->name));
    json_object_set_new(j, "kv", json_string(dtypes[c->sets[set]->kv].name));
    json_add(j, "batch", (double)s->batch, NULL);
    json_add(j, "depth", (double)at->depth, NULL);
    json_add(j, "prompt_tokens", (double)at->prompt, NULL);
    json_add(j, "decode_tokens", (double)at->generated, NULL);
    json_add(j, "decode_tokens_per_second", s->decode.median, NULL);
    json_add(j, "prefill_tokens_per_second", s->prefill.median, NULL);
    json_add(j, "bytes_per_token", (double)s->bytes_per_token, NULL);
    json_add(j, "bandwidth_bytes_per_second", s->bandwidth, NULL);
    json_add(j, "peak_read_bytes_per_second", s->peak_read.median, NULL);
    json_object_set_new(j, "peak_read_disturbed", json_boolean(s->roof_disturbed));
    json_add(j, "bandwidth_fraction", s->fraction.median, s->fraction_reason);
    json_add(j, "samples", (double)s->samples, NULL);
    json_object_set_new(j, "partial", json_boolean(c->partial));
    if (c->count > 1) {
        json_object_set_new(j, "vs", json_text(c->name[0]));
        add_ratio(j, "decode_ratio", s->decode_ratio);
        add_ratio(j, "prefill_ratio", s->prefill_ratio);
    }
    print_record(j, o, at->number == 0 && set == 0);
}

/* Where there is more than one. */
static void say_point(const struct bench_point *at)
{
    if (at->count > 1)
        printf("%s== prompt %zu, %zu generated\n", at->number > 0 ? "\n" : "", at->prompt, at->generated);
}

static void report_one(const struct batch *b, const struct comparison *c, const struct bench_point *at)
{
    const struct speed *s = &c->speed[0];
    int threads = pool_threads(b->session.pool);
    char bytes[16];
    printf("scheme     %s, KV cache %s, %d thread%s, kernels '%s', median of %zu samples\n",
           c->name[0], dtypes[c->sets[0]->kv].name, threads, threads == 1 ? "" : "s", isa_current()->name, s->samples);
    if (at->depth > 0)
        printf("depth      %zu positions in the cache before\n", at->depth);
    printf("decode     %.1f tokens/s (%.1f to %.1f)", s->decode.median, s->decode.min,
           s->decode.max);
    if (s->batch > 1)
        printf(", %zu sequences together", s->batch);
    putchar('\n');
    printf("prefill    %.1f tokens/s (%.1f to %.1f)\n", s->prefill.median, s->prefill.min,
           s->prefill.max);
    printf("bytes      %s a token\n", format_bytes(bytes, (double)s->bytes_per_token));
    printf("bandwidth  %.2f GB/s computed; peak read %.2f GB/s (%.2f to %.2f)\n",
           s->bandwidth / 1e9, s->peak_read.median / 1e9, s->peak_read.min / 1e9,
           s->peak_read.max / 1e9);
    if (s->roof_disturbed)
        printf("           the machine was busy when that was measured: it may be too low\n");
    if (s->fraction_reason)
        printf("fraction   n/a: %s\n", s->fraction_reason);
    else
        printf("fraction   %.3f%s of that (%.3f to %.3f)\n", s->fraction.median,
               s->roof_disturbed || s->fraction.median > 1 ? "?" : "", s->fraction.min, s->fraction.max);
}

static void report_all(const struct batch *b, const struct comparison *c, const struct bench_point *at)
{
    int width = 6; /* of the title */
    int threads = pool_threads(b->session.pool);
    char bytes[16];
    for (size_t i = 0; i < c->count; i++)
        width = (int)strlen(c->name[i]) > width ? (int)strlen(c->name[i]) : width;
    printf("%d thread%s, kernels '%s', %zu interleaved rounds: medians of the speeds, and of each round's ratios to %s, "
           "with 95 %% intervals\n", threads, threads == 1 ? "" : "s", isa_current()->name, c->speed[0].samples, c->name[0]);
    if (at->depth > 0)
        printf("depth: %zu positions in the cache before\n", at->depth);
    printf("%-*s %10s %10s %8s %20s %20s\n", width, "SCHEME", "DECODE/s", "PREFILL/s", "BYTES", "DECODE RATIO",
           "PREFILL RATIO");
    for (size_t i = 0; i < c->count; i++) {
        const struct speed *s = &c->speed[i];
        printf("%-*s %10.1f %10.1f %8s  %5.3f (%5.3f-%5.3f)  %5.3f (%5.3f-%5.3f)\n", width, c->name[i],
               s->decode.median, s->prefill.median, format_bytes(bytes, (double)s->bytes_per_token),
               s->decode_ratio.median, s->decode_ratio.low, s->decode_ratio.high, s->prefill_ratio.median,
               s->prefill_ratio.low, s->prefill_ratio.high);
    }
}

void bench_report(const struct batch *b, const struct comparison *c, const struct bench_point *at, const struct options *o)
{
    for (size_t i = 0; wants_records(o) && i < c->count; i++)
        report_record(b, c, i, at, o);
    if (wants_records(o))
        return;
    say_point(at);
    if (c->count > 1)
        report_all(b, c, at);
    else
        report_one(b, c, at);
    if (c->partial)
        printf("partial     interrupted after %zu rounds\n", c->speed[0].samples);
}
