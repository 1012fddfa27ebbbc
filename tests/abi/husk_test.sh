#!/bin/sh
# husk.h as a caller meets it: alone, in C and C++, with the recorded symbols.
# After a wanted change of the interface: husk_test.sh --record.
set -eu
if [ "${1:-}" = --record ]; then
    cd "$(dirname "$0")/../.."
    sed -n 's/.*\b\(husk_[a-z0-9_]*\)(.*/\1/p' include/husk.h |
        grep -v '_fn$' | sort -u >tests/abi/husk.symbols
    exit
fi
. "$HUSK_SOURCE/tests/e2e/tap.sh"

header=$HUSK_SOURCE/include/husk.h
symbols=$HUSK_SOURCE/tests/abi/husk.symbols
strict="-Wall -Wextra -Wpedantic -Werror -fsyntax-only"

compiles_as() { # LANGUAGE STANDARD
    echo '#include "husk.h"' | "${CC:-cc}" -x "$1" -std="$2" $strict \
        -I "$HUSK_SOURCE/include" -
}

compiles_as_c99() { compiles_as c c99; }

compiles_as_cxx() {
    echo | "${CC:-cc}" -x c++ -fsyntax-only - 2>/dev/null ||
        tap_skip "no C++ compiler is installed"
    compiles_as c++ c++11
}

every_symbol_is_in_the_library() {
    nm --defined-only "$HUSK_LIBRARY" 2>/dev/null |
        sed -n 's/.* T \(husk_.*\)/\1/p' | sort -u >"$tap_folder/defined"
    diff "$symbols" "$tap_folder/defined"
}

every_symbol_is_in_the_header() {
    while read -r name; do
        grep -q "\b$name(" "$header" || {
            echo "$name is not declared"
            return 1
        }
    done <"$symbols"
}

a_program_with_the_header_alone_links_and_runs() {
    cat >"$tap_folder/user.c" <<'USER'
#include "husk.h"
#include <string.h>

int main(void)
{
    struct husk_vm *vm = NULL;
    if (husk_vm_create(&vm) != 0)
        return 1;
    if (husk_vm_set_cpus(vm, 0) != -22 || husk_vm_error(vm)[0] == '\0')
        return 2;
    if (husk_vm_set_memory(vm, 1) != -22)
        return 3;
    if (husk_vm_start(vm) >= 0)
        return 4; /* there is no kernel */
    if (husk_vm_wait(vm, 0) != -22)
        return 5; /* not started */
    if (husk_vm_end_reason(vm) != HUSK_END_NONE)
        return 6;
    if (strcmp(husk_error_text(-2), "no such file or directory") != 0)
        return 7;
    husk_vm_kill(vm);
    husk_vm_destroy(vm);
    husk_vm_destroy(NULL);
    return 0;
}
USER
    cd "$tap_folder"
    "${CC:-cc}" -I "$HUSK_SOURCE/include" user.c "$HUSK_LIBRARY" -o user \
        -luv -larchive -lzstd -lz -lpthread -lm
    HUSK_KERNEL=/no/such/kernel ./user
}

tap_plan 5
tap_case compiles_as_c99
tap_case compiles_as_cxx
tap_case every_symbol_is_in_the_library
tap_case every_symbol_is_in_the_header
tap_case a_program_with_the_header_alone_links_and_runs
tap_end
