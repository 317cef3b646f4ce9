#pragma once
#include <stddef.h>
#include <stdint.h>

#include "common/payload.h"
#include "common/slow_reader.h"

/* frame - what an outbox of the hub holds: one JSON text as a WebSocket frame, and what is known
 * about it while it waits.
 *
 * Pure. To those who send it a payload like any other; what is known stands behind its bytes, where
 * nobody looks unless its client reads too slowly.
 */
struct frame_about {
    int64_t since_ms; /* when it came here; 0: nobody minds how long it waits */
    /* Of a publication, and of the reply that its subscription begins with. 0: neither. */
    uint64_t stream;
    uint32_t missed; /* publications of the stream that were left out in front of it, as it tells */
    uint32_t at;     /* where in the text it tells that; 0: it is no publication */
    enum slow_reader policy; /* of a publication, when it was made */
};

/* A frame for a text of this size, which is to be written to *text. NULL when memory is exhausted.
 */
payload_t *frame_new(size_t size, const struct frame_about *about, uint8_t **text);
/* Only of a payload that was made here. */
const struct frame_about *frame_about(const payload_t *frame);
/* A copy of a publication that tells how many are left out in front of it. NULL when memory is
 * exhausted. */
payload_t *frame_telling(const payload_t *frame, uint32_t missed);
