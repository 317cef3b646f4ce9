#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/hub_priv.h"
#include "proto/json_text.h"
#include "proto/limits.h"

#define REFRESH_MS 200 /* between two refreshes: each costs the check of a signature */

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

const struct subscriber *session_subscriber(const session_t *session)
{
    assert(session->identity);
    return &session->identity->subscriber;
}

struct span session_subscriber_id(const session_t *session)
{
    return session_subscriber(session)->id;
}

/* The number alone tells all sessions of all gateways apart; the rest fills the form. */
struct span session_client_id(const session_t *session, char scratch[SESSION_CLIENT_ID_BYTES + 1])
{
    uint64_t low = session->number, high = low * 0x9e3779b97f4a7c15u;
    snprintf(scratch, SESSION_CLIENT_ID_BYTES + 1, "%08x-%04x-%04x-%04x-%012llx",
             (unsigned)(high >> 32), (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xffff),
             (unsigned)(low >> 48), (unsigned long long)(low & 0xffffffffffff));
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
    lag_end(self, session);
    self->metrics.closed_by_server_total++;
    if (code == CLIENT_CLOSE_SLOW)
        self->metrics.closed_slow_total++;
    mark_dirty(self, session);
}

void session_send(hub_t *self, session_t *session, payload_t *frame)
{
    if (session->state == SESSION_CLOSING)
        return;
    if (outbox_put(&session->outbox, self->outboxes, frame, self->settings.queue_bytes) ||
        lag_put(self, session, frame))
        mark_dirty(self, session);
}

/* stream: as in frame_about. */
static void send_text(hub_t *self, session_t *session, struct span text, uint64_t stream)
{
    uint8_t *to;
    payload_t *frame = frame_new(
        text.size, &(struct frame_about){.since_ms = self->now_ms, .stream = stream}, &to);
    if (!frame) {
        session_close(self, session, CLIENT_CLOSE_SERVER_ERROR, true);
        return;
    }
    memcpy(to, text.data, text.size);
    session_send(self, session, frame);
    payload_release(&frame);
}

void session_send_text(hub_t *self, session_t *session, struct span text)
{
    send_text(self, session, text, 0);
}

void session_reply(hub_t *self, session_t *session, struct span text)
{
    assert(session->unanswered > 0);
    session->unanswered--;
    session_send_text(self, session, text);
}

void session_reply_subscribed(hub_t *self, session_t *session, struct span text, uint64_t group)
{
    assert(session->unanswered > 0);
    session->unanswered--;
    send_text(self, session, text, group);
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

void session_reply_temporary(hub_t *self, session_t *session, uint32_t id, enum client_error code,
                             const char *text)
{
    self->metrics.errors_total++;
    buffer_reset(&self->text);
    client_write_temporary_error(&self->text, id, code, text);
    reply_scratch(self, session);
}

enum address_rule session_address(const session_t *session, struct span text, struct address *out)
{
    const struct subscriber *subscriber = session_subscriber(session);
    struct address context = {
        .view = subscriber->view, .site = subscriber->site, .app = subscriber->app};
    return address_parse(text, &context, out);
}

/* --- time --- */

static int64_t wall_ms(const hub_t *self)
{
    return self->now_ms + self->wall_ahead_ms;
}

/* The heartbeat, or the end of the token if that comes first. The wall clock may be set meanwhile:
 * both are looked at again when the timer is due. */
static void arm_timer(hub_t *self, session_t *session)
{
    int64_t at_ms = session->heartbeat_at_ms;
    if (session->end_wall_ms != 0 && session->end_wall_ms - self->wall_ahead_ms < at_ms)
        at_ms = session->end_wall_ms - self->wall_ahead_ms;
    deadline_set(self->session_timers, &session->timer, at_ms);
}

static void set_timer(hub_t *self, session_t *session, int64_t in_ms)
{
    session->heartbeat_at_ms = self->now_ms + in_ms;
    arm_timer(self, session);
}

/* Spread over the second half of the interval: a herd of clients must not be pinged at once. */
static int64_t first_ping_ms(const session_t *session)
{
    uint64_t scattered = session->number * 0x9e3779b97f4a7c15u >> 32;
    int64_t half = session->ping_ms / 2;
    return half + (int64_t)(scattered % (uint64_t)(half + 1));
}

/* --- who it is --- */

static void set_identity(hub_t *self, session_t *session, const struct identity *identity)
{
    struct identity *before = (struct identity *)(uintptr_t)session->identity;
    session->identity = identity;
    if (before && before != &self->visitor)
        identity_destroy(&before);
}

/* When the connection has to end: some time after the token's expiry, in which a refresh may come;
 * so it does also for a token whose expiry was only within the leeway. */
static void set_end(hub_t *self, session_t *session)
{
    int64_t from_ms = session->identity->expires_s * 1000;
    if (from_ms < wall_ms(self))
        from_ms = wall_ms(self);
    session->end_wall_ms =
        session->identity->expires_s == 0 ? 0 : from_ms + self->settings.expired_ms;
}

static enum identity_rule verify(hub_t *self, session_t *session, struct span token,
                                 struct identity **out)
{
    struct site_key key;
    enum identity_rule rule =
        identity_verify(self->settings.keys, token, wall_ms(self) / 1000, out, &key);
    if (rule == IDENTITY_OK && session->identity &&
        !subscriber_equal(&(*out)->subscriber, &session->identity->subscriber)) {
        identity_destroy(out);
        rule = IDENTITY_OTHER;
    }
    if (rule == IDENTITY_OK) {
        self->metrics.tokens_accepted_total++;
        return rule;
    }
    self->metrics.tokens_refused_total++;
    if (identity_outcome(rule) == IDENTITY_IS_EXPIRED)
        self->metrics.tokens_expired_total++;
    if (self->settings.token_refused)
        self->settings.token_refused(self->settings.token_refused_arg, rule, &key);
    return rule;
}

static void close_for_token(hub_t *self, session_t *session, enum identity_rule rule)
{
    session->close_reason = identity_rule_text(rule);
    session_close(self, session, CLIENT_CLOSE_INVALID_TOKEN, false);
}

/* How the connection goes on, for the replies to connect and refresh. */
static struct client_connected connected(const hub_t *self, const session_t *session,
                                         char scratch[SESSION_CLIENT_ID_BYTES + 1])
{
    struct client_connected result = {.client = session_client_id(session, scratch),
                                      .version = span_text("Millrace " MILLRACE_VERSION),
                                      .ping_seconds = session->ping_ms / 1000,
                                      .gateway = span_text(self->settings.told_name)};
    emulation_describe(self, session, &result);
    int64_t left_s = session->identity->expires_s - wall_ms(self) / 1000;
    if (session->identity->expires_s != 0)
        result.ttl_seconds = left_s < 1 ? 1 : left_s > UINT32_MAX ? UINT32_MAX : (uint32_t)left_s;
    return result;
}

/* --- disconnected by its site --- */

/* A close frame has no room for more, and half a character is no text. */
static size_t close_text_size(const char *text)
{
    size_t size = strlen(text);
    if (size <= LIMIT_CLOSE_REASON_BYTES)
        return size;
    size = LIMIT_CLOSE_REASON_BYTES;
    while (size > 0 && ((uint8_t)text[size] & 0xc0) == 0x80)
        size--;
    return size;
}

/* Behind words of ours no reason is empty or reads as JSON: the SDK takes both for something else.
 */
void session_disconnect(hub_t *self, session_t *session, struct span reason)
{
    size_t codepoints;
    if (reason.size > 0 && utf8_valid(reason, &codepoints)) {
        buffer_reset(&self->text);
        buffer_put_text(&self->text, client_close_text(CLIENT_CLOSE_DISCONNECTED));
        buffer_put_text(&self->text, ": ");
        buffer_put_span(&self->text, reason);
        buffer_put_byte(&self->text, '\0');
        const char *text = (const char *)self->text.data;
        if (!self->text.failed && !session->close_text)
            session->close_text = strndup(text, close_text_size(text));
        session->close_reason = session->close_text; /* NULL: that of the code has to do */
    }
    session_close(self, session, CLIENT_CLOSE_DISCONNECTED, false);
}

/* --- actions of session_states.def --- */

/* A token that came with connect. */
static void refuse_token(hub_t *self, session_t *session, uint32_t id, enum identity_rule rule)
{
    enum identity_outcome outcome = identity_outcome(rule);
    if (outcome == IDENTITY_IS_INVALID) {
        close_for_token(self, session, rule);
        return;
    }
    session->state = SESSION_REFUSED;
    session_reply_error(self, session, id,
                        outcome == IDENTITY_IS_EXPIRED ? CLIENT_ERROR_TOKEN_EXPIRED
                                                       : CLIENT_ERROR_UNAUTHORIZED,
                        identity_rule_text(rule));
}

static void do_connect(hub_t *self, session_t *session, const struct client_command *command)
{
    session->unanswered++;
    if (command->token.size > 0) {
        struct identity *identity;
        enum identity_rule rule = verify(self, session, command->token, &identity);
        if (rule != IDENTITY_OK) {
            refuse_token(self, session, command->id, rule);
            return;
        }
        set_identity(self, session, identity);
    } else if (self->settings.anonymous) {
        set_identity(self, session, &self->visitor);
    } else {
        session->state = SESSION_REFUSED;
        session_reply_error(self, session, command->id, CLIENT_ERROR_UNAUTHORIZED, NULL);
        return;
    }
    set_end(self, session);
    session->ping_ms = (uint32_t)self->settings.ping_ms;
    char id[SESSION_CLIENT_ID_BYTES + 1];
    struct client_connected result = connected(self, session, id);
    buffer_reset(&self->text);
    client_write_connected(&self->text, command->id, &result);
    session->state = SESSION_OPEN;
    reply_scratch(self, session);
    if (session->state == SESSION_OPEN)
        set_timer(self, session, first_ping_ms(session));
}

/* Another token of the same subscriber moves the end of the connection. */
static void refresh(hub_t *self, session_t *session, const struct client_command *command)
{
    if (session->refreshed_at_ms != 0 && self->now_ms - session->refreshed_at_ms < REFRESH_MS) {
        session_reply_error(self, session, command->id, CLIENT_ERROR_TOO_MANY_REQUESTS, NULL);
        return;
    }
    session->refreshed_at_ms = self->now_ms;
    struct identity *identity;
    enum identity_rule rule = verify(self, session, command->token, &identity);
    if (identity_outcome(rule) == IDENTITY_IS_EXPIRED) { /* an error would end the SDK for good */
        session_close(self, session, CLIENT_CLOSE_EXPIRED, false);
        return;
    }
    if (rule != IDENTITY_OK) {
        close_for_token(self, session, rule);
        return;
    }
    set_identity(self, session, identity);
    set_end(self, session);
    arm_timer(self, session);
    self->metrics.refreshes_total++;
    char id[SESSION_CLIENT_ID_BYTES + 1];
    struct client_connected result = connected(self, session, id);
    buffer_reset(&self->text);
    client_write_refreshed(&self->text, command->id, &result);
    reply_scratch(self, session);
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
    case CLIENT_REFRESH:
        refresh(self, session, command);
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
    set_timer(self, session, session->ping_ms);
}

static void do_heartbeat(hub_t *self, session_t *session, const struct client_command *command)
{
    (void)command;
    if (session->end_wall_ms != 0 && wall_ms(self) >= session->end_wall_ms) {
        self->metrics.closed_expired_total++;
        session_close(self, session, CLIENT_CLOSE_EXPIRED, false);
        return;
    }
    if (self->now_ms < session->heartbeat_at_ms) {
        arm_timer(self, session);
        return;
    }
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
    if (outbox_is_empty(&session->outbox)) {
        session->has_recovery = false;
        if (session->is_lagging)
            lag_end(self, session);
    }
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
    lag_end(self, session);
    outbox_clear(&session->outbox, self->outboxes);
    if (session->is_dirty)
        TAILQ_REMOVE(&self->dirty, session, dirty_link);
    TAILQ_REMOVE(&self->sessions, session, all);
    self->closing_count -= session->state == SESSION_CLOSING;
    self->session_count--;
    set_identity(self, session, NULL);
    emulation_end(self, session);
    free(session->close_text);
    free(session);
}
