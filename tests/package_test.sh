#!/bin/sh
# The Debian package says what the sources say: the libraries and tools that bootstrap installs, the version, the
# licence.
source=$(cd "${srcdir:-.}" && pwd)
. "$(dirname "$0")/tap.sh"

# The packages of Build-Depends, a line each.
build_depends() {
    sed -n '/^Build-Depends:/,/^[A-Z]/s/^ \([a-z0-9.+-]*\).*/\1/p' "$source/debian/control"
}

missing() {
    for package in $(sed -n 's/^\(libraries\|tools\|for_tests\)="\(.*\)"$/\2/p' "$source/bootstrap"); do
        case $package in
        gcc | make) continue ;; # build-essential
        esac
        build_depends | grep -qxF "$package" || echo "debian/control: Build-Depends lacks $package"
    done
}

versions() {
    version=$(sed -n 's/^PACKAGE_VERSION = //p' Makefile)
    head -n 1 "$source/debian/changelog" | grep -qF "qtop ($version)" ||
        echo "debian/changelog: the newest version is not $version"
}

# The licence's text, and who has the copyright, whatever their lines are.
words() {
    tr -s ' \n' '  ' | sed 's/ \. / /g'
}

licence() {
    text=$(sed '1,/^Copyright/d' "$source/COPYING" | words)
    words <"$source/debian/copyright" | grep -qF "${text% }" || echo "debian/copyright: not the text of COPYING"
    owner=$(sed -n 's/^Copyright (c) //p' "$source/COPYING")
    grep -qxF "Copyright: $owner" "$source/debian/copyright" || echo "debian/copyright: no 'Copyright: $owner'"
}

echo 1..3
report_findings "what bootstrap installs is in Build-Depends" "$(missing)"
report_findings "the newest entry of the changelog is of this version" "$(versions)"
report_findings "the licence is that of COPYING" "$(licence)"
