#include "gateway/census.h"
#include "gateway/hub_priv.h"
#include "proto/limits.h"
#include "proto/status.h"

/* presence - who is subscribed to an address.
 *
 * Both sides of it: a client asks, which goes to the broker; and the broker, which asks all
 * gateways, wants to know who is there of our clients. They are there from their subscribe reply
 * on until they leave: nothing is counted or kept for this before somebody asks. */

/* --- our clients, for the broker --- */

typedef void visit_fn(const session_t *session, void *arg);

static void visit(const subscription_t *subscription, visit_fn *fn, void *arg)
{
    if (subscription->session->state != SESSION_CLOSING)
        fn(subscription->session, arg);
}

/* Those that have got their reply, but are no members of their group (yet, or any more). */
static void visit_others(hub_t *self, const interest_t *interest, visit_fn *fn, void *arg)
{
    size_t at = 0;
    enum question_kind kind;
    const void *asker;
    while ((asker = question_next(self->questions, &at, &kind))) {
        if (kind == QUESTION_CATCH_UP && subscription_interest(asker) == interest)
            visit(asker, fn, arg);
    }
    const subscription_t *lost;
    TAILQ_FOREACH (lost, &self->lost, queue) {
        if (subscription_interest(lost) == interest)
            visit(lost, fn, arg);
    }
}

static void visit_present(hub_t *self, const interest_t *interest, visit_fn *fn, void *arg)
{
    const group_t *group;
    uint32_t members = 0;
    LIST_FOREACH (group, &interest->groups, link) {
        for (uint32_t i = 0; i < group->member_count; i++)
            visit(group->members[i], fn, arg);
        members += group->member_count;
    }
    if (members < interest->subscriptions)
        visit_others(self, interest, fn, arg);
}

struct list {
    struct buffer items;
    uint32_t count, limit;
};

static void list_client(const session_t *session, void *arg)
{
    struct list *list = arg;
    list->count++;
    if (list->count > list->limit || list->items.size > LIMIT_PRESENCE_BYTES)
        return;
    char scratch[SESSION_CLIENT_ID_BYTES + 1];
    bus_put_presence_client(
        &list->items, &(struct bus_presence_client){.client = session_client_id(session, scratch),
                                                    .user = session_subscriber_id(session)});
}

static void list_clients(hub_t *self, const interest_t *interest, struct list *list,
                         struct bus_presence_part *part)
{
    visit_present(self, interest, list_client, list);
    part->clients = list->count;
    part->items = buffer_span(&list->items);
    if (list->count > list->limit || list->items.size > LIMIT_PRESENCE_BYTES)
        part->status = STATUS_TOO_LARGE;
}

static void count_client(const session_t *session, void *arg)
{
    census_add(arg, session_subscriber_id(session));
}

static void count_clients(hub_t *self, const interest_t *interest, uint64_t seed, struct list *list,
                          struct bus_presence_part *part)
{
    struct census census = {.seed = seed};
    visit_present(self, interest, count_client, &census);
    uint32_t users = census_put_users(&census, &list->items);
    part->clients = census.clients;
    part->items = buffer_span(&list->items);
    if (census.hashes.failed)
        part->status = STATUS_INTERNAL;
    else if (users > list->limit || users > LIMIT_PRESENCE_USERS)
        part->status = STATUS_TOO_LARGE;
    census_free(&census);
}

void hub_presence_ask(hub_t *self, struct span frame, int64_t now_ms)
{
    self->now_ms = now_ms;
    struct bus_presence_ask ask;
    if (!bus_get_presence_ask(frame, &ask) ||
        (ask.kind != BUS_PRESENCE && ask.kind != BUS_PRESENCE_STATS)) {
        self->metrics.publications_malformed_total++;
        return;
    }
    self->metrics.presence_asked_total++;
    struct bus_presence_part part = {.round = ask.round};
    struct list list = {.limit = ask.limit};
    const interest_t *interest = map_get(self->interests, ask.address);
    if (interest && ask.kind == BUS_PRESENCE)
        list_clients(self, interest, &list, &part);
    else if (interest)
        count_clients(self, interest, ask.seed, &list, &part);
    if (list.items.failed)
        part.status = STATUS_INTERNAL;
    if (part.status != STATUS_OK)
        part.items = (struct span){0};

    struct buffer answer = {0};
    bus_put_presence_part(&answer, &part);
    if (!answer.failed) /* without memory the broker waits in vain, and says so */
        hub_queue(self, HUB_SEND, buffer_span(&answer));
    buffer_free(&answer);
    buffer_free(&list.items);
}

/* --- a client's question --- */

void presence_ask(hub_t *self, subscription_t *subscription)
{
    bool is_list = subscription->command.method == CLIENT_PRESENCE;
    subscription->question = question_open(self->questions, QUESTION_PRESENCE, subscription);
    if (subscription->question)
        subscription_ask(
            self, subscription,
            &(struct bus_question){.kind = is_list ? BUS_PRESENCE : BUS_PRESENCE_STATS});
}

void presence_command(hub_t *self, subscription_t *subscription,
                      const struct client_command *command, int64_t deadline_ms)
{
    session_t *session = subscription->session;
    bool is_full =
        questions_open_of(self->questions, QUESTION_PRESENCE) >= self->settings.presence_questions;
    self->metrics.presence_questions_total++;
    if (is_full) {
        self->metrics.presence_refused_total++;
        session_reply_error(self, session, command->id, CLIENT_ERROR_TOO_MANY_REQUESTS,
                            "too many presence questions wait");
        return;
    }
    subscription_begin(self, subscription, command, deadline_ms);
    if (self->broker_is_up && deadline_ms > self->now_ms)
        presence_ask(self, subscription);
    if (!subscription->question) {
        session_reply_error(self, session, command->id, CLIENT_ERROR_INTERNAL,
                            "the broker cannot be reached");
        subscription_end(subscription);
    }
}

void presence_forget_roster(hub_t *self)
{
    if (self->roster_of)
        buffer_free(&self->roster);
    self->roster_of = NULL;
}

/* The list as JSON; in a herd's answers it is the same one many times. */
static struct span read_roster(hub_t *self, struct span clients)
{
    if (clients.size == 0)
        return (struct span){0};
    if (self->roster_of == clients.data)
        return buffer_span(&self->roster);
    self->roster_of = clients.data;
    buffer_reset(&self->roster);
    struct bus_presence_client client;
    while (clients.size > 0 && bus_next_presence_client(&clients, &client)) {
        if (self->roster.size > 0)
            buffer_put_byte(&self->roster, ',');
        client_write_presence_client(&self->roster, client.client, client.user);
    }
    return buffer_span(&self->roster);
}

/* Writes the reply to self->text. False: there is none, as it should be, in the answer. */
static bool write_reply(hub_t *self, const struct client_command *command,
                        const struct bus_reply *reply)
{
    struct span rest = reply->publications;
    buffer_reset(&self->text);
    if (command->method == CLIENT_PRESENCE) {
        client_write_presence(&self->text, command->id, read_roster(self, rest));
        return !self->text.failed && !self->roster.failed;
    }
    struct bus_presence_count count;
    if (!bus_next_presence_count(&rest, &count))
        return false;
    client_write_presence_stats(&self->text, command->id, count.clients, count.users);
    return !self->text.failed;
}

static void refuse(hub_t *self, const subscription_t *subscription, enum client_error code,
                   struct span message)
{
    buffer_reset(&self->why);
    buffer_put_span(&self->why, message);
    buffer_put_byte(&self->why, '\0');
    bool has_text = message.size > 0 && !self->why.failed;
    session_reply_error(self, subscription->session, subscription->command.id, code,
                        has_text ? (const char *)self->why.data : NULL);
}

static enum client_error error_of(uint32_t status)
{
    switch (status_from_code(status)) {
    case STATUS_FORBIDDEN:
        return CLIENT_ERROR_NOT_AVAILABLE;
    case STATUS_TOO_LARGE:
        return CLIENT_ERROR_LIMIT_EXCEEDED;
    case STATUS_TOO_MANY:
        return CLIENT_ERROR_TOO_MANY_REQUESTS;
    default:
        return CLIENT_ERROR_INTERNAL;
    }
}

void presence_answered(hub_t *self, subscription_t *subscription, const struct bus_reply *reply)
{
    question_close(self->questions, &subscription->question);
    if (!subscription_may_have(self, subscription, reply))
        return;
    if (reply->status != STATUS_OK)
        refuse(self, subscription, error_of(reply->status), reply->message);
    else if (!write_reply(self, &subscription->command, reply))
        refuse(self, subscription, CLIENT_ERROR_INTERNAL, span_text("the answer is broken"));
    else if (self->text.size > self->settings.queue_bytes / 2) /* it must not close the client */
        refuse(self, subscription, CLIENT_ERROR_LIMIT_EXCEEDED,
               span_text("more clients than fit into queue_bytes: only presence_stats"));
    else
        subscription_reply(self, subscription);
    subscription_end(subscription);
}
