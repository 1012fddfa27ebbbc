/*
 * The console device: queues, configuration space, life.
 *
 *   queue  0, 1      port 0: to the guest, from the guest
 *   queue  2, 3      control messages, likewise
 *   queue  4, 5 ...  port 1, and so on
 *
 *   configuration    0: columns  2: rows  4: number of ports
 *                    8: emergency write: one byte for port 0, at any time
 */
#include "virtio/console_int.h"

#include "base/compiler.h"
#include "base/endian.h"

#include <stdlib.h>
#include <string.h>

enum {
    TYPE_CONSOLE = 3,

    CONFIG_SIZE_AT = 0,
    CONFIG_SIZE_LEN = 4,
    CONFIG_PORTS_AT = 4,
    CONFIG_EMERGENCY_AT = 8,
    CONFIG_LEN = 12,

    PORT_QUEUE_SIZE = 64,
    CONTROL_QUEUE_SIZE = 32,
};

#define F_SIZE (1ull << 0)
#define F_MULTIPORT (1ull << 1)
#define F_EMERG_WRITE (1ull << 2)

static struct vcon *from_vdev(struct hk_vdev *dev)
{
    return hk_container_of(dev, struct vcon, dev);
}

/* ------------------------------------------------------------------ */
/* Configuration space                                                */

void vcon_tell_size(struct vcon *vcon, bool again)
{
    const struct vcon_port *p = &vcon->ports[0];
    uint8_t size[CONFIG_SIZE_LEN] = {0};

    /* The driver is only told of bytes that differ. */
    if (again)
        hk_vdev_set_config(&vcon->dev, CONFIG_SIZE_AT, size, sizeof(size),
                           false);
    hk_put_le16(size, p->columns);
    hk_put_le16(size + 2, p->rows);
    hk_vdev_set_config(&vcon->dev, CONFIG_SIZE_AT, size, sizeof(size), true);
}

static void vcon_config(struct hk_vdev *dev, uint32_t offset,
                        const uint8_t *bytes, uint32_t len)
{
    struct vcon *vcon = from_vdev(dev);

    if (offset == CONFIG_EMERGENCY_AT && len > 0 && vcon->count > 0)
        (void)hk_port_write(vcon->ports[0].port, bytes, 1);
}

/* ------------------------------------------------------------------ */
/* Queues                                                             */

/*
 * A Linux driver looks at the size in the configuration space only when told
 * that it changed, and forgets it unless its console is up by then: it is told
 * when the device starts, and once more when the console begins to write.
 */
static void tell_size_again(struct vcon *vcon)
{
    if (vcon->multiport || vcon->size_told || vcon->ports[0].columns == 0)
        return;
    vcon->size_told = true;
    vcon_tell_size(vcon, true);
}

static void port_kick(struct vcon *vcon, uint32_t index)
{
    uint32_t id = index < VCON_CONTROL_RX ? 0 : index / 2 - 1;

    if (id >= vcon->count)
        return;
    if (index % 2 == 0) {
        vcon_port_rx_kick(&vcon->ports[id]);
        return;
    }
    vcon_port_tx_kick(&vcon->ports[id]);
    if (id == 0)
        tell_size_again(vcon);
}

static void vcon_kick(struct hk_vdev *dev, uint32_t index)
{
    struct vcon *vcon = from_vdev(dev);

    if (index == VCON_CONTROL_RX)
        vcon_control_send(vcon);
    else if (index == VCON_CONTROL_TX)
        vcon_control_receive(vcon);
    else
        port_kick(vcon, index);
}

static int vcon_activate(struct hk_vdev *dev, uint64_t features)
{
    struct vcon *vcon = from_vdev(dev);

    vcon->multiport = (features & F_MULTIPORT) != 0;
    vcon->size_told = false;
    for (uint32_t i = 0; i <= (vcon->multiport ? VCON_CONTROL_TX : 1); i++)
        if (hk_vdev_queue(dev, i) == NULL)
            return -HK_EINVAL;
    if (vcon->multiport || vcon->count == 0)
        return 0;
    if (vcon->ports[0].columns != 0)
        vcon_tell_size(vcon, true);
    vcon_port_open(&vcon->ports[0], true);
    return 0;
}

/* ------------------------------------------------------------------ */
/* Life                                                               */

static void vcon_leave(struct hk_vdev *dev)
{
    struct vcon *vcon = from_vdev(dev);

    for (uint32_t i = 0; i < vcon->count; i++)
        vcon_port_leave(&vcon->ports[i]);
}

static void vcon_reset(struct hk_vdev *dev)
{
    struct vcon *vcon = from_vdev(dev);

    for (uint32_t i = 0; i < vcon->count; i++)
        vcon_port_reset(&vcon->ports[i]);
    hk_vdev_reset_done(dev);
}

static void vcon_drain(struct hk_vdev *dev)
{
    struct vcon *vcon = from_vdev(dev);

    for (uint32_t i = 0; i < vcon->count; i++)
        vcon_port_drain(&vcon->ports[i]);
}

static void vcon_destroy(struct hk_vdev *dev)
{
    struct vcon *vcon = from_vdev(dev);

    for (uint32_t i = 0; i < vcon->count; i++)
        vcon_port_fini(&vcon->ports[i]);
    free(vcon);
}

static const struct hk_vdev_ops vcon_ops = {
    .name = "console",
    .type = TYPE_CONSOLE,
    .activate = vcon_activate,
    .kick = vcon_kick,
    .config = vcon_config,
    .leave = vcon_leave,
    .reset = vcon_reset,
    .drain = vcon_drain,
    .destroy = vcon_destroy,
};

static bool has_name(const struct hk_vcon_port_config *config)
{
    return config->name != NULL && config->name[0] != '\0';
}

static int check(const struct hk_vcon_port_config *ports, uint32_t count)
{
    if (count > HK_VCON_PORTS_MAX)
        return -HK_EINVAL;
    for (uint32_t i = 0; i < count; i++)
        if (has_name(&ports[i]) && strlen(ports[i].name) > HK_VCON_NAME_MAX)
            return -HK_ENAMETOOLONG;
    return 0;
}

static void init_vdev(struct vcon *vcon, struct hk_loop *loop)
{
    uint32_t room = vcon->count == 0 ? 1 : vcon->count;
    uint8_t config[CONFIG_LEN] = {0};
    struct hk_vdev_info info = {
        .features = F_SIZE | F_EMERG_WRITE | F_MULTIPORT,
        .queue_count = 2 * room + 2,
        .config_size = CONFIG_LEN,
        .config = config,
    };

    hk_put_le32(config + CONFIG_PORTS_AT, room);
    for (uint32_t i = 0; i < info.queue_count; i++)
        info.queue_size[i] = i == VCON_CONTROL_RX || i == VCON_CONTROL_TX
                                 ? CONTROL_QUEUE_SIZE
                                 : PORT_QUEUE_SIZE;
    hk_vdev_init(&vcon->dev, &vcon_ops, loop, &info);
}

static void init_port(struct vcon *vcon, uint32_t id,
                      const struct hk_vcon_port_config *config)
{
    struct vcon_port *p = &vcon->ports[id];

    p->vcon = vcon;
    p->id = id;
    p->port = config->take_port;
    p->console = config->console;
    p->hides_end = config->hides_end || config->console;
    p->goes_on = config->goes_on;
    p->is_open = true;
    if (has_name(config))
        memcpy(p->name, config->name, strlen(config->name) + 1);
}

int hk_vcon_create(struct hk_loop *loop,
                   const struct hk_vcon_port_config *ports, uint32_t count,
                   struct hk_vdev **out)
{
    int rc = check(ports, count);
    struct vcon *vcon = NULL;

    if (rc == 0)
        vcon = calloc(1, sizeof(*vcon) + count * sizeof(vcon->ports[0]));
    if (vcon == NULL) {
        for (uint32_t i = 0; i < count; i++)
            hk_port_close(ports[i].take_port);
        return rc != 0 ? rc : -HK_ENOMEM;
    }
    vcon->count = count;
    init_vdev(vcon, loop);
    for (uint32_t i = 0; i < count; i++)
        init_port(vcon, i, &ports[i]);
    for (uint32_t i = 0; i < count; i++)
        vcon_port_listen(&vcon->ports[i]);
    *out = &vcon->dev;
    return 0;
}

void hk_vcon_set_rows_first(struct hk_vdev *dev, bool on)
{
    from_vdev(dev)->rows_first = on;
}
