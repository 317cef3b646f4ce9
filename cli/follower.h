#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"
#include "proto/span.h"

/* follower - the client's side of the client protocol: subscribes, keeps the position of each
 * channel over connections that come and go, resumes there, and tells what happens.
 *
 * Pure: no socket, no clock (now_ms is monotonic), no randomness but the seed. What is to be sent
 * and to be printed gathers in buffers that the owner empties (buffer_reset).
 * The reconnect delays are those of the centrifuge SDK.
 */
typedef struct follower follower_t;

struct follower_settings {
    char *const *channels; /* valid UTF-8, distinct; borrowed */
    size_t channel_count;
    bool json;               /* all lines are JSON objects among the messages, no notes */
    const char *since_epoch; /* NULL: from now on. Else recover from here at the start */
    uint64_t since_offset;
    uint32_t seed;
};

enum follower_state {
    FOLLOWER_WAITING, /* no connection: begin an attempt when follower_wait is 0 */
    FOLLOWER_OPEN,    /* keep the connection, or the attempt */
    FOLLOWER_DROP,    /* close the connection; its end is told by follower_closed as ever */
    FOLLOWER_OVER     /* nothing can come any more, and why was told */
};

/* NULL only when memory is exhausted. */
follower_t *follower_new(const struct follower_settings *settings, int64_t now_ms);
void follower_destroy(follower_t **self_p);

enum follower_state follower_state(const follower_t *self);
/* Milliseconds until follower_tick or an attempt is due; -1: not before the next event. */
int64_t follower_wait(const follower_t *self, int64_t now_ms);

/* The connection token of the attempts from here on; valid UTF-8, copied. Empty: none. */
void follower_set_token(follower_t *self, struct span token);
/* An attempt begins. `url` is for the notes. */
void follower_connecting(follower_t *self, const char *url);
/* The WebSocket is open: the first frame is ready to be sent. */
void follower_opened(follower_t *self, int64_t now_ms);
/* One text message from the server. */
void follower_frame(follower_t *self, struct span frame, int64_t now_ms);
/* The connection ended, or could not be made (code 0; the reason says why). */
void follower_closed(follower_t *self, unsigned code, struct span reason, int64_t now_ms);
/* Runs what is due: unanswered commands, a missing ping, refused subscriptions to try again. */
void follower_tick(follower_t *self, int64_t now_ms);

/* The next text message to the server. */
struct buffer *follower_outgoing(follower_t *self);
/* Whole lines: publications, and for people what happens. */
struct buffer *follower_messages(follower_t *self);
struct buffer *follower_notes(follower_t *self);

/* Milliseconds before the next attempt after `failures` ones in a row. */
int64_t follower_backoff_ms(unsigned failures, uint32_t random);
