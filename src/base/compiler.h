/*
 * The only place that names compiler extensions and the host system.
 *
 * Husk is C11 with the GCC/Clang extensions defined here and no others.
 * Any thread; no state.
 */
#ifndef HK_BASE_COMPILER_H
#define HK_BASE_COMPILER_H

#include <stddef.h>
#include <stdint.h>

#define HK_MUST_CHECK __attribute__((warn_unused_result))
#define HK_PRINTF(fmt_index, arg_index) \
    __attribute__((format(printf, fmt_index, arg_index)))
#define HK_NORETURN __attribute__((noreturn))
#define HK_COLD __attribute__((cold, noinline))
#define HK_NOINLINE __attribute__((noinline))
#define HK_INLINE static inline __attribute__((always_inline))
#define HK_UNUSED __attribute__((unused))
#define HK_PACKED __attribute__((packed))
#define HK_ALIGNED(n) __attribute__((aligned(n)))
#define HK_SYSV __attribute__((sysv_abi))
#define HK_CLEANUP(fn) __attribute__((cleanup(fn)))
#define HK_FALLTHROUGH __attribute__((fallthrough))
/* Called when the program or library that has the function is loaded. */
#define HK_AT_LOAD __attribute__((constructor))

#define hk_likely(x) __builtin_expect(!!(x), 1)
#define hk_unlikely(x) __builtin_expect(!!(x), 0)

#define HK_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define hk_container_of(ptr, type, member) \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/*
 * Tells the thread checker that [memory, memory+size) is guest RAM: what two
 * vCPUs do to it without locks is the guest's own affair, as on hardware.
 */
#if defined(__SANITIZE_THREAD__)
void AnnotateBenignRaceSized(const char *file, int line,
                             const volatile void *memory, size_t size,
                             const char *text);
#define HK_RACY_MEMORY(memory, size) \
    AnnotateBenignRaceSized(__FILE__, __LINE__, (memory), (size), "guest RAM")
#else
#define HK_RACY_MEMORY(memory, size) ((void)(memory), (void)(size))
#endif

/* Tells the processor that this is a spin-wait loop. */
static inline void hk_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
