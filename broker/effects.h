#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/core.h"
#include "common/payload.h"
#include "proto/buffer.h"

/* effects - what the core wants done, in order, until somebody takes it.
 *
 * Pure. The bytes of all effects stand one behind the other in one buffer, so that an effect costs
 * no allocation:
 *   struct buffer *to = effects_begin(effects);
 *   ... write to *to ...
 *   if (!effects_end(effects, CORE_SEND, gateway, NULL)) ...
 */
struct effects {
    struct effect *items;
    size_t first, end, room;
    struct buffer bytes;
    size_t start;    /* of what is being written */
    payload_t *held; /* body of the effect that was taken last */
};

void effects_free(struct effects *self);

struct buffer *effects_begin(struct effects *self);
/* Bytes since effects_begin. */
size_t effects_written(const struct effects *self);
/* Takes back what was written since effects_begin. */
void effects_undo(struct effects *self);
/* Takes a hold of its own on `body` (NULL: none). False, and nothing is left of what was written,
 * when memory is exhausted. */
bool effects_end(struct effects *self, enum core_effect_kind kind, party_t *to, payload_t *body);
/* An append has no bytes of its own: only its ticket is kept. */
bool effects_append(struct effects *self, uint64_t ticket);
bool effects_register(struct effects *self, uint64_t ticket); /* neither has a registration */

/* To be called until it says CORE_NOTHING: only then the memory of what was taken is used again.
 * Fills kind, to, endpoint, peer, bytes, body and, for an append or a registration, its ticket.
 * Spans are valid until the next call. */
void effects_take(struct effects *self, struct core_effect *out);
bool effects_is_empty(const struct effects *self);
size_t effects_size(const struct effects *self);
