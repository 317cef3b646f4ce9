#include <stdlib.h>
#include <sys/random.h>

#include "common/clock.h"
#include "gateway/fallback_request.h"
#include "gateway/http_headers.h"
#include "gateway/ws_priv.h"

/* Facts about libwebsockets 4.1.6 that this relies on:
 *
 * - It does not read streams, and is not asked to write to them: see stream_watch.h.
 * - A body is only read when its length was announced; BODY_COMPLETION comes again when something
 *   follows the body, which it does not read.
 * - A request keeps its headers in memory, and is cut some minutes later, until they are let go.
 * - HTTP_WRITEABLE comes whatever is being read, and -1 from it closes the connection.
 */

#define BODY_MS     8000 /* for the whole body; libwebsockets cuts who pauses for longer (ws.c) */
#define SMALL_BYTES 4096

/* One request. */
struct http_fallback {
    TAILQ_ENTRY(http_fallback) link; /* in ws->bodies while is_reading */
    struct lws *wsi;
    relay_t *relay; /* NULL: no other gateway is asked */
    struct buffer body;
    size_t expected; /* bytes of body */
    int64_t until_ms;
    enum fallback_verdict kind;   /* what is asked for */
    enum fallback_verdict answer; /* once is_answered */
    bool is_reading, is_answered;
    size_t origin_size;
    uint8_t origin[];
};

static struct span origin_of(const struct http_fallback *request)
{
    return span_of(request->origin, request->origin_size);
}

static struct http_fallback *request_new(struct lws *wsi, enum fallback_verdict kind, size_t body,
                                         struct span origin)
{
    struct http_fallback *self = calloc(1, sizeof *self + origin.size);
    if (!self)
        return NULL;
    self->wsi = wsi;
    self->kind = kind;
    self->expected = body;
    self->origin_size = origin.size;
    if (origin.size > 0)
        memcpy(self->origin, origin.data, origin.size);
    return self;
}

static void stop_reading(ws_t *self, struct http_fallback *request)
{
    if (request->is_reading)
        TAILQ_REMOVE(&self->bodies, request, link);
    request->is_reading = false;
}

static void free_body(ws_t *self, struct http_fallback *request)
{
    self->body_bytes -= request->body.size;
    self->metrics->fallback_bytes = self->body_bytes;
    buffer_free(&request->body);
}

void http_fallback_gone(ws_t *self, struct connection *connection)
{
    struct http_fallback *request = connection ? connection->request : NULL;
    if (!request)
        return;
    connection->request = NULL;
    stop_reading(self, request);
    free_body(self, request);
    hub_relay_abandon(self->hub, &request->relay);
    free(request);
}

/* --- answers --- */

static void count(ws_t *self, enum fallback_verdict verdict)
{
    static const size_t counters[FALLBACK_VERDICTS] = {
        [FALLBACK_STREAM] = offsetof(struct io_metrics, fallback_streams_total),
        [FALLBACK_EVENTS] = offsetof(struct io_metrics, fallback_streams_total),
        [FALLBACK_COMMANDS] = offsetof(struct io_metrics, fallback_commands_total),
#define REFUSAL(name, NAME, status, text)                                                          \
    [FALLBACK_REFUSED_##NAME] = offsetof(struct io_metrics, fallback_refused_##name##_total),
#include "proto/fallback.def"
#undef REFUSAL
    };
    if (verdict != FALLBACK_PREFLIGHT)
        (*(uint64_t *)((uint8_t *)self->metrics + counters[verdict]))++;
}

static bool write_text(struct lws *wsi, struct buffer *text)
{
    /* In front of the text is room for libwebsockets, which writes nothing there. */
    bool is_written = !text->failed && lws_write(wsi, text->data + LWS_PRE, text->size - LWS_PRE,
                                                 LWS_WRITE_HTTP) >= 0;
    buffer_free(text);
    return is_written;
}

static struct buffer begin_text(void)
{
    struct buffer text = {0};
    if (buffer_reserve(&text, LWS_PRE))
        buffer_advance(&text, LWS_PRE);
    return text;
}

/* -1 makes libwebsockets close the connection, once what it holds was sent. */
static int answer_now(ws_t *self, struct lws *wsi, enum fallback_verdict verdict,
                      struct span origin, struct span why)
{
    struct buffer text = begin_text();
    count(self, verdict);
    fallback_write_answer(&text, verdict, origin, why);
    write_text(wsi, &text);
    return -1;
}

/* Outside of libwebsockets' callbacks for this request. */
static void answer_soon(ws_t *self, struct http_fallback *request, enum fallback_verdict verdict)
{
    stop_reading(self, request);
    free_body(self, request);
    request->answer = verdict;
    request->is_answered = true;
    lws_callback_on_writable(request->wsi);
}

/* --- streams --- */

static enum fallback_verdict has_room(const ws_t *self, enum fallback_verdict kind)
{
    if (self->is_draining)
        return FALLBACK_REFUSED_DRAINING;
    if (self->is_broker_lost)
        return FALLBACK_REFUSED_BROKER;
    if (hub_session_count(self->hub) >= self->settings.connections)
        return FALLBACK_REFUSED_FULL;
    return self->is_memory_short ? FALLBACK_REFUSED_MEMORY : kind;
}

/* Its head is written, and what the client sent first was taken. */
static int begin_stream(ws_t *self, struct lws *wsi, struct connection *connection,
                        enum fallback_verdict kind, struct span origin, struct span first)
{
    uint8_t secret[HUB_SECRET_BYTES];
    struct buffer head = begin_text();
    int64_t now_ms = clock_monotonic_ms();
    fallback_write_head(&head, kind, origin);
    if (getrandom(secret, sizeof secret, 0) != sizeof secret || !write_text(wsi, &head) ||
        lws_partial_buffered(wsi))
        return -1;
    connection->wsi = wsi;
    connection->fd = lws_get_socket_fd(wsi);
    connection->form = kind == FALLBACK_EVENTS ? CONNECTION_EVENTS : CONNECTION_PLAIN;
    connection->session = hub_stream_opened(self->hub, connection, secret, now_ms);
    if (!connection->session || !stream_watch_add(self->watch, connection->fd, connection))
        return -1;
    count(self, kind);
    lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
    lws_http_headers_detach(wsi);
    lws_rx_flow_control(wsi, 0);
    self->metrics->messages_received_total++;
    self->metrics->bytes_received_total += first.size;
    hub_session_frame(self->hub, connection->session, first, now_ms);
    return 0;
}

/* --- requests --- */

bool http_fallback_is_meant(struct lws *wsi)
{
    struct http_headers headers;
    struct span path;
    headers.size = 0;
    http_headers_path(&headers, wsi, &path);
    return fallback_is_path(path);
}

static int begin_body(ws_t *self, struct lws *wsi, struct connection *connection,
                      enum fallback_verdict kind, size_t body, struct span origin)
{
    struct http_fallback *request = request_new(wsi, kind, body, origin);
    if (!request)
        return -1;
    connection->request = request;
    request->is_reading = true;
    request->until_ms = clock_monotonic_ms() + BODY_MS;
    TAILQ_INSERT_TAIL(&self->bodies, request, link);
    return 0;
}

int http_fallback_request(ws_t *self, struct lws *wsi, struct connection *connection)
{
    struct http_headers headers;
    struct fallback_request request;
    size_t body;
    headers.size = 0;
    request.method = http_headers_path(&headers, wsi, &request.path);
    request.origin = http_headers_copy(&headers, wsi, WSI_TOKEN_ORIGIN);
    request.host = http_headers_copy(&headers, wsi, WSI_TOKEN_HOST);
    request.length = http_headers_copy(&headers, wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    request.has_encoding = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0;
    request.cf_connect = http_headers_argument(&headers, wsi, "cf_connect=");
    request.fetch_mode = http_headers_custom(&headers, wsi, "sec-fetch-mode:");

    enum fallback_verdict verdict =
        fallback_judge(&request, span_text(self->allowed_origins), &body);
    if (verdict == FALLBACK_STREAM || verdict == FALLBACK_EVENTS)
        verdict = has_room(self, verdict);
    if (body > 0 &&
        (verdict == FALLBACK_STREAM || verdict == FALLBACK_EVENTS || verdict == FALLBACK_COMMANDS))
        return begin_body(self, wsi, connection, verdict, body, request.origin);
    if (verdict == FALLBACK_EVENTS)
        return begin_stream(self, wsi, connection, verdict, request.origin, request.cf_connect);
    return answer_now(self, wsi, verdict, request.origin, span_of(NULL, 0));
}

/* The few bytes of a pong or a subscription are always taken: the SDK gives up its whole stream
 * when one is refused, and large bodies of others must not bring that about. */
static bool has_room_for(const ws_t *self, const struct http_fallback *request, size_t piece)
{
    return request->body.size + piece <= SMALL_BYTES ||
           self->body_bytes + piece <= self->settings.fallback_bytes;
}

int http_fallback_body(ws_t *self, struct connection *connection, struct span piece)
{
    struct http_fallback *request = connection->request;
    if (!request || piece.size > request->expected - request->body.size)
        return -1; /* more than was announced */
    if (request->is_answered)
        return 0;
    if (!has_room_for(self, request, piece.size))
        return answer_now(self, request->wsi, FALLBACK_REFUSED_BYTES, origin_of(request),
                          span_of(NULL, 0));
    size_t before = request->body.size;
    buffer_put_span(&request->body, piece);
    self->body_bytes += request->body.size - before;
    self->metrics->fallback_bytes = self->body_bytes;
    return request->body.failed ? -1 : 0;
}

static enum fallback_verdict verdict_of(enum hub_emulated emulated)
{
    switch (emulated) {
    case HUB_EMULATED_DONE:
        return FALLBACK_COMMANDS;
    case HUB_EMULATED_UNKNOWN:
        return FALLBACK_REFUSED_SESSION;
    default:
        return FALLBACK_REFUSED_GATEWAY;
    }
}

static int take_commands(ws_t *self, struct http_fallback *request)
{
    struct client_emulation commands;
    struct buffer why = {0};
    json_doc_t *doc = client_read_emulation(buffer_span(&request->body), &commands, &why);
    int result = 0;
    if (doc) {
        self->metrics->messages_received_total++;
        self->metrics->bytes_received_total += commands.frame.size;
        enum hub_emulated emulated =
            hub_emulate(self->hub, &commands, request, &request->relay, clock_monotonic_ms());
        if (emulated != HUB_EMULATED_LATER)
            result = answer_now(self, request->wsi, verdict_of(emulated), origin_of(request),
                                span_of(NULL, 0));
    } else {
        result = answer_now(self, request->wsi, FALLBACK_REFUSED_BODY, origin_of(request),
                            buffer_span(&why));
    }
    json_doc_destroy(&doc);
    buffer_free(&why);
    return result;
}

int http_fallback_complete(ws_t *self, struct connection *connection)
{
    struct http_fallback *request = connection->request;
    if (!request || !request->is_reading) /* something follows the body */
        return request && request->is_answered ? 0 : -1;
    stop_reading(self, request);
    if (request->kind == FALLBACK_COMMANDS)
        return take_commands(self, request);
    enum fallback_verdict verdict = has_room(self, request->kind);
    if (verdict != request->kind)
        return answer_now(self, request->wsi, verdict, origin_of(request), span_of(NULL, 0));
    int result = begin_stream(self, request->wsi, connection, request->kind, origin_of(request),
                              buffer_span(&request->body));
    http_fallback_gone(self, connection);
    return result;
}

int http_fallback_writable(ws_t *self, struct connection *connection)
{
    struct http_fallback *request = connection->request;
    if (!request || !request->is_answered)
        return 0;
    return answer_now(self, request->wsi, request->answer, origin_of(request), span_of(NULL, 0));
}

/* --- later --- */

void ws_relayed(ws_t *self, const struct hub_effect *relayed)
{
    struct http_fallback *request = relayed->request;
    request->relay = NULL;
    answer_soon(self, request, verdict_of(relayed->emulated));
}

void http_fallback_tick(ws_t *self, int64_t now_ms)
{
    struct http_fallback *request;
    while ((request = TAILQ_FIRST(&self->bodies)) && request->until_ms <= now_ms)
        answer_soon(self, request, FALLBACK_REFUSED_SLOW);
}

int64_t http_fallback_wait(const ws_t *self, int64_t now_ms)
{
    const struct http_fallback *first = TAILQ_FIRST(&self->bodies);
    if (!first)
        return -1;
    return first->until_ms > now_ms ? first->until_ms - now_ms : 0;
}
