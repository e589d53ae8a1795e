#!/bin/sh
# The order of the rooms. A file includes only from its own room or from rooms before it in the list. No two
# files of a room call each other, not even through a third. Besides: curses stays in views/, and nothing below
# views/ prints or exits.
rooms="base kernels sys formats model tokenizer engine linalg measure train quant export session report lab views"

. "$(dirname "$0")/tap.sh"
build=$PWD
cd "${srcdir:-.}" || exit 1

folder_of() { # ROOM
    case $1 in
    kernels | views) echo "$1" ;;
    *) echo "src/$1" ;;
    esac
}

lines_with() { # PATTERN FOLDERS...
    pattern=$1
    shift
    grep -rnE --include='*.c' --include='*.h' --include='*.inc' "$pattern" "$@"
}

# ---- includes ----------------------------------------------------------------------------------

# Files that lie in no room of the list, and includes that do not name a room and a file ("room/file.h") or a file
# of the same folder ("file.h").
strangers() {
    for folder in src/*/; do
        case " $rooms " in
        *" $(basename "$folder") "*) ;;
        *) echo "$folder is no room of the list" ;;
        esac
    done
    ls src/*.[ch] 2>/dev/null
    lines_with '#include "(\.|/|[a-z_]+/[^"]*/)' src kernels views
}

includes_upward() {
    before=
    for room in $rooms; do
        before="$before $room"
        folder=$(folder_of "$room")
        grep -rnoE --include='*.c' --include='*.h' --include='*.inc' '#include "[a-z_]+/[^"]+"' "$folder" |
            awk -v allowed="$before" '
                BEGIN { n = split(allowed, a, " "); for (i = 1; i <= n; i++) may[a[i]] = 1 }
                { split($0, half, "\""); split(half[2], path, "/"); if (!(path[1] in may)) print }'
    done
}

# ---- calls -------------------------------------------------------------------------------------

# "OBJECT SYMBOL" of what the objects of a folder define, or of what they want.
symbols() { # d|u FOLDER
    for source in "$2"/*.c; do
        object=$build/${source%.c}.o
        nm "$object" 2>/dev/null | awk -v which="$1" -v object="$(basename "$object" .o)" '
            which == "d" && $2 ~ /^[TDRBVW]$/ { print object, $3 }
            which == "u" && $1 == "U" { print object, $2 }'
    done
}

# The cycles among the objects of one room, as tsort names them.
cycles_in() { # FOLDER
    symbols d "$1" >"$work/defined"
    symbols u "$1" >"$work/wanted"
    awk 'NR == FNR { where[$2] = $1; next }
         ($2 in where) && where[$2] != $1 { print $1, where[$2] }' "$work/defined" "$work/wanted" |
        sort -u | tsort 2>&1 >/dev/null | sed "s|^|$1: |"
}

work=$(mktemp -d "${TMPDIR:-/tmp}/qtop-order-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

count=0
for room in $rooms; do
    count=$((count + 1))
done
echo "1..$((5 + count))"
report_findings "every file lies in a room, and every include says which" "$(strangers)"
report_findings "no room includes from a room after it" "$(includes_upward)"
report_findings "curses is included in views only" "$(lines_with '#include *[<"]n?curses' kernels src)"
report_findings "nothing below views prints" \
    "$(lines_with '(^|[^a-z_])((printf|puts|putchar|perror) *\(|(stdout|stderr)[^a-z_])' kernels src)"
report_findings "nothing below views ends the program" "$(lines_with '(^|[^a-z_])_?(exit|abort) *\(' kernels src)"
for room in $rooms; do
    report_findings "no files of $room call each other" "$(cycles_in "$(folder_of "$room")")"
done
