/*
 * hk_assert: for our own invariants only, never for data from outside. Stays
 * on in release builds; its argument has no side effects.
 */
#ifndef HK_BASE_ASSERT_H
#define HK_BASE_ASSERT_H

#include "base/compiler.h"

HK_NORETURN HK_COLD void hk_assert_failed(const char *text, const char *file,
                                          int line);

#define hk_assert(cond) \
    (hk_likely(cond) ? (void)0 : hk_assert_failed(#cond, __FILE__, __LINE__))

#endif
