#include <assert.h>

#include "proto/client_codec.h"
#include "proto/epoch.h"
#include "proto/json_text.h"

#define OFFSET_NAME ",\"offset\":"
#define PUSH_END    "}}}"
#define MISSED_NAME "\"tags\":{\"missed\":\""
#define MISSED_END  "\"},"

/* Strings that clients named came through the parser, and ours are text: valid UTF-8. Anything else
 * must not reach a client as broken JSON. */
static void put_string(struct buffer *to, struct span text)
{
    if (!json_text_string(to, text))
        to->failed = true;
}

static void put_position(struct buffer *to, uint64_t epoch, uint64_t offset)
{
    char text[EPOCH_TEXT_BYTES];
    epoch_write(text, epoch);
    buffer_put_text(to, "\"epoch\":\"");
    buffer_put(to, text, sizeof text);
    buffer_put_text(to, "\"" OFFSET_NAME);
    buffer_put_u64_text(to, offset);
}

static void begin_reply(struct buffer *to, uint32_t id, const char *word)
{
    buffer_put_text(to, "{\"id\":");
    buffer_put_u64_text(to, id);
    buffer_put_text(to, ",\"");
    buffer_put_text(to, word);
    buffer_put_text(to, "\":{");
}

static void end_reply(struct buffer *to)
{
    buffer_put_text(to, "}}");
}

static void put_connection(struct buffer *to, const struct client_connected *connected)
{
    buffer_put_text(to, "\"client\":");
    put_string(to, connected->client);
    buffer_put_text(to, ",\"version\":");
    put_string(to, connected->version);
    if (connected->ttl_seconds == 0)
        return;
    buffer_put_text(to, ",\"expires\":true,\"ttl\":");
    buffer_put_u64_text(to, connected->ttl_seconds);
}

void client_write_refreshed(struct buffer *to, uint32_t id,
                            const struct client_connected *connected)
{
    begin_reply(to, id, "refresh");
    put_connection(to, connected);
    end_reply(to);
}

void client_write_connected(struct buffer *to, uint32_t id,
                            const struct client_connected *connected)
{
    begin_reply(to, id, "connect");
    put_connection(to, connected);
    buffer_put_text(to, ",\"ping\":");
    buffer_put_u64_text(to, connected->ping_seconds);
    buffer_put_text(to, ",\"pong\":true");
    if (connected->session.size > 0) {
        buffer_put_text(to, ",\"session\":");
        put_string(to, connected->session);
        buffer_put_text(to, ",\"node\":");
        put_string(to, connected->node);
    }
    if (connected->gateway.size > 0) {
        buffer_put_text(to, ",\"data\":{\"gateway\":");
        put_string(to, connected->gateway);
        buffer_put_byte(to, '}');
    }
    end_reply(to);
}

/* The flags that are set, each followed by a comma. */
static void put_flags(struct buffer *to, const struct client_subscribed *result)
{
    if (result->recoverable)
        buffer_put_text(to, "\"recoverable\":true,");
    if (result->positioned)
        buffer_put_text(to, "\"positioned\":true,");
    if (result->was_recovering)
        buffer_put_text(to, "\"was_recovering\":true,");
    if (result->recovered)
        buffer_put_text(to, "\"recovered\":true,");
}

void client_write_subscribed(struct buffer *to, uint32_t id, const struct client_subscribed *result)
{
    begin_reply(to, id, "subscribe");
    if (result->recoverable || result->positioned) {
        put_flags(to, result);
        put_position(to, result->epoch, result->offset);
        if (result->recovered || result->publications.size > 0) {
            buffer_put_text(to, ",\"publications\":[");
            buffer_put_span(to, result->publications);
            buffer_put_byte(to, ']');
        }
    }
    end_reply(to);
}

void client_write_empty(struct buffer *to, uint32_t id, enum client_method method)
{
    assert(method != CLIENT_PONG && method != CLIENT_SEND); /* they have no reply */
    begin_reply(to, id, client_method_word(method));
    end_reply(to);
}

void client_write_history(struct buffer *to, uint32_t id, struct span publications, uint64_t epoch,
                          uint64_t offset)
{
    begin_reply(to, id, "history");
    buffer_put_text(to, "\"publications\":[");
    buffer_put_span(to, publications);
    buffer_put_text(to, "],");
    put_position(to, epoch, offset);
    end_reply(to);
}

void client_write_presence_client(struct buffer *to, struct span client, struct span user)
{
    put_string(to, client);
    buffer_put_text(to, ":{\"client\":");
    put_string(to, client);
    buffer_put_text(to, ",\"user\":");
    put_string(to, user);
    buffer_put_byte(to, '}');
}

/* The inner object must be there even when it is empty. */
void client_write_presence(struct buffer *to, uint32_t id, struct span clients)
{
    begin_reply(to, id, "presence");
    buffer_put_text(to, "\"presence\":{");
    buffer_put_span(to, clients);
    buffer_put_byte(to, '}');
    end_reply(to);
}

void client_write_presence_stats(struct buffer *to, uint32_t id, uint32_t clients, uint32_t users)
{
    begin_reply(to, id, "presence_stats");
    buffer_put_text(to, "\"num_clients\":");
    buffer_put_u64_text(to, clients);
    buffer_put_text(to, ",\"num_users\":");
    buffer_put_u64_text(to, users);
    end_reply(to);
}

static void put_error(struct buffer *to, uint32_t id, enum client_error code, bool temporary,
                      const char *text)
{
    begin_reply(to, id, "error");
    buffer_put_text(to, "\"code\":");
    buffer_put_u64_text(to, (uint64_t)code);
    buffer_put_text(to, ",\"message\":");
    put_string(to, span_text(text ? text : client_error_text(code)));
    if (temporary)
        buffer_put_text(to, ",\"temporary\":true");
    end_reply(to);
}

void client_write_error(struct buffer *to, uint32_t id, enum client_error code, const char *text)
{
    put_error(to, id, code, client_error_temporary(code), text);
}

void client_write_temporary_error(struct buffer *to, uint32_t id, enum client_error code,
                                  const char *text)
{
    put_error(to, id, code, true, text);
}

static const char *unsubscribe_text(enum client_unsubscribe code)
{
    switch (code) {
#define CLIENT_UNSUBSCRIBE(NAME, number, text)                                                     \
    case CLIENT_UNSUBSCRIBE_##NAME:                                                                \
        return text;
#include "proto/client_codes.def"
#undef CLIENT_UNSUBSCRIBE
    }
    return "unsubscribed";
}

void client_write_unsubscribe(struct buffer *to, struct span channel, enum client_unsubscribe code)
{
    buffer_put_text(to, "{\"push\":{\"channel\":");
    put_string(to, channel);
    buffer_put_text(to, ",\"unsubscribe\":{\"code\":");
    buffer_put_u64_text(to, (uint64_t)code);
    buffer_put_text(to, ",\"reason\":");
    put_string(to, span_text(unsubscribe_text(code)));
    buffer_put_text(to, PUSH_END);
}

void client_write_disconnect(struct buffer *to, uint32_t code, struct span reason)
{
    buffer_put_text(to, "{\"push\":{\"disconnect\":{\"code\":");
    buffer_put_u64_text(to, code);
    buffer_put_text(to, ",\"reason\":");
    put_string(to, reason);
    buffer_put_text(to, PUSH_END);
}

void client_write_publication(struct buffer *to, struct span body, uint64_t offset)
{
    buffer_put_byte(to, '{');
    buffer_put_span(to, body);
    buffer_put_text(to, OFFSET_NAME);
    buffer_put_u64_text(to, offset);
    buffer_put_byte(to, '}');
}

void client_write_push_head(struct buffer *to, struct span channel)
{
    buffer_put_text(to, "{\"push\":{\"channel\":");
    put_string(to, channel);
    buffer_put_text(to, ",\"pub\":{");
}

static size_t digit_count(uint64_t number)
{
    size_t count = 1;
    for (; number >= 10; number /= 10)
        count++;
    return count;
}

size_t client_push_size(struct span head, struct span body, uint64_t offset)
{
    return head.size + body.size + (sizeof OFFSET_NAME - 1) + digit_count(offset) +
           (sizeof PUSH_END - 1);
}

static uint8_t *write_bytes(uint8_t *to, const void *data, size_t size)
{
    memcpy(to, data, size);
    return to + size;
}

static uint8_t *write_number(uint8_t *to, uint64_t number)
{
    uint8_t *end = to + digit_count(number);
    for (uint8_t *at = end; at > to; number /= 10)
        *--at = (uint8_t)('0' + number % 10);
    return end;
}

size_t client_missed_size(uint32_t missed)
{
    return missed == 0 ? 0 : sizeof MISSED_NAME - 1 + digit_count(missed) + sizeof MISSED_END - 1;
}

uint8_t *client_write_missed(uint8_t *to, uint32_t missed)
{
    if (missed == 0)
        return to;
    to = write_bytes(to, MISSED_NAME, sizeof MISSED_NAME - 1);
    to = write_number(to, missed);
    return write_bytes(to, MISSED_END, sizeof MISSED_END - 1);
}

uint8_t *client_write_push(uint8_t *to, struct span head, struct span body, uint64_t offset)
{
    to = write_bytes(to, head.data, head.size);
    to = write_bytes(to, body.data, body.size);
    to = write_bytes(to, OFFSET_NAME, sizeof OFFSET_NAME - 1);
    to = write_number(to, offset);
    return write_bytes(to, PUSH_END, sizeof PUSH_END - 1);
}
