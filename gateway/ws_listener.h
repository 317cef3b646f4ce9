#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "gateway/io_metrics.h"
#include "proto/buffer.h"

/* ws_listener - the socket where clients knock.
 *
 * Accepts a bounded number of connections in each turn of the loop, so that a storm of them cannot
 * keep the loop from everything else.
 */
typedef struct ws_listener ws_listener_t;

/* A non-blocking, connected socket; the callee owns it. */
typedef void ws_accepted_fn(void *arg, int fd);

struct ws_listener_settings {
    const char *address; /* IPv4 or IPv6 literal */
    uint16_t port;       /* 0: any free one */
    bool reuse_port;     /* share it with others that do */
    int send_buffer;     /* SO_SNDBUF of accepted sockets, bytes */
    ws_accepted_fn *accepted;
    void *arg;
};

/* Listens. NULL on failure; *why then gets a sentence. Borrows loop and metrics. */
ws_listener_t *ws_listener_new(uv_loop_t *loop, const struct ws_listener_settings *settings,
                               struct io_metrics *metrics, struct buffer *why);
/* Accepts all that have knocked. Before ws_listener_destroy: closing the socket would cut those
 * off, where a sharing gateway gets only those who knock later. */
void ws_listener_drain(ws_listener_t *self);
/* Stops listening at once; the memory goes when the loop runs next. Sets *self_p to NULL; safe on
 * NULL. */
void ws_listener_destroy(ws_listener_t **self_p);

/* The port in use. */
/* SO_SNDBUF of sockets that are accepted from now on. */
void ws_listener_set_send_buffer(ws_listener_t *self, int bytes);
uint16_t ws_listener_port(const ws_listener_t *self);
