#include "roofs.h"

#include "base/clock.h"

#include <time.h>

/* ---- arithmetic ------------------------------------------------------------------------------ */

static peak_fn *fp32_of(const struct isa *isa)
{
    return isa->peak_fp32;
}

static peak_fn *bf16_of(const struct isa *isa)
{
    return isa->peak_bf16;
}

static peak_fn *int8_of(const struct isa *isa)
{
    return isa->peak_int8;
}

const struct peak_info peaks[PEAK_COUNT] = {
    [PEAK_FP32] = {"fp32", "fused multiply-adds", fp32_of},
    [PEAK_BF16] = {"bf16", "dot products of pairs, summed in fp32", bf16_of},
    [PEAK_INT8] = {"int8", "dot products of fours, summed in int32", int8_of},
};

enum { MAX_THREADS = 1024 /* what -t takes */, LINE = 64, PEAK_ROUNDS = 1 << 19, ITEMS_PER_THREAD = 4 };

struct peak_run {
    peak_fn *run;
    struct {
        _Alignas(LINE) double macs;
    } by[MAX_THREADS];
};

static void run_peak(void *arg, size_t begin, size_t end, int thread)
{
    struct peak_run *b = arg;
    for (size_t i = begin; i < end; i++)
        b->by[thread % MAX_THREADS].macs += b->run(PEAK_ROUNDS);
}

double roofs_peak(peak_fn *run, struct pool *pool)
{
    struct peak_run b = {.run = run};
    double macs = 0, begin = clock_seconds();
    pool_run(pool, (size_t)pool_threads(pool) * ITEMS_PER_THREAD, run_peak, &b);
    double seconds = clock_seconds() - begin;
    for (int i = 0; i < pool_threads(pool) && i < MAX_THREADS; i++)
        macs += b.by[i].macs;
    return macs / seconds;
}

bool roof_was_disturbed(const struct roof *r)
{
    return r->samples > 0 && (r->rate.max > 1.25 * r->rate.median || r->rate.max > 1.5 * r->rate.min);
}

bool roof_is_better(const struct roof *roof, const struct roof *than)
{
    bool busy = roof_was_disturbed(roof), than_busy = roof_was_disturbed(than);
    return busy != than_busy ? than_busy : roof->rate.median > than->rate.median;
}

bool roofs_fall_short(const struct roofs *r, size_t read)
{
    const struct roof *roof = &r->reads[read].roof;
    bool any = false;
    for (size_t i = 0; i < read && roof->samples > 0; i++)
        any |= r->reads[i].roof.samples > 0 && 1.25 * roof->rate.median < r->reads[i].roof.rate.median;
    return any;
}

bool roofs_were_disturbed(const struct roofs *r)
{
    bool any = r->exceeded;
    for (size_t i = 0; i < r->read_count; i++)
        any |= roof_was_disturbed(&r->reads[i].roof) || roofs_fall_short(r, i);
    for (size_t i = 0; i < r->set_count; i++)
        for (int k = 0; k < PEAK_COUNT; k++)
            any |= roof_was_disturbed(&r->sets[i].of[k]);
    return any;
}

/* ---- the job --------------------------------------------------------------------------------- */

/* A roof is done after MAX_SAMPLES, or after MIN_SAMPLES when those took long. */
enum { MIN_SAMPLES = 3, MAX_SAMPLES = sizeof((struct roofs_job *)0)->samples / sizeof(double) };
static const double ROOF_SECONDS = 0.12;

size_t roofs_thread_counts(int threads, int counts[MAX_READ_ROOFS])
{
    size_t n = 0;
    for (int k = 1; k < threads && n < MAX_READ_ROOFS - 1; k = k < 8 ? k + 1 : k + k / 2)
        counts[n++] = k;
    counts[n++] = threads;
    return n;
}

void roofs_begin(struct roofs_job *job, struct pool *pool)
{
    int counts[MAX_READ_ROOFS];
    *job = (struct roofs_job){.pool = pool, .out = {.threads = pool_threads(pool)}};
    struct roofs *out = &job->out;
    out->read_count = roofs_thread_counts(out->threads, counts);
    for (size_t i = 0; i < out->read_count; i++)
        out->reads[i].threads = counts[i];
    for (size_t i = 0; isa_at(i) && out->set_count < MAX_PEAK_ROOFS; i++)
        if (isa_at(i)->available())
            out->sets[out->set_count++].isa = isa_at(i);
    out->measured = (long long)time(NULL);
    job->count = out->read_count + out->set_count * PEAK_COUNT;
}

static void add_sample(struct roofs_job *job, double rate)
{
    job->samples[job->sample++] = rate;
}

/* Whether the roof under way is done; the next one then is under way. One that was disturbed is measured again, a few
 * times, of which the best is kept. */
static bool finish_roof(struct roofs_job *job, struct roof *roof)
{
    bool reads = job->next < job->out.read_count;
    bool long_enough = job->sample >= MIN_SAMPLES && clock_seconds() - job->begun > ROOF_SECONDS;
    if (job->sample < MAX_SAMPLES && !long_enough)
        return false;
    struct roof now = {stats_of(job->samples, job->sample), job->sample};
    if (job->tries == 0 || roof_is_better(&now, roof))
        *roof = now;
    job->sample = 0;
    job->begun = clock_seconds();
    bool disturbed = roof_was_disturbed(roof) || (reads && roofs_fall_short(&job->out, job->next));
    if (disturbed && ++job->tries < ROOF_TRIES)
        return false;
    job->tries = 0;
    job->next++;
    return true;
}

/* The first sweep after the pages were made is for warming up. */
static void step_read(struct roofs_job *job)
{
    struct read_roof *read = &job->out.reads[job->next];
    if (!job->probe.buffer) {
        if (!bandwidth_reserve(&job->probe, job->pool, read->threads, &read->reason)) {
            job->next++;
            return;
        }
        read->buffer = job->probe.size;
        job->warm = job->touched = false;
        return;
    }
    if (!job->touched) {
        job->touched = bandwidth_touch(&job->probe);
        return;
    }
    if (!job->warm) {
        (void)bandwidth_sweep(&job->probe);
        job->begun = clock_seconds();
        job->warm = true;
        return;
    }
    add_sample(job, bandwidth_sweep(&job->probe));
    if (finish_roof(job, &read->roof))
        bandwidth_close(&job->probe);
}

static void step_peak(struct roofs_job *job)
{
    size_t at = job->next - job->out.read_count;
    struct peak_roof *set = &job->out.sets[at / PEAK_COUNT];
    peak_fn *run = peaks[at % PEAK_COUNT].of(set->isa);
    if (!run) {
        job->next++;
        return;
    }
    if (job->sample == 0)
        job->begun = clock_seconds();
    add_sample(job, roofs_peak(run, job->pool));
    finish_roof(job, &set->of[at % PEAK_COUNT]);
}

bool roofs_step(struct roofs_job *job, double seconds)
{
    double begin = clock_seconds(), passed = 0;
    while (job->next < job->count && passed <= seconds) {
        if (job->next < job->out.read_count)
            step_read(job);
        else
            step_peak(job);
        passed = clock_seconds() - begin;
    }
    job->out.seconds += passed;
    return job->next == job->count;
}

double roofs_fraction(const struct roofs_job *job)
{
    double part = (double)(MAX_SAMPLES * (size_t)job->tries + job->sample) / (MAX_SAMPLES * ROOF_TRIES);
    return job->count == 0 ? 1 : ((double)job->next + part) / (double)job->count;
}

struct roofs roofs_take(const struct roofs_job *job)
{
    return job->out;
}

void roofs_end(struct roofs_job *job)
{
    bandwidth_close(&job->probe);
    *job = (struct roofs_job){0};
}

struct roofs roofs_measure(struct pool *pool)
{
    struct roofs_job job;
    roofs_begin(&job, pool);
    while (!roofs_step(&job, 1))
        continue;
    struct roofs out = roofs_take(&job);
    roofs_end(&job);
    return out;
}
