#!/bin/sh
# Kernels find the virtio devices and read from the entropy device: Debian's
# with modules and ACPI, the tuned one by its command line.
set -eu
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/boot.sh"
. "$(dirname "$0")/modules.sh"

make_device_initrd() { # FLAVOUR MODULE...
    flavour=$1
    shift
    initrd=$tap_folder/devices-$flavour.cpio
    make_module_initrd "$initrd" guest_devices.sh "$flavour" "$*"
}

reads_random_bytes() { # LOG
    boots "devices-$1" none --cpus 2
    test "$status" = 0
    says "e2e: virtio0 type 0x0004 status 0x0000000f driver virtio_rng"
    says "e2e: hwrng virtio_rng.0"
    says "e2e: read 4096"
    says "e2e: packed 1"
    test ! -s "$log.err"
}

row058_kernel_6_1_reads_random_bytes() {
    need_kernel cloud bzimage
    make_device_initrd cloud virtio_ring virtio virtio_mmio virtio-rng
    reads_random_bytes cloud
}

row058_kernel_6_12_reads_random_bytes() {
    need_kernel cloud-6.12 bzimage
    make_device_initrd cloud-6.12 virtio_mmio virtio-rng
    reads_random_bytes cloud-6.12
}

row058_kernel_without_acpi_reads_random_bytes() {
    "$HUSK" doctor >/dev/null 2>&1 || tap_skip "no back end works on this host"
    kernel=$(ls -d "$kernels"/tuned-*/vmlinux 2>/dev/null | tail -n 1)
    [ -n "$kernel" ] || tap_skip "no tuned kernel in the cache; make kernel"
    make_device_initrd tuned
    reads_random_bytes tuned
}

tap_plan 3
tap_case row058_kernel_6_1_reads_random_bytes
tap_case row058_kernel_6_12_reads_random_bytes
tap_case row058_kernel_without_acpi_reads_random_bytes
tap_end
