#!/bin/sh
# The report of the built-in model in a browser without a network: as a picture in light and dark, narrow, and as a PDF,
# none of them blank, and nothing that the browser complains about. Skipped where there is no Chromium (Debian: chromium
# or chromium-headless-shell).
. "$(dirname "$0")/tap.sh"
echo 1..7
browser=
for name in chromium chromium-headless-shell chromium-browser google-chrome; do
    [ -n "$browser" ] || browser=$(command -v $name)
done
if [ -z "$browser" ]; then
    for number in 1 2 3 4 5 6 7; do
        echo "ok $number # SKIP no Chromium: install the Debian package chromium"
    done
    exit 0
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/qtop-browser-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# Every name is unknown. What the browser says is in the file log, what pages ask for in asked: the requests of a page in
# a file come from the origin "null".
browse() { # OPTIONS...
    timeout 300 "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync \
        --user-data-dir="$work/profile" --host-resolver-rules='MAP * ~NOTFOUND' --enable-logging=stderr "$@" \
        --log-net-log="$work/net" "file://$work/report.html" >"$work/out" 2>>"$work/log"
    grep '"initiator":"null"' "$work/net" | grep -o '"url":"[^"]*"' >>"$work/asked"
}

# A picture in one colour compresses to nothing; this many bytes hold text and plots.
is_drawn() { # FILE BYTES
    [ -s "$1" ] && [ "$(wc -c <"$1")" -gt "$2" ]
}

./qtop report -t 1 -n 200 -s q4_k_m -s int8 -o "$work/report.html" 2>"$work/log" && is_drawn "$work/report.html" 20000 &&
    [ "$(wc -c <"$work/report.html")" -lt 500000 ]
report "the report is written, in less than 500 KB" $?
: >"$work/log"

browse --window-size=1240,3200 --screenshot="$work/wide.png"
is_drawn "$work/wide.png" 100000
report "it is drawn" $?
browse --window-size=1240,3200 --blink-settings=preferredColorScheme=0 --screenshot="$work/dark.png"
is_drawn "$work/dark.png" 100000 && ! cmp -s "$work/wide.png" "$work/dark.png"
report "it is dark where that is asked for" $?
browse --window-size=400,3200 --screenshot="$work/narrow.png"
is_drawn "$work/narrow.png" 50000
report "it is drawn on a narrow screen" $?
browse --no-pdf-header-footer --print-to-pdf="$work/report.pdf"
is_drawn "$work/report.pdf" 20000
report "it is printed" $?
report_findings "the browser finds no fault" "$(grep CONSOLE "$work/log")"
report_findings "it asks for nothing" "$(cat "$work/asked")"
