#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/outbox.h"

/* shed - what waits for a client that reads too slowly is let go, as the policies of its channels
 * say, and what is kept tells how much that was.
 *
 * Pure. Looks at frames of outboxes (frame.h). The first frame of an outbox may be on its way
 * already: it stays as it is. Nor is the newest of a stream ever let go, so that there always is
 * one to tell what is missing. Keeps as much memory as the longest outbox took.
 */
typedef struct shed shed_t;

struct shed_bounds {
    size_t bytes;      /* that may wait; SIZE_MAX: any number */
    int64_t before_ms; /* what came then or earlier has waited for too long */
};

struct shed_outcome {
    uint64_t latest, oldest; /* let go, by policy */
    /* The oldest of what may not be let go and is not to wait for long: when it came. 0: none. */
    int64_t kept_since_ms;
};

/* NULL only when memory is exhausted. */
shed_t *shed_new(void);
/* Sets *self_p to NULL; safe on NULL. */
void shed_destroy(shed_t **self_p);

/* Does nothing while the outbox is within its bounds. False when memory is exhausted: some of it is
 * gone then without a word, and its connection is to be closed. */
bool shed_outbox(shed_t *self, outbox_t *outbox, outbox_pool_t *pool,
                 const struct shed_bounds *bounds, struct shed_outcome *out);
