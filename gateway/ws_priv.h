#pragma once
#include <libwebsockets.h>
#include <sys/queue.h>

#include "gateway/batch.h"
#include "gateway/reassembly.h"
#include "gateway/stream_watch.h"
#include "gateway/ws.h"

/* ws_priv - what the files of ws share: ws.c (connections come, speak and go), ws_write.c (what
 * they are sent, and how they are ended) and http_fallback.c (requests and streams of clients
 * without a WebSocket).
 *
 * Facts about libwebsockets 4.1.6 that they rely on:
 *
 * - lws_write(LWS_WRITE_RAW) on a WebSocket adds nothing to the bytes, and may be called outside of
 * a WRITEABLE callback. What the socket does not take is copied, and WRITEABLE comes when that was
 *   sent. Writing meanwhile would pile up without bound, or break its frames when done beside it,
 * so lws_partial_buffered is asked first.
 * - A close frame made by libwebsockets is lost in several situations; ours are written raw.
 * - Its timer is only looked at after an event of its own: lws_cancel_service makes one.
 * - Its timers are a sorted list that is searched from the front, so long ones are not used for
 *   connections: neither its own keep-alive (zero policy) nor for those being closed.
 * - WSI_CREATE, WSI_DESTROY and everything before the upgrade go to the first protocol.
 */

/* Connections that are written to together, so that their memory is fetched together. */
#define WS_ROUND 16

enum connection_form { CONNECTION_WEBSOCKET, CONNECTION_PLAIN, CONNECTION_EVENTS };

enum connection_state {
    CONNECTION_OPEN,
    CONNECTION_ENDING, /* the outbox goes out, then a close frame */
    CONNECTION_ENDED   /* nothing may be written any more */
};

/* libwebsockets allocates it, zeroed, with each connection, and frees it after WSI_DESTROY. */
struct connection {
    struct lws *wsi;
    session_t *session; /* between ESTABLISHED, or a stream's head, and CLOSED */
    int fd;
    uint16_t close_code;
    uint8_t state;
    uint8_t form;
    bool is_closing;
    bool is_full;  /* a stream: its socket takes nothing until ws->watch says so */
    uint32_t sent; /* a stream: of the first frame in the outbox, see lines.h */
    TAILQ_ENTRY(connection) closing; /* in ws->closing while is_closing */
    int64_t cut_at_ms;
    const char *close_reason;
    struct reassembly incoming;
    struct http_fallback *request; /* of the fallback, not answered yet */
};

TAILQ_HEAD(http_fallbacks, http_fallback);

struct ws {
    hub_t *hub;
    struct io_metrics *metrics;
    struct ws_settings settings;
    char *allowed_origins;
    struct lws_context *context;
    struct lws_vhost *vhost;
    batch_t *batch;
    stream_watch_t *watch;              /* of the sockets of streams */
    struct connection *round[WS_ROUND]; /* to be written to now */
    size_t round_count;
    TAILQ_HEAD(, connection) closing; /* the first is to be cut first */
    struct http_fallbacks bodies;     /* being read; the first is to be there first */
    size_t body_bytes;                /* of requests that are not answered yet */
    struct reassembly_total unfinished;
    size_t sockets;
    bool is_draining;
    bool is_broker_lost;
    bool is_memory_short;
    bool wants_service; /* a timer of libwebsockets was set outside of its callbacks */
};

/* Writes what the outbox holds. While libwebsockets still holds bytes, nothing: it calls back when
 * they are gone. */
void ws_flush(ws_t *self, struct connection *connection, int64_t now_ms);
/* Ends the connection soon, without a word. */
void ws_cut(ws_t *self, struct connection *connection);
/* What has come of a message is not wanted (any more), or was taken. */
void ws_drop_incoming(ws_t *self, struct connection *connection);
/* The connection is about to go, or to be cut. */
void ws_forget(ws_t *self, struct connection *connection);

/* --- http_fallback.c --- */

/* Is this a request of the fallback? */
bool http_fallback_is_meant(struct lws *wsi);
/* libwebsockets' callbacks for one, which return what these have to. */
int http_fallback_request(ws_t *self, struct lws *wsi, struct connection *connection);
int http_fallback_body(ws_t *self, struct connection *connection, struct span piece);
int http_fallback_complete(ws_t *self, struct connection *connection);
int http_fallback_writable(ws_t *self, struct connection *connection);
/* The connection goes: forgets its request. Safe without one. */
void http_fallback_gone(ws_t *self, struct connection *connection);
/* Refuses bodies that did not come in time. */
void http_fallback_tick(ws_t *self, int64_t now_ms);
/* Milliseconds until then, -1: none is being read. */
int64_t http_fallback_wait(const ws_t *self, int64_t now_ms);
