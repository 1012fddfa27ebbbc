#!/bin/sh
# A Linux guest with a file system on a disk, looked at from the host: made,
# used and unmounted; killed in the middle of writing.
# HUSK_TEST_KILLS: how often the machine is killed (default 8).
set -eu
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/boot.sh"
. "$(dirname "$0")/modules.sh"

kills=${HUSK_TEST_KILLS:-8}
PATH=$PATH:/usr/sbin:/sbin

need_tools() {
    for tool in mke2fs e2fsck debugfs; do
        command -v "$tool" >/dev/null ||
            tap_skip "$tool is not installed (package e2fsprogs)"
    done
}

need_qemu_img() {
    command -v qemu-img >/dev/null ||
        tap_skip "qemu-img is not installed (package qemu-utils)"
}

need_disk_guest() {
    need_tools
    need_kernel cloud bzimage
    initrd=$tap_folder/disk.cpio
    [ -f "$initrd" ] || make_module_initrd "$initrd" guest_disk.sh cloud \
        "virtio_ring virtio virtio_mmio virtio_blk" \
        --program "$(command -v mke2fs):/sbin/mkfs.ext4"
}

disk_boot() { # LOG WORK DISK [OPTION...]
    name=$1
    work=$2
    disk=$3
    shift 3
    boots "$name" none --cmdline "console=ttyS0 panic=-1 do=$work" \
        --disk "$disk" "$@"
    test "$status" = 0
    says "e2e: done"
    test ! -s "$log.err"
}

# The file system is sound, and no journal is left to replay.
check_fs() {
    e2fsck -f -n "$1"
}

make_and_check() { # NAME FORMAT IMAGE
    disk_boot "disk-$1" make,verify "$3,format=$2"
    grep -q 'e2e: verified [1-9]' "$log"
}

row063_a_file_system_on_a_raw_disk_is_sound() {
    need_disk_guest
    image=$tap_folder/raw.img
    truncate -s 64M "$image"
    make_and_check raw raw "$image"
    says "e2e: disk 131072 $(stat -c '%d%r%i' "$image" | cut -c 1-20)"
    check_fs "$image"
    debugfs -R "dump /copy/init $tap_folder/init" "$image"
    cmp "$tap_folder/init" "$HUSK_SOURCE/tests/e2e/guest_disk.sh"
    used=$(stat -c %b "$image")
    disk_boot disk-trim trim "$image"
    check_fs "$image"
    test "$(stat -c %b "$image")" -lt "$used" # row 67
}

row063_a_file_system_on_a_qcow2_disk_is_sound() {
    need_qemu_img
    need_disk_guest
    image=$tap_folder/disk.qcow2
    qemu-img create -q -f qcow2 "$image" 64M
    make_and_check qcow2 qcow2 "$image"
    qemu-img check "$image"
    disk_boot disk-qcow2-trim trim "$image,format=qcow2"
    qemu-img check "$image"
    qemu-img convert -O raw "$image" "$tap_folder/converted.img"
    check_fs "$tap_folder/converted.img"
}

row066_a_read_only_disk_keeps_its_contents() {
    need_disk_guest
    image=$tap_folder/ro.img
    head -c 1M /dev/urandom >"$image"
    sum=$(md5sum <"$image" | cut -c 1-32)
    chmod 444 "$image"
    disk_boot disk-ro refuse "$image,ro"
    says "e2e: ro 1"
    says "e2e: sum $sum"
    test "$(md5sum <"$image" | cut -c 1-32)" = "$sum"
}

a_disk_in_use_is_refused() {
    need_disk_guest
    image=$tap_folder/busy.img
    truncate -s 1M "$image"
    status=0
    "$HUSK" boot --backend "${HUSK_BACKEND:-auto}" --timeout "$boot_limit" \
        --disk "$image" --disk "$image" "$kernel" >/dev/null 2>err || status=$?
    cat err
    test "$status" = 125
    grep -q "in use by another machine" err
}

# What the guest said to be on the disk, and did not remove afterwards.
promised() { # LOG
    tr -d '\r' <"$1" | awk '
        /^e2e: synced f[0-9]+ [0-9a-f]+$/ && length($4) == 32 { sum[$3] = $4 }
        /^e2e: removed / { delete sum[$3] }
        # A removal that was not said any more may have happened.
        { last = $3 }
        END { for (f in sum) print f, sum[f] }'
}

# The file being removed when the machine was killed may be gone.
may_be_gone() { # LOG FILE
    number=$(tr -d '\r' <"$1" | sed -n 's/^e2e: synced f\([0-9]*\) .*/\1/p' |
        tail -n 1)
    [ "$2" = "f$((number - 2))" ] && [ $((number % 5)) = 0 ]
}

check_promises() { # LOG IMAGE
    promised "$1" >promises
    while read -r file sum; do
        debugfs -R "dump /$file dumped" "$2" 2>debugfs.err
        found=$([ -f dumped ] && md5sum <dumped | cut -c 1-32)
        rm -f dumped
        if [ "$found" != "$sum" ] && ! may_be_gone "$1" "$file"; then
            echo "$file: promised $sum, found $found"
            return 1
        fi
    done <promises
    echo "$(wc -l <promises) promises kept"
}

# Runs the writer and kills it once it has said so many files.
write_and_kill() { # LOG FILES DISK
    : >"$1"
    "$HUSK" boot --backend "${HUSK_BACKEND:-auto}" --timeout "$boot_limit" \
        --initrd "$initrd" --cmdline "console=ttyS0 panic=-1 do=write" \
        --disk "$3" "$kernel" >"$1" 2>"$1.err" &
    pid=$!
    while [ "$(grep -c 'e2e: synced' "$1")" -lt "$2" ]; do
        kill -0 "$pid" || break
        sleep 0.05
    done
    kill -9 "$pid" || {
        cat "$1.err"
        tail -n 5 "$1"
        return 1
    }
    wait "$pid" || true
}

# A different number of files each time, from 1 to 12.
kill_in_turn() { # NAME FORMAT IMAGE TIMES CHECK
    round=0
    while [ "$round" -lt "$4" ]; do
        round=$((round + 1))
        log=$logs/kill-$1.log
        write_and_kill "$log" $((round * 5 % 12 + 1)) "$3,format=$2"
        $5 "$3" "$tap_folder/after.img"
        # The journal brings it in order; then nothing is left to mend.
        e2fsck -p "$tap_folder/after.img" || test "$?" = 1
        check_fs "$tap_folder/after.img"
        check_promises "$log" "$tap_folder/after.img"
    done
}

copy_raw() {
    cp --sparse=always "$1" "$2"
}

# Leaks are all that qemu-img may find (its status 3).
copy_qcow2() {
    qemu-img check "$1" || test "$?" = 3
    qemu-img convert -O raw "$1" "$2"
}

row064_flushed_files_outlive_a_killed_machine() {
    need_disk_guest
    image=$tap_folder/kill.img
    truncate -s 64M "$image"
    mke2fs -q -t ext4 "$image"
    kill_in_turn raw raw "$image" $(((kills + 1) / 2)) copy_raw
}

row064_flushed_files_outlive_a_killed_machine_on_qcow2() {
    need_qemu_img
    need_disk_guest
    image=$tap_folder/kill.qcow2
    truncate -s 64M "$tap_folder/kill2.img"
    mke2fs -q -t ext4 "$tap_folder/kill2.img"
    qemu-img convert -O qcow2 "$tap_folder/kill2.img" "$image"
    kill_in_turn qcow2 qcow2 "$image" $((kills / 2)) copy_qcow2
}

cd "$tap_folder"
tap_plan 6
tap_case row063_a_file_system_on_a_raw_disk_is_sound
tap_case row063_a_file_system_on_a_qcow2_disk_is_sound
tap_case row066_a_read_only_disk_keeps_its_contents
tap_case a_disk_in_use_is_refused
tap_case row064_flushed_files_outlive_a_killed_machine
tap_case row064_flushed_files_outlive_a_killed_machine_on_qcow2
tap_end
