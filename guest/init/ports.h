/*
 * Ports of virtio consoles, found by name.
 *
 * A port appears and gets its name some time after the driver was loaded;
 * the kernel announces both on a netlink socket. One thread.
 */
#ifndef HK_INIT_PORTS_H
#define HK_INIT_PORTS_H

#include <stddef.h>
#include <stdint.h>

struct hk_port_wish {
    const char *name;
    uint32_t flag; /* wanted when this flag is set */
    int fd;        /* -1, or the open port: non-blocking, closed on exec */
};

/* Announcements are kept from now on. */
void hk_ports_listen(void);

/* Opens the wanted ports, waiting for those that are not there yet. Calls
 * hk_fail when one does not come. */
void hk_ports_open(struct hk_port_wish *wish, size_t count, uint32_t flags);

#endif
