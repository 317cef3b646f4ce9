#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/span.h"

/* store - where publications become permanent. One interface, two engines.
 *
 * An append is accepted now and completes later, by store_next: a durable engine commits many at
 * once. Completions of one stream come in the order of its appends. When one is not committed, then
 * no later one of its stream that was accepted before this was reported is or ever will be: the
 * caller uses their offsets again, and ignores what may still be reported about them.
 *
 * What is kept is read once, at the start (store_load); from then on the caller has all of it in
 * memory. It says what it keeps no longer.
 */
enum store_outcome {
    STORE_COMMITTED,
    STORE_FAILED, /* surely not committed */
    STORE_FULL,   /* the same: there is no space left */
    /* A crash before anything else is committed may find it committed. Whatever takes its place
     * ends that, so its offset is used again: but who asked for it must be told the doubt. */
    STORE_DOUBTED,
    STORE_UNKNOWN /* committed or not: the history of the stream cannot be trusted any more */
};

/* The key under which a backend may ask for the same publication again. */
struct store_key {
    struct span key; /* opaque, with the address; empty: none */
    uint64_t hash[2];
    int64_t until_ms; /* of the wall clock */
};

struct store_append {
    uint64_t ticket; /* the caller's; comes back in the completion */
    struct span stream;
    uint64_t epoch, offset; /* offset 1 begins an epoch */
    uint64_t first;         /* messages in front of it are not kept; offset + 1: nor is this one */
    int64_t at_ms;          /* of the wall clock */
    struct span body;       /* all spans are borrowed for the call */
    struct store_key once;
};

/* What is no append, and not waited for: it may come after appends that were accepted later. When
 * it is lost, the store keeps more than it should, or a stream without messages gets another epoch
 * after a restart. */
enum store_note_kind {
    STORE_MADE,    /* a stream begins, without messages */
    STORE_TRIMMED, /* messages in front of `first` are not kept any more */
    STORE_ENDED    /* nor is anything of the stream */
};

struct store_note {
    enum store_note_kind kind;
    struct span stream;
    uint64_t epoch; /* nothing happens to another one */
    uint64_t first; /* TRIMMED */
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

/* What there is at the start. Streams first, each followed by its messages upwards, then keys, then
 * handlers. Spans are valid for the call. False ends the loading. */
struct store_loader {
    void *arg;
    bool (*stream)(void *arg, struct span stream, uint64_t epoch, uint64_t offset);
    /* Of the stream that came last. A message that is missing was damaged, or is not kept. */
    bool (*message)(void *arg, uint64_t offset, int64_t at_ms, struct span body);
    bool (*key)(void *arg, const struct store_key *key, uint64_t epoch, uint64_t offset);
    bool (*handler)(void *arg, struct span key);
    /* Last, and only when nothing was damaged: a number that the file got when it was made. Who
     * has it remembers what all who had it before have told. NULL: not wanted. */
    void (*origin)(void *arg, uint64_t number);
};

/* Since the start, and now. */
struct store_figures {
    uint64_t commits, committed, failed, damaged;
    uint64_t notes_lost; /* for want of room or memory */
    uint64_t queued_bytes, file_bytes;
    bool is_failing; /* the last attempt to write something has failed */
};

/* They may change while it runs. */
struct store_limits {
    size_t queue_bytes; /* that may wait to be written */
    int64_t hang_ms;    /* a transaction that takes longer counts as a failure */
};

typedef struct store store_t;

struct store_engine {
    bool (*append)(store_t *self, const struct store_append *append);
    void (*note)(store_t *self, const struct store_note *note);
    bool (*registration)(store_t *self, const struct store_registration *registration);
    bool (*load)(store_t *self, const struct store_loader *loader);
    bool (*next)(store_t *self, struct store_completion *out);
    int (*fd)(const store_t *self);
    void (*measure)(store_t *self, struct store_figures *out);
    void (*configure)(store_t *self, const struct store_limits *limits);
    void (*destroy)(store_t *self);
};

/* The first member of every engine's own struct. */
struct store {
    const struct store_engine *engine;
};

/* Keeps nothing: what readers need is in the streams, and is gone with the process. NULL only when
 * memory is exhausted. */
store_t *store_memory_new(void);

/* Keeps all in a file, which is made when it is not there and which no other process may have open:
 * SQLite, WAL, synchronous=FULL. One thread of its own writes; it commits what has come while it
 * was writing before, STORE_BATCH at most and some notes, all at once. What it fails to write is
 * rolled back, and the next attempt may succeed. At most `queue_bytes` wait to be written, and
 * notes leave half of that free. While a transaction takes longer than `hang_ms` the store counts
 * as failing. NULL on failure: *why says what is wrong with the file; empty: memory is exhausted.
 */
#define STORE_BATCH 256
#define STORE_COST  256 /* that each of them counts besides its bytes */
store_t *store_sqlite_new(const char *path, size_t queue_bytes, int64_t hang_ms,
                          struct buffer *why);

/* False: not accepted (no memory, or too much waits), which is the same as STORE_FAILED. */
static inline bool store_append(store_t *self, const struct store_append *append)
{
    return self->engine->append(self, append);
}

static inline void store_note(store_t *self, const struct store_note *note)
{
    self->engine->note(self, note);
}

/* False: not accepted, which is the same as STORE_FAILED. */
static inline bool store_registration(store_t *self, const struct store_registration *registration)
{
    return self->engine->registration(self, registration);
}

/* Once, before anything is written. False: something could not be read, or the loader said so. */
static inline bool store_load(store_t *self, const struct store_loader *loader)
{
    return self->engine->load(self, loader);
}

/* False when nothing is complete now. */
static inline bool store_next(store_t *self, struct store_completion *out)
{
    return self->engine->next(self, out);
}

/* Readable when something was completed since store_next said false; -1: it has all at once. */
static inline int store_fd(const store_t *self)
{
    return self->engine->fd(self);
}

static inline void store_configure(store_t *self, const struct store_limits *limits)
{
    self->engine->configure(self, limits);
}

static inline void store_measure(store_t *self, struct store_figures *out)
{
    self->engine->measure(self, out);
}

/* What was accepted is written before. Sets *self_p to NULL; safe on NULL. */
static inline void store_destroy(store_t **self_p)
{
    store_t *self = *self_p;
    *self_p = 0;
    if (self)
        self->engine->destroy(self);
}
