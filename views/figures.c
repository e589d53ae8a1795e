#include "figures.h"

#include <string.h>

#define ON(screen) (1u << VIEW_##screen)
#define ALL        (1u << VIEW_COUNT)

const struct figure figures[] = {
    {"LAYER", "LAYER", ON(LAYERS),
     "a tensor of the model by its name in GGUF files; blk.N, and all experts of a block, sum up their layers; "
     "kv is the KV cache. Sorted by it, layers of a kind stand together."},
    {"SHAPE", "SHAPE", ON(LAYERS),
     "rows x columns of the matrix: outputs x inputs; of experts their number before it; of the KV cache "
     "positions x values of one."},
    {"WEIGHT, ACT", "WEIGHT ACT", ON(LAYERS),
     "the datatypes of weights and of the activations that they are multiplied with; with * as the file stores "
     "them. mixed: the layers of the row differ."},
    {"GROUP, SYM", "GROUP SYM", ON(LAYERS),
     "the weights that share a scale: all of the tensor, a channel (row), or groups of so many columns (g128); "
     "and whether codes are symmetric around 0 (sym) or have a zero point (asym)."},
    {"METHOD", "METHOD", ON(LAYERS),
     "how codes and scales were chosen: rtn rounds to nearest."},
    {"FILE", "FILE", ON(LAYERS) | ON(ADVISE),
     "bytes in the file that a scheme or a search was chosen for."},
    {"MEMORY", "MEMORY", ON(ADVISE),
     "bytes of all weights in memory and of a full KV cache."},
    {"decode tokens/s", "DECODE/s", ALL,
     "generated tokens divided by wall seconds, batch 1, one new token a step, after warm-up. On screen, only "
     "steps count before which no job ran; until there are three of them, a rough figure over whatever steps "
     "there were stands behind a tilde."},
    {"x vs stored", "", ALL,
     "decode speed divided by that of the stored weights, at the first position: the median of nine "
     "interleaved pairs of steps after each change (fewer if a pair takes more than half a second), with their "
     "minimum and maximum if there is room. Weights that equal the stored ones are not compared with them."},
    {"prefill tokens/s", "PREFILL", ALL,
     "prompt tokens divided by wall seconds, one pass over the prompt. On screen, a pass over 64 tokens (fewer "
     "if the model is slow) is timed after each change; before that, one over the prompt. On Compare, @N marks "
     "a figure of N tokens where the base's is of another number."},
    {"bytes/token", "", ALL,
     "bytes that one decode step must read: every packed matrix in use with its scales, zero points, outlier "
     "columns and input scale, norms, one embedding row (the whole table only if it is also the head), and the "
     "KV cache up to the position."},
    {"bandwidth (computed)", "", ALL,
     "bytes/token x decode tokens/s."},
    {"peak read bandwidth", "", ALL | ON(ROOFLINE),
     "read-only sweeps over a buffer of four times the last-level cache, with the same threads."},
    {"bandwidth fraction, ROOF%", "ROOF%", ON(LAYERS),
     "bandwidth divided by the bandwidth of the sweep just before it, the median over adjacent pairs; on "
     "screen, bandwidth divided by the median sweep. Absent (\"cache\") if the bytes of a token fit in the "
     "last-level cache, since memory is then not read."},
    {"?", "", ALL,
     "behind a roof or a share of one: the roof may be too low. The machine did other work when it was "
     "measured (the best of its runs is more than 1.25 times their median, or 1.5 times the worst, or fewer "
     "threads read 1.25 times as fast), decoding has reached more than 1.05 of it, or the share is above 100 "
     "%. Such a roof is measured up to three times, of which the best is kept, and again when qtop starts."},
    {"VS BASE", "VS BASE", ON(COMPARE),
     "(Compare) decode tokens/s divided by those of the base, the median over the rounds of v, with its "
     "interval as for DECODE RATIO. Before v there is none: what the meter showed while the one and the other "
     "were in use is of different times. DECODE/s and GB/s are medians of the same rounds, or the meter's "
     "figures."},
    {"DECODE RATIO, PREFILL RATIO", "", 0,
     "(bench) tokens/s divided by those of the first scheme, the median over rounds in which all schemes are "
     "timed one after the other, beginning with another one each time. Compare a scheme with itself (qtop "
     "bench -s int4 -s int4) to see the noise of this machine: 1.00 +- 0.02 is no difference. In parentheses "
     "is the interval of order statistics that contains the true median with a probability of at least 95 %. "
     "Up to 61 rounds are timed, until every interval is narrower than 2 %."},
    {"predicted tokens/s, PREDICTED/s, HERE/s", "", 0,
     "(plan) computed: a roof divided by bytes/token. PREDICTED/s is from --roof or, without it, from the roof "
     "of this machine; HERE/s is always from the latter, the median of seven read sweeps with all threads."},
    {"MEASURED/s", "", 0,
     "(plan) decode tokens/s, the median of five samples of sixteen tokens, with their minimum and maximum. "
     "Schemes that make the same model, such as fp32 where the weights are stored in fp32, are one row, which "
     "names the others (\"same as\")."},
    {"READ GB/s", "", ON(MACHINE),
     "(machine) read-only sweeps over a buffer of four times the last-level caches of the threads, by number "
     "of threads: each up to eight, then half as many more, and all. The threads are spread evenly over the "
     "places of all threads. MEDIAN, MAX and MIN are of three to nine repeated sweeps (SAMPLES); the first "
     "sweep does not count. They differ much if the machine does other work meanwhile: such a roof is marked ?."},
    {"GMAC/s", "", ON(MACHINE),
     "(machine) 10^9 multiply-adds per second of all threads together, without loads from memory: fp32 fused "
     "multiply-adds, bf16 dot products of pairs summed in fp32, int8 dot products of four bytes summed in "
     "int32, with the instructions that the kernels use. A multiply-add is two operations."},
    {"hardware threads, cores, packages, NUMA nodes", "", ON(MACHINE),
     "(machine) those that this process may use, by its cpuset and affinity."},
    {"caches", "", ON(MACHINE),
     "(machine) data caches: level, number of caches of that size, and the size of one."},
    {"quota", "", ON(MACHINE),
     "(machine) processors that the control groups of this process grant."},
    {"threads", "", ON(MACHINE),
     "(machine) their number, and the place that each is bound to: a core, a hardware thread, or a NUMA node."},
    {"huge pages", "", ON(MACHINE),
     "(machine) when the system uses them: always, madvise (if a program asks for them, as qtop does) or never."},
    {"us/TOK, GB/s", "us/TOK GB/s", ON(LAYERS),
     "time of a layer in a decode step, and its bytes divided by that time; one token in sixteen is timed, at "
     "most one in 10 ms."},
    {"USED", "USED", ON(LAYERS),
     "of a mixture of experts. Of all experts of a block, folded into one row, how many a token uses and how "
     "many there are (8/128); of one expert the share of the tokens that used it, over all texts that were "
     "written since the program began. The shares of a block add up to as many times 100 % as a token uses "
     "experts."},
    {"SENS", "SENS", ON(LAYERS) | ON(MAP),
     "the sensitivity of a layer: KL divergence of the model with this layer quantized by its scheme and all "
     "others stored, against the stored model, the mean over the first 512 tokens of the evaluation text, in "
     "windows of 128. With ~, the mean over a part of those tokens, since it is being measured or was stopped. "
     "Of a block, the largest figure of its layers: with >, of those measured so far, while others are not. E: "
     "not measured yet (press that key); -: the layer is stored."},
    {"hidden-state error", "", ON(ERROR),
     "||x' - x|| / ||x|| of the hidden state x after the embedding, and after the attention and the "
     "feed-forward layers of every block, over the first 128 tokens of the evaluation text; x is that of the "
     "reference. \"steepest at\" names the layers that raise it most."},
    {"max |x|, max |w| of columns", "", ON(ERROR),
     "of each column of the selected layer, in descending order: its largest activation since the layer was "
     "selected, and its largest weight; in bold, activations divided by the input scale and weights multiplied "
     "by it."},
    {"salient columns", "", ON(ERROR),
     "the columns with the largest mean |x|, with that mean and the input scale."},
    {"WEIGHTS dB, OUTPUT dB", "", ON(ERROR),
     "(Error) of the methods that C compares: SQNR of the weights of the layer, and of its output on the first "
     "128 tokens of the evaluation text, with all other layers as they are in use."},
    {"live output", "", ON(ERROR),
     "(Error) SQNR of the output of the layer on the tokens that are generated while it is selected: of "
     "another text than OUTPUT dB, and so another figure."},
    {"DETAILS", "", ON(ERROR),
     "what a method found on the calibration text or in the importance matrix: by which of them imatrix "
     "weighed columns, the exponent alpha of an input scale, the damping of GPTQ with the number of rows that "
     "it left to rounding to nearest, the number of columns in fp16."},
    {"KL predicted", "", 0,
     "(tune) the sum of the KL divergences of single layers."},
    {"MAC/B, multiply-adds/B", "", ON(ROOFLINE),
     "(Roofline) computed: multiply-adds divided by bytes that must be read. A decode step of n sequences does "
     "n x (multiplied weights + attention) multiply-adds and reads the weights once; so does a prompt of n "
     "tokens."},
    {"GMAC/s, tok/s", "", ON(ROOFLINE),
     "(Roofline) 10^9 multiply-adds, and tokens, per second. Decode is the meter's figure, a batch the best of "
     "three steps of sequences at their second to fifth position, prefill as defined above; a layer is timed "
     "as for us/TOK."},
    {"REACHES", "", ON(ROOFLINE),
     "(Roofline) GMAC/s divided by the lower roof at this MAC/B: min(read bandwidth x MAC/B, peak), with the "
     "median bandwidth and the best peak. The peak is that of the instructions with which the kernels multiply "
     "most weights. If the bytes of a point fit in the last-level cache, only the peak counts."},
    {"/TOKEN, /SECOND, COUNTED, THREAD n", "", ON(COUNTERS),
     "(Counters) an event divided by decode steps, and divided by seconds, over decode steps during which no "
     "job ran; the share of that time in which the event was counted (less than 100 % if the processor has "
     "fewer counters than events: the count is then scaled up), with \"user\" if events in the operating "
     "system's kernel may not be counted; and /TOKEN of one thread."},
    {"instructions/cycle", "", ON(COUNTERS),
     "instructions divided by cycles of all threads, counted over the same decode steps."},
    {"bytes/token from memory (measured)", "", ON(COUNTERS),
     "(Counters) cache lines filled from memory (memory-fills) x the bytes of a line divided by decode steps."},
    {"reads, writes, total", "", ON(COUNTERS),
     "(Counters) bytes per second that the memory controllers moved, with the event that counts them here; of "
     "the whole machine and all that runs on it."},
    {"LLC misses/token", "", ALL,
     "misses of the last-level cache, as the operating system defines it (cache-misses), during decode steps, "
     "counted by the processor through perf_event."},
    {"size", "SIZE", ALL | ON(LAYERS) | ON(MAP),
     "bytes of everything the schemes keep in memory, embeddings, norms and head included; \"as gguf\" those "
     "of the file that a search chose the schemes for."},
    {"bits/weight", "BITS", ALL,
     "8 x (packed bytes + scales + zero points + outlier columns + input scales) / weights, over the linear "
     "matrices inside blocks (\"linear\"). Beside it stands the same over everything, embeddings, norms and "
     "head included (\"all\"): 8 x size / all weights."},
    {"error e", "", ON(ERROR),
     "w' - w."},
    {"SQNR", "SQNR", ON(LAYERS) | ON(ERROR) | ON(COMPARE) | ON(MAP),
     "10 log10(sum w^2 / sum e^2) dB; exact where there is no error. Of weights it does not rank methods: gptq "
     "and awq give up some of it for outputs, and KL, that are closer. For outputs the same with y = Wx and y' "
     "from the real kernel, on the same activations."},
    {"MSE, cosine, clipped", "", ON(ERROR),
     "mean of e^2; cosine similarity sum ww' / sqrt(sum w^2 sum w'^2), 1 without error; share of weights whose "
     "code was chosen for a value more than half a step (0.5005 x scale) outside the range of the codes: "
     "integers only. That value is the weight times its input scale, the weight that GPTQ compensated for the "
     "errors of other columns, or the one that QAT trained. All over the weights whose error is finite."},
    {"overflow", "", ON(ERROR),
     "finite weights that their type has no room for: those that fp16 or bf16 turns into an infinity; those "
     "outside a grid whose scale is the largest fp16 (65504: group scales); those beyond the largest fp8. Of a "
     "KV cache in fp16: keys and values (eval)."},
    {"max error", "", ON(ERROR),
     "the largest |e|, with row and column of the first such weight."},
    {"scale_min, scale_max, scale_mean", "", 0,
     "(inspect --json) over the scales of a layer: one per tensor, channel or group."},
    {"perplexity", "PPL", ALL,
     "exp of the mean negative log-likelihood of the next token, over the positions that the protocol scores."},
    {"protocol full", "", 0,
     "windows of BOS followed by the next N-1 tokens of the text, not overlapping; every prediction counts; a "
     "last short window counts."},
    {"protocol llamacpp", "", 0,
     "BOS and text cut into consecutive windows of N, the incomplete last one dropped; the first token of "
     "every window replaced by BOS; predictions from position N/2 on count."},
    {"KL divergence", "KL", ALL,
     "mean over the same positions of KL(P reference || P scheme), natural logarithm, +- its standard error: "
     "the standard deviation of the positions' values divided by the square root of their number. With it "
     "(eval) their median, 99th percentile (p99) and maximum; percentiles are interpolated between "
     "neighbouring values. During an evaluation, median and p99 may lack the newest ninth of the positions."},
    {"top-1", "TOP-1", ALL,
     "share of positions at which both models have the same most probable token."},
    {"on TEXT, N tokens", "", ALL,
     "the text that figures of quality were measured on and its length: \"self\" if the model, or the "
     "reference, wrote it. Figures of another text, length, window or protocol do not compare: Compare shows "
     "n/a for them, with the reason below the table. So does a part of a text: it is marked .. while the "
     "evaluation runs, and not kept."},
};
const size_t figure_count = sizeof figures / sizeof *figures;

static bool is_on(const struct figure *f, enum view_id view)
{
    return f->screens & 1u << view;
}

size_t figures_of(enum view_id view, const struct figure **out)
{
    size_t n = 0;
    for (size_t i = 0; i < figure_count; i++)
        if (is_on(&figures[i], view))
            out[n++] = &figures[i];
    for (size_t i = 0; i < figure_count; i++)
        if (!is_on(&figures[i], view) && is_on(&figures[i], VIEW_COUNT))
            out[n++] = &figures[i];
    return n;
}

bool figure_is_of(const struct figure *f, const char *title)
{
    size_t n = strlen(title);
    for (const char *at = strstr(f->titles, title); n > 0 && at; at = strstr(at + n, title))
        if ((at == f->titles || at[-1] == ' ') && (at[n] == ' ' || at[n] == 0))
            return true;
    return false;
}
