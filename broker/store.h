#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/buffer.h"
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

/* A handler is registered, or is not any more: kept under an opaque key of at most
 * STORE_HANDLER_KEY_MAX bytes. Completions of registrations come in their order. */
#define STORE_HANDLER_KEY_MAX 1024

struct store_registration {
    uint64_t ticket; /* the caller's, apart from those of appends; comes back in the completion */
    struct span key; /* borrowed for the call */
    bool removed;
};

struct store_completion {
    bool is_registration;
    uint64_t ticket;
    enum store_outcome outcome;
};

typedef struct store store_t;

/* The key is valid for the call. */
typedef void store_visit_fn(struct span key, void *arg);

struct store_engine {
    bool (*append)(store_t *self, const struct store_append *append);
    bool (*registration)(store_t *self, const struct store_registration *registration);
    bool (*visit_handlers)(store_t *self, store_visit_fn *visit, void *arg);
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

/* The same, and handlers are kept in a file, which is made when it is not there and which no other
 * process may have open. What was accepted since the last store_next is committed by the next one,
 * all at once and synchronously (SQLite, WAL, synchronous=FULL); it fails or not as a whole. NULL
 * on failure: *why says what is wrong with the file; empty: memory is exhausted. */
store_t *store_sqlite_new(const char *path, struct buffer *why);

/* False: not accepted (no memory), which is the same as STORE_FAILED. */
static inline bool store_append(store_t *self, const struct store_append *append)
{
    return self->engine->append(self, append);
}

/* False: not accepted, which is the same as STORE_FAILED. */
static inline bool store_registration(store_t *self, const struct store_registration *registration)
{
    return self->engine->registration(self, registration);
}

/* Each handler that is registered, in no order; nothing may be registered meanwhile. False: some
 * could not be read, so nobody may be let in as if they were not registered. */
static inline bool store_visit_handlers(store_t *self, store_visit_fn *visit, void *arg)
{
    return self->engine->visit_handlers(self, visit, arg);
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
