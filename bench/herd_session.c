/* What a client says and hears while it is connected. */
#include <stdio.h>
#include <string.h>

#include "bench/herd.h"
#include "bench/herd_record.h"
#include "bench/ws_client.h"

#define REPLY_MS       5000  /* then the SDK drops the connection */
#define PING_GRACE_MS  10000 /* beyond the interval that the server named */
#define RESUBSCRIBE    2500  /* unsubscribe codes from here on */
#define ALWAYS_FOR_NOW 100   /* errors below this code are temporary */
#define EXPIRED        109   /* and so is this one */

/* --- what it says --- */

static size_t put_subscribe(struct herd *self, struct herd_client *client,
                            struct herd_subscription *subscription, char *to, size_t room)
{
    const struct witness *witness = &subscription->witness;
    char position[128] = "";
    if (witness->has_position)
        snprintf(position, sizeof position, ",\"recover\":true,\"offset\":%llu,\"epoch\":\"%s\"",
                 (unsigned long long)witness_position(witness), witness->epoch);
    subscription->asked = witness->has_position;
    subscription->state = HERD_SUBSCRIPTION_ASKED;
    subscription->at_ms = self->now_ms;
    subscription->command = ++client->command;
    int size = snprintf(to, room,
                        "{\"subscribe\":{\"channel\":\"%s\",\"positioned\":true,\"recoverable\":"
                        "true,\"flag\":1%s},\"id\":%u}",
                        subscription->channel->name, position, subscription->command);
    herd_client_wake(self, client, self->now_ms + REPLY_MS);
    return (size_t)size;
}

void herd_session_begin(struct herd *self, struct herd_client *client)
{
    char *text = self->output;
    size_t size =
        (size_t)snprintf(text, HERD_OUTPUT_BYTES, "{\"connect\":{%s%s%s\"name\":\"js\"},\"id\":%u}",
                         client->token ? "\"token\":\"" : "", client->token ? client->token : "",
                         client->token ? "\"," : "", ++client->command);
    for (uint64_t i = 0; i < self->subscriptions && size < HERD_OUTPUT_BYTES; i++) {
        struct herd_subscription *subscription = &client->subscriptions[i];
        if (subscription->state != HERD_SUBSCRIPTION_IDLE)
            continue;
        text[size++] = '\n';
        size += put_subscribe(self, client, subscription, text + size, HERD_OUTPUT_BYTES - size);
    }
    herd_client_send(self, client, WS_CLIENT_TEXT, text, size);
}

static void subscribe(struct herd *self, struct herd_client *client,
                      struct herd_subscription *subscription)
{
    size_t size = put_subscribe(self, client, subscription, self->output, HERD_OUTPUT_BYTES);
    herd_client_send(self, client, WS_CLIENT_TEXT, self->output, size);
}

/* --- what it hears --- */

static void look_whether_whole(struct herd *self, struct herd_client *client)
{
    if (client->is_whole || client->state != HERD_CLIENT_OPEN || client->live < self->subscriptions)
        return;
    client->is_whole = true;
    self->whole++;
    if (client->is_starting)
        self->starting--;
    client->is_starting = false;
    if (client->away_ms != 0)
        histogram_add(&self->counts.away, self->now_ms - client->away_ms);
    client->away_ms = 0;
}

static void take_connected(struct herd *self, struct herd_client *client,
                           const struct herd_line *line)
{
    if (client->state != HERD_CLIENT_GREETING) {
        self->faults.strays++;
        return;
    }
    client->state = HERD_CLIENT_OPEN;
    client->attempts = 0;
    client->ping_ms = line->ping_seconds * 1000;
    self->open++;
    herd_note(self, HERD_CONNECT);
    herd_record_signal(self, client, NULL, "connected", 0);
    herd_client_wake(self, client, self->now_ms); /* for the deadlines of an open connection */
    look_whether_whole(self, client);
}

static void set_live(struct herd *self, struct herd_client *client,
                     struct herd_subscription *subscription)
{
    subscription->state = HERD_SUBSCRIPTION_LIVE;
    subscription->attempts = 0;
    client->live++;
    self->live++;
    look_whether_whole(self, client);
}

static void set_dead(struct herd *self, struct herd_client *client,
                     struct herd_subscription *subscription, enum herd_subscription_state state)
{
    if (subscription->state == HERD_SUBSCRIPTION_LIVE) {
        client->live--;
        self->live--;
        if (client->is_whole)
            self->whole--;
        client->is_whole = false;
    }
    subscription->state = (uint8_t)state;
}

static struct herd_subscription *by_command(struct herd *self, struct herd_client *client,
                                            uint32_t command)
{
    for (uint64_t i = 0; i < self->subscriptions; i++) {
        struct herd_subscription *subscription = &client->subscriptions[i];
        if (subscription->state == HERD_SUBSCRIPTION_ASKED && subscription->command == command)
            return subscription;
    }
    return NULL;
}

static struct herd_subscription *by_channel(struct herd *self, struct herd_client *client,
                                            struct herd_text channel)
{
    for (uint64_t i = 0; i < self->subscriptions; i++) {
        struct herd_subscription *subscription = &client->subscriptions[i];
        struct herd_text text = subscription->channel->text;
        if (subscription->state == HERD_SUBSCRIPTION_LIVE && text.size == channel.size &&
            memcmp(text.bytes, channel.bytes, text.size) == 0)
            return subscription;
    }
    return NULL;
}

/* What comes with a reply, whatever the reply says of itself. */
static void record_recovered(const struct herd *self, const struct herd_client *client,
                             const struct herd_subscription *subscription,
                             const struct herd_line *reply)
{
    struct herd_line line = *reply; /* it is read once more by the witness */
    struct herd_publication publication;
    while (self->record && herd_line_publication(&line, &publication))
        herd_record_delivery(self, client, subscription, &publication, true);
}

static void take_subscribed(struct herd *self, struct herd_client *client, struct herd_line *line)
{
    struct herd_subscription *subscription = by_command(self, client, line->id);
    if (!subscription) {
        self->faults.strays++;
        return;
    }
    bool asked = subscription->asked;
    herd_record_subscribed(self, client, subscription, line);
    record_recovered(self, client, subscription, line);
    bool recovered = witness_subscribed(&subscription->witness, line, asked,
                                        subscription->channel->text, &self->faults.seen);
    herd_note(self, recovered ? HERD_RECOVERED : asked ? HERD_UNRECOVERED : HERD_FIRST);
    if (!asked)
        histogram_add(&self->counts.replies, self->now_ms - subscription->at_ms);
    set_live(self, client, subscription);
}

static void complain(const struct herd *self, const char *what, const struct herd_line *line)
{
    if (self->faults.refused + self->faults.ended == 0)
        fprintf(stderr, "herd: %s: error %u\n", what, line->code);
}

static void take_subscribe_error(struct herd *self, struct herd_client *client,
                                 struct herd_subscription *subscription,
                                 const struct herd_line *line)
{
    if (!line->is_temporary && line->code >= ALWAYS_FOR_NOW && line->code != EXPIRED) {
        complain(self, "subscribe", line);
        self->faults.refused++;
        herd_record_signal(self, client, subscription, "refused", line->code);
        set_dead(self, client, subscription, HERD_SUBSCRIPTION_ENDED);
        return;
    }
    herd_note(self, HERD_REFUSED_FOR_NOW);
    herd_record_signal(self, client, subscription, "refused_for_now", line->code);
    subscription->state = HERD_SUBSCRIPTION_DELAYED;
    subscription->at_ms = self->now_ms + herd_backoff_ms(subscription->attempts);
    if (subscription->attempts < UINT8_MAX)
        subscription->attempts++;
    herd_client_wake(self, client, subscription->at_ms);
}

static void take_error(struct herd *self, struct herd_client *client, const struct herd_line *line)
{
    struct herd_subscription *subscription = by_command(self, client, line->id);
    if (subscription) {
        take_subscribe_error(self, client, subscription, line);
    } else if (client->state != HERD_CLIENT_GREETING) {
        self->faults.strays++;
    } else if (line->is_temporary || line->code < ALWAYS_FOR_NOW) {
        herd_note(self, HERD_REFUSED_FOR_NOW);
        herd_client_lost(self, client);
    } else {
        complain(self, "connect", line);
        herd_client_end(self, client);
    }
}

static void take_unsubscribed(struct herd *self, struct herd_client *client,
                              const struct herd_line *line)
{
    struct herd_subscription *subscription = by_channel(self, client, line->channel);
    if (!subscription)
        return; /* of one that is on its way already */
    if (line->code < RESUBSCRIBE) {
        herd_note(self, HERD_REVOKED);
        herd_record_signal(self, client, subscription, "revoked", line->code);
        set_dead(self, client, subscription, HERD_SUBSCRIPTION_ENDED);
        return;
    }
    herd_note(self, HERD_TOLD);
    herd_record_signal(self, client, subscription, "told", line->code);
    set_dead(self, client, subscription, HERD_SUBSCRIPTION_IDLE);
    subscribe(self, client, subscription);
}

static void take_publication(struct herd *self, struct herd_client *client,
                             const struct herd_line *line)
{
    struct herd_subscription *subscription = by_channel(self, client, line->channel);
    if (!subscription) {
        self->faults.strays++;
        return;
    }
    self->counts.publications++;
    herd_record_delivery(self, client, subscription, &line->publication, false);
    witness_publication(&subscription->witness, &line->publication, subscription->channel->text,
                        &self->faults.seen);
}

static void take_line(struct herd *self, struct herd_client *client, const char *text, size_t size)
{
    struct herd_line line;
    herd_line_read(&line, text, size);
    switch (line.kind) {
    case HERD_LINE_MALFORMED:
        if (self->faults.malformed++ == 0)
            fprintf(stderr, "herd: malformed: %.*s\n", (int)size, text);
        break;
    case HERD_LINE_OTHER:
        break;
    case HERD_LINE_PING:
        herd_client_send(self, client, WS_CLIENT_TEXT, "{}", 2);
        break;
    case HERD_LINE_PUBLICATION:
        take_publication(self, client, &line);
        break;
    case HERD_LINE_UNSUBSCRIBED:
        take_unsubscribed(self, client, &line);
        break;
    case HERD_LINE_CONNECTED:
        take_connected(self, client, &line);
        break;
    case HERD_LINE_SUBSCRIBED:
        take_subscribed(self, client, &line);
        break;
    case HERD_LINE_ERROR:
        take_error(self, client, &line);
        break;
    }
    herd_line_free(&line);
}

void herd_session_text(struct herd *self, struct herd_client *client, const char *text, size_t size)
{
    const int fd = client->fd;
    const char *end = text + size;
    while (text < end && client->fd == fd) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline ? newline : end;
        take_line(self, client, text, (size_t)(stop - text));
        text = stop + 1;
    }
}

/* --- the rest --- */

/* A delayed subscription keeps its delay, as in the SDK, when the connection comes back earlier. */
void herd_session_over(struct herd *self, struct herd_client *client)
{
    for (uint64_t i = 0; i < self->subscriptions; i++) {
        struct herd_subscription *subscription = &client->subscriptions[i];
        if (subscription->state == HERD_SUBSCRIPTION_LIVE ||
            subscription->state == HERD_SUBSCRIPTION_ASKED)
            set_dead(self, client, subscription, HERD_SUBSCRIPTION_IDLE);
    }
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t herd_session_due(struct herd *self, struct herd_client *client)
{
    const int fd = client->fd;
    uint64_t next_ms = UINT64_MAX;
    for (uint64_t i = 0; i < self->subscriptions && client->fd == fd; i++) {
        struct herd_subscription *subscription = &client->subscriptions[i];
        if (subscription->state == HERD_SUBSCRIPTION_DELAYED &&
            subscription->at_ms <= self->now_ms) {
            subscribe(self, client, subscription);
        } else if (subscription->state == HERD_SUBSCRIPTION_ASKED &&
                   subscription->at_ms + REPLY_MS <= self->now_ms) {
            herd_note(self, HERD_UNANSWERED);
            herd_client_lost(self, client);
        } else if (subscription->state == HERD_SUBSCRIPTION_ASKED) {
            next_ms = sooner(next_ms, subscription->at_ms + REPLY_MS);
        } else if (subscription->state == HERD_SUBSCRIPTION_DELAYED) {
            next_ms = sooner(next_ms, subscription->at_ms);
        }
    }
    if (client->fd != fd || client->ping_ms == 0)
        return next_ms;
    uint64_t silent_ms = client->heard_ms + client->ping_ms + PING_GRACE_MS;
    if (silent_ms > self->now_ms)
        return sooner(next_ms, silent_ms);
    herd_note(self, HERD_SILENT);
    herd_client_lost(self, client);
    return UINT64_MAX;
}
