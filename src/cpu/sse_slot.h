/*
 * Distances between the copies of a host routine in sse_stubs.S, in bytes.
 * Read by the assembler too.
 */
#ifndef HK_CPU_SSE_SLOT_H
#define HK_CPU_SSE_SLOT_H

#define HK_SSE_SLOT 16
#define HK_SSE_WIDE_SLOT 32 /* the string compares */

#endif
