#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* message - the one message of all measurements, in each form that it takes on its way.
 *
 * Pure. The payload is a JSON object of exactly 128 bytes, {"ts":<ns>,"pad":"xx..."}, where ts
 * is the CLOCK_MONOTONIC time of publication. The gateway's push of it is written here a second
 * time, on purpose without the gateway's code: a yardstick does not share code with what it
 * measures.
 */
#define MESSAGE_CHANNEL       "bench"
#define MESSAGE_CHANNEL_MAX   31
#define MESSAGE_PAYLOAD_BYTES 128
#define MESSAGE_FRAME_MAX     256 /* WebSocket frame with one push */
#define MESSAGE_PUBLISH_MAX   256 /* msgpack request with one payload, or one item of many */
#define MESSAGE_MANY_HEAD_MAX 64

/* Unmasked WebSocket text frame: {"push":{"channel":"bench","pub":{"data":{..},"offset":N}}}. */
size_t message_write_push(uint8_t to[MESSAGE_FRAME_MAX], uint64_t ts, uint64_t offset);

/* The text of a push as above. False when it is anything else. */
bool message_read_push(const uint8_t *text, size_t size, uint64_t *ts, uint64_t *offset);

/* Backend requests: {op: "publish", id, channel, payload}, where the channel has at most
 * MESSAGE_CHANNEL_MAX bytes, or {op: "publish_many", id, items}
 * followed by `count` items {channel, payload}. All return the bytes written. */
size_t message_write_publish(uint8_t to[MESSAGE_PUBLISH_MAX], uint64_t id, const char *channel,
                             uint64_t ts);
size_t message_write_many_head(uint8_t to[MESSAGE_MANY_HEAD_MAX], uint64_t id, uint16_t count);
size_t message_write_item(uint8_t to[MESSAGE_PUBLISH_MAX], uint64_t ts);
size_t message_write_ping(uint8_t to[MESSAGE_MANY_HEAD_MAX], uint64_t id);
