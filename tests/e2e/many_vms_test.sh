#!/bin/sh
# Eight VMs at once in one process, started and ended in ROUNDS rounds (the
# environment's HUSK_E2E_ROUNDS, or a few), leave nothing behind.
set -eu
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/run.sh"

# Prints TAP of its own; here each of its cases becomes one of ours.
ran() {
    need_root
    [ -f "$f/many" ] ||
        "$HUSK_BUILD/tests/e2e/many_vms" "$root" 8 "${HUSK_E2E_ROUNDS:-3}" \
            >"$f/many" 2>&1
    cat "$f/many"
    grep -q "^ok .* $1\$" "$f/many"
}

many_vms_at_once_end_as_they_should() { ran many_vms_at_once_end_as_they_should; }
they_leave_no_descriptor() { ran they_leave_no_descriptor; }
they_leave_no_thread() { ran they_leave_no_thread; }
they_leave_no_memory() { ran they_leave_no_memory; }

tap_plan 4
tap_case many_vms_at_once_end_as_they_should
tap_case they_leave_no_descriptor
tap_case they_leave_no_thread
tap_case they_leave_no_memory
tap_end
