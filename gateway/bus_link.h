#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "gateway/hub.h"
#include "gateway/io_metrics.h"
#include "proto/buffer.h"

/* bus_link - the gateway's two sockets to its broker: DEALER for questions and answers, SUB for
 * publications.
 *
 * Tells the hub what comes in, and when the links are lost. A ZeroMQ socket's descriptor says only
 * that something may have happened, and any call on the socket may eat that sign. So the owner asks
 * twice in each turn of its loop: bus_link_receive after the I/O until it gives false or the
 * budget is used up, and bus_link_is_busy before it sleeps.
 */
typedef struct bus_link bus_link_t;

struct bus_link_settings {
    const char *control, *publications; /* the broker's endpoints */
    const char *name;                   /* of this gateway; copied */
    uint64_t incarnation;
    int64_t started_ms; /* Unix time */
};

/* Connects in the background. NULL on failure; *why then gets a sentence. Borrows loop, hub and
 * metrics. */
bus_link_t *bus_link_new(uv_loop_t *loop, hub_t *hub, const struct bus_link_settings *settings,
                         struct io_metrics *metrics, struct buffer *why);
/* Disconnects; the memory goes when the loop runs next. Sets *self_p to NULL; safe on NULL. */
void bus_link_destroy(bus_link_t **self_p);

/* What one turn of the loop may take. */
struct bus_budget {
    uint32_t messages;
    size_t bytes;
    uint64_t until_ns; /* uv_hrtime */
};

/* Hands some messages to the hub, answers first, and takes them off the budget. False: nothing is
 * left, or the budget is. The caller runs the hub's effects in between, which bounds what a call
 * can add to the outgoing queues. */
bool bus_link_receive(bus_link_t *self, struct bus_budget *turn, int64_t now_ms);
/* Something waits to be received: the loop must not sleep. */
bool bus_link_is_busy(bus_link_t *self);

/* While `rest`, publications are left to gather; they wake nobody. */
void bus_link_rest(bus_link_t *self, bool rest);

/* HUB_LISTEN, HUB_UNLISTEN, HUB_SEND. A frame that the socket does not take is dropped and counted:
 * whoever waits for an answer to it has a deadline. */
void bus_link_listen(bus_link_t *self, struct span topic);
void bus_link_unlisten(bus_link_t *self, struct span topic);
void bus_link_send(bus_link_t *self, struct span frame);

/* One word for people: connecting, greeting, refused or connected. */
const char *bus_link_state(const bus_link_t *self);
bool bus_link_is_up(const bus_link_t *self);
/* A newer gateway has its name, says the broker. The link works all the same. */
bool bus_link_is_replaced(const bus_link_t *self);
/* What the broker said; empty unless the state is refused. Valid until the loop runs. */
struct span bus_link_refusal(const bus_link_t *self);
