#include "gateway/batch.h"

#include <string.h>

struct batch {
    payload_t *wanted[BATCH_FRAMES]; /* borrowed, of the outbox at hand */
    payload_t *copied[BATCH_FRAMES]; /* held: while they are, no other frame has their address */
    size_t copied_count;
    size_t size;
    uint8_t room[PAYLOAD_ROOM];
    uint8_t bytes[BATCH_BYTES];
};

batch_t *batch_new(void)
{
    return calloc(1, sizeof(batch_t));
}

void batch_destroy(batch_t **self_p)
{
    if (*self_p)
        batch_forget(*self_p);
    free(*self_p);
    *self_p = NULL;
}

static bool is_copied(const batch_t *self, size_t count)
{
    return count == self->copied_count &&
           memcmp(self->wanted, self->copied, count * sizeof *self->wanted) == 0;
}

static void copy(batch_t *self, size_t count)
{
    batch_forget(self);
    for (size_t i = 0; i < count; i++) {
        payload_t *frame = payload_hold(self->wanted[i]);
        memcpy(self->bytes + self->size, frame->data, frame->size);
        self->size += frame->size;
        self->copied[i] = frame;
    }
    self->copied_count = count;
}

struct span batch_gather(batch_t *self, const outbox_t *outbox, size_t *count)
{
    *count = outbox_peek(outbox, self->wanted, BATCH_FRAMES, BATCH_BYTES);
    if (*count == 0)
        return span_of(NULL, 0);
    if (*count == 1)
        return payload_span(self->wanted[0]);
    if (!is_copied(self, *count))
        copy(self, *count);
    return span_of(self->bytes, self->size);
}

void batch_forget(batch_t *self)
{
    for (size_t i = 0; i < self->copied_count; i++)
        payload_release(&self->copied[i]);
    self->copied_count = 0;
    self->size = 0;
}
