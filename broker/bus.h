#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/metrics.h"
#include "proto/span.h"

/* bus - the broker's sockets: a ROUTER where gateways ask, the XPUB where they listen, and a ROUTER
 * for each endpoint of backends. The only module that knows libzmq.
 *
 * Nothing here blocks but bus_wait and bus_destroy. Not thread-safe.
 */
typedef struct bus bus_t;

/* Sockets are numbered: backends' endpoints from 0 on, as in the settings. */
#define BUS_CONTROL SIZE_MAX

enum bus_sent {
    BUS_SENT,    /* the socket has it */
    BUS_DROPPED, /* neither the socket nor the backlog took it */
    BUS_GONE     /* there is no such peer any more */
};
/* What became of a message to `owner`: called once for each bus_send, during it or later. */
typedef void bus_sent_fn(void *arg, void *owner, enum bus_sent sent);

struct bus_endpoint {
    const char *setting; /* for messages: "broker.control" */
    const char *address;
};

struct bus_settings {
    struct bus_endpoint control, publications;
    const struct bus_endpoint *backends; /* borrowed for the call of bus_new */
    size_t backend_count;
    int publications_queue; /* high-water mark towards each gateway */
    uint32_t unanswered;    /* requests of one peer: twice as many messages are kept for it */
    struct broker_metrics *metrics;
    bus_sent_fn *sent;
    void *arg;
};

struct bus_failure {
    struct bus_endpoint endpoint;
    const char *reason;
    bool bad_setting; /* no other attempt can succeed with this setting */
};

/* NULL on failure, which *failure then describes. */
bus_t *bus_new(const struct bus_settings *settings, struct bus_failure *failure);
/* Waits up to a second for what was sent to leave. Sets *self_p to NULL; safe on NULL. */
void bus_destroy(bus_t **self_p);
/* As in the settings, from now on. */
void bus_set_unanswered(bus_t *self, uint32_t unanswered);

/* Waits until a socket or one of the descriptors (-1: none) is readable, or for timeout_ms (-1: no
 * limit). readable[i] tells about fds[i]. */
#define BUS_FDS 3
void bus_wait(bus_t *self, const int fds[BUS_FDS], bool readable[BUS_FDS], int64_t timeout_ms);

/* Spans are valid until the next bus_receive_*. False when there is nothing now. */
struct bus_message {
    struct span peer; /* opaque; says also whether the peer uses REQ framing */
    struct span bytes;
};
bool bus_receive(bus_t *self, size_t socket, struct bus_message *out);
/* A subscription or its end: 1 or 0, then the topic. */
bool bus_receive_event(bus_t *self, struct span *out);

/* One message; what the socket does not take now is kept and sent later, in order. */
void bus_send(bus_t *self, size_t socket, struct span peer, struct span bytes, void *owner);
/* One frame: head, then body. */
void bus_publish(bus_t *self, struct span head, struct span body);
/* Tries again what was kept. False: nothing is left. */
bool bus_retry(bus_t *self);
