#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/span.h"

/* store - where publications become permanent. One interface, several engines.
 *
 * An append is accepted now and completes later, by store_next: durable engines commit many at
 * once. Completions of one stream come in the order of its appends. When one is not committed, then
 * no later one of its stream that was accepted before this was reported is or ever will be: the
 * caller uses their offsets again, and ignores what may still be reported about them.
 */
enum store_outcome {
    STORE_COMMITTED,
    STORE_FAILED, /* surely not committed */
    STORE_UNKNOWN /* committed or not: the history of the stream cannot be trusted any more */
};

struct store_append {
    uint64_t ticket; /* the caller's; comes back in the completion */
    struct span stream;
    uint64_t epoch, offset;
    struct span body; /* all spans are borrowed for the call */
};

struct store_completion {
    uint64_t ticket;
    enum store_outcome outcome;
};

typedef struct store store_t;

struct store_engine {
    bool (*append)(store_t *self, const struct store_append *append);
    bool (*next)(store_t *self, struct store_completion *out);
    void (*destroy)(store_t *self);
};

/* The first member of every engine's own struct. */
struct store {
    const struct store_engine *engine;
};

/* Keeps nothing: what readers need is in the streams, and is gone with the process. NULL only when
 * memory is exhausted. */
store_t *store_memory_new(void);

/* False: not accepted (no memory), which is the same as STORE_FAILED. */
static inline bool store_append(store_t *self, const struct store_append *append)
{
    return self->engine->append(self, append);
}

/* False when nothing is complete now. */
static inline bool store_next(store_t *self, struct store_completion *out)
{
    return self->engine->next(self, out);
}

/* Sets *self_p to NULL; safe on NULL. */
static inline void store_destroy(store_t **self_p)
{
    store_t *self = *self_p;
    *self_p = 0;
    if (self)
        self->engine->destroy(self);
}
