#include "cli/backend_client.h"

#include <stdlib.h>
#include <zmq.h>

#include "cli/member.h"

/* A list of 1,000 handlers has some 17,000 values, and may get more keys. */
#define REPLY_DEPTH 8
#define REPLY_NODES 65536

struct backend_client {
    void *context;
    void *socket;
    wire_reader_t *reader;
    zmq_msg_t reply;
    uint64_t requests; /* so far; the number of the last one is its id */
};

static void set(void *socket, int option, int value)
{
    zmq_setsockopt(socket, option, &value, sizeof value);
}

backend_client_t *backend_client_new(const char *endpoint, int timeout_ms, struct buffer *why)
{
    backend_client_t *self = calloc(1, sizeof *self);
    if (!self) {
        buffer_put_text(why, "out of memory");
        return NULL;
    }
    zmq_msg_init(&self->reply);
    self->reader = wire_reader_new();
    self->context = zmq_ctx_new();
    self->socket = self->context ? zmq_socket(self->context, ZMQ_DEALER) : NULL;
    if (!self->reader || !self->socket) {
        buffer_put_text(why, zmq_strerror(zmq_errno()));
        goto fail;
    }
    set(self->socket, ZMQ_LINGER, 0);
    set(self->socket, ZMQ_IMMEDIATE, 1); /* a send waits for a real connection */
    set(self->socket, ZMQ_SNDTIMEO, timeout_ms);
    set(self->socket, ZMQ_RCVTIMEO, timeout_ms);
    if (zmq_connect(self->socket, endpoint) != 0) {
        buffer_printf(why, "%s is no endpoint: %s", endpoint, zmq_strerror(zmq_errno()));
        goto fail;
    }
    return self;

fail:
    backend_client_destroy(&self);
    return NULL;
}

void backend_client_destroy(backend_client_t **self_p)
{
    backend_client_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    zmq_msg_close(&self->reply);
    if (self->socket)
        zmq_close(self->socket);
    if (self->context)
        zmq_ctx_term(self->context);
    wire_reader_destroy(&self->reader);
    free(self);
}

/* --- requests --- */

struct buffer *backend_client_put_key(struct backend_client_fields *to, const char *key)
{
    to->count++;
    wire_put_word(&to->bytes, key);
    return &to->bytes;
}

void backend_client_put(struct backend_client_fields *to, const char *key, const char *text)
{
    if (text)
        wire_put_word(backend_client_put_key(to, key), text);
}

static void put_part(struct backend_client_fields *to, const char *key, struct span part)
{
    if (part.size > 0)
        wire_put_text(backend_client_put_key(to, key), part);
}

void backend_client_put_address(struct backend_client_fields *to, const struct address *address)
{
    put_part(to, "channel", address->channel);
    put_part(to, "resource", address->resource);
    put_part(to, "app", address->app);
    if (address->view == VIEW_PREVIEW)
        backend_client_put(to, "view", "preview");
}

static void put_request(struct buffer *to, uint64_t id, const char *op,
                        const struct backend_client_fields *fields)
{
    wire_put_map(to, 2 + fields->count);
    wire_put_word(to, "op");
    wire_put_word(to, op);
    wire_put_word(to, "id");
    wire_put_uint(to, id);
    buffer_put_span(to, buffer_span(&fields->bytes));
    to->failed |= fields->bytes.failed;
}

/* --- replies --- */

static enum backend_client_result read_refusal(const struct wire_value *map,
                                               struct backend_client_reply *reply)
{
    const struct wire_value *error = member(map, "error", WIRE_MAP);
    const struct wire_value *status = error ? member(error, "status", WIRE_UINT) : NULL;
    const struct wire_value *message = error ? member(error, "message", WIRE_TEXT) : NULL;
    if (!status || !message)
        return BACKEND_CLIENT_NONSENSE;
    reply->status = wire_uint(status);
    reply->message = wire_text(message);
    return BACKEND_CLIENT_REFUSED;
}

static enum backend_client_result read_reply(backend_client_t *self,
                                             struct backend_client_reply *reply)
{
    const char *why;
    struct span bytes = span_of(zmq_msg_data(&self->reply), zmq_msg_size(&self->reply));
    const struct wire_value *map = wire_read(self->reader, bytes, REPLY_DEPTH, REPLY_NODES, &why);
    if (!map || wire_type(map) != WIRE_MAP)
        return BACKEND_CLIENT_NONSENSE;
    const struct wire_value *id = member(map, "id", WIRE_UINT);
    const struct wire_value *ok = member(map, "ok", WIRE_BOOL);
    if (!id || wire_uint(id) != self->requests || !ok)
        return BACKEND_CLIENT_NONSENSE;
    if (!wire_bool(ok))
        return read_refusal(map, reply);
    reply->map = map;
    return BACKEND_CLIENT_OK;
}

enum backend_client_result backend_client_request(backend_client_t *self, const char *op,
                                                  const struct backend_client_fields *fields,
                                                  struct backend_client_reply *reply)
{
    *reply = (struct backend_client_reply){0};
    struct buffer request = {0};
    put_request(&request, ++self->requests, op, fields);
    bool failed = request.failed,
         sent = !failed && zmq_send(self->socket, request.data, request.size, 0) >= 0;
    buffer_free(&request);
    if (failed)
        return BACKEND_CLIENT_NO_MEMORY;
    if (!sent)
        return BACKEND_CLIENT_AWAY;
    if (zmq_msg_recv(&self->reply, self->socket, 0) < 0)
        return BACKEND_CLIENT_SILENT;
    return read_reply(self, reply);
}
