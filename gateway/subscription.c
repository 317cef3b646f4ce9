#include <assert.h>
#include <stdlib.h>

#include "gateway/hub_priv.h"
#include "proto/limits.h"
#include "proto/status.h"

/* --- coming and going --- */

static subscription_t *find(session_t *session, struct span name)
{
    subscription_t *subscription;
    LIST_FOREACH (subscription, &session->subscriptions, link) {
        const group_t *group = subscription->group;
        if (span_equal(span_of(group->name, group->name_size), name))
            return subscription;
    }
    return NULL;
}

static bool has_address(session_t *session, const struct address *address)
{
    uint8_t bytes[ADDRESS_KEY_MAX];
    struct span key = span_of(bytes, address_encode(address, bytes));
    subscription_t *subscription;
    LIST_FOREACH (subscription, &session->subscriptions, link) {
        if (span_equal(interest_address(subscription_interest(subscription)), key))
            return true;
    }
    return false;
}

/* Aligned so that a delivery touches one cache line. */
static subscription_t *zeroed(void)
{
    const size_t room = (sizeof(subscription_t) + SUBSCRIPTION_ALIGNMENT - 1) /
                        SUBSCRIPTION_ALIGNMENT * SUBSCRIPTION_ALIGNMENT;
    subscription_t *subscription = aligned_alloc(SUBSCRIPTION_ALIGNMENT, room);
    if (subscription)
        memset(subscription, 0, room);
    return subscription;
}

static subscription_t *subscription_new(hub_t *self, session_t *session,
                                        const struct address *address, struct span name)
{
    subscription_t *subscription = zeroed();
    if (!subscription)
        return NULL;
    subscription->group = interest_join(self, address, name);
    if (!subscription->group) {
        free(subscription);
        return NULL;
    }
    subscription->session = session;
    STAILQ_INIT(&subscription->waiting);
    LIST_INSERT_HEAD(&session->subscriptions, subscription, link);
    session->subscription_count++;
    self->metrics.subscriptions++;
    return subscription;
}

/* Ends whatever it was on the way to; the client string stays known for commands that wait. */
void subscription_leave(hub_t *self, subscription_t *subscription)
{
    interest_t *interest = subscription_interest(subscription);
    enum subscription_state state = subscription->state;
    subscription->state = SUBSCRIPTION_NONE;
    guard_end(self, subscription);
    switch (state) {
    case SUBSCRIPTION_NONE:
        return;
    case SUBSCRIPTION_LIVE:
        group_remove(subscription->group, subscription);
        return;
    case SUBSCRIPTION_LOST:
        TAILQ_REMOVE(&self->lost, subscription, queue);
        return;
    case SUBSCRIPTION_FENCED:
        TAILQ_REMOVE(&interest->fenced, subscription, queue);
        break;
    case SUBSCRIPTION_ASKED:
        if (subscription->command.recover)
            subscription->session->is_recovering = false;
        break;
    case SUBSCRIPTION_DEFERRED:
        subscription->session->deferred--;
        break;
    case SUBSCRIPTION_CATCHING:
        break;
    }
    question_close(self->questions, &subscription->question);
    interest_joined(interest);
}

static struct waiting *next_waiting(subscription_t *subscription)
{
    struct waiting *waiting = STAILQ_FIRST(&subscription->waiting);
    if (waiting)
        STAILQ_REMOVE_HEAD(&subscription->waiting, link);
    return waiting;
}

void subscription_destroy(hub_t *self, subscription_t **subscription_p)
{
    subscription_t *subscription = *subscription_p;
    session_t *session = subscription->session;
    *subscription_p = NULL;
    subscription_leave(self, subscription);
    question_close(self->questions, &subscription->question); /* of a history */
    deadline_clear(&subscription->timer);
    struct waiting *waiting;
    while ((waiting = next_waiting(subscription)))
        free(waiting);
    group_leave(self, &subscription->group);
    LIST_REMOVE(subscription, link);
    session->subscription_count--;
    self->metrics.subscriptions--;
    free(subscription);
}

/* --- one command after the other --- */

static void run(hub_t *self, subscription_t *subscription, const struct client_command *command,
                int64_t deadline_ms);

void subscription_begin(hub_t *self, subscription_t *subscription,
                        const struct client_command *command, int64_t deadline_ms)
{
    subscription->is_busy = true;
    subscription->command = *command;
    subscription->command.channel = (struct span){0}; /* borrowed, and gone after this call */
    subscription->command.token = (struct span){0};
    deadline_set(self->command_timers, &subscription->timer, deadline_ms);
}

/* The command is answered, and what it started has come to rest. */
void subscription_end(subscription_t *subscription)
{
    subscription->is_busy = false;
    deadline_clear(&subscription->timer);
}

/* Goes on with the commands that wait, and ends a channel that nobody needs any more. Every entry
 * point below calls it last: the subscription may be gone afterwards. */
static void advance(hub_t *self, subscription_t *subscription)
{
    struct waiting *waiting;
    while (!subscription->is_busy && (waiting = next_waiting(subscription))) {
        run(self, subscription, &waiting->command, waiting->deadline_ms);
        free(waiting);
    }
    if (!subscription->is_busy && subscription->state == SUBSCRIPTION_NONE)
        subscription_destroy(self, &subscription);
}

static void wait_turn(hub_t *self, subscription_t *subscription,
                      const struct client_command *command, int64_t deadline_ms)
{
    struct waiting *waiting = malloc(sizeof *waiting);
    if (!waiting) {
        session_close(self, subscription->session, CLIENT_CLOSE_SERVER_ERROR, true);
        return;
    }
    waiting->command = *command;
    waiting->deadline_ms = deadline_ms;
    STAILQ_INSERT_TAIL(&subscription->waiting, waiting, link);
}

void subscription_refuse(hub_t *self, subscription_t *subscription, enum client_error code,
                         const char *text)
{
    subscription_leave(self, subscription);
    session_reply_error(self, subscription->session, subscription->command.id, code, text);
    subscription_end(subscription);
    subscription_resume_recoveries(self, subscription->session);
}

void subscription_refuse_for_now(hub_t *self, subscription_t *subscription, enum client_error code,
                                 const char *text)
{
    subscription_leave(self, subscription);
    session_reply_temporary(self, subscription->session, subscription->command.id, code, text);
    subscription_end(subscription);
    subscription_resume_recoveries(self, subscription->session);
}

/* The command being answered, which is no subscribe: an error. */
static void fail_command(hub_t *self, subscription_t *subscription, enum client_error code,
                         const char *text)
{
    question_close(self->questions, &subscription->question);
    session_reply_error(self, subscription->session, subscription->command.id, code, text);
    subscription_end(subscription);
}

void subscription_reply(hub_t *self, subscription_t *subscription)
{
    if (self->text.failed)
        session_close(self, subscription->session, CLIENT_CLOSE_SERVER_ERROR, true);
    session_reply(self, subscription->session, buffer_span(&self->text));
}

/* --- who may read --- */

void subscription_ask(hub_t *self, subscription_t *subscription,
                      const struct bus_question *question)
{
    struct bus_question asked = *question;
    asked.token = subscription->question;
    asked.address = interest_address(subscription_interest(subscription));
    subscription->is_asker = self->now_ms >= subscription->until_ms;
    if (subscription->is_asker)
        hub_ask_as(self, subscription->session, subscription->timer.at_ms, &asked);
    else
        hub_ask(self, &asked);
}

static void ask_history(hub_t *self, subscription_t *subscription);

/* A history or presence. Its deadline answers it if there is no memory for that. */
static void ask_command(hub_t *self, subscription_t *subscription)
{
    if (subscription->command.method == CLIENT_HISTORY)
        ask_history(self, subscription);
    else
        presence_ask(self, subscription);
}

/* A refusal may mean that the subscriber may not read, or that the channel does not have what was
 * asked for: the first would end the subscription, so that is asked for alone. */
static void find_out(hub_t *self, subscription_t *subscription)
{
    if (subscription->state != SUBSCRIPTION_LIVE || !guard_ask(self, subscription))
        fail_command(self, subscription, CLIENT_ERROR_PERMISSION_DENIED, NULL);
}

bool subscription_may_have(hub_t *self, subscription_t *subscription, const struct bus_reply *reply)
{
    if (!subscription->is_asker && self->now_ms < subscription->until_ms)
        return true;
    if (!subscription->is_asker) { /* its permission has ended since it was asked */
        ask_command(self, subscription);
        return false;
    }
    switch (status_from_code(reply->status)) {
    case STATUS_OK:
        if (subscription->state == SUBSCRIPTION_LIVE)
            guard_renew(self, subscription, reply->grant_ms);
        return true;
    case STATUS_BAD_INPUT:
    case STATUS_FORBIDDEN:
    case STATUS_NOT_FOUND:
        find_out(self, subscription);
        return false;
    default:
        return true;
    }
}

/* It may read after all: what it asked for is not to be had. */
static void found_out(hub_t *self, subscription_t *subscription)
{
    if (subscription->state == SUBSCRIPTION_LIVE && subscription->is_busy &&
        !subscription->question)
        fail_command(self, subscription, CLIENT_ERROR_NOT_AVAILABLE, NULL);
}

static void push_unsubscribe(hub_t *self, subscription_t *subscription,
                             enum client_unsubscribe code)
{
    const group_t *group = subscription->group;
    buffer_reset(&self->text);
    client_write_unsubscribe(&self->text, span_of(group->name, group->name_size), code);
    if (self->text.failed)
        session_close(self, subscription->session, CLIENT_CLOSE_SERVER_ERROR, true);
    session_send_text(self, subscription->session, buffer_span(&self->text));
}

void subscription_expel(hub_t *self, subscription_t *subscription, enum client_unsubscribe code)
{
    if (subscription->state == SUBSCRIPTION_CATCHING)
        subscription_end(subscription);
    else if (subscription->is_busy)
        fail_command(self, subscription, CLIENT_ERROR_PERMISSION_DENIED, NULL);
    subscription_leave(self, subscription);
    push_unsubscribe(self, subscription, code);
}

void subscription_revoke(hub_t *self, subscription_t *subscription)
{
    subscription_expel(self, subscription, CLIENT_UNSUBSCRIBE_REVOKED);
    advance(self, subscription);
}

/* --- unsubscribe --- */

static void unsubscribe(hub_t *self, subscription_t *subscription, uint32_t id)
{
    subscription_leave(self, subscription);
    buffer_reset(&self->text);
    client_write_empty(&self->text, id, CLIENT_UNSUBSCRIBE);
    subscription_reply(self, subscription);
}

/* --- history --- */

static void ask_history(hub_t *self, subscription_t *subscription)
{
    const struct client_command *command = &subscription->command;
    subscription->question = question_open(self->questions, QUESTION_HISTORY, subscription);
    if (!subscription->question)
        return;
    uint32_t limit = command->limit < 0 || command->limit > LIMIT_RECOVERY_MESSAGES
                         ? LIMIT_RECOVERY_MESSAGES
                         : (uint32_t)command->limit;
    uint8_t flags = command->reverse ? BUS_QUESTION_REVERSE : 0;
    if (command->has_since)
        flags |= BUS_QUESTION_SINCE;
    if (command->has_since && !command->has_epoch)
        flags |= BUS_QUESTION_ANY_EPOCH;
    subscription_ask(self, subscription,
                     &(struct bus_question){.kind = BUS_HISTORY,
                                            .flags = flags,
                                            .epoch = command->epoch_known ? command->epoch : 0,
                                            .offset = command->offset,
                                            .limit = limit});
}

static void history(hub_t *self, subscription_t *subscription, const struct client_command *command,
                    int64_t deadline_ms)
{
    subscription_begin(self, subscription, command, deadline_ms);
    if (self->broker_is_up && deadline_ms > self->now_ms)
        ask_history(self, subscription);
    if (!subscription->question)
        fail_command(self, subscription, CLIENT_ERROR_INTERNAL, "the broker cannot be reached");
}

static void history_answered(hub_t *self, subscription_t *subscription,
                             const struct bus_reply *reply)
{
    session_t *session = subscription->session;
    uint32_t id = subscription->command.id;
    question_close(self->questions, &subscription->question);
    if (!subscription_may_have(self, subscription, reply))
        return;
    switch (status_from_code(reply->status)) {
    case STATUS_OK:
        buffer_reset(&self->why);
        subscription_write_publications(&self->why, reply->publications);
        buffer_reset(&self->text);
        client_write_history(&self->text, id, buffer_span(&self->why), reply->epoch, reply->offset);
        if (self->why.failed)
            self->text.failed = true;
        subscription_reply(self, subscription);
        break;
    case STATUS_FORBIDDEN:
        session_reply_error(self, session, id, CLIENT_ERROR_NOT_AVAILABLE, NULL);
        break;
    case STATUS_CONFLICT:
        session_reply_error(self, session, id, CLIENT_ERROR_UNRECOVERABLE_POSITION, NULL);
        break;
    default:
        session_reply_error(self, session, id, CLIENT_ERROR_INTERNAL, NULL);
    }
    subscription_end(subscription);
}

/* --- commands --- */

static void refuse_stranger(hub_t *self, session_t *session, const struct client_command *command)
{
    const char *text = command->method == CLIENT_HISTORY ? "history is for subscribers"
                                                         : "presence is for subscribers";
    session_reply_error(self, session, command->id, CLIENT_ERROR_PERMISSION_DENIED, text);
}

/* Runs one command of a channel that is not busy. */
static void run(hub_t *self, subscription_t *subscription, const struct client_command *command,
                int64_t deadline_ms)
{
    session_t *session = subscription->session;
    switch (command->method) {
    case CLIENT_SUBSCRIBE:
        if (subscription->state == SUBSCRIPTION_NONE)
            subscription_subscribe(self, subscription, command, deadline_ms);
        else
            session_reply_error(self, session, command->id, CLIENT_ERROR_ALREADY_SUBSCRIBED, NULL);
        break;
    case CLIENT_UNSUBSCRIBE:
        unsubscribe(self, subscription, command->id);
        break;
    default:
        if (subscription->state == SUBSCRIPTION_NONE)
            refuse_stranger(self, session, command);
        else if (command->method == CLIENT_HISTORY)
            history(self, subscription, command, deadline_ms);
        else
            presence_command(self, subscription, command, deadline_ms);
    }
}

/* A subscribe command on a client string that this session does not use yet. */
static void subscribe_new(hub_t *self, session_t *session, const struct client_command *command,
                          int64_t deadline_ms)
{
    struct address address;
    enum address_rule rule = session_address(session, command->channel, &address);
    if (rule != ADDRESS_OK) {
        session_reply_error(self, session, command->id, CLIENT_ERROR_BAD_INPUT,
                            address_rule_text(rule));
        return;
    }
    struct span own = session_subscriber(session)->app;
    if (!span_equal(address.app, own)) { /* no apps are installed yet */
        bool is_site = address.app.size == 0;
        session_reply_error(self, session, command->id,
                            is_site ? CLIENT_ERROR_FORBIDDEN : CLIENT_ERROR_NOT_FOUND,
                            is_site ? "the site's channels are not for the connections of an app"
                                    : "app: not installed on this site");
        return;
    }
    if (has_address(session, &address)) {
        session_reply_error(self, session, command->id, CLIENT_ERROR_ALREADY_SUBSCRIBED, NULL);
        return;
    }
    if (session->subscription_count >= self->settings.subscriptions) {
        session_reply_error(self, session, command->id, CLIENT_ERROR_LIMIT_EXCEEDED, NULL);
        return;
    }
    if (!self->broker_is_up) { /* its topic would wait for the broker, and nothing bounds those */
        session_reply_error(self, session, command->id, CLIENT_ERROR_INTERNAL,
                            "the broker cannot be reached");
        return;
    }
    subscription_t *subscription = subscription_new(self, session, &address, command->channel);
    if (!subscription) {
        session_reply_error(self, session, command->id, CLIENT_ERROR_INTERNAL, NULL);
        return;
    }
    subscription_subscribe(self, subscription, command, deadline_ms);
    advance(self, subscription);
}

/* A form of subscription that we do not have. */
static bool is_unsupported(hub_t *self, session_t *session, const struct client_command *command)
{
    if (command->method != CLIENT_SUBSCRIBE)
        return false;
    if (command->unsupported_delta)
        session_close(self, session, CLIENT_CLOSE_BAD_REQUEST, false);
    else if (command->unsupported_type)
        session_reply_error(self, session, command->id, CLIENT_ERROR_NOT_AVAILABLE, NULL);
    else if (command->has_filter)
        session_reply_error(self, session, command->id, CLIENT_ERROR_BAD_REQUEST, NULL);
    else
        return false;
    return true;
}

void subscription_command(hub_t *self, session_t *session, const struct client_command *command)
{
    if (is_unsupported(self, session, command))
        return;
    int64_t deadline_ms = self->now_ms + self->settings.reply_ms;
    subscription_t *subscription = find(session, command->channel);
    if (subscription && subscription->is_busy) {
        wait_turn(self, subscription, command, deadline_ms);
    } else if (subscription) {
        run(self, subscription, command, deadline_ms);
        advance(self, subscription);
    } else if (command->method == CLIENT_SUBSCRIBE) {
        subscribe_new(self, session, command, deadline_ms);
    } else if (command->method == CLIENT_UNSUBSCRIBE) {
        buffer_reset(&self->text);
        client_write_empty(&self->text, command->id, CLIENT_UNSUBSCRIBE);
        session_reply(self, session, buffer_span(&self->text));
    } else {
        refuse_stranger(self, session, command);
    }
}

void subscription_answered(hub_t *self, subscription_t *subscription, const struct bus_reply *reply,
                           enum question_kind kind)
{
    switch (kind) {
    case QUESTION_SUBSCRIBE:
        subscription_subscribe_answered(self, subscription, reply);
        break;
    case QUESTION_CATCH_UP:
        subscription_caught_up(self, subscription, reply);
        break;
    case QUESTION_HISTORY:
        history_answered(self, subscription, reply);
        break;
    case QUESTION_PRESENCE:
        presence_answered(self, subscription, reply);
        break;
    case QUESTION_PERMIT:
        guard_answered(self, subscription, reply);
        found_out(self, subscription);
        break;
    case QUESTION_RANGE:
    case QUESTION_POSITION:
    case QUESTION_RELAY:
    case QUESTION_NONE:
    case QUESTION_KINDS:
        assert(false); /* not a question of a subscription */
    }
    advance(self, subscription);
}

void subscription_give_up(hub_t *self, subscription_t *subscription)
{
    if (subscription->state == SUBSCRIPTION_CATCHING) {
        subscription_lose(self, subscription);
    } else if (subscription->is_busy && subscription->command.method == CLIENT_SUBSCRIBE) {
        self->metrics.replies_late_total++;
        subscription_refuse(self, subscription, CLIENT_ERROR_INTERNAL,
                            "the broker did not answer in time");
    } else if (subscription->is_busy) {
        self->metrics.replies_late_total++;
        fail_command(self, subscription, CLIENT_ERROR_INTERNAL,
                     "the broker did not answer in time");
    }
    advance(self, subscription);
}

void subscription_ask_again(hub_t *self, subscription_t *subscription)
{
    if (!subscription->is_busy || !subscription->question ||
        subscription->command.method == CLIENT_SUBSCRIBE)
        return;
    question_close(self->questions, &subscription->question);
    ask_command(self, subscription);
}

void subscription_lose(hub_t *self, subscription_t *subscription)
{
    if (subscription->state == SUBSCRIPTION_CATCHING)
        subscription_end(subscription);
    subscription_leave(self, subscription);
    subscription->state = SUBSCRIPTION_LOST;
    TAILQ_INSERT_TAIL(&self->lost, subscription, queue);
}

void subscription_tell_lost(hub_t *self, subscription_t *subscription)
{
    subscription_leave(self, subscription);
    self->metrics.lost_told_total++;
    push_unsubscribe(self, subscription, CLIENT_UNSUBSCRIBE_INSUFFICIENT_STATE);
    advance(self, subscription);
}
