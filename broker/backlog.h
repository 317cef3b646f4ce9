#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/span.h"

/* backlog - messages that a peer's socket did not take, kept in order until it does.
 *
 * Pure. One queue for each peer, bounded in messages and bytes: what is beyond is refused, for a
 * peer that does not read must not fill our memory.
 */
typedef struct backlog backlog_t;

#define BACKLOG_PEER_BYTES ((size_t)16 << 20)
#define BACKLOG_PEER_MAX   256 /* bytes of a peer's id */

/* NULL only when memory is exhausted. */
backlog_t *backlog_new(size_t messages);
/* Those that are kept beyond it stay. */
void backlog_set_max(backlog_t *self, size_t messages);
/* The messages are forgotten. */
void backlog_destroy(backlog_t **self_p);

bool backlog_is_empty(const backlog_t *self);
/* Is something kept for this peer? Then the next message must wait behind it. */
bool backlog_holds(const backlog_t *self, size_t socket, struct span peer);
/* Copies all. `owner` is handed to backlog_try_fn. False when the peer's queue is full or memory is
 * exhausted. */
bool backlog_put(backlog_t *self, size_t socket, struct span peer, struct span bytes, void *owner);

/* True: the message was dealt with, one way or another. */
typedef bool backlog_try_fn(size_t socket, struct span peer, struct span bytes, void *owner,
                            void *arg);
/* Tries every peer's messages in order, until one is not taken. */
void backlog_retry(backlog_t *self, backlog_try_fn *try_send, void *arg);
