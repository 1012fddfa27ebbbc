#!/bin/sh
# Bad input: one sentence on standard error, status 125, nothing on standard
# output, nothing left behind. Kernels are made here byte by byte.
set -eu
. "$(dirname "$0")/tap.sh"

f=$tap_folder
: >"$f/empty"
head -c 4096 /dev/zero >"$f/zeros"

# put FILE OFFSET HEX...: overwrites bytes, little ends first as given.
put() {
    file=$1 offset=$2
    shift 2
    for byte in "$@"; do
        printf "\\$(printf %03o "0x$byte")"
    done | dd of="$file" bs=1 seek="$((offset))" conv=notrunc 2>/dev/null
}

# A bzImage with one setup sector and a payload that begins at 0x400.
make_bzimage() { # FILE
    head -c 2048 /dev/zero >"$1"
    put "$1" 0x1f1 01
    put "$1" 0x1fe 55 aa
    put "$1" 0x202 48 64 72 53 0f 02 # HdrS, protocol 2.15
    put "$1" 0x211 01                # LOADED_HIGH
    put "$1" 0x248 00 00 00 00       # payload_offset
    put "$1" 0x24c 00 04 00 00       # payload_length
    put "$1" 0x236 03 00             # xloadflags
    put "$1" 0x238 ff 07 00 00       # cmdline_size
    put "$1" 0x22c ff ff ff 7f       # initrd_addr_max
}

# An ELF64 with two program headers; the arguments are p_paddr and p_memsz of
# each, as 8 little-endian bytes.
make_elf() { # FILE PADDR1 MEMSZ1 PADDR2 MEMSZ2
    head -c 8192 /dev/zero >"$1"
    put "$1" 0 7f 45 4c 46 02 01 01
    put "$1" 16 02 00 3e 00 01 00 00 00
    put "$1" 24 00 00 00 01 00 00 00 00 # entry 16 MiB
    put "$1" 32 40                      # program headers at 64
    put "$1" 52 40 00 38 00 02 00
    elf_segment "$1" 64 $2 $3
    elf_segment "$1" 120 $4 $5
}

elf_segment() { # FILE OFFSET PADDR MEMSZ
    put "$1" "$2" 01 00 00 00 05
    put "$1" $(($2 + 8)) 00 10          # p_offset 4096
    put "$1" $(($2 + 24)) $(octets "$3")
    put "$1" $(($2 + 32)) 00 10         # p_filesz 4096
    put "$1" $(($2 + 40)) $(octets "$4")
}

octets() { # 16 hex digits, big end first
    echo "$1" | sed 's/\(..\)\(..\)\(..\)\(..\)\(..\)\(..\)\(..\)\(..\)/\8 \7 \6 \5 \4 \3 \2 \1/'
}

# refused TEXT ARGUMENT...: husk boot says something with TEXT, and only that.
refused() {
    text=$1
    shift
    status=0
    "$HUSK" boot "$@" >"$f/out" 2>"$f/err" </dev/null || status=$?
    cat "$f/err"
    test "$status" = 125
    test ! -s "$f/out"
    test "$(wc -l <"$f/err")" = 1
    grep -q '^husk: ' "$f/err"
    grep -qiF -- "$text" "$f/err"
}

need_backend() {
    "$HUSK" doctor >/dev/null 2>&1 || tap_skip "no back end works on this host"
}

no_cpu() { refused "not 0" --cpus 0 "$f/zeros"; }
a_thousand_cpus() { refused "not 1000" --cpus 1000 "$f/zeros"; }
cpus_that_are_no_number() { refused "'two'" --cpus two "$f/zeros"; }
negative_cpus() { refused "'-1'" --cpus=-1 "$f/zeros"; }
too_little_memory() { refused "at least 32M" --memory 4M "$f/zeros"; }
no_memory() { refused "at least 32M" --memory 0 "$f/zeros"; }
more_memory_than_the_host() { refused "host allows" --memory 1000T "$f/zeros"; }
memory_beyond_64_bits() {
    refused "'99999999999999999999T'" --memory 99999999999999999999T "$f/zeros"
    refused "'99999999T'" --memory 99999999T "$f/zeros"
}
memory_that_is_no_size() { refused "'512X'" --memory 512X "$f/zeros"; }
a_back_end_that_is_not_there() {
    refused "'magic'" --backend magic "$f/zeros"
    HUSK_BACKEND=magic refused "'magic'" "$f/zeros"
}
a_log_level_that_is_none() { refused "'loud'" --log loud "$f/zeros"; }
a_timeout_of_nothing() { refused "'0'" --timeout 0 "$f/zeros"; }
an_unknown_option() { refused "--fast" --fast "$f/zeros"; }
an_option_without_its_value() { refused "--cpus" --cpus; }
no_kernel_given() { refused "no kernel"; }
two_kernels_given() { refused "two kernels" --kernel a b; }
words_after_the_kernel() { refused "'b'" a b; }
a_console_that_cannot_be_written() {
    refused "/none/c" --console /none/c "$f/zeros"
}
a_command_line_that_is_not_printable() {
    refused "printable" --cmdline "$(printf 'a\tb')" "$f/zeros"
}
a_command_line_that_is_too_long() {
    refused "shorten" --cmdline "$(head -c 9000 /dev/zero | tr '\0' x)" \
        "$f/zeros"
}

no_such_kernel() {
    need_backend
    refused "$f/nothing" "$f/nothing"
}
a_folder_as_kernel() {
    need_backend
    refused "$f" "$f"
}
an_empty_kernel() {
    need_backend
    refused "$f/empty" "$f/empty"
}
a_kernel_of_zeros() {
    need_backend
    refused "$f/zeros" "$f/zeros"
}
a_truncated_bzimage() {
    need_backend
    make_bzimage "$f/bz"
    head -c 600 "$f/bz" >"$f/short"
    refused "$f/short" "$f/short"
    head -c 1100 "$f/bz" >"$f/short"
    refused "$f/short" "$f/short"
}
a_bzimage_whose_payload_length_lies() {
    need_backend
    make_bzimage "$f/bz"
    put "$f/bz" 0x24c ff ff ff ff
    refused "$f/bz" "$f/bz"
    put "$f/bz" 0x248 ff ff ff ff
    refused "$f/bz" "$f/bz"
}
an_unknown_compression() {
    need_backend
    make_bzimage "$f/bz"
    put "$f/bz" 0x400 de ad be ef
    refused "packed in a way" "$f/bz"
}
an_elf_outside_ram() {
    need_backend
    make_elf "$f/elf" 0000000001000000 0000000000001000 \
        0000007000000000 0000000000001000
    refused "$f/elf" "$f/elf"
}
an_elf_with_overlapping_segments() {
    need_backend
    make_elf "$f/elf" 0000000001000000 0000000000004000 \
        0000000001002000 0000000000001000
    refused "overlap" "$f/elf"
}
an_elf_with_wrapping_segments() {
    need_backend
    make_elf "$f/elf" 0000000001000000 0000000000001000 \
        fffffffffffff000 0000000000002000
    refused "$f/elf" "$f/elf"
}
an_initrd_larger_than_ram() {
    need_backend
    make_elf "$f/elf" 0000000001000000 0000000000001000 \
        0000000001001000 0000000000001000
    truncate -s 600M "$f/big"
    refused "$f/big" --memory 128M --initrd "$f/big" "$f/elf"
    rm "$f/big"
}
no_such_initrd() {
    need_backend
    make_elf "$f/elf" 0000000001000000 0000000000001000 \
        0000000001001000 0000000000001000
    refused "$f/nothing" --initrd "$f/nothing" "$f/elf"
}

cases="no_cpu a_thousand_cpus cpus_that_are_no_number negative_cpus
    too_little_memory no_memory more_memory_than_the_host
    memory_beyond_64_bits memory_that_is_no_size a_back_end_that_is_not_there
    a_log_level_that_is_none a_timeout_of_nothing an_unknown_option
    an_option_without_its_value no_kernel_given two_kernels_given
    words_after_the_kernel a_console_that_cannot_be_written
    a_command_line_that_is_not_printable a_command_line_that_is_too_long
    no_such_kernel a_folder_as_kernel an_empty_kernel a_kernel_of_zeros
    a_truncated_bzimage a_bzimage_whose_payload_length_lies
    an_unknown_compression an_elf_outside_ram an_elf_with_overlapping_segments
    an_elf_with_wrapping_segments an_initrd_larger_than_ram no_such_initrd"
tap_plan "$(echo $cases | wc -w)"
for name in $cases; do
    tap_case "$name"
done
tap_end
