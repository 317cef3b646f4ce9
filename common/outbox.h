#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/payload.h"

/* outbox - the frames that one connection has yet to be sent: references to payloads, bounded in
 * bytes.
 *
 * Slow readers: outbox_put refuses what would exceed the limit; the caller then makes room, or
 * closes the connection (the client resumes by position). The first frame of an empty outbox is
 * kept in the outbox itself: most connections never wait for a second one, and touch nothing else.
 * Further ones go to chunks of a pool shared by all outboxes of a thread, so that putting allocates
 * nothing per subscriber once the pool has grown; an empty outbox owns no memory. The pool keeps
 * what it once had: it is as large as the largest backlog of all outboxes was.
 */
#define OUTBOX_CHUNK 6

/* One cache line. */
struct outbox_chunk {
    struct outbox_chunk *next;
    uint8_t first, end; /* of the items in use */
    payload_t *items[OUTBOX_CHUNK];
};

/* Visible only so that outbox_put can be inlined into the fan-out loop. */
typedef struct outbox_pool {
    struct outbox_chunk *spare;
    struct outbox_slab *slabs;
    size_t bytes; /* in all its outboxes */
} outbox_pool_t;

/* NULL only when memory is exhausted. */
outbox_pool_t *outbox_pool_new(void);
/* All outboxes must be empty. Sets *self_p to NULL; safe on NULL. */
void outbox_pool_destroy(outbox_pool_t **self_p);
/* Refills the spare chunks; false when memory is exhausted. For outbox_put only. */
bool outbox_pool_grow(outbox_pool_t *self);

/* A zeroed outbox is empty. */
typedef struct outbox {
    payload_t *front; /* before the chunks; NULL when it was sent and they go on */
    struct outbox_chunk *head, *tail;
    size_t bytes;
} outbox_t;

static inline bool outbox_is_empty(const outbox_t *self)
{
    return !self->front && !self->head;
}

static inline struct outbox_chunk *outbox_extend(outbox_t *self, outbox_pool_t *pool)
{
    if (__builtin_expect(!pool->spare, 0) && !outbox_pool_grow(pool))
        return NULL;
    struct outbox_chunk *chunk = pool->spare;
    pool->spare = chunk->next;
    __builtin_prefetch(pool->spare, 1); /* the next subscriber's */
    chunk->next = NULL;
    chunk->first = chunk->end = 0;
    if (self->tail)
        self->tail->next = chunk;
    else
        self->head = chunk;
    return self->tail = chunk;
}

/* Takes a hold of its own on the payload. False, and nothing changes, when the outbox would exceed
 * max_bytes or memory is exhausted. An empty outbox takes any payload. */
static inline bool outbox_put(outbox_t *self, outbox_pool_t *pool, payload_t *payload,
                              size_t max_bytes)
{
    size_t bytes = self->bytes + payload->size;
    if (outbox_is_empty(self)) {
        self->front = payload_hold(payload);
        self->bytes = bytes;
        pool->bytes += payload->size;
        return true;
    }
    struct outbox_chunk *tail = self->tail;
    if (bytes > max_bytes)
        return false;
    if (!tail || tail->end == OUTBOX_CHUNK) {
        tail = outbox_extend(self, pool);
        if (!tail)
            return false;
    }
    tail->items[tail->end++] = payload_hold(payload);
    self->bytes = bytes;
    pool->bytes += payload->size;
    return true;
}

/* Up to `max` payloads from the front, not removed; borrowed. Stops before max_bytes is exceeded,
 * but gives at least one if there is one. Returns how many. */
size_t outbox_peek(const outbox_t *self, payload_t **out, size_t max, size_t max_bytes);
/* Removes `count` payloads from the front; there must be as many. */
void outbox_drop(outbox_t *self, outbox_pool_t *pool, size_t count);
void outbox_clear(outbox_t *self, outbox_pool_t *pool);
