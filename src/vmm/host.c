/*
 * Facts about the host, for the limits of a VM and for people.
 */
#include "vmm/host.h"

#include "os/mem.h"

#include <string.h>
#include <uv.h>

uint32_t hk_host_cpus(void)
{
    unsigned cpus = uv_available_parallelism();
    return cpus > 0 ? cpus : 1;
}

uint64_t hk_host_memory(void)
{
    uint64_t total = hk_os_mem_total();
    uint64_t limit = uv_get_constrained_memory();
    return limit != 0 && limit < total ? limit : total;
}

static void add_word(char *text, size_t size, size_t *len, const char *word)
{
    size_t need = strlen(word) + (*len != 0 ? 1 : 0);
    if (*len + need < size) {
        if (*len != 0)
            text[*len] = ' ';
        memcpy(text + *len + need - strlen(word), word, strlen(word) + 1);
    }
    *len += need;
}

size_t hk_host_cpu_features(char *text, size_t size)
{
    size_t len = 0;
    if (size != 0)
        text[0] = '\0';
        /* The built-in wants a literal, hence no table. */
#define ADD_FEATURE(name)             \
    if (__builtin_cpu_supports(name)) \
    add_word(text, size, &len, name)
    ADD_FEATURE("sse3");
    ADD_FEATURE("ssse3");
    ADD_FEATURE("sse4.1");
    ADD_FEATURE("sse4.2");
    ADD_FEATURE("popcnt");
    ADD_FEATURE("aes");
    ADD_FEATURE("pclmul");
    ADD_FEATURE("bmi");
    ADD_FEATURE("bmi2");
    ADD_FEATURE("avx");
    ADD_FEATURE("avx2");
    ADD_FEATURE("fma");
    ADD_FEATURE("avx512f");
#undef ADD_FEATURE
    return len;
}
