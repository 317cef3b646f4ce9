#pragma once
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/span.h"

/* ws_link - one WebSocket client connection at a time, on libwebsockets' own loop.
 * Not thread-safe; the handlers run inside ws_link_serve and ws_link_open. */
typedef struct ws_link ws_link_t;

#define WS_LINK_MESSAGE_MAX 4194304 /* bytes of one message from the server */

struct ws_link_handlers {
    void *arg;
    void (*opened)(void *arg);
    /* One whole text message; borrowed. */
    void (*message)(void *arg, struct span text);
    /* After every ws_link_open, once: the connection ended (its code, 1006 without one), or could
     * not be made (code 0); the reason says why. */
    void (*closed)(void *arg, unsigned code, struct span reason);
};

/* Checks the url: ws:// or wss://. Copies both. NULL on failure; *why then gets a sentence. */
ws_link_t *ws_link_new(const char *url, const struct ws_link_handlers *handlers,
                       struct buffer *why);
void ws_link_destroy(ws_link_t **self_p);

/* Begins an attempt; there must be no connection. */
void ws_link_open(ws_link_t *self);
/* Queues one text message, copied; forgotten when there is no connection. */
void ws_link_send(ws_link_t *self, struct span text);
/* Ends the connection, if there is one. */
void ws_link_close(ws_link_t *self);

/* Waits for something to happen, at most wait_ms (-1: no limit), and handles it. */
void ws_link_serve(ws_link_t *self, int64_t wait_ms);
/* Makes ws_link_serve return. The only function that a signal handler may call. */
void ws_link_wake(ws_link_t *self);
