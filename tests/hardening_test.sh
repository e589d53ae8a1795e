#!/bin/sh
# The program has what configure says it was built with (--disable-hardening leaves it out).
qtop=${QTOP_BIN:-./qtop}
number=0

value() { # VARIABLE of the Makefile
    sed -n "s/^$1 = *//p" Makefile
}
compiled=$(value HARDEN_CFLAGS)
linked=$(value HARDEN_LDFLAGS)

# Whether a description of the program contains a line, where a flag was used.
check() { # NAME FLAG IN READELF-OPTION FILE EXPECTED
    number=$((number + 1))
    case " $3 " in
    *" $2 "*) ;;
    *)
        echo "ok $number - $1 # SKIP built without $2"
        return
        ;;
    esac
    if readelf -W "$4" "$5" 2>/dev/null | grep -Eq "$6"; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
    fi
}

if ! command -v readelf >/dev/null 2>&1; then
    echo "1..0 # SKIP readelf is not installed"
    exit 0
fi
if [ -z "$compiled$linked" ]; then
    echo "1..0 # SKIP configured with --disable-hardening"
    exit 0
fi
echo 1..6
check "position independent (PIE)" -pie "$linked" -h "$qtop" "Type: +DYN"
check "relocations are read-only (RELRO)" -Wl,-z,relro,-z,now "$linked" -l "$qtop" GNU_RELRO
check "all of them, before it starts (BIND_NOW)" -Wl,-z,relro,-z,now "$linked" -d "$qtop" "BIND_NOW|Flags:.* NOW"
check "stacks are protected" -fstack-protector-strong "$compiled" -s "$qtop" "__stack_chk_fail"
check "functions of the C library check sizes" -D_FORTIFY_SOURCE=2 "$compiled" -s "$qtop" "__[a-z]+_chk@"
check "indirect jumps are checked (CET)" -fcf-protection "$compiled" -n libviews.a "x86 feature:.*IBT.*SHSTK"
