#include "cli/ws_link.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPT_SECONDS 5
#define CODE_ABNORMAL   1006 /* the connection ended without a close frame */
#define CLOSE_HEAD      2    /* bytes of the code in a close frame */

struct ws_link {
    struct ws_link_handlers handlers;
    struct lws_context *context;
    struct lws *wsi;
    lws_sorted_usec_list_t timer;
    char *url;                        /* cut up: the next three point into it */
    const char *scheme, *host, *path; /* the path without its '/' */
    int port;
    bool active; /* an attempt or a connection: `closed` is still to be told */
    unsigned code;
    struct buffer reason;
    struct buffer incoming; /* the message so far */
    struct buffer outgoing; /* LWS_PRE bytes, then the text */
};

static void finish(ws_link_t *self, unsigned code, struct span reason)
{
    if (!self->active)
        return;
    self->active = false;
    self->wsi = NULL;
    self->handlers.closed(self->handlers.arg, code, reason);
}

static void note_close_frame(ws_link_t *self, const uint8_t *frame, size_t size)
{
    if (size < CLOSE_HEAD)
        return;
    self->code = (unsigned)frame[0] << 8 | frame[1];
    buffer_reset(&self->reason);
    buffer_put(&self->reason, frame + CLOSE_HEAD, size - CLOSE_HEAD);
}

/* False: the message is too long. */
static bool receive(ws_link_t *self, struct lws *wsi, const void *data, size_t size)
{
    if (self->incoming.size + size > WS_LINK_MESSAGE_MAX)
        return false;
    buffer_put(&self->incoming, data, size);
    if (!lws_is_final_fragment(wsi) || lws_remaining_packet_payload(wsi) > 0)
        return true;
    if (self->incoming.failed)
        return false;
    self->handlers.message(self->handlers.arg, buffer_span(&self->incoming));
    buffer_reset(&self->incoming);
    return true;
}

static int write_outgoing(ws_link_t *self, struct lws *wsi)
{
    if (self->outgoing.size <= LWS_PRE)
        return 0;
    size_t size = self->outgoing.size - LWS_PRE;
    int written = lws_write(wsi, self->outgoing.data + LWS_PRE, size, LWS_WRITE_TEXT);
    buffer_reset(&self->outgoing);
    return written < 0 ? -1 : 0;
}

static void refused(ws_link_t *self, struct lws *wsi, const char *why, size_t size)
{
    struct buffer text = {0};
    unsigned status = lws_http_client_http_response(wsi);
    if (status >= 400)
        buffer_printf(&text, "the server answered with HTTP status %u", status);
    else if (why && size > 0)
        buffer_put(&text, why, size);
    else
        buffer_put_text(&text, "no connection");
    finish(self, 0, buffer_span(&text));
    buffer_free(&text);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons event, void *user, void *in,
                    size_t size)
{
    (void)user;
    ws_link_t *self = lws_context_user(lws_get_context(wsi));
    switch (event) {
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        self->handlers.opened(self->handlers.arg);
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        return receive(self, wsi, in, size) ? 0 : -1;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return write_outgoing(self, wsi);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        note_close_frame(self, in, size);
        return 0;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        refused(self, wsi, in, size);
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
        finish(self, self->code, buffer_span(&self->reason));
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {
    {.name = "millrace", .callback = on_event, .rx_buffer_size = 65536},
    {0},
};

/* No keep-alive probing by libwebsockets: the protocol has pings of its own. */
static const lws_retry_bo_t no_probing;

static bool read_url(ws_link_t *self, const char *url, struct buffer *why)
{
    self->url = strdup(url);
    bool cut = self->url &&
               lws_parse_uri(self->url, &self->scheme, &self->host, &self->port, &self->path) == 0;
    if (cut && self->host[0] &&
        (strcmp(self->scheme, "ws") == 0 || strcmp(self->scheme, "wss") == 0))
        return true;
    buffer_printf(why, "'%s' is no address like ws://127.0.0.1:8000/connection/websocket", url);
    return false;
}

ws_link_t *ws_link_new(const char *url, const struct ws_link_handlers *handlers, struct buffer *why)
{
    ws_link_t *self = calloc(1, sizeof *self);
    if (!self) {
        buffer_put_text(why, "out of memory");
        return NULL;
    }
    self->handlers = *handlers;
    if (!read_url(self, url, why)) {
        ws_link_destroy(&self);
        return NULL;
    }
    lws_set_log_level(0, NULL);
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .user = self,
        .retry_and_idle_policy = &no_probing,
        .timeout_secs = ATTEMPT_SECONDS,
        .connect_timeout_secs = ATTEMPT_SECONDS,
        .fd_limit_per_thread = 16,
        .options = self->scheme[2] == 's' ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0,
    };
    self->context = lws_create_context(&info);
    if (!self->context) {
        buffer_put_text(why, "libwebsockets could not start");
        ws_link_destroy(&self);
    }
    return self;
}

void ws_link_destroy(ws_link_t **self_p)
{
    ws_link_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    self->active = false; /* nobody wants to hear of it any more */
    if (self->context)
        lws_context_destroy(self->context);
    buffer_free(&self->reason);
    buffer_free(&self->incoming);
    buffer_free(&self->outgoing);
    free(self->url);
    free(self);
}

void ws_link_open(ws_link_t *self)
{
    char path[1024], host[280];
    snprintf(path, sizeof path, "/%s", self->path);
    snprintf(host, sizeof host, strchr(self->host, ':') ? "[%s]:%d" : "%s:%d", self->host,
             self->port);
    self->active = true;
    self->code = CODE_ABNORMAL;
    buffer_reset(&self->reason);
    buffer_put_text(&self->reason, "the connection was lost");
    buffer_reset(&self->incoming);
    buffer_reset(&self->outgoing);
    struct lws_client_connect_info info = {
        .context = self->context,
        .address = self->host,
        .port = self->port,
        .path = path,
        .host = host,
        .ssl_connection = self->scheme[2] == 's' ? LCCSCF_USE_SSL : 0,
        .local_protocol_name = protocols[0].name,
        .pwsi = &self->wsi,
    };
    if (!lws_client_connect_via_info(&info))
        finish(self, 0, span_text("no connection"));
}

void ws_link_send(ws_link_t *self, struct span text)
{
    if (!self->wsi || text.size == 0)
        return;
    struct buffer *to = &self->outgoing;
    if (to->size > 0)
        buffer_put_byte(to, '\n');
    else if (buffer_reserve(to, LWS_PRE))
        buffer_advance(to, LWS_PRE);
    buffer_put_span(to, text);
    lws_callback_on_writable(self->wsi);
}

void ws_link_close(ws_link_t *self)
{
    if (self->wsi)
        lws_set_timeout(self->wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
}

static void on_timer(lws_sorted_usec_list_t *timer)
{
    (void)timer; /* its only use is that lws_service returns */
}

void ws_link_serve(ws_link_t *self, int64_t wait_ms)
{
    if (wait_ms >= 0)
        lws_sul_schedule(self->context, 0, &self->timer, on_timer, wait_ms * LWS_US_PER_MS + 1);
    lws_service(self->context, 0);
}

void ws_link_wake(ws_link_t *self)
{
    lws_cancel_service(self->context);
}
