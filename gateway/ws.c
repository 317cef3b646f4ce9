#include <stdio.h>

#include "common/clock.h"
#include "common/log.h"
#include "gateway/handshake.h"
#include "gateway/http_headers.h"
#include "gateway/ws_priv.h"

#define RX_BUFFER_BYTES 256 /* per connection, for good: messages arrive in pieces of this size */
#define TX_PACKET_BYTES 1048576 /* libwebsockets cuts writes at this size */
#define SERVICE_BYTES   16384
#define HANDSHAKE_SECS  10
#define COMPLAIN_MS     1000

/* --- the log of libwebsockets --- */

static struct {
    struct io_metrics *metrics;
    int64_t last_ms;
} library;

/* Clients can make libwebsockets complain as often as they like. */
static void on_library_log(int level, const char *line)
{
    (void)level;
    int64_t now_ms = clock_monotonic_ms();
    library.metrics->library_complaints_total++;
    if (library.last_ms != 0 && now_ms - library.last_ms < COMPLAIN_MS)
        return;
    library.last_ms = now_ms;
    const char *text = strstr(line, ": ");
    struct span message = span_text(text ? text + 2 : line);
    if (message.size > 0 && message.data[message.size - 1] == '\n')
        message.size--;
    log_warn("libwebsockets", LOG_SPAN("message", message),
             LOG_UINT("so_far", library.metrics->library_complaints_total));
}

/* --- refusing --- */

/* Answers the request; -1 makes libwebsockets close the connection. */
static int refuse(ws_t *self, struct lws *wsi, enum handshake_verdict verdict)
{
    static const size_t counters[] = {
#define REFUSAL(name, NAME, status, text)                                                          \
    [HANDSHAKE_REFUSED_##NAME] = offsetof(struct io_metrics, refused_##name##_total),
#include "proto/handshake.def"
#undef REFUSAL
    };
    (*(uint64_t *)((uint8_t *)self->metrics + counters[verdict]))++;

    unsigned char answer[LWS_PRE + 512];
    const char *text = handshake_text(verdict);
    const char *upgrade = "Upgrade: websocket\r\n";
    int size = snprintf((char *)answer + LWS_PRE, sizeof answer - LWS_PRE,
                        "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                        "Content-Length: %zu\r\n%sConnection: close\r\n\r\n%s\n",
                        handshake_status(verdict), strlen(text) + 1,
                        verdict == HANDSHAKE_REFUSED_UPGRADE ? upgrade : "", text);
    lws_write(wsi, answer + LWS_PRE, (size_t)size, LWS_WRITE_HTTP_FINAL);
    return -1;
}

/* --- handshake --- */

static enum handshake_verdict judge(ws_t *self, struct lws *wsi)
{
    struct http_headers text;
    text.size = 0;
    struct handshake request = {
        .path = http_headers_copy(&text, wsi, WSI_TOKEN_GET_URI),
        .query = http_headers_query(&text, wsi),
        .upgrade = http_headers_copy(&text, wsi, WSI_TOKEN_UPGRADE),
        .connection = http_headers_copy(&text, wsi, WSI_TOKEN_CONNECTION),
        .version = http_headers_copy(&text, wsi, WSI_TOKEN_VERSION),
        .key = http_headers_copy(&text, wsi, WSI_TOKEN_KEY),
        .protocols = http_headers_copy(&text, wsi, WSI_TOKEN_PROTOCOL),
        .origin = http_headers_copy(&text, wsi, WSI_TOKEN_ORIGIN),
        .host = http_headers_copy(&text, wsi, WSI_TOKEN_HOST),
    };
    enum handshake_verdict verdict = handshake_judge(&request, span_text(self->allowed_origins));
    if (verdict != HANDSHAKE_ACCEPTED)
        return verdict;
    if (self->is_draining)
        return HANDSHAKE_REFUSED_DRAINING;
    if (self->is_broker_lost)
        return HANDSHAKE_REFUSED_BROKER;
    if (hub_session_count(self->hub) >= self->settings.connections)
        return HANDSHAKE_REFUSED_FULL;
    if (self->is_memory_short)
        return HANDSHAKE_REFUSED_MEMORY;
    return HANDSHAKE_ACCEPTED;
}

/* A request that libwebsockets takes for no upgrade is none, whatever its headers say. */
static int on_plain_request(ws_t *self, struct lws *wsi, struct connection *connection)
{
    if (!http_headers_are_whole(wsi))
        return refuse(self, wsi, HANDSHAKE_REFUSED_LINE);
    if (self->settings.fallback && http_fallback_is_meant(wsi))
        return http_fallback_request(self, wsi, connection);
    enum handshake_verdict verdict = judge(self, wsi);
    if (verdict == HANDSHAKE_REFUSED_PATH && self->settings.page)
        return http_page_answer(self->settings.page, wsi);
    return refuse(self, wsi, verdict == HANDSHAKE_ACCEPTED ? HANDSHAKE_REFUSED_UPGRADE : verdict);
}

/* 0: libwebsockets goes on with the upgrade. */
static int on_upgrade(ws_t *self, struct lws *wsi)
{
    /* An Upgrade that libwebsockets does not know it has refused itself, and let go of the
     * request's headers; it comes here all the same. */
    if (lws_hdr_total_length(wsi, WSI_TOKEN_UPGRADE) == 0) {
        self->metrics->refused_upgrade_total++;
        return -1;
    }
    enum handshake_verdict verdict =
        http_headers_are_whole(wsi) ? judge(self, wsi) : HANDSHAKE_REFUSED_LINE;
    return verdict == HANDSHAKE_ACCEPTED ? 0 : refuse(self, wsi, verdict);
}

/* --- reading --- */

static void on_message(ws_t *self, struct connection *connection, struct span message)
{
    self->metrics->messages_received_total++;
    self->metrics->bytes_received_total += message.size;
    hub_session_frame(self->hub, connection->session, message, clock_monotonic_ms());
}

void ws_drop_incoming(ws_t *self, struct connection *connection)
{
    reassembly_reset(&connection->incoming, &self->unfinished);
    self->metrics->unfinished_bytes = self->unfinished.bytes;
}

static void on_piece(ws_t *self, struct connection *connection, struct span piece)
{
    struct lws *wsi = connection->wsi;
    if (connection->state != CONNECTION_OPEN || session_is_closing(connection->session))
        return;
    if (lws_frame_is_binary(wsi)) {
        hub_session_refuse(self->hub, connection->session, CLIENT_CLOSE_INAPPROPRIATE_PROTOCOL);
        return;
    }
    struct span whole;
    switch (reassembly_add(&connection->incoming, &self->unfinished, piece,
                           lws_remaining_packet_payload(wsi), lws_is_final_fragment(wsi), &whole)) {
    case REASSEMBLY_MORE:
        self->metrics->unfinished_bytes = self->unfinished.bytes;
        return;
    case REASSEMBLY_WHOLE:
        on_message(self, connection, whole);
        break;
    case REASSEMBLY_TOO_BIG:
        hub_session_refuse(self->hub, connection->session, CLIENT_CLOSE_TOO_BIG);
        break;
    case REASSEMBLY_NO_ROOM:
        self->metrics->unfinished_refused_total++;
        hub_session_refuse(self->hub, connection->session, CLIENT_CLOSE_SERVER_ERROR);
        break;
    case REASSEMBLY_NO_MEMORY:
        hub_session_refuse(self->hub, connection->session, CLIENT_CLOSE_SERVER_ERROR);
        break;
    }
    ws_drop_incoming(self, connection);
}

/* --- coming and going --- */

static int on_established(ws_t *self, struct lws *wsi, struct connection *connection)
{
    connection->wsi = wsi;
    connection->fd = lws_get_socket_fd(wsi);
    connection->session = hub_session_opened(self->hub, connection, clock_monotonic_ms());
    return connection->session ? 0 : -1;
}

/* libwebsockets answers a client's close frame by itself, unless the client's was the answer. */
static int on_peer_close(struct connection *connection)
{
    bool is_answer = connection->state == CONNECTION_ENDED;
    connection->state = CONNECTION_ENDED;
    return is_answer ? -1 : 0;
}

static void on_closed(ws_t *self, struct connection *connection)
{
    if (!connection || !connection->session)
        return;
    connection->state = CONNECTION_ENDED;
    ws_drop_incoming(self, connection);
    ws_forget(self, connection);
    session_t *session = connection->session;
    connection->session = NULL;
    hub_session_closed(self->hub, session, clock_monotonic_ms());
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t size)
{
    ws_t *self = lws_context_user(lws_get_context(wsi));
    struct connection *connection = user;
    switch (reason) {
    case LWS_CALLBACK_WSI_CREATE:
        self->metrics->sockets = ++self->sockets;
        return 0;
    case LWS_CALLBACK_HTTP: /* no upgrade is asked for */
        return on_plain_request(self, wsi, connection);
    case LWS_CALLBACK_HTTP_BODY:
        return http_fallback_body(self, connection, span_of(in, size));
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return http_fallback_complete(self, connection);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return http_fallback_writable(self, connection);
    case LWS_CALLBACK_HTTP_FILE_COMPLETION:
        return -1; /* one request a connection */
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return on_upgrade(self, wsi);
    case LWS_CALLBACK_ESTABLISHED:
        return on_established(self, wsi, connection);
    case LWS_CALLBACK_RECEIVE:
        on_piece(self, connection, span_of(in, size));
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        if (connection->session)
            ws_flush(self, connection, clock_monotonic_ms());
        return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        return on_peer_close(connection);
    case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL: /* libwebsockets has begun to close */
        connection->state = CONNECTION_ENDED;
        return 0;
    case LWS_CALLBACK_CLOSED:
        on_closed(self, connection);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        http_fallback_gone(self, connection);
        on_closed(self, connection);
        self->metrics->sockets = --self->sockets;
        return 0;
    default:
        return 0;
    }
}

/* --- sockets --- */

static void turn_away(ws_t *self, int fd)
{
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
                                 "Connection: close\r\n\r\n";
    self->metrics->accepts_refused_total++;
    ssize_t sent = send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
    (void)sent; /* the client sees it or a reset */
    close(fd);
}

void ws_adopt(ws_t *self, int fd)
{
    if (self->sockets >= self->settings.sockets)
        turn_away(self, fd);
    else
        lws_adopt_socket_vhost(self->vhost, fd); /* closes the socket when it fails */
}

/* --- life --- */

static const struct lws_protocols protocols[] = {
    {HANDSHAKE_SUBPROTOCOL, on_event, sizeof(struct connection), RX_BUFFER_BYTES, 0, NULL,
     TX_PACKET_BYTES},
    {0},
};
static const lws_retry_bo_t no_keepalive = {0};

static bool start(ws_t *self, uv_loop_t *loop)
{
    void *loops[] = {loop};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = protocols,
        .retry_and_idle_policy = &no_keepalive,
        .alpn = "http/1.1",
        .vhost_name = "clients",
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_VALIDATE_UTF8,
        .foreign_loops = loops,
        .pt_serv_buf_size = SERVICE_BYTES,
        .max_http_header_data = HTTP_HEADERS_BYTES,
        .timeout_secs = HANDSHAKE_SECS,
        .timeout_secs_ah_idle = HANDSHAKE_SECS,
        .user = self,
    };
    lws_set_log_level(LLL_ERR | LLL_WARN, on_library_log);
    library.metrics = self->metrics;
    self->context = lws_create_context(&info);
    if (!self->context)
        return false;
    lws_set_fops(self->context, http_page_files());
    self->vhost = lws_create_vhost(self->context, &info);
    return self->vhost;
}

static void on_stream(void *arg, void *about, bool is_over)
{
    struct connection *connection = about;
    if (connection->state == CONNECTION_ENDED)
        return;
    connection->is_full = false;
    if (is_over)
        ws_cut(arg, connection);
    else
        ws_flush(arg, connection, clock_monotonic_ms());
}

ws_t *ws_new(uv_loop_t *loop, hub_t *hub, const struct ws_settings *settings,
             struct io_metrics *metrics)
{
    ws_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    TAILQ_INIT(&self->closing);
    TAILQ_INIT(&self->bodies);
    self->hub = hub;
    self->metrics = metrics;
    self->settings = *settings;
    self->unfinished.max_bytes = settings->unfinished_bytes;
    self->allowed_origins = strdup(settings->allowed_origins);
    self->batch = batch_new();
    self->watch = stream_watch_new(loop, on_stream, self);
    if (self->allowed_origins && self->batch && self->watch && start(self, loop))
        return self;
    ws_stop(self);
    ws_destroy(&self);
    return NULL;
}

bool ws_configure(ws_t *self, const struct ws_settings *settings)
{
    char *origins = strdup(settings->allowed_origins);
    if (!origins)
        return false;
    free(self->allowed_origins);
    self->allowed_origins = origins;
    self->settings.allowed_origins = origins;
    self->unfinished.max_bytes = settings->unfinished_bytes;
    self->settings.fallback = settings->fallback;
    self->settings.fallback_bytes = settings->fallback_bytes;
    return true;
}

void ws_drain(ws_t *self)
{
    self->is_draining = true;
}

void ws_set_broker_lost(ws_t *self, bool is_lost)
{
    self->is_broker_lost = is_lost;
}

void ws_set_memory_short(ws_t *self, bool is_short)
{
    self->is_memory_short = is_short;
}

void ws_stop(ws_t *self)
{
    stream_watch_destroy(&self->watch);
    if (self->context)
        lws_context_destroy(self->context);
}

void ws_destroy(ws_t **self_p)
{
    ws_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    /* The second call frees what the first one, with a loop that is not libwebsockets' own, could
     * only begin to close. */
    if (self->context)
        lws_context_destroy(self->context);
    lws_set_log_level(0, NULL);
    batch_destroy(&self->batch);
    free(self->allowed_origins);
    free(self);
}
