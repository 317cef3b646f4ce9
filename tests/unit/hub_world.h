#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "common/slow_reader.h"
#include "gateway/hub.h"
#include "proto/buffer.h"
#include "proto/bus_codec.h"
#include "proto/limits.h"
#include "world_queue.h"

/* hub_world - a broker, two sockets and some clients around a hub, all in memory and in the
 * hands of the test: nothing moves until it says so.
 *
 * The sockets are queues: topics to the broker's XPUB, publications back (each may be lost),
 * questions over the control link and answers back. The broker keeps `WORLD_KEPT` publications of
 * each stream.
 */
#define WORLD_STREAMS 3
#define WORLD_CLIENTS 5
#define WORLD_KEPT    40
#define WORLD_FRAMES  256

struct world_client {
    session_t *session;
    int64_t commands; /* ids handed out */
    bool is_stalled;  /* its socket takes nothing */
    bool has_been_closed;
    enum client_close code;
    char reason[LIMIT_CLOSE_REASON_BYTES + 1];
    /* JSON texts that came and were not read by the test yet. */
    char *frames[WORLD_FRAMES];
    size_t frame_count;
};

/* What the broker says to those who ask in their name. */
struct world_verdict {
    uint16_t status;
    bool temporary;
    uint32_t grant_ms;
};

struct world {
    hub_t *hub;
    int64_t now_ms;
    struct world_client clients[WORLD_CLIENTS];
    struct {
        uint64_t epoch, position;
        uint64_t restored; /* the position at the start of the broker, 0 when the epoch is newer */
        bool has_interest;
        struct world_verdict verdict;
        enum slow_reader slow_reader;
    } streams[WORLD_STREAMS];
    uint64_t epochs; /* handed out */
    uint64_t broker; /* its nonce */
    uint64_t canary;
    const char *site;         /* of all addresses */
    bool lose_next;           /* the next publication is dropped on its way */
    bool refuse_next;         /* the next question is refused: the broker has too many */
    uint16_t presence_status; /* of the answers to presence; 0: what this gateway says */
    uint16_t history_status;  /* of the answers to history, for those who may read */
    uint64_t permits;         /* asked for */
    struct {                  /* the last question in somebody's name */
        uint8_t kind, flags, type;
        char id[16], app[16];
        uint32_t within_ms;
    } asker;
    uint64_t revocations;       /* numbers handed out */
    uint64_t confirmations;     /* that came back */
    struct bus_revoked revoked; /* the last of them */
    struct world_queue topics, publications, questions, answers;
    struct world_queue said; /* all revocations */
};

void world_open(struct world *self, const struct hub_settings *settings);
void world_close(struct world *self);
/* Defaults for tests: short times, small bounds. */
struct hub_settings world_settings(void);

/* The channel of a stream: "s0", "s1" ... */
const char *world_channel(size_t stream);

void world_connect(struct world *self, size_t client); /* opens and connects; reads the reply */
void world_disconnect(struct world *self, size_t client);
/* From now on it reads as fast as it can, or not at all. */
void world_stall(struct world *self, size_t client);
void world_go_on(struct world *self, size_t client);
/* It reads this many texts, and no more. */
void world_read(struct world *self, size_t client, size_t count);
/* Sends one JSON text (several commands joined by newlines are one frame). */
void world_send(struct world *self, size_t client, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The next text that a client got, NULL when there is none; free it. */
char *world_next(struct world *self, size_t client);

void world_publish(struct world *self, size_t stream);
/* A new epoch: everything of the stream is gone. */
void world_forget(struct world *self, size_t stream);
void world_digest(struct world *self);
void world_canary(struct world *self);
/* The broker dies and starts again: another nonce, other epochs. */
void world_restart_broker(struct world *self);
/* It comes back with what its store had `count` publications ago, and publishes `more` before the
 * gateway is back. */
void world_go_back(struct world *self, size_t stream, uint64_t count, uint64_t more);

/* The broker takes rights away: a frame on the way to the gateway, among its answers. Returns its
 * number. */
uint64_t world_revoke(struct world *self, struct bus_revoke revoke);

/* Asks the gateway who is there. Valid until the next call. */
const struct bus_presence_part *world_presence(struct world *self, size_t stream, uint8_t kind,
                                               uint32_t limit);

/* One item of each queue moves on; false when the queue is empty. */
bool world_move_topic(struct world *self);
bool world_move_publication(struct world *self);
bool world_move_question(struct world *self);
bool world_move_answer(struct world *self);
/* Until nothing moves any more. */
void world_settle(struct world *self);
void world_advance(struct world *self, int64_t ms);
/* The control link breaks (what is under way is lost) and comes back. */
void world_break_link(struct world *self);
void world_mend_link(struct world *self);
