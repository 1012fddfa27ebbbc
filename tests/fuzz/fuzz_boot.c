/*
 * A whole boot: the input is a machine, a command line, an initrd and a
 * kernel, one after the other (see `struct head`). What is refused must leave
 * guest memory alone; what is accepted must lie in RAM and not overlap.
 */
#include "base/checked.h"
#include "base/endian.h"
#include "boot/boot.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RAM = 4 << 20, HEAD = 16, SLOTS_MAX = 8 };

static struct hk_gmem *gmem;
static unsigned writes;

static void count_write(void *opaque, hk_gpa_t gpa, uint64_t len)
{
    writes++;
}

static void start(void)
{
    if (gmem)
        return;
    if (hk_gmem_create(&gmem) || hk_gmem_add(gmem, 0, RAM, NULL))
        abort();
    hk_gmem_set_watch(gmem, count_write, NULL);
}

/* Cuts `want` bytes, or what is left, off the front of the input. */
static const uint8_t *cut(const uint8_t **data, size_t *size, size_t want,
                          size_t *got)
{
    const uint8_t *p = *data;
    *got = want < *size ? want : *size;
    *data += *got;
    *size -= *got;
    return p;
}

static void fill_machine(struct hk_boot_machine *m, const uint8_t *head,
                         struct hk_boot_slot *slots)
{
    *m = (struct hk_boot_machine){
        .vcpu_count = head[0],
        .lapic_gpa = 0xfee00000,
        .ioapic_gpa = 0xfec00000,
        .has_com1 = head[1] & 1,
        .has_rtc = head[1] & 2,
        .has_i8042 = head[1] & 4,
        .slots = slots,
        .slot_count = head[2] % SLOTS_MAX,
        .acpi = {.off = head[1] & 8, .s5_type = head[3]},
    };
    for (uint32_t i = 0; i < m->slot_count; i++)
        slots[i] = (struct hk_boot_slot){.gpa = hk_get_le32(head + 4),
                                         .size = hk_get_le16(head + 8),
                                         .irq = head[10],
                                         .level = head[11] & 1};
}

static void check(const struct hk_boot_config *config,
                  const struct hk_boot_info *info)
{
    struct hk_vcpu_state state;
    uint64_t kernel_size = info->kernel_end - info->kernel_start;
    hk_boot_set_regs(info, &state);
    if (state.rip != info->entry || info->kernel_start < HK_BOOT_HIGH ||
        info->entry < info->kernel_start || info->entry >= info->kernel_end)
        abort();
    if (info->initrd_size &&
        (!hk_gmem_has(gmem, info->initrd_gpa, info->initrd_size) ||
         info->initrd_gpa < HK_BOOT_HIGH ||
         hk_ranges_overlap(info->initrd_gpa, info->initrd_size,
                           info->kernel_start, kernel_size)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hk_boot_slot slots[SLOTS_MAX];
    struct hk_boot_info info;
    struct hk_errmsg err = {{0}};
    struct hk_boot_config config = {.raw_gpa = 0x200000};
    size_t len;
    char cmdline[256] = "";

    start();
    if (size < HEAD)
        return 0;
    const uint8_t *head = cut(&data, &size, HEAD, &len);
    fill_machine(&config.machine, head, slots);
    const uint8_t *words = cut(&data, &size, head[12], &len);
    memcpy(cmdline, words, len);
    config.gmem = gmem;
    config.cmdline = cmdline;
    config.format = (enum hk_image_format)(head[13] % 4);
    config.initrd.data = cut(&data, &size, hk_get_le16(head + 14), &len);
    config.initrd.size = len;
    if (len == 0)
        config.initrd.data = NULL;
    config.kernel.data = data;
    config.kernel.size = size;

    writes = 0;
    int rc = hk_boot_load(&config, &info, &err);
    if (rc == 0)
        check(&config, &info);
    else if (writes != 0 || err.text[0] == '\0')
        abort();
    return 0;
}
