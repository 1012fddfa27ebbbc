#!/bin/sh
# /init of the boots that look at virtio devices: loads the modules it was
# given, says what it sees and restarts (a kernel without ACPI cannot power off).
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev

for module in /modules/*; do
    [ -f "$module" ] && insmod "$module"
done

for device in /sys/bus/virtio/devices/*; do
    [ -d "$device" ] || continue
    echo "e2e: $(basename "$device") type $(cat "$device/device")" \
        "status $(cat "$device/status")" \
        "driver $(basename "$(readlink "$device/driver")")"
done
echo "e2e: hwrng $(cat /sys/class/misc/hw_random/rng_current)"
if [ -c /dev/hwrng ]; then
    dd if=/dev/hwrng of=/tmp/bytes bs=512 count=8 2>/dev/null
    echo "e2e: read $(stat -c %s /tmp/bytes)"
    # Random bytes do not pack; a guess of the least that they take.
    echo "e2e: packed $(($(gzip -c /tmp/bytes | wc -c) > 3900))"
fi
grep virtio /proc/interrupts
echo "e2e: done"
reboot -f
sleep 60
