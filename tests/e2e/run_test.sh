#!/bin/sh
# husk run: a command in a VM, with its streams, files and exit status.
set -eu
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/run.sh"

# ---------------------------------------------------------------------
# Status and streams

streams_are_kept_apart_and_the_status_is_the_commands() {
    need_root
    run -- /bin/sh -c 'echo out; echo err >&2; exit 7'
    test "$status" = 7
    says out
    test "$(cat "$f/err")" = err
}

success_is_0_and_says_nothing() {
    need_root
    run -- true
    test "$status" = 0
    test ! -s "$f/out"
    silent
}

a_signal_is_128_and_its_number() {
    need_root
    run -- sh -c 'kill -9 $$'
    test "$status" = 137
    run -- sh -c 'kill -SEGV $$'
    test "$status" = 139
}

a_missing_command_is_127() {
    need_root
    run -- /no/such/command
    test "$status" = 127
    test ! -s "$f/out"
    test "$(wc -l <"$f/err")" = 1
    grep -q /no/such/command "$f/err"
    run -- nosuchcommand
    test "$status" = 127
}

a_directory_as_command_is_126() {
    need_root
    run -- /etc
    test "$status" = 126
    test ! -s "$f/out"
    test "$(wc -l <"$f/err")" = 1
}

a_file_that_is_no_program_is_126() {
    need_root
    run -- /etc/passwd
    test "$status" = 126
}

without_a_command_it_is_a_shell() {
    need_root
    status=0
    echo 'echo from $0; exit 5' | "$HUSK" run --timeout "$run_limit" -i \
        "$root" >"$f/out" 2>"$f/err" || status=$?
    test "$status" = 5
    says "from /bin/sh"
}

arguments_arrive_as_they_are() {
    need_root
    run -- printf '[%s]' 'a b' '' '"q"' "it's" '$x' '--' '-v'
    test "$status" = 0
    says "[a b][][\"q\"][it's][\$x][--][-v]"
}

# ---------------------------------------------------------------------
# A root that is none

# The command was refused with one sentence.
refused() {
    test "$status" = 125
    test ! -s "$f/out"
    test "$(wc -l <"$f/err")" = 1
    grep -q '^husk: ' "$f/err"
}

a_bad_root_is_125_with_one_sentence() {
    need_root
    touch "$f/file"
    for bad in "$f/nothing" "$f/file" ""; do
        status=0
        "$HUSK" run "$bad" -- true >"$f/out" 2>"$f/err" || status=$?
        cat "$f/err"
        refused
    done
    grep -q root "$f/err"
}

a_kernel_without_drivers_is_125_with_one_sentence() {
    need_root
    image=$run_cache/kernels/cloud/vmlinuz
    [ -f "$image" ] || tap_skip "no cloud kernel in the cache"
    run --kernel "$image" -- true
    refused
    grep -q "husk kernel import" "$f/err"
}

a_bad_volume_is_125_with_one_sentence() {
    need_root
    run -v "$f/nothing:/mnt" -- true
    refused
    grep -q "$f/nothing" "$f/err"
}

a_bad_disk_is_125_with_one_sentence() {
    need_root
    run --disk "$f/nothing" -- true
    refused
    grep -q "$f/nothing" "$f/err"
}

what_is_not_there_yet_is_said() {
    run -p 80:80 -- true
    refused
    run --net tsi -- true
    refused
}

# ---------------------------------------------------------------------
# Input

without_i_input_is_empty() {
    need_root
    echo secret | "$HUSK" run --timeout "$run_limit" "$root" cat \
        >"$f/out" 2>"$f/err"
    test ! -s "$f/out"
    silent
}

the_end_of_input_arrives() {
    need_root
    printf 'one\ntwo' | "$HUSK" run --timeout "$run_limit" -i "$root" -- \
        cat >"$f/out" 2>"$f/err"
    test "$(od -c "$f/out")" = "$(printf 'one\ntwo' | od -c)"
}

closed_input_is_an_end() {
    need_root
    "$HUSK" run --timeout "$run_limit" -i "$root" cat <&- >"$f/out" 2>"$f/err"
    test ! -s "$f/out"
}

a_command_may_leave_input_unread() {
    need_root
    status=0
    head -c 3000000 /dev/zero | "$HUSK" run --timeout "$run_limit" -i "$root" \
        -- sh -c 'head -c 3; exit 4' >"$f/out" || status=$?
    test "$status" = 4
    test "$(wc -c <"$f/out")" = 3
}

megabytes=${HUSK_E2E_BYTES:-50000000}

bulk() {
    [ -f "$f/bulk" ] || head -c "$megabytes" /dev/urandom >"$f/bulk"
    sum=$(sha256sum <"$f/bulk")
}

row045_input_in_bulk_is_intact() {
    need_root
    bulk
    "$HUSK" run --timeout "$run_limit" -i "$root" -- sha256sum <"$f/bulk" \
        >"$f/out" 2>"$f/err"
    says "$sum"
}

row038_output_in_bulk_is_intact() {
    need_root
    bulk
    mkdir -p "$f/data"
    ln -f "$f/bulk" "$f/data/bulk"
    "$HUSK" run --timeout "$run_limit" -v "$f/data:/mnt:ro" "$root" -- \
        cat /mnt/bulk 2>"$f/err" | sha256sum >"$f/out"
    says "$sum"
    silent
}

row043_both_in_bulk_at_once_are_intact() {
    need_root
    bulk
    "$HUSK" run --timeout "$run_limit" -i "$root" -- cat <"$f/bulk" \
        2>"$f/err" | sha256sum >"$f/out"
    says "$sum"
    silent
}

both_outputs_in_bulk_are_intact() {
    need_root
    "$HUSK" run --timeout "$run_limit" "$root" -- sh -c \
        'i=0; while [ $i -lt 20000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done' \
        >"$f/out" 2>"$f/err"
    seq 0 19999 | sed 's/^/out /' | cmp - "$f/out"
    seq 0 19999 | sed 's/^/err /' | cmp - "$f/err"
}

a_reader_that_leaves_ends_the_command() {
    need_root
    {
        status=0
        "$HUSK" run --timeout "$run_limit" "$root" -- yes 2>"$f/err" ||
            status=$?
        echo $status >"$f/status"
    } | head -n 2 >"$f/out"
    says "$(printf 'y\ny')"
    test "$(cat "$f/status")" = 141 # it died of SIGPIPE, as on the host
    silent
}

# ---------------------------------------------------------------------
# Signals and time

a_time_limit_is_124() {
    need_root
    run --timeout 6 -- sleep 1000
    test "$status" = 124
    grep -q "^husk: timed out after 6 seconds" "$f/err"
}

# signalled SIGNAL COMMAND...: starts the command, which says "ready", sends
# the signal; sets $status.
signalled() {
    signal=$1
    shift
    rm -f "$f/out" # what an earlier one said
    # A job in the background ignores SIGINT; the wrapper takes that back.
    python3 -c 'import os, signal, sys
for s in signal.SIGINT, signal.SIGQUIT:
    signal.signal(s, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])' \
        "$HUSK" run --timeout "$run_limit" "$root" -- "$@" \
        >"$f/out" 2>"$f/err" &
    pid=$!
    i=0
    until grep -qs ready "$f/out" || [ $i = "$run_limit" ]; do
        sleep 1
        i=$((i + 1))
    done
    kill -"$signal" $pid
    status=0
    wait $pid || status=$?
    cat "$f/out" "$f/err"
}

an_interrupt_reaches_the_command() {
    need_root
    signalled INT sh -c 'trap "echo caught; exit 3" INT; echo ready
        while :; do sleep 1; done'
    test "$status" = 3
    grep -q caught "$f/out"
}

an_interrupt_ends_a_command_that_minds() {
    need_root
    signalled INT sh -c 'echo ready; exec sleep 1000'
    test "$status" = 130
}

a_termination_reaches_the_command() {
    need_root
    signalled TERM sh -c 'trap "echo caught; exit 4" TERM; echo ready
        while :; do sleep 1; done'
    test "$status" = 4
    grep -q caught "$f/out"
}

hang_up_and_quit_reach_the_command() {
    need_root
    signalled HUP sh -c 'trap "exit 5" HUP; echo ready
        while :; do sleep 1; done'
    test "$status" = 5
    signalled QUIT sh -c 'trap "exit 6" QUIT; echo ready
        while :; do sleep 1; done'
    test "$status" = 6
}

# ---------------------------------------------------------------------
# What the command finds

the_directory_is_the_one_asked_for() {
    need_root
    run -w /usr/bin -- pwd
    says /usr/bin
    run -- pwd
    says /
    run -w /no/such -- pwd
    test "$status" = 125
}

the_user_is_the_one_asked_for() {
    need_root
    run -u 1000:50 -- sh -c 'echo $(id -u):$(id -g)'
    says 1000:50
    run -u user -- sh -c 'echo $(id -u):$(id -g) $HOME'
    says "1000:1000 /home"
    run -- id -u
    says 0
    run -u nosuchuser -- id -u
    test "$status" = 125
}

the_environment_is_what_was_given() {
    need_root
    HUSK_E2E_GIVEN="two words" run -e A=1 -e HUSK_E2E_GIVEN -e HUSK_E2E_UNSET \
        -e A=3 -- sh -c 'echo "$A|$HUSK_E2E_GIVEN|${HUSK_E2E_UNSET-none}"'
    says "3|two words|none"
}

the_environment_of_the_host_stays_outside() {
    need_root
    HUSK_E2E_SECRET=1 run -- env
    test "$status" = 0
    ! grep -q HUSK "$f/out"
    grep -q '^PATH=' "$f/out"
}

the_host_name_is_the_one_asked_for() {
    need_root
    run --hostname elsewhere -- hostname
    says elsewhere
    run -- hostname
    says husk
}

cpus_and_memory_are_those_asked_for() {
    need_root
    run --cpus 3 --memory 256M -- sh -c \
        'nproc; awk "/MemTotal/ { print (\$2 > 150000 && \$2 < 262144) }" /proc/meminfo'
    says "$(printf '3\n1')"
}

# ---------------------------------------------------------------------
# Files

the_root_is_the_directory() {
    need_root
    run -- sh -c 'echo from the guest >/tmp/written; ls -d /bin/busybox'
    test "$status" = 0
    test "$(cat "$root/tmp/written")" = "from the guest"
    rm "$root/tmp/written"
}

a_read_only_root_stays_as_it_is() {
    need_root
    run --read-only -- sh -c \
        'touch /tmp/x; mount -o remount,rw /; touch /tmp/x 2>&1'
    test "$status" != 0
    grep -q "Read-only file system" "$f/out"
    test ! -e "$root/tmp/x"
}

a_set_up_that_fails_says_so_once() {
    need_root
    mkdir -p "$f/vol"
    run --read-only -v "$f/vol:/no/such/place" -- true
    refused
    grep -q /no/such/place "$f/err"
}

volumes_are_where_they_were_put() {
    need_root
    mkdir -p "$f/vol"
    echo hello >"$f/vol/there"
    run -v "$f/vol:/data/deep" -- sh -c \
        'cat /data/deep/there; echo back >/data/deep/here'
    test "$status" = 0
    says hello
    test "$(cat "$f/vol/here")" = back
}

a_read_only_volume_stays_as_it_is() {
    need_root
    mkdir -p "$f/fixed"
    echo fixed >"$f/fixed/file"
    run -v "$f/fixed:/mnt:ro" -- sh -c \
        'echo x 2>&1 >/mnt/file; mount -o remount,rw /mnt
         echo x >/mnt/file; touch /mnt/new; rm /mnt/file; cat /mnt/file'
    test "$status" = 0
    test "$(tail -n 1 "$f/out")" = fixed
    test "$(cat "$f/err" "$f/out" | grep -c "Read-only file system")" -ge 3
    test "$(cat "$f/fixed/file")" = fixed
    test ! -e "$f/fixed/new"
}

a_disk_is_a_block_device() {
    need_root
    head -c 1048576 /dev/urandom >"$f/disk"
    head -c 1048576 /dev/urandom >"$f/disk2"
    sum=$(sha256sum <"$f/disk")
    sum2=$(sha256sum <"$f/disk2")
    run --disk "$f/disk" --disk "$f/disk2,ro,format=raw" -- sh -c \
        'sha256sum </dev/vda; sha256sum </dev/vdb
         echo changed | dd of=/dev/vda conv=notrunc 2>/dev/null
         echo changed | dd of=/dev/vdb conv=notrunc 2>/dev/null || echo no'
    test "$status" = 0
    says "$sum
$sum2
no"
    test "$(head -c 8 "$f/disk")" = changed
    test "$(sha256sum <"$f/disk2")" = "$sum2"
}

# ---------------------------------------------------------------------
# When the guest cannot

a_kernel_panic_is_125_with_its_reason() {
    need_root
    run -- sh -c 'echo c >/proc/sysrq-trigger; sleep 60'
    ! grep -q sysrq-trigger "$f/err" || tap_skip "a kernel without SysRq"
    test "$status" = 125
    test ! -s "$f/out"
    test "$(wc -l <"$f/err")" = 1
    grep -q "^husk: the guest's kernel panicked: sysrq" "$f/err"
}

the_kernels_words_go_to_a_file() {
    need_root
    run --console "$f/kernel.log" -- true
    test "$status" = 0
    grep -q "Linux version" "$f/kernel.log"
    test ! -s "$f/out"
    silent
}

it_works_as_an_ordinary_user() {
    need_root
    [ "$(id -u)" = 0 ] || tap_skip "the other cases are that already"
    command -v setpriv >/dev/null || tap_skip "no setpriv"
    chmod 755 "$f"
    mine=$f/mine
    cp -a "$root" "$mine"
    chown -R 12345:12345 "$mine"
    setpriv --reuid 12345 --clear-groups --regid 12345 \
        test -r "$HUSK_KERNEL/manifest" ||
        tap_skip "the kernel is not for everybody"
    status=0
    setpriv --reuid 12345 --regid 12345 --clear-groups "$HUSK" run \
        --timeout "$run_limit" "$mine" -- sh -c \
        'id -u; echo x >/tmp/mine; chown 7:8 /tmp/mine; stat -c %u:%g /tmp/mine' \
        >"$f/out" 2>"$f/err" || status=$?
    cat "$f/err"
    test "$status" = 0
    says "$(printf '0\n7:8')"
    test "$(stat -c %u "$mine/tmp/mine")" = 12345
}

cases=$(sed -n 's/^\([a-z_0-9]*\)() {$/\1/p' "$0" |
    grep -vx 'refused\|bulk\|signalled')
tap_plan "$(echo "$cases" | wc -l)"
for name in $cases; do
    tap_case "$name"
done
tap_end
