#include "world_queue.h"

#include <stdlib.h>
#include <string.h>

#include "asserts.h"

void world_queue_push(struct world_queue *self, struct span bytes)
{
    self->items = realloc(self->items, (self->count + 1) * sizeof *self->items);
    ck_assert_ptr_nonnull(self->items);
    struct buffer *item = &self->items[self->count++];
    *item = (struct buffer){0};
    buffer_put_span(item, bytes);
}

bool world_queue_pull(struct world_queue *self, struct buffer *out)
{
    if (self->count == 0)
        return false;
    *out = self->items[0];
    memmove(self->items, self->items + 1, --self->count * sizeof *self->items);
    return true;
}

void world_queue_clear(struct world_queue *self)
{
    struct buffer item;
    while (world_queue_pull(self, &item))
        buffer_free(&item);
    free(self->items);
    *self = (struct world_queue){0};
}
