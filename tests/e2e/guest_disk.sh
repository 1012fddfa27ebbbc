#!/bin/sh
# /init of the boots with a disk, /dev/vda. The word do=WHAT on the kernel
# command line says what to do with it.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev

for module in /modules/*; do
    [ -f "$module" ] && insmod "$module"
done

fail() {
    echo "e2e: failed: $*"
    reboot -f
    sleep 60
}

# A file system with a copy of what runs here, unmounted in order.
make() {
    /sbin/mkfs.ext4 -q -E nodiscard /dev/vda || fail mkfs
    mount -t ext4 /dev/vda /mnt || fail mount
    mkdir /mnt/copy
    cp -a /bin /sbin /init /mnt/copy || fail copy
    (cd / && find bin sbin init -type f -exec md5sum {} +) >/mnt/sums
    umount /mnt || fail umount
}

verify() {
    mount -t ext4 -o ro /dev/vda /mnt || fail mount
    (cd /mnt/copy && md5sum -c -s ../sums) || fail sums
    echo "e2e: verified $(wc -l </mnt/sums)"
    umount /mnt || fail umount
}

# Gives space back that was written before.
trim() {
    mount -t ext4 /dev/vda /mnt || fail mount
    rm -r /mnt/copy /mnt/sums
    sync
    fstrim -v /mnt || fail fstrim
    umount /mnt || fail umount
}

# Writes whole files until somebody kills the machine, and says so of each
# that is on the disk.
write() {
    mount -t ext4 /dev/vda /mnt || fail mount
    rm -rf /mnt/f*
    n=0
    while :; do
        n=$((n + 1))
        blocks=$((n * 7 % 31 + 1))
        dd if=/dev/urandom of=/mnt/f$n bs=4096 count=$blocks conv=fsync \
            2>/dev/null || fail dd
        echo "e2e: synced f$n $(md5sum </mnt/f$n | cut -c 1-32)"
        [ $((n % 5)) = 0 ] && rm /mnt/f$((n - 2)) &&
            echo "e2e: removed f$((n - 2))"
    done
}

# A disk that cannot be written stays as it is.
refuse() {
    echo "e2e: ro $(cat /sys/block/vda/ro)"
    dd if=/dev/zero of=/dev/vda bs=512 count=1 conv=fsync 2>/dev/null &&
        fail "written"
    echo "e2e: sum $(md5sum </dev/vda | cut -c 1-32)"
}

echo "e2e: disk $(cat /sys/block/vda/size) $(cat /sys/block/vda/serial)"
for what in $(sed -n 's/.*\bdo=\([a-z,]*\).*/\1/p' /proc/cmdline |
    tr , ' '); do
    $what
done
echo "e2e: done"
reboot -f
sleep 60
