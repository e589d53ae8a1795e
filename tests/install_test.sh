#!/bin/sh
# make install puts every file in its place, from where the program works; make uninstall takes all of them away; the
# files for desktops are well formed.
source=$(cd "${srcdir:-.}" && pwd)
. "$(dirname "$0")/tap.sh"
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES DESTDIR QTOP_DATA

# A check by a tool that may be absent.
check_with() { # NAME TOOL ARGUMENTS...
    name=$1
    shift
    if ! command -v "$1" >/dev/null 2>&1; then
        number=$((number + 1))
        echo "ok $number - $name # SKIP $1 is not installed"
        return
    fi
    "$@" >"$folder/output" 2>&1
    status=$?
    sed 's/^/# /' "$folder/output"
    report "$name" $status
}

expected="usr/bin/qtop
usr/share/applications/qtop.desktop
usr/share/bash-completion/completions/qtop
usr/share/fish/vendor_completions.d/qtop.fish
usr/share/icons/hicolor/scalable/apps/qtop.svg
usr/share/man/man1/qtop.1
usr/share/man/man5/qtop-recipe.5
usr/share/man/man7/qtop-schemes.7
usr/share/metainfo/invalid.qtop.qtop.metainfo.xml
usr/share/mime/packages/qtop.xml
usr/share/qtop/mixed-calibration.txt
usr/share/qtop/mixed-quality.txt
usr/share/qtop/stories-calibration.txt
usr/share/qtop/stories-heldout.txt
usr/share/qtop/stories.bin
usr/share/qtop/tokenizer.bin
usr/share/zsh/site-functions/_qtop"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
root=$folder/root

# Under /usr whatever configure was told.
make_in_root() { # TARGET
    "${MAKE:-make}" -s "$1" DESTDIR="$root" prefix=/usr exec_prefix=/usr bindir=/usr/bin datarootdir=/usr/share \
        datadir=/usr/share mandir=/usr/share/man 2>&1 | sed 's/^/# /'
}

files() {
    (cd "$root" && find . ! -type d) | sed 's|^\./||' | LC_ALL=C sort
}

echo 1..10
make_in_root install
files >"$folder/found"
echo "$expected" | diff - "$folder/found" >"$folder/output"
status=$?
sed 's/^/# /' "$folder/output"
report "make install installs each file, and no other" $status

installed=$root/usr/bin/qtop
(cd / && "$installed" --version) 2>&1 | grep -q '^qtop [0-9]'
report "the installed program runs" $?

(cd / && "$installed" inspect --no-run) 2>&1 | grep -q 'blk\.0\.attn_q'
report "it opens the built-in model" $?

echo "no model" >"$root/usr/share/qtop/stories.bin"
(cd / && "$installed" inspect --no-run) 2>&1 | grep -qF "$root/usr/share/qtop/stories.bin"
report "which is the one that was installed with it" $?

make_in_root uninstall
files >"$folder/found"
sed 's/^/# left: /' "$folder/found"
[ ! -s "$folder/found" ]
report "make uninstall leaves no file" $?

check_with "the desktop file is valid" desktop-file-validate "$source/desktop/qtop.desktop"
check_with "the AppStream metainfo is valid" appstreamcli validate --no-net \
    "$source/desktop/invalid.qtop.qtop.metainfo.xml"

mkdir -p "$folder/mime/packages"
cp "$source/desktop/qtop.xml" "$folder/mime/packages"
check_with "the MIME type can be added" update-mime-database "$folder/mime"
[ ! -e "$folder/mime/magic" ] || grep -aq '=.*GGUF' "$folder/mime/magic"
report "its files are known by their first bytes" $?

version=$(sed -n 's/^PACKAGE_VERSION = //p' Makefile)
grep '<release ' "$source/desktop/invalid.qtop.qtop.metainfo.xml" | head -n 1 | grep -qF "version=\"$version\""
report "the newest release of the metainfo is $version" $?
