/*
 * The event loop: a thin shell over libuv.
 *
 * 1. A loop belongs to the thread that calls hk_loop_run (before that, to the
 *    thread that created it). Everything below is called on that thread,
 *    except hk_loop_post, hk_loop_stop and hk_loop_is_here, which any thread
 *    may call.
 * 2. Posted functions run on the loop's thread, in the order posted, each
 *    once. What is posted before the loop stops runs before hk_loop_run
 *    returns or, failing that, in hk_loop_destroy.
 * 3. After hk_timer_remove returns, the callback will not come.
 * 4. Owners of libuv handles (console, later net) take the uv_loop_t from
 *    hk_loop_uv and close what they opened before hk_loop_destroy.
 */
#ifndef HK_LOOP_LOOP_H
#define HK_LOOP_LOOP_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

struct hk_loop;
struct hk_timer;
struct uv_loop_s;

typedef void (*hk_loop_fn)(void *opaque);

int hk_loop_create(struct hk_loop **out) HK_MUST_CHECK;
void hk_loop_destroy(struct hk_loop *loop);

/* Runs until hk_loop_stop. */
void hk_loop_run(struct hk_loop *loop);
void hk_loop_stop(struct hk_loop *loop);

/* Turns the loop until nothing is ready; for tests. */
void hk_loop_turn(struct hk_loop *loop);

/* Waits until something is ready and handles it: for its owner, to wait for
 * what only the loop can bring. */
void hk_loop_step(struct hk_loop *loop);

/* True on the thread that the loop belongs to. */
bool hk_loop_is_here(const struct hk_loop *loop);

/* -HK_ENOMEM when the function could not be queued. */
int hk_loop_post(struct hk_loop *loop, hk_loop_fn fn,
                 void *opaque) HK_MUST_CHECK;

/* Calls `fn` once after `delay_ms`, then every `period_ms` unless 0. */
int hk_timer_add(struct hk_loop *loop, uint64_t delay_ms, uint64_t period_ms,
                 hk_loop_fn fn, void *opaque,
                 struct hk_timer **out) HK_MUST_CHECK;
void hk_timer_remove(struct hk_timer *timer); /* NULL is legal */

struct uv_loop_s *hk_loop_uv(struct hk_loop *loop);

#endif
