/* follower, second part: what the server says. */
#include <string.h>

#include "cli/follower_priv.h"
#include "cli/member.h"
#include "proto/json_doc.h"
#include "proto/json_text.h"

#define LINE_DEPTH       31 /* a payload, 16 deep, inside publication, list, reply and line */
#define LINE_NODES       1000000
#define PING_GRACE_MS    10000 /* beyond the interval that the server named */
#define ALWAYS_TEMPORARY 100   /* errors below this code are */
#define RESUBSCRIBE      2500  /* unsubscribe codes from here on: come back with your position */

static struct subscription *by_command(follower_t *self, uint64_t id)
{
    for (size_t i = 0; i < self->subscription_count; i++) {
        struct subscription *subscription = &self->subscriptions[i];
        if (subscription->state == SUBSCRIPTION_ASKED && subscription->command == id)
            return subscription;
    }
    return NULL;
}

static struct subscription *by_channel(follower_t *self, struct span channel)
{
    for (size_t i = 0; i < self->subscription_count; i++) {
        struct subscription *subscription = &self->subscriptions[i];
        if (subscription->state == SUBSCRIPTION_OPEN && span_is(channel, subscription->channel))
            return subscription;
    }
    return NULL;
}

/* How many a publication says are left out in front of it: text of digits, or nothing. */
static uint64_t missed_before(const struct wire_value *publication)
{
    const struct wire_value *tags = member(publication, "tags", WIRE_MAP);
    struct span text = tags ? member_text(tags, "missed") : (struct span){0};
    uint64_t count = 0;
    for (size_t i = 0; i < text.size && count <= UINT32_MAX; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return 0;
        count = count * 10 + (text.data[i] - (uint64_t)'0');
    }
    return count;
}

static void take_publication(follower_t *self, struct subscription *subscription,
                             const struct wire_value *publication)
{
    struct buffer text = {0}, why = {0};
    const struct wire_value *data = member(publication, "data", WIRE_MAP);
    const struct wire_value *info = member(publication, "info", WIRE_MAP);
    struct span user = info ? member_text(info, "user") : (struct span){0};
    uint64_t offset = member_uint(publication, "offset");
    uint64_t missed = missed_before(publication);

    if (!data || !json_text_from_wire(&text, data, "data", LINE_DEPTH, &why)) {
        follower_drop(self, "a publication without a readable payload");
    } else {
        if (missed > 0)
            tell_missed(self, subscription, missed);
        subscription->offset += missed;
        if (subscription->epoch[0] && offset != subscription->offset + 1)
            tell_hole(self, subscription, offset);
        subscription->offset = offset;
        tell_message(self, subscription, buffer_span(&text), info ? &user : NULL);
    }
    buffer_free(&text);
    buffer_free(&why);
}

static void take_subscribed(follower_t *self, struct subscription *subscription,
                            const struct wire_value *result)
{
    bool recovered = member_bool(result, "was_recovering") && member_bool(result, "recovered");
    uint64_t from = recovered ? subscription->offset : member_uint(result, "offset");
    if (!follower_set_position(subscription, member_text(result, "epoch"), from)) {
        follower_drop(self, "an epoch that is too long");
        return;
    }
    subscription->state = SUBSCRIPTION_OPEN;
    subscription->refusals = 0;
    const struct wire_value *missed = member(result, "publications", WIRE_ARRAY);
    for (size_t i = 0; missed && i < wire_count(missed); i++)
        take_publication(self, subscription, wire_at(missed, i));
    tell_subscribed(self, subscription, recovered);
}

static bool is_temporary(const struct wire_value *error)
{
    return member_bool(error, "temporary") || member_uint(error, "code") < ALWAYS_TEMPORARY;
}

static void take_subscribe_error(follower_t *self, struct subscription *subscription,
                                 const struct wire_value *error, int64_t now_ms)
{
    int64_t delay_ms = -1;
    if (is_temporary(error)) {
        delay_ms = follower_backoff_ms(subscription->refusals++, follower_random(self));
        subscription->state = SUBSCRIPTION_WAITING;
        subscription->due_ms = now_ms + delay_ms;
    }
    tell_subscribe_refused(self, subscription, member_uint(error, "code"),
                           member_text(error, "message"), delay_ms);
    if (delay_ms < 0)
        follower_end(self, subscription);
}

static void take_connect_error(follower_t *self, const struct wire_value *error)
{
    tell_connect_refused(self, member_uint(error, "code"), member_text(error, "message"));
    if (is_temporary(error))
        follower_drop(self, "the server wants no connection now");
    else
        self->state = FOLLOWER_OVER;
}

static void take_connected(follower_t *self, const struct wire_value *result)
{
    self->connect_command = 0;
    self->connected = true;
    self->failures = 0;
    self->ping_ms = (int64_t)member_uint(result, "ping") * 1000;
    self->pong = member_bool(result, "pong");
    tell_connected(self, member_text(result, "client"));
}

static void take_reply(follower_t *self, uint64_t id, const struct wire_value *line, int64_t now_ms)
{
    const struct wire_value *error = member(line, "error", WIRE_MAP);
    const struct wire_value *connected = member(line, "connect", WIRE_MAP);
    const struct wire_value *subscribed = member(line, "subscribe", WIRE_MAP);
    struct subscription *subscription = by_command(self, id);

    if (self->connect_command == id && error)
        take_connect_error(self, error);
    else if (self->connect_command == id && connected)
        take_connected(self, connected);
    else if (subscription && error)
        take_subscribe_error(self, subscription, error, now_ms);
    else if (subscription && subscribed)
        take_subscribed(self, subscription, subscribed);
}

static void take_unsubscribe(follower_t *self, struct subscription *subscription,
                             const struct wire_value *push, int64_t now_ms)
{
    uint64_t code = member_uint(push, "code");
    tell_unsubscribed(self, subscription, code, member_text(push, "reason"));
    if (code >= RESUBSCRIBE)
        follower_subscribe(self, subscription, now_ms);
    else
        follower_end(self, subscription);
}

static void take_push(follower_t *self, const struct wire_value *push, int64_t now_ms)
{
    struct subscription *subscription = by_channel(self, member_text(push, "channel"));
    const struct wire_value *publication = member(push, "pub", WIRE_MAP);
    const struct wire_value *unsubscribe = member(push, "unsubscribe", WIRE_MAP);
    if (subscription && publication)
        take_publication(self, subscription, publication);
    else if (subscription && unsubscribe)
        take_unsubscribe(self, subscription, unsubscribe, now_ms);
}

/* {} is a ping. */
static void take_ping(follower_t *self)
{
    if (!self->pong)
        return;
    if (self->outgoing.size > 0)
        buffer_put_byte(&self->outgoing, '\n');
    buffer_put_text(&self->outgoing, "{}");
}

/* Through msgpack: json_doc is made for commands and knows no arrays, wire has all it takes. */
static const struct wire_value *read_line(follower_t *self, struct span text)
{
    struct buffer why = {0};
    const char *rule;
    const struct wire_value *line = NULL;
    json_doc_t *doc = json_doc_parse(text, LINE_DEPTH, &why);
    if (doc) {
        buffer_reset(&self->scratch);
        json_to_wire(&self->scratch, json_doc_root(doc));
        if (!self->scratch.failed)
            line =
                wire_read(self->reader, buffer_span(&self->scratch), LINE_DEPTH, LINE_NODES, &rule);
    }
    json_doc_destroy(&doc);
    buffer_free(&why);
    return line && wire_type(line) == WIRE_MAP ? line : NULL;
}

static void take_line(follower_t *self, struct span text, int64_t now_ms)
{
    const struct wire_value *line = read_line(self, text);
    const struct wire_value *push = line ? member(line, "push", WIRE_MAP) : NULL;
    if (!line)
        follower_drop(self, "a line that is no JSON object");
    else if (wire_count(line) == 0)
        take_ping(self);
    else if (push)
        take_push(self, push, now_ms);
    else
        take_reply(self, member_uint(line, "id"), line, now_ms);
}

void follower_frame(follower_t *self, struct span frame, int64_t now_ms)
{
    while (frame.size > 0 && self->state == FOLLOWER_OPEN) {
        const uint8_t *newline = memchr(frame.data, '\n', frame.size);
        size_t size = newline ? (size_t)(newline - frame.data) : frame.size;
        take_line(self, span_of(frame.data, size), now_ms);
        size_t used = newline ? size + 1 : size;
        frame = span_of(frame.data + used, frame.size - used);
    }
    if (self->connected) /* anything counts as a ping, as in the SDK */
        self->due_ms = self->ping_ms > 0 ? now_ms + self->ping_ms + PING_GRACE_MS : -1;
}
