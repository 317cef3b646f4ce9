#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/address.h"
#include "common/deadline.h"
#include "common/slow_reader.h"
#include "common/stream.h"

/* streams - every address that is in use: its header (epoch, position) and its messages.
 *
 * Pure: no socket, no clock, no log; random numbers come from the settings. Not thread-safe.
 *
 * A header lives while a gateway is interested, while messages are kept or being committed, and
 * header_ms after the last use. One made again later has another epoch, so that an old position
 * can never be mistaken for a place in the new stream. All kept messages together cost at most
 * total_bytes: beyond it the address whose messages were not published or read for the longest time
 * loses its oldest ones. When there are too many headers, those of addresses that nobody has
 * published to and nobody listens to any more go before their time: clients choose such names at
 * will.
 */
typedef struct streams streams_t;

/* What subscribers may learn of each other. As the setting `presence` lists them. */
enum streams_presence { PRESENCE_OFF, PRESENCE_STATS, PRESENCE_FULL };

/* What one channel keeps and tells, when it is asked who may read, and what becomes of messages for
 * clients that read too slowly. */
struct streams_rule {
    struct stream_limits limits;
    bool client_history; /* may clients read history and recover without naming an epoch? */
    enum streams_presence presence;
    bool check_each; /* ask for every message */
    enum slow_reader slow_reader;
};

/* A rule for the channel and its resources: label "chat" on every site, "acme/chat" on one. */
struct streams_channel {
    const char *label;
    struct streams_rule rule;
};

typedef struct stream_header stream_header_t;

/* What whoever keeps a copy of the streams has to know besides the appends. */
enum streams_change {
    STREAMS_MADE,    /* a header, at offset 0 */
    STREAMS_TRIMMED, /* it begins with a later message now */
    STREAMS_ENDED    /* it is about to go, or to begin again */
};
typedef void streams_changed_fn(void *arg, enum streams_change change,
                                const stream_header_t *header);

struct streams_settings {
    struct streams_rule rule; /* where no channel says otherwise */
    const struct streams_channel *channels;
    size_t channel_count;
    size_t total_bytes;
    size_t headers;
    int64_t header_ms;
    uint64_t (*random)(void *arg); /* for epochs */
    void *random_arg;
    streams_changed_fn *changed; /* it may not call the streams; NULL: nobody wants to know */
    void *changed_arg;
};

/* Members are for reading. */
struct stream_header {
    stream_t stream;
    const struct streams_rule *rule;
    int64_t used_ms;
    int64_t published_ms;
    uint64_t restored; /* the offset with which its epoch was found at the start, 0: it was not */
    uint32_t pending;  /* appends on their way to the store */
    bool interested;   /* some gateway listens */

    bool recent;
    struct stream_header *recent_next;
    struct stream_headers *list;         /* the one it is in, NULL: none */
    struct stream_header *older, *newer; /* in it */
    struct deadline due;                 /* messages to trim, or the header's end */
    uint16_t key_size;
    uint8_t key[]; /* canonical address */
};

static inline struct span stream_header_key(const stream_header_t *header)
{
    return span_of(header->key, header->key_size);
}

/* Copies the settings. NULL when memory is exhausted or a label occurs twice. */
streams_t *streams_new(const struct streams_settings *settings, int64_t now_ms);
void streams_destroy(streams_t **self_p);
/* Other limits and channels from now on, for all addresses; what is beyond them goes with the next
 * ticks, or with the next use. Random numbers and `changed` stay. False when memory is exhausted:
 * all is as it was. *checks: somebody listens to an address that is to be asked about at other
 * times than before. */
bool streams_configure(streams_t *self, const struct streams_settings *settings, int64_t now_ms,
                       bool *checks);

size_t streams_count(const streams_t *self);
size_t streams_bytes(const streams_t *self);
size_t streams_interested(const streams_t *self);
/* Messages released because of total_bytes, before their own limits asked for it. */
uint64_t streams_evicted(const streams_t *self);
/* Headers ended before their time because there were too many. */
uint64_t streams_headers_cut(const streams_t *self);

/* Without making one. A header that is in use stays where it is until the next streams_tick. */
stream_header_t *streams_find(const streams_t *self, struct span key);
/* The header of `key`, made when there is none; its end is put off, its messages are trimmed by
 * age. `address` is the decoded key. NULL when there are `headers` in use already or memory is
 * exhausted. Making one may end others that are not in use: no appends pending, no interest, never
 * published to. */
stream_header_t *streams_use(streams_t *self, struct span key, const struct address *address,
                             int64_t now_ms);
/* Somebody reads its messages: they are kept longer than those that nobody reads. */
void streams_read(streams_t *self, stream_header_t *header);

/* The next offset, for an append that goes to the store now. */
uint64_t streams_assign(stream_header_t *header);
/* The oldest append is committed: as stream_append. */
void streams_commit(streams_t *self, stream_header_t *header, payload_t **body_p, int64_t now_ms);
/* The newest `count` appends will not be committed: their offsets are used again. */
void streams_fail(streams_t *self, stream_header_t *header, uint32_t count, int64_t now_ms);
/* Nobody knows which of the pending appends were committed: the history is void, the epoch a new
 * one, nothing is pending. */
void streams_restart(streams_t *self, stream_header_t *header, int64_t now_ms);

void streams_set_interest(streams_t *self, stream_header_t *header, bool interested,
                          int64_t now_ms);

/* At the start: an address that was there before, and its messages upwards, from any one on. Only
 * those count that lead to the position without a hole; streams_restored says where that is. NULL
 * when it is there already, there are `headers`, or memory is exhausted. */
stream_header_t *streams_restore(streams_t *self, struct span key, const struct address *address,
                                 uint64_t epoch, int64_t now_ms);
/* As streams_commit. at_ms may be negative. */
void streams_restore_message(streams_t *self, stream_header_t *header, uint64_t offset,
                             payload_t **body_p, int64_t at_ms);
void streams_restored(streams_t *self, stream_header_t *header, uint64_t offset, int64_t now_ms);

/* Every address published to at since_ms or later; older ones are forgotten for this purpose. */
typedef void streams_visit_fn(const stream_header_t *header, void *arg);
void streams_visit_recent(streams_t *self, int64_t since_ms, streams_visit_fn *visit, void *arg);

/* Releases what is too old: messages and headers, at most `budget` addresses in one call. */
void streams_tick(streams_t *self, int64_t now_ms, size_t budget);
