/*
 * The machine: the guest-physical map and the vCPUs that share it.
 */
#include "cpu/cpu.h"

#include "cpu/block_int.h"
#include "cpu/cpu_int.h"

#include <stdlib.h>
#include <string.h>

int hk_cpu_machine_create(const struct hk_cpu_config *config,
                          struct hk_cpu_machine **out)
{
    if (config->vcpu_count == 0 || config->vcpu_count > HK_CPU_MAX_VCPUS ||
        config->tsc_hz == 0)
        return -HK_EINVAL;
    struct hk_cpu_machine *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return -HK_ENOMEM;
    m->config = *config;
    m->host = *config->host;
    atomic_flag_clear(&m->code_lock);
    *out = m;
    return 0;
}

static void destroy_cpu(struct hk_cpu *c)
{
    if (c == NULL)
        return;
    hk_code_cache_destroy(c->code);
    free(c);
}

void hk_cpu_machine_destroy(struct hk_cpu_machine *m)
{
    if (m == NULL)
        return;
    for (uint32_t i = 0; i < m->cpu_count; i++)
        destroy_cpu(m->cpus[i]);
    for (uint32_t i = 0; i < m->ram_count; i++)
        free((void *)(uintptr_t)m->ram[i].pages);
    free(m);
}

int hk_cpu_machine_map(struct hk_cpu_machine *m, hk_gpa_t gpa, uint64_t size,
                       void *host, bool writable)
{
    uint64_t mask = HK_GMEM_PAGE - 1;
    if (size == 0 || ((gpa | size | (uintptr_t)host) & mask) != 0 ||
        gpa + size < gpa)
        return -HK_EINVAL;
    if (m->ram_count == HK_CPU_MAX_RAM)
        return -HK_ENOSPC;
    for (uint32_t i = 0; i < m->ram_count; i++) {
        const struct hk_ram *r = &m->ram[i];
        if (gpa < r->gpa + r->size && r->gpa < gpa + size)
            return -HK_EEXIST;
    }
    struct hk_ram *r = &m->ram[m->ram_count];
    r->pages = calloc(size / HK_GMEM_PAGE, sizeof(*r->pages));
    if (r->pages == NULL)
        return -HK_ENOMEM;
    r->gpa = gpa;
    r->size = size;
    r->host = host;
    r->writable = writable;
    m->ram_count++;
    return 0;
}

int hk_cpu_create(struct hk_cpu_machine *m, void *vcpu, struct hk_cpu **out)
{
    if (m->cpu_count >= m->config.vcpu_count)
        return -HK_ENOSPC;
    struct hk_cpu *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return -HK_ENOMEM;
    c->machine = m;
    c->opaque = vcpu;
    c->index = m->cpu_count;
    atomic_flag_clear(&c->inval.lock);
    int rc = hk_code_cache_create(m->config.code_bytes, &c->code);
    if (rc < 0) {
        destroy_cpu(c);
        return rc;
    }
    hk_tlb_flush_all(c);
    hk_cpu_reset(c);
    m->cpus[m->cpu_count++] = c;
    *out = c;
    return 0;
}

struct hk_ram *hk_phys_ram(struct hk_cpu_machine *m, uint64_t gpa)
{
    for (uint32_t i = 0; i < m->ram_count; i++) {
        struct hk_ram *r = &m->ram[i];
        if (gpa - r->gpa < r->size)
            return r;
    }
    return NULL;
}

uint8_t *hk_phys_ptr(struct hk_cpu_machine *m, uint64_t gpa, uint64_t *left)
{
    struct hk_ram *r = hk_phys_ram(m, gpa);
    if (r == NULL)
        return NULL;
    if (left != NULL)
        *left = r->size - (gpa - r->gpa);
    return r->host + (gpa - r->gpa);
}

bool hk_phys_read64(struct hk_cpu_machine *m, uint64_t gpa, uint64_t *value)
{
    uint64_t left = 0;
    const uint8_t *p = hk_phys_ptr(m, gpa, &left);
    if (p == NULL || left < sizeof(*value))
        return false;
    memcpy(value, p, sizeof(*value));
    return true;
}

bool hk_phys_write(struct hk_cpu *c, uint64_t gpa, const void *from,
                   uint32_t len)
{
    struct hk_ram *r = hk_phys_ram(c->machine, gpa);
    if (r == NULL || !r->writable || r->size - (gpa - r->gpa) < len)
        return false;
    memcpy(r->host + (gpa - r->gpa), from, len);
    hk_code_written(c->machine, c, r, gpa, len);
    return true;
}

void hk_cpu_machine_note_write(struct hk_cpu_machine *m, hk_gpa_t gpa,
                               uint64_t len)
{
    while (len != 0) {
        struct hk_ram *r = hk_phys_ram(m, gpa);
        if (r == NULL)
            return;
        uint64_t left = r->size - (gpa - r->gpa);
        uint64_t part = len < left ? len : left;
        hk_code_written(m, NULL, r, gpa, part);
        gpa += part;
        len -= part;
    }
}

void hk_cpu_poke(struct hk_cpu *c, uint32_t bits)
{
    if ((bits & HK_CPU_POKE_NMI) != 0)
        atomic_fetch_add(&c->nmi_posted, 1);
    atomic_fetch_or_explicit(&c->poke, bits, memory_order_release);
}

uint64_t hk_cpu_instructions(const struct hk_cpu *c)
{
    return c->insns;
}
