#!/bin/sh
# Programs made for libkrun, as tests/e2e/clients repeats their calls, and the
# unwritten rules that they rely on: each runs a workload to its status.
set -eu
. "$HUSK_SOURCE/tests/e2e/tap.sh"
. "$HUSK_SOURCE/tests/e2e/run.sh"

clients=$HUSK_BUILD/tests/e2e/clients
export LD_LIBRARY_PATH=$HUSK_BUILD
unset RUST_LOG RUST_LOG_STYLE

# client NAME [ARG...]: sets $status, leaves $f/out and $f/err.
client() {
    program=$clients/client_$1
    shift
    status=0
    timeout "$run_limit" "$program" "$@" >"$f/out" 2>"$f/err" || status=$?
    echo "status $status"
    head -c 2000 "$f/out"
    head -c 2000 "$f/err"
}

space=' '

# settings [WORD...] [-- COMMAND...] in $root.
settings() {
    client settings "$root" "$@"
}

ends_with() {
    test "$status" = "$1"
}

need_process_1() {
    need_root
    unshare --pid --mount --fork true 2>/dev/null ||
        tap_skip "this user may not make namespaces"
}

write_config() { # MODE TEXT
    rm -f "$root/.krun_config.json"
    printf '%s\n' "$2" >"$root/.krun_config.json"
    chmod "$1" "$root/.krun_config.json"
}

# ---------------------------------------------------------------------
# The clients

crun_1_8_runs_a_command_with_the_files_environment() {
    need_process_1
    write_config 0700 '{"process": {"args": ["/bin/false"], "cwd": "/",
        "env": ["TEST=from the file", "HOSTNAME=box"]}}'
    client crun_old "$root" /bin/sh -c \
        'echo "$TEST $0 $1"; pwd; hostname; echo err >&2; exit 7' zero one
    rm "$root/.krun_config.json"
    ends_with 7
    says "from the file zero one
/tmp
box"
    test "$(cat "$f/err")" = err
}

crun_1_27_takes_everything_from_the_file_as_user_1000() {
    need_process_1
    chmod 755 "$tap_folder"
    write_config 0444 '{"process": {"args": ["/bin/sh", "-c",
        "echo $TEST; pwd; id -u; exit 9"], "cwd": "/usr",
        "env": ["TEST=from the file", "PATH=/bin"]}}'
    client crun_new "$root" 1.27
    ends_with 9
    says "from the file
/usr
0"
    client crun_new "$root" 1.28
    rm "$root/.krun_config.json"
    ends_with 9
}

krunvm_runs_a_command_or_a_shell() {
    need_root
    client krunvm "$root" /bin/sh -c 'echo "$TEST"; pwd; hostname; exit 3'
    ends_with 3
    says "from krunvm
/root
krunvm"
    echo 'echo from the shell; exit 4' >"$f/in"
    client krunvm "$root" <"$f/in"
    ends_with 4
    says "from the shell"
}

muvm_takes_a_config_from_another_path() {
    need_root
    mkdir -p "$f/sockets"
    script='echo $TEST; mount -t virtiofs devshm /mnt && echo shared; exit 5'
    echo '{"Cmd": ["/bin/sh", "-c", "'"$script"'"],
        "Env": ["TEST=from muvm"], "WorkingDir": "/usr"}' >"$root/muvm.json"
    client muvm "$root" /muvm.json "$f/sockets"
    rm "$root/muvm.json"
    ends_with 5
    says "from muvm
shared"
}

# A disk with a whole small system.
make_disk() { # FILE INIT
    command -v mke2fs >/dev/null || tap_skip "mke2fs is not installed"
    rm -rf "$f/system"
    cp -a "$root" "$f/system"
    if [ -n "$2" ]; then
        cp "$2" "$f/system/sbin/vminitd"
        chmod 755 "$f/system/sbin/vminitd"
    fi
    rm -f "$1"
    truncate -s 64M "$1"
    mke2fs -q -t ext4 -d "$f/system" "$1"
    rm -rf "$f/system"
}

nerdbox_boots_its_kernel_and_disk_and_reads_a_fifo() {
    need_root
    kernel=$(ls -d "$run_cache"/kernels/tuned-*/vmlinux 2>/dev/null |
        head -n 1)
    [ -n "$kernel" ] || tap_skip "no tuned kernel in the cache; make kernel"
    cat >"$f/vminitd" <<'INIT'
#!/bin/sh
echo "vminitd $*, disk $(cut -d ' ' -f 1 /proc/mounts | head -n 1)"
mount -t proc proc /proc
mount -t virtiofs shared /mnt && cat /mnt/file
echo b >/proc/sysrq-trigger
INIT
    make_disk "$f/disk" "$f/vminitd"
    mkdir -p "$f/sockets" "$f/share"
    echo "from the share" >"$f/share/file"
    mkfifo "$f/fifo"
    cat "$f/fifo" >"$f/console" &
    exec 9>"$f/fifo" # the reader is there before the VM starts
    client nerdbox "$kernel" "$f/disk" "$f/fifo" "$f/sockets" "$f/share"
    exec 9>&-
    wait
    cat "$f/console"
    grep -q 'vminitd -vsock-rpc-port=1025' "$f/console"
    grep -q 'from the share' "$f/console"
    test ! -s "$f/out"
}

boxlite_runs_on_a_share_and_on_a_disk() {
    need_root
    mkdir -p "$f/sockets" "$f/share"
    script='echo "$TEST"; pwd; ulimit -n; exit 6'
    client boxlite share "$root" "$f/share" "$f/sockets" "$f/console" \
        /bin/sh -c "$script"
    ends_with 6
    test ! -s "$f/out"
    tr -d '\r' <"$f/console" >"$f/text"
    test "$(cat "$f/text")" = "from boxlite
/tmp
1024"
    make_disk "$f/disk" ""
    client boxlite disk "$f/disk" "$f/share" "$f/sockets" "$f/console" \
        /bin/sh -c "$script"
    ends_with 6
    tr -d '\r' <"$f/console" >"$f/text"
    test "$(cat "$f/text")" = "from boxlite
/tmp
1024"
}

krunkit_is_told_that_there_is_no_firmware() {
    mkdir -p "$f/sockets" "$f/share"
    truncate -s 1M "$f/disk"
    HUSK_KERNEL=/nowhere client krunkit "$f/disk" "$f/share" "$f/sockets"
    ends_with 0
}

the_chroot_example_runs() {
    need_root
    client chroot_vm "$root" /bin/sh -c \
        'echo "TEST $TEST"; pwd; grep processes /proc/self/limits; nproc; exit 8'
    ends_with 8
    test "$(tr -s ' ' <"$f/out")" = "TEST works
/
Max processes 4096 8192 processes$space
4"
}

our_examples_run() {
    need_root
    status=0
    timeout "$run_limit" "$HUSK_BUILD/examples/krun_consoles" "$root" \
        >"$f/out" 2>"$f/err" || status=$?
    cat "$f/out" "$f/err"
    ends_with 0
    test "$(sort "$f/out")" = "the guest asks: what is six times seven?
the guest is done
the guest notes: the host says 42"
}

# A kernel without our init: its own on a first file system of its own.
our_example_boots_a_kernel_of_ones_own() {
    need_root
    "$HUSK_SOURCE/scripts/make-initramfs" --build "$HUSK_BUILD" \
        --init "$HUSK_SOURCE/tests/e2e/guest_init.sh" \
        --output "$f/initramfs" >&2
    for kernel in "$HUSK_KERNEL/vmlinux" "$run_cache/kernels/cloud/vmlinuz"; do
        [ -f "$kernel" ] || continue
        status=0
        timeout "$run_limit" "$HUSK_BUILD/examples/krun_kernel" "$kernel" \
            "$f/initramfs" "console=ttyS0 panic=-1 end=poweroff" \
            </dev/null >"$f/out" 2>"$f/err" || status=$?
        tail -n 5 "$f/out"
        cat "$f/err"
        ends_with 0
        grep -q 'Linux version' "$f/out"
    done
}

# ---------------------------------------------------------------------
# The rules

a_config_file_that_cannot_be_read_is_passed_over() {
    need_root
    [ "$(id -u)" = 0 ] || tap_skip "only root can become another user"
    chmod 755 "$tap_folder"
    write_config 0700 '{"args": ["/bin/echo", "read"], "Env": ["A=file"]}'
    settings uid=1000 gid=1000 env=A=call -- /bin/sh -c 'echo "$A"; exit 2'
    rm "$root/.krun_config.json"
    ends_with 2
    says call
}

a_second_root_is_left_out() {
    need_root
    settings again -- /bin/sh -c 'echo first; exit 2'
    ends_with 2
    says first
}

the_callers_init_takes_the_place_of_ours() {
    need_root
    cat >"$f/init" <<'INIT'
#!/bin/sh
echo "$$ $KRUN_INIT $KRUN_WORKDIR $A $*"
exec /bin/busybox reboot -f
INIT
    settings noinit "init=$f/init" env=A=b workdir=/tmp -- /bin/x y z
    says "1 /bin/x /tmp b y z"
    settings noinit defaultinit env=A=b workdir=/tmp -- \
        /bin/sh -c 'echo "$A $0"; pwd; exit 6' zero
    ends_with 6
    says "b zero
/tmp"
}

an_installed_libkrunfw_is_the_default_kernel() {
    need_root
    kernel=$(ls -d "$run_cache"/kernels/tuned-*/vmlinux 2>/dev/null |
        head -n 1)
    [ -n "$kernel" ] || tap_skip "no tuned kernel in the cache; make kernel"
    mkdir -p "$f/krunfw"
    ln -sf "$HUSK_BUILD/tests/e2e/libfake_krunfw.so" \
        "$f/krunfw/libkrunfw.so.5"
    (
        unset HUSK_KERNEL
        export FAKE_KRUNFW="$kernel"
        LD_LIBRARY_PATH=$HUSK_BUILD:$f/krunfw
        settings -- /bin/sh -c 'uname -r; exit 3'
        ends_with 3
    )
}

no_environment_is_the_callers_and_an_empty_one_is_empty() {
    need_root
    FROM_HOST="a b" settings -- /bin/sh -c 'echo "[$FROM_HOST]"'
    says "[a b]"
    FROM_HOST="a b" settings noenv -- /bin/sh -c 'echo "[$FROM_HOST]"'
    says "[]"
}

values_keep_quotes_spaces_and_newlines() {
    need_root
    settings "env=A=say \"x\"  'y'
z" -- /bin/sh -c 'printf "%s|" "$A" "$@"' sh 'a "b"' '' 'c
d'
    says "say \"x\"  'y'
z|a \"b\"||c
d|"
}

the_program_is_its_own_first_argument() {
    need_root
    settings -- /bin/sh -c 'tr "\0" "|" </proc/$$/cmdline; :' x
    says '/bin/sh|-c|tr "\0" "|" </proc/$$/cmdline; :|x|'
}

the_call_wins_over_the_file_but_for_home_and_term() {
    need_root
    write_config 0644 '{"args": ["/bin/sh", "-c", "echo wrong"],
        "Env": ["A=file", "B=file", "HOME=/file", "TERM=file"],
        "cwd": "/usr"}'
    settings env=A=call env=HOME=/call env=TERM=call workdir=/bin -- \
        /bin/sh -c 'echo "$A $B $HOME $TERM"; pwd'
    says "call file /file file
/bin"
    settings env=KRUN_HOME=/krun env=KRUN_TERM=krun -- \
        /bin/sh -c 'echo "$HOME $TERM"; pwd'
    rm "$root/.krun_config.json"
    says "/krun krun
/usr"
}

the_files_entrypoint_and_command_are_joined() {
    need_root
    write_config 0644 '{"Entrypoint": ["/bin/sh", "-c"],
        "Cmd": ["echo joined; exit 2"]}'
    settings noenv
    rm "$root/.krun_config.json"
    ends_with 2
    says joined
}

the_host_name_is_hostname_or_localhost() {
    need_root
    settings env=HOSTNAME=here -- /bin/hostname
    says here
    settings noenv -- /bin/hostname
    says localhost
}

the_workload_can_be_process_1() {
    need_root
    settings env=KRUN_INIT_PID1=1 -- /bin/sh -c 'echo $$'
    says 1
    settings noenv -- /bin/sh -c '[ $$ != 1 ] && echo other'
    says other
}

limits_are_set_and_nonsense_is_left_out() {
    need_root
    settings rlimit=7=100:200 rlimit=nonsense rlimit=6=50:60 -- \
        /bin/sh -c 'ulimit -n; ulimit -Hn'
    ends_with 0
    says "100
200"
}

endings_have_their_statuses() {
    need_root
    settings -- /bin/sh -c 'kill -9 $$'
    ends_with 137
    settings -- /bin/no-such-program
    ends_with 127
    settings -- /etc/passwd
    ends_with 126
    settings workdir=/no/such/folder -- /bin/true
    ends_with 125
}

streams_that_are_no_terminals_stay_apart() {
    need_root
    printf 'a line' | {
        client settings "$root" -- /bin/sh -c \
            'cat; echo err >&2; [ -t 0 ] || [ -t 1 ] || [ -t 2 ] || exit 3'
        echo "$status" >"$f/status"
    }
    test "$(cat "$f/status")" = 3
    says "a line"
    test "$(cat "$f/err")" = err
}

standard_input_can_be_nothing_or_closed() {
    need_root
    settings -- /bin/sh -c 'cat; echo end' </dev/null
    says end
    settings -- /bin/sh -c 'echo end' <&-
    says end
}

there_can_be_no_console_at_all() {
    need_root
    settings noconsole -- /bin/sh -c 'echo lost; exit 4' <&-
    ends_with 4
    test ! -s "$f/out"
}

console_output_goes_to_a_file_that_is_emptied() {
    need_root
    echo old >"$f/console"
    settings "console=$f/console" -- /bin/sh -c 'echo new; exit 5'
    ends_with 5
    test "$(tr -d '\r' <"$f/console")" = new
    test ! -s "$f/out"
}

a_read_only_root_stays_as_it_is() {
    need_root
    settings readonly -- /bin/sh -c \
        'touch /new 2>&1; mount -o remount,rw /; touch /new; [ ! -e /new ]'
    ends_with 0
    test ! -e "$root/new"
}

a_one_shot_file_is_found_once() {
    need_root
    settings oneshot=once=hidden file=often=there -- \
        /bin/sh -c 'cat /once; cat /once 2>/dev/null || echo; cat /often /often'
    says "hidden
therethere"
}

the_init_is_not_seen() {
    need_root
    settings -- /bin/sh -c 'ls -a / | grep -c krun'
    says 0
}

the_user_changes_after_files_were_opened() {
    need_root
    [ "$(id -u)" = 0 ] || tap_skip "only root can become another user"
    chmod 755 "$tap_folder"
    chmod 777 "$root/tmp"
    settings uid=1000 gid=1000 -- /bin/sh -c 'touch /tmp/by-1000; id -u'
    says 0
    test "$(stat -c %u:%g "$root/tmp/by-1000")" = 1000:1000
    rm "$root/tmp/by-1000"
}

sigterm_reaches_the_workload() {
    need_root
    rm -f "$f/fifo"
    mkfifo "$f/fifo"
    "$clients/client_settings" "$root" -- /bin/sh -c \
        'trap "echo asked; exit 11" TERM; echo ready; while :; do sleep 1; done' \
        >"$f/fifo" 2>"$f/err" &
    vm=$!
    exec 8<"$f/fifo"
    read -r line <&8
    test "$line" = ready
    kill -TERM "$vm"
    status=0
    wait "$vm" || status=$?
    read -r line <&8
    exec 8<&-
    cat "$f/err"
    ends_with 11
    test "$line" = asked
}

tap_plan 32
tap_case crun_1_8_runs_a_command_with_the_files_environment
tap_case crun_1_27_takes_everything_from_the_file_as_user_1000
tap_case krunvm_runs_a_command_or_a_shell
tap_case muvm_takes_a_config_from_another_path
tap_case nerdbox_boots_its_kernel_and_disk_and_reads_a_fifo
tap_case boxlite_runs_on_a_share_and_on_a_disk
tap_case krunkit_is_told_that_there_is_no_firmware
tap_case the_chroot_example_runs
tap_case our_examples_run
tap_case our_example_boots_a_kernel_of_ones_own
tap_case a_config_file_that_cannot_be_read_is_passed_over
tap_case a_second_root_is_left_out
tap_case the_callers_init_takes_the_place_of_ours
tap_case an_installed_libkrunfw_is_the_default_kernel
tap_case no_environment_is_the_callers_and_an_empty_one_is_empty
tap_case values_keep_quotes_spaces_and_newlines
tap_case the_program_is_its_own_first_argument
tap_case the_call_wins_over_the_file_but_for_home_and_term
tap_case the_files_entrypoint_and_command_are_joined
tap_case the_host_name_is_hostname_or_localhost
tap_case the_workload_can_be_process_1
tap_case limits_are_set_and_nonsense_is_left_out
tap_case endings_have_their_statuses
tap_case streams_that_are_no_terminals_stay_apart
tap_case standard_input_can_be_nothing_or_closed
tap_case there_can_be_no_console_at_all
tap_case console_output_goes_to_a_file_that_is_emptied
tap_case a_read_only_root_stays_as_it_is
tap_case a_one_shot_file_is_found_once
tap_case the_init_is_not_seen
tap_case the_user_changes_after_files_were_opened
tap_case sigterm_reaches_the_workload
tap_end
