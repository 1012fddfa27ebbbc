/*
 * The console device (VIRTIO 1.2, 5.3): up to 31 ports, each a console
 * (hvcN in a Linux guest) or a named byte stream (/dev/vportNpM, and by name
 * /dev/virtio-ports/NAME).
 *
 * A driver without MULTIPORT has port 0 alone, as a console. It is better with:
 * only then does the guest say when it is ready for input.
 *
 * Home loop only.
 */
#ifndef HK_VIRTIO_CONSOLE_H
#define HK_VIRTIO_CONSOLE_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct hk_loop;
struct hk_port;
struct hk_vdev;

enum {
    HK_VCON_PORTS_MAX = 31,
    HK_VCON_NAME_MAX = 255,
    /* Output of a port that is kept when a driver resets the device before
     * the host took it. */
    HK_VCON_KEPT_MAX = 4 << 20,
};

struct hk_vcon_port_config {
    const char *name; /* copied; NULL or "": none */
    bool console;
    /*
     * What the guest hears of the end of input. Neither (a port of input
     * only): the host's side closes; a Linux guest then reads the end of
     * file, and would wait for ever in a write. `goes_on`, for both
     * directions: the side closes for a moment again and again, so that
     * readers find the end and writers go on; it stays closed when the output
     * breaks too. `hides_end`, for output only: nothing; with `goes_on` as
     * well, that the side closes when the output breaks. A console hears
     * nothing either.
     */
    bool goes_on;
    bool hides_end;
    struct hk_port *take_port; /* not yet listened to */
};

/*
 * Takes all ports, also on failure. `count` 0 to HK_VCON_PORTS_MAX. -HK_EINVAL
 * too many, -HK_ENAMETOOLONG, -HK_ENOMEM.
 */
int hk_vcon_create(struct hk_loop *loop,
                   const struct hk_vcon_port_config *ports, uint32_t count,
                   struct hk_vdev **out) HK_MUST_CHECK;

/*
 * The RESIZE message carries columns before rows (5.3.6.2), and so do Linux
 * 6.16 and the long-term kernels that took its change (6.1 and 6.12 of 2025
 * and later). Other Linux kernels have them the other way round: call this for
 * those, before the driver starts.
 */
void hk_vcon_set_rows_first(struct hk_vdev *dev, bool on);

#endif
