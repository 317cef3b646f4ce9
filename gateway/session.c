#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/hub_priv.h"
#include "proto/ws_frame.h"

void *session_connection(const session_t *session)
{
    return session->connection;
}

const outbox_t *session_outbox(const session_t *session)
{
    return &session->outbox;
}

bool session_is_closing(const session_t *session)
{
    return session->state == SESSION_CLOSING;
}

struct span session_subscriber_id(const session_t *session)
{
    (void)session; /* nobody but anonymous visitors yet */
    return (struct span){0};
}

/* The number alone tells all sessions of all gateways apart; the rest fills the form. */
struct span session_client_id(const session_t *session, char scratch[37])
{
    uint64_t low = session->number, high = low * 0x9e3779b97f4a7c15u;
    snprintf(scratch, 37, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(high >> 32),
             (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xffff), (unsigned)(low >> 48),
             (unsigned long long)(low & 0xffffffffffff));
    return span_text(scratch);
}

/* --- out --- */

static void mark_dirty(hub_t *self, session_t *session)
{
    if (session->is_dirty)
        return;
    session->is_dirty = true;
    TAILQ_INSERT_TAIL(&self->dirty, session, dirty_link);
}

void session_close(hub_t *self, session_t *session, enum client_close code, bool drop_queue)
{
    if (session->state == SESSION_CLOSING)
        return;
    session->state = SESSION_CLOSING;
    self->closing_count++;
    session->close_code = code;
    session->drop_queue = drop_queue;
    deadline_clear(&session->timer);
    self->metrics.closed_by_server_total++;
    if (code == CLIENT_CLOSE_SLOW)
        self->metrics.closed_slow_total++;
    mark_dirty(self, session);
}

void session_send(hub_t *self, session_t *session, payload_t *frame)
{
    if (session->state == SESSION_CLOSING)
        return;
    if (outbox_put(&session->outbox, self->outboxes, frame, self->settings.queue_bytes))
        mark_dirty(self, session);
    else
        session_close(self, session, CLIENT_CLOSE_SLOW, true);
}

void session_send_text(hub_t *self, session_t *session, struct span text)
{
    payload_t *frame = payload_new(ws_header_size(text.size) + text.size);
    if (!frame) {
        session_close(self, session, CLIENT_CLOSE_SERVER_ERROR, true);
        return;
    }
    size_t header = ws_write_header(frame->data, WS_TEXT, text.size);
    memcpy(frame->data + header, text.data, text.size);
    session_send(self, session, frame);
    payload_release(&frame);
}

void session_reply(hub_t *self, session_t *session, struct span text)
{
    assert(session->unanswered > 0);
    session->unanswered--;
    session_send_text(self, session, text);
}

/* The scratch buffer, empty. Its content is complete or the session is closed. */
static void reply_scratch(hub_t *self, session_t *session)
{
    if (self->text.failed)
        session_close(self, session, CLIENT_CLOSE_SERVER_ERROR, true);
    session_reply(self, session, buffer_span(&self->text));
}

void session_reply_error(hub_t *self, session_t *session, uint32_t id, enum client_error code,
                         const char *text)
{
    self->metrics.errors_total++;
    buffer_reset(&self->text);
    client_write_error(&self->text, id, code, text);
    reply_scratch(self, session);
}

enum address_rule session_address(const hub_t *self, struct span text, struct address *out)
{
    struct address context = {.view = VIEW_LIVE, .site = span_text(self->site)};
    return address_parse(text, &context, out);
}

/* --- time --- */

static void set_timer(hub_t *self, session_t *session, int64_t in_ms)
{
    deadline_set(self->session_timers, &session->timer, self->now_ms + in_ms);
}

/* Spread over the second half of the interval: a herd of clients must not be pinged at once. */
static int64_t first_ping_ms(const hub_t *self, const session_t *session)
{
    uint64_t scattered = session->number * 0x9e3779b97f4a7c15u >> 32;
    int64_t half = self->settings.ping_ms / 2;
    return half + (int64_t)(scattered % (uint64_t)(half + 1));
}

/* --- actions of session_states.def --- */

static void do_connect(hub_t *self, session_t *session, const struct client_command *command)
{
    session->unanswered++;
    if (command->token.size > 0) { /* no key to verify it with: fail closed */
        session_close(self, session, CLIENT_CLOSE_INVALID_TOKEN, false);
        return;
    }
    if (!self->settings.anonymous) {
        session->state = SESSION_REFUSED;
        session_reply_error(self, session, command->id, CLIENT_ERROR_UNAUTHORIZED, NULL);
        return;
    }
    char id[37];
    struct client_connected connected = {.client = session_client_id(session, id),
                                         .version = span_text("Millrace " MILLRACE_VERSION),
                                         .ping_seconds = (uint32_t)(self->settings.ping_ms / 1000)};
    buffer_reset(&self->text);
    client_write_connected(&self->text, command->id, &connected);
    session->state = SESSION_OPEN;
    reply_scratch(self, session);
    if (session->state == SESSION_OPEN)
        set_timer(self, session, first_ping_ms(self, session));
}

static void do_command(hub_t *self, session_t *session, const struct client_command *command)
{
    if (command->method == CLIENT_SEND) {
        session_close(self, session, CLIENT_CLOSE_NOT_AVAILABLE, false);
        return;
    }
    if (++session->unanswered > self->settings.pending_commands) {
        session_close(self, session, CLIENT_CLOSE_TOO_MANY_REQUESTS, false);
        return;
    }
    switch (command->method) {
    case CLIENT_SUBSCRIBE:
    case CLIENT_UNSUBSCRIBE:
    case CLIENT_HISTORY:
    case CLIENT_PRESENCE:
    case CLIENT_PRESENCE_STATS:
        subscription_command(self, session, command);
        break;
    case CLIENT_PUBLISH:
        session_reply_error(self, session, command->id, CLIENT_ERROR_PERMISSION_DENIED,
                            "only backends publish");
        break;
    case CLIENT_SUB_REFRESH:
        session_reply_error(self, session, command->id, CLIENT_ERROR_PERMISSION_DENIED,
                            "this subscription does not expire");
        break;
    default:
        session_reply_error(self, session, command->id, CLIENT_ERROR_NOT_AVAILABLE, NULL);
    }
}

static void do_pong(hub_t *self, session_t *session, const struct client_command *command)
{
    (void)command;
    if (!session->ping_pending) {
        session_close(self, session, CLIENT_CLOSE_BAD_REQUEST, false);
        return;
    }
    session->ping_pending = false;
    set_timer(self, session, self->settings.ping_ms);
}

static void do_heartbeat(hub_t *self, session_t *session, const struct client_command *command)
{
    (void)command;
    if (session->ping_pending) {
        session_close(self, session, CLIENT_CLOSE_NO_PONG, false);
        return;
    }
    session->ping_pending = true;
    set_timer(self, session, self->settings.pong_ms);
    session_send(self, session, self->ping);
}

static void do_stale(hub_t *self, session_t *session, const struct client_command *command)
{
    (void)command;
    session_close(self, session, CLIENT_CLOSE_STALE, false);
}

static void do_bad_request(hub_t *self, session_t *session, const struct client_command *command)
{
    (void)command;
    session_close(self, session, CLIENT_CLOSE_BAD_REQUEST, false);
}

static void do_ignore(hub_t *self, session_t *session, const struct client_command *command)
{
    (void)self, (void)session, (void)command;
}

/* --- in --- */

enum session_input { INPUT_CONNECT, INPUT_COMMAND, INPUT_PONG, INPUT_TIMEOUT, INPUTS };

typedef void action_fn(hub_t *self, session_t *session, const struct client_command *command);

static action_fn *const rules[][INPUTS] = {
#define SESSION_RULE(state, input, action) [SESSION_##state][INPUT_##input] = do_##action,
#include "gateway/session_states.def"
#undef SESSION_RULE
};

static void handle(hub_t *self, session_t *session, enum session_input input,
                   const struct client_command *command)
{
    rules[session->state][input](self, session, command);
}

void session_timeout(hub_t *self, session_t *session)
{
    handle(self, session, INPUT_TIMEOUT, NULL);
}

static enum session_input input_of(const struct client_command *command)
{
    switch (command->method) {
    case CLIENT_CONNECT:
        return INPUT_CONNECT;
    case CLIENT_PONG:
        return INPUT_PONG;
    default:
        return INPUT_COMMAND;
    }
}

void hub_session_frame(hub_t *self, session_t *session, struct span frame, int64_t now_ms)
{
    self->now_ms = now_ms;
    client_reader_begin(self->reader, frame);
    while (session->state != SESSION_CLOSING) {
        struct client_command command;
        buffer_reset(&self->why);
        enum client_read read = client_reader_next(self->reader, &command, &self->why);
        if (read == CLIENT_END)
            return;
        if (read == CLIENT_MALFORMED) {
            session_close(self, session, CLIENT_CLOSE_BAD_REQUEST, false);
            return;
        }
        self->metrics.commands_total++;
        bool was_open = session->state != SESSION_HELLO;
        handle(self, session, input_of(&command), &command);
        /* What follows a refused connect in the same frame was sent in good faith. */
        if (!was_open && session->state == SESSION_REFUSED)
            return;
    }
}

void hub_session_refuse(hub_t *self, session_t *session, enum client_close code)
{
    session_close(self, session, code, false);
}

/* --- coming and going --- */

session_t *hub_session_opened(hub_t *self, void *connection, int64_t now_ms)
{
    self->now_ms = now_ms;
    session_t *session = calloc(1, sizeof *session);
    if (!session)
        return NULL;
    session->connection = connection;
    session->number = self->settings.incarnation + ++self->session_number;
    LIST_INIT(&session->subscriptions);
    TAILQ_INSERT_TAIL(&self->sessions, session, all);
    self->session_count++;
    self->metrics.connections_total++;
    set_timer(self, session, self->settings.connect_ms);
    return session;
}

void hub_session_sent(hub_t *self, session_t *session, size_t count, int64_t now_ms)
{
    self->now_ms = now_ms;
    outbox_drop(&session->outbox, self->outboxes, count);
    if (session->state == SESSION_OPEN)
        subscription_resume_recoveries(self, session);
}

void hub_session_closed(hub_t *self, session_t *session, int64_t now_ms)
{
    self->now_ms = now_ms;
    subscription_t *subscription;
    while ((subscription = LIST_FIRST(&session->subscriptions)))
        subscription_destroy(self, &subscription);
    deadline_clear(&session->timer);
    outbox_clear(&session->outbox, self->outboxes);
    if (session->is_dirty)
        TAILQ_REMOVE(&self->dirty, session, dirty_link);
    TAILQ_REMOVE(&self->sessions, session, all);
    self->closing_count -= session->state == SESSION_CLOSING;
    self->session_count--;
    free(session);
}
