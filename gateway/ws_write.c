#include <errno.h>
#include <sys/socket.h>

#include "gateway/lines.h"
#include "gateway/ws_priv.h"
#include "proto/client_codec.h"
#include "proto/limits.h"
#include "proto/ws_frame.h"

#define CLOSE_ANSWER_MS 3000

static_assert(PAYLOAD_ROOM >= LWS_PRE, "payloads are handed to lws_write");

void ws_cut(ws_t *self, struct connection *connection)
{
    connection->state = CONNECTION_ENDED;
    lws_set_timeout(connection->wsi, PENDING_TIMEOUT_CLOSE_ACK, LWS_TO_KILL_ASYNC);
    self->wants_service = true;
}

enum write_result { WRITE_DONE, WRITE_PARTIAL, WRITE_FAILED };

/* libwebsockets sends the rest later, or now: the socket may have become writable meanwhile, and
 * then nothing calls back. */
static enum write_result write_rest(ws_t *self, struct connection *connection, struct span rest)
{
    self->metrics->writes_partial_total++;
    /* It does not write to the bytes: LWS_WRITE_RAW adds no header. */
    if (lws_write(connection->wsi, (unsigned char *)(uintptr_t)rest.data, rest.size,
                  LWS_WRITE_RAW) >= 0)
        return lws_partial_buffered(connection->wsi) ? WRITE_PARTIAL : WRITE_DONE;
    self->metrics->write_errors_total++;
    ws_cut(self, connection);
    return WRITE_FAILED;
}

/* Only while libwebsockets holds nothing. Straight to the socket, which is a plain one: lws_write
 * would do the same, but touches much more memory for each connection. */
static enum write_result write_raw(ws_t *self, struct connection *connection, struct span bytes)
{
    self->metrics->writes_total++;
    ssize_t sent = send(connection->fd, bytes.data, bytes.size, MSG_NOSIGNAL);
    if (sent == (ssize_t)bytes.size) {
        self->metrics->bytes_sent_total += bytes.size;
        return WRITE_DONE;
    }
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        self->metrics->write_errors_total++;
        ws_cut(self, connection);
        return WRITE_FAILED;
    }
    size_t done = sent > 0 ? (size_t)sent : 0;
    self->metrics->bytes_sent_total += bytes.size;
    return write_rest(self, connection, span_of(bytes.data + done, bytes.size - done));
}

static void write_close_frame(ws_t *self, struct connection *connection)
{
    struct span reason = span_text(connection->close_reason);
    if (reason.size > LIMIT_CLOSE_REASON_BYTES)
        reason.size = LIMIT_CLOSE_REASON_BYTES;
    uint8_t frame[LWS_PRE + WS_HEADER_MAX + 2 + LIMIT_CLOSE_REASON_BYTES];
    uint8_t *start = frame + LWS_PRE;
    uint8_t *end = start + ws_write_header(start, WS_CLOSE, 2 + reason.size);
    *end++ = (uint8_t)(connection->close_code >> 8);
    *end++ = (uint8_t)connection->close_code;
    memcpy(end, reason.data, reason.size);
    end += reason.size;
    write_raw(self, connection, span_of(start, (size_t)(end - start)));
    connection->state = CONNECTION_ENDED;
}

/* --- streams --- */

/* What a close frame says, as the last line; behind half a line it would be read as its rest. */
static void write_disconnect(ws_t *self, struct connection *connection)
{
    struct buffer text = {0};
    bool has_events = connection->form == CONNECTION_EVENTS;
    buffer_put_text(&text, has_events ? "data: " : "");
    client_write_disconnect(&text, connection->close_code, span_text(connection->close_reason));
    buffer_put_text(&text, has_events ? "\n\n" : "\n");
    if (!text.failed && connection->sent == 0)
        write_raw(self, connection, buffer_span(&text));
    buffer_free(&text);
    if (connection->state != CONNECTION_ENDED)
        ws_cut(self, connection);
}

/* The bytes that the socket has taken; -1: the connection ends. */
static ssize_t write_lines(ws_t *self, struct connection *connection, struct lines *lines)
{
    struct msghdr message = {.msg_iov = lines->parts, .msg_iovlen = lines->part_count};
    self->metrics->writes_total++;
    ssize_t taken;
    do
        taken = sendmsg(connection->fd, &message, MSG_NOSIGNAL);
    while (taken < 0 && errno == EINTR);
    if (taken >= 0 || errno == EAGAIN)
        return taken > 0 ? taken : 0;
    self->metrics->write_errors_total++;
    ws_cut(self, connection);
    return -1;
}

/* Frames stay in the outbox until the socket has taken them whole. False: the connection ends. */
static bool offer_lines(ws_t *self, struct connection *connection, int64_t now_ms)
{
    struct lines lines;
    session_t *session = connection->session;
    lines_gather(&lines, session_outbox(session),
                 connection->form == CONNECTION_EVENTS ? LINES_EVENTS : LINES_PLAIN,
                 connection->sent);
    if (lines.frame_count == 0)
        return true;
    ssize_t taken = write_lines(self, connection, &lines);
    if (taken < 0)
        return false;
    size_t sent = connection->sent;
    size_t done = lines_taken(&lines, (size_t)taken, &sent);
    connection->sent = (uint32_t)sent;
    connection->is_full = done < lines.frame_count;
    self->metrics->writes_partial_total += connection->is_full;
    self->metrics->bytes_sent_total += (uint64_t)taken;
    self->metrics->frames_sent_total += done;
    hub_session_sent(self->hub, session, done, now_ms);
    return true;
}

static void write_stream(ws_t *self, struct connection *connection, int64_t now_ms)
{
    session_t *session = connection->session;
    if (!offer_lines(self, connection, now_ms))
        return;
    bool waits = !outbox_is_empty(session_outbox(session));
    if (waits)
        hub_session_full(self->hub, session, now_ms);
    if (connection->is_full)
        return;
    if (waits)
        stream_watch_again(self->watch, connection->fd, connection); /* the others first */
    else if (connection->state == CONNECTION_ENDING)
        write_disconnect(self, connection);
}

/* --- both --- */

static bool can_write(const struct connection *connection)
{
    return connection->state != CONNECTION_ENDED && !connection->is_full &&
           !lws_partial_buffered(connection->wsi);
}

/* Only when it can_write. */
static void write_outbox(ws_t *self, struct connection *connection, int64_t now_ms)
{
    if (connection->form != CONNECTION_WEBSOCKET) {
        write_stream(self, connection, now_ms);
        return;
    }
    session_t *session = connection->session;
    enum write_result result = WRITE_DONE;
    size_t count;
    struct span bytes = batch_gather(self->batch, session_outbox(session), &count);
    if (count > 0) {
        result = write_raw(self, connection, bytes);
        self->metrics->frames_sent_total += count;
        hub_session_sent(self->hub, session, count, now_ms);
    }
    bool waits = !outbox_is_empty(session_outbox(session));
    if (waits && result != WRITE_FAILED)
        hub_session_full(self->hub, session, now_ms);
    if (result != WRITE_DONE)
        return;
    if (waits)
        lws_callback_on_writable(connection->wsi); /* the others first */
    else if (connection->state == CONNECTION_ENDING)
        write_close_frame(self, connection);
}

void ws_flush(ws_t *self, struct connection *connection, int64_t now_ms)
{
    if (can_write(connection))
        write_outbox(self, connection, now_ms);
}

/* --- rounds --- */

/* First a look at all of them, so that the processor fetches what it needs of one while it waits
 * for another's memory; a send() leaves little of either in its caches. */
static void write_round(ws_t *self, int64_t now_ms)
{
    struct connection *writable[WS_ROUND];
    size_t count = 0;
    for (size_t i = 0; i < self->round_count; i++)
        if (can_write(self->round[i]))
            writable[count++] = self->round[i];
        else
            hub_session_full(self->hub, self->round[i]->session, now_ms);
    self->round_count = 0;
    for (size_t i = 0; i < count; i++)
        write_outbox(self, writable[i], now_ms);
}

void ws_write(ws_t *self, session_t *session, int64_t now_ms)
{
    struct connection *connection = session_connection(session);
    __builtin_prefetch(connection);
    __builtin_prefetch(session_outbox(session)->front);
    self->round[self->round_count++] = connection;
    if (self->round_count == WS_ROUND)
        write_round(self, now_ms);
}

bool ws_settle(ws_t *self, int64_t now_ms)
{
    bool has_written = self->round_count > 0;
    write_round(self, now_ms);
    batch_forget(self->batch);
    if (self->wants_service)
        lws_cancel_service(self->context);
    self->wants_service = false;
    return has_written;
}

/* --- ending --- */

void ws_close(ws_t *self, const struct hub_effect *close, int64_t now_ms)
{
    struct connection *connection = session_connection(close->session);
    if (!connection->is_closing) {
        connection->is_closing = true;
        connection->cut_at_ms = now_ms + CLOSE_ANSWER_MS;
        TAILQ_INSERT_TAIL(&self->closing, connection, closing);
    }
    if (connection->state != CONNECTION_OPEN)
        return;
    connection->state = CONNECTION_ENDING;
    connection->close_code = (uint16_t)close->code;
    connection->close_reason = close->reason;
    ws_drop_incoming(self, connection);
    ws_flush(self, connection, now_ms);
}

void ws_forget(ws_t *self, struct connection *connection)
{
    if (connection->is_closing)
        TAILQ_REMOVE(&self->closing, connection, closing);
    connection->is_closing = false;
}

void ws_tick(ws_t *self, int64_t now_ms)
{
    struct connection *connection;
    while ((connection = TAILQ_FIRST(&self->closing)) && connection->cut_at_ms <= now_ms) {
        ws_forget(self, connection);
        self->metrics->closes_forced_total++;
        ws_cut(self, connection);
    }
    http_fallback_tick(self, now_ms);
}

int64_t ws_wait(const ws_t *self, int64_t now_ms)
{
    const struct connection *first = TAILQ_FIRST(&self->closing);
    int64_t body_ms = http_fallback_wait(self, now_ms);
    if (!first)
        return body_ms;
    int64_t close_ms = first->cut_at_ms > now_ms ? first->cut_at_ms - now_ms : 0;
    return body_ms >= 0 && body_ms < close_ms ? body_ms : close_ms;
}
