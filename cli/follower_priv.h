#pragma once
#include "cli/follower.h"
#include "proto/wire.h"

/* What follower.c (connections and time), follower_read.c (what the server says) and
 * follower_tell.c (what people get to see) share. */

#define EPOCH_ROOM 65

enum subscription_state {
    SUBSCRIPTION_ASKED,   /* due_ms: the answer is late */
    SUBSCRIPTION_OPEN,    /* due_ms: not used */
    SUBSCRIPTION_WAITING, /* refused for now; due_ms: ask again */
    SUBSCRIPTION_ENDED
};

struct subscription {
    const char *channel;
    enum subscription_state state;
    uint32_t command;  /* ASKED: its id */
    unsigned refusals; /* temporary ones in a row */
    int64_t due_ms;
    bool has_position;
    char epoch[EPOCH_ROOM];
    uint64_t offset;
};

struct follower {
    enum follower_state state;
    bool json;
    bool connected;           /* the connect command was accepted */
    uint32_t connect_command; /* its id while it is not answered, else 0 */
    uint32_t last_command;
    unsigned failures;  /* attempts in a row that did not get as far as connected */
    int64_t due_ms;     /* WAITING: next attempt. OPEN: reply to connect, or ping. -1: none */
    int64_t ping_ms;    /* 0: the server sends none */
    bool pong;          /* it wants them answered */
    const char *reason; /* DROP: why; static text */
    uint32_t random;
    struct subscription *subscriptions;
    size_t subscription_count;
    wire_reader_t *reader;
    struct buffer outgoing, messages, notes, scratch, token;
};

/* --- follower.c --- */
uint32_t follower_random(follower_t *self);
void follower_subscribe(follower_t *self, struct subscription *subscription, int64_t now_ms);
void follower_drop(follower_t *self, const char *reason);
/* OVER when it was the last one. */
void follower_end(follower_t *self, struct subscription *subscription);
/* False when the text is too long to be an epoch. */
bool follower_set_position(struct subscription *subscription, struct span epoch, uint64_t offset);

/* --- follower_tell.c --- */
void tell_connecting(follower_t *self, const char *url);
void tell_connected(follower_t *self, struct span client);
/* A delay of -1: there will be no other attempt. */
void tell_disconnected(follower_t *self, unsigned code, struct span reason, int64_t delay_ms);
void tell_connect_refused(follower_t *self, uint64_t code, struct span message);
void tell_subscribed(follower_t *self, const struct subscription *subscription, bool recovered);
void tell_subscribe_refused(follower_t *self, const struct subscription *subscription,
                            uint64_t code, struct span message, int64_t delay_ms);
void tell_unsubscribed(follower_t *self, const struct subscription *subscription, uint64_t code,
                       struct span reason);
/* So many messages behind the subscription's position will not come: it reads too slowly. */
void tell_missed(follower_t *self, const struct subscription *subscription, uint64_t count);
/* `offset` came where the one after the subscription's was expected. */
void tell_hole(follower_t *self, const struct subscription *subscription, uint64_t offset);
/* `data` is JSON text, `publisher` NULL when it is not known; the offset is the subscription's. */
void tell_message(follower_t *self, const struct subscription *subscription, struct span data,
                  const struct span *publisher);
