/*
 * A console port in front of another one: passes everything on, listens for
 * the guest's last words (ending.h, last_words.h), and takes the end key for
 * itself.
 *
 * Threads: as hk_port; hk_tap_words and hk_tap_last_words from any.
 */
#ifndef HK_VMM_TAP_PORT_H
#define HK_VMM_TAP_PORT_H

#include "console/port.h"
#include "vmm/ending.h"

/*
 * `take_inner` becomes the tap's, also on failure. `escape` is called on the
 * home loop's thread when the end key was typed.
 */
int hk_tap_open(struct hk_port *take_inner, void (*escape)(void *opaque),
                void *opaque, struct hk_port **out) HK_MUST_CHECK;

enum hk_words hk_tap_words(struct hk_port *tap);

/* hk_last_words of what the guest has written lately. */
void hk_tap_last_words(struct hk_port *tap, char *text, size_t size);

#endif
