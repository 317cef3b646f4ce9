#include "cli/follower.h"

#include <stdlib.h>
#include <string.h>

#include "cli/follower_priv.h"
#include "proto/json_text.h"

#define REPLY_MS       5000 /* as the SDK: without an answer by then, connect anew */
#define BACKOFF_MIN_MS 500
#define BACKOFF_MAX_MS 20000

int64_t follower_backoff_ms(unsigned failures, uint32_t random)
{
    int64_t spread = failures < 6 ? (int64_t)BACKOFF_MIN_MS << failures : BACKOFF_MAX_MS;
    if (spread > BACKOFF_MAX_MS)
        spread = BACKOFF_MAX_MS;
    return BACKOFF_MIN_MS + random % (spread + 1);
}

/* xorshift32: only spreads reconnects. */
uint32_t follower_random(follower_t *self)
{
    self->random ^= self->random << 13;
    self->random ^= self->random >> 17;
    self->random ^= self->random << 5;
    return self->random;
}

follower_t *follower_new(const struct follower_settings *settings, int64_t now_ms)
{
    follower_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->json = settings->json;
    self->random = settings->seed ? settings->seed : 1;
    self->due_ms = now_ms;
    self->reader = wire_reader_new();
    self->subscriptions = calloc(settings->channel_count, sizeof *self->subscriptions);
    if (!self->subscriptions || !self->reader) {
        follower_destroy(&self);
        return NULL;
    }
    self->subscription_count = settings->channel_count;
    for (size_t i = 0; i < self->subscription_count; i++) {
        self->subscriptions[i].channel = settings->channels[i];
        if (settings->since_epoch)
            follower_set_position(&self->subscriptions[i], span_text(settings->since_epoch),
                                  settings->since_offset);
    }
    return self;
}

void follower_destroy(follower_t **self_p)
{
    follower_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    free(self->subscriptions);
    wire_reader_destroy(&self->reader);
    buffer_free(&self->outgoing);
    buffer_free(&self->messages);
    buffer_free(&self->notes);
    buffer_free(&self->scratch);
    buffer_free(&self->token);
    free(self);
}

enum follower_state follower_state(const follower_t *self)
{
    return self->state;
}

struct buffer *follower_outgoing(follower_t *self)
{
    return &self->outgoing;
}

struct buffer *follower_messages(follower_t *self)
{
    return &self->messages;
}

struct buffer *follower_notes(follower_t *self)
{
    return &self->notes;
}

bool follower_set_position(struct subscription *subscription, struct span epoch, uint64_t offset)
{
    if (epoch.size >= sizeof subscription->epoch)
        return false;
    if (epoch.size > 0)
        memcpy(subscription->epoch, epoch.data, epoch.size);
    subscription->epoch[epoch.size] = '\0';
    subscription->offset = offset;
    subscription->has_position = true;
    return true;
}

/* Begins a command behind those that are not sent yet. */
static uint32_t begin_command(follower_t *self, const char *method)
{
    if (self->outgoing.size > 0)
        buffer_put_byte(&self->outgoing, '\n');
    self->last_command++;
    buffer_printf(&self->outgoing, "{\"id\":%u,\"%s\":{", (unsigned)self->last_command, method);
    return self->last_command;
}

void follower_subscribe(follower_t *self, struct subscription *subscription, int64_t now_ms)
{
    struct buffer *to = &self->outgoing;
    subscription->state = SUBSCRIPTION_ASKED;
    subscription->due_ms = now_ms + REPLY_MS;
    subscription->command = begin_command(self, "subscribe");
    buffer_put_text(to, "\"channel\":");
    json_text_string(to, span_text(subscription->channel));
    buffer_put_text(to, ",\"recoverable\":true,\"positioned\":true");
    if (subscription->has_position) {
        buffer_put_text(to, ",\"recover\":true,\"epoch\":");
        json_text_string(to, span_text(subscription->epoch));
        buffer_put_text(to, ",\"offset\":");
        buffer_put_u64_text(to, subscription->offset);
    }
    buffer_put_text(to, "}}");
}

void follower_set_token(follower_t *self, struct span token)
{
    buffer_reset(&self->token);
    buffer_put_span(&self->token, token);
}

void follower_connecting(follower_t *self, const char *url)
{
    self->state = FOLLOWER_OPEN;
    self->connected = false;
    self->due_ms = -1; /* the attempt has a time limit of its own */
    tell_connecting(self, url);
}

void follower_opened(follower_t *self, int64_t now_ms)
{
    buffer_reset(&self->outgoing);
    self->connect_command = begin_command(self, "connect");
    if (self->token.size > 0) {
        buffer_put_text(&self->outgoing, "\"token\":");
        json_text_string(&self->outgoing, buffer_span(&self->token));
        buffer_put_byte(&self->outgoing, ',');
    }
    buffer_put_text(&self->outgoing,
                    "\"name\":\"millrace\",\"version\":\"" MILLRACE_VERSION "\"}}");
    self->due_ms = now_ms + REPLY_MS;
    for (size_t i = 0; i < self->subscription_count; i++)
        if (self->subscriptions[i].state != SUBSCRIPTION_ENDED)
            follower_subscribe(self, &self->subscriptions[i], now_ms);
}

void follower_drop(follower_t *self, const char *reason)
{
    self->state = FOLLOWER_DROP;
    self->reason = reason;
}

void follower_end(follower_t *self, struct subscription *subscription)
{
    subscription->state = SUBSCRIPTION_ENDED;
    for (size_t i = 0; i < self->subscription_count; i++)
        if (self->subscriptions[i].state != SUBSCRIPTION_ENDED)
            return;
    self->state = FOLLOWER_OVER;
}

/* 1009 is terminal for the SDK, too: the same frame would be refused again. */
static bool is_terminal(unsigned code)
{
    return code == 1009 || (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);
}

void follower_closed(follower_t *self, unsigned code, struct span reason, int64_t now_ms)
{
    if (self->state == FOLLOWER_OVER)
        return;
    int64_t delay_ms = -1;
    if (!is_terminal(code))
        delay_ms = follower_backoff_ms(self->failures++, follower_random(self));
    if (self->state == FOLLOWER_DROP)
        reason = span_text(self->reason);
    self->state = delay_ms < 0 ? FOLLOWER_OVER : FOLLOWER_WAITING;
    self->connected = false;
    self->connect_command = 0;
    self->due_ms = now_ms + delay_ms;
    tell_disconnected(self, code, reason, delay_ms);
}

static void tick_subscription(follower_t *self, struct subscription *subscription, int64_t now_ms)
{
    if (subscription->due_ms > now_ms)
        return;
    if (subscription->state == SUBSCRIPTION_ASKED)
        follower_drop(self, "no answer to subscribe");
    else if (subscription->state == SUBSCRIPTION_WAITING)
        follower_subscribe(self, subscription, now_ms);
}

void follower_tick(follower_t *self, int64_t now_ms)
{
    if (self->state != FOLLOWER_OPEN)
        return;
    if (self->due_ms >= 0 && self->due_ms <= now_ms) {
        follower_drop(self, self->connected ? "no ping" : "no answer to connect");
        return;
    }
    for (size_t i = 0; self->connected && i < self->subscription_count; i++)
        tick_subscription(self, &self->subscriptions[i], now_ms);
}

int64_t follower_wait(const follower_t *self, int64_t now_ms)
{
    if (self->state == FOLLOWER_DROP || self->state == FOLLOWER_OVER)
        return -1;
    int64_t due_ms = self->due_ms;
    for (size_t i = 0; self->connected && i < self->subscription_count; i++) {
        const struct subscription *subscription = &self->subscriptions[i];
        bool timed = subscription->state == SUBSCRIPTION_ASKED ||
                     subscription->state == SUBSCRIPTION_WAITING;
        if (timed && (due_ms < 0 || subscription->due_ms < due_ms))
            due_ms = subscription->due_ms;
    }
    if (due_ms < 0)
        return -1;
    return due_ms > now_ms ? due_ms - now_ms : 0;
}
