/* Guest-sized memory from anonymous mappings. Linux twin. */
#include "os/mem.h"

#include "base/assert.h"
#include "base/checked.h"
#include "base/err.h"

#include <sys/mman.h>
#include <unistd.h>

int hk_os_mem_alloc(uint64_t size, uint8_t **out)
{
    if (size == 0 || size > PTRDIFF_MAX)
        return -HK_EINVAL;
    /* NORESERVE: untouched guest memory must not count against the host. */
    void *memory = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -HK_ENOMEM;

    /* A guest's memory has no business in a core file or a child process.
     * Both are wishes: an old kernel may not know them. */
    (void)madvise(memory, (size_t)size, MADV_DONTDUMP);
    (void)madvise(memory, (size_t)size, MADV_DONTFORK);
    HK_RACY_MEMORY(memory, (size_t)size);
    *out = memory;
    return 0;
}

void hk_os_mem_free(uint8_t *memory, uint64_t size)
{
    if (memory == NULL)
        return;
    int result = munmap(memory, (size_t)size);
    hk_assert(result == 0);
}

uint64_t hk_os_mem_total(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_size = sysconf(_SC_PAGESIZE);
    uint64_t total;
    if (pages <= 0 || page_size <= 0 ||
        !hk_mul_u64((uint64_t)pages, (uint64_t)page_size, &total))
        return 0;
    return total;
}
