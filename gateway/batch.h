#pragma once
#include <stddef.h>

#include "common/outbox.h"
#include "proto/span.h"

/* batch - the front of an outbox as one piece of memory, for one write.
 *
 * A single frame is given as it is. Several are copied behind one another, once for all
 * connections that have the same frames to send: a batch that is asked for again is not copied
 * again. Not thread-safe.
 */
#define BATCH_BYTES  65536
#define BATCH_FRAMES 512

typedef struct batch batch_t;

/* NULL only when memory is exhausted. */
batch_t *batch_new(void);
/* Sets *self_p to NULL; safe on NULL. */
void batch_destroy(batch_t **self_p);

/* The frames at the front of the outbox, at most BATCH_FRAMES of them and BATCH_BYTES, but at least
 * one; *count says how many. Empty when the outbox is. PAYLOAD_ROOM writable bytes stand in front.
 * Valid until the next call, and as long as the outbox keeps them. */
struct span batch_gather(batch_t *self, const outbox_t *outbox, size_t *count);
/* Lets go of the frames that were copied last: call it when a round of writes is over. */
void batch_forget(batch_t *self);
