#include "broker/effects.h"

#include <stdlib.h>

/* After a burst the buffer goes back to the system when it is larger than this. */
#define KEPT_BYTES ((size_t)4 << 20)
#define KEPT_ITEMS (KEPT_BYTES / sizeof(struct effect))

struct effect {
    enum core_effect_kind kind;
    party_t *to;
    size_t start, size; /* in `bytes` */
    payload_t *body;
    uint64_t ticket;
};

void effects_free(struct effects *self)
{
    for (size_t i = self->first; i < self->end; i++)
        payload_release(&self->items[i].body);
    payload_release(&self->held);
    free(self->items);
    buffer_free(&self->bytes);
    *self = (struct effects){0};
}

struct buffer *effects_begin(struct effects *self)
{
    self->start = self->bytes.size;
    return &self->bytes;
}

size_t effects_written(const struct effects *self)
{
    return self->bytes.size - self->start;
}

void effects_undo(struct effects *self)
{
    self->bytes.size = self->start;
    self->bytes.failed = false;
}

static struct effect *push(struct effects *self, enum core_effect_kind kind)
{
    if (self->end == self->room) {
        size_t room = self->room ? self->room * 2 : 64;
        struct effect *items = reallocarray(self->items, room, sizeof *items);
        if (!items)
            return NULL;
        self->items = items;
        self->room = room;
    }
    struct effect *effect = &self->items[self->end++];
    *effect = (struct effect){.kind = kind};
    return effect;
}

bool effects_end(struct effects *self, enum core_effect_kind kind, party_t *to, payload_t *body)
{
    struct effect *effect = self->bytes.failed ? NULL : push(self, kind);
    if (!effect) {
        effects_undo(self);
        return false;
    }
    effect->to = to;
    effect->start = self->start;
    effect->size = self->bytes.size - self->start;
    effect->body = body ? payload_hold(body) : NULL;
    return true;
}

static bool push_ticket(struct effects *self, enum core_effect_kind kind, uint64_t ticket)
{
    struct effect *effect = push(self, kind);
    if (!effect)
        return false;
    effect->start = self->bytes.size;
    effect->ticket = ticket;
    return true;
}

bool effects_append(struct effects *self, uint64_t ticket)
{
    return push_ticket(self, CORE_APPEND, ticket);
}

bool effects_register(struct effects *self, uint64_t ticket)
{
    return push_ticket(self, CORE_REGISTER, ticket);
}

static void reset(struct effects *self)
{
    self->first = self->end = 0;
    if (self->room > KEPT_ITEMS) {
        free(self->items);
        self->items = NULL;
        self->room = 0;
    }
    if (self->bytes.room > KEPT_BYTES)
        buffer_free(&self->bytes);
    else
        buffer_reset(&self->bytes);
}

void effects_take(struct effects *self, struct core_effect *out)
{
    *out = (struct core_effect){.kind = CORE_NOTHING};
    payload_release(&self->held);
    if (effects_is_empty(self)) {
        reset(self);
        return;
    }
    const struct effect *effect = &self->items[self->first++];
    self->held = effect->body;
    out->kind = effect->kind;
    out->to = effect->to;
    if (effect->size)
        out->bytes = span_of(self->bytes.data + effect->start, effect->size);
    out->body = self->held ? payload_span(self->held) : (struct span){0};
    out->append.ticket = out->registration.ticket = effect->ticket;
    if (effect->to) {
        out->endpoint = effect->to->endpoint;
        out->peer = party_id(effect->to);
    }
}

bool effects_is_empty(const struct effects *self)
{
    return self->first == self->end;
}

size_t effects_size(const struct effects *self)
{
    return effects_is_empty(self) ? 0 : self->bytes.size - self->items[self->first].start;
}
