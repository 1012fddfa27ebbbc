/*
 * Large host memory, for guest RAM, and the size of the host's memory.
 * Twins: linux/mem.c. Any thread; no state.
 */
#ifndef HK_OS_MEM_H
#define HK_OS_MEM_H

#include "base/compiler.h"

#include <stdint.h>

/*
 * Gets `size` bytes (not 0) of zeroed, page-aligned, readable and writable
 * memory. Pages take host memory when first touched, so a guest may be given
 * more than it will use. Not inherited by child processes. Guests race on it,
 * and the thread checker is told so. Release with
 * hk_os_mem_free and the same size. Errors: -HK_EINVAL size 0 or larger than
 * the address space; -HK_ENOMEM the host refused.
 */
int hk_os_mem_alloc(uint64_t size, uint8_t **out) HK_MUST_CHECK;
void hk_os_mem_free(uint8_t *memory, uint64_t size); /* NULL is legal */

/* Physical memory of the host in bytes; 0 when it cannot be told. */
uint64_t hk_os_mem_total(void);

#endif
