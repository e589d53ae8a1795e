# fish completion of qtop
# The lists are the program's tables: change completions/qtop.fish.in or the tables, then `make man`.

# The subcommand on the command line, or "terminal".
function __qtop_command
    set -l words (commandline -opc)
    if contains -- "$words[2]" bench eval inspect plan generate logits tokenize advise tune export calibrate report machine help
        echo $words[2]
    else
        echo terminal
    end
end

function __qtop_is
    contains -- (__qtop_command) $argv
end

function __qtop_first
    test (count (commandline -opc)) = 1
end

function __qtop_helped
    test (count (commandline -opc)) = 2; and __qtop_is help
end

function __qtop_models
    __fish_complete_suffix .gguf .safetensors .bin .index.json
end

# A type or a mix, and after a colon the fields that may follow.
function __qtop_schemes
    set -l begun (commandline -ct | string replace -r '^(--[a-z]+=|-s)' '' | string match -r '^.*:')
    if test -n "$begun"
        for field in tensor channel g32 g64 g128 sym asym rtn awq smoothquant clip imatrix gptq llmint8 qat
            echo $begun$field
        end
    else
        string split ' ' 'stored fp32 fp16 bf16 int8 int4 fp8e4m3 fp8e5m2 q8_0 q4_0 q4_1 q5_0 q5_1 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs mxfp4 tq2_0 tq1_0 iq3_s iq3_xxs iq2_s iq2_xs iq2_xxs iq1_s iq1_m nvfp4 nf4 w8a8 w8a16 w4a16 w4a8 @iq1_s @iq1_m @iq2_xxs @iq2_xs @iq2_s iq2_m q2_k_s @q2_k @iq3_xxs iq3_xs @iq3_s iq3_m q3_k_s q3_k_m q3_k_l @iq4_xs @iq4_nl @q4_0 @q4_1 q4_k_s q4_k_m @q5_0 @q5_1 q5_k_s q5_k_m @q6_k @q8_0 mxfp4_moe @tq1_0 @tq2_0'
    end
end

complete -c qtop -f
complete -c qtop -n 'not __qtop_is help machine' -ka '(__qtop_models)'
complete -c qtop -n __qtop_helped -a 'bench eval inspect plan generate logits tokenize advise tune export calibrate report machine'
complete -c qtop -n __qtop_first -a bench -d 'decode and prefill tokens/s, bytes/token, bandwidth'
complete -c qtop -n __qtop_first -a eval -d 'perplexity, KL divergence, top-1 agreement'
complete -c qtop -n __qtop_first -a inspect -d 'layers: shape, scheme, bytes, SQNR, max error'
complete -c qtop -n __qtop_first -a plan -d 'size and speed of common schemes, predicted and measured'
complete -c qtop -n __qtop_first -a generate -d 'text to standard output, speed to standard error'
complete -c qtop -n __qtop_first -a logits -d 'float32 logits, one row of vocabulary a token'
complete -c qtop -n __qtop_first -a tokenize -d 'standard input to token ids, one a line'
complete -c qtop -n __qtop_first -a advise -d 'schemes and mixes worth considering here, measured, with a verdict'
complete -c qtop -n __qtop_first -a tune -d 'search the best scheme of every layer within a budget; writes a recipe'
complete -c qtop -n __qtop_first -a export -d 'the quantized model as a file for other engines'
complete -c qtop -n __qtop_first -a calibrate -d 'an importance matrix of a calibration text, as llama.cpp has it'
complete -c qtop -n __qtop_first -a report -d 'an HTML or Markdown file: which scheme to take, and what it costs'
complete -c qtop -n __qtop_first -a machine -d 'caches, NUMA nodes, instruction sets, roofs, and which counters work'
complete -c qtop -n __qtop_first -a help -d 'what a subcommand takes'
complete -c qtop -n '__qtop_is terminal bench eval inspect generate logits export report' -s s -l scheme -x -ka '(__qtop_schemes)' -d 'scheme of the linear matrices inside blocks, such as int8, int4:g64:asym or w8a8; or a mix for all, such as q4_k_m; report: measure this one (several times: these) instead of those worth considering'
complete -c qtop -n '__qtop_is terminal bench eval inspect generate logits export' -s r -l recipe -r -F -d 'recipe, a file of PATTERN SCHEME lines and mixes; applied after -s'
complete -c qtop -n '__qtop_is terminal bench eval inspect plan generate logits advise tune export calibrate report' -l synthetic -x -ka 'gpt2 smollm2-135m gemma-3-270m qwen2.5-0.5b gemma-3-1b tinyllama-1.1b llama3.2-1b smollm3-3b llama3.2-3b gemma-3-4b gemma-4-e2b llama2-7b mistral-7b olmo2-7b gemma-4-e4b llama3-8b ministral-3-8b gemma-3-12b llama2-13b gemma-3-27b gemma-4-31b llama3-70b llama3.1-405b gpt-oss-20b gemma-4-26b-a4b qwen3-30b-a3b mixtral-8x7b glm-4.5-air gpt-oss-120b qwen3-235b-a22b' -d 'random weights in this shape instead of MODEL, such as llama2-7b'
complete -c qtop -n '__qtop_is terminal eval inspect advise tune report' -l reference -x -ka '(__qtop_models)' -d 'model file or folder that errors, KL and perplexity are measured against'
complete -c qtop -n '__qtop_is terminal eval inspect' -l against -x -ka '(__qtop_models)' -d 'another model file or folder of the same shape, to hold side by side with MODEL'
complete -c qtop -n '__qtop_is terminal eval inspect logits advise tune report' -l text -r -F -ka 'self' -d 'text that quality is measured on; self: one that the model writes'
complete -c qtop -n '__qtop_is terminal bench eval inspect generate logits export' -l inject-outliers -x -d 'activation outliers: scale K channels of every norm up, the weights behind them down'
complete -c qtop -n '__qtop_is terminal bench eval inspect generate logits advise tune export calibrate report' -l calibration -r -F -ka 'self' -d 'text that methods calibrate on; self: one that the model writes; report: schemes that calibrate are measured, too'
complete -c qtop -n '__qtop_is terminal bench eval inspect generate logits advise tune export report' -l imatrix -r -F -d 'importance matrix of llama.cpp: what columns weigh for the method imatrix'
complete -c qtop -n '__qtop_is terminal bench eval inspect plan generate logits tokenize advise tune export calibrate report' -s z -l tokenizer -r -F -d 'tokenizer file (default: one beside the model)'
complete -c qtop -n '__qtop_is terminal bench eval inspect plan generate logits advise tune export calibrate report machine' -s t -l threads -x -d 'threads (default: one per usable physical core)'
complete -c qtop -n '__qtop_is terminal bench eval inspect plan generate logits advise tune export calibrate report machine' -l isa -x -ka 'c avx2 avxvnni avx512 neon' -d 'instruction set of the kernels'
complete -c qtop -n '__qtop_is terminal bench eval inspect plan generate logits advise report' -l kv -x -ka 'fp32 fp16 int8 fp8e4m3 fp8e5m2' -d 'datatype of the KV cache: fp32 (default), fp16, int8, fp8 (fp8e4m3) or fp8e5m2'
complete -c qtop -n '__qtop_is terminal bench eval inspect plan generate logits advise tune export calibrate report' -s c -l context -x -d 'context in positions (default: the trained one, at most 4096)'
complete -c qtop -n '__qtop_is bench plan' -s p -l prompt-tokens -x -d 'tokens of the prompt whose prefill is timed (64); bench: several, such as 64,512, are timed one after the other'
complete -c qtop -n '__qtop_is bench' -s d -l depth -x -d 'positions in the KV cache before what is timed (0), or several, such as 0,4096'
complete -c qtop -n '__qtop_is bench' -l batch -x -d 'independent sequences decoded as one batch (1)'
complete -c qtop -n '__qtop_is terminal eval advise tune calibrate report' -s w -l window -x -d 'evaluation window in tokens (default: the context, at most 512)'
complete -c qtop -n '__qtop_is terminal eval advise tune calibrate report' -l protocol -x -ka 'full llamacpp' -d 'how texts are cut and perplexity is scored: full (default) or llamacpp'
complete -c qtop -n '__qtop_is terminal generate logits' -s p -l prompt -x -d 'text that the model continues; with --chat what a user says'
complete -c qtop -n '__qtop_is generate' -l chat -d 'ask the model as its chat template says, and let it answer'
complete -c qtop -n '__qtop_is terminal generate' -l system -x -d 'system\'s text in front of what a user says (default: the template\'s own, if it has one)'
complete -c qtop -n '__qtop_is generate logits tokenize' -l special -d 'what spells a control token in a text is that token'
complete -c qtop -n '__qtop_is bench eval generate advise tune calibrate report' -s n -l tokens -x -d 'tokens to generate (256), to time per sample (32; bench: or several, such as 32,128), to evaluate on (all of --text; 2048 without it; advise and report: 2048, fewer where the machine would take long) or to calibrate on (all of --calibration; 16384 without it)'
complete -c qtop -n '__qtop_is terminal generate' -l seed -x -d 'seed of the random numbers (1)'
complete -c qtop -n '__qtop_is terminal generate' -l temperature -x -d 'sampling temperature (1); 0 takes the most probable token'
complete -c qtop -n '__qtop_is terminal generate' -l top-p -x -d 'nucleus sampling: the most probable tokens whose probabilities sum to P (0.9)'
complete -c qtop -n '__qtop_is advise tune report' -l max-size -x -d 'maximum size of all weights in bytes, such as 1.5M or 700000; advise, report: of the file'
complete -c qtop -n '__qtop_is advise report' -l max-memory -x -d 'maximum bytes of all weights and the KV cache of the whole context, such as 4G'
complete -c qtop -n '__qtop_is tune' -l max-bits -x -d 'maximum bits per weight over the linear matrices inside blocks'
complete -c qtop -n '__qtop_is advise tune report' -l min-tokens-per-second -x -d 'minimum decode tokens/s on this machine'
complete -c qtop -n '__qtop_is advise tune report' -l max-kl -x -d 'maximum KL divergence; alone it asks for the smallest size'
complete -c qtop -n '__qtop_is advise tune report' -l for -x -ka 'gguf safetensors memory' -d 'tune: gguf, safetensors (sizes are then those of the file) or memory; default: gguf for a GGUF model, else memory. advise, report: what counts most, size, speed, quality or balance (default)'
complete -c qtop -n '__qtop_is tune report' -l seconds -x -d 'tune: how long the choice may be made better (default: twice, however long that takes); report: how long the sensitivity of layers may be measured (60)'
complete -c qtop -n '__qtop_is eval tune export' -l resume -d 'go on from where the same search (tune) or training (qat) was interrupted'
complete -c qtop -n '__qtop_is plan' -l roof -x -ka 'h100 a100 rtx4090 m2-ultra ddr5-5600' -d 'read bandwidth of another machine: 2TB/s, 68GB/s, 900e9 or its name, such as h100'
complete -c qtop -n '__qtop_is inspect plan' -l no-run -d 'quantize nothing and run no scheme: only what can be computed'
complete -c qtop -n '__qtop_is inspect' -l alone -d 'also measure sensitivity: KL with only that layer quantized'
complete -c qtop -n '__qtop_is machine' -l fresh -d 'measure the roofs again instead of using cached ones'
complete -c qtop -n '__qtop_is bench eval inspect plan advise' -l csv -d 'comma-separated values with a header line on standard output'
complete -c qtop -n '__qtop_is bench' -l vs -x -ka '(__qtop_schemes)' -d 'baseline of the comparison, such as fp16 (default: the first -s or -r)'
complete -c qtop -n '__qtop_is inspect logits tune export calibrate report' -s o -l output -r -F -d 'file to write; inspect: the recipe of what it shows; report: .html or .md'
complete -c qtop -n '__qtop_is report' -l from -r -F -d 'make the report of what --json of advise, bench, eval, inspect or tune wrote, and measure nothing'
complete -c qtop -n '__qtop_is calibrate' -l process-output -d 'also the head: output, or the embedding that it is tied to'
complete -c qtop -n '__qtop_is bench export' -l format -x -ka 'gguf safetensors gptq llama-bench' -d 'export: gguf, safetensors or gptq (safetensors in GPTQ\'s layout); default: by the extension of -o FILE. bench: llama-bench, a JSON object a line with the fields of that program'
complete -c qtop -n '__qtop_is export' -l allow-overflow -d 'write the file though numbers overflow its types; without it that is an error'
complete -c qtop -n '__qtop_is bench eval inspect plan advise tune calibrate machine' -l json -d 'one JSON object a line on standard output'
complete -c qtop -n '__qtop_is terminal' -l readonly -d 'read-only: keys that change schemes, keep snapshots or write files do nothing'
complete -c qtop -n '__qtop_is terminal' -l idle -x -d 'sleep until a key, after so many seconds without one in which nothing was measured (default: never)'
complete -c qtop -n '__qtop_is terminal' -l ascii -d 'draw with ASCII characters only'
complete -c qtop -n '__qtop_is terminal' -l no-color -d 'no colours (as the environment variable NO_COLOR)'
complete -c qtop -n '__qtop_is terminal' -l no-mouse -d 'leave the mouse to the terminal'
complete -c qtop -n '__qtop_is terminal bench eval inspect plan generate logits tokenize advise tune export calibrate report machine' -s h -l help -d 'show this help'
complete -c qtop -n '__qtop_is terminal bench eval inspect plan generate logits tokenize advise tune export calibrate report machine' -s V -l version -d 'show the version'
