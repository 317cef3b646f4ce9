#include "gateway/recent.h"

#include <assert.h>
#include <stdlib.h>

/* A ring that doubles up to `max`. */
struct recent {
    struct recent_entry *ring;
    uint32_t first, count, room, max;
    struct recent_total *total;
};

recent_t *recent_new(uint32_t max, struct recent_total *total)
{
    assert(max > 0);
    recent_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->max = max;
    self->total = total;
    return self;
}

static void forget(recent_t *self, struct recent_entry *entry)
{
    self->total->bytes -= RECENT_ENTRY_BYTES + entry->body->size;
    payload_release(&entry->body);
}

void recent_destroy(recent_t **self_p)
{
    recent_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (uint32_t i = 0; i < self->count; i++)
        forget(self, &self->ring[(self->first + i) % self->room]);
    free(self->ring);
    free(self);
}

static bool grow(recent_t *self)
{
    uint32_t room = self->room ? self->room * 2 : 8;
    if (room > self->max)
        room = self->max;
    struct recent_entry *ring = calloc(room, sizeof *ring);
    if (!ring)
        return false;
    for (uint32_t i = 0; i < self->count; i++)
        ring[i] = *recent_at(self, i);
    free(self->ring);
    self->ring = ring;
    self->room = room;
    self->first = 0;
    return true;
}

enum recent_result recent_put(recent_t *self, uint64_t epoch, uint64_t offset, struct span body)
{
    size_t bytes = RECENT_ENTRY_BYTES + body.size;
    if (self->total->bytes + bytes > self->total->max_bytes)
        return RECENT_NO_ROOM;
    if (self->count == self->room && self->room < self->max && !grow(self))
        return RECENT_NO_MEMORY;
    payload_t *copy = payload_new(body.size);
    if (!copy)
        return RECENT_NO_MEMORY;
    memcpy(copy->data, body.data, body.size);

    enum recent_result result = RECENT_OK;
    if (self->count == self->room) {
        forget(self, &self->ring[self->first]);
        self->first = (self->first + 1) % self->room;
        self->count--;
        result = RECENT_OVERFLOW;
    }
    self->ring[(self->first + self->count++) % self->room] =
        (struct recent_entry){epoch, offset, copy};
    self->total->bytes += bytes;
    return result;
}

uint32_t recent_count(const recent_t *self)
{
    return self ? self->count : 0;
}

const struct recent_entry *recent_at(const recent_t *self, uint32_t index)
{
    assert(index < self->count);
    return &self->ring[(self->first + index) % self->room];
}

void recent_keep_epoch(recent_t *self, uint64_t epoch)
{
    if (!self)
        return;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < self->count; i++) {
        struct recent_entry *entry = &self->ring[(self->first + i) % self->room];
        if (entry->epoch == epoch)
            self->ring[(self->first + kept++) % self->room] = *entry;
        else
            forget(self, entry);
    }
    self->count = kept;
}
