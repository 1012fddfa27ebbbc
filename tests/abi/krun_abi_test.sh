#!/bin/sh
# libkrun.so.1 as programs and linkers meet it. After a wanted change of the
# interface: krun_abi_test.sh --record.
set -eu
if [ "${1:-}" = --record ]; then
    cd "$(dirname "$0")/../.."
    sed -n 's/.*\b\(krun_[a-z0-9_]*\)(.*/\1/p' include/libkrun.h |
        sort -u >tests/abi/krun.symbols
    exit
fi
. "$HUSK_SOURCE/tests/e2e/tap.sh"

library=$HUSK_BUILD/libkrun.so.1
header=$HUSK_SOURCE/include/libkrun.h

# Those and no others: libuv's and libarchive's names must not leak either.
it_shows_exactly_the_recorded_symbols() {
    nm -D --defined-only "$library" | sed 's/.* //' | sort -u \
        >"$tap_folder/defined"
    sort -u "$HUSK_SOURCE/tests/abi/krun.symbols" \
        "$HUSK_SOURCE/tests/abi/husk.symbols" >"$tap_folder/wanted"
    diff "$tap_folder/wanted" "$tap_folder/defined"
}

all_69_calls_are_recorded() {
    [ "$(wc -l <"$HUSK_SOURCE/tests/abi/krun.symbols")" = 69 ]
}

every_symbol_is_in_the_header() {
    while read -r name; do
        grep -q "\b$name(" "$header" || {
            echo "$name is not declared"
            return 1
        }
    done <"$HUSK_SOURCE/tests/abi/krun.symbols"
}

its_names_are_those_of_libkrun() {
    readelf -d "$library" | grep -q 'SONAME.*\[libkrun\.so\.1\]'
    [ -e "$HUSK_BUILD/libkrun.so" ]
    [ "$(readlink -f "$HUSK_BUILD/libkrun.so")" = \
        "$(readlink -f "$library")" ]
}

it_stays_loaded_once_loaded() {
    readelf -d "$library" | grep -q NODELETE
}

a_program_finds_it_by_pkg_config() {
    command -v pkg-config >/dev/null || tap_skip "there is no pkg-config"
    for module in libkrun husk; do
        PKG_CONFIG_PATH=$HUSK_BUILD/meson-private \
            pkg-config --print-errors --exists "$module"
        PKG_CONFIG_PATH=$HUSK_BUILD/meson-private \
            pkg-config --libs "$module" | grep -q -- '-lkrun'
        [ -z "$(PKG_CONFIG_PATH=$HUSK_BUILD/meson-private \
            pkg-config --print-requires --print-requires-private "$module")" ]
    done
    [ "$(PKG_CONFIG_PATH=$HUSK_BUILD/meson-private \
        pkg-config --modversion libkrun)" = 1.19.0 ]
}

a_program_links_with_the_header_alone() {
    cat >"$tap_folder/user.c" <<'USER'
#include <libkrun.h>
#include <libkrun_display.h>
#include <libkrun_input.h>

int main(void)
{
    uint16_t sizes[] = {KRUN_VHOST_USER_RNG_NUM_QUEUES};
    const uint16_t *defaults = KRUN_VHOST_USER_SND_QUEUE_SIZES;
    if (COMPAT_NET_FEATURES != 0x4c83 || sizes[0] != 1 || defaults[3] != 64)
        return 1;
    if (krun_create_ctx() != 0 || krun_set_vm_config(0, 2, 512) != 0)
        return 2;
    return krun_free_ctx(0) == 0 && krun_free_ctx(0) == -2 ? 0 : 3;
}
USER
    cd "$tap_folder"
    "${CC:-cc}" -I "$HUSK_SOURCE/include" user.c -L "$HUSK_BUILD" -lkrun \
        -o user
    LD_LIBRARY_PATH=$HUSK_BUILD ./user
}

tap_plan 7
tap_case it_shows_exactly_the_recorded_symbols
tap_case all_69_calls_are_recorded
tap_case every_symbol_is_in_the_header
tap_case its_names_are_those_of_libkrun
tap_case it_stays_loaded_once_loaded
tap_case a_program_finds_it_by_pkg_config
tap_case a_program_links_with_the_header_alone
tap_end
