#include <stdlib.h>

#include "broker/store.h"

/* What was accepted and not yet reported. */
struct store_memory {
    store_t store;
    struct store_completion *accepted;
    size_t room, first, end;
};

static struct store_memory *engine_of(store_t *store)
{
    return (struct store_memory *)store;
}

static bool grow(struct store_memory *self)
{
    size_t room = self->room ? self->room * 2 : 64;
    struct store_completion *accepted = reallocarray(self->accepted, room, sizeof *accepted);
    if (!accepted)
        return false;
    self->accepted = accepted;
    self->room = room;
    return true;
}

static bool accept(struct store_memory *self, bool is_registration, uint64_t ticket)
{
    if (self->end == self->room && !grow(self))
        return false;
    self->accepted[self->end++] =
        (struct store_completion){is_registration, ticket, STORE_COMMITTED};
    return true;
}

static bool append(store_t *store, const struct store_append *what)
{
    return accept(engine_of(store), false, what->ticket);
}

static bool registration(store_t *store, const struct store_registration *what)
{
    return what->key.size <= STORE_HANDLER_KEY_MAX && accept(engine_of(store), true, what->ticket);
}

static void note(store_t *store, const struct store_note *what)
{
    (void)store;
    (void)what;
}

static bool load(store_t *store, const struct store_loader *loader)
{
    (void)store;
    (void)loader;
    return true;
}

static int fd(const store_t *store)
{
    (void)store;
    return -1;
}

static void measure(store_t *store, struct store_figures *out)
{
    (void)store;
    *out = (struct store_figures){0};
}

static bool next(store_t *store, struct store_completion *out)
{
    struct store_memory *self = engine_of(store);
    if (self->first == self->end) {
        self->first = self->end = 0;
        return false;
    }
    *out = self->accepted[self->first++];
    return true;
}

/* Nothing waits here. */
static void configure(store_t *store, const struct store_limits *limits)
{
    (void)store, (void)limits;
}

static void destroy(store_t *store)
{
    free(engine_of(store)->accepted);
    free(store);
}

store_t *store_memory_new(void)
{
    static const struct store_engine engine = {append, note,    registration, load,   next,
                                               fd,     measure, configure,    destroy};
    struct store_memory *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->store.engine = &engine;
    return &self->store;
}
