#!/bin/sh
# Includes point downwards only: kernels/ may include nothing of src/ or views/, src/ nothing of
# views/; curses stays in views/; nothing below views/ prints or exits.
cd "${srcdir:-.}" || exit 1
number=0

check() { # NAME PATTERN FOLDERS...
    name=$1
    pattern=$2
    shift 2
    number=$((number + 1))
    found=$(grep -rnE --include='*.c' --include='*.h' "$pattern" "$@")
    if [ -z "$found" ]; then
        echo "ok $number - $name"
    else
        echo "$found" | sed 's/^/# /'
        echo "not ok $number - $name"
    fi
}

echo 1..5
check "kernels include nothing above them" '#include "(\.\./)*(src|views)/|#include "\.\./\.\.' kernels
check "src includes nothing of views" '#include "(\.\./)*views/' src
check "curses is included in views only" '#include *[<"]n?curses' kernels src
check "nothing below views prints" '(^|[^a-z_])((printf|puts|putchar|perror) *\(|(stdout|stderr)[^a-z_])' kernels src
check "nothing below views ends the program" '(^|[^a-z_])_?(exit|abort) *\(' kernels src
