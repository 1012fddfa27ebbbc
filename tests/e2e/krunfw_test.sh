#!/bin/sh
# A host with libkrunfw: its kernel is the default, takes no first file system
# and starts init out of the root share. The library is one of ours that hands
# out the tuned kernel.
set -eu
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/run.sh"
unset HUSK_KERNEL
XDG_DATA_HOME=$tap_folder/data
XDG_DATA_DIRS=$tap_folder/system
export XDG_DATA_HOME XDG_DATA_DIRS

need_krunfw() {
    FAKE_KRUNFW=$(ls -d "$run_cache"/kernels/tuned-*/vmlinux 2>/dev/null |
        sort -V | tail -n 1)
    [ -n "$FAKE_KRUNFW" ] ||
        tap_skip "no tuned kernel in the cache; make kernel builds it"
    [ -d "$run_cache/packages/busybox-static" ] ||
        tap_skip "no busybox in the cache; scripts/fetch-package busybox-static gets it"
    LD_LIBRARY_PATH=$tap_folder/lib
    mkdir -p "$LD_LIBRARY_PATH"
    ln -sf "$HUSK_BUILD/tests/e2e/libfake_krunfw.so" \
        "$LD_LIBRARY_PATH/libkrunfw.so.5"
    export FAKE_KRUNFW LD_LIBRARY_PATH
    [ -d "$root" ] || "$HUSK_SOURCE/scripts/make-root" "$root" >&2
}

its_kernel_is_the_default() {
    need_krunfw
    "$HUSK" kernel list | grep -qx 'default: libkrunfw'
}

a_command_runs_with_its_streams_and_status() {
    need_krunfw
    ls "$root" >"$f/before"
    echo input >"$f/in"
    run -i -- sh -c 'cat; echo err >&2; exit 7' <"$f/in"
    test "$status" = 7
    says input
    test "$(cat "$f/err")" = err
    ls "$root" | diff "$f/before" -
}

files_of_the_root_are_no_orders() {
    need_krunfw
    printf 'HUSKCFG1 no orders' >"$root/husk.cfg"
    printf 'HUSKCFG1 no orders' >"$root/.husk.cfg"
    run -- sh -c 'ls -A / | grep -c husk; cat /.husk.cfg'
    rm -f "$root/husk.cfg" "$root/.husk.cfg"
    test "$status" = 0
    grep -qx 2 "$f/out"
}

a_read_only_root_cannot_be_changed() {
    need_krunfw
    run --read-only -- sh -c 'echo x >/x'
    test "$status" = 1
    test ! -e "$root/x"
}

tap_plan 4
tap_case its_kernel_is_the_default
tap_case a_command_runs_with_its_streams_and_status
tap_case files_of_the_root_are_no_orders
tap_case a_read_only_root_cannot_be_changed
tap_end
