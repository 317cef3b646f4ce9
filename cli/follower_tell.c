/* follower, third part: what people and programs get to see. As JSON all of it is lines among the
 * messages; as text the messages stay alone, so that they can be piped on. */
#include <inttypes.h>

#include "cli/follower_priv.h"
#include "proto/json_text.h"

/* --- JSON --- */

static void put_json_text(struct buffer *to, struct span text)
{
    if (!json_text_string(to, text)) /* no UTF-8: there is no JSON for it */
        buffer_put_text(to, "\"\"");
}

static void put_name(struct buffer *to, const char *name)
{
    buffer_printf(to, ",\"%s\":", name);
}

static void put_text(struct buffer *to, const char *name, struct span text)
{
    put_name(to, name);
    put_json_text(to, text);
}

static void put_number(struct buffer *to, const char *name, uint64_t number)
{
    put_name(to, name);
    buffer_put_u64_text(to, number);
}

/* Left out when it is negative: there is no delay. */
static void put_delay(struct buffer *to, int64_t delay_ms)
{
    if (delay_ms >= 0)
        put_number(to, "retry_ms", (uint64_t)delay_ms);
}

static struct buffer *begin(follower_t *self, const char *type,
                            const struct subscription *subscription)
{
    buffer_printf(&self->messages, "{\"type\":\"%s\"", type);
    if (subscription)
        put_text(&self->messages, "channel", span_text(subscription->channel));
    return &self->messages;
}

static void end(struct buffer *to)
{
    buffer_put_text(to, "}\n");
}

/* --- text --- */

/* Without control characters, which a terminal would obey. */
static void put_plain(struct buffer *to, struct span text)
{
    for (size_t i = 0; i < text.size; i++) {
        bool control = text.data[i] < 0x20 || text.data[i] == 0x7f;
        buffer_put_byte(to, control ? '?' : text.data[i]);
    }
}

static struct buffer *begin_note(follower_t *self, const char *what,
                                 const struct subscription *subscription)
{
    buffer_put_text(&self->notes, what);
    if (subscription) {
        buffer_put_byte(&self->notes, ' ');
        put_plain(&self->notes, span_text(subscription->channel));
    }
    return &self->notes;
}

static void put_cause(struct buffer *to, uint64_t code, struct span text)
{
    buffer_put_text(to, ": ");
    if (code > 0)
        buffer_printf(to, "%" PRIu64 " ", code);
    put_plain(to, text);
}

static void end_note(struct buffer *to, int64_t delay_ms)
{
    if (delay_ms >= 0)
        buffer_printf(to, "; trying again in %" PRId64 " ms", delay_ms);
    buffer_put_byte(to, '\n');
}

/* --- events --- */

void tell_connecting(follower_t *self, const char *url)
{
    if (self->json) {
        struct buffer *to = begin(self, "connecting", NULL);
        put_text(to, "url", span_text(url));
        end(to);
    } else {
        buffer_printf(&self->notes, "connecting to %s\n", url);
    }
}

void tell_connected(follower_t *self, struct span client)
{
    if (self->json) {
        struct buffer *to = begin(self, "connected", NULL);
        put_text(to, "client", client);
        end(to);
    } else {
        struct buffer *to = begin_note(self, "connected as ", NULL);
        put_plain(to, client);
        end_note(to, -1);
    }
}

void tell_disconnected(follower_t *self, unsigned code, struct span reason, int64_t delay_ms)
{
    if (self->json) {
        struct buffer *to = begin(self, "disconnected", NULL);
        put_number(to, "code", code);
        put_text(to, "reason", reason);
        put_delay(to, delay_ms);
        end(to);
    } else {
        struct buffer *to = begin_note(self, "disconnected", NULL);
        put_cause(to, code, reason);
        end_note(to, delay_ms);
    }
}

void tell_connect_refused(follower_t *self, uint64_t code, struct span message)
{
    if (self->json) {
        struct buffer *to = begin(self, "refused", NULL);
        put_number(to, "code", code);
        put_text(to, "message", message);
        end(to);
    } else {
        struct buffer *to = begin_note(self, "connection refused", NULL);
        put_cause(to, code, message);
        end_note(to, -1);
    }
}

void tell_subscribed(follower_t *self, const struct subscription *subscription, bool recovered)
{
    if (self->json) {
        struct buffer *to = begin(self, "subscribed", subscription);
        put_text(to, "epoch", span_text(subscription->epoch));
        put_number(to, "offset", subscription->offset);
        put_name(to, "isSynced");
        buffer_put_text(to, recovered ? "true" : "false");
        end(to);
    } else {
        struct buffer *to = begin_note(self, "subscribed to", subscription);
        buffer_printf(to, " at %s:%" PRIu64 ", isSynced %s\n", subscription->epoch,
                      subscription->offset, recovered ? "true" : "false");
    }
}

void tell_subscribe_refused(follower_t *self, const struct subscription *subscription,
                            uint64_t code, struct span message, int64_t delay_ms)
{
    if (self->json) {
        struct buffer *to = begin(self, "refused", subscription);
        put_number(to, "code", code);
        put_text(to, "message", message);
        put_delay(to, delay_ms);
        end(to);
    } else {
        struct buffer *to = begin_note(self, "refused", subscription);
        put_cause(to, code, message);
        end_note(to, delay_ms);
    }
}

void tell_unsubscribed(follower_t *self, const struct subscription *subscription, uint64_t code,
                       struct span reason)
{
    if (self->json) {
        struct buffer *to = begin(self, "unsubscribed", subscription);
        put_number(to, "code", code);
        put_text(to, "reason", reason);
        end(to);
    } else {
        struct buffer *to = begin_note(self, "unsubscribed from", subscription);
        put_cause(to, code, reason);
        end_note(to, -1);
    }
}

void tell_missed(follower_t *self, const struct subscription *subscription, uint64_t count)
{
    if (self->json) {
        struct buffer *to = begin(self, "missed", subscription);
        put_number(to, "count", count);
        end(to);
    } else {
        struct buffer *to = begin_note(self, "read too slowly from", subscription);
        buffer_printf(to, ": missed %" PRIu64 " behind %" PRIu64 "\n", count, subscription->offset);
    }
}

void tell_hole(follower_t *self, const struct subscription *subscription, uint64_t offset)
{
    if (self->json) {
        struct buffer *to = begin(self, "hole", subscription);
        put_number(to, "expected", subscription->offset + 1);
        put_number(to, "got", offset);
        end(to);
    } else {
        struct buffer *to = begin_note(self, "hole in", subscription);
        buffer_printf(to, ": %" PRIu64 " was expected, %" PRIu64 " came\n",
                      subscription->offset + 1, offset);
    }
}

void tell_message(follower_t *self, const struct subscription *subscription, struct span data,
                  const struct span *publisher)
{
    struct buffer *to = &self->messages;
    if (self->json) {
        begin(self, "message", subscription);
        put_text(to, "epoch", span_text(subscription->epoch));
        put_number(to, "offset", subscription->offset);
        put_name(to, "payload");
        buffer_put_span(to, data);
        if (publisher) {
            buffer_put_text(to, ",\"publisher\":{\"id\":");
            put_json_text(to, *publisher);
            buffer_put_byte(to, '}');
        }
        end(to);
        return;
    }
    put_plain(to, span_text(subscription->channel));
    buffer_printf(to, " %" PRIu64 " ", subscription->offset);
    buffer_put_span(to, data);
    if (publisher) {
        buffer_put_text(to, " from ");
        put_plain(to, *publisher);
    }
    buffer_put_byte(to, '\n');
}
