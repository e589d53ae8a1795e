#!/bin/sh
# The completions are what the tables of the program make of their sources; bash's completes, the others can be read.
source=$(cd "${srcdir:-.}/completions" && pwd)
. "$(dirname "$0")/tap.sh"
count=29

skip() { # UP-TO WHY
    while [ $number -lt "$1" ]; do
        number=$((number + 1))
        echo "ok $number # SKIP $2"
    done
}

current() { # TEMPLATE GENERATED
    ./completegen <"$source/$1" | diff - "$source/$2" >completions.diff 2>&1
    status=$?
    sed 's/^/# /' completions.diff
    rm -f completions.diff
    report "$2 is the generated one (make man)" $status
}

# What bash offers at the end of a command line, whose words are cut as bash cuts them: at = and :, and after @, which
# is in the word to be completed, too.
offered() { # WORDS...
    bash -c '
        complete() { :; }
        . "$0/bash/qtop"
        compopt() { :; }
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        word=${COMP_WORDS[COMP_CWORD]}
        [[ $word == [=:] ]] && word=
        [[ $word == =@ || ${COMP_WORDS[COMP_CWORD - 1]} == *@ ]] && word=@${word#=@}
        _qtop qtop "$word" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf "%s\n" "${COMPREPLY[@]}"' "$source" "$@" | LC_ALL=C sort -u | tr '\n' ' ' | sed 's/ $//'
}

equals() { # NAME EXPECTED WORDS...
    name=$1 expected=$2
    shift 2
    got=$(offered "$@")
    [ "$got" = "$expected" ] || echo "# got '$got', expected '$expected'"
    [ "$got" = "$expected" ]
    report "$name" $?
}

# Whether one is among what is offered, and another is not.
holds() { # NAME WORD NO-WORD WORDS...
    name=$1 word=$2 other=$3
    shift 3
    got=" $(offered "$@") "
    case $got in
    *" $other "*) false ;;
    *" $word "*) true ;;
    *) false ;;
    esac
    status=$?
    [ $status = 0 ] || echo "# got '$got', expected $word, and not $other"
    report "$name" $status
}

# What fish offers, without the descriptions; it keeps files of its own.
fish_equals() { # NAME EXPECTED COMMAND-LINE
    got=$(HOME=$home XDG_CONFIG_HOME=$home XDG_DATA_HOME=$home XDG_CACHE_HOME=$home \
        fish --no-config -c '. $argv[1]; complete -C $argv[2]' "$source/fish/qtop.fish" "$3" |
        cut -f 1 | LC_ALL=C sort -u | tr '\n' ' ' | sed 's/ $//')
    [ "$got" = "$2" ] || echo "# got '$got', expected '$2'"
    [ "$got" = "$2" ]
    report "$1" $?
}

echo 1..$count
current qtop.bash.in bash/qtop
current qtop.zsh.in zsh/_qtop
current qtop.fish.in fish/qtop.fish

if command -v bash >/dev/null 2>&1; then
    folder=$(mktemp -d)
    mkdir "$folder/models" "$folder/with space"
    touch "$folder/small.gguf" "$folder/small.safetensors" "$folder/small.txt" "$folder/with space/a.bin"
    cd "$folder" || exit 1
    equals "subcommands" "tokenize tune" qtop t
    holds "models and subcommands come first" small.gguf small.txt qtop ""
    equals "model files and folders" "small.gguf small.safetensors" qtop bench sm
    equals "folders of models" "models" qtop bench m
    equals "names with spaces" "with space/a.bin" qtop bench "with space/"
    holds "options of a subcommand" --max-bits --ascii qtop tune --
    holds "options of the terminal program" --ascii --max-bits qtop --
    equals "one option" "--protocol" qtop eval --prot
    equals "argument of an option" "fp8e4m3 fp8e5m2" qtop eval --kv fp8
    equals "argument after =" "fp8e4m3 fp8e5m2" qtop eval --kv = fp8
    equals "all arguments after =" "full llamacpp" qtop eval --protocol =
    equals "formats of files" "gguf gptq llama-bench safetensors" qtop export --format ""
    equals "formats of searches" "gguf memory safetensors" qtop tune --for ""
    equals "types and mixes" "q4_k q4_k_m q4_k_s" qtop bench -s q4_k
    equals "mixes that are called like a type" "@iq4_xs" qtop bench -s @ iq4_x
    equals "the same after =" "@iq4_xs" qtop bench --scheme =@ iq4_x
    holds "all of them" @iq4_nl @q1_0 qtop bench -s @
    holds "fields of such a mix" gptq int8 qtop bench -s @ iq4_xs : ""
    holds "fields of a scheme" gptq int8 qtop bench -s int4 : g32 : ""
    equals "fields after =" "asym awq" qtop bench --scheme = int4 : a
    equals "any file, and a word" "self small.gguf small.safetensors small.txt" qtop eval --text s
    cd - >/dev/null || exit 1
    rm -rf "$folder"
else
    skip $((count - 5)) "bash is not installed"
fi

if command -v zsh >/dev/null 2>&1; then
    zsh -n "$source/zsh/_qtop" 2>&1 | sed 's/^/# /'
    zsh -n "$source/zsh/_qtop" 2>/dev/null
    report "zsh reads its completion" $?
else
    skip $((count - 4)) "zsh is not installed"
fi
if command -v fish >/dev/null 2>&1; then
    home=$(mktemp -d)
    HOME=$home fish -n "$source/fish/qtop.fish" 2>&1 | sed 's/^/# /'
    HOME=$home fish -n "$source/fish/qtop.fish" 2>/dev/null
    report "fish reads its completion" $?
    fish_equals "fish: options of a subcommand" "--max-bits --max-kl --max-size" "qtop tune --max"
    fish_equals "fish: argument of an option" "fp8e4m3 fp8e5m2" "qtop eval --kv fp8"
    fish_equals "fish: fields of a scheme" "int4:g32:asym int4:g32:awq" "qtop bench -s int4:g32:a"
    rm -rf "$home"
else
    skip $count "fish is not installed"
fi
