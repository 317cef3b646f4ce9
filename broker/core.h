#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/core_asks.h"
#include "broker/core_presence.h"
#include "broker/core_revoke.h"
#include "broker/metrics.h"
#include "broker/parties.h"
#include "broker/sites.h"
#include "broker/store.h"
#include "common/policy.h"
#include "common/streams.h"
#include "proto/span.h"

/* core - the broker's mind: what is published where, in which order, and who is told.
 *
 * Pure: no socket, no clock (the caller passes now_ms, monotonic), no log. Events go in by the
 * functions below; what has to be done comes out of core_take_effect, in order. The owner takes all
 * effects after each batch of events and carries them out in that order: a position is never told
 * before the publications up to it were handed to XPUB. Not thread-safe.
 */
typedef struct core core_t;

struct core_settings {
    const char *node;       /* name; copied */
    const sites_t *sites;   /* borrowed */
    const policy_t *policy; /* borrowed */
    struct streams_settings streams;
    struct presence_settings presence;
    struct asks_settings asks;
    struct revocations_settings revocations;
    size_t handlers; /* registered for one site */
    size_t payload_bytes;
    uint32_t unanswered_requests;
    int64_t idempotency_ms;
    size_t idempotency_keys;
    bool is_durable; /* the store keeps what it is told: CORE_NOTE */
    uint64_t (*random)(void *arg);
    void *random_arg;
    struct broker_metrics *metrics; /* borrowed; the core counts in it */
};

enum core_effect_kind {
    CORE_NOTHING,        /* no effect is left */
    CORE_REPLY,          /* send `bytes` to a backend: endpoint, peer */
    CORE_SEND,           /* send `bytes` to a gateway: peer */
    CORE_PUBLISH,        /* publish `bytes` followed by `body` as one frame on XPUB */
    CORE_APPEND,         /* hand `append` to the store */
    CORE_REGISTER,       /* hand `registration` to the store */
    CORE_NOTE,           /* hand `note` to the store */
    CORE_GATEWAY_JOINED, /* for the log: `bytes` is its name */
    CORE_GATEWAY_LEFT,
    CORE_GATEWAY_SILENT,     /* it has said nothing for 3 seconds */
    CORE_GATEWAY_HEARD,      /* and now it does again */
    CORE_GATEWAY_REPLACED,   /* a newer one has its name */
    CORE_GATEWAY_REINSTATED, /* the newer one has left */
    CORE_GATEWAY_REFUSED,    /* for the log: `bytes` says why */
    CORE_WORKER_SILENT,      /* for the log: one of the site `bytes` does not answer heartbeats */
    CORE_WORKER_HEARD        /* and now it does again */
};

/* Spans are valid until the next call of any core function. */
struct core_effect {
    enum core_effect_kind kind;
    party_t *to; /* REPLY, SEND: pass it to core_sent, exactly once */
    size_t endpoint;
    struct span peer;
    struct span bytes;
    struct span body;
    struct store_append append; /* but for at_ms and once.until_ms, which is set relative to now */
    struct store_registration registration;
    struct store_note note;
};

/* Copies the settings. NULL only when memory is exhausted. */
core_t *core_new(const struct core_settings *settings, int64_t now_ms);
/* Sets *self_p to NULL; safe on NULL. */
void core_destroy(core_t **self_p);

/* Other settings from now on; those that need a restart (node, is_durable, revocations.kept, the
 * origin of random numbers) stay. Copies as core_new; what was borrowed before is not used any
 * more. What is decided differently now is asked again. False when memory is exhausted: all is as
 * it was. */
bool core_configure(core_t *self, const struct core_settings *settings, int64_t now_ms);

/* --- events --- */

/* One request of a backend. `peer` is at most PARTY_ID_MAX opaque bytes. */
void core_backend_request(core_t *self, size_t endpoint, struct span peer, struct span bytes,
                          int64_t now_ms);
/* One frame of a gateway. */
void core_gateway_frame(core_t *self, struct span peer, struct span bytes, int64_t now_ms);
/* One frame read from XPUB: 1 (subscribe) or 0 (unsubscribe), then the topic. Give the core all of
 * them before any gateway frame of the same turn: a question may rely on its subscription. */
void core_xpub_event(core_t *self, struct span bytes, int64_t now_ms);
/* The store's word on an append. */
void core_stored(core_t *self, uint64_t ticket, enum store_outcome outcome, int64_t now_ms);

/* Its word on a registration. */
void core_registered(core_t *self, uint64_t ticket, enum store_outcome outcome, int64_t now_ms);
/* At the start: what store_load is to call. Afterwards core_restored. `wall_ms` is what the wall
 * clock says at now_ms. */
struct core_restored {
    size_t streams, messages, keys, handlers;
    size_t left; /* streams that there was no room for; the store keeps them */
};
void core_restore(core_t *self, int64_t now_ms, int64_t wall_ms, struct store_loader *out);
void core_end_restore(core_t *self, struct core_restored *out);

enum core_sent {
    CORE_SENT,    /* handed to the socket */
    CORE_DROPPED, /* it did not take it, and nobody keeps it */
    CORE_GONE     /* the peer is not there any more */
};
/* What became of a REPLY or SEND. */
void core_sent(core_t *self, party_t *to, enum core_sent sent);

/* Answers waiting questions: about `bytes` of answers, at most one frame more. A gateway that does
 * not take its answers waits. */
void core_answer(core_t *self, size_t bytes, int64_t now_ms);
/* Has core_answer something to do? */
bool core_can_answer(const core_t *self);

/* Runs what is due: digests and canary once a second, ages. Call at least when core_wait is over.
 */
void core_tick(core_t *self, int64_t now_ms);
/* Milliseconds until core_tick is wanted. */
int64_t core_wait(const core_t *self, int64_t now_ms);

/* --- out --- */

void core_take_effect(core_t *self, struct core_effect *out);
/* Bytes in effects that were not taken yet. */
size_t core_effect_bytes(const core_t *self);
/* From now on requests of backends are refused with 503 'stopping', all but pings and answers; what
 * was accepted goes on. */
void core_stop(core_t *self);
/* Has the store decided all that backends asked for, and is every effect taken? */
bool core_is_settled(const core_t *self);
/* And have the gateways confirmed every revocation, or had their time to do so? */
bool core_is_done(const core_t *self);
/* About how many bytes addresses and messages take. */
size_t core_memory(const core_t *self);
/* Brings the gauges up to date. */
void core_measure(const core_t *self);
/* One JSON object: what `millrace status` shows (docs/operations.md). `memory_bytes` is the
 * process's. Bounded: no more than CORE_STATUS_GATEWAYS gateways are listed. */
#define CORE_STATUS_GATEWAYS 256
void core_write_status(core_t *self, uint64_t memory_bytes, struct buffer *to, int64_t now_ms);
/* As gateways see it. */
uint64_t core_nonce(const core_t *self);
