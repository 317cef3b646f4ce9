#include "gateway/bus_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "common/clock.h"
#include "common/log.h"
#include "gateway/link_watch.h"
#include "proto/bus_codec.h"
#include "proto/limits.h"

#define MESSAGES_AT_ONCE   64
#define BYTES_AT_ONCE      32768 /* below the smallest outgoing queue of a session */
#define RECEIVE_QUEUE      8192 /* messages; the broker drops beyond its own mark, repair covers it */
#define MESSAGE_BYTES      (2 * LIMIT_BUS_FRAME_BYTES)
#define RECONNECT_MS       100
#define RECONNECT_MAX_MS   1000
#define HEARTBEAT_MS       2000
#define HEARTBEAT_LIMIT_MS 6000
#define HANDSHAKE_MS       5000
#define HELLO_AGAIN_MS     1000
#define HELLO_BLOCKED_MS   20
#define LINKS              2 /* control, publications */

/* One ZeroMQ socket on the loop. Its descriptor is readable when something may have happened; any
 * call may eat that sign, so `maybe` stays true until the socket was asked and had nothing. */
struct source {
    uv_poll_t poll;
    void *socket;
    bool maybe;
    bool rests;        /* is not asked, and its descriptor not watched */
    bool in_multipart; /* the rest of a message that is no bus message */
};

enum { CONTROL_EVENTS, PUBLICATION_EVENTS, CONTROL, PUBLICATIONS, SOURCES };

/* One of the two links: what becomes of its connection. */
struct link {
    uv_timer_t timer;
    bus_link_t *owner;
    size_t source;
    char *endpoint;
    struct link_watch watch;
};

enum link_state { LINK_DOWN, LINK_GREETING, LINK_REFUSED, LINK_UP };

struct bus_link {
    hub_t *hub;
    struct io_metrics *metrics;
    void *context;
    struct source sources[SOURCES]; /* in the order in which they are asked */
    uv_timer_t greeter;
    enum link_state state;
    uint64_t broker; /* nonce of the broker, while UP */
    char *name;      /* of this gateway */
    uint64_t incarnation, started_ms;
    struct buffer refusal; /* the last one that was logged */
    bool is_replaced;
    struct link links[LINKS];
    size_t sources_watched; /* have a handle on the loop */
    size_t handles;         /* on the loop */
};

/* --- asking a socket --- */

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct source *source = handle->data;
    (void)status;
    (void)events;
    source->maybe = true;
}

static bool has_input(struct source *source)
{
    int events = 0;
    size_t size = sizeof events;
    if (zmq_getsockopt(source->socket, ZMQ_EVENTS, &events, &size) != 0)
        events = 0;
    return (events & ZMQ_POLLIN) != 0;
}

bool bus_link_is_busy(bus_link_t *self)
{
    bool is_busy = false;
    for (size_t i = 0; i < SOURCES; i++) {
        struct source *source = &self->sources[i];
        if (source->rests)
            continue;
        if (source->maybe)
            source->maybe = has_input(source);
        is_busy = is_busy || source->maybe;
    }
    return is_busy;
}

void bus_link_rest(bus_link_t *self, bool rest)
{
    struct source *publications = &self->sources[PUBLICATIONS];
    publications->rests = rest;
    publications->maybe = true;
    if (rest)
        uv_poll_stop(&publications->poll);
    else
        uv_poll_start(&publications->poll, UV_READABLE, on_readable);
}

/* --- sending --- */

static bool send_frame(bus_link_t *self, struct span frame)
{
    struct source *control = &self->sources[CONTROL];
    control->maybe = true;
    if (zmq_send(control->socket, frame.data, frame.size, ZMQ_DONTWAIT) < 0) {
        self->metrics->bus_refused_total++;
        return false;
    }
    self->metrics->bus_sent_total++;
    return true;
}

void bus_link_send(bus_link_t *self, struct span frame)
{
    send_frame(self, frame);
}

static void change_topic(bus_link_t *self, int option, struct span topic)
{
    struct source *publications = &self->sources[PUBLICATIONS];
    publications->maybe = true;
    if (zmq_setsockopt(publications->socket, option, topic.data, topic.size) != 0)
        log_error("topic_refused", LOG_TEXT("error", zmq_strerror(errno)));
}

void bus_link_listen(bus_link_t *self, struct span topic)
{
    change_topic(self, ZMQ_SUBSCRIBE, topic);
}

void bus_link_unlisten(bus_link_t *self, struct span topic)
{
    change_topic(self, ZMQ_UNSUBSCRIBE, topic);
}

/* --- the state of the control link --- */

static void greet(bus_link_t *self);

static void on_greeter(uv_timer_t *timer)
{
    greet(timer->data);
}

static bool send_hello(bus_link_t *self)
{
    struct buffer hello = {0};
    bus_put_hello(&hello, &(struct bus_hello){.version = BUS_VERSION,
                                              .gateway = span_text(self->name),
                                              .incarnation = self->incarnation,
                                              .broker = hub_broker(self->hub),
                                              .revoked = hub_revoked(self->hub),
                                              .started_ms = self->started_ms});
    bool sent = !hello.failed && send_frame(self, buffer_span(&hello));
    buffer_free(&hello);
    return sent;
}

static void greet(bus_link_t *self)
{
    if (self->state != LINK_REFUSED) /* that holds until the broker says otherwise */
        self->state = LINK_GREETING;
    bool sent = send_hello(self);
    uv_timer_start(&self->greeter, on_greeter, sent ? HELLO_AGAIN_MS : HELLO_BLOCKED_MS, 0);
}

/* Also one that greeted again because revocations were missing: to the hub it was up. */
static void link_down(bus_link_t *self, int64_t now_ms)
{
    uv_timer_stop(&self->greeter);
    if (hub_metrics(self->hub, now_ms)->broker_up)
        log_warn("broker_lost", LOG_UINT("broker", self->broker));
    hub_broker_down(self->hub, now_ms);
    self->state = LINK_DOWN;
}

static void on_welcome(bus_link_t *self, struct span frame, int64_t now_ms)
{
    struct bus_welcome welcome;
    if (!bus_get_welcome(frame, &welcome)) {
        self->metrics->bus_dropped_total++;
        return;
    }
    bool is_known = self->state == LINK_UP && self->broker == welcome.broker;
    if (is_known || self->state == LINK_DOWN) /* an answer to a link that is gone */
        return;
    if (!hub_broker_up(self->hub, welcome.broker, welcome.revoked, now_ms))
        return; /* the next hello asks for what is missing */
    log_info("broker_connected", LOG_SPAN("node", welcome.node), LOG_UINT("broker", welcome.broker),
             LOG_UINT("version", welcome.version));
    uv_timer_stop(&self->greeter);
    buffer_reset(&self->refusal);
    self->state = LINK_UP;
    self->broker = welcome.broker;
}

static void on_standing(bus_link_t *self, struct span frame, int64_t now_ms)
{
    static const char why[] = "a newer gateway has this one's name";
    struct bus_standing standing;
    if (!bus_get_standing(frame, &standing)) {
        self->metrics->bus_dropped_total++;
        return;
    }
    if (standing.replaced && !self->is_replaced)
        log_error("replaced", LOG_TEXT("gateway", self->name), LOG_TEXT("message", why));
    else if (!standing.replaced && self->is_replaced)
        log_info("reinstated", LOG_TEXT("gateway", self->name));
    self->is_replaced = standing.replaced;
    if (self->state == LINK_UP && !hub_check_revoked(self->hub, standing.revoked, now_ms))
        greet(self);
}

static void on_refused(bus_link_t *self, struct span frame, int64_t now_ms)
{
    struct bus_refused refused;
    if (!bus_get_refused(frame, &refused)) {
        self->metrics->bus_dropped_total++;
        return;
    }
    if (self->state == LINK_DOWN) /* said to a link that is gone */
        return;
    /* The same answer comes to each hello: it is told once. */
    if (!span_equal(buffer_span(&self->refusal), refused.message)) {
        log_error("broker_refused", LOG_UINT("status", refused.status),
                  LOG_SPAN("message", refused.message));
        buffer_reset(&self->refusal);
        buffer_put_span(&self->refusal, refused.message);
    }
    link_down(self, now_ms);
    self->state = LINK_REFUSED;
    uv_timer_start(&self->greeter, on_greeter, HELLO_AGAIN_MS, 0);
}

bool bus_link_is_up(const bus_link_t *self)
{
    return self->state == LINK_UP;
}

bool bus_link_is_replaced(const bus_link_t *self)
{
    return self->is_replaced;
}

struct span bus_link_refusal(const bus_link_t *self)
{
    return self->state == LINK_REFUSED ? buffer_span(&self->refusal) : (struct span){0};
}

const char *bus_link_state(const bus_link_t *self)
{
    static const char *const names[] = {[LINK_DOWN] = "connecting",
                                        [LINK_GREETING] = "greeting",
                                        [LINK_REFUSED] = "refused",
                                        [LINK_UP] = "connected"};
    return names[self->state];
}

/* --- receiving --- */

static void on_control(bus_link_t *self, struct span frame, int64_t now_ms)
{
    switch (bus_frame_type(frame)) {
    case BUS_WELCOME:
        on_welcome(self, frame, now_ms);
        break;
    case BUS_REFUSED:
        on_refused(self, frame, now_ms);
        break;
    case BUS_STANDING:
        on_standing(self, frame, now_ms);
        break;
    case BUS_ANSWER:
        hub_answer(self->hub, frame, now_ms);
        break;
    case BUS_PRESENCE_ASK:
        hub_presence_ask(self->hub, frame, now_ms);
        break;
    case BUS_RELAY:
        hub_relay(self->hub, frame, now_ms);
        break;
    case BUS_RELAYED:
        hub_relayed(self->hub, frame, now_ms);
        break;
    case BUS_REVOKE: /* those that were missed come before welcome */
        if (!hub_revoke(self->hub, frame, now_ms) && self->state == LINK_UP)
            greet(self); /* once: while it greets, everything that is missing comes */
        break;
    default:
        self->metrics->bus_dropped_total++;
    }
}

/* The first part of a monitor's message: the event (2 bytes) and a value (4), in host order. */
static uint16_t event_of(struct span part)
{
    uint16_t event = 0;
    if (part.size == sizeof event + sizeof(uint32_t))
        memcpy(&event, part.data, sizeof event);
    return event;
}

/* --- a link that ZeroMQ has given up --- */

static void watch_link(struct link *link, enum link_event event, int64_t now_ms);

/* Disconnecting first: ZeroMQ connects a socket of these types to an endpoint only once, and to it
 * the one that it gave up counts. The topics are told to the broker anew by ZeroMQ. */
static void on_given_up(uv_timer_t *timer)
{
    struct link *link = timer->data;
    bus_link_t *self = link->owner;
    struct source *source = &self->sources[link->source];
    log_warn("link_renewed", LOG_TEXT("endpoint", link->endpoint));
    self->metrics->bus_renewed_total++;
    source->maybe = true;
    zmq_disconnect(source->socket, link->endpoint);
    bool connects = zmq_connect(source->socket, link->endpoint) == 0;
    if (!connects)
        log_error("link_failed", LOG_TEXT("error", zmq_strerror(errno)));
    watch_link(link, LINK_TRIED, clock_monotonic_ms());
    if (!connects) /* once more, after a while */
        watch_link(link, LINK_LOST, clock_monotonic_ms());
}

static void watch_link(struct link *link, enum link_event event, int64_t now_ms)
{
    link_watch_take(&link->watch, event, now_ms);
    int64_t due_ms = link_watch_due(&link->watch, now_ms);
    if (due_ms < 0)
        uv_timer_stop(&link->timer);
    else
        uv_timer_start(&link->timer, on_given_up, (uint64_t)due_ms, 0);
}

static void on_link_event(struct link *link, uint16_t event, int64_t now_ms)
{
    watch_link(link, event == ZMQ_EVENT_DISCONNECTED ? LINK_LOST : LINK_TRIED, now_ms);
    bool is_control = link->source == CONTROL;
    if (is_control && event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
        greet(link->owner);
    else if (is_control && event == ZMQ_EVENT_DISCONNECTED)
        link_down(link->owner, now_ms);
    else if (event == ZMQ_EVENT_DISCONNECTED)
        hub_publications_lost(link->owner->hub, now_ms);
}

static void on_message(bus_link_t *self, size_t source, struct span message, int64_t now_ms)
{
    switch (source) {
    case CONTROL_EVENTS:
        on_link_event(&self->links[0], event_of(message), now_ms);
        break;
    case PUBLICATION_EVENTS:
        on_link_event(&self->links[1], event_of(message), now_ms);
        break;
    case CONTROL:
        on_control(self, message, now_ms);
        break;
    case PUBLICATIONS:
        hub_publication(self->hub, message, now_ms);
        break;
    default:
        break;
    }
}

/* Monitors speak in two parts, of which the first matters; on the bus a message is one part. */
static void on_part(bus_link_t *self, size_t index, zmq_msg_t *part, int64_t now_ms)
{
    struct source *source = &self->sources[index];
    bool is_rest = source->in_multipart, is_bus = index == CONTROL || index == PUBLICATIONS;
    source->in_multipart = zmq_msg_more(part) != 0;
    if (is_bus) {
        self->metrics->bus_received_total++;
        self->metrics->bus_received_bytes_total += zmq_msg_size(part);
    }
    if (is_rest || (is_bus && source->in_multipart)) {
        self->metrics->bus_dropped_total += is_bus ? 1 : 0;
        return;
    }
    on_message(self, index, span_of(zmq_msg_data(part), zmq_msg_size(part)), now_ms);
}

static void spend(struct bus_budget *budget, size_t bytes)
{
    budget->messages -= budget->messages > 0 ? 1 : 0;
    budget->bytes -= budget->bytes > bytes ? bytes : budget->bytes;
}

static bool is_spent(const struct bus_budget *budget)
{
    return budget->messages == 0 || budget->bytes == 0;
}

static bool receive_one(bus_link_t *self, size_t index, struct bus_budget *round,
                        struct bus_budget *turn, int64_t now_ms)
{
    zmq_msg_t part;
    zmq_msg_init(&part);
    bool received = zmq_msg_recv(&part, self->sources[index].socket, ZMQ_DONTWAIT) >= 0;
    if (received) {
        spend(round, zmq_msg_size(&part));
        spend(turn, zmq_msg_size(&part));
        on_part(self, index, &part, now_ms);
    }
    zmq_msg_close(&part);
    return received;
}

bool bus_link_receive(bus_link_t *self, struct bus_budget *turn, int64_t now_ms)
{
    struct bus_budget round = {MESSAGES_AT_ONCE, BYTES_AT_ONCE, 0};
    for (size_t i = 0; i < SOURCES && !is_spent(&round); i++) {
        struct source *source = &self->sources[i];
        while (source->maybe && !source->rests && !is_spent(&round))
            source->maybe = receive_one(self, i, &round, turn, now_ms);
    }
    return is_spent(&round) && !is_spent(turn) && uv_hrtime() < turn->until_ns;
}

/* --- life --- */

static bool set_number(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

static bool open_socket(bus_link_t *self, size_t index, int type)
{
    void *socket = zmq_socket(self->context, type);
    self->sources[index].socket = socket;
    return socket && set_number(socket, ZMQ_LINGER, 0);
}

/* What both sockets to the broker have in common. */
static bool open_link(bus_link_t *self, size_t index, int type)
{
    void **socket = &self->sources[index].socket;
    return open_socket(self, index, type) && set_number(*socket, ZMQ_IPV6, 1) &&
           zmq_setsockopt(*socket, ZMQ_MAXMSGSIZE, &(int64_t){MESSAGE_BYTES}, sizeof(int64_t)) ==
               0 &&
           set_number(*socket, ZMQ_RECONNECT_IVL, RECONNECT_MS) &&
           set_number(*socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS) &&
           set_number(*socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS) &&
           set_number(*socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS) &&
           set_number(*socket, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_LIMIT_MS) &&
           set_number(*socket, ZMQ_HEARTBEAT_TTL, HEARTBEAT_LIMIT_MS);
}

static bool open_monitor(bus_link_t *self, size_t index, size_t watched, const char *endpoint)
{
    return open_socket(self, index, ZMQ_PAIR) &&
           zmq_socket_monitor(self->sources[watched].socket, endpoint,
                              ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED |
                                  ZMQ_EVENT_CONNECT_DELAYED | ZMQ_EVENT_CONNECT_RETRIED) == 0 &&
           zmq_connect(self->sources[index].socket, endpoint) == 0;
}

/* Questions are not queued for a broker that is not there (IMMEDIATE). Topics must never be dropped
 * (SNDHWM 0): the default drops those beyond 1000 without a word. */
static bool open_sockets(bus_link_t *self)
{
    const char topics[] = {BUS_TOPIC_CANARY, BUS_TOPIC_DIGEST};
    struct source *sources = self->sources;
    self->context = zmq_ctx_new();
    return self->context && open_link(self, CONTROL, ZMQ_DEALER) &&
           open_link(self, PUBLICATIONS, ZMQ_SUB) &&
           open_monitor(self, CONTROL_EVENTS, CONTROL, "inproc://control-events") &&
           open_monitor(self, PUBLICATION_EVENTS, PUBLICATIONS, "inproc://publication-events") &&
           set_number(sources[CONTROL].socket, ZMQ_IMMEDIATE, 1) &&
           set_number(sources[PUBLICATIONS].socket, ZMQ_SNDHWM, 0) &&
           set_number(sources[PUBLICATIONS].socket, ZMQ_RCVHWM, RECEIVE_QUEUE) &&
           zmq_setsockopt(sources[PUBLICATIONS].socket, ZMQ_SUBSCRIBE, &topics[0], 1) == 0 &&
           zmq_setsockopt(sources[PUBLICATIONS].socket, ZMQ_SUBSCRIBE, &topics[1], 1) == 0;
}

static bool connect_to(bus_link_t *self, size_t index, const char *endpoint, struct buffer *why)
{
    struct link *link = &self->links[index];
    link->endpoint = strdup(endpoint);
    if (link->endpoint && zmq_connect(self->sources[link->source].socket, endpoint) == 0)
        return true;
    buffer_printf(why, "cannot connect to %s: %s", endpoint, zmq_strerror(errno));
    return false;
}

static bool watch(bus_link_t *self, uv_loop_t *loop)
{
    for (size_t i = 0; i < SOURCES; i++) {
        struct source *source = &self->sources[i];
        int fd = -1;
        size_t size = sizeof fd;
        if (zmq_getsockopt(source->socket, ZMQ_FD, &fd, &size) != 0 ||
            uv_poll_init(loop, &source->poll, fd) != 0)
            return false;
        self->sources_watched++;
        self->handles++;
        source->poll.data = source;
        source->maybe = true;
        uv_poll_start(&source->poll, UV_READABLE, on_readable);
    }
    return true;
}

static void begin_timers(bus_link_t *self, uv_loop_t *loop)
{
    uv_timer_init(loop, &self->greeter);
    self->greeter.data = self;
    for (size_t i = 0; i < LINKS; i++) {
        struct link *link = &self->links[i];
        link->owner = self;
        link->source = i == 0 ? CONTROL : PUBLICATIONS;
        uv_timer_init(loop, &link->timer);
        link->timer.data = link;
    }
    self->handles = 1 + LINKS;
}

bus_link_t *bus_link_new(uv_loop_t *loop, hub_t *hub, const struct bus_link_settings *settings,
                         struct io_metrics *metrics, struct buffer *why)
{
    bus_link_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->hub = hub;
    self->metrics = metrics;
    begin_timers(self, loop);
    self->name = strdup(settings->name);
    self->incarnation = settings->incarnation;
    self->started_ms = (uint64_t)settings->started_ms;
    bool is_open = self->name && open_sockets(self) && watch(self, loop);
    if (!is_open)
        buffer_printf(why, "cannot open ZeroMQ sockets: %s", zmq_strerror(errno));
    if (is_open && connect_to(self, 0, settings->control, why) &&
        connect_to(self, 1, settings->publications, why))
        return self;
    bus_link_destroy(&self);
    return NULL;
}

static void on_closed(uv_handle_t *handle)
{
    bus_link_t *self = handle->data;
    if (--self->handles > 0)
        return;
    for (size_t i = 0; i < LINKS; i++)
        free(self->links[i].endpoint);
    free(self->name);
    buffer_free(&self->refusal);
    free(self);
}

void bus_link_destroy(bus_link_t **self_p)
{
    bus_link_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < self->sources_watched; i++) {
        self->sources[i].poll.data = self;
        uv_close((uv_handle_t *)&self->sources[i].poll, on_closed);
    }
    for (size_t i = 0; i < LINKS; i++) {
        self->links[i].timer.data = self;
        uv_close((uv_handle_t *)&self->links[i].timer, on_closed);
    }
    uv_close((uv_handle_t *)&self->greeter, on_closed);
    for (size_t i = SOURCES; i-- > 0;)
        if (self->sources[i].socket)
            zmq_close(self->sources[i].socket);
    if (self->context)
        zmq_ctx_term(self->context);
}
