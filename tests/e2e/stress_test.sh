#!/bin/sh
# Debian's stress-ng in the guest, checking its own results: nothing fails,
# and the kernel has nothing to complain about.
set -eu
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/boot.sh"

need_stress_ng() {
    "$HUSK_SOURCE/scripts/fetch-package" stress-ng >/dev/null 2>&1 ||
        tap_skip "the package stress-ng is neither in the cache nor to be had"
    initrd=$tap_folder/stress.cpio
    [ -f "$initrd" ] ||
        "$HUSK_SOURCE/scripts/make-initramfs" --build "$HUSK_BUILD" \
            --init "$HUSK_SOURCE/tests/e2e/guest_stress.sh" \
            --package stress-ng:/usr/bin/stress-ng --output "$initrd" >&2
}

# Warnings in the log, without those of a machine that has no PCI bus and of
# a host that lets its guests wait.
warnings() {
    tr -d '\r' <"$log" |
        sed -n '/^stress: kernel log begins/,/^stress: kernel log ends/p' |
        grep '^<' | grep -vE 'PCI: (Fatal: No config|System does not support)' |
        grep -v 'hrtimer: interrupt took'
}

holds_up() { # SET CPUS RUNS: that many runs end, all with status 0
    need_kernel cloud bzimage
    need_stress_ng
    log=$logs/stress-$1.log
    status=0
    "$HUSK" boot --backend "${HUSK_BACKEND:-auto}" --memory 1G --cpus "$2" \
        --timeout "$boot_limit" --initrd "$initrd" \
        --cmdline "console=ttyS0 quiet panic=-1 cryptomgr.notests set=$1" \
        "$kernel" >"$log" 2>"$log.err" || status=$?
    grep -a -A 20 '^stress-ng\|^stress:' "$log"
    cat "$log.err"
    test "$status" = 0
    says "stress: processors $2"
    says "stress: kernel log ends"
    test "$(tr -d '\r' <"$log" | grep -cE '^stress: [a-z]+ 0$')" = "$3"
    if warnings; then
        return 1
    fi
    # The clock was good enough to be kept.
    says "stress: clock kvm-clock" || says "stress: clock tsc"
}

checked_results_are_right_on_two_processors() { holds_up checked 2 8; }
vectors_and_faults_are_right_on_four_processors() { holds_up faults 4 5; }
eight_processors_talk_without_a_loss() { holds_up talk 8 8; }

tap_plan 3
tap_case checked_results_are_right_on_two_processors
tap_case vectors_and_faults_are_right_on_four_processors
tap_case eight_processors_talk_without_a_loss
tap_end
