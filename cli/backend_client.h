#pragma once
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/span.h"
#include "proto/wire.h"

/* backend_client - one connection to the broker as a backend has it: a ZeroMQ DEALER, one request
 * at a time. Blocks. Not thread-safe. */
typedef struct backend_client backend_client_t;

enum backend_client_result {
    BACKEND_CLIENT_OK,      /* ok: true */
    BACKEND_CLIENT_REFUSED, /* ok: false, see reply->status */
    BACKEND_CLIENT_AWAY,    /* no connection within the time: nothing was sent */
    BACKEND_CLIENT_SILENT,  /* sent, but no reply within the time: the outcome is unknown */
    BACKEND_CLIENT_NONSENSE /* the reply is not one */
};

/* Spans borrow from the client until its next request. After AWAY or SILENT do not go on with it:
 * a late reply would be taken for the next one. */
struct backend_client_reply {
    uint64_t status;     /* REFUSED */
    struct span message; /* REFUSED */
    struct span epoch;   /* OK */
    uint64_t offset;     /* OK */
    bool duplicate;      /* OK */
};

/* Returns at once; the connection is made in the background. NULL on failure; *why then gets a
 * sentence. */
backend_client_t *backend_client_new(const char *endpoint, int timeout_ms, struct buffer *why);
void backend_client_destroy(backend_client_t **self_p);

struct backend_client_message {
    struct span channel, resource;      /* resource empty: the channel itself */
    struct span app;                    /* empty: the site's own code */
    const char *publisher, *key, *site; /* NULL: left out */
    bool preview;
    struct span payload; /* a msgpack map */
};

enum backend_client_result backend_client_publish(backend_client_t *self,
                                                  const struct backend_client_message *message,
                                                  struct backend_client_reply *reply);
