/*
 * The end of a kernel's log, in a few words for people.
 *
 * The log is what the guest wrote on its console: any bytes. What comes out is
 * one line of printable text. No state; any thread.
 */
#ifndef HK_VMM_LAST_WORDS_H
#define HK_VMM_LAST_WORDS_H

#include <stddef.h>

/*
 * Fills `text` (at most `size` bytes with the NUL) with what a panicking
 * kernel said the reason was, and before it init's last complaint if there is
 * one; without a panic with the last lines that are no part of a call trace.
 * Empty when the log has no such line. Time stamps are left out.
 */
void hk_last_words(const char *log, size_t len, char *text, size_t size);

#endif
