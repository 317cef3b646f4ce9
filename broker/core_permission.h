#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "broker/core_asks.h"
#include "common/policy.h"
#include "proto/bus_codec.h"

/* core_permission - who may read an address: a part of the core.
 *
 * Resource, channel, default: the first level that has a handler or a rule decides, a handler
 * before a rule; none means yes, or no where the site requires handlers. Preview is never asked
 * about.
 */
struct core;
struct party;

/* A gateway's question that waits for permission, or that has been decided and waits to be
 * answered. */
struct permit {
    struct inquiry inquiry;
    TAILQ_ENTRY(permit) link; /* in gateway->permits, then in gateway->decided */
    struct party *gateway;
    struct bus_question question; /* its address points to `address`, its asker is empty */
    enum status status;
    uint32_t grant_ms;
    bool is_temporary;
    char message[LIMIT_MESSAGE_BYTES + 1]; /* of a refusal; empty: the status' own */
    struct reader reader;                  /* who asks; points to `bytes`, as the question does */
    uint8_t bytes[];                       /* address, id, app */
};

enum permitted {
    PERMITTED, /* reply->grant_ms says for how long */
    REFUSED,   /* so does the reply */
    PENDING    /* it will be among gateway->decided */
};

/* May the asker of this question read? `is_strict`: whoever has to be asked is asked, whatever was
 * answered before. */
enum permitted core_permit(struct core *core, struct party *gateway,
                           const struct bus_question *question, const struct address *address,
                           bool is_strict, struct bus_reply *reply);
/* Takes the next decided question off a gateway; NULL: none. Free it. */
struct permit *core_next_decided(struct party *gateway);
/* Writes a decision to the reply. False: it is a refusal. */
bool core_put_decision(const struct permit *permit, struct bus_reply *reply);
/* The gateway is gone, and so are its questions. */
void core_permits_drop(struct party *gateway);

/* The request explain. */
void core_explain(struct core *core, struct party *from, const struct backend_request *request,
                  int64_t now_ms);
