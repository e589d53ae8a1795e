#!/usr/bin/env bash
# tests/fuzz/run.sh SECONDS [TARGET...]            runs each fuzz target for that long
# tests/fuzz/run.sh --coverage [TARGET...]         how much of each parser its inputs so far reach
# tests/fuzz/run.sh --keep [TARGET...]             keeps the fewest of its inputs that reach as much
#
# A target is a file in this folder and a row below. Its sources are compiled with clang-14, its sanitizers
# and libFuzzer; what they call comes from the archives of a usual build (QTOP_BUILD, else build/). As many
# targets as there are processors run at once. They begin from the inputs in corpus/, an archive a target, and those
# in build-fuzz/corpus, where inputs that reached something new stay; findings go to build-fuzz/findings. Exits with
# 1 when there is one.
#
# corpus/ was made by tests/fuzz/run.sh 22, then --keep. After a target was changed: the same again.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
build=${QTOP_BUILD:-$top/build}
work=${QTOP_FUZZ:-$top/build-fuzz}
kept=$top/tests/fuzz/corpus

# NAME (of the file)  LONGEST INPUT  SOURCES: what the target covers
targets="
chat               1024 src/tokenizer/chat.c src/tokenizer/chat_family.c src/tokenizer/chat_table.c
gguf               4096 src/formats/gguf.c src/formats/gguf_tensors.c src/formats/gguf_types.c src/formats/gguf_values.c src/formats/catalog.c src/formats/doubles.c
hf_config          2048 src/model/hf_config.c src/model/hf_keys.c src/model/hf_rope.c src/model/hf_values.c src/model/rope.c src/formats/jsontext.c
imatrix            2048 src/formats/imatrix_file.c src/quant/importance.c
llama2c            8192 src/model/llama2c.c
gguf_tokenizer     4096 src/tokenizer/gguf_vocabulary.c src/tokenizer/vocabulary.c
llama2c_tokenizer  4096 src/tokenizer/llama2c_tokenizer.c src/tokenizer/merge.c src/tokenizer/lookup.c
llmc               4096 src/formats/llmc.c
pickle             4096 src/formats/pickle.c src/formats/zip.c
sentencepiece      4096 src/tokenizer/sentencepiece.c src/tokenizer/charsmap.c src/tokenizer/normalizer.c src/tokenizer/vocabulary.c src/tokenizer/encoder.c src/tokenizer/spm.c
tokenizer_json     4096 src/tokenizer/tokenizer_json.c src/tokenizer/json_rules.c src/tokenizer/json_specials.c src/tokenizer/splitter.c src/tokenizer/expression.c src/tokenizer/normalizer.c
vocabulary         2048 src/tokenizer/vocabulary.c src/tokenizer/encoder.c src/tokenizer/spm.c src/tokenizer/bpe.c src/tokenizer/merge.c src/tokenizer/lookup.c src/tokenizer/matcher.c src/tokenizer/added.c src/tokenizer/longest_first.c src/tokenizer/sections.c
recipe             1024 src/quant/recipe.c
report             2048 src/report/read_json.c src/report/json_values.c src/report/markup.c src/report/page_html.c src/report/page_markdown.c src/report/map.c src/report/plot.c
safetensors        2048 src/formats/safetensors.c src/formats/jsontext.c src/formats/weightfiles.c
scheme              192 src/quant/scheme.c src/quant/scheme_methods.c src/quant/methods.c
tune_state         2048 src/session/tune_state.c
unpickle           1024 src/formats/unpickle.c src/formats/unpickle_opcodes.c src/formats/unpickle_objects.c
"

# What every target checks too, however little of it: text from files ends up there.
common="src/base/error.c src/base/escape.c"

sanitize="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"

skip() {
    echo "skipped: fuzzing ($1)"
    exit 0
}

usage() {
    echo "usage: tests/fuzz/run.sh SECONDS|--coverage|--keep [TARGET...]" >&2
    exit 2
}

row() { # NAME: its longest input and its sources
    echo "$targets" | awk -v name="$1" '$1 == name { $1 = ""; print }'
}

compile() { # NAME VARIANT FLAGS...: build-fuzz/NAME.VARIANT
    name=$1
    variant=$2
    shift 2
    # shellcheck disable=SC2046
    set -- "$@" $(row "$name" | cut -d ' ' -f 3- | tr ' ' '\n' | sed '/./s|^|'"$top"'/|')
    for source in $common; do
        case " $* " in *" $top/$source "*) ;; *) set -- "$@" "$top/$source" ;; esac
    done
    # shellcheck disable=SC2086
    clang-14 -std=c11 -D_GNU_SOURCE -I"$top" -I"$top/src" -DSRCDIR="\"$top\"" -DSRCDATADIR="\"$top/data\"" -O1 -g -Wall -pthread \
        -ffp-contract=off $sanitize "$@" "$top/tests/fuzz/$name.c" "$top/tests/fuzz/fuzz.c" \
        -Wl,--start-group "$build"/lib[!e]*.a -Wl,--end-group -lhwloc -ljansson -lpcre2-8 -lutf8proc -lpfm -lm -o "$work/$name.$variant"
}

# Its own seeds, and the inputs that were kept.
seed() { # NAME VARIANT
    rm -rf "$work/seeds/$1"
    mkdir -p "$work/seeds/$1" "$work/corpus/$1" "$work/findings"
    LLVM_PROFILE_FILE=/dev/null "$work/$1.$2" --longest="$(row "$1" | awk '{ print $1 }')" \
        --seeds="$work/seeds/$1" || { echo "fuzz $1: FINDING (a seed is refused)"; return 1; }
    [ ! -f "$kept/$1.tar.gz" ] || tar -xzf "$kept/$1.tar.gz" -C "$work/seeds/$1"
}

# The same inputs make the same archive.
keep() { # NAME
    rm -rf "$work/kept/$1"
    mkdir -p "$work/kept/$1" "$kept"
    "$work/$1.fuzz" -merge=1 -max_len="$(row "$1" | awk '{ print $1 }')" "$work/kept/$1" "$work/corpus/$1" \
        "$work/seeds/$1" >"$work/$1.keep.log" 2>&1 || return 1
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$work/kept/$1" -cf - . |
        gzip -9n >"$kept/$1.tar.gz"
    echo "kept $1: $(find "$work/kept/$1" -type f | wc -l) inputs, $(wc -c <"$kept/$1.tar.gz") bytes"
}

# A stray allocation of more than 64 MiB is a finding: no input is larger than a few KiB.
fuzz() { # NAME SECONDS
    longest=$(row "$1" | awk '{ print $1 }')
    "$work/$1.fuzz" -max_total_time="$2" -max_len="$longest" -timeout=10 -rss_limit_mb=1024 \
        -malloc_limit_mb=64 -print_final_stats=1 -artifact_prefix="$work/findings/$1-" \
        "$work/corpus/$1" "$work/seeds/$1" >"$work/$1.log" 2>&1
    status=$?
    executed=$(awk '/stat::number_of_executed_units/ { print $2 }' "$work/$1.log")
    reached=$(awk '/ cov: / { for (i = 1; i < NF; i++) { if ($i == "cov:") c = $(i + 1)
        if ($i == "ft:") f = $(i + 1) } } END { print c + 0 " edges, " f + 0 " features" }' "$work/$1.log")
    if [ $status = 0 ]; then
        echo "fuzz $1: ${executed:-?} executions, $reached, no finding"
        return 0
    fi
    echo "fuzz $1: ${executed:-?} executions, $reached, FINDING (exit status $status)"
    grep -aE 'ERROR|runtime error|broken promise|Test unit written|^    #[0-9] ' "$work/$1.log" | head -n 20
    return 1
}

report_coverage() { # NAME
    sources=$(row "$1" | cut -d ' ' -f 3-)
    rm -f "$work/$1.profraw"
    LLVM_PROFILE_FILE="$work/$1.profraw" "$work/$1.coverage" -runs=0 "$work/corpus/$1" "$work/seeds/$1" \
        >"$work/$1.coverage.log" 2>&1 || return 1
    llvm-profdata-14 merge -o "$work/$1.profdata" "$work/$1.profraw" || return 1
    # shellcheck disable=SC2046
    (cd "$top" && llvm-cov-14 export -summary-only -instr-profile="$work/$1.profdata" \
        "$work/$1.coverage" $(for s in $sources; do echo "$top/$s"; done)) |
        python3 -c '
import json, os, sys
for f in json.load(sys.stdin)["data"][0]["files"]:
    s = f["summary"]
    print("coverage %s: %s lines %.1f %%, branches %.1f %%, functions %.1f %%" % (sys.argv[1],
          os.path.relpath(f["filename"], sys.argv[2]), s["lines"]["percent"], s["branches"]["percent"],
          s["functions"]["percent"]))' "$1" "$top"
}

# ---- what is asked -------------------------------------------------------------------------------

case ${1:-} in
--coverage | --keep) ;;
*[!0-9]* | '' | 0) usage ;;
esac
what=$1
shift
# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(echo "$targets" | awk '{ print $1 }')
for name in "$@"; do
    [ -n "$(row "$name")" ] || usage
done

command -v clang-14 >/dev/null || skip "clang-14 is missing: install the Debian package clang-14"
mkdir -p "$work"
echo 'int LLVMFuzzerTestOneInput(const char *d, long n) { return !d && n; }' |
    clang-14 -x c - -fsanitize=fuzzer,address,undefined -o "$work/probe" 2>/dev/null ||
    skip "libFuzzer is missing: install the Debian package libclang-rt-14-dev"
[ "$what" != --coverage ] || command -v llvm-cov-14 >/dev/null ||
    skip "llvm-cov-14 is missing: install the Debian package llvm-14"

[ -f "$build/Makefile" ] || QTOP_BUILD=$build "$top/bootstrap" run --version >/dev/null || exit 1
make -s -C "$build" all libtests.a >"$work/make.log" 2>&1 || { tail "$work/make.log"; exit 1; }

one() { # NAME
    case $what in
    --coverage)
        compile "$1" coverage -fsanitize=fuzzer -fprofile-instr-generate -fcoverage-mapping &&
            seed "$1" coverage && report_coverage "$1" ;;
    --keep) compile "$1" fuzz -fsanitize=fuzzer && seed "$1" fuzz && keep "$1" ;;
    *) compile "$1" fuzz -fsanitize=fuzzer && seed "$1" fuzz && fuzz "$1" "$what" ;;
    esac
}

rm -f "$work"/*.failed
for name in "$@"; do
    while [ "$(jobs -pr | wc -l)" -ge "$(nproc)" ]; do
        wait -n
    done
    { one "$name" >"$work/$name.out" 2>&1 || touch "$work/$name.failed"; cat "$work/$name.out"; } &
done
wait
! ls "$work"/*.failed >/dev/null 2>&1
