#pragma once
#include <stdint.h>

#include "common/address.h"
#include "proto/buffer.h"
#include "proto/span.h"
#include "proto/wire.h"

/* backend_client - one connection to the broker as a backend has it: a ZeroMQ DEALER, one request
 * at a time. Blocks. Not thread-safe. */
typedef struct backend_client backend_client_t;

/* Returns at once; the connection is made in the background. NULL on failure; *why then gets a
 * sentence. */
backend_client_t *backend_client_new(const char *endpoint, int timeout_ms, struct buffer *why);
void backend_client_destroy(backend_client_t **self_p);

/* What a request says beside `op` and `id`. A zeroed struct says nothing; free `bytes`. */
struct backend_client_fields {
    size_t count;
    struct buffer bytes;
};

/* NULL is left out. */
void backend_client_put(struct backend_client_fields *to, const char *key, const char *text);
/* Channel, resource, app and view; what is empty or live is left out. */
void backend_client_put_address(struct backend_client_fields *to, const struct address *address);
/* The caller appends exactly one msgpack value to what it returns. */
struct buffer *backend_client_put_key(struct backend_client_fields *to, const char *key);

enum backend_client_result {
    BACKEND_CLIENT_OK,       /* ok: true */
    BACKEND_CLIENT_REFUSED,  /* ok: false, see reply->status */
    BACKEND_CLIENT_AWAY,     /* no connection within the time: nothing was sent */
    BACKEND_CLIENT_SILENT,   /* sent, but no reply within the time: the outcome is unknown */
    BACKEND_CLIENT_NONSENSE, /* the reply is not one */
    BACKEND_CLIENT_NO_MEMORY /* nothing was sent */
};

/* Borrows from the client until its next request. After AWAY or SILENT do not go on with it:
 * a late reply would be taken for the next one. */
struct backend_client_reply {
    const struct wire_value *map; /* OK: what the operation says, beside `id` and `ok` */
    uint64_t status;              /* REFUSED */
    struct span message;          /* REFUSED */
};

enum backend_client_result backend_client_request(backend_client_t *self, const char *op,
                                                  const struct backend_client_fields *fields,
                                                  struct backend_client_reply *reply);
