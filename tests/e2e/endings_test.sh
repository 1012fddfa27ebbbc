#!/bin/sh
# How a booted machine ends, and what husk boot makes of it.
set -eu
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/boot.sh"

ends() { # NAME END STATUS [OPTION...]
    need_kernel cloud bzimage
    name=$1 end=$2 want=$3
    shift 3
    boots "end-$name" "$end" --cpus 2 "$@"
    test "$status" = "$want"
    says "e2e: ready"
}

# One sentence on standard error.
one_sentence() {
    test "$(wc -l <"$log.err")" = 1
    grep -q "^husk: $1" "$log.err"
}

power_off_is_status_0() {
    ends off off 0
    test ! -s "$log.err"
}

restart_is_status_0() {
    ends reboot reboot 0
    test ! -s "$log.err"
}

restart_by_acpi_is_status_0() {
    ends reboot-acpi reboot 0 --cmdline \
        "console=ttyS0 panic=-1 end=reboot reboot=acpi"
}

restart_by_triple_fault_is_status_0() {
    ends reboot-triple reboot 0 --cmdline \
        "console=ttyS0 panic=-1 end=reboot reboot=triple"
}

# What Linux does with hardware-reduced ACPI when nothing is said.
restart_by_default_is_status_0() {
    ends reboot-default reboot 0 --no-cmdline-additions
}

restart_on_one_cpu_is_status_0() {
    ends reboot-one reboot 0 --cpus 1
}

restart_of_6_12_is_status_0() {
    need_kernel cloud-6.12 bzimage
    boots end-reboot-6.12 reboot --cpus 2
    test "$status" = 0
    says "e2e: ready"
}

panic_is_status_1() {
    ends panic panic 1
    one_sentence "the guest's kernel panicked"
}

panic_on_one_cpu_is_status_1() {
    ends panic-one panic 1 --cpus 1
}

panic_by_acpi_is_status_1() {
    ends panic-acpi panic 1 --cmdline \
        "console=ttyS0 panic=-1 end=panic reboot=acpi"
}

death_of_init_is_status_1() {
    ends init exit 1
}

panic_without_init_is_status_1() {
    need_kernel cloud bzimage
    boots no-init off --initrd "$HUSK_SOURCE/LICENSE" --cpus 2
    test "$status" = 1
    one_sentence "the guest's kernel panicked"
}

panic_without_a_console_is_status_1() {
    need_kernel cloud bzimage
    boots no-console off --initrd "$HUSK_SOURCE/LICENSE" --cpus 2 \
        --no-cmdline-additions --cmdline "panic=-1"
    test "$status" = 1
}

a_panic_only_said_is_status_0() {
    ends lie lie 0
}

timeout_is_status_124() {
    need_kernel cloud bzimage
    boots timeout wait --timeout 3
    test "$status" = 124
    one_sentence "timed out after 3 seconds"
}

term_is_status_143() {
    need_kernel cloud bzimage
    make_initrd
    log=$logs/end-term.log
    "$HUSK" boot --timeout "$boot_limit" --initrd "$initrd" \
        --cmdline "console=ttyS0 end=wait" "$kernel" \
        >"$log" 2>"$log.err" &
    pid=$!
    i=0
    until grep -q "e2e: ready" "$log" || [ $i = "$boot_limit" ]; do
        sleep 1
        i=$((i + 1))
    done
    kill -TERM $pid
    status=0
    wait $pid || status=$?
    test "$status" = 143
}

piped_input_reaches_the_guest() {
    need_kernel cloud bzimage
    make_initrd
    log=$logs/end-pipe.log
    status=0
    echo "hello there" | "$HUSK" boot --timeout "$boot_limit" \
        --initrd "$initrd" --cmdline "console=ttyS0 end=echo" "$kernel" \
        >"$log" 2>"$log.err" || status=$?
    test "$status" = 0
    says "e2e: read 'hello there'"
}

closed_input_and_console_file_work() {
    need_kernel cloud bzimage
    boots console-file off --console "$tap_folder/console" <&-
    test "$status" = 0
    test ! -s "$log"
    tr -d '\r' <"$tap_folder/console" | grep -qxF "e2e: ready"
}

tap_plan 18
tap_case power_off_is_status_0
tap_case restart_is_status_0
tap_case restart_by_acpi_is_status_0
tap_case restart_by_triple_fault_is_status_0
tap_case restart_by_default_is_status_0
tap_case restart_on_one_cpu_is_status_0
tap_case restart_of_6_12_is_status_0
tap_case panic_is_status_1
tap_case panic_on_one_cpu_is_status_1
tap_case panic_by_acpi_is_status_1
tap_case death_of_init_is_status_1
tap_case panic_without_init_is_status_1
tap_case panic_without_a_console_is_status_1
tap_case a_panic_only_said_is_status_0
tap_case timeout_is_status_124
tap_case term_is_status_143
tap_case piped_input_reaches_the_guest
tap_case closed_input_and_console_file_work
tap_end
