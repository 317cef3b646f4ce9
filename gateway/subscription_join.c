#include "gateway/hub_priv.h"
#include "proto/status.h"

/* subscription_join - from the subscribe command to the first live message, without a hole and
 * without a double: fence, question, reply, what was published meanwhile, live. */

static void ask(hub_t *self, subscription_t *subscription)
{
    const struct client_command *command = &subscription->command;
    subscription->state = SUBSCRIPTION_ASKED;
    if (command->recover)
        subscription->session->is_recovering = true;
    subscription->question = question_open(self->questions, QUESTION_SUBSCRIBE, subscription);
    if (!subscription->question)
        return; /* no memory: its deadline answers it */
    uint8_t flags = command->recover ? BUS_QUESTION_RECOVER | BUS_QUESTION_RESUMES : 0;
    if (command->recover && !command->has_epoch)
        flags |= BUS_QUESTION_ANY_EPOCH;
    subscription_ask(self, subscription,
                     &(struct bus_question){.kind = BUS_SUBSCRIBE,
                                            .flags = flags,
                                            .epoch = command->epoch_known ? command->epoch : 0,
                                            .offset = command->offset});
}

/* What is recovered comes on top of what may wait: one recovery after the other, and only when the
 * client has read most of what came before. */
static bool may_recover(const hub_t *self, const session_t *session)
{
    return !session->is_recovering && session->outbox.bytes <= self->settings.queue_bytes / 2;
}

void subscription_fence_passed(hub_t *self, subscription_t *subscription)
{
    if (subscription->command.recover && !may_recover(self, subscription->session)) {
        subscription->state = SUBSCRIPTION_DEFERRED;
        subscription->session->deferred++;
    } else {
        ask(self, subscription);
    }
}

void subscription_resume_recoveries(hub_t *self, session_t *session)
{
    if (session->deferred == 0)
        return;
    subscription_t *subscription;
    LIST_FOREACH (subscription, &session->subscriptions, link) {
        if (!may_recover(self, session))
            return;
        if (subscription->state != SUBSCRIPTION_DEFERRED)
            continue;
        session->deferred--;
        ask(self, subscription);
    }
}

void subscription_subscribe(hub_t *self, subscription_t *subscription,
                            const struct client_command *command, int64_t deadline_ms)
{
    subscription_begin(self, subscription, command, deadline_ms);
    if (!self->broker_is_up || deadline_ms <= self->now_ms ||
        !interest_joining(self, subscription_interest(subscription))) {
        subscription_refuse(self, subscription, CLIENT_ERROR_INTERNAL,
                            "the broker cannot be reached");
        return;
    }
    if (command->recover)
        self->metrics.recoveries_total++;
    interest_t *interest = subscription_interest(subscription);
    subscription->state = SUBSCRIPTION_FENCED;
    if (interest->state == INTEREST_FENCING)
        TAILQ_INSERT_TAIL(&interest->fenced, subscription, queue);
    else
        subscription_fence_passed(self, subscription);
}

/* Delivers to this subscription alone what the others have got already; false when some of it is
 * not held here any more, or it was lost over it. */
static bool deliver_recent(hub_t *self, subscription_t *subscription)
{
    const interest_t *interest = subscription_interest(subscription);
    for (uint32_t i = 0; i < recent_count(interest->recent); i++) {
        const struct recent_entry *entry = recent_at(interest->recent, i);
        if (subscription->after >= interest->offset)
            break;
        if (entry->epoch != interest->epoch || entry->offset != subscription->after + 1)
            continue;
        payload_t *frame =
            group_frame(self, subscription->group, payload_span(entry->body), entry->offset);
        if (!frame)
            return false;
        subscription->after = entry->offset;
        guard_deliver(self, subscription, frame);
        payload_release(&frame);
        if (subscription->state != SUBSCRIPTION_CATCHING)
            return false; /* what is held for those that join may be gone, too */
    }
    return subscription->after >= interest->offset;
}

/* From the answered position to where the address is now. */
static void catch_up(hub_t *self, subscription_t *subscription)
{
    interest_t *interest = subscription_interest(subscription);
    subscription->state = SUBSCRIPTION_CATCHING;
    if (deliver_recent(self, subscription)) {
        if (group_add(subscription->group, subscription)) {
            subscription->state = SUBSCRIPTION_LIVE;
            interest_joined(interest);
            subscription_end(subscription);
        } else {
            session_close(self, subscription->session, CLIENT_CLOSE_SERVER_ERROR, true);
        }
        return;
    }
    if (subscription->state != SUBSCRIPTION_CATCHING)
        return;
    if (self->broker_is_up)
        subscription->question = question_open(self->questions, QUESTION_CATCH_UP, subscription);
    if (!subscription->question) {
        subscription_lose(self, subscription);
        return;
    }
    deadline_set(self->command_timers, &subscription->timer,
                 self->now_ms + self->settings.reply_ms);
    hub_ask(self, &(struct bus_question){.kind = BUS_RANGE,
                                         .token = subscription->question,
                                         .address = interest_address(interest),
                                         .epoch = interest->epoch,
                                         .offset = subscription->after});
}

void subscription_caught_up(hub_t *self, subscription_t *subscription,
                            const struct bus_reply *reply)
{
    question_close(self->questions, &subscription->question);
    interest_t *interest = subscription_interest(subscription);
    /* The address itself may have lost its place meanwhile: then nobody can join it there. */
    if (reply->status != STATUS_OK || !(reply->flags & BUS_REPLY_RECOVERED) ||
        !interest->has_position || reply->epoch != interest->epoch) {
        subscription_lose(self, subscription);
        return;
    }
    struct span rest = reply->publications;
    struct bus_publication publication;
    while (subscription->state == SUBSCRIPTION_CATCHING && rest.size > 0 &&
           bus_next_publication(&rest, &publication)) {
        payload_t *frame =
            publication.offset == subscription->after + 1
                ? group_frame(self, subscription->group, publication.body, publication.offset)
                : NULL;
        if (!frame)
            continue; /* what is missing then is asked for again */
        subscription->after = publication.offset;
        guard_deliver(self, subscription, frame);
        payload_release(&frame);
        self->metrics.repaired_total++;
    }
    if (subscription->state == SUBSCRIPTION_CATCHING)
        catch_up(self, subscription);
}

void subscription_write_publications(struct buffer *to, struct span publications)
{
    struct bus_publication publication;
    bool is_first = true;
    while (publications.size > 0 && bus_next_publication(&publications, &publication)) {
        if (!is_first)
            buffer_put_byte(to, ',');
        client_write_publication(to, publication.body, publication.offset);
        is_first = false;
    }
}

static enum slow_reader slow_reader_of(const struct bus_reply *reply)
{
    if (reply->flags & BUS_REPLY_LATEST)
        return SLOW_READER_LATEST;
    return reply->flags & BUS_REPLY_DROP_OLDEST ? SLOW_READER_DROP_OLDEST : SLOW_READER_DISCONNECT;
}

static void subscribed(hub_t *self, subscription_t *subscription, const struct bus_reply *reply)
{
    const struct client_command *command = &subscription->command;
    bool recovered = command->recover && (reply->flags & BUS_REPLY_RECOVERED);
    if (recovered)
        self->metrics.recovered_total++;
    buffer_reset(&self->why);
    subscription_write_publications(&self->why, recovered ? reply->publications : (struct span){0});
    /* A recovered client gets its own offset back: the publications move it. */
    struct client_subscribed result = {.recoverable = true,
                                       .positioned = true,
                                       .was_recovering = command->recover,
                                       .recovered = recovered,
                                       .epoch = reply->epoch,
                                       .offset = recovered ? command->offset : reply->offset,
                                       .publications = buffer_span(&self->why)};
    buffer_reset(&self->text);
    client_write_subscribed(&self->text, command->id, &result);
    if (self->why.failed || self->text.failed)
        session_close(self, subscription->session, CLIENT_CLOSE_SERVER_ERROR, true);
    subscription->session->has_recovery |= recovered;
    session_reply_subscribed(self, subscription->session, buffer_span(&self->text),
                             subscription->group->number);

    interest_t *interest = subscription_interest(subscription);
    interest->slow_reader = (uint8_t)slow_reader_of(reply);
    question_close(self->questions, &subscription->question);
    if (command->recover)
        subscription->session->is_recovering = false;
    subscription->after = reply->offset;
    subscription->state = SUBSCRIPTION_CATCHING;
    guard_grant(self, subscription, reply->grant_ms);
    interest_learn(self, interest, reply->epoch, reply->offset);
    catch_up(self, subscription);
    interest_settle(self, interest);
    subscription_resume_recoveries(self, subscription->session);
}

static enum client_error error_of(uint32_t status)
{
    switch (status_from_code(status)) {
    case STATUS_BAD_INPUT:
        return CLIENT_ERROR_BAD_INPUT;
    case STATUS_FORBIDDEN:
        return CLIENT_ERROR_FORBIDDEN;
    case STATUS_NOT_FOUND:
        return CLIENT_ERROR_NOT_FOUND;
    case STATUS_UNAVAILABLE:
        return CLIENT_ERROR_UNAVAILABLE;
    case STATUS_TOO_MANY:
        return CLIENT_ERROR_TOO_MANY_REQUESTS;
    default:
        return CLIENT_ERROR_INTERNAL;
    }
}

static void count_refusal(hub_t *self, enum client_error code)
{
    struct hub_metrics *metrics = &self->metrics;
    metrics->subscriptions_refused_400_total += code == CLIENT_ERROR_BAD_INPUT;
    metrics->subscriptions_refused_403_total += code == CLIENT_ERROR_FORBIDDEN;
    metrics->subscriptions_refused_404_total += code == CLIENT_ERROR_NOT_FOUND;
    metrics->subscriptions_refused_503_total += code == CLIENT_ERROR_UNAVAILABLE;
}

static void refuse_as(hub_t *self, subscription_t *subscription, const struct bus_reply *reply)
{
    enum client_error code = error_of(reply->status);
    buffer_reset(&self->why);
    buffer_put_span(&self->why, reply->message);
    buffer_put_byte(&self->why, '\0');
    const char *text =
        reply->message.size > 0 && !self->why.failed ? (const char *)self->why.data : NULL;
    count_refusal(self, code);
    if (reply->flags & BUS_REPLY_TEMPORARY)
        subscription_refuse_for_now(self, subscription, code, text);
    else
        subscription_refuse(self, subscription, code, text);
}

void subscription_subscribe_answered(hub_t *self, subscription_t *subscription,
                                     const struct bus_reply *reply)
{
    bool recovered = reply->flags & BUS_REPLY_RECOVERED;
    if (reply->status != STATUS_OK)
        refuse_as(self, subscription, reply);
    else if (subscription->command.recover && subscription->command.reject_unrecovered &&
             !recovered)
        subscription_refuse(self, subscription, CLIENT_ERROR_UNRECOVERABLE_POSITION, NULL);
    else
        subscribed(self, subscription, reply);
}
