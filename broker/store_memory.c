#include <stdlib.h>

#include "broker/store.h"

/* The tickets that were accepted and not yet reported. */
struct store_memory {
    store_t store;
    uint64_t *tickets;
    size_t room, first, end;
};

static struct store_memory *engine_of(store_t *store)
{
    return (struct store_memory *)store;
}

static bool grow(struct store_memory *self)
{
    size_t room = self->room ? self->room * 2 : 64;
    uint64_t *tickets = reallocarray(self->tickets, room, sizeof *tickets);
    if (!tickets)
        return false;
    self->tickets = tickets;
    self->room = room;
    return true;
}

static bool append(store_t *store, const struct store_append *what)
{
    struct store_memory *self = engine_of(store);
    if (self->end == self->room && !grow(self))
        return false;
    self->tickets[self->end++] = what->ticket;
    return true;
}

static bool next(store_t *store, struct store_completion *out)
{
    struct store_memory *self = engine_of(store);
    if (self->first == self->end) {
        self->first = self->end = 0;
        return false;
    }
    *out = (struct store_completion){self->tickets[self->first++], STORE_COMMITTED};
    return true;
}

static void destroy(store_t *store)
{
    free(engine_of(store)->tickets);
    free(store);
}

store_t *store_memory_new(void)
{
    static const struct store_engine engine = {append, next, destroy};
    struct store_memory *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->store.engine = &engine;
    return &self->store;
}
