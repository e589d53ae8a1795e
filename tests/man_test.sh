#!/bin/sh
# The man page is what the tables of options and keys make of its source, and is well formed.
page=${srcdir:-.}/man/qtop.1
number=0

report() { # NAME STATUS
    number=$((number + 1))
    if [ "$2" = 0 ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
    fi
}

echo 1..3
./mangen <"${srcdir:-.}/man/qtop.1.in" | diff - "$page" >man.diff 2>&1
status=$?
sed 's/^/# /' man.diff
report "the committed page is the generated one (make man)" $status
rm -f man.diff
{ ./mangen names <"${srcdir:-.}/README.md" | diff - "${srcdir:-.}/README.md" &&
    ./mangen table <"${srcdir:-.}/docs/architectures.md" | diff - "${srcdir:-.}/docs/architectures.md"; } >tables.diff 2>&1
status=$?
sed 's/^/# /' tables.diff
report "the tables of architectures are the program's (make man)" $status
rm -f tables.diff
if command -v mandoc >/dev/null 2>&1; then
    mandoc -Tlint -Wwarning "$page" | sed 's/^/# /'
    mandoc -Tlint -Wwarning "$page" >/dev/null
    report "mandoc -Tlint finds nothing" $?
else
    number=$((number + 1))
    echo "ok $number # SKIP mandoc is not installed"
fi
