#!/bin/sh
# The guest's init in a real guest: the command on the serial console, the
# status through the exit port. The root is the first file system itself.
set -eu
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/boot.sh"

# runs STATUS WORD...: a guest with these words of make_guest must end so; the
# console is in $log.
runs() {
    wanted=$1
    shift
    need_kernel cloud bzimage
    busybox=$("$HUSK_SOURCE/scripts/fetch-package" busybox-static) ||
        tap_skip "the busybox package cannot be fetched here"
    log=$logs/init.log
    status=0
    "$HUSK_BUILD/tests/e2e/make_guest" "$tap_folder/guest.cpio" \
        console=ttyS0 flags=33 dir=bin dir=etc \
        "file=$busybox/bin/busybox:bin/busybox" "$@"
    "$HUSK" boot --backend "${HUSK_BACKEND:-auto}" --timeout "$boot_limit" \
        --initrd "$tap_folder/guest.cpio" --cmdline "quiet" "$kernel" \
        >"$log" 2>"$log.err" || status=$?
    cat "$log" "$log.err"
    test "$status" = "$wanted"
}

shell() { # STATUS SCRIPT WORD...
    wanted=$1
    script=$2
    shift 2
    runs "$wanted" exec=/bin/busybox arg=sh arg=-c "arg=$script" "$@"
}

the_status_is_the_commands() {
    shell 42 'exit 42'
    shell 137 'kill -9 $$'
}

what_cannot_run_has_a_sentence_and_its_status() {
    runs 127 exec=not-there
    grep -qF 'no such program' "$log"
    runs 126 exec=/bin
    grep -qF 'it is a directory' "$log"
}

a_failed_setup_is_125() {
    runs 125 exec=/bin/busybox user=nobody-here
    grep -qF 'no such user' "$log"
    runs 125 exec=/bin/busybox root=ext4,/dev/not-there
    grep -qF 'cannot mount the root file system /dev/not-there' "$log"
}

the_command_finds_the_system_it_expects() {
    printf 'me:x:12:13::/var/me:/bin/sh\n' >"$tap_folder/passwd"
    printf 'g:x:77:me\n' >"$tap_folder/group"
    shell 0 'set -e; stty size; busybox id; pwd; ulimit -n; busybox hostname
        echo "$GREETING $HOME $TERM"; busybox ls -l /dev/fd
        busybox mount | busybox cut -d" " -f3; busybox ifconfig lo
        echo through >/dev/stderr' \
        user=me workdir=/a/b rlimit=7=100:200 hostname=tiny 'env=GREETING=hi' \
        rows=33,77 "file=$tap_folder/passwd:etc/passwd" \
        "file=$tap_folder/group:etc/group"
    for line in '33 77' /a/b 100 tiny 'hi /var/me xterm' /proc /sys \
        /sys/fs/cgroup /dev/pts /dev/shm through; do
        says "$line"
    done
    grep -q 'uid=12(me) gid=13 groups=77' "$log"
    grep -q '127.0.0.1' "$log"
}

output_before_the_end_is_complete() {
    shell 0 'i=0; while [ $i -lt 200 ]; do echo "line $i of the output"
        i=$((i + 1)); done; echo last'
    test "$(grep -c 'of the output' "$log")" = 200
    says last
}

processes_left_behind_do_not_delay_the_end() {
    shell 7 'busybox sleep 1000 & (trap "" TERM; busybox sleep 1000) & exit 7'
}

a_stock_kernels_modules_are_loaded() {
    need_kernel cloud bzimage
    folder=$tap_folder/folder
    "$HUSK" kernel import "$kernels/cloud/package.deb" "$folder"
    shell 0 'busybox cat /proc/modules; busybox ls /modules' \
        "kernel=$folder,mmio,console,blk,net,vsock,fs,rng,overlay"
    for name in virtio_mmio virtio_console virtio_blk virtio_net \
        vmw_vsock_virtio_transport virtiofs virtio_rng overlay; do
        grep -q "^$name " "$log"
    done
    ! grep -q 'ko$' "$log" # their files are gone
}

tap_plan 7
tap_case the_status_is_the_commands
tap_case what_cannot_run_has_a_sentence_and_its_status
tap_case a_failed_setup_is_125
tap_case the_command_finds_the_system_it_expects
tap_case output_before_the_end_is_complete
tap_case processes_left_behind_do_not_delay_the_end
tap_case a_stock_kernels_modules_are_loaded
tap_end
