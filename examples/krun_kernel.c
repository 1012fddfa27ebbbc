/*
 * A kernel of one's own, by the calls of libkrun.
 *
 *     krun_kernel KERNEL [INITRAMFS [COMMAND-LINE]]
 *
 * Boots KERNEL (vmlinux or bzImage) with its first serial port on standard
 * input and output. This process becomes the VM and ends with it: 0 when the
 * guest switched itself off.
 */
#include <libkrun.h>

#include <stdio.h>
#include <string.h>

/* The formats tell how a bzImage is packed inside; what counts here is only
 * whether it is one. */
static uint32_t format_of(const char *path)
{
    char magic[4] = "";
    FILE *file = fopen(path, "rb");
    if (file != NULL) {
        size_t n = fread(magic, 1, sizeof(magic), file);
        (void)n;
        fclose(file);
    }
    return memcmp(magic, "\177ELF", 4) == 0 ? KRUN_KERNEL_FORMAT_ELF
                                            : KRUN_KERNEL_FORMAT_IMAGE_GZ;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 4) {
        fprintf(stderr,
                "usage: krun_kernel KERNEL [INITRAMFS [COMMAND-LINE]]\n");
        return 1;
    }
    const char *initramfs = argc > 2 ? argv[2] : NULL;
    const char *cmdline = argc > 3 ? argv[3] : "console=ttyS0 panic=-1";

    (void)krun_set_log_level(KRUN_LOG_LEVEL_ERROR);
    int32_t id = krun_create_ctx();
    int32_t rc = id < 0 ? id : 0;
    if (rc == 0)
        rc = krun_set_vm_config((uint32_t)id, 1, 512);
    if (rc == 0)
        rc = krun_set_kernel((uint32_t)id, argv[1], format_of(argv[1]),
                             initramfs, cmdline);
    if (rc == 0)
        rc = krun_disable_implicit_console((uint32_t)id);
    if (rc == 0)
        rc = krun_add_serial_console_default((uint32_t)id, 0, 1);
    if (rc == 0)
        rc = krun_start_enter((uint32_t)id);
    fprintf(stderr, "krun_kernel: %s\n", strerror(-rc));
    return 1;
}
