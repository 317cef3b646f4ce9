#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "proto/buffer.h"
#include "proto/span.h"

/* world_queue - frames on their way through a world of the unit tests, first in, first out. */
struct world_queue {
    struct buffer *items;
    size_t count;
};

/* Takes a copy. */
void world_queue_push(struct world_queue *self, struct span bytes);
/* The first one, which is the caller's now. False: there is none. */
bool world_queue_pull(struct world_queue *self, struct buffer *out);
void world_queue_clear(struct world_queue *self);
