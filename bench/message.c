#include "bench/message.h"

#include <string.h>

#define HEAD "{\"push\":{\"channel\":\"" MESSAGE_CHANNEL "\",\"pub\":{\"data\":{\"ts\":"
#define PAD  ",\"pad\":\""
#define TAIL ",\"offset\":"
#define END  "}}}"

#define BYTES(text) (sizeof(text) - 1)

static uint8_t *put(uint8_t *to, const void *bytes, size_t size)
{
    memcpy(to, bytes, size);
    return to + size;
}

static uint8_t *put_fill(uint8_t *to, size_t size)
{
    memset(to, 'x', size);
    return to + size;
}

static uint8_t *put_big_endian(uint8_t *to, uint64_t value, unsigned bytes)
{
    while (bytes > 0)
        *to++ = (uint8_t)(value >> (8 * --bytes));
    return to;
}

static size_t digits_of(uint64_t value)
{
    size_t count = 1;
    while (value >= 10) {
        value /= 10;
        count++;
    }
    return count;
}

static uint8_t *put_number(uint8_t *to, uint64_t value)
{
    size_t count = digits_of(value);
    for (size_t i = count; i > 0; i--) {
        to[i - 1] = (uint8_t)('0' + value % 10);
        value /= 10;
    }
    return to + count;
}

/* The filler that makes the payload's JSON text exactly as long as promised. */
static size_t pad_bytes(uint64_t ts)
{
    return MESSAGE_PAYLOAD_BYTES - BYTES("{\"ts\":") - digits_of(ts) - BYTES(PAD) - BYTES("\"}");
}

size_t message_write_push(uint8_t to[MESSAGE_FRAME_MAX], uint64_t ts, uint64_t offset)
{
    size_t size = BYTES(HEAD) - BYTES("{\"ts\":") + MESSAGE_PAYLOAD_BYTES + BYTES(TAIL) +
                  digits_of(offset) + BYTES(END);
    uint8_t *at = put(to, "\x81\x7e", 2);
    at = put_big_endian(at, size, 2);
    at = put(at, HEAD, BYTES(HEAD));
    at = put_number(at, ts);
    at = put(at, PAD, BYTES(PAD));
    at = put_fill(at, pad_bytes(ts));
    at = put(at, "\"}" TAIL, BYTES("\"}" TAIL));
    at = put_number(at, offset);
    at = put(at, END, BYTES(END));
    return (size_t)(at - to);
}

/* Reads the digits in front of `end`, not further back than `begin`; returns where they begin. */
static const uint8_t *read_back(const uint8_t *begin, const uint8_t *end, uint64_t *value)
{
    uint64_t unit = 1;
    *value = 0;
    while (end > begin && end[-1] >= '0' && end[-1] <= '9') {
        *value += unit * (uint64_t)(*--end - '0');
        unit *= 10;
    }
    return end;
}

bool message_read_push(const uint8_t *text, size_t size, uint64_t *ts, uint64_t *offset)
{
    const size_t least =
        BYTES(HEAD) - BYTES("{\"ts\":") + MESSAGE_PAYLOAD_BYTES + BYTES(TAIL) + 1 + BYTES(END);
    if (size < least || memcmp(text, HEAD, BYTES(HEAD)) != 0)
        return false;

    const uint8_t *at = text + BYTES(HEAD);
    const uint8_t *payload_end = at - BYTES("{\"ts\":") + MESSAGE_PAYLOAD_BYTES;
    const uint8_t *end = text + size - BYTES(END);
    for (*ts = 0; at < end && *at >= '0' && *at <= '9'; at++)
        *ts = *ts * 10 + (uint64_t)(*at - '0');
    return memcmp(end, END, BYTES(END)) == 0 &&
           memcmp(payload_end - 1, "}" TAIL, BYTES("}" TAIL)) == 0 &&
           read_back(payload_end, end, offset) == payload_end + BYTES(TAIL);
}

static uint8_t *put_word(uint8_t *to, const char *word)
{
    size_t size = strlen(word);
    *to++ = (uint8_t)(0xa0 | size);
    return put(to, word, size);
}

static uint8_t *put_uint(uint8_t *to, uint64_t value)
{
    *to++ = 0xcf;
    return put_big_endian(to, value, 8);
}

static uint8_t *put_request(uint8_t *to, unsigned keys, const char *op, uint64_t id)
{
    *to++ = (uint8_t)(0x80 | keys);
    to = put_word(to, "op");
    to = put_word(to, op);
    to = put_word(to, "id");
    return put_uint(to, id);
}

static uint8_t *put_channel_and_payload(uint8_t *to, const char *channel, uint64_t ts)
{
    size_t pad = pad_bytes(ts);
    to = put_word(to, "channel");
    to = put_word(to, channel);
    to = put_word(to, "payload");
    *to++ = 0x82;
    to = put_word(to, "ts");
    to = put_uint(to, ts);
    to = put_word(to, "pad");
    *to++ = 0xd9;
    *to++ = (uint8_t)pad;
    return put_fill(to, pad);
}

size_t message_write_publish(uint8_t to[MESSAGE_PUBLISH_MAX], uint64_t id, const char *channel,
                             uint64_t ts)
{
    return (size_t)(put_channel_and_payload(put_request(to, 4, "publish", id), channel, ts) - to);
}

size_t message_write_many_head(uint8_t to[MESSAGE_MANY_HEAD_MAX], uint64_t id, uint16_t count)
{
    uint8_t *at = put_word(put_request(to, 3, "publish_many", id), "items");
    *at++ = 0xdc;
    return (size_t)(put_big_endian(at, count, 2) - to);
}

size_t message_write_item(uint8_t to[MESSAGE_PUBLISH_MAX], uint64_t ts)
{
    to[0] = 0x82;
    return (size_t)(put_channel_and_payload(to + 1, MESSAGE_CHANNEL, ts) - to);
}

size_t message_write_ping(uint8_t to[MESSAGE_MANY_HEAD_MAX], uint64_t id)
{
    return (size_t)(put_request(to, 2, "ping", id) - to);
}
