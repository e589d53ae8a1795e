#!/bin/sh
# The tests of kernels/ on AArch64, compiled with warnings as errors and run under qemu: the NEON
# kernels and the plain ones. Of that processor's libraries they need libc alone; cross/cmocka.h
# stands in for cmocka. On AArch64 itself the suite tests NEON without this.
#
#   QTOP_CROSS_CC    the cross compiler (aarch64-linux-gnu-gcc); empty: do not test
#   QTOP_CROSS_RUN   what runs its programs (qemu-aarch64)
cc=${QTOP_CROSS_CC-aarch64-linux-gnu-gcc}
run=${QTOP_CROSS_RUN:-qemu-aarch64}
top=$(cd "${srcdir:-.}" && pwd) || exit 1
programs="kernel_test ops_test dtype_test stored_test block_acts_test"
flags="-std=c11 -I$top -I$top/src -D_GNU_SOURCE -O2 -ffp-contract=off ${QTOP_WARNINGS:?comes from make check} -Werror"
neon_flags=${QTOP_NEON_CFLAGS:?comes from make check}
export QTOP_TEST_STRIDE=4 # see kernel_test.c

unset QTOP_ISA # is this machine's

skip_all() {
    echo "1..0 # SKIP NEON was not tested: $1"
    exit 0
}

[ -n "$cc" ] || skip_all "QTOP_CROSS_CC is empty"
[ "$(uname -m)" != aarch64 ] || skip_all "this machine is AArch64: tests/kernel_test tests NEON"
command -v "$cc" >/dev/null 2>&1 || skip_all "no $cc (Debian: gcc-aarch64-linux-gnu)"
command -v "$run" >/dev/null 2>&1 || skip_all "no $run (Debian: qemu-user)"
echo 'int main(void){return 0;}' | "$cc" -xc -static -o /dev/null - 2>/dev/null ||
    skip_all "$cc does not link (Debian: libc6-dev-arm64-cross)"

work=$(mktemp -d "${TMPDIR:-/tmp}/qtop-neon-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# The options of one file of kernels/: an instruction set has its own.
options_of() {
    case $1 in
    *neon*) echo "$neon_flags" ;;
    ops_*) echo "-fno-trapping-math" ;;
    esac
}

compile() { # NAME FILE OPTIONS...: to $work/NAME.o, in the background
    name=$1
    file=$2
    shift 2
    # shellcheck disable=SC2086
    { "$cc" $flags "$@" -c "$file" -o "$work/$name.o" 2>"$work/$name.err" ||
        echo "$name" >>"$work/failed"; } &
}

# Schemes name the formats that kernels are tested with; cross/methods.c stands in for the methods.
schemes="$top/src/quant/scheme.c $top/src/quant/scheme_methods.c $top/tests/cross/methods.c"
# shellcheck disable=SC2086
for file in "$top"/src/base/*.c "$top"/kernels/*.c $schemes; do
    name=$(basename "$file" .c)
    case $name in
    *avx* | *amx*) continue ;;
    esac
    # shellcheck disable=SC2046
    compile "$name" "$file" $(options_of "$name")
    objects="${objects:-} $work/$name.o"
done
for name in support $programs; do
    compile "$name" "$top/tests/$name.c" -I"$top/tests/cross" -DSRCDIR="\"$top\""
done
wait

if [ -f "$work/failed" ]; then
    sed 's/^/# /' "$work"/*.err
    echo "1..1"
    echo "not ok 1 - kernels and their tests compile for AArch64"
    exit 1
fi

for name in $programs; do
    # shellcheck disable=SC2086
    "$cc" -static -o "$work/$name" "$work/$name.o" "$work/support.o" $objects -lm || exit 1
    { "$run" "$work/$name" 2>&1 || echo "# $name: exit status $?"; } >"$work/$name.out" &
done
wait

# One plan for all programs: their cases follow each other.
total=0
report() { # STATUS NAME
    total=$((total + 1))
    if [ "$1" = 0 ]; then echo "ok $total - $2"; else echo "not ok $total - $2"; fi
}
for name in $programs; do
    planned=$(sed -n 's/^1\.\.//p' "$work/$name.out")
    before=$total
    while read -r line; do
        case $line in
        "ok "*) report 0 "$name: ${line#*- }" ;;
        "not ok "*) report 1 "$name: ${line#*- }" ;;
        "1.."*) ;;
        *) echo "# ${line#\# }" ;;
        esac
    done <"$work/$name.out"
    [ "$((total - before))" = "${planned:-none}" ] || report 1 "$name: all ${planned:-} cases ran"
done
! grep -q '^neon: this machine does not have it' "$work/kernel_test.out"
report $? "kernel_test: NEON was there to be tested"
echo "1..$total"
