#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "broker/breaker.h"
#include "broker/parties.h"
#include "common/address.h"
#include "common/policy.h"

/* handlers - who says who may read: registrations, and the connections that answer for them.
 *
 * A registration is for a channel with a resource, for a channel or for all of a site or of an app
 * on it. It outlives those who answer (workers), so that nothing is allowed only because nobody is
 * there to refuse it. Pure: what is asked of whom is core_asks' business. Not thread-safe.
 */
typedef struct handlers handlers_t;
struct check;

/* What all handlers of one site have under way; kept while the site has any. */
struct handler_site {
    size_t handlers;
    size_t checks;  /* questions that wait for an answer */
    size_t batches; /* messages with questions that were sent and not answered */
    size_t key_size;
    uint8_t key[];
};

struct worker {
    TAILQ_ENTRY(worker) of_handler; /* the one that was asked last is last */
    LIST_ENTRY(worker) of_party;
    struct handler *handler;
    party_t *party;
};

typedef struct handler {
    LIST_ENTRY(handler) all;
    uint64_t number; /* never used again */
    struct handler_site *site;
    bool is_stored;  /* it survives the broker */
    bool is_leaving; /* the store was told to forget it */
    uint64_t ticket; /* of what the store was told last about it */
    struct breaker breaker;
    TAILQ_HEAD(, worker) workers;
    size_t worker_count;
    LIST_HEAD(, check) checks;   /* all that are its */
    TAILQ_HEAD(, check) waiting; /* of these, those that nobody was asked yet */
    size_t waiting_count;
    LIST_HEAD(, batch) asked;   /* messages with its questions that are not answered */
    size_t batches;             /* how many */
    TAILQ_ENTRY(handler) ready; /* in the asks' list while is_ready */
    bool is_ready;
    uint64_t questions, failures; /* counters */
    size_t key_size;
    uint8_t key[]; /* canonical address; the channel is empty in that of a default handler */
} handler_t;

/* NULL only when memory is exhausted. */
handlers_t *handlers_new(void);
/* Workers are forgotten, checks must be gone. Sets *self_p to NULL; safe on NULL. */
void handlers_destroy(handlers_t **self_p);

/* The key of the handler for this level of an address; channel and resource are left out as the
 * level wants it. Returns its size. */
size_t handler_key(const struct address *address, enum permission_level level,
                   uint8_t out[ADDRESS_KEY_MAX]);
/* What a key is for; false when it is no key of a handler. */
bool handler_address(struct span key, struct address *out);

handler_t *handlers_find(const handlers_t *self, struct span key);
/* One that is not there yet. NULL when memory is exhausted. */
handler_t *handlers_add(handlers_t *self, struct span key, const struct address *address);
/* It has neither checks nor batches any more. Its workers are forgotten. Sets *handler_p to NULL.
 */
void handlers_remove(handlers_t *self, handler_t **handler_p);
size_t handlers_count(const handlers_t *self);
size_t handlers_workers(const handlers_t *self);
/* Of one site. */
size_t handlers_of_site(const handlers_t *self, struct span site);

/* The visitor may remove the handler that it is shown. */
typedef void handlers_visit_fn(handler_t *handler, void *arg);
void handlers_visit(handlers_t *self, handlers_visit_fn *visit, void *arg);

/* Makes the party a worker of the handler, if it is none. False when memory is exhausted. */
bool handler_add_worker(handlers_t *self, handler_t *handler, party_t *party);
/* The reverse; nothing happens when it is none. */
void handler_drop_worker(handlers_t *self, handler_t *handler, const party_t *party);
/* All that the party works for. */
void handlers_drop_party(handlers_t *self, party_t *party);
/* Is anybody there who is not silent? */
bool handler_is_awake(const handler_t *handler);
/* Whoever has least to do and is not silent, but not `except` (NULL: anybody); NULL when there is
 * nobody. It becomes the one that was asked last. */
party_t *handler_choose(handler_t *handler, const party_t *except);
