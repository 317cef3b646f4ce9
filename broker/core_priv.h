#pragma once

#include "broker/core.h"
#include "broker/core_handlers.h"
#include "broker/core_permission.h"
#include "broker/core_presence.h"
#include "broker/effects.h"
#include "broker/idempotency.h"
#include "broker/parties.h"
#include "proto/wire.h"

/* core_priv - what the files of the core share:
 *
 *   core.c            the state, time, digests and canary
 *   core_requests.c   backends: requests in, replies out, history
 *   core_publish.c    a publication's way: checked, assigned, stored, published, acknowledged
 *   core_subscribe.c  gateways: who is there, subscriptions, fences
 *   core_answers.c    their questions, and what was missed
 *   core_restore.c    what the store keeps, and gives back at the start
 *   core_relay.c      what they have to say to each other
 *   core_presence.c   who is there, on all gateways
 *   core_status.c     what they say of themselves, /status
 *   core_permission.c who may read
 *   core_asks.c       what handlers are asked, and what is kept of their answers
 *   core_batches.c    the messages with it
 *   core_handlers.c   who they are
 *   core_revoke.c     the right to read is taken back
 */

/* Where a reply goes that comes later than the request's bytes live. */
struct reply_to {
    party_t *party;
    bool is_wanted;
    uint8_t id_size;
    uint8_t id[LIMIT_REQUEST_ID_BYTES + 9]; /* as msgpack */
};

/* One item of a request, decided. */
struct result {
    enum status status; /* OK: the other fields tell where it went */
    bool duplicate;
    uint64_t epoch, offset;
    size_t text_at, text_size; /* in the request's texts */
};

/* A request for publications, until all of them are decided. */
struct request {
    struct reply_to to;
    size_t count;
    size_t open; /* undecided items, and one more while items are still being read */
    bool many;
    struct buffer texts;
    struct result results[];
};

/* Who else waits for an append: a duplicate that came before it was decided. */
struct waiter {
    struct waiter *next;
    struct request *request;
    size_t index;
};

/* A publication on its way to the store. */
struct append {
    stream_header_t *header;
    uint64_t epoch, offset;
    payload_t *body; /* NULL: decided */
    struct request *request;
    size_t index;
    struct idempotency_entry *entry; /* NULL: without a key */
    struct waiter *waiters;
};

/* Appends by ticket: a ring, because they complete nearly in order. */
struct appends {
    struct append *items;
    size_t room;          /* 0 or a power of two */
    uint64_t first, next; /* tickets: the oldest kept, the next to be given */
};

/* The broker's own rates, measured each second. */
struct core_rates {
    int64_t at_ms;
    uint64_t acknowledged_total, published_total; /* then */
    double acknowledged, published;               /* per second, in the second before */
};

/* While the store tells what it has kept. */
struct restoring {
    int64_t now_ms, wall_ms;
    stream_header_t *header; /* whose messages come now; NULL: none */
    uint64_t offset;         /* its position */
    bool lacks_keys;         /* one is not remembered */
    struct core_restored result;
};

struct core {
    struct core_settings settings;
    char *node;
    struct broker_metrics *metrics;
    streams_t *streams;
    idempotency_t *idempotency;
    parties_t *parties;
    presence_t *presence;
    handlers_t *handlers;
    asks_t *asks;
    registrations_t *registrations;
    revocations_t *revocations;
    wire_reader_t *reader, *id_reader;
    struct effects effects, notes;
    struct appends appends;
    struct restoring restoring;

    /* scratch */
    struct buffer body, why, answers, publications;
    size_t answers_max;    /* with a reply that brings it there the frame of answers ends */
    size_t range_messages; /* in it */

    int64_t now_ms; /* of the event being handled */
    uint64_t nonce, canary;
    uint64_t instance;     /* as backends see it: another one may have forgotten keys */
    int64_t ticked_ms;     /* the last tick, whatever was due */
    int64_t late_until_ms; /* it hung: what comes until then may have waited meanwhile */
    int64_t tick_ms, second_ms, probe_ms; /* when the next one is due */
    bool stopping;                        /* requests are refused */
    bool publish_all;                     /* an interest was lost: XPUB alone knows who listens */

    int64_t started_ms;
    struct core_rates rates;

    /* Gateways whose questions can be answered now. */
    party_t *ready_first, *ready_last;
    size_t frames; /* of questions, not yet answered */
    size_t gateways;
};

/* --- core.c --- */

/* The process hung, and what it reads now may have waited meanwhile. */
bool core_is_late(const core_t *core, int64_t now_ms);

/* --- core_requests.c --- */

/* Remembers where the reply goes. False when memory is exhausted. */
bool core_keep_reply(core_t *core, struct reply_to *to, party_t *from, const struct wire_value *id);
/* Where to write the reply, and its id; NULL when none is wanted, and all is done. */
struct buffer *core_begin_reply(core_t *core, const struct reply_to *to,
                                const struct wire_value **id);
/* Ends the reply that was begun. */
void core_end_reply(core_t *core, party_t *to);
/* Refuses a request as a whole. */
void core_refuse(core_t *core, party_t *from, const struct backend_request *request,
                 enum status status, struct span why);
/* Ends a question to a worker that was begun with effects_begin. */
void core_end_check(core_t *core, party_t *worker);

/* NULL when memory is exhausted. Open: every item must be decided, then request_close called. */
struct request *request_new(core_t *core, party_t *from, const struct wire_value *id, size_t count,
                            bool many);
/* The last one decided or closed sends the reply and frees the request. */
void request_decide(core_t *core, struct request *request, size_t index,
                    const struct result *result);
void request_refuse(core_t *core, struct request *request, size_t index, enum status status,
                    struct span why);
void request_close(core_t *core, struct request *request);

/* --- core_publish.c --- */

void core_publish_item(core_t *core, struct request *request, size_t index,
                       const struct backend_publish *publish, int64_t now_ms);
/* NULL for a ticket that is decided. */
const struct append *core_find_append(const core_t *core, uint64_t ticket);
void core_free_appends(core_t *core);
/* The history of this stream cannot be trusted: its pending appends are in doubt, its epoch is a
 * new one. */
void core_void(core_t *core, stream_header_t *header, int64_t now_ms);

/* --- core_subscribe.c --- */

void core_gateway_left(core_t *core, party_t *gateway);
/* For the log, with the gateway's name. */
void core_tell_gateway(core_t *core, enum core_effect_kind kind, const party_t *gateway);
/* Who has its name? One that hangs, drains or is not ready leaves it to an older one. */
void core_settle_name(core_t *core, party_t *gateway);
/* It has taken a frame, so it is there; or the frame was lost. */
void core_gateway_took(core_t *core, party_t *gateway, bool lost);

/* --- core_answers.c --- */

/* Answers on their way to one gateway: beyond it the gateway's questions wait. */
#define GATEWAY_WINDOW 4
/* Ends the frame that was begun with effects_begin. False: there was no memory for it. */
bool core_end_send(core_t *core, party_t *gateway);
/* An empty answer: whether it can be sent tells whether the gateway is still there. */
void core_probe_gateway(core_t *core, party_t *gateway);
/* Puts the gateway among those to be answered, if it has questions and takes its answers. */
void core_make_ready(core_t *core, party_t *gateway);
/* One frame of questions. */
void core_ask(core_t *core, party_t *gateway, struct span frame);

/* --- core_restore.c --- */

/* A streams_changed_fn: arg is the core. */
void core_note(void *arg, enum streams_change change, const stream_header_t *header);
/* The next note. False: there is none. */
bool core_take_note(core_t *core, struct core_effect *out);

/* --- core_relay.c --- */

/* One frame relay or relayed of a gateway, for another one. */
void core_relay(core_t *core, party_t *from, struct span frame);
void core_relayed(core_t *core, const party_t *from, struct span frame);

/* --- core_permission.c --- */

/* Decisions that were not told yet and are about such readers do not count: the question is asked
 * again. */
void core_permits_void(core_t *core, asks_match_fn *match, void *arg);
/* The rules are other ones: what they decide now does not wait for a handler any longer. */
void core_permits_rule(core_t *core);

/* --- core_status.c --- */

/* One frame of figures. */
void core_figures(core_t *core, party_t *gateway, struct span frame, int64_t now_ms);
/* Each second: the broker's rates, how many gateways are silent. */
void core_status_second(core_t *core, int64_t now_ms);
