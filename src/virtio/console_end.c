/*
 * What the guest hears of the end of input.
 *
 * The specification has one word, PORT_OPEN 0: the host's side is closed. A
 * Linux guest takes it for both directions: readers get the end of file,
 * writers wait until the side is open again. That is right for a port that
 * only brings input. On a port whose output goes on it must not last, and it
 * must not be missed by a reader who is busy elsewhere. So the side blinks:
 *
 *     open  ____         _______________         ______________ ...
 *     closed    |_______|               |_______|
 *      input ended  50 ms    1 s, 2 s ... 8 s
 *
 * as long as the guest has the port open. A reader meets the end in a closed
 * time, a writer is held up for no longer than one. When the output breaks and
 * no input is to come (it ended, or there never was any), nobody is left on
 * the host's side, and it stays closed: a guest that polls sees a hang-up.
 */
#include "virtio/console_int.h"

#include "loop/loop.h"

enum { CLOSED_MS = 50, OPEN_MS_MIN = 1000, OPEN_MS_MAX = 8000 };

static void tell(struct vcon_port *p, bool open)
{
    p->is_open = open;
    if (!p->is_ready)
        return;
    p->sends |= VCON_SEND_OPEN;
    vcon_control_send(p->vcon);
}

static void stop_blinking(struct vcon_port *p)
{
    hk_timer_remove(p->blink);
    p->blink = NULL;
}

static void on_blink(void *opaque);

/* Without a timer the side stays as it is. */
static void blink_after(struct vcon_port *p, uint64_t delay_ms)
{
    stop_blinking(p);
    if (hk_timer_add(p->vcon->dev.loop, delay_ms, 0, on_blink, p, &p->blink) !=
        0)
        p->blink = NULL;
}

static void on_blink(void *opaque)
{
    struct vcon_port *p = opaque;

    if (p->is_open) {
        blink_after(p, CLOSED_MS);
        tell(p, false);
        return;
    }
    blink_after(p, p->blink_open_ms);
    if (p->blink_open_ms < OPEN_MS_MAX)
        p->blink_open_ms *= 2;
    tell(p, true);
}

static void start_blinking(struct vcon_port *p)
{
    p->blink_open_ms = OPEN_MS_MIN;
    blink_after(p, CLOSED_MS);
    tell(p, false);
}

void vcon_end_begin(struct vcon_port *p)
{
    p->ended = true;
    if (p->hides_end)
        return;
    if (!p->goes_on)
        tell(p, false);
    else if (p->guest_open)
        start_blinking(p);
}

void vcon_end_broken(struct vcon_port *p)
{
    if (!p->goes_on)
        return;
    p->goes_on = false;
    p->is_deserted = !p->console && (p->ended || p->hides_end);
    stop_blinking(p);
    if (p->is_deserted)
        tell(p, false);
}

void vcon_end_opened(struct vcon_port *p)
{
    if (!p->goes_on || !p->ended || p->hides_end)
        return;
    if (p->guest_open) {
        start_blinking(p);
        return;
    }
    stop_blinking(p);
    tell(p, true);
}

void vcon_end_reset(struct vcon_port *p)
{
    stop_blinking(p);
    p->is_open = !p->is_deserted && (!p->ended || p->hides_end || p->goes_on);
}
