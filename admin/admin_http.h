#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/buffer.h"

/* admin_http - /metrics, /healthz, /readyz and perhaps /status of one process, on libmicrohttpd.
 *
 * No thread of its own: the owner watches admin_http_fd for reading and calls
 * admin_http_serve when it is readable and whenever admin_http_wait has passed.
 * GET and HEAD only; everything else is answered with 404 or 405. At most 64 connections, 10 s
 * each.
 */
typedef struct admin_http admin_http_t;

struct admin_http_handlers {
    void *arg;
    /* Prometheus text. */
    void (*metrics)(void *arg, struct buffer *to);
    /* True: ready (200), false: 503. Either way `to` gets one JSON object with the reasons. */
    bool (*ready)(void *arg, struct buffer *to);
    /* One JSON object. NULL: this process has no /status. */
    void (*status)(void *arg, struct buffer *to);
};

/* Listens on address (an IPv4 or IPv6 literal). NULL on failure; *why then gets a sentence.
 * Copies the handlers. */
admin_http_t *admin_http_new(const char *address, uint16_t port,
                             const struct admin_http_handlers *handlers, struct buffer *why);
void admin_http_destroy(admin_http_t **self_p);

int admin_http_fd(const admin_http_t *self);
void admin_http_serve(admin_http_t *self);
/* Milliseconds until admin_http_serve must be called, -1: not before the fd is readable. */
int64_t admin_http_wait(const admin_http_t *self);
