#!/bin/sh
# The man pages are what the tables of the program make of their sources, are well formed, and refer to sections that
# are there.
man=${srcdir:-.}/man
. "$(dirname "$0")/tap.sh"

echo 1..8
for page in qtop.1 qtop-recipe.5 qtop-schemes.7; do
    ./mangen <"$man/$page.in" | diff - "$man/$page" >man.diff 2>&1
    status=$?
    sed 's/^/# /' man.diff
    report "the committed $page is the generated one (make man)" $status
    rm -f man.diff
    if command -v mandoc >/dev/null 2>&1; then
        mandoc -Tlint -Wwarning "$man/$page" | sed 's/^/# /'
        mandoc -Tlint -Wwarning "$man/$page" >/dev/null
        report "mandoc -Tlint finds nothing in $page" $?
    else
        number=$((number + 1))
        echo "ok $number # SKIP mandoc is not installed"
    fi
done
{ ./mangen names <"${srcdir:-.}/README.md" | diff - "${srcdir:-.}/README.md" &&
    ./mangen table <"${srcdir:-.}/docs/architectures.md" | diff - "${srcdir:-.}/docs/architectures.md"; } >tables.diff 2>&1
status=$?
sed 's/^/# /' tables.diff
report "the tables of architectures are the program's (make man)" $status
rm -f tables.diff

# Sections that are not where they are said to be: by .Sx in the same page; by "SECTION in" and .Xr in qtop(1); by the
# list in qtop(1) of what is in qtop-schemes(7).
sections() { # PAGE
    sed -n 's/^\.S[hs] //p' "$man/$1"
}
strangers() {
    for page in qtop.1 qtop-recipe.5 qtop-schemes.7; do
        sed -n 's/^\.Sx \([A-Za-z ]*[A-Za-z]\).*/\1/p; s/^\.Pq see Sx \(.*[a-z]\) *\.*$/\1/p' "$man/$page" |
            while read -r name; do
                sections $page | grep -qxF "$name" || echo "$page: no section $name"
            done
        sed -n 's/^.*[^A-Z]\([A-Z]\{4,\}\) in$/\1/p' "$man/$page" | while read -r name; do
            sections qtop.1 | grep -qxF "$name" || echo "$page: qtop.1 has no section $name"
        done
    done
    sed -n '/^\.Sh SCHEMES, METHODS/,/^\.Sh SEARCHING/p' "$man/qtop.1" | tr '\n' ' ' | grep -o '([A-Z][A-Za-z ,]*)' |
        tr -d '()' | tr ',' '\n' | sed 's/^ *//' | while read -r name; do
            sections qtop-schemes.7 | grep -qxF "$name" || echo "qtop.1: qtop-schemes.7 has no section $name"
        done
}
strangers | sed 's/^/# /'
[ -z "$(strangers)" ]
report "sections that a page names are there" $?
