#!/bin/sh
# husk kernel: importing and listing guest kernels.
set -eu
. "$(dirname "$0")/tap.sh"

kernels=${XDG_CACHE_HOME:-$HOME/.cache}/husk/kernels
unset HUSK_KERNEL
XDG_DATA_HOME=$tap_folder/data
XDG_DATA_DIRS=$tap_folder/system
export XDG_DATA_HOME XDG_DATA_DIRS

fails() { # WORDS-OF-THE-REASON ARGUMENT...
    words=$1
    shift
    status=0
    "$HUSK" kernel "$@" >"$tap_folder/out" 2>"$tap_folder/err" || status=$?
    cat "$tap_folder/err"
    test "$status" = 125
    test "$(wc -l <"$tap_folder/err")" = 1
    grep -qF -e "$words" "$tap_folder/err"
}

wrong_words_have_one_sentence() {
    fails "kernel what"
    fails "no 'husk kernel frobnicate'" frobnicate
    fails "takes a package" import
    fails "takes no argument" list all
    fails "no such file" import "$tap_folder/not-there"
    fails "no Debian package" import "$0"
    fails "no boot/vmlinuz" import "$tap_folder"
    test ! -e "$XDG_DATA_HOME"
}

without_a_kernel_the_list_says_how_to_get_one() {
    if "$HUSK" kernel list | grep -q '^default: libkrunfw'; then
        tap_skip "this host has libkrunfw"
    fi
    fails "husk kernel import" list
}

an_imported_kernel_becomes_the_default() {
    package=$kernels/cloud/package.deb
    [ -f "$package" ] ||
        tap_skip "no cloud kernel in the cache; scripts/fetch-kernel gets it"
    "$HUSK" kernel import "$package"
    "$HUSK" kernel import "$package" other
    HUSK_KERNEL=other "$HUSK" kernel list | tee "$tap_folder/list"
    test "$(grep -c "6.*$XDG_DATA_HOME/husk/kernels/" "$tap_folder/list")" = 2
    grep -qx 'default: other' "$tap_folder/list"
    grep -q '^module virtio_mmio.ko mmio$' \
        "$XDG_DATA_HOME/husk/kernels/default/manifest"
    test "$(ls "$XDG_DATA_HOME/husk/kernels")" = "$(printf 'default\nother')"
}

what_is_no_kernel_folder_is_not_replaced() {
    mkdir -p "$tap_folder/mine"
    echo precious >"$tap_folder/mine/file"
    fails "no kernel folder" import "$0" "$tap_folder/mine"
    grep -q precious "$tap_folder/mine/file"
}

tap_plan 4
tap_case wrong_words_have_one_sentence
tap_case without_a_kernel_the_list_says_how_to_get_one
tap_case an_imported_kernel_becomes_the_default
tap_case what_is_no_kernel_folder_is_not_replaced
tap_end
