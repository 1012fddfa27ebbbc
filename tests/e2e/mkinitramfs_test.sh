#!/bin/sh
# tools/mkinitramfs, the writer of a guest's first file system.
set -eu
. "$(dirname "$0")/tap.sh"

make_archive() { # NAME, list on stdin
    "$HUSK_BUILD/tools/mkinitramfs" "$1.cpio"
}

refuses() { # LINE WORDS-OF-THE-REASON
    status=0
    echo "$1" | "$HUSK_BUILD/tools/mkinitramfs" bad.cpio 2>reason || status=$?
    cat reason
    test "$status" = 1
    grep -qF "$2" reason
}

list() {
    echo "# comment"
    echo "dir 755 /dev"
    echo "node 600 /dev/console c 5 1"
    echo "file 755 /init $tap_folder/payload"
    echo "link /bin /init"
}

the_archive_has_the_newc_form() {
    echo hello >payload
    list | make_archive one
    test "$(head -c 6 one.cpio)" = 070701
    tail -c 16 one.cpio | tr -d '\0' | grep -qF 'TRAILER!!!'
    tr '\0' '\n' <one.cpio | grep -aqxF hello
    tr '\0' '\n' <one.cpio | grep -aq 'dev/console$'
    # Device numbers 5 and 1 as fixed hexadecimal fields.
    tr '\0' '\n' <one.cpio | grep -aq 0000000500000001
}

the_same_list_gives_the_same_bytes() {
    list | make_archive one
    touch -d '2001-01-01' payload
    list | make_archive two
    cmp one.cpio two.cpio
}

bad_lists_are_refused_with_the_line() {
    refuses "socket 600 /x" "line 1: socket: unknown kind"
    refuses "dir /x" "wrong number of words"
    refuses "dir 9z9 /x" "not a number"
    refuses "node 600 /x c -1 1" "not a number"
    refuses "file 644 /x not-there" "No such file"
    refuses "$(head -c 9000 /dev/zero | tr '\0' x)" "too long"
}

the_script_puts_in_a_program_with_its_libraries() {
    "$HUSK_SOURCE/scripts/fetch-package" busybox-static ||
        tap_skip "the busybox package cannot be fetched here"
    printf '#!/bin/sh\n' >init
    "$HUSK_SOURCE/scripts/make-initramfs" --build "$HUSK_BUILD" --init init \
        --program "$(command -v ninja):/bin/ninja" --output three.cpio
    tr '\0' '\n' <three.cpio >names
    grep -aq 'bin/busybox$' names
    grep -aq 'bin/ninja$' names
    grep -aq 'lib/x86_64-linux-gnu/libc.so.6$' names
    grep -aq 'lib64/ld-linux-x86-64.so.2$' names
}

cd "$tap_folder"
tap_plan 4
tap_case the_archive_has_the_newc_form
tap_case the_same_list_gives_the_same_bytes
tap_case bad_lists_are_refused_with_the_line
tap_case the_script_puts_in_a_program_with_its_libraries
tap_end
