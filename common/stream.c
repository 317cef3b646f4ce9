#include "common/stream.h"

#include <assert.h>
#include <string.h>

#define RING_FIRST_ROOM 4u

void stream_init(stream_t *self, uint64_t epoch, const struct stream_limits *limits)
{
    *self = (stream_t){.epoch = epoch, .limits = limits};
}

void stream_set_limits(stream_t *self, const struct stream_limits *limits)
{
    self->limits = limits;
}

void stream_clear(stream_t *self)
{
    while (self->count)
        stream_drop_oldest(self);
}

void stream_restart(stream_t *self, uint64_t epoch)
{
    stream_clear(self);
    self->epoch = epoch;
    self->offset = 0;
}

static struct stream_message *slot(const stream_t *self, uint32_t index)
{
    uint32_t at = self->head + index;
    return &self->ring[at < self->room ? at : at - self->room];
}

/* Moves the messages to a ring of another size. */
static bool resize(stream_t *self, uint32_t room)
{
    struct stream_message *ring = malloc(room * sizeof *ring);
    if (!ring)
        return false;
    for (uint32_t i = 0; i < self->count; i++)
        ring[i] = *slot(self, i);
    free(self->ring);
    self->ring = ring;
    self->room = room;
    self->head = 0;
    return true;
}

static size_t cost(const payload_t *body)
{
    return body->size + (size_t)STREAM_MESSAGE_COST;
}

static bool push(stream_t *self, payload_t *body, int64_t now_ms)
{
    if (self->count == self->room) {
        if (self->room > UINT32_MAX / 2)
            return false;
        if (!resize(self, self->room ? self->room * 2 : RING_FIRST_ROOM))
            return false;
    }
    *slot(self, self->count) = (struct stream_message){body, now_ms};
    self->count++;
    self->bytes += cost(body);
    return true;
}

void stream_drop_oldest(stream_t *self)
{
    assert(self->count > 0);
    struct stream_message *oldest = slot(self, 0);
    self->bytes -= cost(oldest->body);
    payload_release(&oldest->body);
    self->head = self->head + 1 < self->room ? self->head + 1 : 0;
    self->count--;
    if (self->count == 0) {
        free(self->ring);
        self->ring = NULL;
        self->room = self->head = 0;
    }
}

bool stream_keeps(const stream_t *self, size_t bytes)
{
    return self->limits->messages > 0 && self->limits->age_ms > 0 &&
           self->limits->bytes >= STREAM_MESSAGE_COST + bytes;
}

static bool over(const stream_t *self, int64_t now_ms)
{
    return self->count > self->limits->messages || self->bytes > self->limits->bytes ||
           stream_due(self) <= now_ms;
}

uint64_t stream_append(stream_t *self, payload_t **body_p, int64_t now_ms)
{
    self->offset++;
    /* Make room first: a ring that is full to its limit need not grow. */
    while (self->count && self->count >= self->limits->messages)
        stream_drop_oldest(self);
    if (stream_keeps(self, (*body_p)->size) && push(self, *body_p, now_ms)) {
        *body_p = NULL;
        while (self->count && over(self, now_ms))
            stream_drop_oldest(self);
    } else {
        stream_clear(self);
        payload_release(body_p);
    }
    return self->offset;
}

void stream_trim(stream_t *self, int64_t now_ms)
{
    while (self->count && over(self, now_ms))
        stream_drop_oldest(self);
    if (self->room > RING_FIRST_ROOM && self->count <= self->room / 4)
        (void)resize(self, self->room / 2); /* without memory it stays as large as it is */
}

int64_t stream_due(const stream_t *self)
{
    assert(self->count > 0);
    return slot(self, 0)->at_ms + self->limits->age_ms;
}

uint64_t stream_first(const stream_t *self)
{
    return self->offset - self->count + 1;
}

payload_t *stream_at(const stream_t *self, uint64_t offset)
{
    if (offset > self->offset || offset < stream_first(self))
        return NULL;
    return slot(self, (uint32_t)(offset - stream_first(self)))->body;
}

static size_t read_cost(const stream_t *self, uint64_t offset)
{
    return stream_at(self, offset)->size + (size_t)STREAM_READ_COST;
}

struct stream_slice stream_after(const stream_t *self, uint64_t offset, struct stream_room room)
{
    if (offset >= self->offset)
        return (struct stream_slice){offset, 0};
    uint64_t first = stream_first(self);
    struct stream_slice slice = {offset < first ? first : offset + 1, 0};
    size_t bytes = 0;
    for (uint64_t at = slice.first; at <= self->offset && slice.count < room.messages; at++) {
        bytes += read_cost(self, at);
        if (bytes > room.bytes)
            break;
        slice.count++;
    }
    return slice;
}

struct stream_slice stream_before(const stream_t *self, uint64_t offset, struct stream_room room)
{
    uint64_t end = offset <= self->offset ? offset : self->offset + 1;
    struct stream_slice slice = {end, 0};
    size_t bytes = 0;
    while (slice.first > stream_first(self) && slice.count < room.messages) {
        bytes += read_cost(self, slice.first - 1);
        if (bytes > room.bytes)
            break;
        slice.first--;
        slice.count++;
    }
    return slice;
}

/* May a reader at `offset` go on without a hole? */
static bool joins(const stream_t *self, uint64_t offset)
{
    return offset <= self->offset && offset + 1 >= stream_first(self);
}

bool stream_missed(const stream_t *self, uint64_t offset, struct stream_room room,
                   struct stream_slice *out)
{
    if (!joins(self, offset) || self->offset - offset > room.messages)
        return false;
    *out = stream_after(self, offset, room);
    return out->count == self->offset - offset;
}

bool stream_next(const stream_t *self, uint64_t offset, struct stream_room room,
                 struct stream_slice *out)
{
    if (!joins(self, offset))
        return false;
    *out = stream_after(self, offset, room);
    if (out->count == 0 && offset < self->offset)
        out->count = 1;
    return true;
}
