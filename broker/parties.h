#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "broker/lag.h"
#include "proto/figures.h"
#include "proto/span.h"

/* parties - the backends and gateways that talk to the broker, known by endpoint and routing id.
 *
 * Pure. ROUTER sockets do not tell when somebody leaves: a party is made by its first message and
 * forgotten when nothing was heard of it for a while and nothing is owed to it. Gateways that said
 * hello stay until a message to them fails.
 */
typedef struct parties parties_t;

#define PARTY_GATEWAY  SIZE_MAX /* the endpoint of gateways */
#define PARTY_ID_MAX   256      /* bytes of an id */
#define PARTY_NAME_MAX 64

/* A frame of questions, answered bit by bit. */
struct ask {
    struct ask *next;
    size_t at, size;
    uint32_t left; /* questions not yet answered */
    uint8_t bytes[];
};

typedef struct party {
    size_t endpoint;
    uint32_t unanswered; /* backend: requests; gateway: frames on their way to it */
    int64_t heard_ms;
    struct lag lag; /* backend: of its requests */

    /* backends that say who may read (broker/handlers.h) */
    LIST_HEAD(, worker) workers; /* what it was registered for */
    LIST_HEAD(, batch) asked;    /* questions that it has not answered */
    size_t batches;              /* how many */
    unsigned misses;             /* heartbeats sent since it was heard last */
    bool beats;                  /* it has answered one: so its silence says something */
    bool is_silent;              /* it does not any more, and is not asked */

    /* gateways */
    TAILQ_HEAD(, permit) permits; /* its questions that wait for somebody's permission */
    TAILQ_HEAD(, permit) decided; /* those that have got or lost it, to be answered */
    bool welcome;                 /* said hello and was not refused */
    bool refused;                 /* and that was logged */
    bool leads;                   /* it does its work: so it may have its name before older ones */
    bool unsettled;               /* that has changed, and who has the name was not looked at yet */
    bool replaced;                /* a newer gateway has its name */
    bool knows;                   /* and it has taken a frame since, so it lives; that was logged */
    bool tell;                    /* a frame to it was lost, maybe the one that says so */
    uint64_t incarnation, started_ms;
    uint64_t known_broker, revoked; /* what it said of revocations that it has applied */
    uint8_t name[PARTY_NAME_MAX];
    uint8_t name_size;
    struct ask *first_ask, *last_ask;
    size_t asks;
    int64_t welcome_ms;
    unsigned quiet;                  /* seconds of the broker's without figures */
    struct figures figures, earlier; /* the last two that it sent */
    int64_t figures_ms;              /* when the last one came */
    uint32_t figures_count;          /* 0, 1, 2: that many of them are there */
    bool ready;                      /* in the core's list of gateways to be answered */
    struct party *next_ready;
    struct party *next_gateway; /* in the list of those that are asked for presence */

    struct party *next;
    size_t key_size;
    uint8_t key[]; /* endpoint, id */
} party_t;

/* NULL only when memory is exhausted. */
parties_t *parties_new(void);
void parties_destroy(parties_t **self_p);

/* The party of this id, made when there is none. NULL when memory is exhausted. */
party_t *parties_get(parties_t *self, size_t endpoint, struct span id, int64_t now_ms);
struct span party_id(const party_t *party);
struct span party_name(const party_t *gateway);

/* Takes a copy of the questions. False when memory is exhausted. */
bool party_put_ask(party_t *party, struct span items, uint32_t count);
/* Frees the first ask, which must exist. */
void party_drop_ask(party_t *party);

typedef void party_visit_fn(party_t *party, void *arg);
void parties_visit(parties_t *self, party_visit_fn *visit, void *arg);
/* Forgets those that were not heard of since heard_ms, are owed nothing and are no welcome
 * gateways and nobody's workers. */
void parties_sweep(parties_t *self, int64_t heard_ms);
/* How many are no gateways. */
size_t parties_backends(const parties_t *self);
