#pragma once
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/span.h"

/* payload - immutable bytes that many queues refer to and nobody copies.
 *
 * Counted by reference, not atomic: a payload lives in one thread. Made with one reference, the
 * maker writes the bytes before it shares them. PAYLOAD_ROOM bytes in front of the data belong to
 * whoever sends it (libwebsockets wants LWS_PRE there).
 */
#define PAYLOAD_ROOM 16

typedef struct payload {
    uint32_t references;
    uint32_t size;
    uint8_t room[PAYLOAD_ROOM];
    uint8_t data[];
} payload_t;

/* NULL only when memory is exhausted. */
static inline payload_t *payload_new(size_t size)
{
    assert(size <= UINT32_MAX);
    payload_t *self = malloc(sizeof *self + size);
    if (self) {
        self->references = 1;
        self->size = (uint32_t)size;
    }
    return self;
}

static inline payload_t *payload_hold(payload_t *self)
{
    self->references++;
    return self;
}

/* Sets the caller's pointer to NULL; frees with the last reference. Safe on NULL. */
static inline void payload_release(payload_t **self_p)
{
    payload_t *self = *self_p;
    *self_p = NULL;
    if (self && --self->references == 0)
        free(self);
}

static inline struct span payload_span(const payload_t *self)
{
    return span_of(self->data, self->size);
}
