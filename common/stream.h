#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/payload.h"

/* stream - the recent messages of one address, and the answer to "what did I miss?".
 *
 * Pure: no socket, no clock (the caller passes now_ms), no log. Not thread-safe.
 * Offsets are contiguous: the kept messages are those from stream_first() to `offset`. An empty
 * stream owns no memory. Members are for reading; only the functions below change them.
 */
struct stream_limits {
    size_t messages; /* 0 in any of the three: nothing is kept */
    size_t bytes;
    int64_t age_ms;
};

/* What a kept message costs besides its bytes; counted in `bytes`, so that the limits bound memory
 * even when the messages are tiny. */
#define STREAM_MESSAGE_COST 64

struct stream_message {
    payload_t *body;
    int64_t at_ms;
};

typedef struct stream {
    uint64_t epoch;
    uint64_t offset;                    /* of the last committed message; 0: none yet */
    const struct stream_limits *limits; /* borrowed */
    struct stream_message *ring;        /* NULL: nothing is kept */
    size_t bytes;
    uint32_t room, head, count; /* of the ring: slots, oldest message, messages */
} stream_t;

void stream_init(stream_t *self, uint64_t epoch, const struct stream_limits *limits);
/* They count from the next append or trim on. */
void stream_set_limits(stream_t *self, const struct stream_limits *limits);
/* Releases every message; the position stays. */
void stream_clear(stream_t *self);
/* All history is void (the outcome of a commit is unknown): a new epoch, offset 0, no messages. */
void stream_restart(stream_t *self, uint64_t epoch);

/* The next message is committed: takes over the caller's hold on *body_p and sets it to NULL.
 * Trims what the limits no longer allow. Without memory for it nothing is kept, and the position
 * still moves on: readers are told of the gap. Returns the offset. */
uint64_t stream_append(stream_t *self, payload_t **body_p, int64_t now_ms);
/* False: of a message of so many bytes nothing but its position is kept, and none before it. */
bool stream_keeps(const stream_t *self, size_t bytes);
/* Releases what is too old, gives back room. */
void stream_trim(stream_t *self, int64_t now_ms);
/* Releases the oldest message. Only for a stream that keeps one. */
void stream_drop_oldest(stream_t *self);
/* When stream_trim will have something to do. Only for a stream that keeps a message. */
int64_t stream_due(const stream_t *self);

/* Offset of the oldest kept message; offset + 1 when none is. */
uint64_t stream_first(const stream_t *self);
/* Borrowed until the next change. NULL when it is not kept. */
payload_t *stream_at(const stream_t *self, uint64_t offset);

/* Consecutive kept messages: `count` from `first` on, upwards. */
struct stream_slice {
    uint64_t first;
    size_t count;
};

/* How much a reader takes. Each message counts STREAM_READ_COST bytes more than its body: offset
 * and length in the frame that carries it. */
#define STREAM_READ_COST 12
struct stream_room {
    size_t messages;
    size_t bytes;
};

/* Everything after `offset`, or false: some of it is gone, `offset` is beyond the position, or it
 * is more than the room takes. The caller has compared the epochs. */
bool stream_missed(const stream_t *self, uint64_t offset, struct stream_room room,
                   struct stream_slice *out);
/* As much after `offset` as the room takes, at least one message if there is one (a large message
 * must not block the way for ever). False when the next one is gone or `offset` is beyond the
 * position. */
bool stream_next(const stream_t *self, uint64_t offset, struct stream_room room,
                 struct stream_slice *out);
/* From the oldest kept message after `offset` upwards, as much as the room takes. */
struct stream_slice stream_after(const stream_t *self, uint64_t offset, struct stream_room room);
/* From the newest message before `offset` downwards, as much as the room takes. */
struct stream_slice stream_before(const stream_t *self, uint64_t offset, struct stream_room room);
