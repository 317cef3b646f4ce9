#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "gateway/http_page.h"
#include "gateway/hub.h"
#include "gateway/io_metrics.h"

/* ws - the clients' connections, on libwebsockets: WebSockets, and what serves clients that cannot
 * have one (http_fallback).
 *
 * Tells the hub what clients do and does what the hub's effects for sessions say. Nothing here
 * blocks. libwebsockets holds at most one write of a slow client; everything else waits in the
 * session's outbox, where it is bounded.
 * One in a process: libwebsockets has one log.
 */
typedef struct ws ws_t;

struct ws_settings {
    size_t connections;          /* WebSockets and streams at once, beyond it 503 */
    size_t sockets;              /* in all, with those that are in their handshake */
    size_t unfinished_bytes;     /* of their messages that have not come in full, held at once */
    const char *allowed_origins; /* separated by spaces; copied */
    bool fallback;               /* serve clients over plain HTTP, too? */
    size_t fallback_bytes;       /* of its requests, held at once */
    http_page_t *page;           /* answers all other requests; borrowed, NULL: none */
};

/* NULL on failure (libwebsockets or memory). Borrows loop, hub and metrics until ws_destroy. */
ws_t *ws_new(uv_loop_t *loop, hub_t *hub, const struct ws_settings *settings,
             struct io_metrics *metrics);
/* Other origins, unfinished_bytes and another fallback from now on; the rest of the settings stays.
 * False when memory is exhausted: all is as it was. */
bool ws_configure(ws_t *self, const struct ws_settings *settings);
/* From now on handshakes are refused. */
void ws_drain(ws_t *self);
/* The same as long as the gateway has no broker. */
void ws_set_broker_lost(ws_t *self, bool is_lost);
/* The same as long as memory is short. */
void ws_set_memory_short(ws_t *self, bool is_short);
/* Cuts all connections: the hub is told of each. The loop must run until it is out of handles
 * before ws_destroy. */
void ws_stop(ws_t *self);
/* Only after ws_stop. Sets *self_p to NULL; safe on NULL. */
void ws_destroy(ws_t **self_p);

/* Takes over an accepted, non-blocking socket. */
void ws_adopt(ws_t *self, int fd);

/* HUB_WRITE: what the session's outbox holds is written soon, at the latest by ws_settle. What its
 * socket does not take follows by itself. */
void ws_write(ws_t *self, session_t *session, int64_t now_ms);
/* HUB_CLOSE: sends what the outbox holds, then the close frame, and ends the connection when the
 * client has answered, or some seconds later. A stream ends as soon as its socket has taken that.
 */
void ws_close(ws_t *self, const struct hub_effect *close, int64_t now_ms);
/* HUB_RELAYED: the request is answered. */
void ws_relayed(ws_t *self, const struct hub_effect *relayed);
/* Call when no effect is left, before anything else happens. True: something was written, and the
 * hub may have new effects because of it. */
bool ws_settle(ws_t *self, int64_t now_ms);

/* Ends connections whose time to answer a close frame, or to send a body, is over. Call when
 * ws_wait has passed. */
void ws_tick(ws_t *self, int64_t now_ms);
/* Milliseconds until ws_tick is wanted, -1: not before the next event. */
int64_t ws_wait(const ws_t *self, int64_t now_ms);
