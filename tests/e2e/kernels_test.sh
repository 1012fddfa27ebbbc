#!/bin/sh
# Debian's kernels, unmodified, boot to user space on two CPUs and switch the
# machine off, as bzImage and as the ELF taken out of it.
set -eu
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/boot.sh"

boots_with_two_cpus() { # FLAVOUR FORM
    need_kernel "$1" "$2"
    boots "kernel-$1-$2" off --cpus 2
    test "$status" = 0
    says "e2e: nproc 2"
    says "e2e: ready"
    test ! -s "$log.err"
}

cloud_6_1_bzimage_boots() { boots_with_two_cpus cloud bzimage; }
cloud_6_1_elf_boots() { boots_with_two_cpus cloud elf; }
generic_6_1_bzimage_boots() { boots_with_two_cpus generic bzimage; }
generic_6_1_elf_boots() { boots_with_two_cpus generic elf; }
cloud_6_12_bzimage_boots() { boots_with_two_cpus cloud-6.12 bzimage; }
cloud_6_12_elf_boots() { boots_with_two_cpus cloud-6.12 elf; }

tap_plan 6
tap_case cloud_6_1_bzimage_boots
tap_case cloud_6_1_elf_boots
tap_case generic_6_1_bzimage_boots
tap_case generic_6_1_elf_boots
tap_case cloud_6_12_bzimage_boots
tap_case cloud_6_12_elf_boots
tap_end
