#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "common/outbox.h"
#include "common/payload.h"
#include "gateway/identity.h"
#include "proto/client_codec.h"
#include "proto/span.h"

/* hub - the gateway's mind: sessions, their subscriptions, the addresses that the gateway listens
 * to, and the exact join between what the broker remembers and what it publishes.
 *
 * Pure: no socket, no clock (the caller passes now_ms, monotonic), no log. Events go in by the
 * functions below; what has to be done comes out of hub_take_effect, in order. The owner takes all
 * effects after each batch of events, before it sleeps.
 * Not thread-safe.
 */
typedef struct hub hub_t;
typedef struct session session_t; /* one client connection */
typedef struct relay relay_t;     /* commands that went to another gateway */

struct hub_settings {
    const char *site;       /* of connections without a token; copied */
    const char *told_name;  /* of the gateway, in the reply to connect; borrowed, NULL: none */
    uint64_t incarnation;   /* random at the gateway's start */
    uint32_t subscriptions; /* of one session */
    uint32_t pending_commands;
    uint32_t presence_questions; /* of all sessions, at once */
    uint32_t held_messages;      /* of one address, and of all: */
    size_t held_bytes;
    uint32_t linger_addresses; /* that may linger at once */
    size_t queue_bytes;        /* what may wait for one session, and how long: */
    int64_t queue_ms;
    size_t relay_bytes; /* of commands on their way to other gateways */
    bool anonymous;     /* may connections lack a token? */
    int64_t connect_ms, ping_ms, pong_ms, expired_ms, reply_ms, fence_ms, linger_ms;
    int64_t audit_ms;        /* 0: no audits */
    const site_keys_t *keys; /* of tokens; borrowed. NULL: none */
    /* Told about each token that is refused; `key` is the one that the token names, zero when it
     * names none. For the log: it may not call the hub. NULL: nobody. */
    void (*token_refused)(void *arg, enum identity_rule rule, const struct site_key *key);
    void *token_refused_arg;
};

struct hub_metrics {
#define METRIC(name, type, help) uint64_t name;
#include "gateway/metrics.def"
#undef METRIC
};

enum hub_effect_kind {
    HUB_NOTHING,  /* no effect is left */
    HUB_LISTEN,   /* subscribe the SUB socket to `bytes` */
    HUB_UNLISTEN, /* the reverse */
    HUB_SEND,     /* send `bytes`, one bus frame, to the broker */
    HUB_WRITE,    /* the session's outbox has something: flush it */
    HUB_CLOSE,    /* send what the outbox holds, then the close; then wait for hub_session_closed */
    HUB_RELAYED   /* what became of a relay: `request`, `emulated` */
};

/* What became of commands that came on another connection than their session's. */
enum hub_emulated {
    HUB_EMULATED_DONE,        /* the session has them, if it still is */
    HUB_EMULATED_UNKNOWN,     /* there is no such gateway */
    HUB_EMULATED_UNAVAILABLE, /* its gateway cannot be reached now */
    HUB_EMULATED_LATER        /* another gateway was asked: HUB_RELAYED tells */
};

struct hub_effect {
    enum hub_effect_kind kind;
    struct span bytes;          /* valid until the next call of hub_take_effect */
    session_t *session;         /* WRITE, CLOSE */
    enum client_close code;     /* CLOSE */
    const char *reason;         /* CLOSE: never empty; valid until hub_session_closed */
    void *request;              /* RELAYED: as it was given to hub_emulate */
    enum hub_emulated emulated; /* RELAYED: never LATER */
};

/* Copies the settings. NULL only when memory is exhausted. */
hub_t *hub_new(const struct hub_settings *settings, int64_t now_ms);
/* Other settings from now on; site, told_name, incarnation and token_refused stay. The keys of
 * before are not used any more. Times that run already run on, connections keep the interval of
 * pings that they were told. */
void hub_configure(hub_t *self, const struct hub_settings *settings, int64_t now_ms);
/* Every session must be closed before. Sets *self_p to NULL; safe on NULL. */
void hub_destroy(hub_t **self_p);

/* --- clients --- */

/* A WebSocket was opened. `connection` is the owner's and comes back by session_connection.
 * NULL when memory is exhausted. */
session_t *hub_session_opened(hub_t *self, void *connection, int64_t now_ms);
/* One whole text message. */
void hub_session_frame(hub_t *self, session_t *session, struct span frame, int64_t now_ms);
/* The client broke a rule below the protocol (a binary frame, an oversized one ...). */
void hub_session_refuse(hub_t *self, session_t *session, enum client_close code);
/* The owner has sent the first `count` frames of the outbox: removes them. */
void hub_session_sent(hub_t *self, session_t *session, size_t count, int64_t now_ms);
/* The owner has offered the outbox to the socket, which takes no more for now, or not at once: what
 * is left waits. */
void hub_session_full(hub_t *self, session_t *session, int64_t now_ms);
/* The connection is gone, for whatever reason: frees the session. */
void hub_session_closed(hub_t *self, session_t *session, int64_t now_ms);

void *session_connection(const session_t *session);
/* What waits to be sent; read it, and say by hub_session_sent what is gone. */
const outbox_t *session_outbox(const session_t *session);
bool session_is_closing(const session_t *session);

/* --- clients without a WebSocket --- */

#define HUB_SECRET_BYTES 16

/* The same for a connection that only leads to the client: what that has to say comes by
 * hub_emulate, but for the first frame. The secret is random and nobody else's: who knows it
 * is the client. */
session_t *hub_stream_opened(hub_t *self, void *connection, const uint8_t secret[HUB_SECRET_BYTES],
                             int64_t now_ms);
/* Commands of a stream's client, wherever that stream is. LATER: *relay is set, and valid until
 * HUB_RELAYED is taken or hub_relay_abandon is called. */
enum hub_emulated hub_emulate(hub_t *self, const struct client_emulation *commands, void *request,
                              relay_t **relay, int64_t now_ms);
/* Nobody wants to know any more what becomes of it. Sets *relay_p to NULL; safe on NULL. */
void hub_relay_abandon(hub_t *self, relay_t **relay_p);

/* --- the bus --- */

/* The control link works (welcome came). A broker nonce that differs from the last one, or a link
 * that was down in between, makes all addresses unsynced: they are fenced and asked again.
 * `revoked` is the number of that broker's last revocation. False: some before it have not come,
 * and the link does not count as up; say hello again. */
bool hub_broker_up(hub_t *self, uint64_t broker, uint64_t revoked, int64_t now_ms);
/* The link is gone: subscriptions are answered with a temporary error until it is back. */
void hub_broker_down(hub_t *self, int64_t now_ms);
/* The SUB socket lost its connection: publications may have been missed. */
void hub_publications_lost(hub_t *self, int64_t now_ms);
/* One message from SUB. Malformed ones are counted and dropped. */
void hub_publication(hub_t *self, struct span message, int64_t now_ms);
/* One answer frame from DEALER. */
void hub_answer(hub_t *self, struct span frame, int64_t now_ms);
/* One frame presence_ask: it is answered at once. */
void hub_presence_ask(hub_t *self, struct span frame, int64_t now_ms);
/* One frame revoke, also before hub_broker_up: what it takes away is gone when this returns. False:
 * some in front of it were lost, and it was not applied: everybody who reads is asked about, and
 * the broker sends it again after the next hello. */
bool hub_revoke(hub_t *self, struct span frame, int64_t now_ms);
/* The broker's last revocation has this number. False: as above. */
bool hub_check_revoked(hub_t *self, uint64_t revoked, int64_t now_ms);
/* One frame relay of another gateway: it is answered at once. */
void hub_relay(hub_t *self, struct span frame, int64_t now_ms);
/* One frame relayed. */
void hub_relayed(hub_t *self, struct span frame, int64_t now_ms);
/* For the next hello: the nonce of the last broker, 0 before the first one, and the last revocation
 * of it that was applied. */
uint64_t hub_broker(const hub_t *self);
uint64_t hub_revoked(const hub_t *self);

/* --- time --- */

/* How much the wall clock is ahead of now_ms: tokens are judged by the wall clock. Say it before
 * the first frame, and often enough to follow a clock that is set. */
void hub_set_wall(hub_t *self, int64_t ahead_ms);
/* Runs what is due. Call at least when hub_wait has passed. */
void hub_tick(hub_t *self, int64_t now_ms);
/* Milliseconds until hub_tick is wanted, -1: not before the next event. */
int64_t hub_wait(const hub_t *self, int64_t now_ms);

/* --- out --- */

void hub_take_effect(hub_t *self, struct hub_effect *out);

/* The broker is there and a canary of its was heard within the last 6 s. */
bool hub_is_ready(const hub_t *self, int64_t now_ms);
size_t hub_session_count(const hub_t *self);
/* Those that are not being closed. */
size_t hub_session_open_count(const hub_t *self);
/* Counters; gauges are up to date after the call. */
const struct hub_metrics *hub_metrics(hub_t *self, int64_t now_ms);
/* Closes sessions with this code, the oldest first, until at most `keep` are open. */
void hub_close_sessions(hub_t *self, enum client_close code, size_t keep, int64_t now_ms);
