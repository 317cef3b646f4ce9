#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/span.h"

/* endpoint - where a socket listens or connects to, as text: tcp://ADDRESS:PORT or ipc://PATH.
 * Pure: nothing is resolved. */
enum endpoint_transport { ENDPOINT_TCP, ENDPOINT_IPC };

/* Borrows from the text. */
struct endpoint {
    enum endpoint_transport transport;
    struct span host; /* without the brackets of IPv6; ipc: the path */
    uint16_t port;    /* tcp, 1 to 65535 */
};

/* False when the text is anything else, also for transports that ZeroMQ would know. */
bool endpoint_parse(struct span text, struct endpoint *out);
/* Whether only this machine can reach it: ipc, 127.0.0.0/8 or ::1. A name such as "localhost" may
 * be resolved to anything and does not count. */
bool endpoint_is_local(const struct endpoint *self);
/* Whether two listeners on these would get into each other's way. */
bool endpoint_overlaps(const struct endpoint *a, const struct endpoint *b);

/* Whether the text is an IPv4 or IPv6 address, and whether it is one of this machine alone. */
bool endpoint_is_address(struct span host);
bool endpoint_is_loopback(struct span host);
