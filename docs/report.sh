#!/bin/sh
# docs/report.sh MODEL: the report of a model as the picture docs/report.png (its upper part; up to 300 KB). Needs qtop in
# the PATH or QTOP, and the Debian packages chromium and pngquant.
set -eu
model=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${QTOP:-qtop}" report "$model" --seconds 900 -o "$work/report.html"
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/profile" \
    --window-size=1228,1930 --screenshot="$work/report.png" "file://$work/report.html" >"$work/log" 2>&1
pngquant --force --output "$here/report.png" 32 "$work/report.png"
wc -c "$here/report.png"
