#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "broker/core.h"
#include "proto/bus_codec.h"
#include "proto/limits.h"

/* core_world - the broker's core between backends, gateways and a store that the test commands.
 *
 * Requests and replies are written as JSON with ' for ": "{'op':'ping','id':1}". Every effect must
 * be expected, in order. Sites: endpoint 0 is "default" with all rights, 1 is "acme" with the app
 * "chess", 2 may do nothing. Random numbers are 1, 2, 3 ...: the nonce is 1, the first stream's
 * epoch is 2.
 */
#define WORLD_NONCE 1

extern core_t *world;
extern struct core_settings world_settings; /* change, then world_start */
extern struct broker_metrics world_metrics;
extern int64_t world_now;

void world_setup(void);                                    /* settings, and a core made of them */
void world_policy(const struct policy_settings *settings); /* a core with these rules */
void world_start(void); /* (again) with the settings as they are now */
void world_teardown(void);

/* --- events --- */

void world_request(size_t endpoint, const char *peer, const char *json);
void world_request_bytes(size_t endpoint, const char *peer, struct span bytes);
void world_hello(const char *peer, const char *gateway, uint64_t incarnation);
/* Says hello, the peer as a gateway of its own name, and takes the welcome. */
void world_gateway(const char *peer, uint64_t incarnation);
void world_frame(const char *peer, const struct buffer *frame);
/* One frame with these questions; those that subscribe and name nobody come from a visitor. */
void world_ask(const char *peer, const struct bus_question *questions, size_t count);
/* Subscribes to, or unsubscribes from, a channel of the default site (or one of its resources). */
void world_subscribe(const char *channel, const char *resource, bool on);
void world_event(bool on, struct span topic);

/* Canonical address on the default site. Valid until the next call. */
struct span world_key(const char *channel, const char *resource);

/* Peer "p" of the default site publishes {'n': n} to "chat", or does so with a key. */
void post(int id, int n);
void post_key(int id, int n, const char *key);
void stored(uint64_t ticket, enum store_outcome outcome);
/* Publishes and commits, expecting that all goes well; drops all effects. */
void world_publish(const char *channel, size_t count);

void registered(uint64_t ticket, enum store_outcome outcome);
/* Time passes, with all that is due meanwhile. */
void world_advance(int64_t ms);
/* A subscriber of a gateway wants to read. */
struct world_question {
    uint64_t token;
    const char *channel, *resource;
    enum subscriber_type type;
    const char *id;
    uint8_t kind; /* 0: BUS_SUBSCRIBE */
    uint8_t flags;
    bool is_preview;
};
void world_read(const char *peer, const struct world_question *from);
/* Registers, "[{'channel':'chat'}]", and the store has it. */
void world_handler(const char *peer, const char *handlers);

/* --- effects, in order --- */

void expect_nothing(void);
/* Tells the core that the reply was sent. */
void expect_reply(const char *peer, const char *json);
/* The same, but nobody tells the core. Returns whom it was for. */
party_t *expect_unsent_reply(const char *peer, const char *json);
/* The answer to a ping with this id. */
void expect_pong(const char *peer, const char *id);
/* What post and post_key get; the epoch as text. */
void expect_ok(int id, const char *epoch, int offset);
void expect_duplicate(int id, const char *epoch, int offset);
/* A refusal whose message contains `words`. */
void expect_refusal(const char *peer, const char *id, enum status status, const char *words);
/* Requests with id 1 that are refused at once, and nothing else comes of them. */
struct world_refusal {
    size_t endpoint;
    const char *json;
    enum status status;
    const char *words;
};
void expect_refusals(const char *peer, const struct world_refusal *cases, size_t count);
/* A question to a worker, with x for what names each check. */
void expect_check(const char *peer, const char *json);
/* The next message to this backend finds that it is gone. */
void world_lost(const char *peer);
/* Returns the ticket. */
uint64_t expect_registration(bool removed);
/* Answers questions; one frame with one reply. Its spans are valid until the next effect is taken.
 */
struct bus_reply expect_answer(const char *peer, uint64_t token, enum status status);
/* Returns the ticket. */
uint64_t expect_append(const char *channel, const char *resource, uint64_t epoch, uint64_t offset,
                       const char *body);
/* What the store is told besides appends, as world_settings.is_durable asks: `number` is the epoch
 * of a stream that is made, the first message of one that is trimmed. */
void expect_note(enum store_note_kind kind, const char *channel, const char *resource,
                 uint64_t number);
void expect_publication(const char *channel, const char *resource, uint64_t epoch, uint64_t offset,
                        const char *body);
void expect_published_bytes(struct span bytes);
void expect_log(enum core_effect_kind kind, const char *gateway);
/* Takes a frame for this gateway, valid until the next effect is taken. */
struct span take_frame(const char *peer);
party_t *take_unsent_frame(const char *peer, struct span *frame);
void drop_effects(void);

/* Takes one frame of answers, valid until the next effect is taken. */
struct world_answers {
    size_t count;
    struct bus_reply replies[LIMIT_ASK_ITEMS];
};
const struct world_answers *take_answer_frame(const char *peer);
/* Answers all questions before that. */
const struct world_answers *take_answers(const char *peer);
/* "3:{'n':3} 4:{'n':4} " of one reply: offsets and bodies. */
const char *world_publications(const struct bus_reply *reply);
