#include "broker/bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zmq.h>

#include "broker/backlog.h"
#include "proto/limits.h"

#define LINGER_MS            1000
#define HANDSHAKE_MS         5000
#define HEARTBEAT_MS         2000
#define HEARTBEAT_TIMEOUT_MS 6000
#define TOPIC_BYTES          65536
/* Messages inside libzmq, each way and peer. Replies are small and bounded by the unanswered
 * requests; answers to gateways may be large. */
/* A request somewhat above its limit is answered with 413; at this size libzmq cuts the backend
 * off. */
#define BACKEND_MESSAGE_BYTES (2 * LIMIT_BACKEND_BYTES)
#define BACKEND_QUEUE         4096
#define CONTROL_QUEUE         64
#define CONTROL_INPUT         4096

/* A peer is known by its routing id; in front of it stands which framing it uses. */
enum framing { PLAIN, DELIMITED };

struct bus {
    void *context;
    void *control, *publications;
    void **backends;
    size_t backend_count;
    zmq_pollitem_t *items; /* all sockets, then BUS_FDS descriptors */
    backlog_t *backlog;
    struct broker_metrics *metrics;
    bus_sent_fn *sent;
    void *arg;
    zmq_msg_t message; /* the last one received */
    uint8_t peer[BACKLOG_PEER_MAX];
};

/* --- life --- */

static void set_int(void *socket, int option, int value)
{
    zmq_setsockopt(socket, option, &value, sizeof value);
}

static void *open_socket(bus_t *self, int type, int64_t message_bytes, int input, int output)
{
    void *socket = zmq_socket(self->context, type);
    if (!socket)
        return NULL;
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &message_bytes, sizeof message_bytes);
    set_int(socket, ZMQ_RCVHWM, input);
    set_int(socket, ZMQ_SNDHWM, output);
    set_int(socket, ZMQ_LINGER, LINGER_MS);
    set_int(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    set_int(socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS);
    set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS);
    set_int(socket, ZMQ_HEARTBEAT_TTL, HEARTBEAT_TIMEOUT_MS);
    if (type == ZMQ_ROUTER)
        set_int(socket, ZMQ_ROUTER_MANDATORY, 1);
    return socket;
}

/* An ipc socket's directory is made when it is not there; either way only we may use the socket. */
static int bind_private(void *socket, const char *path, const char *address)
{
    char *directory = strdup(path);
    if (!directory)
        return -1;
    char *end = strrchr(directory, '/');
    if (end && end != directory) {
        *end = '\0';
        (void)mkdir(directory, 0700);
    }
    free(directory);
    mode_t before = umask(0077);
    int result = zmq_bind(socket, address);
    int error = errno;
    umask(before);
    errno = error;
    return result;
}

/* No other attempt can succeed: there is no such address, directory or right. */
static bool is_hopeless(int error)
{
    return error == EINVAL || error == EPROTONOSUPPORT || error == ENODEV ||
           error == EADDRNOTAVAIL || error == ENAMETOOLONG || error == ENOENT || error == EACCES;
}

static bool bind_socket(void *socket, const struct bus_endpoint *endpoint,
                        struct bus_failure *failure)
{
    static const char ipc[] = "ipc://";
    const char *address = endpoint->address;
    int result = -1;
    if (strchr(address, '['))
        set_int(socket, ZMQ_IPV6, 1);
    if (socket && strncmp(address, ipc, sizeof ipc - 1) == 0)
        result = bind_private(socket, address + sizeof ipc - 1, address);
    else if (socket)
        result = zmq_bind(socket, address);
    if (result == 0)
        return true;
    *failure = (struct bus_failure){
        .endpoint = *endpoint, .reason = zmq_strerror(errno), .bad_setting = is_hopeless(errno)};
    return false;
}

static bool open_backends(bus_t *self, const struct bus_settings *settings,
                          struct bus_failure *failure)
{
    for (size_t i = 0; i < settings->backend_count; i++) {
        self->backends[i] =
            open_socket(self, ZMQ_ROUTER, BACKEND_MESSAGE_BYTES, BACKEND_QUEUE, BACKEND_QUEUE);
        if (!bind_socket(self->backends[i], &settings->backends[i], failure))
            return false;
    }
    return true;
}

static void list_sockets(bus_t *self)
{
    zmq_pollitem_t *item = self->items;
    *item++ = (zmq_pollitem_t){.socket = self->publications, .events = ZMQ_POLLIN};
    *item++ = (zmq_pollitem_t){.socket = self->control, .events = ZMQ_POLLIN};
    for (size_t i = 0; i < self->backend_count; i++)
        *item++ = (zmq_pollitem_t){.socket = self->backends[i], .events = ZMQ_POLLIN};
}

/* As many again for refusals, or nobody would ever read that he is refused. */
static size_t room_for(uint32_t unanswered)
{
    return 2 * (size_t)unanswered;
}

bus_t *bus_new(const struct bus_settings *settings, struct bus_failure *failure)
{
    *failure = (struct bus_failure){.reason = "out of memory"};
    bus_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    zmq_msg_init(&self->message);
    self->backend_count = settings->backend_count;
    self->metrics = settings->metrics;
    self->sent = settings->sent;
    self->arg = settings->arg;
    self->backlog = backlog_new(room_for(settings->unanswered));
    self->backends = calloc(settings->backend_count + 1, sizeof *self->backends);
    self->items = calloc(settings->backend_count + 2 + BUS_FDS, sizeof *self->items);
    self->context = zmq_ctx_new();
    if (!self->backlog || !self->backends || !self->items || !self->context)
        goto fail;

    self->control =
        open_socket(self, ZMQ_ROUTER, LIMIT_BUS_FRAME_BYTES, CONTROL_INPUT, CONTROL_QUEUE);
    self->publications = open_socket(self, ZMQ_XPUB, TOPIC_BYTES, 0, settings->publications_queue);
    if (!bind_socket(self->control, &settings->control, failure) ||
        !bind_socket(self->publications, &settings->publications, failure) ||
        !open_backends(self, settings, failure))
        goto fail;
    list_sockets(self);
    return self;

fail:
    bus_destroy(&self);
    return NULL;
}

void bus_set_unanswered(bus_t *self, uint32_t unanswered)
{
    backlog_set_max(self->backlog, room_for(unanswered));
}

static void close_socket(void *socket)
{
    if (socket)
        zmq_close(socket);
}

void bus_destroy(bus_t **self_p)
{
    bus_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    zmq_msg_close(&self->message);
    close_socket(self->control);
    close_socket(self->publications);
    for (size_t i = 0; self->backends && i < self->backend_count; i++)
        close_socket(self->backends[i]);
    if (self->context)
        zmq_ctx_term(self->context);
    backlog_destroy(&self->backlog);
    free(self->backends);
    free(self->items);
    free(self);
}

static void *socket_of(const bus_t *self, size_t socket)
{
    return socket == BUS_CONTROL ? self->control : self->backends[socket];
}

/* --- in --- */

void bus_wait(bus_t *self, const int fds[BUS_FDS], bool readable[BUS_FDS], int64_t timeout_ms)
{
    size_t count = self->backend_count + 2;
    size_t from[BUS_FDS];
    for (size_t i = 0; i < BUS_FDS; i++) {
        readable[i] = false;
        from[i] = count;
        if (fds[i] >= 0)
            self->items[count++] = (zmq_pollitem_t){.fd = fds[i], .events = ZMQ_POLLIN};
    }
    if (zmq_poll(self->items, (int)count, timeout_ms) <= 0)
        return;
    for (size_t i = 0; i < BUS_FDS; i++)
        readable[i] = fds[i] >= 0 && self->items[from[i]].revents != 0;
}

/* Receives the next part into self->message. */
static bool receive_part(bus_t *self, void *socket)
{
    zmq_msg_close(&self->message);
    zmq_msg_init(&self->message);
    return zmq_msg_recv(&self->message, socket, ZMQ_DONTWAIT) >= 0;
}

static bool has_more(const bus_t *self)
{
    return zmq_msg_more(&self->message);
}

static size_t part_size(const bus_t *self)
{
    return zmq_msg_size(&self->message);
}

static struct span part_span(bus_t *self)
{
    return span_of(zmq_msg_data(&self->message), part_size(self));
}

static void skip_parts(bus_t *self, void *socket)
{
    self->metrics->parts_refused_total++;
    while (has_more(self) && receive_part(self, socket))
        continue;
}

/* After the routing id: [empty delimiter,] one part. False: the message is none of that. */
static bool receive_body(bus_t *self, void *socket, enum framing *framing)
{
    *framing = PLAIN;
    if (!has_more(self) || !receive_part(self, socket))
        return false;
    if (has_more(self) && part_size(self) == 0) {
        *framing = DELIMITED;
        if (!receive_part(self, socket))
            return false;
    }
    return !has_more(self);
}

bool bus_receive(bus_t *self, size_t socket, struct bus_message *out)
{
    void *from = socket_of(self, socket);
    while (receive_part(self, from)) {
        struct span id = part_span(self);
        size_t size = id.size < sizeof self->peer ? id.size : sizeof self->peer - 1;
        memcpy(self->peer + 1, id.data, size);
        enum framing framing;
        if (!receive_body(self, from, &framing)) {
            skip_parts(self, from);
            continue;
        }
        self->peer[0] = (uint8_t)framing;
        *out = (struct bus_message){span_of(self->peer, size + 1), part_span(self)};
        return true;
    }
    return false;
}

bool bus_receive_event(bus_t *self, struct span *out)
{
    while (receive_part(self, self->publications)) {
        if (has_more(self)) {
            skip_parts(self, self->publications);
            continue;
        }
        *out = part_span(self);
        return true;
    }
    return false;
}

/* --- out --- */

/* True: the socket has dealt with it, as *sent says. False: it takes nothing for this peer now. */
static bool try_now(bus_t *self, size_t socket, struct span peer, struct span bytes,
                    enum bus_sent *sent)
{
    void *to = socket_of(self, socket);
    *sent = BUS_SENT;
    if (zmq_send(to, peer.data + 1, peer.size - 1, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        if (errno == EAGAIN || errno == EINTR)
            return false;
        *sent = errno == EHOSTUNREACH ? BUS_GONE : BUS_DROPPED;
        return true;
    }
    if (peer.data[0] == DELIMITED)
        zmq_send(to, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    if (zmq_send(to, bytes.data, bytes.size, ZMQ_DONTWAIT) < 0)
        *sent = BUS_DROPPED;
    return true;
}

void bus_send(bus_t *self, size_t socket, struct span peer, struct span bytes, void *owner)
{
    enum bus_sent sent = BUS_DROPPED;
    bool waits =
        backlog_holds(self->backlog, socket, peer) || !try_now(self, socket, peer, bytes, &sent);
    if (waits && backlog_put(self->backlog, socket, peer, bytes, owner))
        return;
    self->sent(self->arg, owner, waits ? BUS_DROPPED : sent);
}

static bool try_again(size_t socket, struct span peer, struct span bytes, void *owner, void *arg)
{
    bus_t *self = arg;
    enum bus_sent sent;
    if (!try_now(self, socket, peer, bytes, &sent))
        return false;
    self->sent(self->arg, owner, sent);
    return true;
}

bool bus_retry(bus_t *self)
{
    if (backlog_is_empty(self->backlog))
        return false;
    backlog_retry(self->backlog, try_again, self);
    return !backlog_is_empty(self->backlog);
}

void bus_publish(bus_t *self, struct span head, struct span body)
{
    zmq_msg_t message;
    if (zmq_msg_init_size(&message, head.size + body.size) != 0) {
        self->metrics->publish_failures_total++;
        return;
    }
    uint8_t *to = zmq_msg_data(&message);
    memcpy(to, head.data, head.size);
    if (body.size)
        memcpy(to + head.size, body.data, body.size);
    if (zmq_msg_send(&message, self->publications, ZMQ_DONTWAIT) < 0) {
        self->metrics->publish_failures_total++;
        zmq_msg_close(&message);
    }
}
